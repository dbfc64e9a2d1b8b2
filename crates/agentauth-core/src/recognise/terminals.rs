//! The list of terminals that count.

use std::collections::BTreeSet;

use serde::Deserialize;
use thiserror::Error;

/// The list that is used unless the administrator configures another.
pub const BUILTIN_TERMINALS: &str = include_str!("../../../../config/terminals.toml");

/// Executables that are terminals or logins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terminals {
    directories: Vec<String>,
    names: BTreeSet<String>,
    logins: BTreeSet<String>,
    paths: Vec<String>,
}

/// Why a list of terminals is not accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TerminalsFault {
    /// Not TOML, or not of the expected form.
    #[error("the list of terminals could not be read")]
    Unreadable(#[source] toml::de::Error),
    /// An entry is not an absolute, normal path (or directory).
    #[error(
        "`{entry}` in the list of terminals is not an absolute path without `.`, `..` and empty segments"
    )]
    NotAbsolute {
        /// The entry.
        entry: String,
    },
    /// A name is empty, has a slash, or is a pattern.
    #[error("`{entry}` in the list of terminals is not a plain file name")]
    NotAName {
        /// The entry.
        entry: String,
    },
    /// A pattern would match files that anybody can make.
    #[error("`{entry}` in the list of terminals begins with a pattern; name at least the first directory")]
    TooWide {
        /// The entry.
        entry: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    directories: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    logins: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
}

impl Terminals {
    /// Reads a list in the form of `config/terminals.toml`.
    ///
    /// # Errors
    /// The first entry that cannot be accepted.
    pub fn from_toml(text: &str) -> Result<Self, TerminalsFault> {
        let document: Document = toml::from_str(text).map_err(TerminalsFault::Unreadable)?;
        for entry in document.directories.iter().chain(&document.paths) {
            let segments = entry.strip_prefix('/').map(|rest| rest.split('/'));
            let normal = |segment: &str| {
                !matches!(segment, "" | "." | "..") && (segment == "*" || !segment.contains('*'))
            };
            if !segments.is_some_and(|mut segments| segments.all(normal)) {
                return Err(TerminalsFault::NotAbsolute { entry: entry.clone() });
            }
            if entry.starts_with("/*") {
                return Err(TerminalsFault::TooWide { entry: entry.clone() });
            }
        }
        for entry in document.names.iter().chain(&document.logins) {
            if matches!(entry.as_str(), "" | "." | "..") || entry.contains(['/', '*']) {
                return Err(TerminalsFault::NotAName { entry: entry.clone() });
            }
        }
        Ok(Self {
            directories: document.directories,
            names: document.names.into_iter().collect(),
            logins: document.logins.into_iter().collect(),
            paths: document.paths,
        })
    }

    /// The list that comes with the program. Should it be unreadable, which a test excludes, nothing is a terminal.
    pub fn builtin() -> Self {
        Self::from_toml(BUILTIN_TERMINALS).unwrap_or_default()
    }

    /// Whether the program at this path logs people in, so that it counts only where root runs it.
    pub fn logs_in(&self, path: &str) -> bool {
        path.rsplit('/').next().is_some_and(|name| self.logins.contains(name))
    }

    /// Whether the executable at this path, as the kernel shows it, is on the list.
    pub fn contains(&self, path: &str) -> bool {
        if self.paths.iter().any(|listed| matches(listed, path)) {
            return true;
        }
        path.rsplit_once('/').is_some_and(|(directory, name)| {
            (self.names.contains(name) || self.logins.contains(name))
                && self.directories.iter().any(|listed| matches(listed, directory))
        })
    }
}

/// Segment by segment; `*` stands for one whole segment.
fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut seen) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), seen.next()) {
            (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() && segment != "." && segment != ".." => {}
            (Some(left), Some(right)) if left == right => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_list_reads_and_knows_the_usual_ones() {
        let terminals = Terminals::from_toml(BUILTIN_TERMINALS).unwrap();
        assert_eq!(terminals, Terminals::builtin());
        for path in [
            "/usr/libexec/gnome-terminal-server",
            "/usr/lib/gnome-terminal/gnome-terminal-server",
            "/usr/bin/konsole",
            "/usr/bin/xterm",
            "/usr/sbin/sshd",
            "/usr/lib/openssh/sshd-session",
            "/usr/libexec/openssh/sshd-session",
            "/bin/login",
            "/nix/store/0c3a-foot-1.16.2/bin/foot",
        ] {
            assert!(terminals.contains(path), "{path}");
        }
        for path in [
            "/home/ada/bin/xterm",
            "/tmp/xterm",
            "xterm",
            "/usr/bin/xterm (deleted)",
            "/usr/bin/python3",
            "/usr/bin/tmux",
            "/usr/bin/screen",
            "/usr/share/code/code",
            "/usr/local/bin/xterm",
            "/usr/lib/a/b/xterm",
            "/nix/store/x/y/bin/foot",
            "/nix/store/../bin/foot",
            "/usr/bin/",
            "",
        ] {
            assert!(!terminals.contains(path), "{path}");
        }
        assert!(terminals.logs_in("/usr/sbin/sshd") && !terminals.logs_in("/usr/bin/xterm"));
    }

    #[test]
    fn entries_that_would_match_too_much_are_refused() {
        for text in [
            r#"directories = ["usr/bin"]"#,
            r#"directories = ["/usr/../home"]"#,
            r#"directories = ["/usr/bin/"]"#,
            r#"directories = ["/*/bin"]"#,
            r#"directories = ["/usr/b*"]"#,
            r#"paths = ["/"]"#,
            r#"paths = ["/opt//x"]"#,
            r#"names = ["a/b"]"#,
            r#"names = [""]"#,
            r#"names = ["*"]"#,
            r#"terminals = []"#,
            "names = 1",
        ] {
            assert!(Terminals::from_toml(text).is_err(), "{text}");
        }
        let own = Terminals::from_toml(r#"paths = ["/opt/term/*/bin/term"]"#).unwrap();
        assert!(own.contains("/opt/term/2.1/bin/term"));
        assert!(!own.contains("/opt/term/2.1/x/bin/term"));
    }
}
