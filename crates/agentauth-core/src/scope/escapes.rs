//! Percent escapes (RFC 3986, section 2.1) in contexts.
//!
//! A scope is compared as it is written: `/a%20b` is not `/a b`. But whoever acts on it may decode what it names, some do it
//! twice, and what comes out must not lie outside of what the scope says.

/// Whether a segment of a path, decoded however often, is more than a part of one name: a separator, `.`, `..`, a control
/// character, or bytes that broken decoders take for one of them.
pub(super) fn lead_elsewhere(segment: &str) -> bool {
    stages(segment).any(|decoded| {
        matches!(decoded.as_slice(), b"." | b"..")
            || decoded.iter().any(|byte| {
                // No UTF-8 has C0 or C1: they begin the overlong forms of ASCII.
                byte.is_ascii_control() || matches!(byte, b'/' | b'\\' | 0xc0 | 0xc1)
            })
    })
}

/// Whether a value has a segment `..`, as it stands or decoded however often.
pub(super) fn lead_up(value: &str) -> bool {
    let has_parent =
        |text: &[u8]| text.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| segment == b"..");
    has_parent(value.as_bytes()) || stages(value).any(|decoded| has_parent(&decoded))
}

/// What comes of decoding once, twice and so on, until nothing is left to decode.
fn stages(text: &str) -> impl Iterator<Item = Vec<u8>> {
    std::iter::successors(decoded(text.as_bytes()), |text| decoded(text))
}

/// The text with its escapes decoded, and whatever is no escape left alone; nothing if there is no escape.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    if !text.contains(&b'%') {
        return None;
    }
    let mut out = Vec::new();
    let mut rest = text;
    let mut any = false;
    while let [first, after @ ..] = rest {
        rest = after;
        let mut byte = *first;
        if let (b'%', [high, low, beyond @ ..]) = (byte, after)
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            byte = u8::try_from(high * 16 + low).unwrap_or_default();
            rest = beyond;
            any = true;
        }
        out.push(byte);
    }
    any.then_some(out)
}
