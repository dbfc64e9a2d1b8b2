//! The rules that a person's own files make: settings, an extension of the catalogue, policies. They take effect as the
//! person applied them, whatever the files say by now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{canonical_digest, sha256_hex};
use crate::text::display_safe_within;

/// What a person's own files say, as far as it could give rights.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRules {
    /// Options that are set, and to what.
    #[serde(default)]
    pub settings: BTreeMap<String, Value>,
    /// The text of the person's catalogue of scopes.
    #[serde(default)]
    pub catalogue: Option<String>,
    /// The text of each policy file, by the file's name.
    #[serde(default)]
    pub policies: BTreeMap<String, String>,
    /// The text of each file of the person's domains, as `NAME/FILE`; see [`crate::domain`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub domains: BTreeMap<String, String>,
}

/// What of the rules is to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Settings and the catalogue.
    Configuration,
    /// Policies, and the domains by which enforcers ask.
    Policies,
}

/// One way in which one set of rules differs from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleChange {
    /// An option, with what it is set to before and after. What is not set has its default.
    Setting {
        /// The option.
        key: String,
        /// Before.
        from: Option<Value>,
        /// After.
        to: Option<Value>,
    },
    /// The catalogue of scopes, with the SHA-256 of its text.
    Catalogue {
        /// Before.
        from: Option<String>,
        /// After.
        to: Option<String>,
    },
    /// A policy file, or a file of a domain (`domains/NAME/FILE`), with the SHA-256 of its text.
    Policy {
        /// Its name.
        file: String,
        /// Before.
        from: Option<String>,
        /// After.
        to: Option<String>,
    },
}

impl OwnRules {
    /// SHA-256 over the canonical form (RFC 8785), in lower-case hexadecimal; nothing for numbers that JSON cannot carry.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        canonical_digest(&serde_json::to_value(self).ok()?).ok()
    }

    /// These rules with one part taken from others.
    #[must_use]
    pub fn with(self, part: Part, other: Self) -> Self {
        match part {
            Part::Configuration => Self { policies: self.policies, domains: self.domains, ..other },
            Part::Policies => Self { policies: other.policies, domains: other.domains, ..self },
        }
    }

    /// In what `after` differs from these rules, by part and name.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<RuleChange> {
        let mut changes = Vec::new();
        for (key, from, to) in differences(&self.settings, &after.settings) {
            changes.push(RuleChange::Setting { key: key.clone(), from: from.cloned(), to: to.cloned() });
        }
        let digest = |text: &String| sha256_hex(text.as_bytes());
        if self.catalogue != after.catalogue {
            let of = |text: &Option<String>| text.as_ref().map(digest);
            changes.push(RuleChange::Catalogue { from: of(&self.catalogue), to: of(&after.catalogue) });
        }
        let policies = differences(&self.policies, &after.policies);
        let policies = policies.into_iter().map(|(file, from, to)| (file.clone(), from, to));
        let domains = differences(&self.domains, &after.domains);
        let domains = domains.into_iter().map(|(file, from, to)| (format!("domains/{file}"), from, to));
        for (file, from, to) in policies.chain(domains) {
            changes.push(RuleChange::Policy { file, from: from.map(digest), to: to.map(digest) });
        }
        changes
    }
}

impl RuleChange {
    /// It in plain words. Safe to show.
    #[must_use]
    pub fn says(&self) -> String {
        let value = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "not set".to_owned(), |value| display_safe_within(&value.to_string(), 300))
        };
        let text = |name: &str, from: &Option<String>, to: &Option<String>| {
            let name = display_safe_within(name, 200);
            match (from, to) {
                (_, None) => format!("{name} is gone"),
                (None, Some(to)) => format!("{name} is new, SHA-256 {to}"),
                (Some(from), Some(to)) => format!("{name} has changed, SHA-256 {from} becomes {to}"),
            }
        };
        match self {
            Self::Setting { key, from, to } => {
                format!("{}: {} becomes {}", display_safe_within(key, 200), value(from), value(to))
            }
            Self::Catalogue { from, to } => text("the catalogue of scopes", from, to),
            Self::Policy { file, from, to } => text(file, from, to),
        }
    }

    /// What it belongs to.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            Self::Setting { .. } | Self::Catalogue { .. } => Part::Configuration,
            Self::Policy { .. } => Part::Policies,
        }
    }
}

