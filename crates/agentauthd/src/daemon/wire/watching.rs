//! Outcomes and signals, in the words of the socket.

use agentauth_api as api;
use agentauth_core::Timestamp;
use agentauth_core::signals::Told;
use agentauth_core::text::display_safe_within;
use uuid::Uuid;

use crate::daemon::record::Said;
use crate::daemon::server::Refusal;
use crate::daemon::watching::Watching;

/// The longest reference, in bytes.
const MAX_REFERENCE: usize = 256;
/// The most that can be claimed to have been moved at once.
const MOST: u64 = 1 << 53;
/// How many missing outcomes are shown.
const MISSING: usize = 20;

/// What the agent says, and the word for what became of it.
///
/// # Errors
/// A problem: a reference or a number beyond its bound.
pub(crate) fn outcome(request: api::OutcomeRequest) -> Result<(Said, api::OutcomeKind), Refusal> {
    let api::OutcomeRequest { decision, outcome, reference, bytes, items } = request;
    if reference.as_ref().is_some_and(|reference| reference.len() > MAX_REFERENCE) {
        let detail = format!("`reference` is longer than {MAX_REFERENCE} bytes: shorten it");
        return Err(Refusal::new(api::ErrorCode::RequestInvalid, detail));
    }
    let said = Said {
        decision,
        outcome: outcome.as_str(),
        reference: reference.map(|reference| display_safe_within(&reference, MAX_REFERENCE)),
        bytes: claimed("bytes", bytes)?,
        items: claimed("items", items)?,
    };
    Ok((said, outcome))
}

/// How much is moved, by the agent's own word.
///
/// # Errors
/// A problem: more than there is.
pub(super) fn claimed(name: &str, claimed: Option<u64>) -> Result<u64, Refusal> {
    let claimed = claimed.unwrap_or(0);
    if claimed < MOST {
        return Ok(claimed);
    }
    Err(Refusal::new(
        api::ErrorCode::RequestInvalid,
        format!("`{name}` is {MOST} or more, which nobody moves"),
    ))
}

/// That it is on record.
pub(crate) fn outcome_recorded(
    said: Said,
    outcome: api::OutcomeKind,
    repeated: bool,
) -> api::OutcomeResponse {
    api::OutcomeResponse { decision: said.decision, outcome, repeated }
}

/// One signal.
pub(super) fn signal(agent: Option<&str>, told: &Told) -> api::SignalView {
    api::SignalView {
        agent: agent.filter(|name| !name.is_empty()).map(str::to_owned),
        signal: told.signal.as_str().to_owned(),
        seen: told.seen,
        usual: told.usual,
        limit: told.limit,
        since: told.since,
        until: told.until,
    }
}

/// Every signal that is up.
pub(super) fn signals(watching: &Watching, now: Timestamp) -> Vec<api::SignalView> {
    watching.up(now).iter().map(|(agent, told)| signal(agent.as_deref(), told)).collect()
}

/// The same for a person, with what to do.
pub(super) fn noticed(watching: &Watching, now: Timestamp) -> Vec<String> {
    let line = |(agent, told): &(Option<std::sync::Arc<str>>, Told)| {
        let who = match agent.as_deref() {
            Some(name) if !name.is_empty() => format!("`{}`", display_safe_within(name, 64)),
            _ => "a program that is no agent".to_owned(),
        };
        format!(
            "{who} {} (`{}`, since {}): see what it did with `agentauthd audit tail`, and pause it with `agentauthd lock` \
             if it should not",
            told.signal.says(),
            told.signal,
            told.since
        )
    };
    watching.up(now).iter().map(line).collect()
}

/// What was risky and allowed, and nobody said what became of it; the oldest first.
pub(super) fn missing(watching: &Watching, now: Timestamp) -> Vec<api::MissingOutcome> {
    let shown =
        |(agent, missing): (std::sync::Arc<str>, crate::daemon::watching::Missing)| api::MissingOutcome {
            decision: format!("dec_{}", Uuid::from_u128(missing.decision).simple()),
            agent: agent.to_string(),
            allowed_at: missing.at,
        };
    watching.missing(now).into_iter().take(MISSING).map(shown).collect()
}
