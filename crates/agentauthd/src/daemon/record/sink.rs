//! What is recorded of the sinks themselves: that one is away or back, and what one is not given.

use agentauth_audit::{Event, Kind};
use agentauth_core::Timestamp;
use serde_json::json;

/// A sink cannot be reached.
pub(crate) fn sink_down<'a>(sink: &str, why: &'a str, now: Timestamp) -> Event<'a> {
    let mut event = Event { message: Some(why.into()), ..Event::new(Kind::SinkState, now) };
    event.details.insert("sink".to_owned(), sink.into());
    event.details.insert("state".to_owned(), "down".into());
    event
}

/// A sink takes records again.
pub(crate) fn sink_up(sink: &str, now: Timestamp) -> Event<'static> {
    let mut event = Event::new(Kind::SinkState, now);
    event.details.insert("sink".to_owned(), sink.into());
    event.details.insert("state".to_owned(), "up".into());
    event
}

/// Records that a sink will not be given, or has refused; which, where they are in a row.
pub(crate) fn sink_dropped<'a>(
    sink: &str,
    records: u64,
    range: Option<(u64, u64)>,
    why: &'a str,
    now: Timestamp,
) -> Event<'a> {
    let mut event = Event { message: Some(why.into()), ..Event::new(Kind::SinkDropped, now) };
    event.details.insert("sink".to_owned(), sink.into());
    event.details.insert("records".to_owned(), records.into());
    if let Some((first, last)) = range {
        event.details.insert("first".to_owned(), json!(first));
        event.details.insert("last".to_owned(), json!(last));
    }
    event
}
