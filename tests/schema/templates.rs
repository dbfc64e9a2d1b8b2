//! The schema of policy templates says what the parser says, as `template-verdicts.txt` has it; that the parser says so
//! shows `crates/agentauth-core/tests/templates.rs`.

use serde_json::Value;

#[path = "mutations.rs"]
mod mutations;

fn read(name: &str) -> String {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn seeds() -> Vec<Value> {
    mutations::seeds(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn validator() -> jsonschema::Validator {
    let schema = json("docs/policy-template.schema.json");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::draft202012::new(&schema).unwrap()
}

#[test]
fn what_is_right_is_accepted() {
    let validator = validator();
    for seed in seeds() {
        let faults: Vec<_> = validator.iter_errors(&seed).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", seed["policyId"]);
    }
}

#[test]
fn schema_and_parser_agree_on_whatever_is_changed() {
    let validator = validator();
    let verdicts: Vec<char> =
        read("tests/schema/template-verdicts.txt").split_whitespace().flat_map(str::chars).collect();
    let mutations = mutations::mutations(&seeds());
    assert_eq!(verdicts.len(), mutations.len());
    for (number, (template, verdict)) in mutations.iter().zip(verdicts).enumerate() {
        // `b` is what no schema can state.
        let accepted = matches!(verdict, '.' | 'b');
        let faults: Vec<_> = validator.iter_errors(template).map(|fault| fault.to_string()).collect();
        assert_eq!(faults.is_empty(), accepted, "{number} {verdict}: {template:#} {faults:#?}");
    }
}
