//! The last line before the log: what looks like a secret is not written, wherever it stands in a record.
//!
//! Secrets are kept out of the log by their types. This is for what no type of ours has seen: a library's message, a
//! provider's answer in an error, the text of a panic. It looks for shapes, so it errs on the side of leaving out.
//!
//! Pure, and linear in the length of the text: each scanner goes forward only, and looks ahead either within a bound or over
//! what it then skips.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

/// What stands in the place of a secret.
pub(crate) const MARK: &str = "[redacted]";

/// The fewest characters of a text in base64url that begins like a JSON object and is taken for part of a token.
const LEAST_PART: usize = 16;
/// The same where another part follows after a dot.
const LEAST_DOTTED: usize = 8;
/// The fewest characters of random text that are taken for a secret without anything that says so.
const LEAST_OPAQUE: usize = 40;
/// The fewest characters of a value that is taken for a secret because of its name.
const LEAST_NAMED: usize = 6;
/// The same where the name is also used for what is no secret.
const LEAST_VAGUE: usize = 16;
/// The longest word that is taken for one.
const LONGEST_WORD: usize = 20;

/// Endings of names whose values are secret.
const SECRET_NAMES: [&[u8]; 13] = [
    b"token",
    b"secret",
    b"password",
    b"passwd",
    b"passphrase",
    b"authorization",
    b"cookie",
    b"assertion",
    b"verifier",
    b"api_key",
    b"api-key",
    b"apikey",
    b"device_code",
];
/// Names whose values are secret if they are long and random.
const VAGUE_NAMES: [&[u8]; 3] = [b"code", b"state", b"nonce"];
/// Words before credentials in an `Authorization` header (RFC 6750, 7617, 9449).
const SCHEMES: [&[u8]; 3] = [b"bearer", b"basic", b"dpop"];

/// The text without what looks like a secret.
pub(crate) fn redact(text: &[u8]) -> Cow<'_, [u8]> {
    let mut found = Vec::new();
    pem(text, &mut found);
    tokens(text, &mut found);
    opaque(text, &mut found);
    named(text, &mut found);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|range| range.start);
    let mut clean = Vec::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        if range.start >= at {
            clean.extend_from_slice(part(text, at..range.start));
            clean.extend_from_slice(MARK.as_bytes());
        }
        at = at.max(range.end);
    }
    clean.extend_from_slice(part(text, at..text.len()));
    Cow::Owned(clean)
}

/// Blocks between `-----BEGIN …` and `-----END …-----` (RFC 7468). One without an end goes to the end of its field.
fn pem(text: &[u8], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while let Some(begin) = memmem::find(part(text, at..text.len()), b"-----BEGIN ").map(|begin| at + begin) {
        let rest = part(text, begin..text.len());
        let end = memmem::find(rest, b"-----END ").map(|end| {
            let after = end + b"-----END ".len();
            memmem::find(part(rest, after..rest.len()), b"-----").map_or(rest.len(), |end| after + end + 5)
        });
        let end = end.or_else(|| memchr::memchr(b'"', rest)).unwrap_or(rest.len());
        found.push(begin..begin + end);
        at = begin + end;
    }
}

/// JSON Web Tokens and their parts: base64url of something that begins like a JSON object, and what follows after dots.
fn tokens(text: &[u8], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while let Some(run) = next_run(text, at, is_base64url) {
        at = run.end;
        let begins = |start: &usize| begins_object(part(text, *start..run.end));
        let Some(start) = run.clone().find(begins) else { continue };
        let mut end = run.end;
        while text.get(end) == Some(&b'.') && text.get(end + 1).is_some_and(|byte| is_base64url(*byte)) {
            end = next_run(text, end + 1, is_base64url).map_or(end, |run| run.end);
        }
        let least = if end > run.end { LEAST_DOTTED } else { LEAST_PART };
        if run.end - start >= least {
            found.push(start..end);
        }
        at = end;
    }
}

/// Whether base64url text is that of a JSON object with a member: `{"`, perhaps with white space in between.
fn begins_object(text: &[u8]) -> bool {
    if !matches!(text, [b'e', b'w' | b'y', ..]) || text.len() < LEAST_DOTTED {
        return false;
    }
    let mut bytes = [0; 6];
    for (place, four) in text.chunks_exact(4).take(2).enumerate() {
        let bits = four.iter().fold(0_u32, |bits, character| bits << 6 | u32::from(six_bits(*character)));
        let [_, three @ ..] = bits.to_be_bytes();
        if let Some(place) = bytes.get_mut(place * 3..place * 3 + 3) {
            place.copy_from_slice(&three);
        }
    }
    let [b'{', rest @ ..] = bytes else { return false };
    let rest = rest.trim_ascii_start();
    rest.first() == Some(&b'"') && rest.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

fn six_bits(character: u8) -> u8 {
    match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        _ => 63,
    }
}

/// Long runs of base64 that look random, and age's secret keys. Digests are in lower case only, and names of files change
/// rarely between capitals, small letters and digits.
fn opaque(text: &[u8], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while let Some(run) = next_run(text, at, |byte| is_base64url(byte) || matches!(byte, b'+' | b'/')) {
        at = run.end;
        let characters = part(text, run.clone());
        if let Some(start) = memmem::find(characters, b"AGE-SECRET-KEY-") {
            found.push(run.start + start..run.end);
        } else if characters.len() >= LEAST_OPAQUE && looks_random(characters) {
            found.push(run);
        }
    }
}

