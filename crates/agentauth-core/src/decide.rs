//! The decision, as one pure call: a snapshot, a request, a caller and a time in; allow or deny, with the reason and
//! the way forward, out.
//!
//! The checks run in a fixed order, each over every scope and every agent concerned, and the first that fails names
//! the reason. So nobody is asked for a consent that a policy would make worthless. The last check, that the
//! decision is written down, belongs to the caller of [`decide`]: see [`Decision::audit_unavailable`].

mod asking;
mod identify;
mod refusal;

use std::sync::Arc;

use crate::agent::Agent;
use crate::agents::Assurance;
use crate::caller::CallerFacts;
use crate::caveat::{Caveat, CaveatKinds};
use crate::consent::Action;
use crate::decision::{Decision, DecisionId, Effect, Obligations, Reason, Remedy, RemedyTerms};
use crate::grant::{Grant, GrantAnswer, GrantKinds, GrantUse, Occasion, Standing};
use crate::messages::{self, Circumstances};
use crate::policy::{Claimed, Question, Verdict};
use crate::scope::Scope;
use crate::session::{Expiry, Session, SessionFault};
use crate::signals::Signals;
use crate::snapshot::Snapshot;
use crate::text::display_safe_within;
use crate::time::{SignedDuration, Timestamp};

use asking::ask;
use refusal::Refusal;

/// The most scopes of one request.
pub const MAX_SCOPES_PER_REQUEST: usize = 32;

/// The longest that a cached copy of an allow counts: nobody can call back what is not asked again.
pub const MAX_CACHED: SignedDuration = SignedDuration::from_secs(60);

