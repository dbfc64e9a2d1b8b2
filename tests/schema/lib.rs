//! The published schema of manifests, held against the published examples. The parser is held against the same ones, by
//! `crates/agentauth-core/tests/manifest_examples.rs`.
#![cfg(test)]

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn read(name: &str) -> Value {
    let text = fs::read_to_string(docs(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().unwrap().clone()
}

#[test]
fn the_schema_is_one() {
    let schema = read("manifest.schema.json");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(jsonschema::meta::is_valid(&schema));
}

#[test]
fn manifests_are_judged_as_expected() {
    let schema = jsonschema::draft202012::new(&read("manifest.schema.json")).unwrap();
    let expected = read("manifest-examples/expected.json");
    let mut judged = 0;
    for kind in ["good", "bad"] {
        for (name, expected) in expected[kind].as_object().unwrap() {
            let accepts = match (kind, expected["schema"].as_str()) {
                ("good", _) | (_, Some("accepts")) => true,
                (_, Some("refuses")) => false,
                // Not JSON at all.
                _ => continue,
            };
            let manifest = read(&format!("manifest-examples/{kind}/{name}"));
            let faults: Vec<_> = schema.iter_errors(&manifest).map(|fault| fault.to_string()).collect();
            assert_eq!(faults.is_empty(), accepts, "{kind}/{name}: {faults:#?}");
            judged += 1;
        }
    }
    assert!(judged > 50, "only {judged}");
}

/// Where the schema finds a fault, it is at a place that the parser names.
#[test]
fn faults_are_found_where_they_are() {
    let schema = jsonschema::draft202012::new(&read("manifest.schema.json")).unwrap();
    for (name, expected) in read("manifest-examples/expected.json")["bad"].as_object().unwrap() {
        if expected["schema"] != "refuses" {
            continue;
        }
        let places: Vec<_> = list(&expected["faults"])
            .iter()
            .map(|fault| fault["path"].as_str().unwrap().to_owned())
            .collect();
        for fault in schema.iter_errors(&read(&format!("manifest-examples/bad/{name}"))) {
            let found = fault.instance_path().to_string();
            // What is missing or unknown is told of the object around it.
            let told = places.iter().any(|place| *place == found || place.starts_with(&format!("{found}/")));
            assert!(told, "{name}: {found} is not among {places:?}");
        }
    }
}

#[test]
fn scopes_are_judged_as_the_vectors_say() {
    let schema = read("manifest.schema.json");
    let scope = json!({"$defs": schema["$defs"], "$ref": "#/$defs/scope"});
    let scope = jsonschema::draft202012::new(&scope).unwrap();
    let vectors = read("manifest-examples/scopes.json");
    for pair in list(&vectors["canonical"]).iter().flat_map(list) {
        assert!(scope.is_valid(&pair), "{pair}");
    }
    for pair in ["covers", "does_not_cover"]
        .iter()
        .flat_map(|name| list(&vectors[*name]))
        .flat_map(|pair| list(&pair))
    {
        assert!(scope.is_valid(&pair), "{pair}");
    }
    for refused in list(&vectors["refused"]) {
        assert!(!scope.is_valid(&refused), "{refused}");
    }
    for beyond in list(&vectors["refused_beyond_the_schema"]) {
        assert!(scope.is_valid(&beyond), "{beyond} is refused: it belongs to `refused`");
    }
}
