//! Reading a manifest: every fault at once, each with its place (RFC 6901), or the whole manifest.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::{MANIFEST_VERSION, MAX_FILE_BYTES, MAX_SCOPES, Manifest, ManifestScope, UiHints, is_agent_name};
use crate::json::{Node, TextFault, Unread, known_members, pointer_part, text_faults};
use crate::scope::{Broad, Scope};
use crate::text::display_safe_within;

/// At most this many faults of one manifest are listed; one more says how many there are beyond.
pub const MAX_FAULTS: usize = 256;
/// At most this many characters of a name that somebody wrote are shown.
const SHOWN: usize = 100;

/// One thing that is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ManifestFault {
    /// Where: a JSON pointer (RFC 6901), empty for the whole. Safe to show: of a member's name, what cannot be seen is
    /// escaped, and what is long is cut.
    pub path: String,
    /// What kind of fault it is.
    pub code: FaultCode,
    /// What is wrong and what to do; safe to show.
    pub reason: String,
}

/// What kind of fault a manifest has. The words are part of the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultCode {
    /// Not JSON at all.
    NotJson,
    /// More bytes, characters or entries than are read.
    TooLong,
    /// A member that the standard does not have.
    UnknownMember,
    /// A member that stands twice in one object.
    RepeatedMember,
    /// A member that must be there is not.
    Missing,
    /// A value of another type than the member has.
    WrongType,
    /// A `manifestVersion` that this reader does not know.
    UnknownVersion,
    /// A name that cannot be an agent's.
    BadName,
    /// A text without a visible character.
    Empty,
    /// A text with a character that cannot be seen, or a version with a space.
    Hidden,
    /// A text that is not a scope.
    BadScope,
    /// A scope that stands twice, perhaps written in two ways.
    RepeatedScope,
    /// There are more faults than are listed.
    More,
}

/// Everything that is wrong with a manifest; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ManifestFaults(pub Vec<ManifestFault>);

impl FaultCode {
    /// The word in JSON and in the standard.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not_json",
            Self::TooLong => "too_long",
            Self::UnknownMember => "unknown_member",
            Self::RepeatedMember => "repeated_member",
            Self::Missing => "missing",
            Self::WrongType => "wrong_type",
            Self::UnknownVersion => "unknown_version",
            Self::BadName => "bad_name",
            Self::Empty => "empty",
            Self::Hidden => "hidden",
            Self::BadScope => "bad_scope",
            Self::RepeatedScope => "repeated_scope",
            Self::More => "more",
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for ManifestFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => formatter.write_str(&self.reason),
            path => write!(formatter, "`{path}` {}", self.reason),
        }
    }
}

