//! What the demonstration says, on standard output; and how long things took.

use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

/// Stands out.
pub const STRONG: Style = Style::new().bold();
/// Stands back.
pub const FAINT: Style = Style::new().dimmed();
/// As hoped for.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Refused, or wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// Says things. Colour only where standard output is a terminal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Talk;

impl Talk {
    /// A line.
    pub fn line(&self, text: impl Display) {
        // A reader that went away (`| head`) does not need the rest.
        let _ = writeln!(anstream::stdout().lock(), "{text}");
    }

    /// The beginning of a step.
    pub fn step(&self, number: usize, title: &str) {
        self.line(format_args!("\n{STRONG}{number}. {title}{STRONG:#}"));
    }

    /// Something that happened, with the time it took.
    pub fn done(&self, what: impl Display, took: Duration) {
        self.line(format_args!("   {what} {FAINT}({}){FAINT:#}", span(took)));
    }

    /// Something to know.
    pub fn note(&self, what: impl Display) {
        self.line(format_args!("   {FAINT}{what}{FAINT:#}"));
    }

    /// What went wrong, with its causes.
    pub fn trouble(&self, error: &dyn Error) {
        let mut said = format!("{BAD}error:{BAD:#} {error}");
        let mut cause = error.source();
        while let Some(next) = cause {
            said.push_str(&format!("\n  because {next}"));
            cause = next.source();
        }
        let _ = writeln!(anstream::stderr().lock(), "{said}");
    }
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    since: Instant,
}

impl Stopwatch {
    /// Starts.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the demonstration shows how long things take; no rule depends on it"
    )]
    pub fn start() -> Self {
        Self { since: Instant::now() }
    }

    /// How long ago that was.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.since.elapsed()
    }
}

/// A duration in words.
#[must_use]
pub fn span(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        for (micros, text) in [(0, "0 µs"), (999, "999 µs"), (1_234, "1.2 ms"), (2_500_000, "2.5 s")] {
            assert_eq!(span(Duration::from_micros(micros)), text);
        }
    }
}
