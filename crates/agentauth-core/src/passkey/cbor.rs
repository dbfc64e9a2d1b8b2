//! CBOR as authenticators write it (CTAP2 section 6, canonical form): definite lengths in their shortest form, no member
//! twice, little nesting. Everything else is refused.

use super::PasskeyFault;

/// How deep it may nest.
const DEEPEST: u8 = 4;

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Item<'a>>),
    Map(Vec<(Item<'a>, Item<'a>)>),
    Bool(bool),
}

/// The item that `bytes` begin with, and what follows it.
pub(super) fn item(bytes: &[u8]) -> Result<(Item<'_>, &[u8]), PasskeyFault> {
    nested(bytes, DEEPEST).ok_or(PasskeyFault::Malformed("it is no CBOR of an authenticator"))
}

fn nested(bytes: &[u8], depth: u8) -> Option<(Item<'_>, &[u8])> {
    let depth = depth.checked_sub(1)?;
    let (&head, rest) = bytes.split_first()?;
    if let 0xf4 | 0xf5 = head {
        return Some((Item::Bool(head == 0xf5), rest));
    }
    let (number, mut rest) = number(head & 0x1f, rest)?;
    match head >> 5 {
        0 => Some((Item::Integer(i64::try_from(number).ok()?), rest)),
        1 => Some((Item::Integer(-1 - i64::try_from(number).ok()?), rest)),
        2 => {
            let (bytes, rest) = rest.split_at_checked(usize::try_from(number).ok()?)?;
            Some((Item::Bytes(bytes), rest))
        }
        3 => {
            let (text, rest) = rest.split_at_checked(usize::try_from(number).ok()?)?;
            Some((Item::Text(std::str::from_utf8(text).ok()?), rest))
        }
        4 => {
            let mut items = Vec::new();
            for _ in 0..number {
                let (item, after) = nested(rest, depth)?;
                items.push(item);
                rest = after;
            }
            Some((Item::Array(items), rest))
        }
        5 => {
            let mut members: Vec<(Item<'_>, Item<'_>)> = Vec::new();
            for _ in 0..number {
                let (key, after) = nested(rest, depth)?;
                if members.iter().any(|(known, _)| *known == key) {
                    return None;
                }
                let (member, after) = nested(after, depth)?;
                members.push((key, member));
                rest = after;
            }
            Some((Item::Map(members), rest))
        }
        _ => None,
    }
}

/// The number behind a head, in its shortest form.
fn number(short: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    fn wide<const N: usize>(rest: &[u8]) -> Option<(u64, &[u8])> {
        let (bytes, rest) = rest.split_first_chunk::<N>()?;
        Some((bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)), rest))
    }
    let (number, rest, least) = match short {
        0..=23 => return Some((u64::from(short), rest)),
        24 => wide::<1>(rest).map(|(number, rest)| (number, rest, 24))?,
        25 => wide::<2>(rest).map(|(number, rest)| (number, rest, 0x100))?,
        26 => wide::<4>(rest).map(|(number, rest)| (number, rest, 0x1_0000))?,
        27 => wide::<8>(rest).map(|(number, rest)| (number, rest, 0x1_0000_0000))?,
        _ => return None,
    };
    (number >= least).then_some((number, rest))
}

impl<'a> Item<'a> {
    pub(super) fn integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn items(&self) -> &[Item<'a>] {
        if let Self::Array(items) = self { items } else { &[] }
    }

    /// The member of this name or number; nothing where there is none, or it is no map.
    pub(super) fn member(&self, key: &Item<'_>) -> Option<&Item<'a>> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(known, _)| known == key).map(|(_, member)| member)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_canonical_is_refused() {
        for (bytes, why) in [
            (&[][..], "nothing"),
            (&[0x18, 0x17], "a number in a longer form"),
            (&[0x19, 0x00, 0xff], "a number in a longer form"),
            (&[0x5f, 0x41, 0x00, 0xff], "no definite length"),
            (&[0xa2, 0x01, 0x02, 0x01, 0x02], "a member twice"),
            (&[0xa1, 0x01], "a member without its value"),
            (&[0x42, 0x00], "bytes that are missing"),
            (&[0x61, 0xff], "text that is not UTF-8"),
            (&[0x81, 0x81, 0x81, 0x81, 0x00], "too deep"),
            (&[0xc0, 0x00], "a tag"),
            (&[0xf9, 0x00, 0x00], "a float"),
            (&[0xfb], "a float"),
            (&[0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a number beyond bounds"),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "an endless array"),
        ] {
            assert!(item(bytes).is_err(), "{why}: {bytes:?}");
        }
        let (read, rest) = item(&[0xa2, 0x01, 0x26, 0x61, b'a', 0x81, 0xf5, 0x07]).unwrap();
        assert_eq!(read.member(&Item::Integer(1)).and_then(Item::integer), Some(-7));
        assert_eq!(read.member(&Item::Text("a")).unwrap().items(), [Item::Bool(true)]);
        assert_eq!(rest, [0x07]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((_, rest)) = item(&bytes) {
                prop_assert!(bytes.ends_with(rest) && rest.len() < bytes.len());
            }
        }
    }
}
