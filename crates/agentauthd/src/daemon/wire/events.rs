//! What happens, in the words of the socket.

use agentauth_api as api;
use agentauth_core::Timestamp;
use agentauth_core::consent::Question;
use agentauth_core::session::SessionState;
use agentauth_core::snapshot::Snapshot;

use super::consent::consent;
use super::rights::grant;
use crate::daemon::events::Happening;

/// What a stream says of the session: what it is compared by, and what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionSeen {
    phase: api::SessionPhase,
    locked: bool,
}

/// The session as it is now.
pub(crate) fn session_seen(snapshot: &Snapshot, now: Timestamp) -> SessionSeen {
    SessionSeen { phase: phase(&snapshot.session, now), locked: snapshot.locked }
}

/// Where the login stands.
pub(super) fn phase(state: &SessionState, now: Timestamp) -> api::SessionPhase {
    match state {
        SessionState::LoggedOut => api::SessionPhase::LoggedOut,
        SessionState::Unverified { .. } => api::SessionPhase::Unverified,
        SessionState::Active(session) if session.is_usable(now) => api::SessionPhase::Active,
        SessionState::Active(_) => api::SessionPhase::Unverified,
        SessionState::Over { .. } => api::SessionPhase::Over,
    }
}

/// The session, as an event in the stream.
pub(crate) fn session_event(seen: SessionSeen) -> String {
    frame(&api::Event::Session { phase: seen.phase, locked: seen.locked })
}

/// Something that happened, as an event in the stream.
pub(crate) fn event(snapshot: &Snapshot, happening: &Happening, now: Timestamp) -> String {
    frame(&match happening {
        Happening::Asked(question) => {
            let asked = about(question, "asked");
            api::Event::Consent(Box::new(api::ConsentEvent { consent: Some(consent(question)), ..asked }))
        }
        Happening::Answered { question, given, refused } => {
            let given = given.iter().map(ToString::to_string).collect();
            let answered = about(question, "answered");
            api::Event::Consent(Box::new(api::ConsentEvent { given, refused: refused.clone(), ..answered }))
        }
        Happening::Ended { question, why } => {
            let ended = about(question, "ended");
            api::Event::Consent(Box::new(api::ConsentEvent { why: Some((*why).to_owned()), ..ended }))
        }
        Happening::Given { agent, grants } => api::Event::Grant {
            agent: agent.to_string(),
            grants: grants.iter().map(|given| grant(snapshot, given, now)).collect(),
        },
        Happening::Noticed { agent, told } => api::Event::Signal(super::watching::signal(Some(agent), told)),
        Happening::Taken { agent, grants, why } => api::Event::Revocation {
            agent: agent.to_string(),
            grants: grants.clone(),
            why: (*why).to_owned(),
        },
    })
}

/// The end of a stream whose reader is too slow.
pub(crate) fn lagged_event() -> String {
    frame(&api::Event::Lagged)
}

fn about(question: &Question, state: &str) -> api::ConsentEvent {
    api::ConsentEvent {
        id: question.id.to_string(),
        agent: question.agent.to_string(),
        state: state.to_owned(),
        consent: None,
        given: Vec::new(),
        refused: Vec::new(),
        why: None,
    }
}

/// JSON has no line breaks of its own, so one line of data holds it.
fn frame(event: &api::Event) -> String {
    // Texts, whole numbers and instants always have a JSON text.
    let data = serde_json::to_string(event).unwrap_or_default();
    format!("event: {}\ndata: {data}\n\n", event.name())
}
