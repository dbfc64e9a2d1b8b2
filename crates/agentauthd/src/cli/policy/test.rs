//! `agentauthd policy test`: decisions by example.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::super::output::{self, BAD, FAINT, GOOD, WARN};
use super::super::{Context, Exit, Failure};
use super::choice::{self, Choice};
use super::trials::{EXTENSION, Idle, Outcome, Trials};
use crate::daemon::rulebook::files_in;

/// Run scenarios against the policies: questions, and the answers that are due. Needs no daemon.
///
/// Of a directory, its `*.scenarios.json` are run, and its `*.cedar`, where it has some, are tested in place of your own
/// policies. Exits with 0 if every answer is as it must be, with 1 if one is not.
#[derive(Debug, Args)]
pub(super) struct Test {
    /// Files of scenarios, or directories of them; else those beside your policies and the administrator's.
    #[arg(value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    /// Print what came of it as JSON.
    #[arg(long)]
    json: bool,
}

impl Test {
    pub(super) fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let rulebook = if self.choice.is_draft() {
            self.choice.read(context)?
        } else {
            let beside = |path: &&PathBuf| {
                path.is_dir() && files_in(path, "cedar").is_ok_and(|policies| !policies.is_empty())
            };
            let draft = self.paths.iter().filter(beside).cloned().collect();
            self.choice.manner().read(context, draft)?
        };
        let places = if self.paths.is_empty() { Trials::usual_places(context) } else { self.paths.clone() };
        let trials = Trials::read(&places)?;
        if trials.is_empty() {
            return Err(Failure::Told(format!(
                "there are no scenarios there; name a file, or a directory with files whose names end in `.{EXTENSION}`"
            )));
        }
        let ran = trials.run(&rulebook)?;
        let passed = ran.outcomes.iter().filter(|outcome| outcome.passed).count();
        let report = Report {
            passed,
            failed: ran.outcomes.len() - passed,
            scenarios: ran.outcomes,
            never_decided: Idle::among(&rulebook, |id| !ran.decided.contains_key(id)),
            notes: rulebook.notes,
        };
        report.notes.iter().for_each(|note| choice::tell_note(context, note));
        if self.json {
            output::json(&report)?;
        } else {
            report.tell()?;
        }
        Ok(if report.failed == 0 { Exit::Done } else { Exit::Error })
    }
}

/// What came of it, as JSON shows it.
#[derive(Debug, Serialize)]
struct Report {
    passed: usize,
    failed: usize,
    scenarios: Vec<Outcome>,
    /// The policies that decided no scenario.
    never_decided: Vec<Idle>,
    /// What is worth a look. Safe to show.
    notes: Vec<String>,
}

impl Report {
    fn tell(&self) -> Result<(), Failure> {
        for Outcome { file, name, passed, differences, fault, message } in &self.scenarios {
            let name = if name.is_empty() { "the file" } else { name };
            if *passed {
                output::data(&format!("{GOOD}ok{GOOD:#}    {file}: {name}"))?;
                continue;
            }
            output::data(&format!("{BAD}FAIL{BAD:#}  {file}: {name}"))?;
            for difference in differences {
                output::data(&format!("        {}", difference.member))?;
                output::data(&format!("          {GOOD}due{GOOD:#}  {}", difference.expected))?;
                output::data(&format!("          {BAD}is{BAD:#}   {}", difference.found))?;
            }
            for line in fault.iter().flat_map(|fault| fault.lines()) {
                output::data(&format!("        {line}"))?;
            }
            if let Some(message) = message {
                output::data(&format!("        {FAINT}it says:{FAINT:#} {message}"))?;
            }
        }
        if !self.never_decided.is_empty() {
            output::data(&format!("{WARN}These policies decided no scenario:{WARN:#}"))?;
            self.never_decided.iter().try_for_each(|idle| output::data(&format!("  {}", idle.line())))?;
        }
        let style = if self.failed == 0 { GOOD } else { BAD };
        output::data(&format!("{style}{} passed, {} failed{style:#}", self.passed, self.failed))
    }
}
