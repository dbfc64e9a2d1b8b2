//! Names of profiles and of the secrets kept for them.

use std::fmt;
use std::str::FromStr;

/// The longest profile or kind, in bytes.
const MAX_NAME: usize = 64;

/// The name of a profile: `[a-z0-9][a-z0-9_-]*`, at most 64 bytes. It becomes a part of file names and keychain
/// attributes, hence neither upper case (file systems that fold it) nor dots nor separators.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileName(String);

impl ProfileName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProfileName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<ProfileName, NameError> {
        check("profile", name, |byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-')
        })?;
        Ok(ProfileName(name.to_owned()))
    }
}

impl TryFrom<String> for ProfileName {
    type Error = NameError;

    fn try_from(name: String) -> Result<ProfileName, NameError> {
        name.parse()
    }
}

impl From<ProfileName> for String {
    fn from(name: ProfileName) -> String {
        name.0
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a secret is filed under: a profile, and its kind there (`refresh_token`, `dpop_key`, …).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName {
    profile: ProfileName,
    kind: String,
}

impl SecretName {
    /// The kind under which a profile's refresh token is filed.
    pub const REFRESH_TOKEN: &'static str = "refresh_token";

    /// The kind under which the logins are filed that still have to be ended at the provider.
    pub const FAREWELLS: &'static str = "farewells";

    /// The kind under which the key is filed that signs checkpoints of the record.
    pub const CHECKPOINT_KEY: &'static str = "checkpoint_key";

    /// A name from a profile and a kind (`[a-z0-9][a-z0-9_]*`, at most 64 bytes; no hyphen, so that
    /// `<profile>-<kind>` reads back in one way only).
    ///
    /// # Errors
    /// [`NameError`] if the kind has another shape.
    pub fn new(profile: ProfileName, kind: &str) -> Result<SecretName, NameError> {
        check("kind", kind, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')?;
        Ok(SecretName { profile, kind: kind.to_owned() })
    }

    /// The name of the key that signs checkpoints of `profile`'s record.
    pub fn checkpoint_key(profile: ProfileName) -> SecretName {
        SecretName { profile, kind: Self::CHECKPOINT_KEY.to_owned() }
    }

    /// The name of `profile`'s refresh token.
    pub fn refresh_token(profile: ProfileName) -> SecretName {
        SecretName { profile, kind: Self::REFRESH_TOKEN.to_owned() }
    }

    /// The name of the logins that `profile` no longer uses and that the provider has not been told of yet.
    pub fn farewells(profile: ProfileName) -> SecretName {
        SecretName { profile, kind: Self::FAREWELLS.to_owned() }
    }

    /// The profile.
    pub fn profile(&self) -> &ProfileName {
        &self.profile
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.profile, self.kind)
    }
}

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing, or more than 64 bytes.
    #[error("a {what} name has 1 to 64 characters, this one has {length}")]
    Length {
        /// `profile` or `kind`.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// A character that is not allowed.
    #[error("`{}` is no {what} name: use lower-case letters, digits and `_`, beginning with a letter or digit", name.escape_default())]
    Shape {
        /// `profile` or `kind`.
        what: &'static str,
        /// What was given.
        name: String,
    },
}

fn check(what: &'static str, name: &str, allowed: impl Fn(u8) -> bool) -> Result<(), NameError> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(NameError::Length { what, length: name.len() });
    }
    let first_fits =
        name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if first_fits && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(NameError::Shape { what, name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_that_are_names() {
        for name in ["dev", "prod-eu", "a", "0", "with_underscore", &"x".repeat(64)] {
            assert_eq!(name.parse::<ProfileName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn profiles_that_are_not() {
        for name in
            ["", "Dev", "-dev", "_dev", "../dev", "a/b", "a.b", "a b", "a\0b", "dév", &"x".repeat(65), "a\nb"]
        {
            assert!(name.parse::<ProfileName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_kind_has_no_hyphen_so_that_file_names_are_unambiguous() {
        let profile: ProfileName = "dev".parse().unwrap();
        assert!(SecretName::new(profile.clone(), "refresh-token").is_err());
        assert!(SecretName::new(profile.clone(), "").is_err());
        assert_eq!(SecretName::new(profile, "dpop_key").unwrap().to_string(), "dev/dpop_key");
    }

    #[test]
    fn a_bad_name_is_shown_escaped() {
        let error = "a\u{1b}[2J".parse::<ProfileName>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}
