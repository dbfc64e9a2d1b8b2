//! The one place that names both the words on the socket and the rules, and converts between them.

mod authzen;
mod consent;
mod events;
mod log;
mod passkey;
mod rights;
mod rules;
mod sinks;
mod watching;

use std::time::Duration;

use agentauth_api as api;
use agentauth_core::Agent;
use agentauth_core::agents::Match;
use agentauth_core::caller::CallerFacts;
use agentauth_core::consent::Action;
use agentauth_core::decide::{MAX_SCOPES_PER_REQUEST, assurance};
use agentauth_core::recognise::Grade;
use agentauth_core::scope::Scope;
use agentauth_core::session::{Session, SessionState, User};
use agentauth_core::snapshot::Snapshot;
use agentauth_core::{CheckRequest, Decision, Timestamp};
use agentauth_host::harden::Step;
use agentauth_idp::LoginOptions;
use agentauth_store::Health;

use super::app::App;
use super::keeper::{LoggedOut, View};
use super::logins::{Ask, ByPasskey, Handover, Owner, Progress, Started, Way};
use super::pause::Paused;
use super::record::Asked;
use super::server::Refusal;
use crate::config::{self, addressed};
pub(crate) use authzen::{
    AuthzenFault, Batch, Evaluated, Found, Search, Semantic, Waiting, batch, configuration, evaluated,
    evaluation, evaluations, failed, found, scope, search, untold,
};
pub(crate) use consent::{Answering, consent_answer, consent_answered, consent_confirming, consent_list};
pub(crate) use events::{SessionSeen, event, lagged_event, session_event, session_seen};
pub(crate) use log::{log_ask, logged};
pub(crate) use passkey::{passkey_adding, passkey_name, passkey_removed, passkeys_known};
pub(crate) use rights::{
    Giving, Wish, agent, agents_known, given, giving, grants_known, registered, removal_by_login, removed,
    revoked, wish,
};
pub(crate) use rules::{applying, part};
pub(crate) use watching::{outcome, outcome_recorded};

/// The longest purpose, in bytes.
const MAX_PURPOSE: usize = 1024;
/// The longest `call`, in bytes.
const MAX_CALL: usize = 256;

/// The longest wait of one request.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A question: what the rules take, what is only written down, and how long the caller is ready to wait.
pub(crate) struct Question {
    pub(crate) request: CheckRequest,
    pub(crate) asked: Asked,
    pub(crate) wait: Duration,
}

/// The question in a request.
///
/// # Errors
/// A problem: a scope that does not follow the grammar, or a member beyond its bound.
pub(crate) fn question(request: api::CheckRequest, trace: Option<String>) -> Result<Question, Refusal> {
    let invalid = |detail: String| Refusal::new(api::ErrorCode::RequestInvalid, detail);
    let texts = match (request.scope, request.scopes) {
        (Some(one), more) if more.is_empty() => vec![one],
        (None, more) if !more.is_empty() && more.len() <= MAX_SCOPES_PER_REQUEST => more,
        (None, more) if more.len() > MAX_SCOPES_PER_REQUEST => {
            return Err(invalid(format!(
                "more than {MAX_SCOPES_PER_REQUEST} scopes in one request: ask in several"
            )));
        }
        _ => return Err(invalid("give either `scope` or `scopes`".to_owned())),
    };
    if request.purpose.as_ref().is_some_and(|purpose| purpose.len() > MAX_PURPOSE) {
        return Err(invalid(format!("`purpose` is longer than {MAX_PURPOSE} bytes: shorten it")));
    }
    if request.call.as_ref().is_some_and(|call| call.len() > MAX_CALL) {
        return Err(invalid(format!("`call` is longer than {MAX_CALL} bytes: shorten it")));
    }
    let scopes = texts.iter().map(|text| text.parse::<Scope>()).collect::<Result<Vec<_>, _>>();
    let scopes = scopes.map_err(|fault| Refusal::new(api::ErrorCode::ScopeInvalid, fault.to_string()))?;
    let action = request.action.as_ref().map(Action::new).transpose();
    let action = action.map_err(|fault| {
        let cause = std::error::Error::source(&fault).map(|cause| format!(": {cause}")).unwrap_or_default();
        invalid(format!("{fault}{cause}"))
    })?;
    let (bytes, items) =
        (watching::claimed("bytes", request.bytes)?, watching::claimed("items", request.items)?);
    Ok(Question {
        asked: Asked {
            trace,
            purpose: request.purpose.clone(),
            call: request.call,
            action: action.as_ref().map(|action| action.digest().to_owned()),
            bytes,
            items,
            enforced: None,
        },
        wait: Duration::from_millis(request.wait_ms.unwrap_or(0)).min(MAX_WAIT),
        request: CheckRequest {
            scopes,
            purpose: request.purpose,
            action,
            bytes,
            items,
            dry_run_as: request.dry_run_as,
        },
    })
}

