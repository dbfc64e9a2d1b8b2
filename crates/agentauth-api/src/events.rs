//! `GET /v1/events`: what happens to the session, to grants and to questions, as server-sent events (HTML, section 9.2).
//!
//! Each event's name is its `type`, and its data is one line of JSON. Every text is safe to show, and is not HTML.

use serde::{Deserialize, Serialize};

use crate::consent::Consent;
use crate::rights::GrantView;
use crate::status::{SessionPhase, SignalView};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// What the session is: first of all, and whenever it has become something else.
    Session {
        /// Where it stands.
        phase: SessionPhase,
        /// Whether everything is paused.
        locked: bool,
    },
    /// Grants were given.
    Grant {
        /// To this agent.
        agent: String,
        /// The grants.
        grants: Vec<GrantView>,
    },
    /// Grants were taken away.
    Revocation {
        /// From this agent.
        agent: String,
        /// Their ids.
        grants: Vec<String>,
        /// `revoked`, `removed` (with the agent) or `replaced` (the agent was registered anew).
        why: String,
    },
    /// A question waits for the person, or does so no longer.
    Consent(Box<ConsentEvent>),
    /// An agent does what it does not usually do.
    Signal(SignalView),
    /// Whoever follows was too slow, and this is the end of the stream: what happened since is not in it.
    Lagged,
    /// Something that a later version tells.
    #[serde(other)]
    Unknown,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentEvent {
    /// The question.
    pub id: String,
    /// Whose question it is.
    pub agent: String,
    /// `asked`, `answered` or `ended`.
    pub state: String,
    /// The question itself, when it is `asked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// The grants that the answer gave.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// The scopes that the answer refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Why it `ended`: `expired`, `overtaken` or `denied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Event {
    /// The event's name in the stream.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Session { .. } => "session",
            Self::Grant { .. } => "grant",
            Self::Revocation { .. } => "revocation",
            Self::Consent(_) => "consent",
            Self::Signal(_) => "signal",
            Self::Lagged => "lagged",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_named_by_its_type() {
        let session = Event::Session { phase: SessionPhase::Active, locked: false };
        for event in [session, Event::Lagged, Event::Unknown] {
            assert_eq!(serde_json::to_value(&event).unwrap()["type"], event.name());
        }
        let consent =
            json!({"type": "consent", "id": "ask_1", "agent": "a", "state": "ended", "why": "expired"});
        let event: Event = serde_json::from_value(consent.clone()).unwrap();
        assert_eq!((event.name(), serde_json::to_value(&event).unwrap()), ("consent", consent));
        let later = json!({"type": "quarantine", "agent": "a"});
        assert_eq!(serde_json::from_value::<Event>(later).unwrap(), Event::Unknown);
    }
}
