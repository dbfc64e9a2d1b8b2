//! The published schema of manifests, held against the published examples. The parser is held against the same ones, by
//! `crates/agentauth-core/tests/manifest_examples.rs`.
//!
//! And the schema of exported events, held against an event of every kind; that these are what is exported shows
//! `crates/agentauth-audit/tests/export.rs`.
//!
//! And the schema of policy templates, held against templates that are right and thousands that something is wrong with.
#![cfg(test)]

mod templates;

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

fn exported(name: &str) -> String {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../crates/agentauth-audit/tests/ocsf").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn events() -> (jsonschema::Validator, Vec<Value>) {
    let schema = serde_json::from_str(&exported("event.schema.json")).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    let events = exported("examples.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (jsonschema::validator_for(&schema).unwrap(), events)
}

#[test]
fn every_exported_event_has_what_its_class_demands() {
    let (validator, events) = events();
    assert!(events.len() > 60, "{}", events.len());
    let mut wrong = Vec::new();
    for event in &events {
        for error in validator.iter_errors(event) {
            wrong.push(format!("{} {}: {error}", event["metadata"]["event_code"], error.instance_path()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_event_that_lacks_something_or_has_too_much_is_found() {
    let (validator, events) = events();
    for event in &events {
        for required in
            ["metadata", "time", "severity_id", "class_uid", "activity_id", "category_uid", "type_uid"]
        {
            let mut event = event.clone();
            event.as_object_mut().unwrap().remove(required);
            assert!(!validator.is_valid(&event), "{required}");
        }
        let mut more = event.clone();
        more["actr"] = json!({});
        assert!(!validator.is_valid(&more));
    }
    let demanded = [
        (6003, vec!["actor", "api", "src_endpoint"]),
        (3002, vec!["user", "service"]),
        (3004, vec!["entity"]),
        (3005, vec!["user"]),
        (2004, vec!["finding_info"]),
        (5019, vec!["device"]),
        (6002, vec!["app"]),
    ];
    // One of the two is enough to say which log it is.
    let mut deleted = events.iter().find(|event| event["class_uid"] == 1008).unwrap().clone();
    for (member, valid) in [("log_name", true), ("log_provider", false)] {
        deleted.as_object_mut().unwrap().remove(member);
        assert_eq!(validator.is_valid(&deleted), valid, "{member}");
    }
    for (class, members) in demanded {
        let event = events.iter().find(|event| event["class_uid"] == class).unwrap();
        for member in members {
            let mut event = event.clone();
            event.as_object_mut().unwrap().remove(member);
            assert!(!validator.is_valid(&event), "{class} {member}");
        }
    }
}
