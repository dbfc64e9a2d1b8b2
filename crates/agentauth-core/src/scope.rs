//! Scopes: what an agent may ask for, written `resource.action:context`.
//!
//! A context is a path (`files.read:/projects/alpha`) or parameters (`sheets.write:sheetId=1234`). A scope without
//! a context covers every context. Covering is reflexive and transitive, so attenuation never widens.

mod escapes;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::{display_safe_within, has_hidden};

/// The longest text of a scope, in bytes.
pub const MAX_SCOPE_BYTES: usize = 4096;
/// The longest resource or action name, in bytes.
pub const MAX_NAME_BYTES: usize = 64;
/// The deepest path of a context, in segments.
pub const MAX_SEGMENTS: usize = 64;
/// The most parameters of a context.
pub const MAX_PAIRS: usize = 16;

/// What an agent may ask for. Its [`Display`](fmt::Display) is canonical: two scopes are equal when their texts are.
#[derive(Clone)]
pub struct Scope(Arc<Parts>);

struct Parts {
    /// The canonical text.
    text: Box<str>,
    /// Where the dot between resource and action stands.
    dot: usize,
    /// Where the action ends: the colon, or the end.
    end: usize,
    context: ScopeContext,
}

/// Where a scope holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScopeContext {
    /// Everywhere: no context was written.
    Any,
    /// At a path and below it. Normalised: starts with `/`, no empty, `.` or `..` segments, no slash at the end
    /// unless it is the root.
    Path(String),
    /// Where every parameter has this value; a value ending in `*` is a prefix.
    Pairs(BTreeMap<String, String>),
}

/// Why a text is not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeFault {
    /// Longer than [`MAX_SCOPE_BYTES`].
    #[error("the scope is {0} bytes long: at most {MAX_SCOPE_BYTES} are read")]
    TooLong(usize),
    /// A control, bidirectional or invisible character.
    #[error("the scope `{0}` contains a character that cannot be seen: remove it")]
    Hidden(String),
    /// No dot, or more than one, before the context.
    #[error(
        "`{0}` is not a scope: write `resource.action` or `resource.action:context`, for example `files.read:/projects`"
    )]
    Shape(String),
    /// A resource or action that is not `[a-z][a-z0-9_]*`.
    #[error(
        "`{0}` is not a name: use lower-case letters, digits and `_`, starting with a letter, at most {MAX_NAME_BYTES}"
    )]
    Name(String),
    /// A context that is neither a path nor parameters.
    #[error("the context `{0}` is neither a path (`/…`) nor parameters (`key=value,…`)")]
    Context(String),
    /// A path that could be read in more than one way.
    #[error("the path `{path}` cannot be used: {why}")]
    Path {
        /// The path as it was written, made safe to show.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A parameter that could be read in more than one way.
    #[error("the parameter `{pair}` cannot be used: {why}")]
    Pair {
        /// The parameter as it was written, made safe to show.
        pair: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Why a scope asks for more than most agents need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broad {
    /// Not a scope but a word or wildcard such as `admin`, `read:all` or `*`.
    Wildcard,
    /// No context: everywhere.
    NoContext,
    /// The root path: every path.
    EveryPath,
    /// Only parameters that match every value.
    EveryValue,
}

impl Scope {
    /// What is acted upon: `files` in `files.read:/projects`.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.0.text.get(..self.0.dot).unwrap_or_default()
    }

    /// What is done: `read` in `files.read:/projects`.
    #[must_use]
    pub fn action(&self) -> &str {
        self.0.text.get(self.0.dot + 1..self.0.end).unwrap_or_default()
    }

    /// Resource and action together: `files.read`, the name of the action in policies.
    #[must_use]
    pub fn action_name(&self) -> &str {
        self.0.text.get(..self.0.end).unwrap_or_default()
    }

    /// Where the scope holds.
    #[must_use]
    pub fn context(&self) -> &ScopeContext {
        &self.0.context
    }

    /// The canonical text of the context, without its colon; empty when there is none.
    #[must_use]
    pub fn context_text(&self) -> &str {
        self.0.text.get(self.0.end + 1..).unwrap_or_default()
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether everything that `other` allows is allowed by this scope too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.action_name() == other.action_name() && self.0.context.covers(&other.0.context)
    }

    /// Whether something is allowed by both scopes. A refusal of this scope stands against every overlapping one.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.action_name() == other.action_name() && self.0.context.overlaps(&other.0.context)
    }

    /// What both scopes allow, as one scope; nothing where they have nothing in common.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        if self.action_name() != other.action_name() {
            return None;
        }
        let context = self.0.context.meet(&other.0.context)?;
        Some(Self::compose(self.action_name(), self.0.dot, context))
    }

    /// The scope of this action (`resource.action`, the dot at `dot`) and context, in canonical text.
    fn compose(name: &str, dot: usize, context: ScopeContext) -> Self {
        let text = match &context {
            ScopeContext::Any => name.into(),
            ScopeContext::Path(path) => [name, ":", path].concat(),
            ScopeContext::Pairs(pairs) => {
                let mut text = String::from(name);
                for (position, (key, value)) in pairs.iter().enumerate() {
                    text.push(if position == 0 { ':' } else { ',' });
                    text.push_str(key);
                    text.push('=');
                    text.push_str(value);
                }
                text
            }
        };
        Self(Arc::new(Parts { text: text.into(), dot, end: name.len(), context }))
    }

    /// Why this scope is broad, if it is.
    #[must_use]
    pub fn broad(&self) -> Option<Broad> {
        match &self.0.context {
            ScopeContext::Any => Some(Broad::NoContext),
            ScopeContext::Path(path) if path == "/" => Some(Broad::EveryPath),
            ScopeContext::Pairs(pairs) if pairs.values().all(|value| value == "*") => Some(Broad::EveryValue),
            ScopeContext::Path(_) | ScopeContext::Pairs(_) => None,
        }
    }
}

