//! What must come of a scenario, and how what came of it differs.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::agents::Assurance;
use crate::decision::{Decision, Effect, Reason, Remedy};
use crate::scope::Scope;
use crate::text::display_safe_within;
use crate::time::Timestamp;

/// The longest text of a difference, in characters.
const SHOWN: usize = 600;

/// What must be so; what is absent is not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// `allow` or `deny`.
    pub decision: Option<String>,
    /// The reason.
    pub reason: Option<Reason>,
    /// What would help; `null`: nothing does.
    #[serde(deserialize_with = "named")]
    pub remedy: Option<Option<Remedy>>,
    /// The policies that decided, in order.
    pub policies: Option<Vec<String>>,
    /// How well the caller is proven.
    pub assurance: Option<Assurance>,
    /// What keeps it from being better proven.
    pub caveats: Option<Vec<String>>,
    /// The agents concerned.
    pub agents: Option<Vec<String>>,
    /// The scope at which the check failed.
    pub scope: Option<Scope>,
    /// How many grants were used.
    pub grants: Option<usize>,
    /// How much the decision changes.
    pub effects: Option<usize>,
    /// What the person is asked, as `AGENT SCOPE`, and behind that the strength that a policy demands.
    pub asks: Option<Vec<String>>,
    /// Whether it is risky.
    pub high_risk: Option<bool>,
    /// Until when a copy of the answer counts.
    pub expires_at: Option<Timestamp>,
    /// How long a credential may live; 0 where nothing is demanded.
    pub max_lifetime_seconds: Option<i64>,
    /// Whether a credential must be bound to a key.
    pub require_proof: Option<bool>,
    /// The class of login that helps.
    pub remedy_acr: Option<String>,
    /// How old the login may be.
    pub remedy_max_age_seconds: Option<i64>,
    /// Parts of what the person is told.
    pub says: Vec<String>,
    /// Parts of what a model is told.
    pub model_says: Vec<String>,
}

/// One thing that is not as it must be. Safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The member of the expectation.
    pub member: &'static str,
    /// What must be.
    pub expected: String,
    /// What is.
    pub found: String,
}

impl Expectation {
    /// Everything in which this decision differs.
    #[must_use]
    pub fn differences(&self, decision: &Decision) -> Vec<Difference> {
        let mut found = Differences::default();
        found.word("decision", if decision.allow { "allow" } else { "deny" }, self.decision.as_deref());
        found.value("reason", decision.reason, self.reason);
        let remedy = |remedy: Option<Remedy>| remedy.map_or("none", Remedy::as_str);
        found.word("remedy", remedy(decision.remedy), self.remedy.map(remedy));
        found.list("policies", &decision.policies, self.policies.as_deref());
        found.value("assurance", decision.assurance, self.assurance);
        let caveats: Vec<_> = decision.caveats.iter().map(ToString::to_string).collect();
        found.list("caveats", &caveats, self.caveats.as_deref());
        found.list("agents", &decision.agents, self.agents.as_deref());
        if let Some(scope) = &self.scope {
            let failed = decision.failed_scope.as_ref().map(ToString::to_string).unwrap_or_default();
            found.word("scope", &failed, Some(scope.as_str()));
        }
        found.value("grants", decision.grants.len(), self.grants);
        found.value("effects", decision.effects.len(), self.effects);
        let asked = decision.effects.iter().filter_map(|effect| match effect {
            Effect::AskConsent { agent, scopes } => Some(scopes.iter().map(move |wanted| {
                let least = wanted.at_least.map(|least| format!(" {least}")).unwrap_or_default();
                format!("{agent} {}{least}", wanted.scope)
            })),
            Effect::Preapproved { .. } | Effect::SpendGrant { .. } => None,
        });
        found.list("asks", &asked.flatten().collect::<Vec<_>>(), self.asks.as_deref());
        found.value("high_risk", decision.high_risk, self.high_risk);
        found.value("expires_at", decision.expires_at, self.expires_at);
        let lifetime = decision.obligations.max_lifetime.map_or(0, |lifetime| lifetime.as_secs());
        found.value("max_lifetime_seconds", lifetime, self.max_lifetime_seconds);
        found.value("require_proof", decision.obligations.require_proof, self.require_proof);
        let terms = &decision.remedy_terms;
        found.word("remedy_acr", terms.acr.as_deref().unwrap_or_default(), self.remedy_acr.as_deref());
        let max_age = terms.max_age.map_or(0, |age| age.as_secs());
        found.value("remedy_max_age_seconds", max_age, self.remedy_max_age_seconds);
        for (member, text, parts) in [
            ("says", &decision.message, &self.says),
            ("model_says", &decision.model_message, &self.model_says),
        ] {
            for part in parts.iter().filter(|part| !text.contains(&***part)) {
                found.push(member, part, text);
            }
        }
        found.0
    }
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn value<T: PartialEq + fmt::Display>(&mut self, member: &'static str, is: T, due: Option<T>) {
        if let Some(due) = due.filter(|due| *due != is) {
            self.push(member, &due.to_string(), &is.to_string());
        }
    }

    fn word(&mut self, member: &'static str, is: &str, due: Option<&str>) {
        if let Some(due) = due.filter(|due| *due != is) {
            self.push(member, due, is);
        }
    }

    fn list(&mut self, member: &'static str, is: &[String], due: Option<&[String]>) {
        let shown = |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        if let Some(due) = due.filter(|due| *due != is) {
            self.push(member, &shown(due), &shown(is));
        }
    }

    fn push(&mut self, member: &'static str, expected: &str, found: &str) {
        let shown = |text: &str| display_safe_within(text, SHOWN);
        self.0.push(Difference { member, expected: shown(expected), found: shown(found) });
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} is {}, and {} is due", self.member, self.found, self.expected)
    }
}

/// Tells `null` from a member that is absent.
fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Remedy>>, D::Error> {
    Option::<Remedy>::deserialize(deserializer).map(Some)
}
