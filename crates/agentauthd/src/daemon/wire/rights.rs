//! Registrations and grants, on the socket and in the rules.

use std::sync::Arc;

use agentauth_api as api;
use agentauth_core::agent::{Agent, Registration};
use agentauth_core::domain::is_domain_name;
use agentauth_core::grant::{Grant, Lifetime, Standing};
use agentauth_core::mandate::{Draft, MOST_SCOPES, MandateFault};
use agentauth_core::manifest::Manifest;
use agentauth_core::scope::Scope;
use agentauth_core::snapshot::Snapshot;
use agentauth_core::window::Window;
use agentauth_core::{Timestamp, display_safe};

use crate::daemon::logins::Started;
use crate::daemon::rights::{Removed, Revoked};
use crate::daemon::server::Refusal;

/// At most this many grants are shown to whoever confirms them.
const MOST_SHOWN: usize = 256;

/// What somebody wishes to be registered.
pub(crate) struct Wish {
    pub(crate) manifest: Option<Manifest>,
    pub(crate) update: Option<String>,
    pub(crate) executable: Option<String>,
    pub(crate) script: Option<String>,
    pub(crate) cgroup: Option<String>,
    pub(crate) launch_only: Option<bool>,
    /// Empty: none.
    pub(crate) enforcer: Option<String>,
}

/// The wish in a request.
///
/// # Errors
/// A problem: a manifest that is none, or too little to register anything.
pub(crate) fn wish(request: api::RegisterRequest) -> Result<Wish, Refusal> {
    let api::RegisterRequest { manifest, update, executable, script, cgroup, launch_only, enforcer } =
        request;
    let invalid = |detail: String| Refusal::new(api::ErrorCode::RequestInvalid, detail);
    let manifest = manifest
        .map(|manifest| Manifest::parse(manifest.to_string().as_bytes()))
        .transpose()
        .map_err(|fault| invalid(fault.to_string()))?;
    if update.is_none() && (manifest.is_none() || executable.is_none()) {
        return Err(invalid(
            "give `manifest` and `executable`, or `update` with the agent's name".to_owned(),
        ));
    }
    if let (Some(name), Some(manifest)) = (&update, &manifest)
        && *name != manifest.name
    {
        let detail = format!(
            "the manifest is that of `{}`, and `update` names `{}`: an agent keeps its name",
            manifest.name,
            display_safe(name)
        );
        return Err(invalid(detail));
    }
    if let Some(other) = enforcer.as_deref().filter(|name| !name.is_empty() && !is_domain_name(name)) {
        let detail = format!(
            "`enforcer` is `{}`: name a domain, with lower-case letters, digits, `_` and `-`",
            display_safe(other)
        );
        return Err(invalid(detail));
    }
    Ok(Wish { manifest, update, executable, script, cgroup, launch_only, enforcer })
}

/// What a registration comes to.
pub(crate) fn registered(
    snapshot: &Snapshot,
    registration: &Registration,
    before: Option<&Agent>,
    notes: Vec<String>,
    in_force: bool,
    login: Option<Started>,
) -> api::RegisterResponse {
    let widened = before.map_or_else(Vec::new, |before| {
        let widened = before.manifest.widened_by(&registration.manifest);
        widened.into_iter().map(|entry| entry.scope.to_string()).collect()
    });
    api::RegisterResponse {
        agent: agent(snapshot, &registration.agent()),
        replaces: before.map(|before| agent(snapshot, before)),
        widened,
        notes,
        registered: in_force,
        login: login.map(super::login_started),
    }
}

/// The registered agents, all or those named.
pub(crate) fn agents_known(snapshot: &Snapshot, only: Option<&[Arc<str>]>) -> api::AgentList {
    let counts = |name: &str| only.is_none_or(|names| names.iter().any(|known| **known == *name));
    let mut agents: Vec<_> = snapshot
        .agents
        .iter()
        .filter(|known| counts(&known.name))
        .map(|known| agent(snapshot, known))
        .collect();
    agents.sort_by(|one, two| one.name.cmp(&two.name));
    api::AgentList { agents }
}

/// One agent.
pub(crate) fn agent(snapshot: &Snapshot, agent: &Agent) -> api::AgentView {
    let catalogue = &snapshot.catalogue;
    let scopes = agent.manifest.scopes.iter().map(|entry| api::ScopeView {
        scope: entry.scope.to_string(),
        purpose: entry.purpose.clone(),
        required: entry.required,
        says: catalogue.entry(&entry.scope).map(|known| known.says.clone()),
        risk: catalogue.risk(&entry.scope).as_str().to_owned(),
    });
    api::AgentView {
        name: agent.name.to_string(),
        version: agent.manifest.version.clone(),
        publisher: agent.manifest.publisher.clone(),
        source: agent.source.as_str().to_owned(),
        manifest_digest: agent.manifest_digest.clone(),
        registration: agent.registration().digest(),
        executable: agent.selectors.executable.clone(),
        sha256: agent.selectors.sha256.clone(),
        script: agent.selectors.script.clone(),
        script_sha256: agent.selectors.script_sha256.clone(),
        cgroup: agent.selectors.cgroup.clone(),
        launch_only: agent.launch_only,
        enforcer: agent.enforcer.clone(),
        forbidden: snapshot.quarantined_agents.contains(&*agent.name),
        scopes: scopes.collect(),
        grants: snapshot.grants.of_agent(&agent.name).count(),
    }
}

