//! A record in the words that a receiver wants.

use std::borrow::Cow;

use agentauth_audit::Entry;
use agentauth_audit::export::{Origin, cef, ocsf};

use crate::config::RecordFormat;

/// The record as one line; nothing where the format has no word for it.
pub(super) fn render<'e>(format: RecordFormat, entry: &'e Entry, origin: &Origin) -> Option<Cow<'e, str>> {
    match format {
        RecordFormat::Json => Some(entry.line.as_str().into()),
        RecordFormat::Cef => Some(cef::line(entry, origin).into()),
        RecordFormat::Ocsf => ocsf::line(entry, origin).map(Cow::from),
    }
}
