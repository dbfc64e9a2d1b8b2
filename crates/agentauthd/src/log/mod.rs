//! The daemon's log, on standard error: what is written, which of it, and what is left out of it.
//!
//! Every record goes through [`redact`] as the bytes that would be written, so nothing gets past it, and so does the text of
//! a panic. More can be logged for a time while the daemon runs, and the audit log says who wanted that. What the
//! configuration has logged stays logged whatever anybody asks for, so that nobody hides by turning the log down.

mod panics;
mod redact;
mod writer;

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentauth_core::Timestamp;
use tokio::task::AbortHandle;
use tracing_subscriber::filter::combinator::Or;
use tracing_subscriber::filter::{FilterExt as _, ParseError};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
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
        cause: ParseError,
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
    Unusable(ParseError),
    /// It is too long to be one.
    #[error("is longer than {LONGEST_FILTER} bytes: shorten it")]
    TooLong,
    /// The log is gone.
    #[error("cannot be put in force: the log has ended")]
    Gone,
}

/// The longest filter that is taken while running, in bytes.
const LONGEST_FILTER: usize = 1024;

/// What nothing is logged by.
const NOTHING: &str = "off";

/// What is logged beside what the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct More {
    /// The filter's directives.
    pub(crate) filter: String,
    /// Until when.
    pub(crate) until: Timestamp,
}

/// Lets through what the configuration says, and what is asked for beside it.
type Either = Or<EnvFilter, EnvFilter, Registry>;

/// Changes what is logged.
#[derive(Clone)]
pub(crate) struct Control {
    handle: reload::Handle<Either, Registry>,
    configured: Arc<str>,
    now: Arc<Mutex<Now>>,
}

#[derive(Default)]
struct Now {
    more: Option<More>,
    /// What ends it when its time is over.
    ending: Option<AbortHandle>,
}

/// Starts the log of this process, and catches panics for it.
///
/// # Errors
/// When the filter cannot be used, or there is a log already.
pub(crate) fn start(log: &Log) -> Result<Control, StartError> {
    let filter = either(&log.filter, NOTHING)
        .map_err(|cause| StartError::Filter { filter: log.filter.clone(), cause })?;
    let (filter, handle) = reload::Layer::new(filter);
    let layer = fmt::layer().with_writer(writer::Stderr).with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry();
    match log.format {
        LogFormat::Json => registry.with(layer.json().with_filter(filter)).try_init(),
        LogFormat::Text => registry.with(layer.with_target(false).with_filter(filter)).try_init(),
    }?;
    panics::catch(log.format);
    Ok(Control { handle, configured: log.filter.as_str().into(), now: Arc::default() })
}

fn either(configured: &str, more: &str) -> Result<Either, ParseError> {
    let parse = |filter: &str| EnvFilter::builder().parse(filter);
    Ok(parse(configured)?.or(parse(more)?))
}

impl Control {
    /// The filter of the configuration.
    pub(crate) fn configured(&self) -> &str {
        &self.configured
    }

    /// What is logged beside that now.
    pub(crate) fn more(&self) -> Option<More> {
        self.lock().more.clone()
    }

    /// Logs this, too; `ending` begins what calls [`Control::end`] when its time is over.
    ///
    /// # Errors
    /// When it is no filter.
    pub(crate) fn add(
        &self,
        more: More,
        ending: impl FnOnce(More) -> AbortHandle,
    ) -> Result<(), FilterError> {
        if more.filter.len() > LONGEST_FILTER {
            return Err(FilterError::TooLong);
        }
        let mut now = self.lock();
        self.filter_by(&more.filter)?;
        now.replace(Some((more.clone(), ending(more))));
        Ok(())
    }

    /// Logs as configured.
    ///
    /// # Errors
    /// When the log is gone.
    pub(crate) fn reset(&self) -> Result<(), FilterError> {
        let mut now = self.lock();
        self.filter_by(NOTHING)?;
        now.replace(None);
        Ok(())
    }

    /// Logs as configured if that is what is logged beside it; whether it was.
    ///
    /// # Errors
    /// When the log is gone.
    pub(crate) fn end(&self, more: &More) -> Result<bool, FilterError> {
        let mut now = self.lock();
        if now.more.as_ref() != Some(more) {
            return Ok(false);
        }
        self.filter_by(NOTHING)?;
        // Whoever calls is what ends it, and has still to say so.
        *now = Now::default();
        Ok(true)
    }

    fn filter_by(&self, more: &str) -> Result<(), FilterError> {
        let filter = either(&self.configured, more).map_err(FilterError::Unusable)?;
        self.handle.reload(filter).map_err(|_| FilterError::Gone)
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn replace(&mut self, by: Option<(More, AbortHandle)>) {
        let (more, ending) = by.unzip();
        let before = std::mem::replace(self, Self { more, ending });
        before.ending.iter().for_each(AbortHandle::abort);
    }
}
