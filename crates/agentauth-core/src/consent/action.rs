//! The canonical action: what exactly an agent is about to do, as an object that is shown to the person and whose digest
//! an approval is bound to. What was shown is what may be done.

use serde_json::Value;

use crate::canonical::{NotCanonical, canonical_json, sha256_hex};
use crate::text::display_safe_within;

/// The longest canonical text of an action, in bytes. All of it is shown, so it has to be readable.
pub const MAX_ACTION_BYTES: usize = 4096;
/// The deepest nesting of an action; the object itself counts as 1.
pub const MAX_ACTION_DEPTH: usize = 6;
/// How much of one value is shown, in characters: never cut, because an action is no longer.
const SHOWN: usize = MAX_ACTION_BYTES;

/// What exactly is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    canonical: String,
    digest: String,
    members: Vec<(String, String)>,
}

/// Why a value is no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActionFault {
    /// Not an object, or one without members.
    #[error("`action` must be an object that says what is to be done, with at least one member")]
    NoObject,
    /// Two readers would read it differently.
    #[error("`action` has no canonical form (RFC 8785)")]
    NotCanonical(#[from] NotCanonical),
    /// Longer than a person can read.
    #[error(
        "`action` is {0} bytes long in its canonical form: a person has to read it, so at most {MAX_ACTION_BYTES} are taken; \
         leave out what does not matter, or give its digest"
    )]
    TooLong(usize),
    /// Deeper than a person can follow.
    #[error("`action` is nested deeper than {MAX_ACTION_DEPTH} levels: make it flatter")]
    TooDeep,
}

impl Action {
    /// The action that `value` describes.
    ///
    /// # Errors
    /// See [`ActionFault`].
    pub fn new(value: &Value) -> Result<Self, ActionFault> {
        if value.as_object().is_none_or(serde_json::Map::is_empty) {
            return Err(ActionFault::NoObject);
        }
        if depth(value) > MAX_ACTION_DEPTH {
            return Err(ActionFault::TooDeep);
        }
        let canonical = canonical_json(value)?;
        if canonical.len() > MAX_ACTION_BYTES {
            return Err(ActionFault::TooLong(canonical.len()));
        }
        let mut members = Vec::new();
        flatten(&mut members, String::new(), value);
        Ok(Self { digest: sha256_hex(canonical.as_bytes()), canonical, members })
    }

    /// SHA-256 over the canonical text (RFC 8785), in lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The canonical text.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Every value with the path of names that leads to it, in canonical order, whole and safe to show. Texts are in
    /// quotation marks, so that `"5"` is not taken for `5`.
    #[must_use]
    pub fn members(&self) -> &[(String, String)] {
        &self.members
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn flatten(members: &mut Vec<(String, String)>, path: String, value: &Value) {
    let below = |name: &str| {
        let name = display_safe_within(name, SHOWN);
        if path.is_empty() { name } else { format!("{path} › {name}") }
    };
    match value {
        Value::Object(object) if !object.is_empty() => {
            let mut sorted: Vec<_> = object.iter().collect();
            sorted.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            for (name, member) in sorted {
                flatten(members, below(name), member);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (position, item) in items.iter().enumerate() {
                flatten(members, below(&(position + 1).to_string()), item);
            }
        }
        leaf => members.push((path, display_safe_within(&leaf.to_string(), SHOWN))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn two_writings_of_one_action_are_one_action() {
        let one: Value =
            serde_json::from_str(r#"{"amount": 100, "to": {"iban": "DE1", "name": "X"}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"to":{"name":"X","iban":"DE1"},"amount":100}"#).unwrap();
        assert_eq!(Action::new(&one).unwrap(), Action::new(&other).unwrap());
        assert_ne!(
            Action::new(&one).unwrap().digest(),
            Action::new(&json!({"amount": "100", "to": {"iban": "DE1", "name": "X"}})).unwrap().digest()
        );
    }

    #[test]
    fn everything_is_shown_and_nothing_hides() {
        let action =
            Action::new(&json!({"to": "a\u{202e}b", "lines": [{"n": 5}, "5", []], "z\u{7}": null})).unwrap();
        let shown: Vec<_> =
            action.members().iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("lines › 1 › n", "5"),
                ("lines › 2", "\"5\""),
                ("lines › 3", "[]"),
                ("to", "\"a\\u{202e}b\""),
                ("z\\u{7}", "null"),
            ]
        );
    }

    #[test]
    fn what_nobody_could_read_is_refused() {
        for value in [json!(null), json!([1]), json!({}), json!("pay")] {
            assert_eq!(Action::new(&value), Err(ActionFault::NoObject), "{value}");
        }
        assert!(matches!(Action::new(&json!({"a": 0.5})), Err(ActionFault::NotCanonical(_))));
        assert!(matches!(Action::new(&json!({"a": "x".repeat(5000)})), Err(ActionFault::TooLong(_))));
        let deep = json!({"a": [[[[[[1]]]]]]});
        assert_eq!(Action::new(&deep), Err(ActionFault::TooDeep));
    }
}
