//! JSON without the liberties: duplicate members are refused at every depth (RFC 7515 section 4, RFC 7519 section 4),
//! and size, depth and counts are bounded before anything is believed.
//!
//! A parser that keeps the last of two members and one that keeps the first read two different tokens out of the same
//! signed bytes; refusing both is the only reading on which everybody agrees.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::refusal::{ClaimsFault, shown};

/// Bounds on a document. All counts are inclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrictLimits {
    /// Bytes of the whole document.
    pub bytes: usize,
    /// Nesting of objects and lists; the outermost one counts as 1.
    pub depth: usize,
    /// Members of all objects together.
    pub members: usize,
    /// Elements of all lists together.
    pub elements: usize,
    /// Bytes of one member name.
    pub name_bytes: usize,
    /// Bytes of one string value.
    pub string_bytes: usize,
}

impl StrictLimits {
    /// For token payloads and headers.
    pub const TOKEN: Self = Self {
        bytes: 16 * 1024,
        depth: 16,
        members: 512,
        elements: 4096,
        name_bytes: 512,
        string_bytes: 8 * 1024,
    };
}

/// Parses one JSON document within `limits`, refusing duplicate members at every depth and anything after the end.
///
/// # Errors
/// The first breach, by kind; see [`ClaimsFault`].
pub fn parse_strict(bytes: &[u8], limits: &StrictLimits) -> Result<Value, ClaimsFault> {
    walk(bytes, limits, true)
}

/// The judgement of [`parse_strict`] without its outcome, for documents that hold secrets: no value is copied.
///
/// # Errors
/// The first breach, by kind; see [`ClaimsFault`].
pub fn check_strict(bytes: &[u8], limits: &StrictLimits) -> Result<(), ClaimsFault> {
    walk(bytes, limits, false).map(|_| ())
}

fn walk(bytes: &[u8], limits: &StrictLimits, keep: bool) -> Result<Value, ClaimsFault> {
    if bytes.len() > limits.bytes {
        return Err(ClaimsFault::TooLarge { bytes: bytes.len(), limit: limits.bytes });
    }
    let mut walk = Walk { limits, keep, members: 0, elements: 0, fault: None };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let outcome = Node { walk: &mut walk, depth: 1 }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match (outcome, walk.fault) {
        (_, Some(fault)) => Err(fault),
        (Ok(value), None) => Ok(value),
        (Err(error), None) => Err(ClaimsFault::NotJson { line: error.line(), column: error.column() }),
    }
}

/// What the walk has used up of its limits, and the typed fault that serde's own error cannot carry.
struct Walk<'l> {
    limits: &'l StrictLimits,
    keep: bool,
    members: usize,
    elements: usize,
    fault: Option<ClaimsFault>,
}

impl Walk<'_> {
    fn refuse<E: serde::de::Error>(&mut self, fault: ClaimsFault) -> E {
        let error = E::custom(&fault);
        self.fault.get_or_insert(fault);
        error
    }
}

struct Node<'w, 'l> {
    walk: &'w mut Walk<'l>,
    depth: usize,
}

