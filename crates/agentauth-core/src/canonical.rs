//! Canonical JSON (RFC 8785) and digests over it, so that two writings of one object are one object.
//!
//! Numbers are limited to integers that every JSON reader agrees on; our own data has no others.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Why a value has no canonical text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCanonical {
    /// A number with a fraction or exponent, or beyond ±(2^53 − 1), which readers of JSON round differently.
    #[error("the number `{0}` is not an integer that every JSON reader agrees on: write it as a string")]
    Number(String),
    /// Deeper than [`MAX_DEPTH`].
    #[error("the value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The deepest nesting that has a canonical text.
pub const MAX_DEPTH: usize = 64;

/// The canonical text of `value` (RFC 8785): members sorted by UTF-16 code units, no spaces.
///
/// # Errors
/// See [`NotCanonical`].
pub fn canonical_json(value: &Value) -> Result<String, NotCanonical> {
    let mut text = String::new();
    write(&mut text, value, 0)?;
    Ok(text)
}

/// SHA-256 over [`canonical_json`], in lower-case hexadecimal.
///
/// # Errors
/// See [`NotCanonical`].
pub fn canonical_digest(value: &Value) -> Result<String, NotCanonical> {
    Ok(sha256_hex(canonical_json(value)?.as_bytes()))
}

/// SHA-256 of `bytes` in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn write(text: &mut String, value: &Value, depth: usize) -> Result<(), NotCanonical> {
    if depth > MAX_DEPTH {
        return Err(NotCanonical::TooDeep);
    }
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => {
            let agreed = number.as_i64().filter(|integer| integer.unsigned_abs() < 1 << 53);
            let Some(integer) = agreed else {
                return Err(NotCanonical::Number(number.to_string()));
            };
            text.push_str(&integer.to_string());
        }
        Value::String(string) => write_string(text, string),
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write(text, item, depth + 1)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            text.push('{');
            for (position, (name, member)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_string(text, name);
                text.push(':');
                write(text, member, depth + 1)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

/// RFC 8785 section 3.2.2.2: two-character escapes where JSON has them, `\u00xx` for other controls, nothing else.
fn write_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\r' => text.push_str("\\r"),
            control if u32::from(control) < 0x20 => text.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_sorted_by_utf16_units_and_spaces_are_gone() {
        // The member names are those of RFC 8785 section 3.2.3.
        let value =
            json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let text = canonical_json(&value).unwrap();
        assert_eq!(
            text,
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
    }

    #[test]
    fn strings_are_escaped_as_the_rfc_says() {
        let value = json!("\u{20ac}$\u{f}\nA'B\"\\\\\"/");
        assert_eq!(canonical_json(&value).unwrap(), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"");
    }

    #[test]
    fn numbers_that_readers_round_differently_are_refused() {
        assert!(matches!(canonical_json(&json!(0.5)), Err(NotCanonical::Number(_))));
        assert!(matches!(canonical_json(&json!(1_u64 << 53)), Err(NotCanonical::Number(_))));
        assert_eq!(canonical_json(&json!([-9_007_199_254_740_991_i64])).unwrap(), "[-9007199254740991]");
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_members() {
        let one: Value = serde_json::from_str(r#"{"b":[1, 2],"a":{"y":null,"x":true}}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":{"x":true,"y":null},"b":[1,2]}"#).unwrap();
        assert_eq!(canonical_digest(&one).unwrap(), canonical_digest(&other).unwrap());
    }

    #[test]
    fn endless_nesting_is_refused() {
        let mut value = json!(1);
        for _ in 0..100 {
            value = json!([value]);
        }
        assert_eq!(canonical_json(&value), Err(NotCanonical::TooDeep));
    }
}
