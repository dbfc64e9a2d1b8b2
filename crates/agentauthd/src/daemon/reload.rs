//! When policies are read anew: on `SIGHUP`, and when the administrator's files have changed.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use agentauth_core::Policy;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use super::policies::Look;
use super::rights::{Reloaded, Rights};

/// How often it is looked whether the administrator's files have changed.
const EVERY: Duration = Duration::from_secs(2);

/// Completes when the terminal that the daemon was started on is gone; until then `SIGHUP` reads the policies anew.
pub(super) async fn keep(rights: Arc<Rights>, mut hangup: Signal, stop: CancellationToken) {
    let on_terminal = std::io::stdin().is_terminal();
    let directory = &rights.admin_policies.0;
    // What was read, and beside which policies: what does not go together with some may do with others.
    let mut read: Option<(Look, Arc<Policy>)> = None;
    let mut before = Look::at(directory);
    loop {
        let why = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            signal = hangup.recv() => {
                if signal.is_none() || on_terminal && !std::io::stdin().is_terminal() {
                    return;
                }
                "SIGHUP"
            }
            () = tokio::time::sleep(EVERY) => {
                let look = Look::at(directory);
                // Files that are just being written may say half of what they will.
                let settled = look == before;
                before = look;
                let policy = rights.state.load().policy.clone();
                let known = read.as_ref().is_some_and(|(look, beside)| *look == before && Arc::ptr_eq(beside, &policy));
                if !settled || known {
                    continue;
                }
                "changed"
            }
        };
        let look = Look::at(directory);
        let reloaded = rights.reload_policies(why).await;
        if why == "SIGHUP" {
            tracing::info!(?reloaded, "policies read anew");
        }
        // What changed while it was read is read once more.
        read = (reloaded != Reloaded::Unrecorded).then(|| (look, rights.state.load().policy.clone()));
    }
}
