//! A configuration file as text: each key with its value and the line it stands on.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::fault::ConfigFault;
use super::value::Value;

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The administrator's file, which nothing overrides.
    Admin {
        /// The file.
        path: PathBuf,
        /// The line, from 1; absent for the file as a whole.
        line: Option<usize>,
    },
    /// What the person applied, whatever the files say by now.
    Applied,
    /// Built in.
    Default,
    /// An environment variable.
    Environment {
        /// Its name.
        name: String,
    },
    /// The user's file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1; absent for the file as a whole.
        line: Option<usize>,
    },
    /// A command-line flag.
    Flag {
        /// As it was typed.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admin { path, line } | Self::File { path, line } => {
                write!(f, "{}", path.display())?;
                line.map_or(Ok(()), |line| write!(f, ":{line}"))
            }
            Self::Applied => f.write_str("as applied"),
            Self::Default => f.write_str("default"),
            Self::Environment { name } => write!(f, "environment variable {name}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// A key of a file, with its section, and what it is set to.
#[derive(Debug)]
pub(super) struct Entry {
    /// `section.key`, or `key` at the top.
    pub(super) key: String,
    pub(super) value: Value,
    /// From 1.
    pub(super) line: usize,
}

/// The entries of a file; every syntax error instead, if there is any.
pub(super) fn entries(
    text: &str,
    origin: impl Fn(Option<usize>) -> Origin,
) -> Result<Vec<Entry>, Vec<ConfigFault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(errors
            .into_iter()
            .map(|error| ConfigFault {
                origin: origin(error.span().map(|span| line_of(text, span.start))),
                key: None,
                what: format!("is not TOML: {}", error.message().replace('\n', ", ")),
                remedy: "correct the line".to_owned(),
            })
            .collect());
    }
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let line = line_of(text, key.span().start);
        match value.get_ref() {
            DeValue::Table(section) => add_section(&mut entries, text, key.get_ref(), section),
            other => entries.push(Entry { key: key.get_ref().to_string(), value: plain(other), line }),
        }
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// What stands in a section and in those below it.
fn add_section(entries: &mut Vec<Entry>, text: &str, section: &str, table: &DeTable<'_>) {
    for (key, value) in table {
        let name = format!("{section}.{}", key.get_ref());
        match value.get_ref() {
            // The parser bounds the depth.
            DeValue::Table(below) => add_section(entries, text, &name, below),
            other => {
                let line = line_of(text, key.span().start);
                entries.push(Entry { key: name, value: plain(other), line });
            }
        }
    }
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(switch) => Value::Switch(*switch),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("an integer out of range"), Value::Integer),
        DeValue::Array(items) => Value::List(items.iter().map(|item| plain(item.get_ref())).collect()),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => Value::Other(value.type_str()),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The origin of entries in the user's file.
pub(super) fn user(path: &Path) -> impl Fn(Option<usize>) -> Origin + use<> {
    let path = path.to_owned();
    move |line| Origin::File { path: path.clone(), line }
}

/// The origin of entries in the administrator's file.
pub(super) fn admin(path: &Path) -> impl Fn(Option<usize>) -> Origin + use<> {
    let path = path.to_owned();
    move |line| Origin::Admin { path: path.clone(), line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_know_their_lines() {
        let text = "profile = \"a\"\n\n[login]\nports = [1, 0x10,\n 3]\ntime_limit = 1.5\n[checks]\nburst = 9\n[sinks.http]\nspool = 5\n";
        let entries = entries(text, user(Path::new("/c"))).unwrap();
        let seen: Vec<_> =
            entries.iter().map(|entry| (entry.key.as_str(), entry.value.to_string(), entry.line)).collect();
        assert_eq!(
            seen,
            [
                ("profile", "\"a\"".to_owned(), 1),
                ("login.ports", "[1, 16, 3]".to_owned(), 4),
                ("login.time_limit", "a value of type float".to_owned(), 6),
                ("checks.burst", "9".to_owned(), 8),
                ("sinks.http.spool", "5".to_owned(), 10),
            ]
        );
    }

    #[test]
    fn every_syntax_error_is_reported_with_its_line() {
        let faults = entries("a = \nb = 1\nc c = 2\n", user(Path::new("/c"))).unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.origin.to_string()).collect();
        assert!(lines.contains(&"/c:1".to_owned()) && lines.contains(&"/c:3".to_owned()), "{lines:?}");
    }
}
