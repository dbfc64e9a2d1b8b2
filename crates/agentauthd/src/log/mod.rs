//! The daemon's log, on standard error: what is written, which of it, and what is left out of it.
//!
//! Every record goes through [`redact`] as the bytes that would be written, so nothing gets past it, and so does the text of
//! a panic. What is logged can be changed while the daemon runs, for a time: the audit log says who did, and the filter of
//! the configuration comes back by itself.

mod panics;
mod redact;
mod writer;

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentauth_core::Timestamp;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{Log, LogFormat};
pub(crate) use redact::{MARK, redact};

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The filter is none.
    #[error("the filter `{filter}` cannot be used")]
    Filter {
        /// As configured.
        filter: String,
        /// Why.
        #[source]
        cause: tracing_subscriber::filter::ParseError,
    },
    /// This process logs already.
    #[error("this process has a log already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Why the filter could not be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    /// It is none.
    #[error(
        "is no filter ({0}): write a level such as `debug`, or directives such as `info,agentauth_idp=debug`"
    )]
    Unusable(tracing_subscriber::filter::ParseError),
    /// It is too long to be one.
    #[error("is longer than {LONGEST_FILTER} bytes: shorten it")]
    TooLong,
    /// The log is gone.
    #[error("cannot be put in force: the log has ended")]
    Gone,
}

/// The longest filter that is taken while running, in bytes.
const LONGEST_FILTER: usize = 1024;

/// What is logged now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filtering {
    /// The filter's directives.
    pub(crate) filter: String,
    /// When the configured filter comes back; nothing where this is it.
    pub(crate) until: Option<Timestamp>,
}

/// Changes what is logged.
#[derive(Clone)]
pub(crate) struct Control {
    handle: reload::Handle<EnvFilter, Registry>,
    configured: Arc<str>,
    now: Arc<Mutex<Filtering>>,
}

/// Starts the log of this process, and catches panics for it.
///
/// # Errors
/// When the filter cannot be used, or there is a log already.
pub(crate) fn start(log: &Log) -> Result<Control, StartError> {
    let filter = EnvFilter::builder()
        .parse(&log.filter)
        .map_err(|cause| StartError::Filter { filter: log.filter.clone(), cause })?;
    let (filter, handle) = reload::Layer::new(filter);
    let layer = fmt::layer().with_writer(writer::Stderr).with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    match log.format {
        LogFormat::Json => registry.with(layer.json()).try_init(),
        LogFormat::Text => registry.with(layer.with_target(false)).try_init(),
    }?;
    panics::catch(log.format);
    let now = Filtering { filter: log.filter.clone(), until: None };
    Ok(Control { handle, configured: log.filter.as_str().into(), now: Arc::new(Mutex::new(now)) })
}

impl Control {
    /// The filter of the configuration.
    pub(crate) fn configured(&self) -> &str {
        &self.configured
    }

    /// What is logged now.
    pub(crate) fn now(&self) -> Filtering {
        self.lock().clone()
    }

    /// Logs by this filter until then.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn set(&self, filter: &str, until: Timestamp) -> Result<Filtering, FilterError> {
        self.put(Filtering { filter: filter.to_owned(), until: Some(until) })
    }

    /// Logs by the configured filter again.
    ///
    /// # Errors
    /// When the log is gone.
    pub(crate) fn reset(&self) -> Result<Filtering, FilterError> {
        self.put(Filtering { filter: (*self.configured).to_owned(), until: None })
    }

    fn put(&self, next: Filtering) -> Result<Filtering, FilterError> {
        if next.filter.len() > LONGEST_FILTER {
            return Err(FilterError::TooLong);
        }
        let filter = EnvFilter::builder().parse(&next.filter).map_err(FilterError::Unusable)?;
        let mut now = self.lock();
        self.handle.reload(filter).map_err(|_| FilterError::Gone)?;
        *now = next.clone();
        Ok(next)
    }

    fn lock(&self) -> MutexGuard<'_, Filtering> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
