//! What a panic says goes the way of the log: to standard error, without what looks like a secret.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write as _;
use std::panic::PanicHookInfo;

use super::redact;
use crate::config::LogFormat;

/// Catches what panics say, from now on.
pub(super) fn catch(format: LogFormat) {
    std::panic::set_hook(Box::new(move |panic| {
        // Not through `tracing`: the panic may come from there, with its locks held.
        let text = told(format, &message(panic), &Backtrace::capture());
        let _ = std::io::stderr().lock().write_all(&redact(text.as_bytes()));
    }));
}

fn message(panic: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let said = panic.payload_as_str().unwrap_or("no text");
    let place = panic.location().map(|place| format!(" at {place}")).unwrap_or_default();
    format!("thread `{}` panicked{place}: {said}", thread.name().unwrap_or("unnamed"))
}

fn told(format: LogFormat, message: &str, backtrace: &Backtrace) -> String {
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    match format {
        LogFormat::Json => {
            let fields = serde_json::json!({ "message": message, "backtrace": backtrace });
            let target = env!("CARGO_PKG_NAME");
            format!("{}\n", serde_json::json!({ "level": "ERROR", "fields": fields, "target": target }))
        }
        LogFormat::Text => format!("ERROR {message}\n{}", backtrace.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_record_in_either_format() {
        let none = Backtrace::disabled();
        assert_eq!(told(LogFormat::Text, "it broke", &none), "ERROR it broke\n");
        let line = told(LogFormat::Json, "it \"broke\"\n", &none);
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["fields"]["message"], "it \"broke\"\n");
        assert_eq!(line.matches('\n').count(), 1);
    }
}
