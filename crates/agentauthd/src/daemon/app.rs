//! What every request can reach.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use agentauth_core::consent::Choice;
use agentauth_core::recognise::Recogniser;
use agentauth_core::{Clock, Timestamp};
use agentauth_host::harden::Step;
use agentauth_idp::Keys;
use agentauth_ipc::{HashCache, Identify};

use tokio_util::sync::CancellationToken;

use super::consents::Consents;
use super::domains::Domains;
use super::events::Events;
use super::grounds::Grounds;
use super::keeper::KeeperHandle;
use super::launches::Launches;
use super::limits::Usage;
use super::logins::Logins;
use super::manager::Manager;
use super::metrics::Metrics;
use super::passkeys::Passkeys;
use super::pause::Pause;
use super::preapprovals::Preapprovals;
use super::recorder::Recorder;
use super::rights::Rights;
use super::sinks::Sinks;
use super::state::State;
use super::traces::Traces;
use super::watching::Watching;
use crate::config;
use crate::log::Control;

/// The daemon, as its requests see it.
pub(crate) struct App {
    pub(crate) about: About,
    pub(crate) state: Arc<State>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) audit: Recorder,
    /// Where copies of the record go, and how that goes.
    pub(crate) sinks: Sinks,
    pub(crate) grounds: Grounds,
    pub(crate) pause: Arc<Pause>,
    pub(crate) rights: Arc<Rights>,
    /// The domains by which enforcers ask.
    pub(crate) domains: Arc<Domains>,
    pub(crate) consents: Arc<Consents>,
    pub(crate) preapprovals: Preapprovals,
    pub(crate) events: Arc<Events>,
    pub(crate) watching: Watching,
    /// The longest yes that may be given.
    pub(crate) longest: Choice,
    pub(crate) passkeys: Arc<Passkeys>,
    /// Whether the page with the questions is opened in the browser.
    pub(crate) open_browser: bool,
    /// Whether a desktop notification says that a question waits.
    pub(crate) notify: bool,
    pub(crate) launches: Arc<Launches>,
    /// How launched programs are started.
    pub(crate) launching: config::Launch,
    pub(crate) identifier: Arc<dyn Identify>,
    pub(crate) hashes: HashCache,
    pub(crate) manager: Manager,
    pub(crate) recogniser: Recogniser,
    pub(crate) usage: Mutex<Usage>,
    /// Changes what is logged.
    pub(crate) log: Control,
    pub(crate) metrics: Arc<Metrics>,
    /// Absent where no collector of traces is configured.
    pub(crate) traces: Option<Traces>,
    /// The registered agents that may read the metrics.
    pub(crate) scrapers: Vec<String>,
    /// Told when the daemon stops: then nobody is kept waiting.
    pub(crate) stop: CancellationToken,
    /// Absent where no project is configured: then nobody can log in, and every check is denied.
    pub(crate) provider: Option<ProviderSide>,
}

/// The parts that need a provider.
pub(crate) struct ProviderSide {
    pub(crate) keeper: KeeperHandle,
    pub(crate) logins: Logins,
    pub(crate) keys: Arc<Keys>,
    /// What kind of provider it is, as the configuration says it.
    pub(crate) kind: &'static str,
    pub(crate) issuer: String,
    /// Descope's project.
    pub(crate) project_id: Option<String>,
    pub(crate) base_url: String,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) store_kind: &'static str,
}

/// What does not change while the daemon runs.
pub(crate) struct About {
    pub(crate) owner_uid: u32,
    pub(crate) started_at: Timestamp,
    pub(crate) profile: String,
    pub(crate) device: String,
    /// What was wrong with what was read at the start.
    pub(crate) problems: Vec<String>,
    /// Credentials that lay in the environment without being needed; names only.
    pub(crate) needless_credentials: Vec<String>,
    /// What was done to keep memory and files private.
    pub(crate) hardening: Vec<Step>,
    /// The tenant whose roles count, if the configuration names one.
    pub(crate) tenant: Option<String>,
    /// Where the socket is.
    pub(crate) socket: PathBuf,
}
