//! Places in a policy file: line and column, and a mark under what is meant.

use std::ops::Range;

use crate::text::has_hidden;

/// At most this many characters of a line are shown.
const SHOWN: usize = 100;
/// At most this many of them stand before what is marked.
const BEFORE: usize = 60;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What the line says, as much of it as can be shown; safe to show.
    pub text: String,
    /// As many spaces as stand before what is meant, and `^` below all of it.
    pub mark: String,
}

/// One policy of a file, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// From its first annotation, or its first word, to its semicolon.
    pub(super) whole: Range<usize>,
    /// Its annotations: key, and where the key stands with its value.
    pub(super) annotations: Vec<(String, Range<usize>)>,
}

impl Place {
    /// The place of these bytes. What goes over several lines is marked to the end of the first.
    pub(crate) fn of(text: &str, bytes: Range<usize>) -> Self {
        let start = floor(text, bytes.start);
        let end = floor(text, bytes.end).max(start);
        let (before, after) = (text.get(..start).unwrap_or_default(), text.get(start..).unwrap_or_default());
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = after.split(['\n', '\r']).next().unwrap_or_default();
        let meant = text.get(start..end).unwrap_or_default().split(['\n', '\r']).next().unwrap_or_default();
        let lead: Vec<char> = before.get(line_start..).unwrap_or_default().chars().collect();
        let cut = lead.len().saturating_sub(BEFORE);
        let kept = lead.get(cut..).unwrap_or_default();
        let room = SHOWN - kept.len();
        let shown: String = kept.iter().copied().chain(rest.chars().take(room)).map(plain).collect();
        let marked = meant.chars().count().clamp(1, room.max(1));
        Self {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: lead.len() + 1,
            text: shown.trim_end().to_owned(),
            mark: " ".repeat(kept.len()) + &"^".repeat(marked),
        }
    }
}

/// The policies of a file, in order. Of a text that Cedar does not take the outcome means nothing.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let bytes = text.as_bytes();
    let mut statements = Vec::new();
    let mut open: Option<Statement> = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let from = at;
        at += 1;
        match byte {
            b'/' if bytes.get(at) == Some(&b'/') => {
                at += text.get(at..).and_then(|rest| rest.find('\n')).unwrap_or(bytes.len() - at);
                continue;
            }
            b'"' => at = after_string(bytes, at),
            byte if byte.is_ascii_whitespace() => continue,
            _ => {}
        }
        let statement = open.get_or_insert_with(|| Statement { whole: from..from, annotations: Vec::new() });
        statement.whole.end = at;
        match byte {
            b'@' => {
                let name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let length = bytes.get(at..).unwrap_or_default().iter().take_while(|byte| name(byte)).count();
                let key = text.get(at..at + length).unwrap_or_default().to_owned();
                at += length;
                statement.annotations.push((key, from..after_value(bytes, at)));
            }
            b';' => statements.extend(open.take()),
            _ => {}
        }
    }
    statements
}

/// Behind the closing quotation mark of the text that begins at `at`.
fn after_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\\' => 2,
            _ => 1,
        };
        if *byte == b'"' {
            break;
        }
    }
    at.min(bytes.len())
}

/// Behind the value in parentheses that stands at `at`; `at` where there is none.
fn after_value(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at) != Some(&b'(') {
        return at;
    }
    let mut next = at + 1;
    while let Some(byte) = bytes.get(next) {
        next += 1;
        match byte {
            b'"' => next = after_string(bytes, next),
            b')' => return next,
            _ => {}
        }
    }
    at
}

/// The next place at or below `at` where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A character that takes one column and cannot hide anything.
fn plain(character: char) -> char {
    let mut buffer = [0; 4];
    match character {
        '\t' => ' ',
        other if has_hidden(other.encode_utf8(&mut buffer)) => '\u{fffd}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_found_whatever_stands_in_texts_and_comments() {
        let text = "// @id(\"no\") permit;\n@id(\"a;b\") // x;\n permit(principal, action, resource)\n when { \"\\\";\" == \"@x\" };\n@y forbid(principal, action, resource);";
        let found = statements(text);
        assert_eq!(found.len(), 2);
        assert!(text[found[0].whole.clone()].starts_with("@id(\"a;b\")"));
        assert!(text[found[0].whole.clone()].ends_with("};"));
        let keys: Vec<_> = found
            .iter()
            .flat_map(|one| &one.annotations)
            .map(|(key, at)| (&**key, &text[at.clone()]))
            .collect();
        assert_eq!(keys, [("id", "@id(\"a;b\")"), ("y", "@y")]);
    }

    #[test]
    fn the_mark_stands_below_what_is_meant() {
        let text = "one\n\tpermit (x) \u{202e}y\nthree";
        let at = text.find('x').unwrap();
        let place = Place::of(text, at..at + 1);
        assert_eq!((place.line, place.column), (2, 10));
        assert_eq!(place.text, " permit (x) \u{fffd}y");
        assert_eq!(place.mark, "         ^");
        assert_eq!(Place::of(text, 0..text.len()).mark, "^^^");
        let end = Place::of(text, text.len() + 9..text.len() + 20);
        assert_eq!((end.line, end.column, &*end.mark), (3, 6, "     ^"));
    }

    #[test]
    fn of_a_long_line_the_part_is_shown_that_matters() {
        let text = format!("{}X{}", "ä".repeat(500), "b".repeat(500));
        let place = Place::of(&text, 1000..1001);
        assert_eq!((place.column, place.text.chars().count()), (501, SHOWN));
        let marked = place.mark.chars().position(|character| character == '^').unwrap();
        assert_eq!(place.text.chars().nth(marked), Some('X'));
    }

    #[test]
    fn whatever_the_text_and_the_place_nothing_breaks() {
        for text in ["", "\"", "@", "@id(", "@id(\"", "\\", "//", "ä\n", ";;;", "@id(\"x\")"] {
            let _ = statements(text);
            for start in 0..text.len() + 2 {
                for end in 0..text.len() + 2 {
                    assert!(Place::of(text, start..end).mark.ends_with('^'), "{text:?} {start} {end}");
                }
            }
        }
    }
}
