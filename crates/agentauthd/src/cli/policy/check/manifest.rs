//! What the policies make of a changed manifest, scope by scope.

use std::path::Path;
use std::sync::Arc;

use agentauth_core::catalogue::Strength;
use agentauth_core::checks::Check;
use agentauth_core::manifest::{Manifest, ManifestDiff, ScopeChange};
use agentauth_core::policy::inspect::RuleText;
use agentauth_core::{Catalogue, Decision, Policy, Reason, Remedy, RiskClass, Scope};
use serde::Serialize;
use serde_json::Map;

use super::super::super::Failure;
use super::super::super::agent::manifest_file;
use super::super::super::output::{self, BAD, FAINT, GOOD, STRONG, WARN};
use super::super::hypothesis::{Hypothesis, Question};

/// The kinds of grants that a person can give, the lasting ones first.
const GRANTS: [&str; 4] = ["always", "until", "session", "once"];

/// A manifest as it was and as it is to be.
pub(super) struct Change {
    new: Manifest,
    diff: ManifestDiff,
}

/// What the policies make of it, as JSON shows it.
#[derive(Debug, Serialize)]
pub(super) struct Verdicts {
    agent: String,
    version: String,
    /// The digest of the manifest as it is to be.
    digest: String,
    scopes: Vec<Judged>,
}

/// What the policies make of one scope.
#[derive(Debug, Serialize)]
struct Judged {
    scope: Scope,
    /// As `agent diff` calls it: `added`, `widened`, `narrowed`, `covered`, `reworded`.
    change: &'static str,
    verdict: Verdict,
    risk: RiskClass,
    /// What the person has to show when they allow it; `none` where nobody is asked.
    consent: &'static str,
    /// The policies that say so.
    policies: Vec<String>,
    /// What would have to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// How long a credential for it may live.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_lifetime_seconds: Option<i64>,
    /// Whether a credential has to be bound to a key.
    require_proof: bool,
    /// The same in words.
    why: String,
}

/// What the policies make of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// They permit it as it is.
    Permitted,
    /// They permit it within limits, or once something is better proven.
    Capped,
    /// They permit only what the person has confirmed in the way that they say.
    NeedsApproval,
    /// They do not permit it.
    Denied,
}

impl Change {
    pub(super) fn read(old: &Path, new: &Path) -> Result<Self, Failure> {
        let (old, new) = manifest_file::read_change(old, new)?;
        let diff = old.diff(&new);
        Ok(Self { new, diff })
    }

    /// The actions that it asks for.
    pub(super) fn actions(&self) -> impl Iterator<Item = String> {
        self.new.scopes.iter().map(|wanted| wanted.scope.action_name().to_owned())
    }

    /// Puts each scope that is asked for, and differs, to the policies. `rules`: as they are written.
    pub(super) fn judge(
        &self,
        catalogue: &Arc<Catalogue>,
        policy: &Arc<Policy>,
        rules: &[RuleText],
        hypothesis: &Hypothesis,
    ) -> Result<Verdicts, Failure> {
        let asked = self.diff.scopes.iter().filter(|change| !matches!(change, ScopeChange::Removed { .. }));
        let scopes = asked
            // What is only covered may stand in the older manifest alone.
            .filter(|change| self.new.scopes.iter().any(|wanted| wanted.scope == *change.scope()))
            .map(|change| {
                let scopes = std::slice::from_ref(change.scope());
                let ask = |grant: &str, strength: Option<Strength>| {
                    let question =
                        Question { manifest: &self.new, assurance: "path", scopes, grant, strength };
                    hypothesis.decide(&question, &Map::new(), catalogue, policy)
                };
                judge(change, catalogue, rules, ask)
            })
            .collect::<Result<_, _>>()?;
        Ok(Verdicts {
            agent: self.new.name.clone(),
            version: self.new.version.clone(),
            digest: self.new.digest(),
            scopes,
        })
    }
}