/// What kind of login is asked for, and what beyond the configuration.
///
/// # Errors
/// A problem: a member that the kind has no place for.
pub(crate) fn login_ask(request: api::LoginRequest) -> Result<Ask, Refusal> {
    let api::LoginRequest { method, flow, tenant, login_hint, switch } = request;
    match method.unwrap_or(api::LoginMethod::Browser) {
        api::LoginMethod::Browser => {
            // Whom the browser remembers is the account that is to be replaced.
            let options = LoginOptions { flow, tenant, login_hint, force: switch, ..LoginOptions::default() };
            Ok(if switch { Ask::Switch(options) } else { Ask::Browser(options) })
        }
        api::LoginMethod::Device if flow.is_none() && tenant.is_none() && login_hint.is_none() && !switch => {
            Ok(Ask::Device)
        }
        api::LoginMethod::Device => {
            let detail = "a login on another device takes no `flow`, `tenant`, `login_hint` or `switch`: leave them out";
            Err(Refusal::new(api::ErrorCode::RequestInvalid, detail))
        }
    }
}

/// A login that has begun.
pub(crate) fn login_started(started: Started) -> api::LoginStarted {
    let page = match started.passkey {
        Some(ByPasskey::Page(page)) => Some(page),
        Some(ByPasskey::Here(_)) | None => None,
    };
    let way = match started.way {
        Way::Browser { url, redirect_uri, device_offered } => {
            api::LoginWay::Browser { url, redirect_uri, device_offered, page }
        }
        Way::Device(prompt) => api::LoginWay::Device {
            verification_uri: prompt.verification_uri.into(),
            verification_uri_complete: prompt.verification_uri_complete.map(Into::into),
            user_code: prompt.user_code,
        },
    };
    api::LoginStarted { id: started.id, expires_at: started.expires_at, way }
}

/// Where a login stands.
pub(crate) fn login_progress(progress: Progress) -> api::LoginProgress {
    match progress {
        Progress::Waiting => api::LoginProgress::Waiting,
        Progress::Confirm(handover) => {
            let Handover { from, to, url, redirect_uri, expires_at } = *handover;
            api::LoginProgress::Confirm { from: party(from), to: party(to), url, redirect_uri, expires_at }
        }
        Progress::Done(user) => api::LoginProgress::Done { user: account(&user) },
        Progress::Failed { code, message } => api::LoginProgress::Failed { code: code.to_owned(), message },
    }
}

fn party(owner: Owner) -> api::Party {
    api::Party { account: account(&owner.user), issuer: owner.issuer }
}

/// Which agent is to be started, and how.
pub(crate) struct LaunchAsk {
    pub(crate) agent: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) confined: bool,
    pub(crate) reauth: bool,
}

/// The agent in a request.
///
/// # Errors
/// A problem: no name.
pub(crate) fn launch_ask(request: api::LaunchRequest) -> Result<LaunchAsk, Refusal> {
    let api::LaunchRequest { agent, arguments, confinement, reauth } = request;
    if agent.is_empty() {
        return Err(Refusal::new(api::ErrorCode::RequestInvalid, "name the agent to start in `agent`"));
    }
    Ok(LaunchAsk { agent, arguments, confined: confinement != api::Confinement::None, reauth })
}