fn looks_random(text: &[u8]) -> bool {
    let (mut seen, mut changes, mut last) = ([false; 3], 0, None);
    for class in text.iter().filter_map(|character| class(*character)) {
        if let Some(seen) = seen.get_mut(class) {
            *seen = true;
        }
        changes += usize::from(last.is_some_and(|last| last != class));
        last = Some(class);
    }
    seen == [true; 3] && changes * 3 >= text.len()
}

fn class(character: u8) -> Option<usize> {
    match character {
        b'a'..=b'z' => Some(0),
        b'A'..=b'Z' => Some(1),
        b'0'..=b'9' => Some(2),
        _ => None,
    }
}

/// Values of members that are secret by their name, and what follows after the name of an authentication scheme.
fn named(text: &[u8], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while let Some(run) = next_run(text, at, is_base64url) {
        at = run.end;
        let name = part(text, run.clone());
        let is = |known: &&[u8]| name.eq_ignore_ascii_case(known);
        let value = if SCHEMES.iter().any(is) {
            let from = Some(after_blanks(text, run.end)).filter(|from| *from > run.end);
            from.map(|from| value(text, from)).filter(|value| !is_plain(part(text, value.clone())))
        } else if is_secret(name) {
            after_sign(text, run.end).map(|from| value(text, from)).filter(|value| {
                let written = part(text, value.clone());
                // A type's name in front of what it hides, or a scheme, which is the next name.
                let prefixes = matches!(text.get(value.end), Some(b'(' | b'<' | b'{'));
                !prefixes && written.len() >= LEAST_NAMED && !is_plain(written)
            })
        } else if VAGUE_NAMES.iter().any(is) {
            after_sign(text, run.end).map(|from| value(text, from)).filter(|value| {
                let written = part(text, value.clone());
                let has = |kind: fn(&u8) -> bool| written.iter().any(kind);
                written.len() >= LEAST_VAGUE && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
            })
        } else {
            None
        };
        if let Some(value) = value {
            // What ends it may be the name of the next.
            let last = part(text, value.clone()).iter().rev().take_while(|byte| is_base64url(**byte)).count();
            at = value.end - last;
            found.push(value);
        }
    }
}

/// Where the value of a member begins whose name has just ended: after `=` or `:`, quoted or not.
fn after_sign(text: &[u8], at: usize) -> Option<usize> {
    let sign = after_blanks(text, at);
    let from = match text.get(sign) {
        Some(b'=' | b':') => sign + 1,
        _ if part(text, sign..text.len()).starts_with(b"%3D") => sign + 3,
        _ => return None,
    };
    Some(after_blanks(text, from))
}

/// Goes over a few blanks, quotation marks and backslashes.
fn after_blanks(text: &[u8], at: usize) -> usize {
    const MOST: usize = 8;
    let rest = part(text, at..text.len());
    if rest.starts_with(b"%20") {
        return at + 3;
    }
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'\\');
    at + rest.iter().take(MOST).take_while(blank).count()
}

/// The value that begins there. At most the end of it is a name with a value of its own, so all else is looked at once.
fn value(text: &[u8], from: usize) -> Range<usize> {
    let is_value = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/%|!$*@^#?".contains(byte);
    let rest = part(text, from..text.len());
    let body = rest.iter().take_while(|byte| is_value(byte)).count();
    let after = part(rest, body..rest.len());
    let padding = after.iter().take(2).take_while(|byte| **byte == b'=').count();
    let last = rest.iter().take(body).rev().take_while(|byte| is_base64url(**byte)).count();
    let is_name = is_known(part(rest, body - last..body));
    let ends = !is_name && after.get(padding).is_none_or(|byte| !is_value(byte) && *byte != b'=');
    from..from + body + if body > 0 && ends { padding } else { 0 }
}

/// Whether what follows after this may be secret.
fn is_known(name: &[u8]) -> bool {
    let is = |known: &&[u8]| name.eq_ignore_ascii_case(known);
    SCHEMES.iter().any(is) || VAGUE_NAMES.iter().any(is) || is_secret(name)
}

/// Whether a name ends like that of a secret.
fn is_secret(name: &[u8]) -> bool {
    SECRET_NAMES.iter().any(|known| {
        let from = name.len().checked_sub(known.len());
        from.is_some_and(|from| part(name, from..name.len()).eq_ignore_ascii_case(known))
    })
}

/// Whether a value is a word of ordinary text, or its end, or nothing.
fn is_plain(value: &[u8]) -> bool {
    let (first, rest) = match value {
        [] => return true,
        [first, rest @ ..] => (first, rest),
    };
    let word = value.len() <= LONGEST_WORD
        && first.is_ascii_alphabetic()
        && rest.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_' | b'.' | b'/'));
    let acronym = value.len() <= 5 && value.iter().all(|byte| byte.is_ascii_uppercase());
    word || acronym || value.iter().all(u8::is_ascii_punctuation)
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The next run of such bytes.
fn next_run(text: &[u8], from: usize, is: impl Fn(u8) -> bool) -> Option<Range<usize>> {
    let rest = part(text, from..text.len());
    let start = rest.iter().position(|byte| is(*byte))?;
    let length = part(rest, start..rest.len()).iter().take_while(|byte| is(**byte)).count();
    Some(from + start..from + start + length)
}

fn part(text: &[u8], range: Range<usize>) -> &[u8] {
    text.get(range).unwrap_or_default()
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
