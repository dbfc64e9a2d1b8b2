//! Manifests read, refused, hashed, examined and compared.

use proptest::prelude::*;

use super::*;
use crate::catalogue::Catalogue;

const PAYMENT: &str = r#"{"name":"payment-agent","version":"1.0.0","publisher":"Example",
    "scopes":[{"scope":"payments.execute:payee=x,currency=EUR","purpose":"pay supplier invoices","required":true}],
    "uiHints":{"displayName":"Payments"}}"#;

/// Where and what the faults of a text are.
fn faults(json: &str) -> Vec<(String, FaultCode)> {
    let ManifestFaults(faults) = Manifest::parse(json.as_bytes()).unwrap_err();
    faults.into_iter().map(|fault| (fault.path, fault.code)).collect()
}

fn codes(json: &str) -> Vec<&'static str> {
    let lints = Manifest::parse(json.as_bytes()).unwrap().lint(&Catalogue::shipped().unwrap());
    lints.into_iter().map(|lint| lint.code).collect()
}

/// A manifest with these scopes.
fn asking(scopes: &[&str]) -> Manifest {
    let entries: Vec<_> =
        scopes.iter().map(|scope| json!({"scope": scope, "purpose": "do the daily work"})).collect();
    let json = json!({"name": "a", "version": "1", "scopes": entries});
    Manifest::parse(json.to_string().as_bytes()).unwrap()
}

#[test]
fn a_manifest_reads_and_writes() {
    let manifest = Manifest::parse(PAYMENT.as_bytes()).unwrap();
    assert!(manifest.covers(&"payments.execute:currency=EUR,payee=x,account=1".parse().unwrap()));
    assert!(!manifest.covers(&"payments.execute:currency=EUR".parse().unwrap()));
    let again = Manifest::parse(&serde_json::to_vec(&manifest).unwrap()).unwrap();
    assert_eq!(manifest, again);
    assert_eq!(manifest.digest(), again.digest());
}

#[test]
fn the_digest_is_of_the_content_not_of_the_writing() {
    let other = r#"{ "uiHints": {"displayName":"Payments"}, "scopes": [{"purpose":"pay supplier invoices",
        "scope":"payments.execute:currency=EUR,payee=x","required":true}], "publisher":"Example",
        "version":"1.0.0","name":"payment-agent"}"#;
    let digest = |json: &str| Manifest::parse(json.as_bytes()).unwrap().digest();
    assert_eq!(digest(PAYMENT), digest(other));
    assert_ne!(digest(PAYMENT), digest(&PAYMENT.replace("supplier", "any")));
    assert_eq!(digest(PAYMENT).len(), 64);
}

#[test]
fn what_is_unknown_repeated_hidden_or_too_long_is_refused() {
    for (from, to) in [
        ("\"publisher\"", "\"publicher\""),
        ("\"version\":\"1.0.0\"", "\"version\":\"1.0.0\",\"version\":\"2\""),
        ("payment-agent", "payment agent"),
        ("payment-agent", "\\u0430gent"),
        ("payment-agent", ""),
        ("1.0.0", "1.0 0"),
        ("supplier", "\\u202esupplier"),
        ("supplier", "\\u0007supplier"),
        ("pay supplier invoices", " "),
        ("displayName", "display_name"),
        ("\"required\":true", "\"required\":1"),
        ("payments.execute", "payments.*"),
    ] {
        let json = PAYMENT.replace(from, to);
        assert_ne!(json, PAYMENT);
        assert!(Manifest::parse(json.as_bytes()).is_err(), "{json}");
    }
    let long = PAYMENT.replace("Example", &"x".repeat(129));
    assert!(Manifest::parse(long.as_bytes()).is_err());
    assert_eq!(faults(&" ".repeat(MAX_FILE_BYTES + 1)), [(String::new(), FaultCode::TooLong)]);
}

