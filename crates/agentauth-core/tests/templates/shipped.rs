//! The templates that ship: each is what it is compiled to, and can be in force beside all that ships. And what the parser
//! says of them once something in them is changed.

use std::fs;
use std::path::PathBuf;

use agentauth_core::template::TemplateFaultCode;
use agentauth_core::{Catalogue, Policy, Template};
use serde_json::Value;

#[path = "../../../../tests/schema/mutations.rs"]
mod mutations;

const NAMES: [&str; 3] = ["baseline", "regulated", "developer-workstation"];

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/policies/templates").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn compiled(name: &str) -> String {
    let file = format!("{name}.json");
    Template::parse(read(&file).as_bytes())
        .unwrap_or_else(|faults| panic!("{file}: {faults}"))
        .to_cedar(&file)
}

#[test]
fn what_stands_beside_them_is_what_they_are_compiled_to() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/policies/templates");
    let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let mut expected: Vec<_> =
        NAMES.iter().flat_map(|name| [format!("{name}.cedar"), format!("{name}.json")]).collect();
    expected.sort();
    for name in NAMES {
        let compiled = compiled(name);
        let kept = fs::read_to_string(folder.join(format!("{name}.cedar")));
        if kept.is_ok_and(|kept| kept == compiled) {
            continue;
        }
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.cedar"));
        fs::write(&path, compiled).unwrap();
        panic!("`{name}.json` is compiled to something else now: {} has it", path.display());
    }
    assert_eq!(files, expected);
}

#[test]
fn they_can_be_in_force_together_and_beside_all_that_ships() {
    let catalogue = Catalogue::shipped().unwrap();
    let own: Vec<_> = NAMES.iter().map(|name| (format!("{name}.cedar"), compiled(name))).collect();
    let shipped = Policy::shipped().iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let all: Vec<_> = shipped.chain(own).collect();
    let policy = Policy::load(&all, &catalogue, [""; 0]).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(policy.warnings(), [""; 0]);
}

/// Each template of the corpus is accepted (`.`), refused (`x`), or refused for what no schema can state (`b`). `tests/schema`
/// shows that the published schema says the same.
#[test]
fn the_parser_says_of_each_changed_template_what_the_schema_says() {
    let seeds = mutations::seeds(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let verdict = |template: &Value| match Template::parse(template.to_string().as_bytes()) {
        Ok(_) => '.',
        Err(faults) => {
            let beyond = |code| matches!(code, TemplateFaultCode::RepeatedId | TemplateFaultCode::NeverHolds);
            if faults.0.iter().all(|fault| beyond(fault.code)) { 'b' } else { 'x' }
        }
    };
    let verdicts: Vec<char> = mutations::mutations(&seeds).iter().map(verdict).collect();
    for (word, least) in [('.', 400), ('x', 1500), ('b', 5)] {
        let count = verdicts.iter().filter(|verdict| **verdict == word).count();
        assert!(count >= least, "{count} of `{word}` tell too little");
    }
    let lines: String = verdicts.chunks(100).map(|line| line.iter().collect::<String>() + "\n").collect();
    let kept =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/schema/template-verdicts.txt"));
    if kept.is_ok_and(|kept| kept == lines) {
        return;
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("template-verdicts.txt");
    fs::write(&path, lines).unwrap();
    panic!("the verdicts are others now: {} has them; let the schema say the same", path.display());
}
