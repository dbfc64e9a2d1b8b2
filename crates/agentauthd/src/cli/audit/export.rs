//! `agentauthd audit export`: the record in the language of whoever collects it, streamed.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use agentauth_audit::Entry;
use agentauth_audit::export::{Origin, cef, csv, ocsf};
use agentauth_core::text::display_safe_within;
use clap::{Args, ValueEnum};
use tempfile::NamedTempFile;

use super::Record;
use super::filter::{Filter, Period};
use super::out::Out;
use crate::cli::{Exit, Failure, now, output, words};

/// Write the record out. Records that the format has no place for are counted on standard error.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// In which format.
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    format: Format,
    #[command(flatten)]
    period: Period,
    #[command(flatten)]
    filter: Filter,
    /// Into this file, for its owner only, in place of standard output. It takes the place of one that is there once all
    /// is written.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The records as they are, one JSON object a line.
    Jsonl,
    /// Open Cybersecurity Schema Framework 1.8.0, one JSON object a line.
    Ocsf,
    /// Common Event Format, version 0.
    Cef,
    /// Comma-separated values with a header, safe to open in a spreadsheet.
    Csv,
}

impl Export {
    pub(super) fn run(self, record: &Record) -> Result<Exit, Failure> {
        let mut target = Target::open(self.output.as_deref())?;
        let mut counts = Counts::default();
        let written = self.write(record, &mut target.out, &mut counts);
        // What stands before a damage is kept: it is what there is.
        target.out.flush()?;
        target.finish()?;
        let unexpressed = match counts.unexpressed {
            0 => String::new(),
            some => format!(
                " {} keep the record itself together and have no form there.",
                words::count(some, "record")
            ),
        };
        output::say(&format!("{} exported.{unexpressed}", words::count(counts.exported, "record")));
        if written.is_err() {
            output::say("What follows the damage was not exported.");
        }
        written.map(|()| Exit::Done)
    }

    fn write(&self, record: &Record, out: &mut Out, counts: &mut Counts) -> Result<(), Failure> {
        let bounds = self.period.resolve(now());
        let mut origin = record.origin.clone();
        let entries = record.trail.entries().map_err(|error| record.failure(error))?;
        if self.format == Format::Csv {
            out.line(&csv::header())?;
        }
        for entry in entries {
            let entry = entry.map_err(|error| record.failure(error))?;
            origin.learn(&entry.event);
            if !bounds.holds(&entry.event) || !self.filter.wants(&entry.event) {
                continue;
            }
            match self.format.line(&entry, &origin) {
                Some(line) => {
                    out.line(&line)?;
                    counts.exported += 1;
                }
                None => counts.unexpressed += 1,
            }
            if out.is_closed() {
                break;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Counts {
    exported: usize,
    unexpressed: usize,
}

impl Format {
    fn line(self, entry: &Entry, origin: &Origin) -> Option<String> {
        match self {
            Format::Jsonl => Some(entry.line.clone()),
            Format::Ocsf => ocsf::line(entry, origin),
            Format::Cef => Some(cef::line(entry, origin)),
            Format::Csv => Some(csv::line(entry, origin)),
        }
    }
}

/// Where it goes.
struct Target {
    out: Out,
    /// What takes its name at the end.
    file: Option<(NamedTempFile, PathBuf)>,
}

impl Target {
    fn open(path: Option<&Path>) -> Result<Target, Failure> {
        let Some(path) = path else { return Ok(Target { out: Out::plain(), file: None }) };
        let failed = |error: std::io::Error| could_not_write(path, error);
        // A pipe or a device is written to as it stands.
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            let file = File::options().write(true).open(path).map_err(failed)?;
            return Ok(Target { out: Out::to(Box::new(file)), file: None });
        }
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = NamedTempFile::new_in(directory).map_err(failed)?;
        let writer = file.as_file().try_clone().map_err(failed)?;
        Ok(Target { out: Out::to(Box::new(writer)), file: Some((file, path.to_owned())) })
    }

    fn finish(self) -> Result<(), Failure> {
        let Some((mut file, path)) = self.file else { return Ok(()) };
        file.flush()
            .and_then(|()| file.as_file().sync_all())
            .map_err(|error| could_not_write(&path, error))?;
        file.persist(&path).map(drop).map_err(|error| could_not_write(&path, error.error))
    }
}

fn could_not_write(path: &Path, error: std::io::Error) -> Failure {
    let shown = display_safe_within(&path.display().to_string(), 1024);
    Failure::caused(
        format!("could not write `{shown}`; name a file in a directory that you may write to"),
        error,
    )
}
