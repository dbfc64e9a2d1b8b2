//! A configured value before it has a type, and the bounds that give it one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use agentauth_core::SignedDuration;

/// A value as a file, a variable or a flag gives it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Switch(bool),
    /// An array.
    List(Vec<Self>),
    /// Something that no option takes, by its name in TOML.
    Other(&'static str),
}

/// How a variable or a flag, which is only text, is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As it stands.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Switch,
    /// Strings separated by spaces or commas.
    Texts,
    /// Whole numbers separated by spaces or commas.
    Integers,
}

impl Shape {
    /// Reads `text` in this shape. What does not fit stays text, and is refused by the option itself.
    pub(super) fn read(self, text: &str) -> Value {
        let items = || text.split([',', ' ', '\t']).map(str::trim).filter(|item| !item.is_empty());
        match self {
            Self::Text => Value::Text(text.to_owned()),
            Self::Integer => integer(text),
            Self::Switch => text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Switch),
            Self::Texts => Value::List(items().map(|item| Value::Text(item.to_owned())).collect()),
            Self::Integers => Value::List(items().map(integer).collect()),
        }
    }
}

fn integer(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Integer)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{}", toml::Value::String(text.clone())),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Switch(switch) => write!(f, "{switch}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                f.write_str("]")
            }
            Self::Other(kind) => write!(f, "a value of type {kind}"),
        }
    }
}

impl Value {
    /// The value that was written as this JSON; nothing for what no option takes.
    pub(super) fn of_json(json: &serde_json::Value) -> Option<Self> {
        match json {
            serde_json::Value::String(text) => Some(Self::Text(text.clone())),
            serde_json::Value::Bool(switch) => Some(Self::Switch(*switch)),
            serde_json::Value::Number(number) => number.as_i64().map(Self::Integer),
            serde_json::Value::Array(items) => {
                items.iter().map(Self::of_json).collect::<Option<_>>().map(Self::List)
            }
            serde_json::Value::Null | serde_json::Value::Object(_) => None,
        }
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Text(text) => text.as_str().into(),
            Value::Integer(number) => (*number).into(),
            Value::Switch(switch) => (*switch).into(),
            Value::List(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Other(_) => Self::Null,
        }
    }
}

/// What is wrong with a value, as the rest of a sentence that starts with the option's name.
pub(super) type Wrong = String;

/// At most this many characters in any text value.
const TEXT_LIMIT: usize = 1024;
/// At most this many items in any list.
const LIST_LIMIT: usize = 64;

/// A non-empty line of text.
pub(super) fn text(value: &Value) -> Result<String, Wrong> {
    match value {
        Value::Text(text) if text.is_empty() => Err("must not be empty".to_owned()),
        Value::Text(text) if text.chars().count() > TEXT_LIMIT => {
            Err(format!("is longer than {TEXT_LIMIT} characters"))
        }
        Value::Text(text) if text.chars().any(char::is_control) => {
            Err("contains a control character".to_owned())
        }
        Value::Text(text) => Ok(text.clone()),
        other => Err(format!("must be a string in quotes, not {other}")),
    }
}

/// What `parse` makes of a text, or nothing if the text is empty.
pub(super) fn optional<T>(
    value: &Value,
    parse: impl Fn(&Value) -> Result<T, Wrong>,
) -> Result<Option<T>, Wrong> {
    if *value == Value::Text(String::new()) { Ok(None) } else { parse(value).map(Some) }
}

/// A list of what `parse` reads, without repetition.
pub(super) fn list<T: PartialEq>(
    value: &Value,
    parse: impl Fn(&Value) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    let Value::List(items) = value else { return Err(format!("must be a list in brackets, not {value}")) };
    if items.len() > LIST_LIMIT {
        return Err(format!("has more than {LIST_LIMIT} items"));
    }
    let mut parsed = Vec::with_capacity(items.len());
    for item in items {
        let one = parse(item).map_err(|wrong| format!("has an item that {wrong}"))?;
        if parsed.contains(&one) {
            return Err(format!("names {item} twice"));
        }
        parsed.push(one);
    }
    Ok(parsed)
}

/// `true` or `false`.
pub(super) fn switch(value: &Value) -> Result<bool, Wrong> {
    match value {
        Value::Switch(switch) => Ok(*switch),
        other => Err(format!("must be true or false, not {other}")),
    }
}

/// A whole number between `least` and `most`, both included.
pub(super) fn number<T>(value: &Value, least: T, most: T) -> Result<T, Wrong>
where
    T: TryFrom<i64> + PartialOrd + fmt::Display,
{
    let wrong = || format!("must be a whole number from {least} to {most}, not {value}");
    let Value::Integer(number) = value else { return Err(wrong()) };
    let number = T::try_from(*number).map_err(|_| wrong())?;
    if number < least || number > most { Err(wrong()) } else { Ok(number) }
}

/// A duration between `least` and `most`, such as `90s`, `5m`, `1h 30m` or `14d`. A day has 24 hours.
pub(super) fn duration(
    value: &Value,
    least: SignedDuration,
    most: SignedDuration,
) -> Result<SignedDuration, Wrong> {
    let wrong = || {
        format!(
            "must be a duration from \"{least:#}\" to \"{most:#}\", such as \"90s\" or \"5m\", not {value}"
        )
    };
    let Value::Text(text) = value else { return Err(wrong()) };
    let duration = match text.strip_suffix('d').map(str::parse::<u16>) {
        Some(Ok(days)) => SignedDuration::from_hours(24 * i64::from(days)),
        _ => SignedDuration::from_str(text).map_err(|_| wrong())?,
    };
    if duration < least || duration > most { Err(wrong()) } else { Ok(duration) }
}

