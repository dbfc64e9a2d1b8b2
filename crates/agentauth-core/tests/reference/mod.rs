//! The decision told a second time, as plainly as can be, to hold the fast one against: every question from the beginning, by
//! looking at everything there is. Nothing is cut into slices, remembered, indexed or kept ready, and nothing of what does so is
//! called.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod caller;
pub(crate) mod grants;
pub(crate) mod policies;
pub(crate) mod scopes;

use std::collections::BTreeSet;
use std::sync::Arc;

use agentauth_core::consent::Wanted;
use agentauth_core::policy::PolicyFile;
use agentauth_core::session::{OverReason, Session, SessionState};
use agentauth_core::{
    Agent, Catalogue, CheckRequest, Device, Effect, Grant, GrantKind, GrantStrength, GrantUse, Launch,
    Obligations, Presence, Reason, Remedy, RemedyTerms, Scope, Signals, SignedDuration, Strength, Subject,
    Timestamp,
};

use caller::Asker;
use grants::Answer;
use policies::{Asked, Looks, Policies, Verdict};

/// Everything that a decision may look at, but for the policies.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) locked: bool,
    pub(crate) quarantined_device: bool,
    pub(crate) quarantined_agents: Vec<String>,
    pub(crate) session: SessionState,
    pub(crate) keys_fresh_until: Option<Timestamp>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) launches: Vec<Launch>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) declined: Vec<Declined>,
    pub(crate) presence: Presence,
    pub(crate) max_confirmation_age: SignedDuration,
    pub(crate) device: Arc<Device>,
}

/// A no of the person's.
#[derive(Debug, Clone)]
pub(crate) struct Declined {
    pub(crate) agent: String,
    /// Nothing stands for everything.
    pub(crate) scope: Option<Scope>,
    pub(crate) until: Timestamp,
}

/// The policies and the catalogue that they were loaded with.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) files: Vec<PolicyFile>,
    /// The same, as the reference reads them.
    pub(crate) parsed: Policies,
    pub(crate) catalogue: Arc<Catalogue>,
    /// The actions that the vocabulary knows.
    pub(crate) actions: Arc<BTreeSet<String>>,
}

impl Rules {
    pub(crate) fn new(
        files: Vec<PolicyFile>,
        catalogue: Arc<Catalogue>,
        actions: Arc<BTreeSet<String>>,
    ) -> Self {
        Self { parsed: Policies::of(&files), files, catalogue, actions }
    }
}

/// What is to be decided, in the reference's words.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) reason: Option<Reason>,
    pub(crate) remedy: Option<Remedy>,
    pub(crate) terms: RemedyTerms,
    pub(crate) agents: Vec<String>,
    pub(crate) failed_scope: Option<Scope>,
    /// For each grant that is named, those of which it may be one.
    pub(crate) grants: Vec<Vec<String>>,
    pub(crate) kinds: Vec<GrantUse>,
    pub(crate) policies: Vec<String>,
    pub(crate) obligations: Obligations,
    pub(crate) effects: Vec<Effect>,
    pub(crate) high_risk: bool,
}

/// A check that failed.
type Failed = Box<Told>;

/// May the caller do this?
pub(crate) fn decide(
    state: &State,
    rules: &Rules,
    request: &CheckRequest,
    subject: Subject<'_>,
    signals: &dyn Fn(&str) -> Signals,
    now: Timestamp,
) -> Told {
    let asker = caller::who(state, subject);
    let risks: Vec<_> = request.scopes.iter().map(|scope| policies::risk(&rules.catalogue, scope)).collect();
    let mut told = Told::default();
    let outcome = Question { state, rules, request, signals, now, asker: &asker }.checks(&mut told);
    told.reason = Some(Reason::Granted);
    if let Err(failed) = outcome {
        told = Told { kinds: told.kinds, ..*failed };
    }
    told.agents = asker.suspects.iter().map(|name| (*name).to_owned()).collect();
    told.high_risk = risks.into_iter().any(policies::is_high);
    if matches!(subject, Subject::DryRun { .. }) {
        told.effects.clear();
    }
    told
}

