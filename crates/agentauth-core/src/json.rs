//! JSON documents that people write, read with all members of their objects, so that every fault can be told with its
//! place.

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::text::{display_safe_within, has_hidden};

/// At most this many characters of a member's name are shown.
const SHOWN: usize = 100;

/// A JSON value with all members of its objects, in order, the repeated ones too.
#[derive(Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// The value on one line, as JSON; what cannot be seen is escaped.
impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Bool(value) => write!(formatter, "{value}"),
            Self::Number(value) => write!(formatter, "{value}"),
            Self::Text(text) => quoted(text, formatter),
            Self::List(list) => {
                formatter.write_char('[')?;
                for (position, element) in list.iter().enumerate() {
                    write!(formatter, "{}{element}", if position == 0 { "" } else { ", " })?;
                }
                formatter.write_char(']')
            }
            Self::Object(members) => {
                formatter.write_char('{')?;
                for (position, (name, value)) in members.iter().enumerate() {
                    formatter.write_str(if position == 0 { "" } else { ", " })?;
                    quoted(name, formatter)?;
                    write!(formatter, ": {value}")?;
                }
                formatter.write_char('}')
            }
        }
    }
}

fn quoted(text: &str, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    formatter.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(formatter, "\\{character}")?,
            other if has_hidden(other.encode_utf8(&mut [0; 4])) => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    write!(formatter, "\\u{unit:04x}")?;
                }
            }
            other => formatter.write_char(other)?,
        }
    }
    formatter.write_char('"')
}

/// A member's name as a part of a JSON pointer (RFC 6901, section 3), fit to show.
pub(crate) fn pointer_part(name: &str) -> String {
    display_safe_within(name, SHOWN).replace('~', "~0").replace('/', "~1")
}

/// Why a member is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Its name is none of those that are known.
    Unknown,
    /// Its name stood before. Readers differ in which of the two they keep.
    Repeated,
}

/// The members with a known name, each at most once, in order, with their position. `refuse` is told position, name and
/// reason of the others.
pub(crate) fn known_members(
    object: Vec<(String, Node)>,
    known: &[&'static str],
    mut refuse: impl FnMut(usize, &str, Unread, String),
) -> Vec<(usize, &'static str, Node)> {
    let mut found: Vec<(usize, &'static str, Node)> = Vec::new();
    for (position, (name, value)) in object.into_iter().enumerate() {
        let Some(known) = known.iter().copied().find(|known| *known == name) else {
            let list = known.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
            refuse(position, &name, Unread::Unknown, format!("is not known: the members are {list}"));
            continue;
        };
        if found.iter().any(|(_, earlier, _)| *earlier == known) {
            refuse(position, &name, Unread::Repeated, "stands twice: remove one of the two".to_owned());
            continue;
        }
        found.push((position, known, value));
    }
    found
}

/// Why a text is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextFault {
    /// It has no character but spaces.
    Empty,
    /// It has more characters than are read.
    TooLong,
    /// It has a character that cannot be seen.
    Hidden,
}

/// All that keeps a text of at most `longest` characters from being shown as it is, with the reasons.
pub(crate) fn text_faults(text: &str, longest: usize) -> impl Iterator<Item = (TextFault, String)> {
    let empty = text.trim().is_empty().then(|| (TextFault::Empty, "is empty".to_owned()));
    let length = text.chars().count();
    let long = (length > longest)
        .then(|| (TextFault::TooLong, format!("has {length} characters: at most {longest} are read")));
    let hidden = has_hidden(text).then(|| {
        let shown = display_safe_within(text, 80);
        (TextFault::Hidden, format!("contains a character that cannot be seen: `{shown}`"))
    });
    [empty, long, hidden].into_iter().flatten()
}

/// A way into a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The value at its end.
    Value,
    /// The name of the member at its end.
    Name,
}

/// Where in `text` the way `steps` leads to: of each object and list, the number of the member or element. `text` is
/// JSON; of any other text the outcome means nothing.
pub(crate) fn locate(text: &str, steps: &[usize], target: Target) -> Range<usize> {
    let bytes = text.as_bytes();
    let mut at = after_space(bytes, 0);
    for (depth, step) in steps.iter().enumerate() {
        let object = bytes.get(at) == Some(&b'{');
        at += 1;
        for number in 0..=*step {
            at = after_space(bytes, at);
            if object {
                let name = at..after_text(bytes, at);
                if number == *step && depth + 1 == steps.len() && target == Target::Name {
                    return name;
                }
                at = after_space(bytes, name.end);
            }
            if number < *step {
                at = after_value(bytes, at);
            }
        }
    }
    at..after_value(bytes, at)
}

/// Behind all that stands between two values.
fn after_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b':')) {
        at += 1;
    }
    at
}

/// Behind the text whose opening quotation mark stands at `at`.
fn after_text(bytes: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(byte) = bytes.get(at) {
        at += if *byte == b'\\' { 2 } else { 1 };
        if *byte == b'"' {
            break;
        }
    }
    at.min(bytes.len())
}

/// Behind the value that begins at `at`.
fn after_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    loop {
        match bytes.get(at) {
            None => return at,
            Some(b'"') => at = after_text(bytes, at),
            Some(b'{' | b'[') => {
                depth += 1;
                at += 1;
            }
            Some(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            Some(_) => {
                let in_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                let word = bytes.get(at..).unwrap_or_default().iter().take_while(|byte| in_word(byte));
                at += word.count().max(1);
            }
        }
        if depth == 0 {
            return at;
        }
        at = after_space(bytes, at);
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    #[allow(clippy::cast_precision_loss, reason = "a number that is rounded is none that is known here")]
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "a number that is rounded is none that is known here")]
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Node::List(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_whatever_writing() {
        let text =
            "  {\"a\" : [1, \"x\\\"}]\", {\"b\":{ }, \"b\" :-1.5e+3 } ],\n\"\\u007d,\":[ ],\"c\":null}";
        let value = |steps: &[usize]| &text[locate(text, steps, Target::Value)];
        assert_eq!(value(&[]), text.trim());
        assert_eq!(value(&[0, 0]), "1");
        assert_eq!(value(&[0, 1]), "\"x\\\"}]\"");
        assert_eq!(value(&[0, 2, 0]), "{ }");
        assert_eq!(value(&[0, 2, 1]), "-1.5e+3");
        assert_eq!(value(&[1]), "[ ]");
        assert_eq!(value(&[2]), "null");
        assert_eq!(&text[locate(text, &[0, 2, 1], Target::Name)], "\"b\"");
        assert_eq!(&text[locate(text, &[1], Target::Name)], "\"\\u007d,\"");
    }

    #[test]
    fn whatever_the_text_nothing_breaks() {
        for text in ["", "{", "[", "\"", "{\"a", "[1,", "}", ",", "{\"a\":}", "\\", "ä"] {
            for steps in [&[][..], &[0], &[3], &[1, 1]] {
                let _ = (locate(text, steps, Target::Value), locate(text, steps, Target::Name));
            }
        }
    }

    #[test]
    fn a_value_is_written_on_one_line_without_anything_hidden() {
        let text = "{\"a\\n\\u202e\": [true, null, 1.5, 15], \"\\u2028\\\"\\\\\": \"ä\\ud83d\\ude00\\udb40\\udc41\"}";
        let node: Node = serde_json::from_str(text).unwrap();
        assert_eq!(
            node.to_string(),
            "{\"a\\u000a\\u202e\": [true, null, 1.5, 15], \"\\u2028\\\"\\\\\": \"ä😀\\udb40\\udc41\"}"
        );
        let again: serde_json::Value = serde_json::from_str(&node.to_string()).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }
}
