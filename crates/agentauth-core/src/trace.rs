//! The caller's trace (W3C Trace Context): a hint for correlation, never an identity.

use std::fmt;

/// A valid `traceparent` (section 3.2): the trace that a request belongs to, and the span that it was sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; not all zero.
    pub trace: TraceId,
    /// The caller's span; not all zero.
    pub span: SpanId,
    /// The caller's flags.
    pub flags: u8,
}

/// Names a trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

/// Names a span of a trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

impl TraceParent {
    /// Reads the header. Whatever does not follow the rules to the letter is ignored as a whole, as the standard demands; a
    /// version to come may say more after what is known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (version, rest) = field(text, 2)?;
        let (trace, rest) = field(rest.strip_prefix('-')?, 32)?;
        let (span, rest) = field(rest.strip_prefix('-')?, 16)?;
        let (flags, rest) = field(rest.strip_prefix('-')?, 2)?;
        let [version] = bytes(version)?;
        let more = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        let (trace, span, [flags]) = (bytes(trace)?, bytes(span)?, bytes(flags)?);
        let valid = more && version != 0xff && trace != [0; 16] && span != [0; 8];
        valid.then_some(Self { trace: TraceId(trace), span: SpanId(span), flags })
    }

    /// Whether the caller may have recorded its part of the trace.
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

/// A valid `tracestate` (section 3.3): what the tracing systems on the way want to find again, passed on as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceState(String);

impl TraceState {
    /// How many characters are passed on (section 3.3.1.5). Of a longer one the last entries, which are the oldest, are
    /// left out.
    pub const LONGEST: usize = 512;
    const MOST_ENTRIES: usize = 32;

    /// Reads the header's values, one or more. Nothing where there is no entry, or where one breaks a rule: the standard
    /// lets go of the whole then.
    #[must_use]
    pub fn parse<'t>(values: impl IntoIterator<Item = &'t str>) -> Option<Self> {
        let mut entries: Vec<(&str, &str)> = Vec::new();
        for entry in values.into_iter().flat_map(|value| value.split(',')) {
            let entry = entry.trim_matches([' ', '\t']);
            if entry.is_empty() {
                continue;
            }
            let (key, value) = entry.split_once('=')?;
            let fits = is_key(key) && is_value(value) && entries.len() < Self::MOST_ENTRIES;
            if !fits || entries.iter().any(|(known, _)| *known == key) {
                return None;
            }
            entries.push((key, value));
        }
        let mut text = String::new();
        for (key, value) in entries {
            let comma = if text.is_empty() { "" } else { "," };
            if text.len() + comma.len() + key.len() + 1 + value.len() > Self::LONGEST {
                break;
            }
            text.extend([comma, key, "=", value]);
        }
        (!text.is_empty()).then_some(Self(text))
    }

    /// As it is passed on.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_key(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 256
        && text.bytes().next().is_some_and(known)
        && text.bytes().all(|byte| known(byte) || b"_-*/@".contains(&byte))
}

fn is_value(text: &str) -> bool {
    // Blanks at its end are gone already.
    !text.is_empty()
        && text.len() <= 256
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

/// The first `length` bytes and the rest.
fn field(text: &str, length: usize) -> Option<(&str, &str)> {
    text.split_at_checked(length)
}

/// The bytes of lower-case hexadecimal digits.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut all = [0; N];
    let mut pairs = digits.as_bytes().chunks_exact(2);
    for byte in &mut all {
        let [high, low] = *pairs.next()? else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(all)
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_example_of_the_standard_is_read() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert_eq!(parent.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((parent.span.to_string().as_str(), parent.flags), ("b7ad6b7169203331", 1));
        assert!(parent.is_sampled());
        assert!(!TraceParent::parse(&GOOD.replace("-01", "-02")).unwrap().is_sampled());
        let later = format!("{}-what comes later", GOOD.replacen("00", "cc", 1));
        assert_eq!(TraceParent::parse(&later), Some(parent));
    }

    #[test]
    fn what_breaks_a_rule_is_none() {
        for bad in [
            "",
            "00",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "0é-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_state_is_passed_on_as_it_came_or_not_at_all() {
        let read = |values: &[&str]| {
            TraceState::parse(values.iter().copied())
                .map(|state| state.as_str().to_owned())
                .unwrap_or_default()
        };
        assert_eq!(
            read(&["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"]),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
        );
        assert_eq!(read(&["a=1 2 ,\t,", "", " 0t@b-*/_=~!;:\"\\ "]), "a=1 2,0t@b-*/_=~!;:\"\\");
        for bad in
            ["a", "a=", "=1", "A=1", "a=1,a=2", "a=1=2", "a b=1", "a=\u{e9}", "a=1\n", "_a=1", "\u{202e}a=1"]
        {
            assert_eq!(read(&[bad, "good=1"]), "", "{bad:?}");
        }
        assert_eq!(read(&[&format!("{}=1", "k".repeat(257))]), "");
        assert_eq!(read(&[&format!("k={}", "v".repeat(257))]), "");
        let many = |count| (0..count).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",");
        assert_eq!((read(&[&many(32)]), read(&[&many(33)])), (many(32), String::new()));
        let long = |key| format!("{key}={}", "v".repeat(250));
        let (one, other) = (long("a"), long("b"));
        assert_eq!(
            read(&[&one, &other, "c=123456", "d=1"]),
            format!("{one},{other}"),
            "the newest stand first"
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), flags: u8) {
            let parent = TraceParent { trace: TraceId(trace), span: SpanId(span), flags };
            let text = format!("00-{}-{}-{flags:02x}", parent.trace, parent.span);
            let valid = trace != [0; 16] && span != [0; 8];
            prop_assert_eq!(TraceParent::parse(&text), valid.then_some(parent));
        }

        #[test]
        fn nothing_is_too_strange(text in any::<String>()) {
            let _ = TraceParent::parse(&text);
            let _ = TraceState::parse([&*text, &text]);
        }

        #[test]
        fn a_state_that_is_passed_on_is_valid_and_short_enough(text in "([a-z0-9@*/_-]{0,9}={0,2}[ -~]{0,90}[, \t]{0,3}){0,12}") {
            if let Some(state) = TraceState::parse([&*text]) {
                prop_assert!(state.as_str().len() <= TraceState::LONGEST);
                prop_assert_eq!(TraceState::parse([state.as_str()]), Some(state));
            }
        }
    }
}