struct Question<'a> {
    state: &'a State,
    rules: &'a Rules,
    request: &'a CheckRequest,
    signals: &'a dyn Fn(&str) -> Signals,
    now: Timestamp,
    asker: &'a Asker<'a>,
}

impl Question<'_> {
    /// The checks in their order.
    fn checks(&self, told: &mut Told) -> Result<(), Failed> {
        self.nothing_is_locked()?;
        if let Some((reason, remedy)) = self.asker.fault {
            return fail(reason, remedy);
        }
        self.somebody_is_logged_in()?;
        self.the_login_was_confirmed_lately()?;
        self.the_manifests_ask_for_it()?;
        for (scope, agent) in self.each() {
            told.kinds.push(grants::used(&self.grant(scope, agent)));
        }
        let preapproved = self.the_policies_permit_it(told)?;
        self.grants_cover_it(told, &preapproved)
    }

    fn nothing_is_locked(&self) -> Result<(), Failed> {
        let locked = |name: &&str| self.state.quarantined_agents.iter().any(|locked| locked == name);
        if self.state.locked {
            fail(Reason::Locked, None)
        } else if self.state.quarantined_device || self.asker.suspects.iter().any(locked) {
            fail(Reason::Quarantined, None)
        } else {
            Ok(())
        }
    }

    fn somebody_is_logged_in(&self) -> Result<(), Failed> {
        let session = match &self.state.session {
            SessionState::LoggedOut => return fail(Reason::NotLoggedIn, Some(Remedy::Login)),
            SessionState::Unverified { .. } => return fail(Reason::SessionUnverified, Some(Remedy::Wait)),
            SessionState::Over { why: OverReason::Revoked, .. } => {
                return fail(Reason::SessionRevoked, Some(Remedy::Login));
            }
            SessionState::Over { .. } => return fail(Reason::SessionExpired, Some(Remedy::Login)),
            SessionState::Active(session) => session,
        };
        let now = self.now;
        let minutes = SignedDuration::from_mins;
        let limits = &session.limits;
        if let Some(age) = limits.max_age
            && (now >= session.logged_in_at + age || session.logged_in_at > now + minutes(5))
        {
            return fail(Reason::SessionExpired, Some(Remedy::Login));
        }
        let unconfirmed =
            limits.revalidate_every.is_some_and(|every| now >= session.confirmed_at + every + minutes(1));
        let clock_ran_back = session.confirmed_at > now + SignedDuration::from_secs(5);
        if now >= session.claims.expires_at || unconfirmed || clock_ran_back {
            return match session.claims.refresh_expires_at {
                Some(end) if now >= end => fail(Reason::SessionExpired, Some(Remedy::Login)),
                _ => fail(Reason::SessionUnverified, Some(Remedy::Wait)),
            };
        }
        match self.state.keys_fresh_until {
            Some(until) if now < until => Ok(()),
            _ => fail(Reason::SessionUnverified, Some(Remedy::Wait)),
        }
    }

    fn the_login_was_confirmed_lately(&self) -> Result<(), Failed> {
        let mut scopes = self.request.scopes.iter();
        let risky = scopes.find(|scope| policies::is_high(policies::risk(&self.rules.catalogue, scope)));
        let age = self.now.duration_since(session_of(self.state).confirmed_at);
        match risky {
            Some(scope) if age > self.state.max_confirmation_age => {
                fail_at(scope, Reason::Stale, Some(Remedy::Wait))
            }
            _ => Ok(()),
        }
    }

    fn the_manifests_ask_for_it(&self) -> Result<(), Failed> {
        if !(1..=32).contains(&self.request.scopes.len()) {
            return fail(Reason::NotInManifest, None);
        }
        for (scope, agent) in self.each() {
            let asks = |wide: &Scope| scopes::covers(wide.as_str(), scope.as_str());
            if !agent.manifest.scopes.iter().any(|entry| asks(&entry.scope)) {
                return fail_at(scope, Reason::NotInManifest, None);
            }
        }
        Ok(())
    }

    /// For each scope of each agent: the policy that grants it, too.
    fn the_policies_permit_it(&self, told: &mut Told) -> Result<Vec<Option<String>>, Failed> {
        let mut preapproved = Vec::new();
        for (scope, agent) in self.each() {
            let verdict = self.verdict(scope, agent);
            if !verdict.permitted {
                let reason = if verdict.role { Reason::RoleRequired } else { Reason::PolicyForbids };
                let effects = if self.consent_helps(&verdict, scope) { self.wanted() } else { None };
                return Err(Box::new(Told {
                    reason: Some(reason),
                    remedy: verdict.remedy,
                    terms: verdict.terms,
                    failed_scope: Some(scope.clone()),
                    policies: verdict.policies,
                    effects: effects.unwrap_or_default(),
                    ..Told::default()
                }));
            }
            let new = verdict.policies.into_iter().filter(|id| !told.policies.contains(id));
            told.policies.extend(new.collect::<Vec<_>>());
            let lifetimes = [told.obligations.max_lifetime, verdict.obligations.max_lifetime];
            told.obligations.max_lifetime = lifetimes.into_iter().flatten().min();
            told.obligations.require_proof |= verdict.obligations.require_proof;
            preapproved.push(verdict.preapproved);
        }
        Ok(preapproved)
    }

    fn verdict(&self, scope: &Scope, agent: &Agent) -> Verdict {
        // What the vocabulary does not know, no policy permits.
        if !self.rules.actions.contains(scope.action_name()) {
            return Verdict::default();
        }
        policies::judge(&self.rules.parsed, &self.rules.catalogue, &self.asked(scope, agent))
    }

    /// Whether the policies say so, and look at the grant.
    fn consent_helps(&self, verdict: &Verdict, scope: &Scope) -> bool {
        verdict.remedy == Some(Remedy::Consent) && self.looks(scope).grant
    }

    /// What the person is asked so that the policies permit it: what there is no grant for, not even by a policy, and what was
    /// confirmed too weakly. Nothing where something else stands in the way, too.
    fn wanted(&self) -> Option<Vec<Effect>> {
        let mut questions = Vec::new();
        for (scope, agent) in self.each() {
            if self.declined(scope, agent).is_some() {
                return None;
            }
            let verdict = self.verdict(scope, agent);
            if !verdict.permitted && !self.consent_helps(&verdict, scope) {
                return None;
            }
            let least = if verdict.permitted { None } else { verdict.terms.strength };
            let asks = match self.grant(scope, agent) {
                Answer::Refused(_) => return None,
                Answer::Nothing | Answer::Asleep(_) => verdict.preapproved.is_none(),
                Answer::Allowed(grant) => {
                    let weak = |least: Strength| grants::strength(grant) < GrantStrength::from(least);
                    self.looks(scope).strength && least.is_some_and(weak)
                }
            };
            if asks {
                ask(&mut questions, agent, scope, least);
            }
        }
        Some(questions)
    }

    fn looks(&self, scope: &Scope) -> Looks {
        policies::looks(&self.rules.parsed, &self.rules.catalogue, scope)
    }

    fn grants_cover_it(&self, told: &mut Told, preapproved: &[Option<String>]) -> Result<(), Failed> {
        let mut missing: Option<Told> = None;
        let mut uses = told.kinds.clone();
        for (place, (scope, agent)) in self.each().enumerate() {
            let declined = self.declined(scope, agent);
            if declined == Some(Declines::Everything) {
                return fail_at(scope, Reason::ConsentDenied, Some(Remedy::Consent));
            }
            let ids = |grants: &[&Grant]| grants.iter().map(|grant| grant.id.to_string()).collect::<Vec<_>>();
            let (reason, named) = match self.grant(scope, agent) {
                Answer::Refused(by) => {
                    return Err(Box::new(Told {
                        grants: vec![ids(&by)],
                        ..*failed(Some(scope), Reason::ConsentDenied, Some(Remedy::Consent))
                    }));
                }
                Answer::Allowed(grant) => {
                    let id = grant.id.to_string();
                    let spend = Effect::SpendGrant { id: id.clone() };
                    if grant.uses.is_some() && !told.effects.contains(&spend) {
                        told.effects.push(spend);
                    }
                    if !told.grants.contains(&vec![id.clone()]) {
                        told.grants.push(vec![id]);
                    }
                    continue;
                }
                Answer::Asleep(earlier) => (Reason::GrantExpired, vec![ids(&earlier)]),
                Answer::Nothing => (Reason::ConsentRequired, Vec::new()),
            };
            if declined.is_some() {
                return fail_at(scope, Reason::ConsentDenied, Some(Remedy::Consent));
            }
            // Nobody has to allow what an administrator's policy grants.
            if let Some(policy) = &preapproved[place] {
                let (agent, scope, policy) = (agent.name.to_string(), scope.clone(), policy.clone());
                let id = vec![format!("policy:{policy}")];
                if !told.grants.contains(&id) {
                    told.grants.push(id);
                }
                told.effects.push(Effect::Preapproved { agent, scope, policy });
                uses[place] = GrantUse { kind: GrantKind::Policy, strength: GrantStrength::Policy };
                continue;
            }
            let missing = missing.get_or_insert_with(|| Told {
                grants: named,
                ..*failed(Some(scope), reason, Some(Remedy::Consent))
            });
            ask(&mut missing.effects, agent, scope, None);
        }
        match missing {
            Some(missing) => Err(Box::new(missing)),
            None => {
                told.kinds = uses;
                Ok(())
            }
        }
    }

    fn each(&self) -> impl Iterator<Item = (&Scope, &Agent)> {
        let agents = || self.asker.agents.iter().copied();
        self.request.scopes.iter().flat_map(move |scope| agents().map(move |agent| (scope, agent)))
    }

    fn grant(&self, scope: &Scope, agent: &Agent) -> Answer<'_> {
        grants::answer(self.state, self.looks(scope).strength, agent, scope, self.request, self.now)
    }

    fn asked<'q>(&'q self, scope: &'q Scope, agent: &'q Agent) -> Asked<'q> {
        let signals = self.asker.agents.iter().map(|agent| (self.signals)(&agent.name));
        Asked {
            agent,
            session: session_of(self.state),
            scope,
            assurance: self.asker.assurance,
            greeted: self.asker.greeted,
            caveats: &self.asker.caveats,
            signals: signals.flat_map(Signals::iter).collect(),
            device: &self.state.device,
            seen: self.state.presence.seen,
            grant: grants::used(&self.grant(scope, agent)),
            request: self.request,
            now: self.now,
        }
    }

    /// What the person declined that stands against this.
    fn declined(&self, scope: &Scope, agent: &Agent) -> Option<Declines> {
        let standing = self
            .state
            .declined
            .iter()
            .filter(|declined| declined.agent == *agent.name && self.now < declined.until);
        let of = |declined: &Declined| match &declined.scope {
            None => Some(Declines::Everything),
            Some(no) => scopes::overlap(no.as_str(), scope.as_str()).then_some(Declines::This),
        };
        standing.filter_map(of).max()
    }
}

