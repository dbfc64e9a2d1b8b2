//! The daemon: assembled from its parts, serving until it is told to stop.

mod app;
mod assemble;
mod chain;
mod facts;
mod keeper;
mod limits;
mod load;
mod logins;
mod record;
mod recorder;
mod server;
mod state;
mod wire;

use std::time::Duration;

use agentauth_host::service;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use assemble::RunError;
pub use load::{LoadError, RulesReport, check_rules};

use crate::config::Config;

/// How long a refresh under way may take once the daemon is stopping: it may have rotated the login.
const KEEPER_GRACE: Duration = Duration::from_secs(40);

/// Runs the daemon until it is told to stop (`SIGTERM`, `SIGINT`), and lets what is under way finish. `notes` is what
/// was odd about the configuration, for `status` to show.
///
/// # Errors
/// When a part that it cannot do without is missing; see [`RunError`].
pub async fn run(config: Config, notes: Vec<String>) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let parts = assemble::assemble(&config, notes)?;
    let stop = CancellationToken::new();
    let keeper = parts.keeper.map(|keeper| tokio::spawn(keeper.run(stop.clone())));
    let app = parts.app;
    let serving = tokio::spawn(server::serve(app.clone(), parts.listener, stop.clone()));
    tracing::info!(socket = %config.paths.socket.display(), profile = config.profile, "serving");
    announce(service::ready());
    let watchdog = tokio::spawn(watchdog());

    let why = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::info!(why, "stopping");
    announce(service::stopping());
    stop.cancel();
    watchdog.abort();
    if let Some(side) = &app.provider {
        side.logins.stop().await;
    }
    if let Err(error) = serving.await {
        tracing::error!(%error, "the server ended badly");
    }
    if let Some(keeper) = keeper
        && tokio::time::timeout(KEEPER_GRACE, keeper).await.is_err()
    {
        tracing::error!("the keeper did not finish in time; a rotated login may be lost");
    }
    app.audit.note_down(&record::service_stop(why, app.clock.now()));
    if let Err(error) = app.audit.to_disk().await {
        tracing::error!(error = %chain::Chain(&error), "the audit log could not be brought to disk");
    }
    Ok(())
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