impl Broad {
    /// Why the text that somebody wrote for a scope is broad, if it is. Also knows the words that are no scopes at
    /// all: `admin`, `read:all`, `*`.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        if let Ok(scope) = text.parse::<Scope>() {
            return scope.broad();
        }
        let word = |part: &str| {
            matches!(part, "*" | "**" | "all" | "any" | "admin" | "root" | "full" | "everything")
        };
        text.split(['.', ':', ',', '=', '/']).any(word).then_some(Self::Wildcard)
    }

    /// The sentence that a linter shows.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Wildcard => "names everything at once: name one resource and action each",
            Self::NoContext => "has no context, so it holds everywhere: add a path or parameters",
            Self::EveryPath => "holds for every path: name the folder that is needed",
            Self::EveryValue => "holds for every value: name the values that are needed",
        }
    }
}

impl ScopeContext {
    /// Whether everything in `other` is in this context too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Path(above), Self::Path(below)) => path_covers(above, below),
            (Self::Pairs(fewer), Self::Pairs(more)) => fewer
                .iter()
                .all(|(key, value)| more.get(key).is_some_and(|narrower| value_covers(value, narrower))),
            (Self::Path(_) | Self::Pairs(_), _) => false,
        }
    }

    /// What is in both contexts.
    fn meet(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            _ if self.covers(other) => Some(other.clone()),
            _ if other.covers(self) => Some(self.clone()),
            (Self::Pairs(one), Self::Pairs(two)) => {
                let mut both = one.clone();
                for (key, value) in two {
                    let narrower = match both.get(key) {
                        Some(mine) if value_covers(value, mine) => continue,
                        Some(mine) if !value_covers(mine, value) => return None,
                        Some(_) | None => value.clone(),
                    };
                    both.insert(key.clone(), narrower);
                }
                // Whoever has more parameters than can be written has no text, and so is no scope.
                (both.len() <= MAX_PAIRS).then_some(Self::Pairs(both))
            }
            _ => None,
        }
    }

    /// Whether something is in both contexts.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::Path(one), Self::Path(two)) => path_covers(one, two) || path_covers(two, one),
            (Self::Pairs(one), Self::Pairs(two)) => one.iter().all(|(key, value)| {
                two.get(key).is_none_or(|second| value_covers(value, second) || value_covers(second, value))
            }),
            (Self::Path(_), Self::Pairs(_)) | (Self::Pairs(_), Self::Path(_)) => false,
        }
    }
}

/// Every path that lies above `path`, from the root down, `path` itself last. `path` is normalised.
pub(crate) fn path_and_above(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.char_indices().skip(1).filter(|(_, character)| *character == '/').map(|(at, _)| at);
    let below = (path.len() > 1).then_some(path.len());
    std::iter::once(1).chain(inner).chain(below).filter_map(|end| path.get(..end))
}