/// What a no is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Declines {
    This,
    Everything,
}

/// Who is logged in, where somebody is.
pub(crate) fn session_of(state: &State) -> &Session {
    match &state.session {
        SessionState::Active(session) => session,
        other => panic!("nobody is logged in: {other:?}"),
    }
}

fn ask(effects: &mut Vec<Effect>, of: &Agent, scope: &Scope, at_least: Option<Strength>) {
    let wanted = Wanted { scope: scope.clone(), at_least };
    for effect in effects.iter_mut() {
        if let Effect::AskConsent { agent, scopes } = effect
            && **agent == *of.name
        {
            if !scopes.iter().any(|known| known.scope == *scope) {
                scopes.push(wanted);
            }
            return;
        }
    }
    effects.push(Effect::AskConsent { agent: of.name.to_string(), scopes: vec![wanted] });
}

fn failed(scope: Option<&Scope>, reason: Reason, remedy: Option<Remedy>) -> Failed {
    Box::new(Told { reason: Some(reason), remedy, failed_scope: scope.cloned(), ..Told::default() })
}

fn fail(reason: Reason, remedy: Option<Remedy>) -> Result<(), Failed> {
    Err(failed(None, reason, remedy))
}

fn fail_at(scope: &Scope, reason: Reason, remedy: Option<Remedy>) -> Result<(), Failed> {
    Err(failed(Some(scope), reason, remedy))
}
