//! Copies of the record that leave this installation while it is written.
//!
//! The log is the spool: each sink has a cursor in it (`sinks/NAME.cursor` in the state directory) and reads on from
//! there, so that what a sink has not had yet survives the daemon, and nothing is written twice. A sink costs a decision
//! nothing, be it away or busy: what feeds it is woken by the recorder, reads files, and has a thread of its own for
//! making up batches.
//!
//! `door.rs` is what a sink looks like, `feed.rs` the engine; each other file is one sink.

mod backlog;
mod board;
#[cfg(test)]
mod contract;
mod credential;
mod cursor;
mod door;
#[cfg(test)]
mod fake;
mod feed;
mod form;
#[cfg(target_os = "linux")]
mod journald;
mod otlp;
mod post;
#[cfg(test)]
mod receivers;
mod syslog;
mod web;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agentauth_audit::export::Origin;
use agentauth_audit::export::syslog::Style;
use agentauth_audit::{Kind, Trail};
use agentauth_core::Clock;
use agentauth_idp::{Chain, HttpError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use url::Url;

pub(crate) use board::SinkReport;
pub(super) use otlp::attributes;

use self::board::{Board, Shelf};
use self::credential::Credential;
use self::cursor::CursorFile;
use self::door::Sink;
use self::feed::{Feed, Terms};
use self::post::Post;
use super::recorder::Recorder;
use crate::config::{self, Config};
use crate::environment::Environment;

/// How long what is left may take to be handed over when the daemon stops.
const GRACE: Duration = Duration::from_secs(2);
/// The service manager's credentials with the tokens that receivers ask for.
const OTLP_CREDENTIAL: &str = "agentauthd.sinks.otlp.token";
const HTTP_CREDENTIAL: &str = "agentauthd.sinks.http.token";
const TRACES_CREDENTIAL: &str = "agentauthd.traces.token";

/// A sink could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SinkSetupError {
    /// Where the sinks' cursors are cannot be used.
    #[error("cannot use `{}`, where it is kept how far each sink has come: check that it is yours and writable", path.display())]
    Cursors {
        /// The directory or the file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A receiver cannot be spoken to at all.
    #[error("cannot set up the connection to `{to}`")]
    Receiver {
        /// Where it is.
        to: String,
        /// Why.
        #[source]
        cause: HttpError,
    },
    /// They have no thread to run on.
    #[error(
        "cannot start the thread that copies the record elsewhere: see whether the number of threads is limited"
    )]
    Thread(#[source] io::Error),
}

/// What sinks are made with.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    /// Where the service manager's credentials are found.
    pub(super) environment: &'a Environment,
    /// Whose files may hold tokens.
    pub(super) owner: u32,
    /// Where the records are written, and by what.
    pub(super) origin: Origin,
    pub(super) state_directory: &'a Path,
    pub(super) recorder: Recorder,
    pub(super) clock: Arc<dyn Clock>,
    /// Spreads attempts: a number from 0 to 1.
    pub(super) jitter: fn() -> f64,
}

/// The sinks, for those who ask how they stand.
pub(crate) struct Sinks {
    boards: Vec<Board>,
    recorder: Recorder,
}

impl Sinks {
    /// How each stands.
    pub(crate) fn reports(&self) -> Vec<SinkReport> {
        let newest = self.recorder.newest();
        self.boards.iter().map(|board| board.read(newest)).collect()
    }
}

/// The engines of the sinks, to be run, and where each notes how it stands.
pub(super) struct Feeds(Vec<(Board, Engine)>);