/// What the launcher is to start, and which login has to confirm it.
pub(crate) fn launched(
    id: String,
    agent: &Agent,
    settings: &config::Launch,
    login: Option<Started>,
) -> api::LaunchResponse {
    let files =
        agent.manifest.scopes.iter().map(|wanted| &wanted.scope).filter(|scope| scope.resource() == "files");
    let path = |scope: &Scope| Some(scope.context_text().to_owned()).filter(|path| path.starts_with('/'));
    api::LaunchResponse {
        id,
        agent: agent.name.to_string(),
        executable: agent.selectors.executable.clone(),
        script: agent.selectors.script.clone(),
        files: files
            .map(|scope| api::FileAccess { action: scope.action().to_owned(), path: path(scope) })
            .collect(),
        settings: api::LaunchSettings {
            environment: settings.environment.clone(),
            hide: settings.hide.clone(),
            hide_sockets: settings.hide_sockets.as_str().to_owned(),
            sockets: settings.sockets.clone(),
        },
        login: login.map(login_started),
    }
}

/// What a lock did.
pub(crate) fn locked(done: Paused) -> api::LockResponse {
    api::LockResponse { was_locked: done.was_locked, failures: done.failures }
}

/// Whether an unlock is to be confirmed by a login.
pub(crate) fn by_login(request: &api::UnlockRequest) -> bool {
    request.reauth
}

/// What an unlock did, or which login has to confirm it.
pub(crate) fn unlocked(was_locked: bool, login: Option<Started>) -> api::UnlockResponse {
    api::UnlockResponse { was_locked, login: login.map(login_started) }
}

/// Whether a logout is meant for all machines.
pub(crate) fn everywhere(request: &api::LogoutRequest) -> bool {
    request.everywhere
}

/// What a logout did.
pub(crate) fn logged_out(done: LoggedOut) -> api::LogoutResponse {
    api::LogoutResponse {
        was_logged_in: done.was_logged_in,
        revoked_at_provider: done.revoked_at_provider,
        secret_removed: done.secret_removed,
        failures: done.failures,
        sign_out_url: done.sign_out_url,
    }
}

fn account(user: &User) -> api::Account {
    api::Account { subject: user.subject.clone(), name: user.name.clone(), email: user.email.clone() }
}

/// A decision as it goes out.
pub(crate) fn check_response<'a>(
    profile: &str,
    decision: &'a Decision,
    asked: &'a Asked,
    consents: &'a [std::sync::Arc<str>],
) -> api::CheckResponse<'a> {
    api::CheckResponse {
        id: decision.id.as_str().into(),
        decision: if decision.allow { api::Verdict::Allow } else { api::Verdict::Deny },
        reason: decision.reason.as_str().into(),
        remedy: decision.remedy.map(|remedy| remedy.as_str().into()),
        remedy_terms: remedy_terms(decision),
        message: addressed(profile, &decision.message),
        model_message: addressed(profile, &decision.model_message),
        agents: decision.agents.as_slice().into(),
        assurance: decision.assurance.as_str().into(),
        caveats: decision.caveats.iter().map(ToString::to_string).collect(),
        scopes: decision.scopes.iter().map(|scope| scope.as_str().into()).collect(),
        consents: consents.iter().map(|id| (&**id).into()).collect(),
        grants: decision.grants.as_slice().into(),
        policies: decision.policies.as_slice().into(),
        signals: decision.signals.iter().map(|signal| signal.as_str().into()).collect(),
        obligations: api::Obligations {
            max_lifetime_seconds: decision
                .obligations
                .max_lifetime
                .and_then(|limit| u64::try_from(limit.as_secs()).ok()),
            require_proof: decision.obligations.require_proof,
        },
        expires_at: decision.expires_at,
        dry_run: decision.dry_run,
        call: asked.call.as_deref().map(Into::into),
    }
}

/// What exactly the remedy takes, where a policy says so.
pub(crate) fn remedy_terms(decision: &Decision) -> Option<api::RemedyTerms> {
    let terms = Some(&decision.remedy_terms).filter(|terms| !terms.is_empty())?;
    Some(api::RemedyTerms {
        acr: terms.acr.as_deref().map(str::to_owned),
        max_age_seconds: terms.max_age.and_then(|age| u64::try_from(age.as_secs()).ok()),
        strength: terms.strength.map(|strength| strength.as_str().to_owned()),
    })
}

