//! What a record says, in a few words for people.

use std::borrow::Cow;

use crate::{Event, Kind, Verdict};

/// What happened, in a few words: the same for all records of a kind.
#[must_use]
pub fn headline(kind: Kind) -> &'static str {
    match kind {
        Kind::AgentLaunched => "Agent launched",
        Kind::AgentLaunchEnded => "Launch of an agent ended",
        Kind::AgentLoaded => "Administrator's agent took effect",
        Kind::AgentRegistered => "Agent registered",
        Kind::AgentRemoved => "Agent removed",
        Kind::AuditGap => "Events could not be recorded",
        Kind::ChainCarried => "What stands was carried over",
        Kind::ChainContinued => "Record goes on in a new file",
        Kind::ChainRecovered => "Record was recovered",
        Kind::ChainShortened => "Old records were deleted",
        Kind::Checkpoint => "Checkpoint of the record",
        Kind::CheckpointKey => "Key of checkpoints changed",
        Kind::ConfigurationLoaded => "Configuration took effect",
        Kind::ConfigurationRefused => "Configuration refused",
        Kind::ConsentAnswered => "Question answered",
        Kind::ConsentAsked => "Question asked",
        Kind::ConsentEnded => "Question ended without an answer",
        Kind::ConsentPreapproved => "Allowed by policy",
        Kind::Decision => "Access decision",
        Kind::DecisionsFolded => "Equal denials",
        Kind::Facts => "Facts of decisions",
        Kind::GrantAdded => "Grant given",
        Kind::GrantExpired => "Grant expired",
        Kind::GrantRevoked => "Grant revoked",
        Kind::KeysLoaded => "Provider's keys fetched",
        Kind::KeysRefused => "Provider's keys refused",
        Kind::LogFilterChanged => "Level of the log changed",
        Kind::Lock => "Everything paused",
        Kind::Login => "Login",
        Kind::LoginNotEnded => "Old login not ended at the provider",
        Kind::LoginRefused => "Login refused",
        Kind::LoginStarted => "Login begun",
        Kind::LoginSwitched => "Another account from now on",
        Kind::Logout => "Logout",
        Kind::OperationRefused => "Operation refused",
        Kind::Outcome => "Outcome of an action",
        Kind::PersonSeen => "Person seen",
        Kind::PasskeyAdded => "Passkey registered",
        Kind::PasskeyRefused => "Passkey refused",
        Kind::PasskeyRemoved => "Passkey removed",
        Kind::PasskeyUsed => "Passkey used",
        Kind::PolicyLoaded => "Policies took effect",
        Kind::PolicyRefused => "Policies refused",
        Kind::Quarantine => "Quarantine",
        Kind::Refresh => "Session refreshed",
        Kind::RefreshFailed => "Refresh failed",
        Kind::RulesApplied => "Person's own rules took effect",
        Kind::ServiceStart => "Daemon started",
        Kind::ServiceStop => "Daemon stopped",
        Kind::SessionConfirmed => "Session confirmed",
        Kind::SessionOver => "Session over",
        Kind::SessionResumed => "Session resumed",
        Kind::Signal => "Unusual behaviour of an agent",
        Kind::SinkDropped => "Records not handed to a sink",
        Kind::SinkState => "Sink lost or found",
        Kind::Unlock => "Pause ended",
        Kind::Unknown => "Event of a later version",
    }
}

/// One record as one sentence. What agents wrote is in it as they wrote it: the formats make it harmless.
#[must_use]
pub fn sentence(event: &Event<'_>) -> String {
    let headline = headline(event.kind);
    let agents = agents(event).join(", ");
    let scopes = joined(&event.scopes);
    let reason = event.reason.as_ref().map(|reason| reason.as_str());
    let mut said = match (event.kind, event.decision) {
        (Kind::Decision, Some(Verdict::Allow)) => format!("Allowed {scopes}"),
        (Kind::Decision, _) => format!("Denied {scopes}"),
        (_, verdict) => {
            let verdict = match verdict {
                Some(Verdict::Allow) => ": yes",
                Some(Verdict::Deny) => ": no",
                None => "",
            };
            let about = if scopes.is_empty() { String::new() } else { format!(", {scopes}") };
            format!("{headline}{verdict}{about}")
        }
    };
    if !agents.is_empty() {
        said.push_str(" for ");
        said.push_str(&agents);
    }
    let told = outcome(event).or_else(|| event.message.as_ref().map(|message| message.as_str()));
    for part in [reason, told].into_iter().flatten() {
        said.push_str(": ");
        said.push_str(part);
    }
    if event.dry_run {
        said.push_str(" (a trial)");
    }
    said
}

/// The agents that a record concerns: the asker's, or the one that is named.
#[must_use]
pub fn agents<'e>(event: &'e Event<'_>) -> Vec<&'e str> {
    let asking = event.actor.iter().flat_map(|actor| &actor.agents).map(|agent| agent.as_str());
    let named = event.details.get("agent").and_then(|agent| agent.as_str());
    let mut agents: Vec<_> = asking.collect();
    agents.extend(named.filter(|named| !agents.contains(named)));
    agents
}

/// What became of an allowed action.
pub(super) fn outcome<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    let stated = || event.details.get("outcome").and_then(|outcome| outcome.as_str());
    (event.kind == Kind::Outcome).then(stated).flatten()
}

/// Texts joined by `, `.
pub(super) fn joined<'t, const LIMIT: usize>(texts: &'t [crate::Text<'_, LIMIT>]) -> Cow<'t, str> {
    match texts {
        [one] => one.as_str().into(),
        many => many.iter().map(|text| text.as_str()).collect::<Vec<_>>().join(", ").into(),
    }
}

/// A text; empty where there is none.
pub(super) fn text<'t>(text: &'t Option<crate::Text<'_>>) -> &'t str {
    text.as_ref().map_or("", crate::Text::as_str)
}

/// `allow` or `deny`; empty where nothing was decided.
pub(super) fn decision(event: &Event<'_>) -> &'static str {
    event.decision.map_or("", Verdict::as_str)
}

/// What only this kind of event says, as JSON; empty where it says nothing of its own.
pub(super) fn details(event: &Event<'_>) -> String {
    if event.details.is_empty() {
        return String::new();
    }
    serde_json::to_string(&event.details).unwrap_or_default()
}