type Engine = Box<dyn FnOnce(CancellationToken) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The engines while they run.
pub(super) struct Running {
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

/// Makes the sinks that are configured. Reads how far each has come; connects to nothing yet.
///
/// # Errors
/// [`SinkSetupError`].
pub(super) fn sinks(parts: &Parts<'_>) -> Result<(Sinks, Feeds), SinkSetupError> {
    let mut making = Making {
        parts,
        sinks: Sinks { boards: Vec::new(), recorder: parts.recorder.clone() },
        feeds: Feeds(Vec::new()),
        shelf: Arc::new(Shelf::new(parts.recorder.clone())),
    };
    let options = &parts.config.sinks;
    #[cfg(target_os = "linux")]
    if let Some((sink, terms)) = journald(parts) {
        making.add("journald", &options.journald.socket.display().to_string(), sink, terms)?;
    }
    if let Some(address) = &options.syslog.address {
        let style = Style { facility: options.syslog.facility, ..Style::default() };
        let (network, origin) = (parts.config.network.clone(), parts.origin.clone());
        let sink = syslog::Syslog::new(address.clone(), network, style, options.syslog.format, origin);
        making.add("syslog", &address.to_string(), sink, parts.all(options.syslog.spool))?;
    }
    if let Some(url) = &options.otlp.url {
        let post = parts.post(url, options.otlp.token_file.as_deref(), OTLP_CREDENTIAL, options.otlp.gzip)?;
        let sink = otlp::Otlp::new(post, parts.origin.clone());
        making.add("otlp", &shown(url), sink, parts.all(options.otlp.spool))?;
    }
    if let Some(url) = &options.http.url {
        let post = parts.post(url, options.http.token_file.as_deref(), HTTP_CREDENTIAL, options.http.gzip)?;
        let sink = web::Web::new(post, options.http.format, options.http.body, parts.origin.clone());
        making.add("http", &shown(url), sink, parts.all(options.http.spool))?;
    }
    Ok((making.sinks, making.feeds))
}

/// Where a receiver is, for everybody who may see how the sinks stand. Some receivers know their senders by a path or a
/// query that nobody else has.
fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl Parts<'_> {
    /// The terms of a sink that gets every record.
    fn all(&self, spool: u64) -> Terms {
        Terms::usual(spool, None, self.jitter)
    }

    fn post(
        &self,
        url: &Url,
        token_file: Option<&Path>,
        credential: &str,
        gzip: bool,
    ) -> Result<Post, SinkSetupError> {
        let managed = || self.environment.credential(credential).filter(|path| path.is_file());
        let token = Credential::new(token_file.map(Path::to_owned).or_else(managed), self.owner);
        Post::new(url.clone(), &self.config.network, token, gzip)
            .map_err(|cause| SinkSetupError::Receiver { to: shown(url), cause })
    }
}

/// Something that takes documents in OTLP's JSON encoding, other than the record.
pub(super) struct Collector(Post);

impl Collector {
    /// The collector at `url`. Connects to nothing yet.
    ///
    /// # Errors
    /// [`SinkSetupError::Receiver`].
    pub(super) fn new(
        parts: &Parts<'_>,
        url: &Url,
        token_file: Option<&Path>,
    ) -> Result<Self, SinkSetupError> {
        parts.post(url, token_file, TRACES_CREDENTIAL, false).map(Self)
    }

    /// Hands over a document.
    ///
    /// # Errors
    /// In words, why it was not taken.
    pub(super) async fn take(&self, document: Vec<u8>) -> Result<(), String> {
        self.0.send("application/json", None, document).await.map(drop).map_err(|error| error.why)
    }
}

/// The checkpoints go to the journal wherever there is one; more only if it was asked for, and then its absence is a fault.
#[cfg(target_os = "linux")]
fn journald(parts: &Parts<'_>) -> Option<(journald::Journald, Terms)> {
    use config::JournaldSend;

    let options = &parts.config.sinks.journald;
    let wanted = match options.send {
        JournaldSend::Nothing => return None,
        JournaldSend::Checkpoints if !options.socket.exists() => return None,
        JournaldSend::Checkpoints => Some(Kind::Checkpoint),
        JournaldSend::All => None,
    };
    Some((journald::Journald::new(&options.socket), Terms { wanted, ..parts.all(options.spool) }))
}

/// The sinks while they are made.
struct Making<'a> {
    parts: &'a Parts<'a>,
    sinks: Sinks,
    feeds: Feeds,
    shelf: Arc<Shelf>,
}