fn path_covers(above: &str, below: &str) -> bool {
    above == "/" || below.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn value_covers(wider: &str, narrower: &str) -> bool {
    match wider.strip_suffix('*') {
        Some(prefix) => narrower.strip_suffix('*').unwrap_or(narrower).starts_with(prefix),
        None => wider == narrower,
    }
}

impl FromStr for Scope {
    type Err = ScopeFault;

    fn from_str(text: &str) -> Result<Self, ScopeFault> {
        if text.len() > MAX_SCOPE_BYTES {
            return Err(ScopeFault::TooLong(text.len()));
        }
        if has_hidden(text) {
            return Err(ScopeFault::Hidden(shown(text)));
        }
        let (name, context) = match text.split_once(':') {
            Some((name, context)) => (name, Some(context)),
            None => (text, None),
        };
        let (resource, action) = name.split_once('.').ok_or_else(|| ScopeFault::Shape(shown(text)))?;
        for part in [resource, action] {
            if !is_name(part) {
                return Err(if part.contains('.') || part.is_empty() {
                    ScopeFault::Shape(shown(text))
                } else {
                    ScopeFault::Name(shown(part))
                });
            }
        }
        let context = match context {
            None => ScopeContext::Any,
            Some(path) if path.starts_with('/') => ScopeContext::Path(parse_path(path)?),
            Some(pairs) => ScopeContext::Pairs(parse_pairs(pairs)?),
        };
        Ok(Self::compose(name, resource.len(), context))
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The path after lexical normalisation: `.` segments go; whatever could lead elsewhere is refused.
fn parse_path(path: &str) -> Result<String, ScopeFault> {
    let refuse = |why| ScopeFault::Path { path: shown(path), why };
    if path.contains('\\') {
        return Err(refuse("a backslash separates segments on some systems and not on others"));
    }
    let mut normal = String::with_capacity(path.len());
    let mut depth = 0;
    for segment in path.split('/').skip(1) {
        match segment {
            "" if path == "/" => {}
            "" => return Err(refuse("it has an empty segment: write single slashes, and none at the end")),
            ".." => return Err(refuse("`..` may lead elsewhere: write the path that is meant")),
            name if escapes::lead_elsewhere(name) => {
                return Err(refuse("its percent escapes lead elsewhere where they are decoded"));
            }
            "*" | "**" => return Err(refuse("a path already covers everything below it: leave out the `*`")),
            "." => {}
            name => {
                normal.push('/');
                normal.push_str(name);
                depth += 1;
            }
        }
    }
    if depth > MAX_SEGMENTS {
        return Err(refuse("it is too deep: at most 64 segments are read"));
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Ok(normal)
}

fn parse_pairs(text: &str) -> Result<BTreeMap<String, String>, ScopeFault> {
    let mut pairs = BTreeMap::new();
    for pair in text.split(',') {
        let refuse = |why| ScopeFault::Pair { pair: shown(pair), why };
        let (key, value) = pair.split_once('=').ok_or_else(|| ScopeFault::Context(shown(text)))?;
        let key_fits = key.len() <= MAX_NAME_BYTES
            && key.starts_with(|first: char| first.is_ascii_alphabetic())
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
        if !key_fits {
            return Err(refuse("its key must be letters, digits, `_`, `-` and `.`, starting with a letter"));
        }
        if value.is_empty() {
            return Err(refuse("it has no value"));
        }
        if value.trim() != value {
            return Err(refuse("its value begins or ends with a space"));
        }
        if escapes::lead_up(value.strip_suffix('*').unwrap_or(value)) {
            return Err(refuse("`..` in its value may lead elsewhere: write what is meant"));
        }
        if value.strip_suffix('*').unwrap_or(value).contains('*') {
            return Err(refuse("`*` may only stand at the end of a value"));
        }
        if pairs.len() == MAX_PAIRS {
            return Err(refuse("there are too many: at most 16 are read"));
        }
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(refuse("its key stands twice"));
        }
    }
    Ok(pairs)
}

fn shown(text: &str) -> String {
    display_safe_within(text, 100)
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.text)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Scope({:?})", self.0.text)
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.text == other.0.text
    }
}

impl Eq for Scope {}

impl std::hash::Hash for Scope {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.text.cmp(&other.0.text)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.text)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