#[test]
fn scopes_are_counted_and_stand_once() {
    let with = |scopes: &[String]| {
        let entries: Vec<_> =
            scopes.iter().map(|scope| format!(r#"{{"scope":"{scope}","purpose":"do the work"}}"#)).collect();
        Manifest::parse(
            format!(r#"{{"name":"a","version":"1","scopes":[{}]}}"#, entries.join(",")).as_bytes(),
        )
    };
    let many: Vec<_> = (0..=MAX_SCOPES).map(|number| format!("files.read:/{number}")).collect();
    assert!(with(&many).is_err());
    assert!(with(many.get(1..).unwrap()).is_ok());
    assert!(with(&["files.read:a=1,b=2".to_owned(), "files.read:b=2,a=1".to_owned()]).is_err());
}

#[test]
fn the_linter_finds_what_is_wide_or_unknown() {
    let manifest = Manifest::parse(
        br#"{"name":"a","version":"1","scopes":[
            {"scope":"files.read","purpose":"everything"},
            {"scope":"files.read:/projects","purpose":"read the project"},
            {"scope":"email.send:colour=red","purpose":"send red mail"},
            {"scope":"warp.engage:factor=9","purpose":"go there quickly"}]}"#,
    )
    .unwrap();
    let codes: Vec<_> =
        manifest.lint(&Catalogue::shipped().unwrap()).into_iter().map(|lint| lint.code).collect();
    assert_eq!(
        codes,
        ["broad_scope", "vague_purpose", "covered_twice", "unknown_context", "unknown_resource"]
    );
}

#[test]
fn an_update_that_asks_for_more_is_found() {
    let old = Manifest::parse(PAYMENT.as_bytes()).unwrap();
    let narrower = Manifest::parse(PAYMENT.replace("payee=x", "payee=x,account=1").as_bytes()).unwrap();
    let wider = Manifest::parse(PAYMENT.replace("payee=x,", "").as_bytes()).unwrap();
    assert!(old.widened_by(&narrower).is_empty());
    assert_eq!(old.widened_by(&wider).len(), 1);
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let json = r#"{"manifestVersion":2,"name":"no good","version":" ","version":"2","publisher":7,"a/b~c":1,
        "scopes":[
            {"scope":"files.read:/a//b","purpose":""},
            {"scope":"read:all","purpose":"x\u200by","required":"yes","why":null},
            {"purpose":"reading the project"},
            "files.read",
            {"scope":"files.read:a=1,b=2","purpose":"reading the project"},
            {"scope":"files.read:b=2,a=1","purpose":"reading the project"}],
        "uiHints":{"displayname":"x","icon":[],"consentText":"\u202e"}}"#;
    let expected = [
        ("/version", FaultCode::RepeatedMember),
        ("/a~1b~0c", FaultCode::UnknownMember),
        ("/manifestVersion", FaultCode::UnknownVersion),
        ("/name", FaultCode::BadName),
        ("/version", FaultCode::Empty),
        ("/publisher", FaultCode::WrongType),
        ("/scopes/0/scope", FaultCode::BadScope),
        ("/scopes/0/purpose", FaultCode::Empty),
        ("/scopes/1/why", FaultCode::UnknownMember),
        ("/scopes/1/scope", FaultCode::BadScope),
        ("/scopes/1/purpose", FaultCode::Hidden),
        ("/scopes/1/required", FaultCode::WrongType),
        ("/scopes/2/scope", FaultCode::Missing),
        ("/scopes/3", FaultCode::WrongType),
        ("/scopes/5/scope", FaultCode::RepeatedScope),
        ("/uiHints/displayname", FaultCode::UnknownMember),
        ("/uiHints/consentText", FaultCode::Hidden),
        ("/uiHints/icon", FaultCode::WrongType),
    ];
    let found = faults(json);
    let found: Vec<_> = found.iter().map(|(path, code)| (path.as_str(), *code)).collect();
    assert_eq!(found, expected);
    let told = Manifest::parse(json.as_bytes()).unwrap_err().to_string();
    assert!(told.contains("it has 18 faults: ") && told.contains("`/name` is `no good`"), "{told}");
    assert!(told.contains("names everything at once"), "a word that is no scope is explained: {told}");
    assert!(!told.contains(['\u{202e}', '\u{200b}']), "{told}");
    let inside = serde_json::from_str::<Manifest>(json).unwrap_err().to_string();
    assert!(inside.starts_with(&told), "{inside}");
}

