//! The person's own rules: what their files say now, what of it was applied, and how it is applied.

use std::sync::PoisonError;

use agentauth_core::caller::CallerFacts;
use agentauth_core::own_rules::{OwnRules, Part, RuleChange};
use agentauth_core::policy::{Policy, PolicyFault, PolicyFaults};
use agentauth_core::widening::Confirmed;

use super::{Rights, RightsError};
use crate::config::{Config, Flags, Loaded, load, load_applied, scopes};
use crate::daemon::domains::{self, DomainTexts};
use crate::daemon::load::OwnPolicies;
use crate::daemon::policies::{AdminPolicies, policy_files};
use crate::daemon::{provider_config, record};
use crate::environment::Environment;

/// What a person's own files say now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wished {
    /// What they say. Nothing stands for what cannot be used.
    pub(crate) rules: OwnRules,
    /// Why the catalogue cannot be used. Safe to show.
    pub(crate) catalogue_fault: Option<String>,
    /// Policy files that cannot be used.
    pub(crate) policy_faults: Vec<PolicyFault>,
    /// Files of domains that cannot be used.
    pub(crate) domain_faults: Vec<PolicyFault>,
}

/// What the record says of the rules that were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// None ever were, and nobody has logged in yet.
    #[default]
    Never,
    /// These.
    Applied(OwnRules),
    /// Those of this digest, and what they say is not to be had; or somebody has logged in, and the record is gone.
    Lost(Option<String>),
}

/// What the rules in force go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// What the files say: it stands as applied from the first login on.
    Files,
    /// What was applied.
    Applied,
    /// Nothing: what was applied is lost. It could have forbidden something, so nobody is logged in, and nothing allowed.
    Lost,
}

/// The rules that are in force, and how they came to be.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    pub(crate) rules: OwnRules,
    pub(crate) basis: Basis,
    /// What is not as the files say. Safe to show.
    pub(crate) problems: Vec<String>,
}

/// How the configuration is read: what the daemon was started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) environment: Environment,
    pub(crate) flags: Flags,
}

/// Rules that could be applied.
#[derive(Clone, Debug)]
pub(crate) struct DraftedRules {
    rules: OwnRules,
    /// Their digest.
    pub(crate) digest: String,
    /// The digest of the rules that they replace.
    pub(crate) replaces: String,
    pub(crate) changes: Vec<RuleChange>,
}

impl Wished {
    /// Reads the files of a configuration. Blocking. `owner` is the user whose files count, besides root's.
    pub(crate) fn read(loaded: &Loaded, owner: u32) -> Self {
        let OwnPolicies { texts, faults } = OwnPolicies::read(&loaded.config.paths.policies_dir, owner);
        let domains = DomainTexts::read(&loaded.config.paths.config_dir.join(domains::DIRECTORY), owner);
        let (catalogue, catalogue_fault) = match scopes::own_text(&loaded.config, owner) {
            Ok(text) => (text, None),
            Err(why) => (None, Some(why)),
        };
        Self {
            rules: OwnRules {
                settings: loaded.own.clone(),
                catalogue,
                policies: texts,
                domains: domains.texts,
            },
            catalogue_fault,
            policy_faults: faults,
            domain_faults: domains.faults,
        }
    }

    /// The rules that are in force when this is what the files say.
    pub(crate) fn against(&self, recorded: Recorded) -> InForce {
        let (rules, basis, mut problems) = match recorded {
            Recorded::Never => {
                let problems = self.domain_faults.iter().map(ToString::to_string).collect();
                return InForce { rules: self.rules.clone(), basis: Basis::Files, problems };
            }
            Recorded::Applied(rules) => (rules, Basis::Applied, Vec::new()),
            Recorded::Lost(digest) if digest.is_some() && digest == self.rules.digest() => {
                (self.rules.clone(), Basis::Applied, Vec::new())
            }
            Recorded::Lost(_) => {
                let problem = "what you applied of configuration and policies is not to be had, or the record of it \
                               is not, so nobody can log in and nothing is allowed: the troubleshooting page says how \
                               to start anew";
                (OwnRules::default(), Basis::Lost, vec![problem.to_owned()])
            }
        };
        problems.extend(unapplied(&rules.changes(&self.rules)));
        problems.extend(self.catalogue_fault.clone());
        problems.extend(self.policy_faults.iter().chain(&self.domain_faults).map(ToString::to_string));
        InForce { rules, basis, problems }
    }
}

