//! Text that other people wrote (provider errors, names, redirect parameters), made fit to be shown.
//!
//! Such text is hostile: it is capped in length, control and bidirectional characters are written as escapes,
//! and whatever looks like a token is taken out.

use agentauth_core::text::{display_safe_within, without_tokens};

/// `text` fit for a terminal, a log or a page: at most `cap` characters, invisible and direction-changing
/// characters as `\u{..}`, JWT-like words replaced. HTML is not escaped here; the page does that.
pub(crate) fn shown(text: &str, cap: usize) -> String {
    // Twice the cap is enough to fill it even if much is redacted; the rest is never looked at.
    let head: String = text.chars().take(cap.saturating_mul(2)).collect();
    display_safe_within(&without_tokens(&head), cap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_written_out() {
        assert_eq!(shown("a\u{202e}b\u{0}c\r\n", 50), "a\\u{202e}b\\u{0}c\\u{d}\\u{a}");
        assert_eq!(shown("Jürgen 金", 50), "Jürgen 金");
    }

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(shown(&"x".repeat(20), 5), "xxxxx…");
        assert_eq!(shown("xxxxx", 5), "xxxxx");
    }

    #[test]
    fn tokens_are_taken_out() {
        let text = "token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJVMSJ9.c2ln is bad, eyJ is not one";
        assert_eq!(shown(text, 200), "token [redacted] is bad, eyJ is not one");
        assert_eq!(
            shown("refresh_token=eyJhbGciOiJSUzI1NiJ9.e30.x", 200),
            "[redacted]".replace('[', "refresh_token=[")
        );
    }
}
