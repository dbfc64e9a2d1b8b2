//! Where in a token's claims a fact stands, for providers that put it where they like: a path through objects, written
//! with dots or, for names that contain dots, as a JSON pointer (RFC 6901).

use std::fmt;
use std::str::FromStr;

use serde_json::Value;
use thiserror::Error;

use super::Claims;
use super::refusal::shown;

/// The longest text that is read as a place.
const MAX_PLACE_BYTES: usize = 512;
/// The most names on the way.
const MAX_NAMES: usize = 8;

/// A path to a claim: `realm_access.roles`, or `/https:~1~1example.com~1roles` for a name with dots or slashes in it
/// (`~1` is a slash, `~0` a tilde). The way leads through objects only, never into a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPlace {
    names: Vec<String>,
}

/// Why a text names no place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlaceFault {
    /// Nothing, or nothing between two separators.
    #[error("`{0}` has an empty name in it; write a path such as `realm_access.roles`")]
    EmptyName(String),
    /// Longer or deeper than any claim.
    #[error(
        "`{0}` is no path to a claim: it has more than {MAX_NAMES} names or {MAX_PLACE_BYTES} characters, or control \
         characters"
    )]
    OutOfBounds(String),
    /// Looks like one name that is a URL, but would be split at its dots.
    #[error(
        "`{text}` looks like one name that is a URL; write it as `{pointer}`, so that its dots do not split it"
    )]
    Url {
        /// The text, shown safely.
        text: String,
        /// How to write it.
        pointer: String,
    },
    /// A tilde that is neither `~0` nor `~1`.
    #[error("`{0}` has a `~` that is neither `~0` (a tilde) nor `~1` (a slash)")]
    Escape(String),
}

impl ClaimPlace {
    /// The place behind these names, outermost first.
    pub fn of_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self { names: names.into_iter().map(str::to_owned).collect() }
    }

    /// What stands there; nothing where any name on the way is missing or leads into something that is no object.
    pub fn look_up<'c>(&self, claims: &'c Claims) -> Option<&'c Value> {
        let (first, rest) = self.names.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
    }

    fn pointer(&self) -> String {
        self.names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
    }
}

impl FromStr for ClaimPlace {
    type Err = PlaceFault;

    fn from_str(text: &str) -> Result<Self, PlaceFault> {
        let names: Vec<String> = match text.strip_prefix('/') {
            Some(pointer) => pointer
                .split('/')
                .map(|name| unescaped(name).ok_or_else(|| PlaceFault::Escape(shown(text))))
                .collect::<Result<_, _>>()?,
            None if text.contains('/') => {
                let pointer = Self::of_names([text]).pointer();
                return Err(PlaceFault::Url { text: shown(text), pointer: shown(&pointer) });
            }
            None => text.split('.').map(str::to_owned).collect(),
        };
        if names.iter().any(String::is_empty) {
            return Err(PlaceFault::EmptyName(shown(text)));
        }
        if names.len() > MAX_NAMES || text.len() > MAX_PLACE_BYTES || text.chars().any(char::is_control) {
            return Err(PlaceFault::OutOfBounds(shown(text)));
        }
        Ok(Self { names })
    }
}

impl fmt::Display for ClaimPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.iter().any(|name| name.contains(['.', '/'])) {
            f.write_str(&self.pointer())
        } else {
            f.write_str(&self.names.join("."))
        }
    }
}

/// A pointer's name without its escapes (RFC 6901 section 4).
fn unescaped(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn claims() -> Claims {
        let text = json!({
            "roles": ["a"],
            "realm_access": {"roles": ["b"], "list": [{"roles": ["x"]}]},
            "https://acme.example/roles": ["c"],
            "urn:zitadel:iam:org:project:roles": {"d": {}},
            "a.b": {"c~/d": ["e"]},
        });
        Claims::parse(text.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_path_leads_through_objects_to_one_value() {
        let claims = claims();
        for (place, found) in [
            ("roles", Some(json!(["a"]))),
            ("realm_access.roles", Some(json!(["b"]))),
            ("/realm_access/roles", Some(json!(["b"]))),
            ("/https:~1~1acme.example~1roles", Some(json!(["c"]))),
            ("urn:zitadel:iam:org:project:roles", Some(json!({"d": {}}))),
            ("/a.b/c~0~1d", Some(json!(["e"]))),
            ("Roles", None),
            ("roles.0", None),
            ("realm_access.list.0.roles", None),
            ("realm_access.list.roles", None),
            ("realm_access.other.roles", None),
            ("a.b", None),
        ] {
            let read: ClaimPlace = place.parse().unwrap();
            assert_eq!(read.look_up(&claims), found.as_ref(), "{place}");
            assert_eq!(read.to_string().parse::<ClaimPlace>().unwrap(), read, "{place}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_a_way_to_write_it() {
        for bad in [
            "",
            ".",
            "a..b",
            "/",
            "/a//b",
            "a.",
            "/a~2b",
            "/a~",
            "a.b.c.d.e.f.g.h.i",
            "a\u{7}",
            &"x".repeat(600),
        ] {
            assert!(bad.parse::<ClaimPlace>().is_err(), "{bad:?}");
        }
        let Err(PlaceFault::Url { pointer, .. }) = "https://acme.example/roles".parse::<ClaimPlace>() else {
            panic!("a url must not be split");
        };
        assert_eq!(pointer, "/https:~1~1acme.example~1roles");
        let place: ClaimPlace = pointer.parse().unwrap();
        assert_eq!(place.look_up(&claims()), Some(&json!(["c"])));
    }

    proptest! {
        #[test]
        fn any_names_survive_being_written(names in prop::collection::vec("[a-z~/.:]{1,8}", 1..5)) {
            let place = ClaimPlace::of_names(names.iter().map(String::as_str));
            prop_assert_eq!(place.to_string().parse::<ClaimPlace>().unwrap(), place);
        }
    }
}