impl Node<'_, '_> {
    fn text<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        if text.len() > self.walk.limits.string_bytes {
            let limit = self.walk.limits.string_bytes;
            return Err(self.walk.refuse(ClaimsFault::StringTooLong { bytes: text.len(), limit }));
        }
        Ok(if self.walk.keep { Value::String(text.to_owned()) } else { Value::Null })
    }

    fn check_depth<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth > self.walk.limits.depth {
            let limit = self.walk.limits.depth;
            return Err(self.walk.refuse(ClaimsFault::TooDeep { limit }));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number is not finite"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.text(value)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut elements = Vec::new();
        while let Some(element) =
            list.next_element_seed(Node { walk: &mut *self.walk, depth: self.depth + 1 })?
        {
            self.walk.elements += 1;
            if self.walk.elements > self.walk.limits.elements {
                let limit = self.walk.limits.elements;
                return Err(self.walk.refuse(ClaimsFault::TooManyElements { limit }));
            }
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Value, A::Error> {
        self.check_depth()?;
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            self.walk.members += 1;
            if self.walk.members > self.walk.limits.members {
                let limit = self.walk.limits.members;
                return Err(self.walk.refuse(ClaimsFault::TooManyMembers { limit }));
            }
            if name.len() > self.walk.limits.name_bytes {
                let limit = self.walk.limits.name_bytes;
                return Err(self.walk.refuse(ClaimsFault::NameTooLong { bytes: name.len(), limit }));
            }
            if members.contains_key(&name) {
                return Err(self.walk.refuse(ClaimsFault::DuplicateMember { name: shown(&name) }));
            }
            let value = object.next_value_seed(Node { walk: &mut *self.walk, depth: self.depth + 1 })?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Value, ClaimsFault> {
        parse_strict(text.as_bytes(), &StrictLimits::TOKEN)
    }

    #[test]
    fn checking_keeps_nothing_and_judges_alike() {
        for text in [r#"{"a":"secret","b":[{"c":1}]}"#, r#"{"a":1,"a":2}"#, "[1] x", "", r#""text""#] {
            let (checked, parsed) = (check_strict(text.as_bytes(), &StrictLimits::TOKEN), parse(text));
            assert_eq!(checked, parsed.map(|_| ()), "{text}");
        }
        assert_eq!(
            walk(br#"{"a":"secret"}"#, &StrictLimits::TOKEN, false),
            Ok(serde_json::json!({"a":null}))
        );
    }

    #[test]
    fn duplicates_are_refused_at_every_depth() {
        for (text, name) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"a":{"b":1,"c":2,"b":3}}"#, "b"),
            (r#"{"a":[{"x":1},{"y":[{"z":1,"z":2}]}]}"#, "z"),
            (r#"{"exp":1,"\u0065xp":2}"#, "exp"),
        ] {
            assert_eq!(parse(text), Err(ClaimsFault::DuplicateMember { name: name.to_owned() }), "{text}");
        }
        assert!(parse(r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}],"A":0}"#).is_ok());
    }

    #[test]
    fn every_limit_is_inclusive() {
        let limits =
            StrictLimits { bytes: 64, depth: 2, members: 3, elements: 3, name_bytes: 4, string_bytes: 5 };
        let parse = |text: &str| parse_strict(text.as_bytes(), &limits).map(|_| ());
        assert_eq!(parse(r#"{"a":[1,2,3],"b":{},"abcd":"12345"}"#), Ok(()));
        assert_eq!(parse(r#"{"a":[[]]}"#), Err(ClaimsFault::TooDeep { limit: 2 }));
        assert_eq!(parse(r#"{"a":{"b":{}}}"#), Err(ClaimsFault::TooDeep { limit: 2 }));
        assert_eq!(parse(r#"{"a":{"b":1,"c":2},"d":3}"#), Err(ClaimsFault::TooManyMembers { limit: 3 }));
        assert_eq!(parse(r#"[[1,2],3]"#), Err(ClaimsFault::TooManyElements { limit: 3 }));
        assert_eq!(parse(r#"{"abcde":1}"#), Err(ClaimsFault::NameTooLong { bytes: 5, limit: 4 }));
        assert_eq!(parse(r#"{"a":"123456"}"#), Err(ClaimsFault::StringTooLong { bytes: 6, limit: 5 }));
        assert_eq!(parse(&" ".repeat(65)), Err(ClaimsFault::TooLarge { bytes: 65, limit: 64 }));
    }

    #[test]
    fn a_deep_document_is_refused_without_harm() {
        let text = "[".repeat(8000);
        assert_eq!(parse(&text), Err(ClaimsFault::TooDeep { limit: 16 }));
        let text = r#"{"a":"#.repeat(3000);
        assert_eq!(parse(&text), Err(ClaimsFault::TooDeep { limit: 16 }));
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "{",
            "{}{}",
            "{} x",
            "{'a':1}",
            r#"{"a":1,}"#,
            r#"{"a":NaN}"#,
            r#"{"a":1e999}"#,
            r#"{"a":01}"#,
            r#"{"a":"\ud800"}"#,
            "{\"a\":\"\n\"}",
            "\u{feff}{}",
            r#"{a:1}"#,
            "nul",
        ] {
            assert!(matches!(parse(text), Err(ClaimsFault::NotJson { .. })), "{text:?}: {:?}", parse(text));
        }
        assert!(matches!(
            parse_strict(b"{\"a\":\"\xff\"}", &StrictLimits::TOKEN),
            Err(ClaimsFault::NotJson { .. })
        ));
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1.0e15..1.0e15f64).prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::hash_map(".{0,6}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn without_duplicates_it_reads_what_serde_json_reads(value in json()) {
            let text = value.to_string();
            let plain: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(parse(&text), Ok(plain));
        }

        #[test]
        fn a_duplicate_anywhere_is_refused(value in json(), name in "[a-z]{1,6}", wraps in 0usize..6) {
            let mut text = format!(r#"{{"{name}":{value},"{name}":null}}"#);
            for _ in 0..wraps {
                text = format!(r#"[1,{{"wrap":{text}}}]"#);
            }
            prop_assert!(parse(&text).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_strict(&bytes, &StrictLimits::TOKEN);
        }
    }
}
