//! `agentauthd policy check`: every fault of every policy file, and what would be in force without them.

mod manifest;

use std::collections::BTreeMap;
use std::path::PathBuf;

use agentauth_core::policy::inspect::rules;
use agentauth_core::policy::{MAX_FAULTS, PolicyFault, PolicyFaults};
use agentauth_core::text::display_safe_within;
use clap::Args;
use serde::Serialize;

use super::super::output::{self, FAINT, GOOD, WARN};
use super::super::{Context, Exit, Failure, words};
use super::choice::{self, Manner};
use super::hypothesis::Hypothesis;
use crate::daemon::rulebook::{Keeper, Rulebook};
use manifest::Change;

/// Say everything that is wrong with the policies, with its place, and what would be in force. Needs no daemon.
///
/// Looked at are the policies that ship, the administrator's and your own, as their files are now. Exits with 0 if they can
/// be loaded, with 1 if they cannot. With `--manifest` it also says, for each scope of a changed manifest, what the policies
/// make of it, and exits with 2 if one is denied.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Policy files, or directories of them, to look at in place of your own policies.
    #[arg(value_name = "DIR|FILE")]
    policies: Vec<PathBuf>,
    #[command(flatten)]
    manner: Manner,
    /// Say what the policies make of a changed manifest; `/dev/null` if there was none. What is supposed is for this.
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    manifest: Vec<PathBuf>,
    /// Print what was found as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hypothesis: Hypothesis,
}

impl Check {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        if self.manifest.is_empty() && self.hypothesis.is_given() {
            return Err(Failure::Usage(
                "what is supposed (`--role` and its like) is for scopes of a changed manifest: name that with \
                 `--manifest`, too"
                    .to_owned(),
            ));
        }
        let change = match self.manifest.as_slice() {
            [old, new] => Some(Change::read(old, new)?),
            _ => None,
        };
        let rulebook = self.manner.read(context, self.policies)?;
        let actions: Vec<_> = change.iter().flat_map(Change::actions).collect();
        let mut report =
            Report { files: files(&rulebook), notes: rulebook.notes.clone(), ..Report::default() };
        match rulebook.load(actions) {
            Ok(policy) => {
                report.valid = true;
                report.policies = policy.len();
                policy.digest().clone_into(&mut report.digest);
                report.warnings.extend(policy.warnings().iter().cloned());
                let counts = policy.files();
                for file in &mut report.files {
                    file.policies = counts.get(&*file.file).copied().unwrap_or_default();
                }
                if let Some(change) = &change {
                    let rules = rules(&rulebook.files);
                    let verdicts =
                        change.judge(&rulebook.catalogue, &policy.into(), &rules, &self.hypothesis)?;
                    report.manifest = Some(verdicts);
                }
            }
            Err(PolicyFaults(faults)) => {
                report.faults.extend(faults.iter().map(Fault::from));
                // In the order in which an author goes through them.
                let of_file = |file: &str| report.files.iter().position(|source| source.file == file);
                report.faults.sort_by_key(|fault| (of_file(&fault.file), fault.line, fault.column));
            }
        }
        if self.json {
            output::json(&report)?;
        } else {
            report.tell(context)?;
        }
        Ok(report.exit())
    }
}

/// What was found, as JSON shows it.
#[derive(Debug, Default, Serialize)]
struct Report {
    valid: bool,
    faults: Vec<Fault>,
    warnings: Vec<String>,
    notes: Vec<String>,
    /// The files that were looked at, in order.
    files: Vec<Source>,
    /// How many policies would be in force.
    policies: usize,
    /// What the set would be called in the record.
    #[serde(skip_serializing_if = "String::is_empty")]
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<manifest::Verdicts>,
}

/// One fault.
#[derive(Debug, Serialize)]
struct Fault {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    what: String,
    /// The line at fault and the mark below it.
    excerpt: Vec<String>,
    #[serde(skip)]
    whole: PolicyFault,
}

/// One file.
#[derive(Debug, Serialize)]
struct Source {
    file: String,
    /// Who can change it.
    keeper: Keeper,
    policies: usize,
}

impl From<&PolicyFault> for Fault {
    fn from(fault: &PolicyFault) -> Self {
        Self {
            file: fault.file.clone(),
            line: fault.place.as_ref().map(|place| place.line),
            column: fault.place.as_ref().map(|place| place.column),
            policy: fault.policy.clone(),
            what: fault.what.clone(),
            excerpt: fault.excerpt(),
            whole: fault.clone(),
        }
    }
}

fn files(rulebook: &Rulebook) -> Vec<Source> {
    let source = |file: &agentauth_core::policy::PolicyFile| Source {
        file: display_safe_within(&file.name, 200),
        keeper: Keeper::of_file(&file.name, file.own),
        policies: 0,
    };
    rulebook.files.iter().map(source).collect()
}

impl Report {
    fn exit(&self) -> Exit {
        match &self.manifest {
            _ if !self.valid => Exit::Error,
            Some(verdicts) if verdicts.is_denied() => Exit::Deny,
            _ => Exit::Done,
        }
    }

    fn tell(&self, context: &Context<'_>) -> Result<(), Failure> {
        self.faults.iter().for_each(|fault| choice::tell_fault(&fault.whole));
        for warning in &self.warnings {
            output::say(&format!("{WARN}warning:{WARN:#} {warning}"));
        }
        self.notes.iter().for_each(|note| choice::tell_note(context, note));
        if !self.valid {
            let faults = words::count(self.faults.len(), "fault");
            // Further ones are not kept.
            let least = if self.faults.len() < MAX_FAULTS { "" } else { "at least " };
            output::say(&format!("{least}{faults}: none of these policies would take effect."));
            return Ok(());
        }
        if let Some(verdicts) = &self.manifest {
            return verdicts.tell();
        }
        let mut by_keeper: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
        for file in &self.files {
            let heading = match file.keeper {
                Keeper::Administrator => "the administrator's",
                Keeper::Own => "your own",
                Keeper::Shipped => "those that ship",
            };
            by_keeper.entry(heading).or_default().push(file);
        }
        let policies = if self.policies == 1 { "policy" } else { "policies" };
        output::data(&format!("{GOOD}{} {policies} would be in force.{GOOD:#}", self.policies))?;
        for (heading, files) in by_keeper.into_iter().rev() {
            output::data(&format!("{FAINT}{heading}{FAINT:#}"))?;
            files
                .iter()
                .try_for_each(|file| output::data(&format!("{:>6}  {}", file.policies, file.file)))?;
        }
        Ok(())
    }
}
