//! What keeps a caller from being better proven: each caps its assurance at `path`, and each can be read by policies.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::display_safe_within;

/// One fact about a caller that takes from what its program proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caveat {
    /// This environment variable was set when the program was started, and changes which code it runs.
    Variable(String),
    /// The environment could not be read, or is too long.
    EnvironmentUnreadable,
    /// A debugger is attached.
    Traced,
    /// It lives in another user namespace, or that could not be read.
    OtherUserNamespace,
    /// It lives in another process namespace, or that could not be read.
    OtherProcessNamespace,
    /// It lives in another mount namespace, or that could not be read: paths may mean something else to it.
    OtherMountNamespace,
    /// A parent of the same user hides what it runs.
    HiddenAncestor,
    /// The process hides everything.
    Hidden,
    /// Its executable is gone from its path.
    Deleted,
    /// The path of its executable leads to another file.
    Replaced,
    /// An account other than the user and root may write to its executable, or put another file in its place.
    WritableByOthers,
    /// Its executable was written, or its owner or mode changed, less than two seconds before it was looked at.
    JustChanged,
    /// As [`Caveat::WritableByOthers`], of the script.
    ScriptWritableByOthers,
    /// As [`Caveat::JustChanged`], of the script.
    ScriptJustChanged,
}

/// The kinds of caveats of one caller, for policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CaveatKinds(u32);

/// What steers the loader of every program; other variables are of one interpreter.
const LOADER: [&str; 5] = ["DYLD_", "GCONV_", "GLIBC_", "LD_", "OPENSSL_"];

/// Every kind, with its word in policies, on the wire and in the record, and what it says to a person.
const KINDS: [(&str, &str); 15] = [
    ("loader_variable", ""),
    ("interpreter_variable", ""),
    ("environment_unreadable", "its environment cannot be read"),
    ("traced", "a debugger is attached to it"),
    ("other_user_namespace", "it runs in another user namespace"),
    ("other_process_namespace", "it runs in another process namespace"),
    ("other_mount_namespace", "it sees other files under the same paths"),
    ("hidden_ancestor", "a parent process hides what it runs"),
    ("hidden", "it hides what it runs"),
    ("deleted", "its file was removed while it runs"),
    ("replaced", "another file stands at its path"),
    ("writable_by_others", "other accounts can change its file"),
    ("just_changed", "its file was changed less than two seconds before it was looked at"),
    ("script_writable_by_others", "other accounts can change its script"),
    ("script_just_changed", "its script was changed less than two seconds before it was looked at"),
];

impl Caveat {
    /// Whether somebody else's code may run inside the process, or something about it is hidden on purpose. The others
    /// only take from what its file proves.
    #[must_use]
    pub fn is_tampering(&self) -> bool {
        self.kind() < Self::Deleted.kind()
    }

    /// Whether it is so of everything that the daemon's launcher starts: what cannot be seen of its sockets is covered in
    /// namespaces of its own.
    #[must_use]
    pub fn is_of_launches(&self) -> bool {
        matches!(self, Self::OtherUserNamespace | Self::OtherMountNamespace)
    }

    /// The word of its kind, in policies.
    #[must_use]
    pub fn kind_word(&self) -> &'static str {
        KINDS.get(self.kind()).map_or("", |(word, _)| word)
    }

    /// The word on the wire and in the record: a variable's own name, or the kind.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Variable(name) => name,
            other => other.kind_word(),
        }
    }

    /// The caveat in words, for a person. Safe to show.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Variable(name) => format!("`{}` is set in its environment", display_safe_within(name, 64)),
            other => KINDS.get(other.kind()).map_or_else(String::new, |(_, text)| (*text).to_owned()),
        }
    }

    fn kind(&self) -> usize {
        match self {
            Self::Variable(name) if LOADER.iter().any(|prefix| name.starts_with(prefix)) => 0,
            Self::Variable(_) => 1,
            Self::EnvironmentUnreadable => 2,
            Self::Traced => 3,
            Self::OtherUserNamespace => 4,
            Self::OtherProcessNamespace => 5,
            Self::OtherMountNamespace => 6,
            Self::HiddenAncestor => 7,
            Self::Hidden => 8,
            Self::Deleted => 9,
            Self::Replaced => 10,
            Self::WritableByOthers => 11,
            Self::JustChanged => 12,
            Self::ScriptWritableByOthers => 13,
            Self::ScriptJustChanged => 14,
        }
    }

    /// The caveat that [`Caveat::word`] stands for.
    fn of_word(word: &str) -> Self {
        [
            Self::EnvironmentUnreadable,
            Self::Traced,
            Self::OtherUserNamespace,
            Self::OtherProcessNamespace,
            Self::OtherMountNamespace,
            Self::HiddenAncestor,
            Self::Hidden,
            Self::Deleted,
            Self::Replaced,
            Self::WritableByOthers,
            Self::JustChanged,
            Self::ScriptWritableByOthers,
            Self::ScriptJustChanged,
        ]
        .into_iter()
        .find(|caveat| caveat.word() == word)
        .unwrap_or_else(|| Self::Variable(word.to_owned()))
    }
}

impl CaveatKinds {
    /// The kinds of these.
    #[must_use]
    pub fn of(caveats: &[Caveat]) -> Self {
        Self(caveats.iter().fold(0, |bits, caveat| bits | 1 << caveat.kind()))
    }

    /// Their words, in a fixed order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        KINDS.iter().enumerate().filter(move |(kind, _)| self.0 & 1 << kind != 0).map(|(_, (word, _))| *word)
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl Serialize for Caveat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Caveat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|word| Self::of_word(&word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own_and_reads_back() {
        let mut kinds = Vec::new();
        for (number, (word, text)) in KINDS.iter().enumerate().skip(2) {
            let caveat = Caveat::of_word(word);
            assert_eq!((caveat.kind(), caveat.word(), caveat.kind_word()), (number, *word, *word));
            assert_eq!(caveat.text(), *text);
            kinds.push(caveat);
        }
        let all: Vec<_> = CaveatKinds::of(&kinds).words().collect();
        assert_eq!(all, KINDS.iter().skip(2).map(|(word, _)| *word).collect::<Vec<_>>());
        assert_eq!(CaveatKinds::default().words().count(), 0);
    }

    #[test]
    fn variables_go_by_their_own_name() {
        for (name, kind) in [
            ("LD_PRELOAD", "loader_variable"),
            ("GLIBC_TUNABLES", "loader_variable"),
            ("PYTHONPATH", "interpreter_variable"),
            ("NODE_OPTIONS", "interpreter_variable"),
        ] {
            let caveat = Caveat::of_word(name);
            assert_eq!((caveat.word(), caveat.kind_word()), (name, kind));
            assert!(caveat.is_tampering() && caveat.text().contains(name));
        }
        assert!(!Caveat::Variable("LD_\u{1b}".to_owned()).text().contains('\u{1b}'));
    }

    #[test]
    fn a_file_that_proves_less_is_no_tampering() {
        for word in ["deleted", "replaced", "writable_by_others", "just_changed", "script_just_changed"] {
            assert!(!Caveat::of_word(word).is_tampering(), "{word}");
        }
        for word in ["traced", "hidden", "hidden_ancestor", "other_mount_namespace", "environment_unreadable"]
        {
            assert!(Caveat::of_word(word).is_tampering(), "{word}");
        }
    }
}
