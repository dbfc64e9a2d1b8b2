//! `agentauthd doctor`: what is wrong with this installation, why it matters and what to do.

use std::fmt::Write as _;

use agentauth_host::clock::SystemClock;
use clap::Args;

use super::output::{self, BAD, FAINT, GOOD, STRONG, WARN};
use super::{Exit, Failure, words};
use crate::config::{ConfigFault, Loaded};
use crate::doctor::{Area, Examination, Finding, Report, Severity, Wishes, examine};
use crate::environment::Environment;

/// Examine this installation: configuration, provider, sign-in, ports, keychain, files, daemon, login, agents. Works
/// without the daemon, and tells more with it. Exits with 1 if there are errors, with 0 if there are only warnings.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Leave the provider alone.
    #[arg(long)]
    offline: bool,
    /// A scope that should be allowed; found by itself if absent.
    #[arg(long, value_name = "SCOPE")]
    allow: Option<String>,
    /// A scope that should be denied for a missing role; found by itself if absent.
    #[arg(long, value_name = "SCOPE")]
    deny: Option<String>,
    /// The registered agent to try decisions as; any if absent.
    #[arg(long = "as", value_name = "AGENT")]
    agent: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) async fn run(
        self,
        environment: &Environment,
        loaded: Option<&Loaded>,
        faults: &[ConfigFault],
    ) -> Result<Exit, Failure> {
        let wishes = Wishes { allow: self.allow, deny: self.deny, agent: self.agent };
        let report = examine(Examination {
            environment,
            loaded,
            faults,
            offline: self.offline,
            wishes: &wishes,
            working_directory: std::env::current_dir().ok(),
            clock: &SystemClock,
        })
        .await;
        if self.json {
            output::json(&report)?;
        } else {
            output::raw(&render(&report))?;
        }
        Ok(if report.errors == 0 { Exit::Done } else { Exit::Error })
    }
}

/// The report for a person. Every line can be understood without its colour.
fn render(report: &Report) -> String {
    let mut text = String::new();
    let mut area = None;
    for finding in &report.findings {
        if area != Some(finding.area) {
            heading(&mut text, finding.area);
            area = Some(finding.area);
        }
        line(&mut text, finding);
    }
    let good = report.findings.iter().filter(|finding| finding.severity == Severity::Ok).count();
    let style = if report.errors > 0 {
        BAD
    } else if report.warnings > 0 {
        WARN
    } else {
        GOOD
    };
    // Writing to a `String` does not fail.
    let _ = writeln!(
        text,
        "\n{style}{}, {}{style:#}; {} in order",
        words::count(report.errors, "error"),
        words::count(report.warnings, "warning"),
        words::count(good, "thing"),
    );
    text
}

fn heading(text: &mut String, area: Area) {
    let gap = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{gap}{STRONG}{}{STRONG:#}", area.title());
}

fn line(text: &mut String, finding: &Finding) {
    let style = match finding.severity {
        Severity::Ok => GOOD,
        Severity::Note => FAINT,
        Severity::Warning => WARN,
        Severity::Error => BAD,
    };
    let word = finding.severity.as_str();
    let code = if finding.severity == Severity::Ok {
        String::new()
    } else {
        format!("  {FAINT}[{}]{FAINT:#}", finding.id.as_str())
    };
    let _ = writeln!(text, "  {style}{word:<8}{style:#} {}{code}", finding.what);
    if finding.severity > Severity::Note {
        let _ = writeln!(text, "  {:<8} {FAINT}why:{FAINT:#} {}", "", finding.why);
    }
    if !finding.todo.is_empty() {
        let _ = writeln!(text, "  {:<8} {FAINT}do:{FAINT:#}  {}", "", finding.todo);
    }
}
