//! Data to standard output, talk to standard error; colour only where it helps.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::Failure;

/// All is well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Look at this.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What matters.
pub(super) const STRONG: Style = Style::new().bold();
/// What matters less.
pub(super) const FAINT: Style = Style::new().dimmed();

/// Decides about colour for the rest of the process.
pub(super) fn choose_colour(choice: anstream::ColorChoice) {
    if choice != anstream::ColorChoice::Auto {
        choice.write_global();
    }
}

/// Writes a line (or several) to standard output.
pub(super) fn data(text: &str) -> Result<(), Failure> {
    raw(&format!("{text}\n"))
}

/// Writes to standard output as it stands, but for colour.
pub(super) fn raw(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}

/// Writes a value as JSON to standard output.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Output(error.into()))?;
    data(&text)
}

/// The same on one line.
pub(super) fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    data(&serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))?)
}

/// Whether colour reaches standard error.
pub(super) fn colour_on_stderr() -> bool {
    anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
}

/// Writes a line (or several) to standard error.
pub(super) fn say(text: &str) {
    // If even that fails, nobody is left to be told.
    let _ = writeln!(anstream::stderr(), "{text}");
}