fn judge(
    change: &ScopeChange,
    catalogue: &Catalogue,
    rules: &[RuleText],
    ask: impl Fn(&str, Option<Strength>) -> Result<Decision, Failure>,
) -> Result<Judged, Failure> {
    let scope = change.scope();
    let without = ask("none", None)?;
    let asked_first = Check::of(without.reason) == Some(Check::Grants);
    let least = demanded(&without, rules).unwrap_or(Strength::Prompt).max(catalogue.strength(scope));
    // What the person says to it, in every way in which they can.
    let mut tried = Vec::new();
    if asked_first || remedies(&without, rules).contains(&Remedy::Consent) {
        for grant in GRANTS {
            let with = ask(grant, Some(least))?;
            let allowed = with.allow;
            tried.push((grant, with));
            if allowed {
                break;
            }
        }
    } else {
        tried.push(("none", without.clone()));
    }
    let allowed = tried.iter().find(|(_, decision)| decision.allow);
    let better = tried.iter().find(|(_, decision)| {
        let remedies = remedies(decision, rules);
        !remedies.is_empty() && !remedies.contains(&Remedy::Consent)
    });
    let confirmed = "only once the person has confirmed it";
    let (verdict, decision, why) = match (allowed, better) {
        (Some((grant, allowed)), _) => {
            let obligations = allowed.obligations;
            let limited = obligations.max_lifetime.is_some() || obligations.require_proof;
            let mut why: Vec<String> = Vec::new();
            if !without.allow && !asked_first {
                why.push(confirmed.to_owned());
            }
            if !matches!(*grant, "none" | "always") {
                why.push(format!("only by a grant that does not last (`{grant}`)"));
            }
            let verdict = match (why.is_empty(), limited) {
                (false, _) => Verdict::NeedsApproval,
                (true, true) => Verdict::Capped,
                (true, false) => Verdict::Permitted,
            };
            why.extend(obligations.max_lifetime.map(|most| format!("credentials live {most:#} at most")));
            why.extend(obligations.require_proof.then(|| "credentials are bound to a key".to_owned()));
            if *grant == "none" {
                why.push("nobody is asked".to_owned());
            }
            (verdict, allowed, why.join("; "))
        }
        (None, Some(("none", better))) => (Verdict::Capped, better, better.message.clone()),
        (None, Some((_, better))) => {
            (Verdict::Capped, better, format!("{} And {confirmed}.", better.message))
        }
        (None, None) => {
            // Where nothing but a grant is missing, what denies it shows only with one.
            let denied = tried.last().map(|(_, with)| with).filter(|_| asked_first).unwrap_or(&without);
            (Verdict::Denied, denied, denied.message.clone())
        }
    };
    let nobody_asked = matches!(allowed, Some(("none", _)));
    let said_by = if allowed.is_some() && !without.policies.is_empty() { &without } else { decision };
    let remedy = said_by.remedy.filter(|_| !(allowed.is_some() && asked_first));
    Ok(Judged {
        scope: scope.clone(),
        change: change.word(),
        verdict,
        risk: catalogue.risk(scope),
        consent: if nobody_asked { "none" } else { least.as_str() },
        policies: said_by.policies.clone(),
        remedy: remedy.map(|remedy| remedy.as_str().to_owned()),
        max_lifetime_seconds: decision.obligations.max_lifetime.map(|most| most.as_secs()),
        require_proof: decision.obligations.require_proof,
        why,
    })
}

/// The policies that decided, as they are written.
fn deciding<'a>(decision: &'a Decision, rules: &'a [RuleText]) -> impl Iterator<Item = &'a RuleText> {
    decision.policies.iter().filter_map(|id| rules.iter().find(|rule| rule.id == *id))
}

/// How strongly the policies that forbid it want it confirmed.
fn demanded(decision: &Decision, rules: &[RuleText]) -> Option<Strength> {
    deciding(decision, rules).filter_map(|rule| rule.terms.strength).max()
}

/// What helps against all policies that forbid it; nothing where one of them names nothing, or what never comes true: no
/// credential is bound to a key, and nothing attests a device.
fn remedies(decision: &Decision, rules: &[RuleText]) -> Vec<Remedy> {
    if decision.reason != Reason::PolicyForbids || decision.remedy.is_none() {
        return Vec::new();
    }
    let helps = |remedy: &Remedy| matches!(remedy, Remedy::StepUp | Remedy::Register | Remedy::Consent);
    let named = deciding(decision, rules).map(|rule| rule.remedy.filter(helps));
    named.collect::<Option<_>>().unwrap_or_default()
}

impl Verdicts {
    pub(super) fn is_denied(&self) -> bool {
        self.scopes.iter().any(|judged| judged.verdict == Verdict::Denied)
    }

    pub(super) fn tell(&self) -> Result<(), Failure> {
        for judged in &self.scopes {
            let (style, word) = judged.verdict.shown();
            output::data(&format!(
                "{style}{word:<14}{style:#} {STRONG}{}{STRONG:#} {FAINT}({}, risk {}, consent {}){FAINT:#}",
                judged.scope, judged.change, judged.risk, judged.consent
            ))?;
            if !judged.why.is_empty() {
                output::data(&format!("               {}", judged.why))?;
            }
            if !judged.policies.is_empty() && judged.verdict != Verdict::Permitted {
                output::data(&format!("               {FAINT}by {}{FAINT:#}", judged.policies.join(", ")))?;
            }
        }
        let denied = self.scopes.iter().filter(|judged| judged.verdict == Verdict::Denied).count();
        output::data(&match (self.scopes.len(), denied) {
            (0, _) => "No scope that is asked for differs.".to_owned(),
            (_, 0) => format!("{GOOD}Nothing is denied.{GOOD:#}"),
            (_, 1) => format!("{BAD}1 scope is denied.{BAD:#}"),
            (_, many) => format!("{BAD}{many} scopes are denied.{BAD:#}"),
        })
    }
}

impl Verdict {
    fn shown(self) -> (anstyle::Style, &'static str) {
        match self {
            Self::Permitted => (GOOD, "permitted"),
            Self::Capped => (WARN, "capped"),
            Self::NeedsApproval => (WARN, "needs approval"),
            Self::Denied => (BAD, "denied"),
        }
    }
}