impl Making<'_> {
    fn add<S: Sink + 'static>(
        &mut self,
        name: &'static str,
        to: &str,
        sink: S,
        terms: Terms,
    ) -> Result<(), SinkSetupError> {
        let parts = self.parts;
        let directory = parts.state_directory.join("sinks");
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |cause| SinkSetupError::Cursors { path, cause }
        };
        agentauth_store::private_directory(&directory).map_err(unusable(&directory))?;
        let path = directory.join(format!("{name}.cursor"));
        let (cursor, mark) = CursorFile::open(&path).map_err(unusable(&path))?;
        let board = Board::new(name, agentauth_core::text::display_safe(to), parts.clock.now());
        self.sinks.boards.push(board.clone());
        let feed = Feed::new(feed::Parts {
            name,
            sink,
            terms,
            recorder: parts.recorder.clone(),
            trail: Trail::new(&parts.state_directory.join("audit")),
            clock: parts.clock.clone(),
            board: board.clone(),
            place: self.shelf.place(),
            cursor,
            mark,
        });
        self.feeds.0.push((board, Box::new(move |stop| Box::pin(feed.run(stop, GRACE)))));
        Ok(())
    }
}

impl Feeds {
    /// Runs them until [`Running::finish`], all on one thread, which is not the one that decides.
    ///
    /// # Errors
    /// [`SinkSetupError::Thread`].
    pub(super) fn start(self) -> Result<Running, SinkSetupError> {
        let stop = CancellationToken::new();
        let (end, ended) = oneshot::channel();
        if !self.0.is_empty() {
            let stop = stop.clone();
            let run = move || {
                match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => {
                        runtime.block_on(self.run(stop));
                        runtime.shutdown_background();
                    }
                    Err(error) => self.break_down(&error),
                }
                let _ = end.send(());
            };
            std::thread::Builder::new()
                .name("sinks".to_owned())
                .spawn(run)
                .map_err(SinkSetupError::Thread)?;
        }
        Ok(Running { stop, ended })
    }

    async fn run(self, stop: CancellationToken) {
        let mut tasks = Vec::new();
        for (board, engine) in self.0 {
            let feeding = tokio::spawn(engine(stop.clone()));
            tasks.push(tokio::spawn(async move {
                if let Err(error) = feeding.await {
                    broke_down(&board, &error);
                }
            }));
        }
        for task in tasks {
            let _ = task.await;
        }
    }

    fn break_down(self, error: &dyn std::error::Error) {
        self.0.iter().for_each(|(board, _)| broke_down(board, error));
    }
}

/// It takes nothing any more, whatever it is handed.
fn broke_down(board: &Board, error: &dyn std::error::Error) {
    tracing::error!(error = %Chain(error), "a sink broke down");
    board.change(|report| {
        report.up = false;
        report.error = Some("what feeds it broke down: start the daemon again, and report this".to_owned());
    });
}

impl Running {
    /// Hands over what is left, where that is quick, and ends.
    pub(super) async fn finish(self) {
        self.stop.cancel();
        // Where there is no sink there is no thread, and nobody to say so.
        let _ = self.ended.await;
    }
}

#[cfg(test)]
mod tests {
    use agentauth_core::Timestamp;

    use super::*;

    fn feeds(engine: Engine) -> (Board, Feeds) {
        let board = Board::new("http", "nowhere".to_owned(), Timestamp::UNIX_EPOCH);
        (board.clone(), Feeds(vec![(board, engine)]))
    }

    #[tokio::test]
    async fn a_sink_that_is_busy_keeps_the_thread_of_decisions_free() {
        let (release, busy) = std::sync::mpsc::channel::<()>();
        let (board, feeds) = feeds(Box::new(|_| Box::pin(async move { busy.recv().unwrap() })));
        let running = feeds.start().unwrap();
        tokio::task::yield_now().await;
        assert!(board.read(0).up);
        release.send(()).unwrap();
        running.finish().await;
    }

    #[tokio::test]
    async fn a_sink_that_breaks_down_says_so_and_keeps_nobody_waiting() {
        let (board, broken) = feeds(Box::new(|_| Box::pin(async { panic!("told to break") })));
        broken.start().unwrap().finish().await;
        let report = board.read(0);
        assert!(!report.up && report.error.unwrap().contains("broke down"));
        Feeds(Vec::new()).start().unwrap().finish().await;
    }
}