/// The grants, all or those of the agents named.
pub(crate) fn grants_known(snapshot: &Snapshot, only: Option<&[Arc<str>]>, now: Timestamp) -> api::GrantList {
    let mut grants: Vec<_> = match only {
        None => snapshot.grants.iter().map(|known| grant(snapshot, known, now)).collect(),
        Some(names) => names
            .iter()
            .flat_map(|name| snapshot.grants.of_agent(name))
            .map(|known| grant(snapshot, known, now))
            .collect(),
    };
    grants.sort_by(|one, two| (&one.agent, &one.scope, &one.id).cmp(&(&two.agent, &two.scope, &two.id)));
    api::GrantList { grants }
}

/// One grant.
pub(crate) fn grant(snapshot: &Snapshot, grant: &Grant, now: Timestamp) -> api::GrantView {
    let (lifetime, until) = match grant.lifetime {
        Lifetime::UntilRevoked => ("until_revoked", None),
        Lifetime::Until(end) => ("until", Some(end)),
        Lifetime::Session => ("session", None),
    };
    let session = snapshot
        .session
        .usable_at(now)
        .ok()
        .filter(|session| grant.binding.user.as_deref().is_none_or(|user| user == session.user.subject));
    let standing = session.map(|session| grant.standing(now, session.logged_in_at, &snapshot.presence));
    api::GrantView {
        id: grant.id.to_string(),
        agent: grant.agent.to_string(),
        scope: grant.scope.to_string(),
        denied: grant.denied,
        lifetime: lifetime.to_owned(),
        until,
        uses: grant.uses,
        left: grant.left,
        action: grant.binding.action.as_deref().map(str::to_owned),
        mandate: grant.mandate.is_some(),
        window: grant.window().map(ToString::to_string),
        opens_at: grant.window().and_then(|window| window.opens_after(now)),
        holds: standing == Some(Standing::Holds),
        unconfirmed: standing == Some(Standing::Unconfirmed),
    }
}

/// A mandate that somebody wishes to give.
pub(crate) struct Giving {
    pub(crate) agent: String,
    pub(crate) draft: Draft,
}

/// The mandate in a request.
///
/// # Errors
/// A problem: a scope or a window that is none, or too many scopes.
pub(crate) fn giving(request: api::GiveRequest) -> Result<Giving, Refusal> {
    let api::GiveRequest { agent, scopes, until, uses, window } = request;
    let invalid = |detail: String| Refusal::new(api::ErrorCode::RequestInvalid, detail);
    if scopes.len() > MOST_SCOPES {
        return Err(invalid(MandateFault::Scopes.to_string()));
    }
    let scopes = scopes.iter().map(|scope| scope.parse::<Scope>()).collect::<Result<Vec<_>, _>>();
    let scopes = scopes.map_err(|fault| Refusal::new(api::ErrorCode::ScopeInvalid, fault.to_string()))?;
    let window = window.map(|window| window.parse::<Window>()).transpose();
    let window =
        window.map_err(|fault| invalid(format!("`window`: {}", display_safe(&fault.to_string()))))?;
    Ok(Giving { agent, draft: Draft { scopes, until, uses, window } })
}

/// What a login is to confirm.
pub(crate) fn given<'g>(
    snapshot: &Snapshot,
    grants: impl ExactSizeIterator<Item = &'g Grant>,
    login: Started,
    now: Timestamp,
) -> api::GiveResponse {
    let more = grants.len().saturating_sub(MOST_SHOWN);
    let grants = grants.take(MOST_SHOWN).map(|given| grant(snapshot, given, now)).collect();
    api::GiveResponse { grants, more, login: super::login_started(login) }
}

/// What was allowed for long, and until when it counts.
pub(super) fn standing(snapshot: &Snapshot) -> api::StandingStatus {
    let presence = &snapshot.presence;
    api::StandingStatus {
        grants: snapshot.grants.iter().filter(|grant| grant.is_standing()).count(),
        seen_at: presence.seen,
        counts_until: presence.seen.map(|_| presence.stands_until()),
    }
}

/// That what was allowed for long does not count, where that is so.
pub(super) fn unconfirmed(snapshot: &Snapshot, now: Timestamp) -> Option<String> {
    let standing = standing(snapshot).grants;
    (standing > 0 && !snapshot.presence.is_enough(now)).then(|| {
        format!(
            "{standing} of your grants do not count, because you have not signed in for {}: confirm them with \
             `agentauthd grant confirm`, or take them away with `agentauthd grant revoke`",
            snapshot.presence.patience()
        )
    })
}

/// Whether a removal is to be confirmed by a login.
pub(crate) fn removal_by_login(request: &api::RemoveRequest) -> bool {
    request.reauth
}

/// What removing an agent did, or which login has to confirm it.
pub(crate) fn removed(done: Option<Removed>, login: Option<Started>) -> api::RemoveResponse {
    let Removed { grants, failures } = done.unwrap_or_default();
    api::RemoveResponse { grants, failures, login: login.map(super::login_started) }
}

/// What revoking a grant did.
pub(crate) fn revoked(snapshot: &Snapshot, done: Revoked, now: Timestamp) -> api::RevokeResponse {
    api::RevokeResponse { grant: grant(snapshot, &done.grant, now), failures: done.failures }
}
