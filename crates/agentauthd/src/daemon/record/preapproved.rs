//! Consents by policy, as they are written down.

use agentauth_audit::{Event, Kind, Verdict};
use agentauth_core::canonical::canonical_digest;
use agentauth_core::{Scope, Timestamp};
use serde_json::json;

use super::details;

/// What a policy allows an agent that nobody was asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preapproved<'a> {
    pub(crate) agent: &'a str,
    pub(crate) manifest_digest: &'a str,
    /// For whom the agent acts.
    pub(crate) user: Option<&'a str>,
    pub(crate) scope: &'a Scope,
    /// The policy's name.
    pub(crate) policy: &'a str,
    /// The digest of the set of policies that it is in.
    pub(crate) rules: &'a str,
    pub(crate) device: &'a str,
}

impl Preapproved<'_> {
    /// Names it: the same consent has the same name.
    fn id(&self) -> String {
        let says = json!([
            self.agent,
            self.manifest_digest,
            self.user,
            self.scope,
            self.policy,
            self.rules,
            self.device
        ]);
        // Texts always have a canonical form.
        let digest = canonical_digest(&says).unwrap_or_default();
        format!("policy_{}", digest.get(..32).unwrap_or_default())
    }
}

/// A policy allows what nobody was asked about. It gives no grant: what counts is the policy, as long as it is in force.
pub(crate) fn preapproved<'a>(consent: &Preapproved<'a>, now: Timestamp) -> Event<'a> {
    Event {
        id: Some(consent.id().into()),
        user: consent.user.map(Into::into),
        scopes: vec![consent.scope.as_str().into()],
        decision: Some(Verdict::Allow),
        policies: vec![consent.policy.into()],
        grants: vec![format!("policy:{}", consent.policy).into()],
        details: details(json!({
            "agent": consent.agent,
            "manifest_digest": consent.manifest_digest,
            "rules": consent.rules,
            "strength": "policy",
            "binding": "policy",
            "device": consent.device,
        })),
        ..Event::new(Kind::ConsentPreapproved, now)
    }
}