/// What is said of files that differ from what was applied.
pub(crate) fn unapplied(changes: &[RuleChange]) -> Vec<String> {
    let named = |part: Part| -> Vec<String> {
        let of_part = changes.iter().filter(|change| change.part() == part);
        of_part
            .map(|change| match change {
                RuleChange::Setting { key, .. } => format!("`{key}`"),
                RuleChange::Catalogue { .. } => "the catalogue of scopes".to_owned(),
                RuleChange::Policy { file, .. } => {
                    format!("`{}`", agentauth_core::text::display_safe_within(file, 200))
                }
            })
            .collect()
    };
    [
        (Part::Configuration, "the configuration", "config apply"),
        (Part::Policies, "the policies", "policy apply"),
    ]
    .into_iter()
    .filter_map(|(part, what, command)| {
        let named = named(part);
        (!named.is_empty()).then(|| {
            format!(
                "{what} changed and the change does not count ({}): look at it, then apply it with `agentauthd {command}`",
                named.join(", ")
            )
        })
    })
    .collect()
}

impl Rights {
    /// What of the rules is not as the files said at the start, unless it was applied meanwhile. Safe to show.
    pub(crate) fn rule_problems(&self) -> Vec<String> {
        self.own_rules.lock().unwrap_or_else(PoisonError::into_inner).problems.clone()
    }

    /// The names of the policies in force.
    pub(crate) fn policy_names(&self) -> Vec<String> {
        let policies = self.policies.read().unwrap_or_else(PoisonError::into_inner);
        policies.iter().map(|file| file.name.clone()).collect()
    }