/// The entries that are not the same in both.
fn differences<'a, T: PartialEq>(
    before: &'a BTreeMap<String, T>,
    after: &'a BTreeMap<String, T>,
) -> Vec<(&'a String, Option<&'a T>, Option<&'a T>)> {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let mut keys: Vec<_> = gone.chain(after.keys()).collect();
    keys.sort();
    keys.into_iter()
        .map(|key| (key, before.get(key), after.get(key)))
        .filter(|(_, from, to)| from != to)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rules(setting: i64, catalogue: Option<&str>, policies: &[(&str, &str)]) -> OwnRules {
        OwnRules {
            settings: [("session.max_age".to_owned(), json!(setting))].into(),
            catalogue: catalogue.map(str::to_owned),
            policies: policies.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
            domains: BTreeMap::new(),
        }
    }

    #[test]
    fn each_difference_is_told_once() {
        let before = rules(1, None, &[("a.cedar", "a"), ("b.cedar", "b")]);
        let after = rules(2, Some("c"), &[("b.cedar", "B"), ("c.cedar", "c")]);
        let digest = |text: &str| Some(sha256_hex(text.as_bytes()));
        let policy = |file: &str, from, to| RuleChange::Policy { file: file.to_owned(), from, to };
        assert_eq!(
            before.changes(&after),
            [
                RuleChange::Setting {
                    key: "session.max_age".to_owned(),
                    from: Some(json!(1)),
                    to: Some(json!(2))
                },
                RuleChange::Catalogue { from: None, to: digest("c") },
                policy("a.cedar", digest("a"), None),
                policy("b.cedar", digest("b"), digest("B")),
                policy("c.cedar", None, digest("c")),
            ]
        );
        assert_eq!(before.changes(&before), []);
        let only_policies = before.clone().with(Part::Policies, after.clone());
        assert!(before.changes(&only_policies).iter().all(|change| change.part() == Part::Policies));
        assert_eq!(only_policies.with(Part::Configuration, after.clone()), after);
    }

    #[test]
    fn domains_go_with_the_policies() {
        let before = rules(1, None, &[("a.cedar", "a")]);
        assert!(!serde_json::to_string(&before).unwrap().contains("domains"));
        let after =
            OwnRules { domains: [("todo/a.cedar".to_owned(), "a".to_owned())].into(), ..before.clone() };
        let [RuleChange::Policy { file, from: None, to: Some(_) }] = &before.changes(&after)[..] else {
            panic!("{:?}", before.changes(&after));
        };
        assert_eq!(file, "domains/todo/a.cedar");
        assert_ne!(before.digest(), after.digest());
        assert_eq!(before.clone().with(Part::Policies, after.clone()), after);
        assert_eq!(before.clone().with(Part::Configuration, after), before);
    }

    fn any_rules() -> impl Strategy<Value = OwnRules> {
        let texts = || proptest::collection::btree_map("[a-c]", "[a-c]{0,2}", 0..3);
        let catalogue = proptest::option::of("[a-c]{0,2}");
        (texts(), catalogue, texts(), texts()).prop_map(|(settings, catalogue, policies, domains)| {
            let settings = settings.into_iter().map(|(key, text)| (key, json!(text))).collect();
            OwnRules { settings, catalogue, policies, domains }
        })
    }

    proptest! {
        #[test]
        fn rules_share_a_digest_only_if_nothing_differs(a in any_rules(), b in any_rules()) {
            prop_assert_eq!(a.digest() == b.digest(), a.changes(&b).is_empty());
            prop_assert_eq!(a.digest() == b.digest(), a == b);
            let text = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(serde_json::from_str::<OwnRules>(&text).unwrap(), a);
        }
    }
}