/// May the caller do this?
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CheckRequest {
    /// What for; all must be allowed.
    pub scopes: Vec<Scope>,
    /// Why, in the caller's words: only ever shown, and given to policies as a claim.
    pub purpose: Option<String>,
    /// What exactly is to be done; an approval is bound to its digest.
    pub action: Option<Action>,
    /// How many bytes it will move, by the caller's word; 0 where it does not say. Given to policies as a claim.
    pub bytes: u64,
    /// How many items, likewise.
    pub items: u64,
    /// The agent as which a person tries the question; see [`Subject::DryRun`].
    pub dry_run_as: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub enum Subject<'a> {
    /// A process.
    Caller(&'a CallerFacts),
    /// A person, to see what an agent would be told. The agent is assumed to be proven as well as its registration
    /// lets it be without `agentauthd exec`, unless it demands that, and to have answered the greeting; nothing is spent and nobody is asked.
    DryRun {
        /// The agent's name.
        agent: &'a str,
    },
}

/// Tells what is unusual about an agent that asks, and is proven to be it. The second argument says of a scope whether
/// nothing new happens with it unnoticed: the person allowed exactly this, or it is not allowed as yet.
pub type Watch<'w> = &'w mut dyn FnMut(&Agent, &dyn Fn(&Scope) -> bool) -> Signals;

/// Decides, with nobody watching what agents usually do.
#[must_use]
pub fn decide(
    snapshot: &Snapshot,
    request: &CheckRequest,
    subject: Subject<'_>,
    id: DecisionId,
    now: Timestamp,
) -> Decision {
    decide_watched(snapshot, request, subject, &mut |_, _| Signals::NONE, id, now)
}

/// Decides. `watch` is asked once for each agent concerned, before anything is decided.
#[must_use]
pub fn decide_watched(
    snapshot: &Snapshot,
    request: &CheckRequest,
    subject: Subject<'_>,
    watch: Watch<'_>,
    id: DecisionId,
    now: Timestamp,
) -> Decision {
    let caller = identify::identify(&snapshot.agents, &snapshot.launches, subject);
    // Who only seems to be an agent says nothing about it.
    let signals = if caller.fault.is_none() {
        let asks =
            |agent: &Arc<Agent>| watch(agent, &|scope| is_by_name(snapshot, request, agent, scope, now));
        caller.agents.iter().map(asks).fold(Signals::NONE, Signals::and)
    } else {
        Signals::NONE
    };
    let case = Case {
        signals,
        snapshot,
        request,
        now,
        agents: &caller.agents,
        assurance: caller.assurance,
        greeted: caller.greeted,
        caveats: &caller.caveats,
        high_risk: request.scopes.iter().any(|scope| snapshot.catalogue.risk(scope).is_high()),
    };
    let high_risk = case.high_risk;
    let outcome = case.check(&caller.suspects, caller.fault);
    let agents: Vec<String> = caller.suspects.iter().map(|name| (**name).to_owned()).collect();
    let dry_run = matches!(subject, Subject::DryRun { .. });
    let about = Circumstances {
        agents: &agents,
        scopes: &request.scopes,
        dry_run: dry_run.then_some(caller.assurance),
        caveats: &caller.caveats,
        ..Circumstances::default()
    };
    let (message, model_message) = match &outcome {
        Ok(_) => messages::explain(Reason::Granted, &about),
        Err(refusal) => messages::explain(
            refusal.reason,
            &Circumstances {
                failed: refusal.scope.as_ref(),
                detail: refusal.detail.as_deref(),
                role: refusal.role.as_deref(),
                remedy: refusal.remedy,
                terms: Some(&refusal.terms),
                ungreeted: refusal.ungreeted,
                unlaunched: refusal.unlaunched,
                ..about
            },
        ),
    };
    let mut decision = Decision {
        id,
        allow: outcome.is_ok(),
        reason: Reason::Granted,
        remedy: None,
        remedy_terms: RemedyTerms::default(),
        message,
        model_message,
        admin_note: None,
        agents,
        assurance: caller.assurance,
        caveats: caller.caveats,
        user: snapshot.session.user().map(|user| user.subject.clone()),
        scopes: request.scopes.clone(),
        failed_scope: None,
        grants: Vec::new(),
        grant_kinds: GrantKinds::default(),
        policies: Vec::new(),
        obligations: Obligations::default(),
        expires_at: now,
        dry_run,
        high_risk,
        signals,
        effects: Vec::new(),
    };
    match outcome {
        Ok(allowed) => {
            decision.grants = allowed.grants;
            decision.grant_kinds = allowed.kinds;
            decision.policies = allowed.policies;
            decision.obligations = allowed.obligations;
            decision.expires_at = allowed.expires_at;
            decision.effects = allowed.effects;
        }
        Err(refusal) => {
            let refusal = *refusal;
            decision.reason = refusal.reason;
            decision.remedy = refusal.remedy;
            decision.remedy_terms = refusal.terms;
            decision.admin_note = refusal.admin_note;
            decision.failed_scope = refusal.scope;
            decision.grants = refusal.grants;
            decision.grant_kinds = refusal.kinds;
            decision.policies = refusal.policies;
            decision.effects = refusal.effects;
        }
    }
    if dry_run {
        decision.effects.clear();
    }
    decision
}

/// How well this caller is proven to be its agent: what a decision about it would say.
#[must_use]
pub fn assurance(snapshot: &Snapshot, caller: &CallerFacts) -> Assurance {
    identify::identify(&snapshot.agents, &snapshot.launches, Subject::Caller(caller)).assurance
}

/// The agents whose rights limit this caller, its own first; none where it is not proven to be one.
#[must_use]
pub fn agents(snapshot: &Snapshot, caller: &CallerFacts) -> Vec<Arc<Agent>> {
    let found = identify::identify(&snapshot.agents, &snapshot.launches, Subject::Caller(caller));
    if found.fault.is_none() { found.agents } else { Vec::new() }
}

/// Whether the person allowed exactly this scope, or it is not allowed as yet, so that the person is asked.
fn is_by_name(
    snapshot: &Snapshot,
    request: &CheckRequest,
    agent: &Agent,
    scope: &Scope,
    now: Timestamp,
) -> bool {
    let Ok(session) = snapshot.session.usable_at(now) else { return true };
    let action = request.action.as_ref().map(Action::digest);
    let occasion = occasion(snapshot, session, agent, action, now);
    // The very grant that the decision uses.
    match snapshot.grants.judge_by(snapshot.policy.prefers(scope), &agent.name, scope, &occasion) {
        GrantAnswer::Live(grant) => grant.scope == *scope,
        // What a policy grants was never allowed by name.
        _ => !snapshot.policy.may_preapprove(&agent.name, scope),
    }
}

fn occasion<'a>(
    snapshot: &Snapshot,
    session: &'a Session,
    agent: &'a Agent,
    action: Option<&'a str>,
    now: Timestamp,
) -> Occasion<'a> {
    Occasion {
        now,
        login: session.logged_in_at,
        user: &session.user.subject,
        presence: snapshot.presence,
        manifest_digest: &agent.manifest_digest,
        action,
    }
}

