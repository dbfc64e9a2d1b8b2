//! The published standard of manifests, held against the parser: its examples and its test vectors. `tests/schema` holds the
//! schema against the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use agentauth_core::Scope;
use agentauth_core::canonical::sha256_hex;
use agentauth_core::manifest::{FaultCode, Manifest};
use serde_json::{Value, json};

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(docs(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn read(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The examples of one kind, each with what is expected of it.
fn examples(kind: &str) -> Vec<(String, String, Value)> {
    let expected = read("manifest-examples/expected.json")[kind].clone();
    let expected = expected.as_object().unwrap();
    let files: BTreeSet<String> = fs::read_dir(docs(&format!("manifest-examples/{kind}")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, expected.keys().cloned().collect(), "every {kind} example has its expectation");
    let with_text = |(name, value): (&String, &Value)| {
        (name.clone(), text(&format!("manifest-examples/{kind}/{name}")), value.clone())
    };
    expected.iter().map(with_text).collect()
}

#[test]
fn good_examples_are_read_and_have_their_digest() {
    let examples = examples("good");
    assert!(examples.len() >= 7);
    for (name, json, expected) in examples {
        let manifest = Manifest::parse(json.as_bytes()).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        assert_eq!(manifest.canonical(), expected["canonical"].as_str().unwrap(), "{name}");
        assert_eq!(manifest.digest(), expected["digest"].as_str().unwrap(), "{name}");
        assert_eq!(manifest.digest(), sha256_hex(manifest.canonical().as_bytes()), "{name}");
        // What is hashed says all: read again, it is the same manifest.
        assert_eq!(Manifest::parse(manifest.canonical().as_bytes()).unwrap(), manifest, "{name}");
        assert_eq!(Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap(), manifest, "{name}");
    }
}

#[test]
fn bad_examples_are_refused_with_exactly_their_faults() {
    let mut seen = BTreeSet::new();
    for (name, json, expected) in examples("bad") {
        let faults = Manifest::parse(json.as_bytes()).expect_err(&name).0;
        seen.extend(faults.iter().map(|fault| fault.code));
        let found: Value =
            faults.iter().map(|fault| json!({"path": fault.path, "code": fault.code})).collect();
        assert_eq!(found, expected["faults"], "{name}");
        assert!(faults.iter().all(|fault| !fault.reason.is_empty()), "{name}");
    }
    // The one that is left needs more faults than an example should have.
    let codes = [
        FaultCode::NotJson,
        FaultCode::TooLong,
        FaultCode::UnknownMember,
        FaultCode::RepeatedMember,
        FaultCode::Missing,
        FaultCode::WrongType,
        FaultCode::UnknownVersion,
        FaultCode::BadName,
        FaultCode::Empty,
        FaultCode::Hidden,
        FaultCode::BadScope,
        FaultCode::RepeatedScope,
    ];
    assert_eq!(seen, BTreeSet::from(codes), "every code has an example");
    let standard = text("manifest.md");
    for code in codes.iter().chain(&[FaultCode::More]) {
        assert!(standard.contains(&format!("`{code}`")), "docs/manifest.md does not explain `{code}`");
    }
}

#[test]
fn scopes_are_read_and_compared_as_the_vectors_say() {
    let vectors = read("manifest-examples/scopes.json");
    let list = |name: &str| vectors[name].as_array().unwrap().clone();
    let scope = |value: &Value| -> Scope { value.as_str().unwrap().parse().unwrap() };
    for pair in list("canonical") {
        assert_eq!(scope(&pair[0]).as_str(), pair[1].as_str().unwrap());
    }
    for refused in list("refused").into_iter().chain(list("refused_beyond_the_schema")) {
        assert!(refused.as_str().unwrap().parse::<Scope>().is_err(), "{refused}");
    }
    for pair in list("covers") {
        assert!(scope(&pair[0]).covers(&scope(&pair[1])), "{pair}");
    }
    for pair in list("does_not_cover") {
        assert!(!scope(&pair[0]).covers(&scope(&pair[1])), "{pair}");
    }
}
