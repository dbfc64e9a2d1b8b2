//! What the grants say, by looking at every one of them.

use agentauth_core::{
    Agent, CheckRequest, Grant, GrantKind, GrantStrength, GrantUse, Lifetime, Scope, Strength, Timestamp,
};

use super::State;
use super::scopes::{covers, overlap};

/// What the grants say of one scope of one agent.
pub(crate) enum Answer<'a> {
    /// One of these refuses it.
    Refused(Vec<&'a Grant>),
    /// This one allows it.
    Allowed(&'a Grant),
    /// One of these once allowed it, and may again sooner than others.
    Asleep(Vec<&'a Grant>),
    /// There is none.
    Nothing,
}

/// How far a grant is from holding, the farthest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Ended,
    Unconfirmed,
    Closed,
    Holds,
}

/// Of several that hold, `strongest` prefers what was confirmed most strongly.
pub(crate) fn answer<'a>(
    state: &'a State,
    strongest: bool,
    agent: &Agent,
    scope: &Scope,
    request: &CheckRequest,
    now: Timestamp,
) -> Answer<'a> {
    let session = super::session_of(state);
    let said: Vec<(&Grant, Standing)> = state
        .grants
        .iter()
        .filter(|grant| *grant.agent == *agent.name && is_meant(grant, agent, request, &session.user.subject))
        .map(|grant| (grant, standing(grant, state, session.logged_in_at, now)))
        .collect();
    let refusals: Vec<&Grant> = said
        .iter()
        .filter(|(grant, standing)| {
            grant.denied && *standing == Standing::Holds && overlap(grant.scope.as_str(), scope.as_str())
        })
        .map(|(grant, _)| *grant)
        .collect();
    if !refusals.is_empty() {
        return Answer::Refused(refusals);
    }
    let covering: Vec<(&Grant, Standing)> = said
        .into_iter()
        .filter(|(grant, _)| !grant.denied && covers(grant.scope.as_str(), scope.as_str()))
        .collect();
    let Some(best) = covering.iter().map(|(_, standing)| *standing).max() else { return Answer::Nothing };
    let alike = covering.into_iter().filter(|(_, standing)| *standing == best).map(|(grant, _)| grant);
    if best == Standing::Holds {
        let level = |grant: &Grant| {
            if strongest { strength(grant).min(GrantStrength::Reauth) } else { GrantStrength::None }
        };
        alike.max_by_key(|grant| (level(grant), preference(grant))).map_or(Answer::Nothing, Answer::Allowed)
    } else {
        Answer::Asleep(alike.collect())
    }
}

/// The grant that would be used, as policies see it.
pub(crate) fn used(answer: &Answer<'_>) -> GrantUse {
    match answer {
        Answer::Allowed(grant) => GrantUse { kind: kind(grant), strength: strength(grant) },
        _ => GrantUse { kind: GrantKind::None, strength: GrantStrength::None },
    }
}

fn kind(grant: &Grant) -> GrantKind {
    if grant.mandate.is_some() {
        GrantKind::Mandate
    } else if grant.uses.is_some() {
        GrantKind::Once
    } else {
        match grant.lifetime {
            Lifetime::Until(_) => GrantKind::Until,
            Lifetime::Session => GrantKind::Session,
            Lifetime::UntilRevoked => GrantKind::Always,
        }
    }
}

/// How strongly it was confirmed: as the answer says; weakly, where there was one that does not say; by the administrator, where
/// nobody was asked.
pub(crate) fn strength(grant: &Grant) -> GrantStrength {
    match grant.binding.strength {
        Some(Strength::Prompt) => GrantStrength::Prompt,
        Some(Strength::Passkey) => GrantStrength::Passkey,
        Some(Strength::Reauth) => GrantStrength::Reauth,
        None if grant.binding.consent.is_some() => GrantStrength::Prompt,
        None => GrantStrength::Policy,
    }
}

/// Of several that hold: one whose uses nobody counts, then one without an end, then the one that ends last; one that stands until it is
/// revoked before one of the session. Beyond that it makes no difference, so the name decides.
fn preference(grant: &Grant) -> (bool, bool, Option<Timestamp>, bool, &str) {
    let end = match grant.lifetime {
        Lifetime::Until(end) => Some(end),
        Lifetime::Session | Lifetime::UntilRevoked => None,
    };
    (grant.uses.is_none(), end.is_none(), end, grant.lifetime != Lifetime::Session, &grant.id)
}

fn is_meant(grant: &Grant, agent: &Agent, request: &CheckRequest, user: &str) -> bool {
    let binding = &grant.binding;
    let manifest = match &binding.manifest_digest {
        Some(digest) if !grant.denied => **digest == *agent.manifest_digest,
        _ => true,
    };
    let person = binding.user.as_deref().is_none_or(|bound| bound == user);
    let action = match (&binding.action, &request.action) {
        (None, _) => true,
        (Some(bound), Some(asked)) => **bound == *asked.digest(),
        (Some(_), None) => false,
    };
    manifest && person && action
}

fn standing(grant: &Grant, state: &State, login: Timestamp, now: Timestamp) -> Standing {
    let ended = grant.left == Some(0)
        || match grant.lifetime {
            Lifetime::UntilRevoked => false,
            Lifetime::Until(end) => end <= now,
            Lifetime::Session => grant.login.is_some_and(|given| given != login),
        };
    // What a person allowed for long holds while the person is seen now and then.
    let long = grant.mandate.is_some() || grant.lifetime == Lifetime::UntilRevoked;
    let lapses = long && !grant.denied && grant.binding.user.is_some();
    let seen = state.presence.seen.is_some_and(|seen| now < seen + state.presence.recertify_after);
    let window = grant.mandate.as_ref().and_then(|mandate| mandate.window.as_ref());
    if ended {
        Standing::Ended
    } else if lapses && !seen {
        Standing::Unconfirmed
    } else if window.is_some_and(|window| window.open_until(now).is_none()) {
        Standing::Closed
    } else {
        Standing::Holds
    }
}
