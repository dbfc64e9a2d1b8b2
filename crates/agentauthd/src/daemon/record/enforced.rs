//! What an enforcer asks about others, and what its domain says: beside the decision whether the enforcer may ask.

use agentauth_core::domain::{Question, Sought, Thing, Verdict};
use agentauth_core::text::display_safe_within;
use agentauth_core::{Decision, Timestamp};
use serde_json::{Value, json};

/// The most characters of a name in a record.
const LONGEST: usize = 256;
/// The most policies in a record.
const POLICIES: usize = 32;

/// What an enforcer asks about, with what is recorded of it.
#[derive(Clone, Debug)]
pub(crate) struct Enforced {
    /// What the domain says; nothing for a search by one that can be used.
    pub(crate) verdict: Option<Verdict>,
    /// For the record. Safe to show.
    pub(super) says: Value,
}

impl Enforced {
    /// One question, and what the domain says to it. `digest`: the domain's, where it can be used.
    pub(crate) fn question(
        domain: &str,
        digest: Option<&str>,
        question: &Question,
        verdict: Verdict,
    ) -> Self {
        let policies: Vec<&String> = verdict.policies.iter().take(POLICIES).collect();
        let says = json!({
            "domain": domain,
            "digest": digest,
            "subject": thing(&question.subject),
            "action": display_safe_within(&question.action, LONGEST),
            "resource": thing(&question.resource),
            "permitted": verdict.permitted,
            "policies": policies,
        });
        Self { verdict: Some(verdict), says }
    }

    /// A search; `fault`: why the domain cannot be used.
    pub(crate) fn search(
        domain: &str,
        digest: Option<&str>,
        fault: Option<&str>,
        sought: Sought,
        question: &Question,
    ) -> Self {
        let mut says = json!({ "domain": domain, "digest": digest });
        let kind = |of: &Thing| Value::from(display_safe_within(&of.kind, LONGEST));
        let action = || Value::from(display_safe_within(&question.action, LONGEST));
        let (subject, resource) = (&question.subject, &question.resource);
        let members = match sought {
            Sought::Subjects => {
                [("search", kind(subject)), ("action", action()), ("resource", thing(resource))]
            }
            Sought::Resources => {
                [("subject", thing(subject)), ("action", action()), ("search", kind(resource))]
            }
            Sought::Actions => {
                [("subject", thing(subject)), ("search", "action".into()), ("resource", thing(resource))]
            }
        };
        if let Some(says) = says.as_object_mut() {
            says.extend(members.map(|(name, member)| (name.to_owned(), member)));
        }
        let denied = |why: &str| Verdict { unasked: Some(why.to_owned()), ..Verdict::default() };
        Self { verdict: fault.map(denied), says }
    }

    /// The decision whether the enforcer may ask, when the domain has its say: an allow only where both allow.
    pub(crate) fn over(&self, decision: Decision, now: Timestamp) -> Decision {
        match &self.verdict {
            Some(verdict) if !verdict.permitted => {
                let why = verdict.unasked.as_deref().or(verdict.reason_user.as_deref());
                decision.domain_forbids(why, now)
            }
            _ => decision,
        }
    }
}

fn thing(thing: &Thing) -> Value {
    json!({
        "type": display_safe_within(&thing.kind, LONGEST),
        "id": display_safe_within(&thing.id, LONGEST),
    })
}
