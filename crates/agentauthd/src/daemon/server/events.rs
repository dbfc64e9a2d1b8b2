//! `GET /v1/events`: what happens, as server-sent events (HTML, section 9.2). A person's process is told everything, an
//! agent what concerns itself.
//!
//! A stream rests on who its reader is. That is proved before each event and from time to time between them, and the
//! stream ends as soon as it would not be given again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use agentauth_api::ErrorCode;
use agentauth_core::gate::Operation;
use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::connection::{Caller, Connection};
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::events::Follower;
use crate::daemon::wire::{self, SessionSeen};

/// How often a comment is sent where nothing else is, and the reader proved anew.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events that may wait for the reader.
const AHEAD: usize = 32;
/// How long a reader that is behind may take to read again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Follows what happens from now on. The first event says where the session stands.
pub(super) async fn follow(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (caller, own) = connection.reach(&app, &headers, Operation::Events).await?;
    let follower = app.events.follow(connection.pid()).ok_or_else(|| {
        let detail =
            "this process, or all together, follow too many streams of events: close one, or share it";
        Refusal::new(ErrorCode::RateLimited, detail)
    })?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let stream = Stream { app, connection, caller, own, sender };
    tokio::spawn(stream.run(follower));
    let mut response = Response::new(Body::new(Frames(receiver)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// One reader, and what shows that it may read.
struct Stream {
    app: Arc<App>,
    connection: Arc<Connection>,
    caller: Caller,
    /// The agents whose events it is told; `None` for all.
    own: Option<Vec<Arc<str>>>,
    sender: mpsc::Sender<Bytes>,
}

impl Stream {
    /// Tells until the reader goes, falls behind, or is not who it was any more, or the daemon stops.
    async fn run(self, mut follower: Follower) {
        let mut changes = self.app.state.watch();
        let mut seen = self.session();
        let mut beat = interval(KEEP_ALIVE);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        if !self.send(wire::session_event(seen)).await {
            return;
        }
        loop {
            let told = tokio::select! {
                biased;
                () = self.app.stop.cancelled() => return,
                () = self.sender.closed() => return,
                changed = changes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = self.session();
                    let told = (now != seen).then(|| wire::session_event(now));
                    seen = now;
                    told
                }
                happening = follower.next() => match happening {
                    Some(happening) => self.concerns(happening.agent()).then(|| {
                        wire::event(&self.app.state.load(), &happening, self.app.clock.now())
                    }),
                    None => return self.fall_behind().await,
                },
                _ = beat.tick() => {
                    // It may also have come to its end without anybody doing anything.
                    let now = self.session();
                    let told = if now == seen { ":\n\n".to_owned() } else { wire::session_event(now) };
                    seen = now;
                    Some(told)
                }
            };
            if self.connection.own(&self.app, &self.caller) != self.own {
                tracing::debug!(
                    pid = self.connection.pid(),
                    "a reader of events may see something else by now"
                );
                return;
            }
            let Some(told) = told else { continue };
            if let Err(why) = self.connection.reprove(&self.caller) {
                tracing::warn!(pid = self.connection.pid(), why, "a reader of events is not who it was");
                return;
            }
            if !self.send(told).await {
                return;
            }
        }
    }

    fn session(&self) -> SessionSeen {
        wire::session_seen(&self.app.state.load(), self.app.clock.now())
    }

    fn concerns(&self, agent: &Arc<str>) -> bool {
        self.own.as_ref().is_none_or(|own| own.contains(agent))
    }

    /// Hands an event to the connection; whether there may be another.
    async fn send(&self, told: String) -> bool {
        match self.sender.try_send(told.into()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.fall_behind().await;
                false
            }
        }
    }

    /// Tells a reader that is too slow that this was all; one that does not read that either is left.
    async fn fall_behind(&self) {
        self.app.metrics.streams_lagged.add();
        let telling = self.sender.send(wire::lagged_event().into());
        if tokio::time::timeout(PATIENCE, telling).await.is_err() {
            self.connection.give_up();
        }
    }
}

/// The body of the answer: what was sent, until the sender is gone.
struct Frames(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|told| told.map(|told| Ok(Frame::data(told))))
    }
}