/// The state of everything, for `status`.
pub(crate) fn status(app: &App, pid: u32, facts: &CallerFacts, grade: Grade, now: Timestamp) -> api::Status {
    let snapshot = app.state.load();
    let caller = seen(&snapshot, pid, facts, grade);
    let side = app.provider.as_ref();
    let view = side.map(|side| side.keeper.view()).unwrap_or_default();
    let audit = audit(app);
    let problems = problems(app, &snapshot, &view, &audit, now)
        .iter()
        .map(|problem| addressed(&app.about.profile, problem).into_owned())
        .collect();
    api::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: app.about.started_at,
        profile: app.about.profile.clone(),
        device: app.about.device.clone(),
        locked: snapshot.locked,
        session: session(&snapshot.session, &view, app.about.tenant.as_deref(), now),
        provider: api::ProviderStatus {
            kind: side.map(|side| side.kind.to_owned()),
            issuer: side.map(|side| side.issuer.clone()),
            project_id: side.and_then(|side| side.project_id.clone()),
            base_url: side.map(|side| side.base_url.clone()).unwrap_or_default(),
            reachable: view.reachable,
            last_reached_at: view.last_reached_at,
            last_failure: view.last_failure.clone(),
            redirect_uris: side.map(|side| side.redirect_uris.clone()).unwrap_or_default(),
        },
        keys: api::KeysStatus {
            count: side.map(|side| side.keys.ids().len()).unwrap_or_default(),
            fetched_at: side.and_then(|side| side.keys.fetched_at()),
            usable_until: side.and_then(|side| side.keys.fresh_until()),
        },
        secret_store: secret_store(side.map_or("none", |side| side.store_kind), view.store.as_ref()),
        policy: api::PolicyStatus {
            count: snapshot.policy.len(),
            sources: app.rights.policy_names(),
            digest: snapshot.policy.digest().to_owned(),
            refused: app.rights.refused_policies().map(rules::refused_policies),
        },
        audit,
        sinks: app.sinks.reports().into_iter().map(sinks::status).collect(),
        agents: agents(&snapshot),
        standing: rights::standing(&snapshot),
        signals: watching::signals(&app.watching, now),
        missing_outcomes: watching::missing(&app.watching, now),
        caller,
        problems,
        needless_credentials: app.about.needless_credentials.clone(),
        hardening: app.about.hardening.iter().map(hardening).collect(),
        failed_login: side
            .and_then(|side| side.logins.failed())
            .map(|(code, message)| api::FailedLogin { code: code.to_owned(), message }),
    }
}

fn hardening(step: &Step) -> api::HardeningStatus {
    let failure = step.outcome.as_ref().err().map(ToString::to_string);
    api::HardeningStatus { what: step.what.to_owned(), failure }
}

/// How the daemon sees the process that asks.
fn seen(snapshot: &Snapshot, pid: u32, facts: &CallerFacts, grade: Grade) -> api::CallerStatus {
    let agent = match snapshot.agents.match_process(&facts.process, facts.greeted) {
        Match::Agent { agent, .. } => Some(agent.name.to_string()),
        Match::None => snapshot.launches.over(facts).next().map(|launch| launch.agent.name.to_string()),
        _ => None,
    };
    api::CallerStatus {
        pid,
        executable: facts.process.executable.as_ref().map(|executable| executable.path.clone()),
        agent,
        assurance: assurance(snapshot, facts).as_str().to_owned(),
        caveats: facts.all_caveats().iter().map(ToString::to_string).collect(),
        grade: grade.word().to_owned(),
        greeted: facts.greeted,
    }
}

fn session(state: &SessionState, view: &View, tenant: Option<&str>, now: Timestamp) -> api::SessionStatus {
    let phase = events::phase(state, now);
    let detail = match state {
        SessionState::Unverified { why, .. } => Some(why.clone()),
        SessionState::Over { why, .. } => Some(why.message().to_owned()),
        SessionState::LoggedOut | SessionState::Active(_) => None,
    };
    let empty = api::SessionStatus {
        phase,
        detail,
        user: state.user().map(account),
        roles: Vec::new(),
        permissions: Vec::new(),
        tenant: None,
        logged_in_at: None,
        expires_at: None,
        login_ends_at: None,
        confirmed_at: None,
        next_refresh_at: view.next_refresh_at,
        observed: None,
    };
    let SessionState::Active(session) = state else { return empty };
    api::SessionStatus {
        roles: session.rights.roles.clone(),
        permissions: session.rights.permissions.clone(),
        tenant: session.rights.current_tenant.clone(),
        logged_in_at: Some(session.logged_in_at),
        expires_at: Some(session.claims.expires_at),
        login_ends_at: session.login_ends_at(),
        confirmed_at: Some(session.confirmed_at),
        observed: Some(observed(session, view, tenant)),
        ..empty
    }
}

