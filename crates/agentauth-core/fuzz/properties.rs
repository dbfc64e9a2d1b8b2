//! What must hold for every input, under the fuzzer and when its corpus is replayed (`tests/corpus.rs`).
#![allow(dead_code, reason = "each fuzzer uses its own half")]

use agentauth_core::manifest::{MAX_FAULTS, Manifest};
use agentauth_core::text::has_hidden;
use agentauth_core::{Catalogue, Scope, ScopeContext};

/// Two texts, one on each line: each is a scope or is not, and two scopes are never taken for one another.
pub(crate) fn scope(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    let scopes = [first, second].map(|text| (text, text.parse::<Scope>()));
    for (text, read) in &scopes {
        match read {
            Ok(scope) => one(text, scope),
            Err(fault) => assert!(!has_hidden(&fault.to_string()), "a fault can drive a terminal"),
        }
    }
    if let [(first, Ok(one)), (second, Ok(two))] = &scopes {
        assert_eq!(one == two, plain(first) == plain(second), "{first:?} {second:?}");
        assert_eq!(one == two, one.as_str() == two.as_str());
        assert_eq!(one.covers(two) && two.covers(one), one == two, "{one} {two}");
        assert!(!one.covers(two) || one.overlaps(two), "{one} {two}");
        assert_eq!(one.overlaps(two), two.overlaps(one), "{one} {two}");
        if let (ScopeContext::Path(above), ScopeContext::Path(below)) = (one.context(), two.context())
            && one.covers(two)
        {
            let (above, below) = (segments(above), segments(below));
            assert!(below.starts_with(&above), "{one} {two}");
        }
    }
}

fn one(text: &str, scope: &Scope) {
    assert!(text.len() <= 4096 && !has_hidden(text));
    assert!(scope.covers(scope) && scope.overlaps(scope));
    let again: Scope = scope.as_str().parse().expect("the canonical text is a scope");
    assert_eq!((&again, again.as_str()), (scope, scope.as_str()));
    assert_eq!(again.context(), scope.context());
    let everywhere: Scope = scope.action_name().parse().expect("the action alone is a scope");
    assert!(everywhere.covers(scope));
    assert_eq!(scope.action_name(), format!("{}.{}", scope.resource(), scope.action()));
    match scope.context() {
        ScopeContext::Any => {}
        ScopeContext::Path(path) => {
            assert!(
                path == "/" || segments(path).iter().all(|name| !matches!(*name, "" | "." | "..")),
                "{path:?}"
            );
            stays_below(path.as_bytes());
        }
        ScopeContext::Pairs(pairs) => {
            assert!((1..=16).contains(&pairs.len()));
            for value in pairs.values() {
                let mut bytes = value.as_bytes().to_vec();
                for _ in 0..4 {
                    let parts = bytes.split(|byte| matches!(byte, b'/' | b'\\'));
                    assert!(parts.clone().all(|part| part != b".."), "{value:?}");
                    bytes = decoded(&bytes);
                }
            }
        }
    }
}

/// However often it is decoded, a path has the segments that it had, none of them `.` or `..`.
fn stays_below(path: &[u8]) {
    let separators = |path: &[u8]| path.iter().filter(|byte| matches!(byte, b'/' | b'\\')).count();
    let mut bytes = path.to_vec();
    for _ in 0..4 {
        bytes = decoded(&bytes);
        assert_eq!(separators(&bytes), separators(path), "{path:?}");
        assert!(!bytes.iter().any(u8::is_ascii_control), "{path:?}");
        assert!(bytes.split(|byte| *byte == b'/').all(|name| !matches!(name, b"." | b"..")), "{path:?}");
    }
}

/// What a scope says, by another way than the parser's: the name, and the segments or parameters as they are written.
fn plain(text: &str) -> (String, bool, Vec<String>) {
    let (name, context) = text.split_once(':').unwrap_or((text, ""));
    if let Some(path) = context.strip_prefix('/') {
        let names = path.split('/').filter(|name| !matches!(*name, "" | ".")).map(str::to_owned);
        return (name.to_owned(), true, names.collect());
    }
    let mut pairs: Vec<_> = context.split(',').map(str::to_owned).collect();
    pairs.sort();
    (name.to_owned(), false, pairs)
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').skip(1).filter(|name| !name.is_empty()).collect()
}

/// Percent escapes decoded once, what is no escape left alone.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two digits"));
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    out
}

/// One manifest, or an old and a new one with a NUL between them: whole or not at all, hashed alike in every writing,
/// compared so that nothing widens unseen.
pub(crate) fn manifest(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let read = parts.by_ref().map(judged).collect::<Vec<_>>();
    let manifests: Vec<_> = read.iter().flatten().collect();
    let [old, new] = manifests.as_slice() else { return };
    let diff = old.diff(new);
    assert_eq!(diff.renamed, old.name != new.name);
    if !diff.renamed {
        assert_eq!(diff.widens(), !old.widened_by(new).is_empty());
    }
    for change in &diff.scopes {
        assert!(!change.widens() || new.covers(change.scope()));
        assert!(diff.renamed || !change.widens() || !old.covers(change.scope()));
    }
    assert_eq!(diff.is_empty(), old.digest() == new.digest());
}

fn judged(json: &[u8]) -> Option<Manifest> {
    let manifest = match Manifest::parse(json) {
        Ok(manifest) => manifest,
        Err(faults) => {
            assert!((1..=MAX_FAULTS + 1).contains(&faults.0.len()));
            for fault in &faults.0 {
                assert!(!has_hidden(&fault.path) && !has_hidden(&fault.reason), "{fault:?}");
                assert!(fault.path.is_empty() || fault.path.starts_with('/'), "{fault:?}");
            }
            return None;
        }
    };
    let canonical = manifest.canonical();
    let again = Manifest::parse(canonical.as_bytes()).expect("what is hashed is a manifest");
    assert_eq!((&again, again.canonical()), (&manifest, canonical));
    let written = serde_json::to_vec(&manifest).expect("a manifest can be written");
    assert_eq!(Manifest::parse(&written).expect("what is written can be read"), manifest);
    // Both readers agree on what is a manifest.
    assert_eq!(serde_json::from_slice::<Manifest>(json).ok().as_ref(), Some(&manifest));
    assert!(manifest.diff(&manifest).is_empty());
    for lint in manifest.lint(&Catalogue::shipped().expect("the shipped catalogue is sound")) {
        assert!(!has_hidden(&lint.message) && lint.path.starts_with('/'), "{lint:?}");
    }
    for (number, entry) in manifest.scopes.iter().enumerate() {
        assert!(!has_hidden(&entry.purpose) && manifest.covers(&entry.scope));
        assert!(manifest.scopes.iter().skip(number + 1).all(|other| other.scope != entry.scope));
    }
    Some(manifest)
}
