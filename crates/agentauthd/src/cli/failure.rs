//! Why a subcommand did not work: what was tried, why it failed, what to do.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use agentauth_client::ClientError;
use agentauth_core::text::display_safe_within;

use super::Exit;
use crate::config::ConfigFaults;
use crate::daemon::RunError;

/// At most this many characters of an error's text are shown.
const SHOWN: usize = 8 * 1024;

/// Why a subcommand did not work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigFaults),
    /// The daemon gave no answer, or refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The daemon could not run.
    #[error("the daemon could not run")]
    Daemon(#[from] RunError),
    /// Standard output does not take what was to be written.
    #[error("could not write to standard output")]
    Output(#[source] io::Error),
    /// Something else, told whole.
    #[error("{0}")]
    Told(String),
    /// Something else with a cause.
    #[error("{what}")]
    Caused {
        /// What was tried, and what to do.
        what: String,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The command line makes no sense in a way that only shows now.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    pub(super) fn caused(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Caused { what: what.into(), source: source.into() }
    }

    /// With what the program exits.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Client(error) if error.is_unreachable() => Exit::Unreachable,
            Self::Client(ClientError::TimedOut { .. }) => Exit::Unreachable,
            Self::Usage(_) => Exit::Usage,
            _ => Exit::Error,
        }
    }

    /// The failure with its causes, for standard error.
    #[must_use]
    pub fn report(&self) -> String {
        // Each line is escaped for itself: line breaks are ours, whatever else controls a terminal is not.
        let escaped = |text: &str| {
            text.lines().map(|line| display_safe_within(line, SHOWN)).collect::<Vec<_>>().join("\n")
        };
        let style = super::output::BAD;
        let mut report = format!("{style}error:{style:#} {}", escaped(&self.to_string()));
        let mut said = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat their cause in their own text.
            if !said.contains(&text) {
                let _ = write!(report, "\n  because: {}", escaped(&text));
            }
            said = text;
            cause = error.source();
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use agentauth_client::{ErrorCode, Problem};

    use super::*;

    #[test]
    fn exit_codes_tell_no_from_broken_from_absent() {
        let cases = [
            (Failure::Client(ClientError::NotRunning { socket: "/s".into() }), Exit::Unreachable),
            (
                Failure::Client(ClientError::Refused(Box::new(Problem::new(ErrorCode::Forbidden, "no")))),
                Exit::Error,
            ),
            (Failure::Usage("no".to_owned()), Exit::Usage),
            (Failure::Told("no".to_owned()), Exit::Error),
        ];
        for (failure, exit) in cases {
            assert_eq!(failure.exit(), exit, "{failure}");
        }
    }

    #[test]
    fn a_report_names_causes_once_and_escapes_what_could_drive_the_terminal() {
        let failure =
            Failure::caused("could not read `x`\u{1b}[2J; try y", io::Error::other("disk on \u{7}fire"));
        let report = anstream::adapter::strip_str(&failure.report()).to_string();
        assert_eq!(report, "error: could not read `x`\\u{1b}[2J; try y\n  because: disk on \\u{7}fire");
    }
}
