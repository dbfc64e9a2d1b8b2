//! Keys, as a terminal sends them (ECMA-48, and what xterm makes of it).

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A character.
    Char(char),
    Enter,
    Backspace,
    Escape,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Ctrl-C or Ctrl-D.
    Interrupt,
}

/// Makes keys of bytes, in whatever parts they come.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The beginning of a character whose end has not come yet.
    rest: Vec<u8>,
}

impl Keys {
    /// The keys in what was read. An escape that ends it was the key of that name.
    pub(super) fn take(&mut self, read: &[u8]) -> Vec<Key> {
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(read);
        let mut keys = Vec::new();
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            let Some((key, length)) = first(left) else {
                self.rest = left.to_vec();
                break;
            };
            keys.extend(key);
            left = left.get(length..).unwrap_or_default();
        }
        keys
    }
}

/// The first key, if it means something, and how many bytes it takes; nothing where it is not whole yet.
fn first(bytes: &[u8]) -> Option<(Option<Key>, usize)> {
    Some(match bytes {
        [0x1b, b'[' | b'O', rest @ ..] => {
            let parameters = rest.iter().take_while(|byte| matches!(byte, b'0'..=b'?' | b' '..=b'/')).count();
            let (given, end) = rest.split_at_checked(parameters)?;
            let key = match (end.first(), given) {
                (Some(b'A'), _) => Some(Key::Up),
                (Some(b'B'), _) => Some(Key::Down),
                (Some(b'H'), _) | (Some(b'~'), b"1" | b"7") => Some(Key::Home),
                (Some(b'F'), _) | (Some(b'~'), b"4" | b"8") => Some(Key::End),
                (Some(b'~'), b"5") => Some(Key::PageUp),
                (Some(b'~'), b"6") => Some(Key::PageDown),
                _ => None,
            };
            (key, 2 + parameters + usize::from(!end.is_empty()))
        }
        [0x1b, ..] => (Some(Key::Escape), 1),
        [0x03 | 0x04, ..] => (Some(Key::Interrupt), 1),
        [b'\r' | b'\n', ..] => (Some(Key::Enter), 1),
        [0x08 | 0x7f, ..] => (Some(Key::Backspace), 1),
        [0..0x20, ..] => (None, 1),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => character(text)?,
            Err(error) => match bytes.get(..error.valid_up_to()).map(std::str::from_utf8) {
                Some(Ok(text)) if !text.is_empty() => character(text)?,
                // No character at all, or only the beginning of one.
                _ => (None, error.error_len()?),
            },
        },
    })
}

fn character(text: &str) -> Option<(Option<Key>, usize)> {
    text.chars().next().map(|character| (Some(Key::Char(character)), character.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(read: &[u8]) -> Vec<Key> {
        Keys::default().take(read)
    }

    #[test]
    fn keys_are_told_from_their_sequences() {
        assert_eq!(
            keys(b"q\x1b[A\x1bOB\x1b[5~\x1b[6~"),
            [Key::Char('q'), Key::Up, Key::Down, Key::PageUp, Key::PageDown]
        );
        assert_eq!(
            keys(b"\x1b[H\x1b[4~\r\x7f\x03"),
            [Key::Home, Key::End, Key::Enter, Key::Backspace, Key::Interrupt]
        );
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(
            keys(b"\x1b[1;5Cx\x1b[99~y\x01\x00"),
            [Key::Char('x'), Key::Char('y')],
            "what is not known is left out"
        );
    }

    #[test]
    fn a_character_that_comes_in_parts_is_one_key_and_nonsense_is_none() {
        let mut parts = Keys::default();
        assert_eq!(parts.take(b"\xc3"), []);
        assert_eq!(parts.take(b"\xa9a"), [Key::Char('é'), Key::Char('a')]);
        assert_eq!(keys(b"\xff\xfea"), [Key::Char('a')]);
    }

    #[test]
    fn every_byte_string_comes_to_an_end() {
        for one in 0..=255 {
            for two in 0..=255 {
                keys(&[one, two, 0x1b, b'[']);
            }
        }
    }
}
