//! Why a question is refused: what the check that failed says of it.

use crate::decision::{Effect, Reason, Remedy, RemedyTerms};
use crate::grant::GrantKinds;
use crate::policy::Verdict;
use crate::scope::Scope;

/// The check that failed.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) remedy: Option<Remedy>,
    pub(super) terms: RemedyTerms,
    /// A policy forbids it, and an answer of the person's may help.
    pub(super) consent_helps: bool,
    pub(super) detail: Option<String>,
    pub(super) admin_note: Option<String>,
    /// Only the greeting is missing.
    pub(super) ungreeted: bool,
    /// It has to be started by `agentauthd exec`.
    pub(super) unlaunched: bool,
    pub(super) scope: Option<Scope>,
    pub(super) role: Option<String>,
    pub(super) grants: Vec<String>,
    pub(super) kinds: GrantKinds,
    pub(super) policies: Vec<String>,
    pub(super) effects: Vec<Effect>,
}

impl Refusal {
    pub(super) fn new(reason: Reason, remedy: Option<Remedy>) -> Box<Self> {
        Box::new(Self {
            reason,
            remedy,
            terms: RemedyTerms::default(),
            consent_helps: false,
            detail: None,
            admin_note: None,
            ungreeted: false,
            unlaunched: false,
            scope: None,
            role: None,
            grants: Vec::new(),
            kinds: GrantKinds::default(),
            policies: Vec::new(),
            effects: Vec::new(),
        })
    }

    pub(super) fn ungreeted() -> Box<Self> {
        let mut refusal = Self::new(Reason::CallerUnproven, None);
        refusal.ungreeted = true;
        refusal
    }

    pub(super) fn saying(mut self: Box<Self>, detail: impl Into<String>) -> Box<Self> {
        self.detail = Some(detail.into());
        self
    }

    pub(super) fn at(mut self: Box<Self>, scope: &Scope) -> Box<Self> {
        self.scope = Some(scope.clone());
        self
    }

    pub(super) fn of_policy(verdict: &Verdict) -> Box<Self> {
        let policies: Vec<String> = verdict.policies.iter().map(|id| (**id).to_owned()).collect();
        let reason = if verdict.role.is_some() { Reason::RoleRequired } else { Reason::PolicyForbids };
        let said = verdict.reason_user.as_deref().map(str::to_owned);
        let detail = match (said, verdict.errors.is_empty(), policies.as_slice()) {
            (_, false, _) => Some("a policy could not be evaluated (evaluation error), and what cannot be evaluated is not permitted".to_owned()),
            (Some(said), ..) => Some(said),
            (None, true, []) => Some("no policy permits it".to_owned()),
            (None, true, _) if verdict.role.is_some() => None,
            (None, true, ids) => Some(format!("the organisation's policies forbid it ({})", ids.join(", "))),
        };
        let admin_note =
            verdict.errors.first().cloned().or_else(|| verdict.reason_admin.as_deref().map(str::to_owned));
        let mut refusal = Self::new(reason, verdict.remedy);
        refusal.terms = verdict.remedy_terms.clone();
        refusal.consent_helps = verdict.consent_helps();
        refusal.detail = detail;
        refusal.admin_note = admin_note;
        refusal.role = verdict.role.as_deref().map(str::to_owned);
        refusal.policies = policies;
        refusal
    }
}