impl fmt::Display for ManifestFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(formatter, "the manifest cannot be used: {one}"),
            many => {
                write!(formatter, "the manifest cannot be used, it has {} faults: ", many.len())?;
                for (position, fault) in many.iter().enumerate() {
                    write!(formatter, "{}{fault}", if position == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

/// See [`Manifest::parse`].
pub(super) fn manifest(json: &[u8]) -> Result<Manifest, ManifestFaults> {
    let whole = |code, reason| Err(ManifestFaults(vec![ManifestFault { path: String::new(), code, reason }]));
    if json.len() > MAX_FILE_BYTES {
        let reason = format!("the manifest is {} bytes long: at most {MAX_FILE_BYTES} are read", json.len());
        return whole(FaultCode::TooLong, reason);
    }
    match serde_json::from_slice::<Node>(json) {
        Ok(node) => Reader::default().read(node),
        Err(error) => {
            let reason =
                format!("the manifest is not JSON: {}", display_safe_within(&error.to_string(), 200));
            whole(FaultCode::NotJson, reason)
        }
    }
}

/// The manifest inside of another document.
pub(super) fn from_deserializer<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Result<Manifest, ManifestFaults>, D::Error> {
    Ok(Reader::default().read(Node::deserialize(deserializer)?))
}

/// What is wrong, as far as the reading has come.
#[derive(Default)]
struct Reader {
    faults: Vec<ManifestFault>,
    beyond: usize,
}

/// The members of one object, each at most once and `null` ones left out.
struct Members {
    path: String,
    found: Vec<(&'static str, Node)>,
}

impl Reader {
    fn read(mut self, node: Node) -> Result<Manifest, ManifestFaults> {
        let manifest = self.manifest(node);
        if self.beyond > 0 {
            let reason = format!("there are {} faults more than are listed", self.beyond);
            self.faults.push(ManifestFault { path: String::new(), code: FaultCode::More, reason });
        }
        match manifest {
            Some(manifest) if self.faults.is_empty() => Ok(manifest),
            _ => Err(ManifestFaults(self.faults)),
        }
    }

    /// Nothing only where a fault was noted.
    fn manifest(&mut self, node: Node) -> Option<Manifest> {
        let known = ["manifestVersion", "name", "version", "publisher", "scopes", "uiHints"];
        let mut members = self.members(String::new(), node, &known)?;
        self.manifest_version(&mut members);
        let name = self.required_text(&mut members, "name");
        if let Some(name) = name.as_ref().filter(|name| !is_agent_name(name)) {
            let reason = format!(
                "is `{}`, which cannot be an agent's name: use ASCII letters, digits, `.`, `_` and `-`, starting with a \
                 letter or digit, at most 64",
                display_safe_within(name, 64)
            );
            self.fault("/name", FaultCode::BadName, reason);
        }
        let version = self.required_text(&mut members, "version");
        if let Some(version) = &version
            && self.visible("/version", version, 64)
            && version.contains(char::is_whitespace)
        {
            self.fault("/version", FaultCode::Hidden, "contains a space: remove it");
        }
        let publisher = self.optional_text(&mut members, "publisher", 128);
        let scopes = self.scopes(&mut members);
        let ui_hints = self.ui_hints(&mut members);
        Some(Manifest { name: name?, version: version?, publisher, scopes: scopes?, ui_hints: ui_hints? })
    }

    fn manifest_version(&mut self, members: &mut Members) {
        let path = "/manifestVersion";
        #[allow(clippy::cast_precision_loss, reason = "a small constant")]
        let read = MANIFEST_VERSION as f64;
        match members.take("manifestVersion") {
            // Equal as JSON has it: `1.0` is the number `1`.
            Some(Node::Number(number)) if number.to_bits() == read.to_bits() => {}
            None => {}
            Some(Node::Number(number)) => {
                let reason = format!("is {number}, which is not known here: only {MANIFEST_VERSION} is read");
                self.fault(path, FaultCode::UnknownVersion, reason);
            }
            Some(other) => self.wrong_type(path, &other, "a number"),
        }
    }

    fn scopes(&mut self, members: &mut Members) -> Option<Vec<ManifestScope>> {
        let list = match members.take("scopes") {
            Some(Node::List(list)) => list,
            Some(other) => {
                self.wrong_type("/scopes", &other, "a list");
                return None;
            }
            None => {
                self.fault("/scopes", FaultCode::Missing, "is missing: list what the agent may ask for");
                return None;
            }
        };
        if list.len() > MAX_SCOPES {
            let reason = format!("has {} entries: at most {MAX_SCOPES} are read", list.len());
            self.fault("/scopes", FaultCode::TooLong, reason);
            return None;
        }
        let mut scopes: Vec<ManifestScope> = Vec::with_capacity(list.len());
        // The place of each scope, of those too whose entry has another fault.
        let mut seen: Vec<(usize, Scope)> = Vec::with_capacity(list.len());
        for (position, node) in list.into_iter().enumerate() {
            let path = format!("/scopes/{position}");
            let Some(mut entry) = self.members(path.clone(), node, &["scope", "purpose", "required"]) else {
                continue;
            };
            let scope = self.scope(&mut entry);
            if let Some(scope) = &scope {
                if let Some((first, _)) = seen.iter().find(|(_, earlier)| earlier == scope) {
                    let reason = format!(
                        "is `{}`, which `/scopes/{first}` has already: remove one of the two",
                        display_safe_within(scope.as_str(), SHOWN)
                    );
                    self.fault(&format!("{path}/scope"), FaultCode::RepeatedScope, reason);
                }
                seen.push((position, scope.clone()));
            }
            let purpose = self.required_text(&mut entry, "purpose");
            if let Some(purpose) = &purpose {
                self.visible(&format!("{path}/purpose"), purpose, 300);
            }
            let required = match entry.take("required") {
                None => false,
                Some(Node::Bool(required)) => required,
                Some(other) => {
                    self.wrong_type(&format!("{path}/required"), &other, "a boolean");
                    continue;
                }
            };
            if let (Some(scope), Some(purpose)) = (scope, purpose) {
                scopes.push(ManifestScope { scope, purpose, required });
            }
        }
        Some(scopes)
    }

    fn scope(&mut self, entry: &mut Members) -> Option<Scope> {
        let text = self.required_text(entry, "scope")?;
        match text.parse() {
            Ok(scope) => Some(scope),
            Err(fault) => {
                let advice =
                    Broad::of(&text).map_or_else(String::new, |broad| format!("; it {}", broad.advice()));
                let reason = format!("cannot be used: {fault}{advice}");
                self.fault(&format!("{}/scope", entry.path), FaultCode::BadScope, reason);
                None
            }
        }
    }

    fn ui_hints(&mut self, members: &mut Members) -> Option<UiHints> {
        let Some(node) = members.take("uiHints") else { return Some(UiHints::default()) };
        let known = ["displayName", "description", "consentText", "homepage", "icon"];
        let mut hints = self.members("/uiHints".to_owned(), node, &known)?;
        Some(UiHints {
            display_name: self.optional_text(&mut hints, "displayName", 64),
            description: self.optional_text(&mut hints, "description", 500),
            consent_text: self.optional_text(&mut hints, "consentText", 500),
            homepage: self.optional_text(&mut hints, "homepage", 300),
            icon: self.optional_text(&mut hints, "icon", 64),
        })
    }

    /// The members of an object that has no others than the known ones.
    fn members(&mut self, path: String, node: Node, known: &[&'static str]) -> Option<Members> {
        let Node::Object(object) = node else {
            let reason = format!("is {}: an object is expected", node.kind());
            let reason = if path.is_empty() { format!("the manifest {reason}") } else { reason };
            self.fault(&path, FaultCode::WrongType, reason);
            return None;
        };
        let found = known_members(object, known, |_, name, why, reason| {
            let code = match why {
                Unread::Unknown => FaultCode::UnknownMember,
                Unread::Repeated => FaultCode::RepeatedMember,
            };
            self.fault(&format!("{path}/{}", pointer_part(name)), code, reason);
        });
        let given = found.into_iter().filter(|(.., value)| !matches!(value, Node::Null));
        Some(Members { path, found: given.map(|(_, name, value)| (name, value)).collect() })
    }

    fn required_text(&mut self, members: &mut Members, name: &'static str) -> Option<String> {
        let path = format!("{}/{name}", members.path);
        match members.take(name) {
            Some(Node::Text(text)) => Some(text),
            Some(other) => {
                self.wrong_type(&path, &other, "a text");
                None
            }
            None => {
                self.fault(&path, FaultCode::Missing, "is missing");
                None
            }
        }
    }

    fn optional_text(&mut self, members: &mut Members, name: &'static str, limit: usize) -> Option<String> {
        let path = format!("{}/{name}", members.path);
        match members.take(name)? {
            Node::Text(text) => self.visible(&path, &text, limit).then_some(text),
            other => {
                self.wrong_type(&path, &other, "a text");
                None
            }
        }
    }

    /// Whether a text can be shown as it is; all that is wrong with it is noted.
    fn visible(&mut self, path: &str, text: &str, limit: usize) -> bool {
        let mut fits = true;
        for (fault, reason) in text_faults(text, limit) {
            let code = match fault {
                TextFault::Empty => FaultCode::Empty,
                TextFault::TooLong => FaultCode::TooLong,
                TextFault::Hidden => FaultCode::Hidden,
            };
            self.fault(path, code, reason);
            fits = false;
        }
        fits
    }

    fn wrong_type(&mut self, path: &str, found: &Node, expected: &str) {
        self.fault(path, FaultCode::WrongType, format!("is {}: {expected} is expected", found.kind()));
    }

    fn fault(&mut self, path: &str, code: FaultCode, reason: impl Into<String>) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(ManifestFault { path: path.to_owned(), code, reason: reason.into() });
        } else {
            self.beyond += 1;
        }
    }
}

impl Members {
    fn take(&mut self, name: &str) -> Option<Node> {
        let at = self.found.iter().position(|(found, _)| *found == name)?;
        Some(self.found.swap_remove(at).1)
    }
}