#[test]
fn endless_faults_are_counted_not_listed() {
    let json = format!(r#"{{{}"name":"a","version":"1","scopes":[]}}"#, r#""x":0,"#.repeat(10_000));
    let found = Manifest::parse(json.as_bytes()).unwrap_err().0;
    assert_eq!(found.len(), MAX_FAULTS + 1);
    let last = found.last().unwrap();
    assert_eq!(last.code, FaultCode::More);
    assert!(last.reason.contains("9744"), "{last}");
    let long = format!(r#"{{"{}\u202e":0}}"#, "x".repeat(5000));
    let found = faults(&long);
    assert!(found.iter().all(|(path, _)| path.chars().count() < 110), "{found:?}");
}

#[test]
fn what_is_not_json_has_one_fault() {
    for json in ["", "{", "nul", "\u{feff}{}", r#"{"name":"\ud800"}"#, "{} {}", &"[".repeat(100_000)] {
        assert_eq!(faults(json), [(String::new(), FaultCode::NotJson)], "{json:.20}");
    }
    for json in ["[]", "null", "1", "\"x\""] {
        assert_eq!(faults(json), [(String::new(), FaultCode::WrongType)], "{json}");
    }
}

#[test]
fn null_is_nothing() {
    let without = Manifest::parse(
        br#"{"name":"a","version":"1","scopes":[{"scope":"files.read:/a","purpose":"x y"}]}"#,
    );
    let with = Manifest::parse(
        br#"{"manifestVersion":null,"name":"a","version":"1","publisher":null,
            "scopes":[{"scope":"files.read:/a","purpose":"x y","required":null}],
            "uiHints":{"displayName":null,"consentText":null,"icon":null}}"#,
    );
    assert_eq!(without, with);
    let versioned = Manifest::parse(
        br#"{"manifestVersion":1.0,"uiHints":null,"name":"a","version":"1","scopes":[{"scope":"files.read:/a","purpose":"x y"}]}"#,
    );
    assert_eq!(without, versioned);
    let missing = faults(r#"{"name":null,"version":null,"scopes":null}"#);
    assert!(missing.len() == 3 && missing.iter().all(|(_, code)| *code == FaultCode::Missing), "{missing:?}");
}

/// What is hashed is a promise: a digest that a person agreed to, or that an audit record names, must not change.
#[test]
fn digests_stay_what_they_are() {
    let manifest = Manifest::parse(PAYMENT.as_bytes()).unwrap();
    assert_eq!(
        manifest.canonical(),
        r#"{"name":"payment-agent","publisher":"Example","scopes":[{"purpose":"pay supplier invoices","required":true,"scope":"payments.execute:currency=EUR,payee=x"}],"uiHints":{"description":null,"displayName":"Payments","homepage":null,"icon":null},"version":"1.0.0"}"#
    );
    assert_eq!(manifest.digest(), "5eaffcdca85b6cd76ba41e8cab4ab0a2c7241b72a591cd6def4094254b8f6722");
    let with_text = PAYMENT.replace("\"displayName\"", "\"consentText\":\"Pays bills.\",\"displayName\"");
    let with_text = Manifest::parse(with_text.as_bytes()).unwrap();
    assert!(with_text.canonical().contains(r#""uiHints":{"consentText":"Pays bills.","description":null,"#));
    assert_ne!(with_text.digest(), manifest.digest());
}

#[test]
fn purposes_that_say_nothing_are_vague() {
    let with = |purpose: &str| {
        let json =
            json!({"name": "a", "version": "1", "scopes": [{"scope": "files.read:/a", "purpose": purpose}]});
        codes(&json.to_string())
    };
    for vague in
        ["reading", "read files", "to use the app", "Required for functionality.", "needed", "n/a", "!!"]
    {
        assert_eq!(with(vague), ["vague_purpose"], "{vague}");
    }
    for fine in ["summarise the quarterly reports", "show diffs", "ファイルを読む", "Berichte lesen"] {
        assert!(with(fine).is_empty(), "{fine}");
    }
}

#[test]
fn the_linter_knows_what_each_risk_needs() {
    let lint = |scope: &str| {
        codes(&json!({"name": "a", "version": "1", "scopes": [{"scope": scope, "purpose": "do the daily work"}]}).to_string())
    };
    for (scope, expected) in [
        ("files.read", &["broad_scope"][..]),
        ("files.read:/", &["broad_scope"]),
        ("files.write", &["missing_context"]),
        ("files.delete", &["missing_context"]),
        ("shell.execute", &["missing_context"]),
        ("payments.execute", &["missing_context"]),
        ("files.write:/", &["broad_scope"]),
        ("email.send:domain=*", &["broad_scope"]),
        ("warp.engage", &["missing_context", "unknown_resource"]),
        ("files.move:/a", &["unknown_action"]),
        ("email.read:/inbox", &["unknown_context"]),
        ("email.send:domain=p\u{430}ypal.com", &["look_alike"]),
        ("files.write:/a", &[]),
    ] {
        assert_eq!(lint(scope), expected, "{scope}");
    }
    assert_eq!(
        codes(r#"{"name":"a","version":"1","scopes":[],"publisher":"P\u0430ypal"}"#),
        ["no_scopes", "look_alike"]
    );
}

#[test]
fn versions_are_compared_scope_by_scope() {
    let words = |old: &[&str], new: &[&str]| -> Vec<String> {
        let diff = asking(old).diff(&asking(new));
        assert_eq!(diff.widens(), !asking(old).widened_by(&asking(new)).is_empty(), "{old:?} {new:?}");
        diff.scopes.iter().map(|change| format!("{} {}", change.word(), change.scope())).collect()
    };
    for (old, new, expected) in [
        (&["files.read:/a"][..], &["files.read:/a"][..], &[][..]),
        (&["files.read:/a"], &["files.read:/a", "files.read:/b"], &["added files.read:/b"]),
        (&["files.read:/a/b"], &["files.read:/a"], &["widened files.read:/a"]),
        (&["files.read:/a/b", "files.read:/a/c"], &["files.read:/a"], &["widened files.read:/a"]),
        (
            &["files.read:/a"],
            &["files.read:/a/b", "files.read:/a/c"],
            &["narrowed files.read:/a/b", "narrowed files.read:/a/c"],
        ),
        (&["files.read:/a", "files.read:/b"], &["files.read:/a"], &["removed files.read:/b"]),
        (&["files.read:/a"], &["files.read:/b"], &["added files.read:/b", "removed files.read:/a"]),
        (&["files.read:/a"], &["files.write:/a"], &["added files.write:/a", "removed files.read:/a"]),
        // Overlapping is not covering.
        (
            &["email.send:domain=a"],
            &["email.send:to=b"],
            &["added email.send:to=b", "removed email.send:domain=a"],
        ),
        (&["email.send:domain=a"], &["email.send:domain=a*"], &["widened email.send:domain=a*"]),
        // Nothing changes by saying it twice, or by no longer doing so.
        (&["files.read:/a"], &["files.read:/a", "files.read:/a/b"], &["covered files.read:/a/b"]),
        (&["files.read:/a", "files.read:/a/b"], &["files.read:/a"], &["covered files.read:/a/b"]),
        (&["files.read:/a", "files.read:/a/b"], &["files.read:/a/b"], &["removed files.read:/a"]),
        // Several that together come to the same are still a widening: one scope of the old has to cover it.
        (&["x.y:k=a*", "x.y:k=b*"], &["x.y:k=*"], &["widened x.y:k=*"]),
    ] {
        assert_eq!(words(old, new), expected, "{old:?} {new:?}");
    }
}

#[test]
fn another_name_is_another_agent() {
    let old = asking(&["files.read:/a"]);
    let new = Manifest { name: "b".to_owned(), ..old.clone() };
    let diff = old.diff(&new);
    assert!(diff.renamed && diff.widens());
    assert_eq!(
        diff.texts,
        [TextChange { path: "/name", old: Some("a".to_owned()), new: Some("b".to_owned()) }]
    );
    assert!(old.diff(&old).is_empty());
    let mut reworded = old.clone();
    reworded.scopes[0].purpose = "something else entirely".to_owned();
    let diff = old.diff(&reworded);
    assert!(!diff.widens() && !diff.is_empty());
    assert_eq!(diff.scopes[0].word(), "reworded");
}

/// Scopes of a small world, so that covering happens often.
fn scopes() -> impl Strategy<Value = Vec<&'static str>> {
    const WORLD: [&str; 14] = [
        "files.read",
        "files.read:/",
        "files.read:/a",
        "files.read:/a/b",
        "files.read:/a/b/c",
        "files.read:/b",
        "files.write:/a",
        "files.write",
        "files.read:k=*",
        "files.read:k=a*",
        "files.read:k=ab",
        "files.read:k=ab,l=x",
        "files.read:l=x",
        "email.send:to=b",
    ];
    proptest::sample::subsequence(WORLD.to_vec(), 0..7)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What is called no widening lets nothing be asked for that could not be asked for before; what is, does.
    #[test]
    fn nothing_widens_unseen(old in scopes(), new in scopes(), asked in scopes()) {
        let (old, new) = (asking(&old), asking(&new));
        let diff = old.diff(&new);
        if !diff.widens() {
            for scope in asked {
                let scope: Scope = scope.parse().unwrap();
                prop_assert!(!new.covers(&scope) || old.covers(&scope), "{scope}: {diff:?}");
            }
        }
        for change in diff.scopes.iter().filter(|change| change.widens()) {
            prop_assert!(new.covers(change.scope()) && !old.covers(change.scope()));
        }
        prop_assert_eq!(diff.widens(), !old.widened_by(&new).is_empty());
        // Every scope of either stands in both, or in the difference.
        for entry in old.scopes.iter().chain(&new.scopes) {
            let in_both = [&old, &new].iter().all(|one| one.scopes.iter().any(|other| other.scope == entry.scope));
            let told = diff.scopes.iter().any(|change| {
                *change.scope() == entry.scope || match change {
                    ScopeChange::Widened { from, .. } | ScopeChange::Narrowed { from, .. } => from.contains(&entry.scope),
                    _ => false,
                }
            });
            prop_assert!(in_both || told, "{}: {diff:?}", entry.scope);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Manifest::parse(&bytes);
    }
}