/// The units of sizes, largest first.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes between `least` and `most`, such as `64MiB`.
pub(super) fn size(value: &Value, least: u64, most: u64) -> Result<u64, Wrong> {
    let wrong = || {
        let (least, most) = (size_text(least), size_text(most));
        format!("must be a size from \"{least}\" to \"{most}\", such as \"512KiB\" or \"64MiB\", not {value}")
    };
    let Value::Text(text) = value else { return Err(wrong()) };
    let read = UNITS.iter().find_map(|(unit, bytes)| {
        let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(*bytes)
    });
    read.filter(|bytes| (least..=most).contains(bytes)).ok_or_else(wrong)
}

/// A size as [`size`] reads it.
pub(super) fn size_text(bytes: u64) -> String {
    let whole = UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{}KiB", bytes >> 10), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// An absolute path.
pub(super) fn path(value: &Value) -> Result<PathBuf, Wrong> {
    let path = PathBuf::from(text(value)?);
    if path.is_absolute() { Ok(path) } else { Err(format!("must be an absolute path, not {value}")) }
}

/// One of a closed set of words.
pub(super) fn choice<T: Copy>(
    value: &Value,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<T, Wrong> {
    let found = match value {
        Value::Text(text) => all.iter().copied().find(|one| word(*one) == text),
        _ => None,
    };
    found.ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|one| format!("\"{}\"", word(*one))).collect();
        format!("must be one of {}, not {value}", words.join(", "))
    })
}

/// A profile's name: it becomes part of file names and of the keychain entry.
pub(super) fn profile(value: &Value) -> Result<String, Wrong> {
    let text = text(value)?;
    let fits = agentauth_ipc::location::is_profile_name(&text);
    if fits {
        Ok(text)
    } else {
        Err(format!("must be at most 32 of a-z, 0-9, - and _, starting with a letter or digit, not {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn numbers_and_durations_are_bounded() {
        assert_eq!(number::<u16>(&Value::Integer(1024), 1024, u16::MAX), Ok(1024));
        for bad in
            [Value::Integer(80), Value::Integer(70_000), Value::Integer(-1), t("x"), Value::Switch(true)]
        {
            assert!(number::<u16>(&bad, 1024, u16::MAX).is_err(), "{bad}");
        }
        let (least, most) = (SignedDuration::from_secs(30), SignedDuration::from_mins(30));
        assert_eq!(duration(&t("5m"), least, most), Ok(SignedDuration::from_mins(5)));
        assert_eq!(duration(&t("1m 30s"), least, most), Ok(SignedDuration::from_secs(90)));
        let year = SignedDuration::from_hours(365 * 24);
        assert_eq!(duration(&t("14d"), least, year), Ok(SignedDuration::from_hours(14 * 24)));
        assert!(duration(&t("366d"), least, year).is_err() && duration(&t("-1d"), least, year).is_err());
        for bad in ["", "5", "-5m", "1s", "31m", "1 month"] {
            assert!(duration(&t(bad), least, most).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_a_unit_and_are_bounded() {
        assert_eq!(size(&t("64MiB"), 1 << 16, 1 << 30), Ok(64 << 20));
        assert_eq!(size(&t("1 GiB"), 1 << 16, 1 << 30), Ok(1 << 30));
        for bad in ["", "64", "64MB", "-1MiB", "63KiB", "2GiB", "1.5MiB", "99999999999999999999GiB"] {
            assert!(size(&t(bad), 1 << 16, 1 << 30).is_err(), "{bad}");
        }
        for text in ["64KiB", "64MiB", "3GiB", "1025MiB"] {
            assert_eq!(size_text(size(&t(text), 1, u64::MAX).unwrap()), text);
        }
    }

    #[test]
    fn names_that_become_paths_cannot_leave_them() {
        for bad in ["..", "a/b", "", "A", "-a", "_a", "a b", "ä", &"a".repeat(33)] {
            assert!(profile(&t(bad)).is_err(), "{bad}");
        }
        profile(&t("staging-2")).unwrap();
    }

    #[test]
    fn text_is_read_by_shape() {
        assert_eq!(
            Shape::Texts.read("openid, email profile"),
            Value::List(vec![t("openid"), t("email"), t("profile")])
        );
        assert_eq!(Shape::Integers.read("1 x"), Value::List(vec![Value::Integer(1), t("x")]));
        assert_eq!(Shape::Switch.read("yes"), t("yes"));
    }

    #[test]
    fn a_value_is_shown_as_toml_would_write_it() {
        for value in ["plain", "a\"b", "line\nbreak", "\u{1b}[31m"] {
            let shown = t(value).to_string();
            let read: toml::Table = format!("x = {shown}").parse().unwrap();
            assert_eq!(read["x"].as_str(), Some(value));
            assert!(!shown.contains('\u{1b}'));
        }
        assert_eq!(Value::List(vec![t("a"), Value::Integer(1)]).to_string(), r#"["a", 1]"#);
    }
}
