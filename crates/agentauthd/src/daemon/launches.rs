//! The launches that are alive, held by the handles of their launchers.
//!
//! A launch gives rights, so it is recorded first. It takes them away again by itself: when the launcher's process ends,
//! and when the agent is no longer registered as it was. Nothing of it survives the daemon.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use agentauth_api::ErrorCode;
use agentauth_audit::{AuditError, Event};
use agentauth_core::agent::Agent;
use agentauth_core::caller::CallerFacts;
use agentauth_core::snapshot::Snapshot;
use agentauth_core::text::display_safe_within;
use agentauth_core::widening::Launched;
use agentauth_core::{Clock, Launch};
use agentauth_ipc::hashes::regular_file;
use agentauth_ipc::{Digest, HashCache};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::unix::AsyncFd;
use tokio_util::sync::CancellationToken;

use super::record;
use super::recorder::Recorder;
use super::state::State;

/// The most launches at one time: each costs a descriptor.
const MOST: usize = 128;

/// Notes launches, and ends them.
pub(crate) struct Launches {
    state: Arc<State>,
    audit: Recorder,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    /// The launchers, by the launch's identifier.
    handles: Mutex<HashMap<Arc<str>, Arc<AsyncFd<OwnedFd>>>>,
}

/// A launch that only has to be allowed.
pub(crate) struct Ready {
    pub(crate) id: String,
    pub(crate) agent: Arc<Agent>,
    /// The launcher, as it was proven.
    pub(crate) caller: CallerFacts,
    /// The launcher's pidfd.
    pub(crate) handle: OwnedFd,
    /// What the program is given, as the launcher says.
    pub(crate) arguments: Vec<String>,
    /// What is started.
    pub(crate) launched: Launched,
}

/// Why there is no launch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotLaunched {
    #[error("{MOST} launched agents run already, and there is no room for more: end one")]
    TooMany,
    #[error("the launcher has ended")]
    LauncherGone,
    #[error(
        "the registration of `{0}` changed while it was being started: look at `agentauthd status`, and start it again"
    )]
    RegistrationChanged(String),
    #[error("the launch could not be recorded, so nothing is started")]
    Audit(#[source] AuditError),
    #[error("the launcher cannot be watched: see whether the daemon has descriptors left")]
    Watch(#[source] std::io::Error),
}

impl NotLaunched {
    /// The stable code.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::TooMany => ErrorCode::RateLimited,
            Self::LauncherGone => ErrorCode::CallerUnproven,
            Self::RegistrationChanged(_) => ErrorCode::AgentChanged,
            Self::Audit(_) => ErrorCode::AuditUnavailable,
            Self::Watch(_) => ErrorCode::Internal,
        }
    }
}

