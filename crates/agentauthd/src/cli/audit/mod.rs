//! `agentauthd audit tail|show|verify|export|stats`: what the record says, read from its files. No daemon is needed, and
//! with `--dir` no configuration either: an archive is read on any machine.

mod export;
pub(super) mod filter;
mod moment;
mod out;
mod show;
mod stats;
mod tail;
mod verify;
mod view;

use std::path::{Path, PathBuf};

use agentauth_audit::export::Origin;
use agentauth_audit::{Entries, Entry, Event, Trail, VerifyError};
use agentauth_core::text::display_safe_within;
use clap::{Args, Subcommand};

use super::{Exit, Failure};
use crate::config::{ConfigFaults, Flags, survey};
use crate::environment::Environment;

/// Look at the record of what was asked, decided and done.
#[derive(Debug, Args)]
pub(super) struct AuditCommand {
    /// Read the record in this directory, such as an archive of another machine, in place of the profile's own.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the newest records, and more as they come.
    Tail(tail::Tail),
    /// Show everything about one decision, consent, login or grant.
    Show(show::Show),
    /// Check that nothing in the record was changed, removed or inserted. Exits with 1 if it was.
    Verify(verify::Verify),
    /// Write the record out, in the language of whoever collects it.
    Export(export::Export),
    /// Count what the record holds.
    Stats(stats::Stats),
}

impl AuditCommand {
    pub(super) fn run(self, environment: &Environment, flags: &Flags) -> Result<Exit, Failure> {
        let record = match self.dir {
            Some(directory) => Record::archive(directory),
            None => Record::own(environment, flags)?,
        };
        match self.command {
            What::Tail(command) => command.run(&record),
            What::Show(command) => command.run(&record),
            What::Verify(command) => command.run(&record),
            What::Export(command) => command.run(&record),
            What::Stats(command) => command.run(&record),
        }
    }
}

/// How sure it is that a denial is one of those that were counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Certainly,
    Perhaps,
}

/// Whether the denial of this id is one of those that this record counts. Ids of decisions are in the order of time, so that
/// it may be one that lies between the first and the last of them; but others may have been counted at the same time.
pub(super) fn counted(event: &Event<'_>, id: &str) -> Option<Counted> {
    let bound = |name: &str| event.details.get(name).and_then(|value| value.as_str());
    let (first, last) = (bound("first_id")?, bound("last_id")?);
    match id {
        _ if id == first || id == last => Some(Counted::Certainly),
        _ if first.len() == id.len() && first < id && id < last => Some(Counted::Perhaps),
        _ => None,
    }
}

/// The next record, also behind damage, the first of which is noted.
pub(super) fn next(
    entries: &mut Entries,
    damage: &mut Option<VerifyError>,
) -> Result<Option<Entry>, VerifyError> {
    loop {
        match entries.next() {
            None => return Ok(None),
            Some(Ok(entry)) => return Ok(Some(entry)),
            Some(Err(error @ VerifyError::Unreadable { .. })) => return Err(error),
            Some(Err(error)) => {
                damage.get_or_insert(error);
            }
        }
    }
}

/// The record that is read.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) trail: Trail,
    directory: PathBuf,
    /// What is known of where it was written before it says so itself.
    origin: Origin,
}

impl Record {
    pub(super) fn archive(directory: PathBuf) -> Record {
        Record { trail: Trail::new(&directory), directory, origin: Origin::default() }
    }

    /// The record of the profile. A fault in the configuration does not keep anybody from reading it.
    pub(super) fn own(environment: &Environment, flags: &Flags) -> Result<Record, Failure> {
        let (loaded, faults) = survey(environment, flags);
        let Some(loaded) = loaded else { return Err(Failure::Config(ConfigFaults(faults))) };
        let origin = Origin {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: Some(loaded.config.profile),
            ..Origin::default()
        };
        let directory = loaded.config.paths.state_dir.join("audit");
        Ok(Record { trail: Trail::new(&directory), directory, origin })
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    /// What to tell when the record cannot be read, or not to its end.
    pub(super) fn failure(&self, error: VerifyError) -> Failure {
        let what = match &error {
            VerifyError::Unreadable { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                return self.missing();
            }
            VerifyError::Unreadable { .. } => format!(
                "could not read the record in `{}`; read it as the user whose daemon writes it",
                self.shown()
            ),
            _ => format!(
                "the record in `{}` is damaged; `agentauthd audit verify` says what \
                 was done to it",
                self.shown()
            ),
        };
        Failure::caused(what, error)
    }

    /// What to tell where there is none.
    fn missing(&self) -> Failure {
        Failure::Told(format!(
            "there is no record in `{}`; name its directory with `--dir`, or run `agentauthd run` first",
            self.shown()
        ))
    }

    /// What to tell where there is damage in what was read: the first of it, or nothing. What follows was read too.
    pub(super) fn told(&self, damage: Option<VerifyError>) -> Result<Exit, Failure> {
        damage.map_or(Ok(Exit::Done), |error| Err(self.failure(error)))
    }

    fn shown(&self) -> String {
        display_safe_within(&self.directory.display().to_string(), 1024)
    }
}