    /// The rules as they would be with `part` of them as the files say now. Changes nothing.
    pub(crate) async fn draft_rules(&self, part: Part) -> Result<DraftedRules, RightsError> {
        let (sources, owner) = (self.sources.clone(), self.owner);
        let now = self.own_rules.lock().unwrap_or_else(PoisonError::into_inner).rules.clone();
        let snapshot = self.state.load();
        let actions: Vec<String> = snapshot.agents.action_names().map(str::to_owned).collect();
        let admin = self.administrators();
        let drafting = move || {
            let loaded = load(&sources.environment, &sources.flags).map_err(|faults| refused(&faults.0))?;
            let wished = Wished::read(&loaded, owner);
            match part {
                Part::Configuration => refused_if(wished.catalogue_fault.as_slice())?,
                Part::Policies => {
                    refused_if(&wished.policy_faults)?;
                    refused_if(&wished.domain_faults)?;
                    refused_if(&domains::faults(&wished.rules.domains))?;
                }
            }
            let rules = now.clone().with(part, wished.rules);
            let config = load_applied(&sources.environment, &sources.flags, &rules.settings)
                .map_err(|faults| refused(&faults.0))?
                .config;
            usable(&config, &admin, &rules, &actions)?;
            let digest = |rules: &OwnRules| {
                rules.digest().ok_or_else(|| RightsError::Rules("a number in it is out of range".to_owned()))
            };
            let (digest, replaces) = (digest(&rules)?, digest(&now)?);
            Ok(DraftedRules { changes: now.changes(&rules), rules, digest, replaces })
        };
        match tokio::task::spawn_blocking(drafting).await {
            Ok(drafted) => drafted,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Applies rules that the person has confirmed. Policies take effect at once, everything else with the next start.
    pub(crate) async fn apply_rules(
        &self,
        drafted: DraftedRules,
        by: &CallerFacts,
        confirmed: &Confirmed,
    ) -> Result<(), RightsError> {
        let _turn = self.turn.lock().await;
        let DraftedRules { rules, digest, replaces, changes } = drafted;
        let in_force = self.own_rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if in_force.rules.digest().as_deref() != Some(&*replaces) {
            return Err(RightsError::Overtaken);
        }
        let snapshot = self.state.load();
        let files = policy_files(&self.administrators(), &self.policies_dir, &rules.policies);
        let policy = Policy::load_files(&files, &snapshot.catalogue, snapshot.agents.action_names())
            .map_err(RightsError::Policy)?;
        let now = self.clock.now();
        self.audit
            .append(&record::rules_applied(&digest, &changes, Some((by, confirmed)), now))
            .map_err(RightsError::Audit)?;
        self.audit.to_disk().await.map_err(RightsError::Audit)?;
        self.keep(&rules).await?;
        self.domains.apply(&rules.domains);
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = files;
        let names: Vec<String> = self.policy_names().into_iter().chain(self.domains.names()).collect();
        self.audit.note_down(&record::policy_loaded(&names, &policy, "apply", now));
        self.state.change(|snapshot| snapshot.policy = std::sync::Arc::new(policy));
        let problems = Vec::new();
        *self.own_rules.lock().unwrap_or_else(PoisonError::into_inner) =
            InForce { rules, basis: Basis::Applied, problems };
        Ok(())
    }

    /// What the files say stands as applied from now on, unless something was applied before: the person logs in for the
    /// first time. Blocking.
    pub(crate) fn settle(&self) -> Result<(), RightsError> {
        let mut in_force = self.own_rules.lock().unwrap_or_else(PoisonError::into_inner);
        if in_force.basis != Basis::Files {
            return Ok(());
        }
        let digest = in_force.rules.digest();
        let digest = digest.ok_or_else(|| RightsError::Rules("a number in it is out of range".to_owned()))?;
        let changes = OwnRules::default().changes(&in_force.rules);
        self.audit
            .append(&record::rules_applied(&digest, &changes, None, self.clock.now()))
            .and_then(|()| self.audit.to_disk_here())
            .map_err(RightsError::Audit)?;
        self.db.put_own_rules(&self.profile, &json(&in_force.rules)?).map_err(RightsError::State)?;
        in_force.basis = Basis::Applied;
        Ok(())
    }

    async fn keep(&self, rules: &OwnRules) -> Result<(), RightsError> {
        let (db, profile, says) = (self.db.clone(), self.profile.clone(), json(rules)?);
        match tokio::task::spawn_blocking(move || db.put_own_rules(&profile, &says)).await {
            Ok(outcome) => outcome.map_err(RightsError::State),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Whether a daemon would start with these rules.
fn usable(
    config: &Config,
    admin: &AdminPolicies,
    rules: &OwnRules,
    actions: &[String],
) -> Result<(), RightsError> {
    provider_config(config).map_err(|faults| refused(&faults.0))?;
    let catalogue =
        scopes::catalogue(config, rules.catalogue.as_deref()).map_err(|faults| refused(&faults.0))?;
    let files = policy_files(admin, &config.paths.policies_dir, &rules.policies);
    Policy::load_files(&files, &catalogue, actions).map(drop).map_err(|PolicyFaults(faults)| refused(&faults))
}

fn json(rules: &OwnRules) -> Result<String, RightsError> {
    serde_json::to_string(rules).map_err(|error| RightsError::Rules(error.to_string()))
}

fn refused_if(faults: &[impl ToString]) -> Result<(), RightsError> {
    if faults.is_empty() { Ok(()) } else { Err(refused(faults)) }
}

fn refused(faults: &[impl ToString]) -> RightsError {
    RightsError::Rules(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(max_age: &str) -> Wished {
        let settings = [("session.max_age".to_owned(), max_age.into())].into();
        Wished { rules: OwnRules { settings, ..OwnRules::default() }, ..Wished::default() }
    }

    #[test]
    fn what_was_applied_stands_above_what_the_files_say() {
        let (before, after) = (wished("1h"), wished("9d"));
        let never = after.against(Recorded::Never);
        assert_eq!((never.rules, never.basis), (after.rules.clone(), Basis::Files));
        let same = before.against(Recorded::Applied(before.rules.clone()));
        assert!(same.basis == Basis::Applied && same.problems.is_empty());
        let edited = after.against(Recorded::Applied(before.rules.clone()));
        assert_eq!(edited.rules, before.rules);
        assert!(edited.problems.len() == 1 && edited.problems[0].contains("`session.max_age`"), "{edited:?}");
        assert!(edited.problems[0].contains("agentauthd config apply"));
    }

    #[test]
    fn rules_that_are_lost_are_not_those_of_the_files() {
        let files = wished("9d");
        for lost in [None, wished("1h").rules.digest()] {
            let in_force = files.against(Recorded::Lost(lost));
            assert_eq!((in_force.rules, in_force.basis), (OwnRules::default(), Basis::Lost));
            assert_eq!(in_force.problems.len(), 2, "{:?}", in_force.problems);
        }
        let same = files.against(Recorded::Lost(files.rules.digest()));
        assert_eq!((same.rules, same.basis), (files.rules.clone(), Basis::Applied));
        assert_eq!(same.problems, Vec::<String>::new());
    }

    #[test]
    fn files_that_cannot_be_used_are_told_and_change_nothing() {
        let applied = wished("1h").rules;
        let files = Wished { catalogue_fault: Some("writable".to_owned()), ..wished("1h") };
        let in_force = files.against(Recorded::Applied(applied.clone()));
        assert_eq!((in_force.rules, in_force.problems), (applied, vec!["writable".to_owned()]));
    }
}
