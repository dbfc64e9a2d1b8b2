//! Reading a catalogue: every fault at once, each with its place.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::labels::{self, Labels, MAX_LABELLED, MAX_LABELS};
use super::{ActionEntry, Catalogue, CatalogueFault, DefaultLifetime, MAX_ACTIONS, RiskClass, Strength};
use crate::scope::{MAX_NAME_BYTES, Scope};
use crate::text::{display_safe_within, has_hidden};
use crate::time::SignedDuration;

/// At most this many faults are listed.
const MAX_FAULTS: usize = 100;

/// See [`Catalogue::parse`].
pub(super) fn catalogue(text: &str) -> Result<Catalogue, CatalogueFault> {
    let table: Table = text.parse().map_err(|fault: toml::de::Error| {
        let told = fault.to_string();
        let lines: Vec<_> = told.trim().lines().map(|line| display_safe_within(line, 200)).collect();
        CatalogueFault(vec![lines.join("\n")])
    })?;
    let mut reader = Reader::default();
    let mut catalogue = Catalogue::default();
    for (name, value) in table {
        match (name.as_str(), value) {
            ("closed", Value::Boolean(closed)) => catalogue.closed = closed,
            ("closed", other) => reader.wrong_type("closed", &other, "`true` or `false`"),
            ("labels", Value::Table(labels)) => reader.labels(labels, &mut catalogue.labels),
            ("labels", other) => reader.wrong_type("labels", &other, "a table"),
            ("resources", Value::Table(resources)) => reader.resources(resources, &mut catalogue.actions),
            ("resources", other) => reader.wrong_type("resources", &other, "a table"),
            (name, _) => reader.unknown("", name, "`closed`, `labels`, `resources`"),
        }
    }
    if catalogue.actions.len() > MAX_ACTIONS {
        reader
            .fault(format!("there are {} actions: at most {MAX_ACTIONS} are read", catalogue.actions.len()));
    }
    if reader.beyond > 0 {
        reader.faults.push(format!("and {} faults more", reader.beyond));
    }
    if reader.faults.is_empty() { Ok(catalogue) } else { Err(CatalogueFault(reader.faults)) }
}

#[derive(Default)]
struct Reader {
    faults: Vec<String>,
    beyond: usize,
}

impl Reader {
    fn labels(&mut self, labels: Table, found: &mut Labels) {
        if labels.len() > MAX_LABELS {
            self.fault(format!("there are {} labels: at most {MAX_LABELS} are read", labels.len()));
        }
        for (label, value) in labels {
            let place = format!("labels.{}", shown(&label));
            if !labels::is_name(&label) {
                self.fault(format!("`{place}`: a label is 1 to 64 lower-case letters, digits, `_` and `-`"));
                continue;
            }
            let Value::Array(entries) = value else {
                self.wrong_type(&place, &value, "a list");
                continue;
            };
            if entries.len() > MAX_LABELLED {
                self.fault(format!("`{place}`: at most {MAX_LABELLED} resources bear one label"));
            }
            let mut labelled = Vec::with_capacity(entries.len());
            for entry in entries {
                match &entry {
                    Value::String(text) => match labels::labelled(text) {
                        Some(scope) => labelled.push(scope),
                        None => self.fault(format!(
                            "`{place}`: `{}` is no `resource` or `resource:context`, such as `files:/srv/hr`",
                            shown(text)
                        )),
                    },
                    other => self.wrong_type(&place, other, "a list of texts"),
                }
            }
            found.insert(label, labelled);
        }
    }

