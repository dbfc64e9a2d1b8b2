//! Templates of policies with something changed in them, always the same ones: held against the parser by
//! `crates/agentauth-core/tests/templates.rs`, and against the schema beside this file. `template-verdicts.txt` has what
//! both say of each, so that the two agree though neither is built with the other.

use std::collections::BTreeSet;

use serde_json::Value;

/// How many there are.
pub(crate) const COUNT: usize = 4000;

/// What is put in the place of what stands there.
const VALUES: &str = r#"[
  null, true, false, 0, 1, -1, 1.5, 60, 525600, 525601, 1e300, "", " ", "x", "a b", "A", "high", "read", "path", "pinned",
  "mon", "poP", "linux", "unmanaged", "burst", "08:00", "8:00", "24:00", "24:01", "23:60", "*", "files.*", "files.read",
  "files.*:/srv", "files.read:/a/../b", "files.read:a=b", "files.read:", "files", "*.read", "email.send:domain=*x",
  "*@example.com", "a*@b", "*@", "a\u202eb", "\u0000", "prompt", "reauth", [], {}, ["x"], ["read"], ["files.*", "email.*"],
  ["mon", "mon"], ["mon", "tue"], [1], [[]], {"deny": true}, {"below": "pinned"}, {"atLeast": "x"}, {"below": "path", "atLeast": "path"},
  {"acr": "phr"}, {"maxAgeMinutes": 5}, {"acr": 1}, {"days": ["sat"]}, {"from": "08:00"}, {"from": "08:00", "to": "07:00"},
  {"outside": {"days": "sun"}}, {"outside": {"days": "sun"}, "days": "mon"}, {"outside": {}}, {"requestedScope": "*"},
  [{"risk": "read"}, {"agent": "a"}], [{}], {"risk": "high", "user": ["U1", "U2"]}, "__long__", "__longer__"
]"#;

/// The templates that are changed: those that ship, and one that has everything there is.
const SEEDS: [&str; 4] = [
    "config/policies/templates/baseline.json",
    "config/policies/templates/developer-workstation.json",
    "config/policies/templates/regulated.json",
    "crates/agentauth-core/testdata/templates/whole.json",
];

/// What is changed. `root`: where the repository is.
pub(crate) fn seeds(root: &str) -> Vec<Value> {
    let read = |name| {
        let path = std::path::Path::new(root).join(name);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    SEEDS.iter().map(read).collect()
}

/// Names that are put in the place of others, or beside them: every one that the seeds have, and one that means nothing.
fn names(seeds: &[Value]) -> Vec<String> {
    fn collect(value: &Value, names: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, inner)| {
                names.insert(name.clone());
                collect(inner, names);
            }),
            Value::Array(list) => list.iter().for_each(|inner| collect(inner, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::from(["unknown".to_owned()]);
    seeds.iter().for_each(|seed| collect(seed, &mut names));
    names.into_iter().collect()
}

/// Marsaglia's xorshift: the same numbers everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }
}

/// `seeds`, each changed in one place or two.
pub(crate) fn mutations(seeds: &[Value]) -> Vec<Value> {
    let values: Vec<Value> = serde_json::from_str(VALUES).unwrap();
    let names = names(seeds);
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mutate = |_| {
        let mut template = one_rule(&seeds[chance.below(seeds.len())], &mut chance);
        for _ in 0..=chance.below(2) {
            let places = places(&template);
            let place = &places[chance.below(places.len())];
            change(&mut template, place, (&values, &names), &mut chance);
        }
        template
    };
    (0..COUNT).map(mutate).collect()
}

/// The template with one of its rules, or two: what is changed in it matters more than.
fn one_rule(seed: &Value, chance: &mut Chance) -> Value {
    let mut template = seed.clone();
    let rules = seed["rules"].as_array().unwrap();
    let kept: Vec<Value> = (0..=chance.below(2)).map(|_| rules[chance.below(rules.len())].clone()).collect();
    template["rules"] = Value::Array(kept);
    template
}

/// Every place in a value, in an order that does not depend on how objects are kept.
fn places(value: &Value) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut below = |step: &str, inner: &Value| {
        found.extend(places(inner).into_iter().map(|rest| [vec![step.to_owned()], rest].concat()));
    };
    match value {
        Value::Object(members) => {
            let mut names: Vec<_> = members.keys().collect();
            names.sort();
            names.into_iter().for_each(|name| below(name, &members[name]));
        }
        Value::Array(list) => list.iter().enumerate().for_each(|(at, inner)| below(&at.to_string(), inner)),
        _ => {}
    }
    found
}

fn at<'a>(value: &'a mut Value, place: &[String]) -> &'a mut Value {
    place.iter().fold(value, |value, step| match value {
        Value::Object(members) => members.get_mut(step).unwrap(),
        Value::Array(list) => &mut list[step.parse::<usize>().unwrap()],
        _ => panic!("a place is in an object or a list"),
    })
}

fn change(
    template: &mut Value,
    place: &[String],
    (values, names): (&[Value], &[String]),
    chance: &mut Chance,
) {
    let value = match &values[chance.below(values.len())] {
        Value::String(word) if word == "__long__" => Value::String("x".repeat(256)),
        Value::String(word) if word == "__longer__" => Value::String("x".repeat(1001)),
        other => other.clone(),
    };
    let name = names[chance.below(names.len())].clone();
    let kind = chance.below(8);
    let here = at(template, place);
    match (kind, here) {
        (0, Value::Object(members)) => drop(members.insert(name, value)),
        (1, Value::Array(list)) => list.push(value),
        (2 | 3, _) if !place.is_empty() => {
            let (last, above) = place.split_last().unwrap();
            match at(template, above) {
                Value::Object(members) => {
                    let taken = members.remove(last).unwrap();
                    if kind == 3 {
                        members.insert(name, taken);
                    }
                }
                Value::Array(list) => drop(list.remove(last.parse::<usize>().unwrap())),
                _ => panic!("a place is in an object or a list"),
            }
        }
        (_, here) => *here = value,
    }
}