/// What a verified session shows of the provider's settings.
fn observed(session: &Session, view: &View, tenant: Option<&str>) -> api::ObservedSettings {
    let claims = &session.claims;
    let seconds =
        |from: Timestamp, until: Timestamp| u64::try_from(until.duration_since(from).as_secs()).ok();
    api::ObservedSettings {
        session_token_seconds: seconds(claims.issued_at.unwrap_or(session.confirmed_at), claims.expires_at),
        refresh_token_seconds: claims.refresh_expires_at.and_then(|end| seconds(session.confirmed_at, end)),
        rotates: view.rotates,
        next_refresh_seconds: view.refresh_hint,
        tenants_not_counted: claims.tenants_not_counted(tenant),
        tenants: session.rights.tenants.clone(),
        claim_warnings: claims.warnings.clone(),
    }
}

fn secret_store(kind: &str, health: Option<&Health>) -> api::SecretStoreStatus {
    let detail = match health {
        None | Some(Health::Usable) => None,
        Some(Health::Locked { remedy } | Health::Absent { remedy }) => Some(remedy.clone()),
        Some(Health::Failing { what, remedy }) => Some(format!("{what}: {remedy}")),
    };
    api::SecretStoreStatus { kind: kind.to_owned(), usable: matches!(health, Some(Health::Usable)), detail }
}

fn audit(app: &App) -> api::AuditStatus {
    let (fault, files) = (app.audit.fault(), app.audit.files());
    api::AuditStatus {
        writable: fault.is_none(),
        records: app.audit.newest(),
        files: files.holdings.files,
        bytes: files.holdings.bytes,
        first: files.holdings.first,
        oldest: files.holdings.oldest,
        detail: fault,
    }
}

fn agents(snapshot: &Snapshot) -> Vec<api::AgentStatus> {
    snapshot
        .agents
        .iter()
        .map(|agent| api::AgentStatus {
            name: agent.name.to_string(),
            version: agent.manifest.version.clone(),
            executable: agent.selectors.executable.clone(),
            script: agent.selectors.script.clone(),
            grants: snapshot.grants.of_agent(&agent.name).count(),
        })
        .collect()
}

/// What is wrong, and what to do about it.
fn problems(
    app: &App,
    snapshot: &Snapshot,
    view: &View,
    audit: &api::AuditStatus,
    now: Timestamp,
) -> Vec<String> {
    let mut problems = app.about.problems.clone();
    problems.extend(app.rights.rule_problems());
    problems.extend(app.domains.problems());
    problems.extend(app.rights.refused_policies().iter().flat_map(rules::refusal_told));
    if app.provider.is_none() {
        problems.push(
            "no provider is configured: run `agentauthd setup`, then start the daemon again".to_owned(),
        );
    }
    if let SessionState::Over { why, .. } = &snapshot.session {
        problems.push(why.message().to_owned());
    }
    problems.extend(view.problem.clone());
    if let Some(failure) = &view.last_failure {
        problems.push(format!("the provider could not be asked: {failure}"));
    }
    if snapshot.keys_fresh_until.is_some_and(|until| until <= now) {
        problems.push(
            "the provider's keys are too old to be used; they are fetched as soon as it can be reached"
                .to_owned(),
        );
    }
    problems.extend(rights::unconfirmed(snapshot, now));
    problems.extend(app.sinks.reports().iter().filter_map(sinks::problem));
    problems.extend(watching::noticed(&app.watching, now));
    if let Some(detail) = &audit.detail {
        problems.push(format!("nothing can be recorded, so nothing is allowed: {detail}"));
    }
    problems.extend(app.audit.files().problems);
    problems
}