impl Launches {
    pub(crate) fn new(
        state: Arc<State>,
        audit: Recorder,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self { state, audit, clock, stop, handles: Mutex::default() })
    }

    /// From now on what stands below the launcher is the agent. `record` says by whose word.
    pub(crate) fn begin(self: &Arc<Self>, ready: &Ready, record: &Event<'_>) -> Result<(), NotLaunched> {
        if self.state.load().launches.len() >= MOST {
            return Err(NotLaunched::TooMany);
        }
        let handle = ready.handle.try_clone().map_err(NotLaunched::Watch)?;
        #[allow(deprecated, reason = "an `OwnedFd` keeps what the newer function, which is unsafe, asks for")]
        let handle = Arc::new(AsyncFd::new(handle).map_err(NotLaunched::Watch)?);
        if !is_alive(handle.get_ref()) {
            return Err(NotLaunched::LauncherGone);
        }
        if !is_registered(&self.state.load(), &ready.agent) {
            return Err(NotLaunched::RegistrationChanged((*ready.agent.name).to_owned()));
        }
        self.audit.append(record).map_err(NotLaunched::Audit)?;
        let launch = Launch {
            id: ready.id.as_str().into(),
            agent: ready.agent.clone(),
            pid: ready.caller.process.pid,
            start_time: ready.caller.process.start_time,
        };
        let id = launch.id.clone();
        tracing::info!(agent = %launch.agent.name, launcher = launch.pid, "launched");
        self.lock().insert(id.clone(), handle.clone());
        self.state.change(|snapshot| snapshot.launches.insert(launch));
        tokio::spawn(self.clone().watch(id, ready.agent.clone(), handle));
        Ok(())
    }

    /// Ends those launches above a caller whose launcher is gone though nobody has noticed yet. Whether there was one.
    pub(crate) fn end_dead(&self, caller: &CallerFacts) -> bool {
        let snapshot = self.state.load();
        let mut ended = false;
        for launch in snapshot.launches.over(caller) {
            let handle = self.lock().get(&launch.id).cloned();
            if !handle.is_some_and(|handle| is_alive(handle.get_ref())) {
                self.end(&launch.id, &launch.agent, LAUNCHER_ENDED);
                ended = true;
            }
        }
        ended
    }

    async fn watch(self: Arc<Self>, id: Arc<str>, agent: Arc<Agent>, handle: Arc<AsyncFd<OwnedFd>>) {
        let mut changes = self.state.watch();
        let why = loop {
            if !is_registered(&self.state.load(), &agent) {
                break "the agent is not registered any more as it was then";
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                // Readable, or broken: either way nothing is known of the launcher any more.
                _ = handle.readable() => break LAUNCHER_ENDED,
                _ = changes.changed() => {}
            }
        };
        self.end(&id, &agent, why);
    }

    fn end(&self, id: &Arc<str>, agent: &Agent, why: &str) {
        if self.lock().remove(id).is_none() {
            return;
        }
        self.state.change(|snapshot| {
            snapshot.launches.remove(id);
        });
        tracing::info!(agent = %agent.name, why, "a launch ended");
        self.audit.note_down(&record::launch_ended(id, &agent.name, why, self.clock.now()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, Arc<AsyncFd<OwnedFd>>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LAUNCHER_ENDED: &str = "its launcher ended";

fn is_registered(snapshot: &Snapshot, agent: &Arc<Agent>) -> bool {
    snapshot.agents.get(&agent.name).is_some_and(|now| Arc::ptr_eq(now, agent) || now == agent)
}

/// Whether the process behind a pidfd still exists. Doubt counts as no.
fn is_alive(handle: &OwnedFd) -> bool {
    const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        match poll(&mut [PollFd::new(&handle.as_fd(), PollFlags::IN)], Some(&AT_ONCE)) {
            Ok(ready) => return ready == 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// What stands where the registration says, found to be what was registered.
pub(crate) struct Files {
    pub(crate) executable: Digest,
    pub(crate) script: Option<Digest>,
}

/// Why a registered program is not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(
        "`{agent}` is registered with the interpreter `{executable}` and no script, so any code at all would be this agent: \
         register the script"
    )]
    NoScript { agent: String, executable: String },
    #[error(
        "the {what} of `{agent}` has changed: SHA-256 {expected} is registered, and `{path}` has {seen}; find out who \
         changed it, and register it anew if that is right"
    )]
    Changed { what: &'static str, agent: String, path: String, expected: String, seen: String },
    #[error(
        "`{path}`, which is registered for `{agent}`, leads to another file: register the path with links resolved"
    )]
    Leads { agent: String, path: String },
    #[error("the {what} of `{agent}` cannot be read: see that `{path}` is there, or register another")]
    Unreadable {
        what: &'static str,
        agent: String,
        path: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Looks whether the files of an agent are those that were registered.
pub(crate) async fn examine(
    agent: &Agent,
    hashes: &HashCache,
    now: agentauth_core::Timestamp,
) -> Result<Files, Unfit> {
    let selectors = &agent.selectors;
    let name = || (*agent.name).to_owned();
    if selectors.script.is_none() && selectors.names_interpreter() {
        return Err(Unfit::NoScript { agent: name(), executable: shown(&selectors.executable) });
    }
    let look = async |what, path: &str, expected: Option<&str>| {
        let unreadable = |cause: Box<dyn std::error::Error + Send + Sync>| Unfit::Unreadable {
            what,
            agent: name(),
            path: shown(path),
            cause,
        };
        let asked = PathBuf::from(path);
        let found = tokio::task::spawn_blocking(move || regular_file(&asked)).await;
        let (real, id) =
            found.map_err(|broken| unreadable(broken.into()))?.map_err(|cause| unreadable(cause.into()))?;
        if real != Path::new(path) {
            return Err(Unfit::Leads { agent: name(), path: shown(path) });
        }
        let seen = hashes.digest(&real, id, now.into()).await;
        let seen = seen.map_err(|cause| unreadable(cause.into()))?;
        match expected.filter(|expected| !expected.eq_ignore_ascii_case(&seen.to_string())) {
            None => Ok(seen),
            Some(expected) => Err(Unfit::Changed {
                what,
                agent: name(),
                path: shown(path),
                expected: expected.to_owned(),
                seen: seen.to_string(),
            }),
        }
    };
    let executable = look("executable", &selectors.executable, selectors.sha256.as_deref()).await?;
    let script = match &selectors.script {
        Some(script) => Some(look("script", script, selectors.script_sha256.as_deref()).await?),
        None => None,
    };
    Ok(Files { executable, script })
}

fn shown(path: &str) -> String {
    display_safe_within(path, 200)
}
