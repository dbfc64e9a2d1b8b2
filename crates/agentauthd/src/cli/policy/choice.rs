//! Which policies are looked at.

use std::path::PathBuf;
use std::sync::Arc;

use agentauth_core::Policy;
use agentauth_core::policy::{PolicyFault, PolicyFaults};
use agentauth_core::text::display_safe_within;
use clap::Args;

use super::super::agent::manifest_file::CatalogueChoice;
use super::super::output::{self, BAD, WARN};
use super::super::{Context, Failure};
use crate::daemon::rulebook::{Draft, Rulebook};

/// At most this many characters of a line are shown.
const SHOWN: usize = 1024;

/// Which policies are looked at: those of this machine, or a draft.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// A policy file, or a directory of them, to look at in place of your own policies. May be repeated.
    #[arg(long, value_name = "DIR|FILE")]
    policies: Vec<PathBuf>,
    #[command(flatten)]
    manner: Manner,
}

/// In whose place a draft stands, and which catalogue it is looked at with.
#[derive(Debug, Args)]
pub(super) struct Manner {
    /// What is named stands in the place of the administrator's policies, with `shipped.off` where it is there, and not
    /// of your own.
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    catalogue: CatalogueChoice,
}

impl Choice {
    pub(super) fn read(&self, context: &Context<'_>) -> Result<Rulebook, Failure> {
        self.manner.read(context, self.policies.clone())
    }

    /// Whether a draft is named.
    pub(super) fn is_draft(&self) -> bool {
        !self.policies.is_empty()
    }

    pub(super) fn manner(&self) -> &Manner {
        &self.manner
    }
}

impl Manner {
    /// The rules with these files as a draft; without one, as the machine has them.
    pub(super) fn read(&self, context: &Context<'_>, draft: Vec<PathBuf>) -> Result<Rulebook, Failure> {
        let draft = match draft {
            draft if draft.is_empty() && self.admin => {
                return Err(Failure::Usage(
                    "`--admin` says what a draft stands in place of; name its directory, too".to_owned(),
                ));
            }
            draft if draft.is_empty() => Draft::None,
            draft if self.admin => Draft::Administrator(draft),
            draft => Draft::Own(draft),
        };
        let catalogue = self.catalogue.load(context)?;
        Ok(Rulebook::read(&context.loaded, context.environment.uid(), catalogue, &draft))
    }
}

/// The policies, or every fault of theirs on standard error and a failure.
pub(super) fn loaded(policy: Result<Policy, PolicyFaults>) -> Result<Arc<Policy>, Failure> {
    policy.map(Arc::new).map_err(|PolicyFaults(faults)| {
        faults.iter().for_each(tell_fault);
        Failure::Told(
            "the policies cannot be loaded, so nothing can be said of them; mend what is named".to_owned(),
        )
    })
}

/// Says a fault, with the line in question and a mark below it.
pub(super) fn tell_fault(fault: &PolicyFault) {
    output::say(&format!("{BAD}error:{BAD:#} {}", display_safe_within(&fault.to_string(), SHOWN)));
    for line in fault.excerpt() {
        output::say(&format!("       {}", display_safe_within(&line, SHOWN)));
    }
}

/// Says something that is worth a look.
pub(super) fn tell_note(context: &Context<'_>, note: &str) {
    output::say(&format!("{WARN}note:{WARN:#} {}", display_safe_within(&context.addressed(note), SHOWN)));
}
