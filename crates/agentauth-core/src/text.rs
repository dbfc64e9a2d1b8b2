//! Hostile text made fit to show: what an agent wrote (names, purposes, hints) reaches a person only through
//! [`display_safe`], on terminal, page and notification alike.

use std::borrow::Cow;
use std::fmt::Write as _;

/// How many characters of hostile text a message shows by default.
pub const SHOWN: usize = 200;

/// `text` with every character that could hide or reorder other text shown as `\u{…}`, cut to [`SHOWN`]
/// characters (a cut is marked with `…`).
#[must_use]
pub fn display_safe(text: &str) -> String {
    display_safe_within(text, SHOWN)
}

/// As [`display_safe`], cut to `limit` characters of the original text.
#[must_use]
pub fn display_safe_within(text: &str, limit: usize) -> String {
    // As most texts are, and every decision shows some.
    if text.len() <= limit && is_plain(text) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len().min(limit));
    for (position, character) in text.chars().enumerate() {
        if position == limit {
            shown.push('…');
            break;
        }
        if is_hidden(character) {
            // Writing to a `String` does not fail.
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A text whose commands (`agentauthd login`, between backticks) are those of this profile (`agentauthd --profile dev
/// login`): whoever does what it says must not end up at another profile's login.
#[must_use]
pub fn addressed<'a>(profile: &str, text: &'a str) -> Cow<'a, str> {
    const COMMAND: &str = "`agentauthd ";
    const OPTION: &str = "--profile ";
    if !text.contains(COMMAND) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(COMMAND);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str(COMMAND);
        if !part.starts_with(OPTION) {
            // Writing to a `String` does not fail.
            let _ = write!(whole, "{OPTION}{profile} ");
        }
        whole.push_str(part);
    }
    Cow::Owned(whole)
}

/// `text` with every run of token characters that could be a JWT (they begin with `eyJ`, the base64url of `{"`) taken
/// out, for messages that repeat what others wrote.
#[must_use]
pub fn without_tokens(text: &str) -> String {
    let token_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '=' | '+');
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once('\0')) {
        if token_char(c) {
            word.push(c);
            continue;
        }
        match word.find("eyJ") {
            Some(at) if word.len() - at > 16 => {
                out.push_str(word.get(..at).unwrap_or_default());
                out.push_str("[redacted]");
            }
            _ => out.push_str(&word),
        }
        word.clear();
        out.push(c);
    }
    out.pop();
    out
}

/// Whether any character of `text` could hide or reorder other text.
#[must_use]
pub fn has_hidden(text: &str) -> bool {
    !is_plain(text) && text.chars().any(is_hidden)
}

/// Whether every character is a visible one of ASCII, or a space. Every byte is looked at, many at once, because most
/// texts are.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte))
}

/// The first word of `text` that has both Latin letters and letters of a script whose letters look like Latin ones
/// (Cyrillic, Greek, Armenian, Cherokee, Coptic, Lisu, and the forms of width and of mathematics). No language writes
/// such words; who does wants one to be taken for another. Confusables that are of one script are not found.
#[must_use]
pub fn mixed_script_word(text: &str) -> Option<&str> {
    let latin = |c: char| {
        c.is_ascii_alphabetic()
            || (c.is_alphabetic() && matches!(c, '\u{c0}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}'))
    };
    let alike = |c: char| {
        c.is_alphabetic()
            && matches!(c, '\u{250}'..='\u{2af}' | '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}' | '\u{1d00}'..='\u{1dbf}'
                | '\u{1f00}'..='\u{1fff}' | '\u{2c80}'..='\u{2cff}' | '\u{a4d0}'..='\u{a4ff}' | '\u{ff21}'..='\u{ff5a}'
                | '\u{1d400}'..='\u{1d7ff}')
    };
    text.split(|c: char| !c.is_alphanumeric()).find(|word| word.contains(latin) && word.contains(alike))
}

/// Control characters, line separators, bidirectional formatting (Unicode UAX #9), and characters that show as
/// nothing at all.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_of_any_language_passes() {
        for text in ["pay supplier invoices", "Überweisung", "支払い", "دفع"] {
            assert_eq!(display_safe(text), text);
            assert!(!has_hidden(text));
        }
    }

    #[test]
    fn what_hides_or_reorders_is_shown_escaped() {
        for (text, shown) in [
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("safe\u{202e}gpj.exe", "safe\\u{202e}gpj.exe"),
            ("line\r\nbreak", "line\\u{d}\\u{a}break"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("tag\u{e0041}", "tag\\u{e0041}"),
            ("\u{2066}isolate\u{2069}", "\\u{2066}isolate\\u{2069}"),
        ] {
            assert_eq!(display_safe(text), shown);
            assert!(has_hidden(text));
        }
    }

    #[test]
    fn words_that_look_like_tokens_are_taken_out() {
        let text = "token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJVMSJ9.c2ln is bad, eyJ is not one";
        assert_eq!(without_tokens(text), "token [redacted] is bad, eyJ is not one");
        assert_eq!(without_tokens("https://x/eyJhbGciOiJSUzI1NiJ9.e30.x"), "https://x/[redacted]");
    }

    #[test]
    fn words_of_two_scripts_are_found() {
        for text in ["Überweisung", "支払い", "Москва", "Αθήνα", "v2 Москва", "naïve café", "docs-документы"]
        {
            assert_eq!(mixed_script_word(text), None, "{text}");
        }
        assert_eq!(mixed_script_word("pay p\u{430}ypal.com"), Some("p\u{430}ypal"));
        assert_eq!(mixed_script_word("/pr\u{3bf}jects/x"), Some("pr\u{3bf}jects"));
        assert_eq!(mixed_script_word("b\u{ff41}nk"), Some("b\u{ff41}nk"));
    }

    #[test]
    fn long_text_is_cut_and_the_cut_is_marked() {
        let shown = display_safe(&"é".repeat(5000));
        assert_eq!(shown.chars().count(), SHOWN + 1);
        assert!(shown.ends_with('…'));
        assert_eq!(display_safe_within("abc", 3), "abc");
    }
}
