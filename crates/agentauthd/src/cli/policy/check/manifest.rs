//! What the policies make of a changed manifest, scope by scope.

use std::path::Path;
use std::sync::Arc;

use agentauth_core::catalogue::Strength;
use agentauth_core::checks::Check;
use agentauth_core::manifest::{Manifest, ManifestDiff, ScopeChange};
use agentauth_core::{Catalogue, Decision, Policy, RiskClass, Scope};
use serde::Serialize;

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

    /// Puts each scope that is asked for, and differs, to the policies.
    pub(super) fn judge(
        &self,
        catalogue: &Arc<Catalogue>,
        policy: &Arc<Policy>,
        hypothesis: &Hypothesis,
    ) -> Result<Verdicts, Failure> {
        let asked = self.diff.scopes.iter().filter(|change| !matches!(change, ScopeChange::Removed { .. }));
        let scopes = asked
            // What is only covered may stand in the older manifest alone.
            .filter(|change| self.new.scopes.iter().any(|wanted| wanted.scope == *change.scope()))
            .map(|change| {
                let scopes = std::slice::from_ref(change.scope());
                let ask = |grant: &str| {
                    let question =
                        Question { manifest: &self.new, assurance: "path", scopes, grant, strength: None };
                    hypothesis.decide(&question, None, catalogue, policy)
                };
                judge(change, catalogue, ask)
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
    ask: impl Fn(&str) -> Result<Decision, Failure>,
) -> Result<Judged, Failure> {
    let scope = change.scope();
    let without = ask("none")?;
    let asked_first = Check::of(without.reason) == Some(Check::Grants);
    let mut allowed = without.allow.then(|| ("none", without.clone()));
    if !without.allow && (asked_first || without.remedy == Some(agentauth_core::Remedy::Consent)) {
        for grant in GRANTS {
            let with = ask(grant)?;
            if with.allow {
                allowed = Some((grant, with));
                break;
            }
        }
    }
    let (verdict, decision, why) = match &allowed {
        Some((grant, allowed)) => {
            let obligations = allowed.obligations;
            let limited = obligations.max_lifetime.is_some() || obligations.require_proof;
            let mut why: Vec<String> = Vec::new();
            if !without.allow && !asked_first {
                why.push("only once the person has confirmed it".to_owned());
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
        // Only the policies can be in the way: everything else is supposed to be as it should.
        None if without.remedy.is_some_and(|remedy| remedy != agentauth_core::Remedy::Consent)
            && Check::of(without.reason) == Some(Check::Policies)
            && without.reason != agentauth_core::Reason::RoleRequired =>
        {
            (Verdict::Capped, &without, without.message.clone())
        }
        None => (Verdict::Denied, &without, without.message.clone()),
    };
    let nobody_asked = matches!(allowed, Some(("none", _)));
    let least = catalogue.strength(scope).max(without.remedy_terms.strength.unwrap_or(Strength::Prompt));
    Ok(Judged {
        scope: scope.clone(),
        change: change.word(),
        verdict,
        risk: catalogue.risk(scope),
        consent: if nobody_asked { "none" } else { least.as_str() },
        policies: if without.policies.is_empty() {
            decision.policies.clone()
        } else {
            without.policies.clone()
        },
        remedy: without.remedy.filter(|_| !asked_first).map(|remedy| remedy.as_str().to_owned()),
        max_lifetime_seconds: decision.obligations.max_lifetime.map(|most| most.as_secs()),
        require_proof: decision.obligations.require_proof,
        why,
    })
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