/// One question with everything that is known of it.
struct Case<'a> {
    snapshot: &'a Snapshot,
    request: &'a CheckRequest,
    now: Timestamp,
    /// The caller's agent, and the agents among its ancestors.
    agents: &'a [Arc<Agent>],
    assurance: Assurance,
    greeted: bool,
    caveats: &'a [Caveat],
    signals: Signals,
    high_risk: bool,
}

/// What an allow rests on.
struct Allowed {
    grants: Vec<String>,
    kinds: GrantKinds,
    policies: Vec<String>,
    obligations: Obligations,
    expires_at: Timestamp,
    effects: Vec<Effect>,
    /// Which policy grants what nobody is asked about, for pairs of scope and agent by their position.
    preapproved: Vec<(usize, Arc<str>)>,
}

impl Case<'_> {
    fn check(&self, suspects: &[Arc<str>], fault: Option<Box<Refusal>>) -> Result<Allowed, Box<Refusal>> {
        self.not_locked(suspects)?;
        fault.map_or(Ok(()), Err)?;
        if self.agents.is_empty() {
            return Err(Refusal::new(Reason::AgentUnknown, Some(Remedy::Register)));
        }
        let session = self.session()?;
        self.fresh(session)?;
        self.in_manifest()?;
        let granted = self.permitted(session).and_then(|permitted| self.granted(session, permitted));
        granted.map_err(|mut refusal| {
            for (scope, agent) in self.each() {
                refusal.kinds.push(self.grant(session, scope, agent).used());
            }
            if refusal.consent_helps {
                refusal.effects = self.wanted(session).unwrap_or_default();
            }
            refusal
        })
    }

    /// What there is of grants for it, without taking a use.
    fn grant(&self, session: &Session, scope: &Scope, agent: &Agent) -> GrantAnswer<'_> {
        let action = self.request.action.as_ref().map(Action::digest);
        let occasion = occasion(self.snapshot, session, agent, action, self.now);
        self.snapshot.grants.judge_by(self.snapshot.policy.prefers(scope), &agent.name, scope, &occasion)
    }

    /// Check 1: nobody has locked everything, the device or one of the agents.
    fn not_locked(&self, suspects: &[Arc<str>]) -> Result<(), Box<Refusal>> {
        if self.snapshot.locked {
            return Err(Refusal::new(Reason::Locked, None));
        }
        if self.snapshot.quarantined_device {
            return Err(
                Refusal::new(Reason::Quarantined, None).saying("an administrator has locked this device")
            );
        }
        let locked = suspects.iter().find(|name| self.snapshot.quarantined_agents.contains(&***name));
        locked.map_or(Ok(()), |name| {
            let detail = format!("an administrator has locked the agent `{}`", display_safe_within(name, 64));
            Err(Refusal::new(Reason::Quarantined, None).saying(detail))
        })
    }

    /// Check 3: a verified session that counts now, verified with keys that are fresh.
    fn session(&self) -> Result<&Arc<Session>, Box<Refusal>> {
        let session = self.snapshot.session.usable_at(self.now).map_err(|fault| match fault {
            SessionFault::NotLoggedIn => Refusal::new(Reason::NotLoggedIn, Some(Remedy::Login)),
            SessionFault::Expired(expiry) => {
                let refusal = Refusal::new(Reason::SessionExpired, Some(Remedy::Login));
                match expiry {
                    Expiry::Provider => refusal,
                    Expiry::AnswerLost => {
                        refusal.saying("an answer of the provider was lost, and with it the login")
                    }
                    Expiry::MaxAge => {
                        refusal.saying("the login has reached the age that the configuration allows")
                    }
                }
            }
            SessionFault::Unverified => Refusal::new(Reason::SessionUnverified, Some(Remedy::Wait)),
            SessionFault::Revoked => Refusal::new(Reason::SessionRevoked, Some(Remedy::Login)),
        })?;
        match self.snapshot.keys_fresh_until {
            Some(until) if self.now < until => Ok(session),
            _ => Err(Refusal::new(Reason::SessionUnverified, Some(Remedy::Wait))
                .saying("the provider's keys could not be refreshed, so the login cannot be verified")),
        }
    }

    /// Check 4: for what cannot be undone, the provider has confirmed the session recently.
    fn fresh(&self, session: &Session) -> Result<(), Box<Refusal>> {
        let age = self.now.duration_since(session.confirmed_at);
        if self.high_risk && age > self.snapshot.max_confirmation_age {
            let scope =
                self.request.scopes.iter().find(|scope| self.snapshot.catalogue.risk(scope).is_high());
            let detail = format!(
                "the provider last confirmed the login {} s ago, and for so risky an action {} s is the most",
                age.as_secs(),
                self.snapshot.max_confirmation_age.as_secs()
            );
            let mut refusal = Refusal::new(Reason::Stale, Some(Remedy::Wait)).saying(detail);
            refusal.scope = scope.cloned();
            return Err(refusal);
        }
        Ok(())
    }

    /// Check 5: every agent's manifest asks for it.
    fn in_manifest(&self) -> Result<(), Box<Refusal>> {
        let scopes = &self.request.scopes;
        if scopes.is_empty() || scopes.len() > MAX_SCOPES_PER_REQUEST {
            let detail = format!(
                "a request names 1 to {MAX_SCOPES_PER_REQUEST} scopes, and this one names {}",
                scopes.len()
            );
            return Err(Refusal::new(Reason::NotInManifest, None).saying(detail));
        }
        for (scope, agent) in self.each() {
            if !agent.manifest.covers(scope) {
                let detail = format!("the manifest of `{}` does not ask for it", agent.name);
                return Err(Refusal::new(Reason::NotInManifest, None).at(scope).saying(detail));
            }
        }
        Ok(())
    }

    /// Check 6: the policies permit it to every agent.
    fn permitted(&self, session: &Arc<Session>) -> Result<Allowed, Box<Refusal>> {
        let mut policies: Vec<String> = Vec::new();
        let mut obligations = Obligations::default();
        let mut expires_at = self.cached_until(session);
        let mut preapproved = Vec::new();
        for (position, (scope, agent)) in self.each().enumerate() {
            let verdict = self.verdict(session, scope, agent);
            if !verdict.permitted {
                return Err(Refusal::of_policy(&verdict).at(scope));
            }
            add_names(&mut policies, &verdict.policies);
            preapproved.extend(verdict.preapproved.clone().map(|policy| (position, policy)));
            obligations = obligations.and(verdict.obligations);
            if verdict.depends_on_time {
                expires_at = self.now;
            }
        }
        if let Some(lifetime) = obligations.max_lifetime {
            expires_at = expires_at.min(later(self.now, lifetime));
        }
        Ok(Allowed {
            grants: Vec::new(),
            kinds: GrantKinds::default(),
            policies,
            obligations,
            expires_at,
            effects: Vec::new(),
            preapproved,
        })
    }

    /// What the policies say of one scope for one agent.
    fn verdict(&self, session: &Arc<Session>, scope: &Scope, agent: &Arc<Agent>) -> Arc<Verdict> {
        self.snapshot.policy.judge(&Question {
            agent,
            session,
            scope,
            risk: self.snapshot.catalogue.risk(scope),
            assurance: self.assurance,
            greeted: self.greeted,
            tampered: self.caveats.iter().any(Caveat::is_tampering),
            caveats: CaveatKinds::of(self.caveats),
            signals: self.signals,
            device: &self.snapshot.device,
            seen: self.snapshot.presence.seen,
            grant: &|| -> GrantUse { self.grant(session, scope, agent).used() },
            claimed: Claimed {
                purpose: self.request.purpose.as_deref(),
                action: self.request.action.as_ref().map(Action::digest),
                bytes: self.request.bytes,
                items: self.request.items,
            },
            now: self.now,
        })
    }

    /// Check 7: every agent has a live grant for it, or a policy grants it. What is refused names the reason before what is only missing: no
    /// answer to a question would make it an allow. All that is missing is asked for at once.
    fn granted(&self, session: &Session, mut allowed: Allowed) -> Result<Allowed, Box<Refusal>> {
        let mut missing: Option<Box<Refusal>> = None;
        let refused = |scope: &Scope| Refusal::new(Reason::ConsentDenied, Some(Remedy::Consent)).at(scope);
        let preapproved = std::mem::take(&mut allowed.preapproved);
        for (position, (scope, agent)) in self.each().enumerate() {
            let declined = self.snapshot.declined.of(&agent.name, scope, self.now);
            if let Some(declined) = declined.filter(|declined| declined.is_everything()) {
                return Err(refused(scope).saying(declined.to_string()));
            }
            let (reason, earlier, detail) = match self.grant(session, scope, agent) {
                GrantAnswer::Live(grant) => {
                    allowed.kinds.push(grant.used());
                    add_names(&mut allowed.grants, std::slice::from_ref(&grant.id));
                    let spend = Effect::SpendGrant { id: (*grant.id).to_owned() };
                    if grant.uses.is_some() && !allowed.effects.contains(&spend) {
                        allowed.effects.push(spend);
                        // The next check is another use.
                        allowed.expires_at = self.now;
                    }
                    if let Some(end) = grant.holds_until(self.now, &self.snapshot.presence) {
                        allowed.expires_at = allowed.expires_at.min(end);
                    }
                    continue;
                }
                GrantAnswer::Refused(grant) => {
                    let mut refusal = refused(scope);
                    refusal.grants = vec![(*grant.id).to_owned()];
                    return Err(refusal);
                }
                GrantAnswer::Expired(grant, why) => {
                    (Reason::GrantExpired, vec![(*grant.id).to_owned()], self.asleep(grant, why))
                }
                GrantAnswer::Missing => (Reason::ConsentRequired, Vec::new(), None),
            };
            if let Some(declined) = declined {
                return Err(refused(scope).saying(declined.to_string()));
            }
            if let Some((_, policy)) = preapproved.iter().find(|(of, _)| *of == position) {
                allowed.kinds.push(GrantUse::PREAPPROVED);
                add_names(&mut allowed.grants, &[format!("policy:{policy}").into()]);
                allowed.effects.push(Effect::Preapproved {
                    agent: (*agent.name).to_owned(),
                    scope: scope.clone(),
                    policy: (**policy).to_owned(),
                });
                continue;
            }
            let refusal = missing.get_or_insert_with(|| {
                let mut refusal = Refusal::new(reason, Some(Remedy::Consent)).at(scope);
                refusal.grants = earlier;
                refusal.detail = detail;
                refusal
            });
            ask(&mut refusal.effects, &agent.name, scope, None);
        }
        missing.map_or(Ok(allowed), Err)
    }

    /// Why a grant that has not ended does not hold now, and when it may again.
    fn asleep(&self, grant: &Grant, why: Standing) -> Option<String> {
        match why {
            Standing::Ended | Standing::Holds => None,
            Standing::Closed => grant.window().map(|window| {
                let opens = window
                    .opens_after(self.now)
                    .map_or_else(String::new, |opens| format!(", next from {opens}"));
                format!("its mandate holds {window}{opens}")
            }),
            Standing::Unconfirmed => {
                let seen = self.snapshot.presence.seen.map_or_else(
                    || "nobody is known to have signed in for it".to_owned(),
                    |seen| format!("you last signed in at {seen}"),
                );
                Some(format!(
                    "{seen}, and what you allowed for long holds for {} after that: sign in anew with \
                     `agentauthd grant confirm`, or",
                    self.snapshot.presence.patience()
                ))
            }
        }
    }

    /// Every scope for every agent whose rights count.
    fn each(&self) -> impl Iterator<Item = (&Scope, &Arc<Agent>)> {
        self.request.scopes.iter().flat_map(|scope| self.agents.iter().map(move |agent| (scope, agent)))
    }

    /// Until when an allow stays true as far as session, keys and freshness go.
    fn cached_until(&self, session: &Session) -> Timestamp {
        let mut until = later(self.now, MAX_CACHED).min(session.usable_until());
        if let Some(fresh) = self.snapshot.keys_fresh_until {
            until = until.min(fresh);
        }
        if self.high_risk {
            until = until.min(later(session.confirmed_at, self.snapshot.max_confirmation_age));
        }
        until
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn add_names(names: &mut Vec<String>, more: &[Arc<str>]) {
    for name in more {
        if !names.iter().any(|known| **known == **name) {
            names.push((**name).to_owned());
        }
    }
}
