//! The pages in the browser: the one on which questions are answered, and those on which a passkey confirms one operation
//! (see [`operation`]).
//!
//! The page on which questions are answered is there only while a question waits, on the loopback interface, for
//! whoever the daemon opened it for.
//!
//! The address that the browser is opened at carries a secret that is good for one visit. It is exchanged at once for a
//! cookie that no script and no other site gets, and leaves the address bar with that. Every process of the user can see
//! an address that a browser is started with, so what is answered here is worth a prompt and no more.

mod door;
mod guard;
mod html;
pub(crate) mod operation;
mod serve;
mod visit;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::app::App;
use agentauth_idp::Chain;
use visit::Visit;

/// How long the page stays after the last question, so that the browser gets its last answer whole.
const LINGER: Duration = Duration::from_secs(5);
/// The browser is not opened more often than this.
const OPENING: Duration = Duration::from_secs(30);

/// Shows the page whenever a question waits, until told to stop.
pub(crate) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut changes = app.consents.watch();
    loop {
        if app.consents.list().1.is_empty() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = changes.changed() => continue,
            }
        }
        let shown = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            shown = show(&app) => shown,
        };
        if let Err(error) = shown {
            tracing::info!(error = %Chain(&error), "the page with the question could not be shown: answer it at a terminal");
            // Until there is something else to show.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = changes.changed() => {}
            }
        }
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPage {
    #[error("no port of the loopback interface is free")]
    Port(#[source] std::io::Error),
    #[error("the system gives no randomness")]
    Random,
    #[error("no browser was opened")]
    Browser(#[source] agentauth_host::browser::BrowserError),
}

/// Serves the page from the first question to a moment after the last.
async fn show(app: &Arc<App>) -> Result<(), NoPage> {
    let (listener, address) = bind().await.map_err(NoPage::Port)?;
    let visit = Arc::new(Visit::new(address.port()).ok_or(NoPage::Random)?);
    let closed = CancellationToken::new();
    let serving = tokio::spawn({
        let (app, visit) = (app.clone(), visit.clone());
        serve::serve(listener, closed.clone(), move |request| {
            door::respond(app.clone(), visit.clone(), request)
        })
    });
    let close = closed.drop_guard();
    let mut changes = app.consents.watch();
    let mut opened_for: Vec<Arc<str>> = Vec::new();
    loop {
        let waiting: Vec<_> = app.consents.list().1.iter().map(|question| question.id.clone()).collect();
        if waiting.is_empty() {
            tokio::time::sleep(LINGER).await;
            if app.consents.list().1.is_empty() {
                break;
            }
            continue;
        }
        if waiting.iter().any(|id| !opened_for.contains(id)) {
            open(&visit).await?;
            opened_for = waiting;
            // What is asked meanwhile stands on the same page.
            let rest = tokio::time::sleep(OPENING);
            tokio::select! {
                () = rest => {}
                _ = changes.wait_for(|_| app.consents.list().1.is_empty()) => {}
            }
            continue;
        }
        if changes.changed().await.is_err() {
            break;
        }
    }
    drop(close);
    let _ = serving.await;
    Ok(())
}

async fn open(visit: &Arc<Visit>) -> Result<(), NoPage> {
    let address = visit.invite().ok_or(NoPage::Random)?;
    let opening = tokio::task::spawn_blocking(move || agentauth_host::browser::open(&address));
    match opening.await {
        Ok(outcome) => outcome.map_err(NoPage::Browser),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A free port on the address that `localhost` means here.
async fn bind() -> std::io::Result<(TcpListener, SocketAddr)> {
    let on = async |ip: IpAddr| {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    match on(Ipv4Addr::LOCALHOST.into()).await {
        Ok(bound) => Ok(bound),
        Err(error) => on(Ipv6Addr::LOCALHOST.into()).await.map_err(|_: std::io::Error| error),
    }
}
