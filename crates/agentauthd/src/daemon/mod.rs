//! The daemon: assembled from its parts, serving until it is told to stop.

mod app;
mod assemble;
mod consents;
mod domains;
mod events;
mod evidence;
mod facts;
mod filing;
mod grounds;
mod keeper;
mod kept;
mod launches;
mod limits;
mod load;
mod logins;
mod manager;
mod metrics;
mod news;
mod notices;
mod page;
mod passkeys;
mod pause;
mod policies;
mod preapprovals;
mod presence;
mod record;
mod recorder;
mod reload;
mod rights;
pub(crate) mod rulebook;
mod server;
mod sinks;
mod state;
mod traces;
mod watching;
mod wire;

use std::time::Duration;

use agentauth_host::service;
use secrecy::SecretString;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use assemble::RunError;
pub(crate) use assemble::provider_config;
pub use load::{LoadError, RulesReport, survey_rules};
pub use passkeys::RootsError;
pub use sinks::SinkSetupError;

use crate::config::{Flags, Loaded};
use crate::environment::Environment;
use crate::log::Control;

/// How long a refresh under way may take once the daemon is stopping: it may have rotated the login.
const KEEPER_GRACE: Duration = Duration::from_secs(40);

/// What the daemon starts with.
pub struct Start {
    /// The configuration, as files, variables and flags say it.
    pub loaded: Loaded,
    /// Where it is read anew.
    pub environment: Environment,
    /// What the command line said about it.
    pub flags: Flags,
    /// What was odd about it, for `status` to show.
    pub notes: Vec<String>,
    /// Credentials that lie in the environment without being needed; names only.
    pub needless_credentials: Vec<String>,
    /// The passphrase of the encrypted file, where the person was asked for it.
    pub passphrase: Option<SecretString>,
    /// What changes what is logged.
    pub(crate) log: Control,
}

/// Runs the daemon until it is told to stop (`SIGTERM`, `SIGINT`, or `SIGHUP` from a terminal that is gone), and lets
/// what is under way finish.
///
/// # Errors
/// When a part that it cannot do without is missing, or breaks; see [`RunError`].
pub async fn run(start: Start) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let hangup = signal(SignalKind::hangup()).map_err(RunError::Signals)?;
    let stop = CancellationToken::new();
    let profile = start.loaded.config.profile.clone();
    let parts = assemble::assemble(start, &stop)?;
    let socket = parts.listener.path().display().to_string();
    let mut keeper = parts.keeper.map(|keeper| tokio::spawn(keeper.run()));
    let app = parts.app;
    let feeding = parts.feeds.start()?;
    let exporting = parts.exporter.map(|exporter| tokio::spawn(exporter.run(stop.clone())));
    let mut serving = tokio::spawn(server::serve(app.clone(), parts.listener, stop.clone()));
    tracing::info!(socket, profile, "serving");
    announce(service::ready());
    if let Some((directory, newest)) = parts.past {
        let app = app.clone();
        // Nobody waits for it; it ends with the daemon.
        tokio::task::spawn_blocking(move || {
            let catalogue = app.state.load().catalogue.clone();
            watching::learn(&app.watching, &catalogue, &directory, newest, &app.stop);
        });
    }
    let watchdog = tokio::spawn(watchdog());
    let mut asking = tokio::spawn({
        let (consents, stop) = (app.consents.clone(), stop.clone());
        async move { consents.keep(stop).await }
    });

    let mut reloading = tokio::spawn(reload::keep(app.rights.clone(), hangup, stop.clone()));
    let filing = tokio::spawn(parts.filing.run(stop.clone()));
    let expiring = tokio::spawn({
        let (rights, stop) = (app.rights.clone(), stop.clone());
        async move { rights.watch_expiry(stop).await }
    });

    let noticing = app.notify.then(|| {
        let (consents, profile) = (app.consents.clone(), app.about.profile.clone());
        tokio::spawn(notices::run(consents, profile, stop.clone()))
    });
    let paging = app.open_browser.then(|| tokio::spawn(page::run(app.clone(), stop.clone())));

    let end = tokio::select! {
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
        _ = &mut serving => Err("the server ended by itself"),
        () = ended(keeper.as_mut()) => Err("the keeper ended by itself"),
        ended = &mut reloading => ended.map(|()| "SIGHUP").map_err(|_| "the watching of policies ended by itself"),
        _ = &mut asking => Err("the keeping of questions ended by itself"),
    };
    let (Ok(why) | Err(why)) = end;
    tracing::info!(why, "stopping");
    announce(service::stopping());
    stop.cancel();
    watchdog.abort();
    if let Some(side) = &app.provider {
        side.logins.stop().await;
    }
    if !serving.is_finished()
        && let Err(error) = serving.await
    {
        tracing::error!(%error, "the server ended badly");
    }
    if let Some(keeper) = keeper.filter(|keeper| !keeper.is_finished())
        && tokio::time::timeout(KEEPER_GRACE, keeper).await.is_err()
    {
        tracing::error!("the keeper did not finish in time; a rotated login may be lost");
    }
    for task in [paging, noticing, exporting, Some(expiring)].into_iter().flatten() {
        if let Err(error) = task.await {
            tracing::error!(%error, "a part of the daemon ended badly");
        }
    }
    app.audit.unfold(app.clock.now(), true);
    app.audit.note_down(&record::service_stop(why, app.clock.now()));
    if let Err(error) = app.audit.to_disk().await {
        tracing::error!(error = %agentauth_idp::Chain(&error), "the audit log could not be brought to disk");
    }
    match filing.await {
        Ok(filing) => filing.last_checkpoint().await,
        Err(error) => tracing::error!(%error, "what looks after the audit log ended badly"),
    }
    // After the last checkpoint, which is what others are to have.
    feeding.finish().await;
    end.map(drop).map_err(RunError::Broken)
}

/// Completes when the task has ended; never without one.
async fn ended(task: Option<&mut JoinHandle<()>>) {
    match task {
        Some(task) => {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the daemon broke down");
            }
        }
        None => std::future::pending().await,
    }
}

/// Tells the service manager, for as long as it wants to be told, that the event loop turns.
async fn watchdog() {
    let Some(period) = service::watchdog_interval() else { return };
    loop {
        announce(service::watchdog_ping());
        tokio::time::sleep(period).await;
    }
}

/// A service manager that does not listen is no reason not to serve.
fn announce(outcome: std::io::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "the service manager was not told");
    }
}
