//! Text made harmless for formats that know no escapes of their own for it.

use crate::json::acts;

/// Appends `character` as it is, or as `\uXXXX` where it would act on a terminal or deceive the eye. `backslash` is how
/// the format writes one backslash.
pub(super) fn push_harmless(out: &mut String, character: char, backslash: &str) {
    use std::fmt::Write as _;
    if character.is_control() || acts(character) {
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            // Writing to a `String` does not fail.
            let _ = write!(out, "{backslash}u{unit:04x}");
        }
    } else {
        out.push(character);
    }
}

/// `text` cut at a character so that it has at most `limit` bytes, with a mark where something is missing.
pub(super) fn capped(text: &str, limit: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= limit {
        return text.into();
    }
    let (kept, _) = text.split_at(text.floor_char_boundary(limit.saturating_sub('…'.len_utf8())));
    format!("{kept}…").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_and_what_is_seen_stays() {
        let harmless = |text: &str| {
            let mut out = String::new();
            text.chars().for_each(|character| push_harmless(&mut out, character, "\\"));
            out
        };
        assert_eq!(harmless("a\u{1b}[2J\n\u{202e}漢\u{e0041}"), "a\\u001b[2J\\u000a\\u202e漢\\udb40\\udc41");
    }

    #[test]
    fn a_cut_is_within_its_limit_and_at_a_character() {
        assert_eq!(capped("short", 5), "short");
        for limit in 3..12 {
            let cut = capped("ääääääääää", limit);
            assert!(cut.len() <= limit && cut.ends_with('…'), "{cut}");
        }
    }
}
