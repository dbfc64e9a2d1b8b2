//! JSON in which nothing acts on a terminal: what serde_json leaves as it is and a terminal or a reader's eye does
//! not (DEL, C1 controls, bidirectional and invisible characters) is escaped too.

use std::fmt;
use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use crate::Text;

/// Appends `value` to `buffer`.
pub(crate) fn append(buffer: &mut Vec<u8>, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(buffer, Harmless))
}

/// A JSON object, written member by member, as [`append`] writes: nothing is put together first. The names of members are
/// ours, and written as they are.
pub(crate) struct Object<'b> {
    buffer: &'b mut Vec<u8>,
    empty: bool,
}

impl Object<'_> {
    /// Appends an object to `buffer`.
    pub(crate) fn append(buffer: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
        buffer.push(b'{');
        members(&mut Object { buffer, empty: true });
        buffer.push(b'}');
    }

    /// More members for the object that `buffer` ends in, which has one already and is not closed.
    pub(crate) fn go_on(buffer: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
        members(&mut Object { buffer, empty: false });
    }

    /// A member.
    pub(crate) fn put(&mut self, name: &'static str, value: impl Serialize) {
        self.name(name);
        let start = self.buffer.len();
        // What is put here always has a JSON text; if not, the object is still one.
        if append(self.buffer, &value).is_err() {
            self.buffer.truncate(start);
            self.buffer.extend_from_slice(b"null");
        }
    }

    /// A member that is a text.
    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        self.name(name);
        string(self.buffer, text);
    }

    /// A member that is a text, where there is one.
    pub(crate) fn some_text<const LIMIT: usize>(
        &mut self,
        name: &'static str,
        text: &Option<Text<'_, LIMIT>>,
    ) {
        if let Some(text) = text {
            self.text(name, &text.capped());
        }
    }

    /// A list of texts, unless it is empty.
    pub(crate) fn texts(&mut self, name: &'static str, texts: &[Text<'_>]) {
        for (place, text) in texts.iter().enumerate() {
            if place == 0 {
                self.name(name);
                self.buffer.push(b'[');
            } else {
                self.buffer.push(b',');
            }
            string(self.buffer, &text.capped());
        }
        if !texts.is_empty() {
            self.buffer.push(b']');
        }
    }

    /// A member that is a text in which nothing is to be escaped.
    pub(crate) fn plain(&mut self, name: &'static str, text: fmt::Arguments<'_>) {
        self.name(name);
        self.buffer.push(b'"');
        // Writing to memory does not fail.
        _ = self.buffer.write_fmt(text);
        self.buffer.push(b'"');
    }

    /// A member, where there is a value.
    pub(crate) fn put_some(&mut self, name: &'static str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// A list, unless it is empty.
    pub(crate) fn put_list(&mut self, name: &'static str, list: &[impl Serialize]) {
        if !list.is_empty() {
            self.put(name, list);
        }
    }

    /// A member that is an object.
    pub(crate) fn object(&mut self, name: &'static str, members: impl FnOnce(&mut Object<'_>)) {
        self.name(name);
        Object::append(self.buffer, members);
    }

    /// A member that is a list of objects, one for each item.
    pub(crate) fn objects<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut members: impl FnMut(&mut Object<'_>, T),
    ) {
        self.name(name);
        self.buffer.push(b'[');
        for (place, item) in items.into_iter().enumerate() {
            if place > 0 {
                self.buffer.push(b',');
            }
            Object::append(self.buffer, |object| members(object, item));
        }
        self.buffer.push(b']');
    }

    fn name(&mut self, name: &'static str) {
        if !std::mem::take(&mut self.empty) {
            self.buffer.push(b',');
        }
        self.buffer.push(b'"');
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b"\":");
    }
}

/// A text, as [`append`] writes it. Most have nothing in them that is escaped, and are copied: every byte is looked at, many
/// at once.
fn string(buffer: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, |all, byte| all & plain(byte)) {
        buffer.push(b'"');
        buffer.extend_from_slice(text.as_bytes());
        buffer.push(b'"');
    } else {
        // Writing a text to memory does not fail.
        _ = append(buffer, &text);
    }
}

struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.is_ascii() && !fragment.as_bytes().contains(&0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        let mut utf8 = [0; 4];
        for character in fragment.chars() {
            if acts(character) {
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            } else {
                writer.write_all(character.encode_utf8(&mut utf8).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Whether a character does something else than being seen.
pub(crate) fn acts(character: char) -> bool {
    matches!(character,
        '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut buffer = Vec::new();
        append(&mut buffer, &text).unwrap();
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn harmless_text_stays_and_the_rest_is_escaped() {
        assert_eq!(json("plain \"quoted\" ünï 漢"), r#""plain \"quoted\" ünï 漢""#);
        assert_eq!(json("\u{1b}[2J\n\u{7f}"), r#""\u001b[2J\n\u007f""#);
        assert_eq!(json("a\u{202e}b\u{9b}c\u{200b}"), "\"a\\u202eb\\u009bc\\u200b\"");
        assert_eq!(json("\u{e0041}"), "\"\\udb40\\udc41\"");
    }

    #[test]
    fn an_object_is_written_member_by_member() {
        let mut buffer = Vec::new();
        Object::append(&mut buffer, |object| {
            object.put("text", "a\u{1b}");
            object.put_some("none", None::<u8>);
            object.put_list("nothing", &[] as &[u8]);
            object.object("inner", |inner| inner.put("list", [1, 2]));
            object.object("empty", |_| {});
            object.objects("all", ["x", "y"], |each, name| each.put("name", name));
            object.put("bad", std::collections::HashMap::from([((1, 2), 3)]));
        });
        assert_eq!(
            String::from_utf8(buffer).unwrap(),
            r#"{"text":"a\u001b","inner":{"list":[1,2]},"empty":{},"all":[{"name":"x"},{"name":"y"}],"bad":null}"#
        );
    }

    #[test]
    fn what_is_escaped_reads_back_as_it_was() {
        for code in 0..=0x2_0000_u32 {
            let Some(character) = char::from_u32(code) else { continue };
            let text = json(&character.to_string());
            assert_eq!(serde_json::from_str::<String>(&text).unwrap(), character.to_string());
        }
    }
}
