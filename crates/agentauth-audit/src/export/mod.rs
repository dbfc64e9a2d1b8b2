//! Records in the languages of those who collect them: OCSF, CEF, CSV, RFC 5424. Pure: one [`Entry`] and what is the same
//! for many of them go in, text comes out.
//!
//! Whatever a record holds, no output is ever more than one line per record, and nothing in it acts on a terminal:
//! control, bidirectional and invisible characters come out as `\uXXXX`.
//!
//! [`Entry`]: crate::Entry

pub mod cef;
pub mod csv;
pub mod ocsf;
pub mod syslog;
mod text;
mod words;

use crate::{Event, Kind, Verdict};

pub use words::{agents, headline, sentence};

/// The product, as every format names it.
pub const PRODUCT: &str = "agentauthd";

/// What is the same for many records: where they were written, and by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The name of the host; empty where it is not known.
    pub host: String,
    /// An address of the host.
    pub address: Option<String>,
    /// The installation, `device:uuid:…`.
    pub device: Option<String>,
    /// The version of the daemon; empty where it is not known.
    pub version: String,
    /// The profile.
    pub profile: Option<String>,
}

impl Origin {
    /// Takes over what a `service.start` record, or one of facts about the machine, says of the place; what it does not say
    /// stays. Records that follow were written there.
    pub fn learn(&mut self, event: &Event<'_>) {
        let details = &event.details;
        let place = match event.kind {
            Kind::ServiceStart => details,
            Kind::Facts if details.get("kind").is_some_and(|kind| kind == "machine") => {
                let Some(facts) = details.get("facts").and_then(|facts| facts.as_object()) else { return };
                facts
            }
            _ => return,
        };
        let said = |name: &str| place.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        if let Some(host) = said("host") {
            self.host = host;
            // The address of one host is not that of another.
            self.address = said("address");
        }
        if let Some(version) = said("version") {
            self.version = version;
        }
        self.device = said("device").or_else(|| self.device.take());
        self.profile = said("profile").or_else(|| self.profile.take());
    }
}

/// How much a record should worry whoever watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Informational,
    /// Something was refused or failed, as happens.
    Low,
    /// Worth a look.
    Medium,
    /// Somebody should look now.
    High,
}

impl Severity {
    /// Of a record.
    #[must_use]
    pub fn of(event: &Event<'_>) -> Severity {
        use Severity::{High, Informational, Low, Medium};
        match event.kind {
            Kind::AuditGap | Kind::ChainRecovered | Kind::Quarantine | Kind::SinkDropped => High,
            Kind::Signal
            | Kind::OperationRefused
            | Kind::DecisionsFolded
            | Kind::LoginSwitched
            | Kind::PasskeyRefused
            | Kind::ConfigurationRefused
            | Kind::PolicyRefused
            | Kind::KeysRefused => Medium,
            Kind::Decision => match (event.decision, event.reason.as_ref().map(|reason| reason.as_str())) {
                (Some(Verdict::Allow), _) => Informational,
                (_, Some("agent_changed" | "quarantined")) => Medium,
                _ => Low,
            },
            Kind::LoginRefused
            | Kind::LoginNotEnded
            | Kind::RefreshFailed
            | Kind::SessionOver
            | Kind::SinkState
            | Kind::CheckpointKey
            | Kind::LogFilterChanged
            | Kind::Lock => Low,
            _ => Informational,
        }
    }
}

/// Whether what a record tells of came to what it was meant to; `None` where there is no such thing.
pub(crate) fn success(event: &Event<'_>) -> Option<bool> {
    match event.kind {
        Kind::ConfigurationRefused
        | Kind::KeysRefused
        | Kind::LoginNotEnded
        | Kind::LoginRefused
        | Kind::OperationRefused
        | Kind::PasskeyRefused
        | Kind::PolicyRefused
        | Kind::RefreshFailed => Some(false),
        Kind::Outcome => match words::outcome(event) {
            Some("done") => Some(true),
            Some("failed") => Some(false),
            _ => None,
        },
        Kind::AuditGap | Kind::ChainRecovered | Kind::Signal | Kind::SinkDropped | Kind::Unknown => None,
        // A question that was refused, or a check that was denied, was answered as it should be.
        _ => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_start_tells_where_what_follows_was_written() {
        let mut origin = Origin { host: "old".into(), address: Some("10.0.0.1".into()), ..Origin::default() };
        let mut start = Event::new(Kind::ServiceStart, jiff::Timestamp::UNIX_EPOCH);
        start.details = json!({"version": "1.2.3", "device": "device:uuid:1"}).as_object().cloned().unwrap();
        origin.learn(&start);
        assert_eq!((origin.host.as_str(), origin.version.as_str()), ("old", "1.2.3"));
        assert_eq!(origin.device.as_deref(), Some("device:uuid:1"));
        let mut facts = Event::new(Kind::Facts, jiff::Timestamp::UNIX_EPOCH);
        facts.details = json!({"kind": "session", "facts": {"host": "no"}}).as_object().cloned().unwrap();
        origin.learn(&facts);
        facts.details = json!({"kind": "machine", "facts": {"host": "new"}}).as_object().cloned().unwrap();
        origin.learn(&facts);
        assert_eq!((origin.host.as_str(), origin.address), ("new", None), "another host, another address");
        let mut other = Event::new(Kind::ServiceStop, jiff::Timestamp::UNIX_EPOCH);
        other.details = json!({"host": "third"}).as_object().cloned().unwrap();
        let mut unchanged = Origin { host: "new".into(), ..Origin::default() };
        unchanged.learn(&other);
        assert_eq!(unchanged.host, "new");
    }
}