    fn resources(&mut self, resources: Table, found: &mut BTreeMap<String, ActionEntry>) {
        for (resource, value) in resources {
            let place = format!("resources.{}", shown(&resource));
            let Value::Table(members) = value else {
                self.wrong_type(&place, &value, "a table");
                continue;
            };
            if !members.contains_key("actions") {
                self.fault(format!("`{place}`: has no `actions`"));
            }
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("actions", Value::Table(actions)) => {
                        for (action, value) in actions {
                            self.action(&resource, &action, value, found);
                        }
                    }
                    ("actions", other) => self.wrong_type(&format!("{place}.actions"), &other, "a table"),
                    (name, _) => self.unknown(&place, name, "`actions`"),
                }
            }
        }
    }

    fn action(
        &mut self,
        resource: &str,
        action: &str,
        value: Value,
        found: &mut BTreeMap<String, ActionEntry>,
    ) {
        let name = format!("{resource}.{action}");
        let is_name = name.parse::<Scope>().is_ok_and(|scope| scope.action_name() == name);
        if !is_name {
            self.fault(format!(
                "`{}` is not `resource.action` in lower-case letters, digits and `_`, at most {MAX_NAME_BYTES} each",
                shown(&name)
            ));
        }
        let place = shown(&name);
        let Value::Table(members) = value else { return self.wrong_type(&place, &value, "a table") };
        let before = self.faults.len() + self.beyond;
        let entry = self.entry(&place, members);
        if let Some(entry) = entry
            && is_name
            && before == self.faults.len() + self.beyond
        {
            found.insert(name, entry);
        }
    }

    /// Nothing only where a fault was noted.
    fn entry(&mut self, place: &str, mut members: Table) -> Option<ActionEntry> {
        let says = self.text(place, &mut members, "says");
        if says
            .as_ref()
            .is_some_and(|says| says.trim().is_empty() || says.chars().count() > 80 || has_hidden(says))
        {
            self.fault(format!("`{place}`: `says` must be 1 to 80 visible characters"));
        }
        let risk = self.word(place, &mut members, "risk", &RiskClass::ALL, RiskClass::as_str);
        let strength = self.word(place, &mut members, "strength", &Strength::ALL, Strength::as_str);
        if let (Some(risk), Some(Strength::Prompt)) = (risk, strength)
            && risk.is_high()
            && risk != RiskClass::Exfiltrate
        {
            self.fault(format!("`{place}`: `strength = \"prompt\"` is too weak for risk `{risk}`"));
        }
        let lifetime =
            self.text(place, &mut members, "lifetime").and_then(|text| self.lifetime(place, &text));
        let path = match members.remove("path") {
            None => false,
            Some(Value::Boolean(path)) => path,
            Some(other) => {
                self.wrong_type(&format!("{place}.path"), &other, "`true` or `false`");
                false
            }
        };
        let keys = match members.remove("keys") {
            None => Vec::new(),
            Some(Value::Array(keys)) => self.keys(place, keys),
            Some(other) => {
                self.wrong_type(&format!("{place}.keys"), &other, "a list");
                Vec::new()
            }
        };
        for name in members.keys() {
            self.unknown(place, name, "`says`, `risk`, `path`, `keys`, `lifetime`, `strength`");
        }
        Some(ActionEntry { says: says?, risk: risk?, path, keys, lifetime: lifetime?, strength: strength? })
    }

    fn keys(&mut self, place: &str, values: Vec<Value>) -> Vec<String> {
        let mut keys: Vec<String> = Vec::with_capacity(values.len());
        for value in values {
            let Value::String(key) = value else {
                self.wrong_type(&format!("{place}.keys"), &value, "a list of texts");
                continue;
            };
            if key.contains(['=', ',', ':']) || format!("a.b:{key}=x").parse::<Scope>().is_err() {
                self.fault(format!("`{place}`: the key `{}` cannot stand in a scope", shown(&key)));
            } else if keys.contains(&key) {
                self.fault(format!("`{place}`: the key `{key}` stands twice"));
            }
            keys.push(key);
        }
        keys
    }

    fn lifetime(&mut self, place: &str, text: &str) -> Option<DefaultLifetime> {
        match text {
            "until_revoked" => Some(DefaultLifetime::UntilRevoked),
            "session" => Some(DefaultLifetime::Session),
            "once" => Some(DefaultLifetime::Once),
            text => match text.parse::<SignedDuration>() {
                Ok(duration) if duration.is_positive() => Some(DefaultLifetime::For(duration)),
                _ => {
                    self.fault(format!(
                        "`{place}`: `lifetime = \"{}\"` is none of `until_revoked`, `session`, `once`, or a duration such as \
                         `PT8H`",
                        display_safe_within(text, 32)
                    ));
                    None
                }
            },
        }
    }

    fn text(&mut self, place: &str, members: &mut Table, name: &str) -> Option<String> {
        match members.remove(name) {
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                self.wrong_type(&format!("{place}.{name}"), &other, "a text");
                None
            }
            None => {
                self.fault(format!("`{place}`: has no `{name}`"));
                None
            }
        }
    }

    fn word<T: Copy>(
        &mut self,
        place: &str,
        members: &mut Table,
        name: &str,
        known: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.text(place, members, name)?;
        let found = known.iter().copied().find(|known| word(*known) == text);
        if found.is_none() {
            let words: Vec<_> = known.iter().map(|known| word(*known)).collect();
            let list = words.join("`, `");
            self.fault(format!("`{place}`: `{name} = \"{}\"` is none of `{list}`", shown(&text)));
        }
        found
    }

    fn unknown(&mut self, place: &str, name: &str, known: &str) {
        let of = if place.is_empty() { String::new() } else { format!("`{place}`: ") };
        self.fault(format!("{of}`{}` is not known: the members are {known}", shown(name)));
    }

    fn wrong_type(&mut self, place: &str, found: &Value, expected: &str) {
        self.fault(format!("`{place}`: {expected} is expected, not {}", found.type_str()));
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(what);
        } else {
            self.beyond += 1;
        }
    }
}

fn shown(name: &str) -> String {
    display_safe_within(name, 100)
}
