//! `agentauthd top`: the daemon at a glance, as it goes.
//!
//! Decisions are read from the record's files, which is the truth, so that the daemon has nothing to do for those who watch;
//! how it stands is asked for. What happens goes through [`board`], and [`view`] makes the screen of that; both are pure.

mod board;
mod keys;
mod view;

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::time::Duration;

use agentauth_audit::{Entries, Entry, Trail, VerifyError};
use agentauth_client::{Client, Events};
use agentauth_host::{clock, terminal};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::{Context, Exit, Failure};
use board::{Board, Flow, Happening};
use keys::Keys;
use view::Size;

/// How often the record is looked at for more.
const LOOK: Duration = Duration::from_millis(200);
/// How often the daemon is asked how it stands.
const ASK: Duration = Duration::from_secs(1);
/// How many records from before are read at the start.
const HISTORY: u64 = 2000;
/// The most records that are read at a time, so that keys are obeyed in between.
const AT_ONCE: usize = 2000;

/// To the other screen and back, and the cursor away and back (xterm's private modes).
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Where the next picture begins, and what of the one before is cleared below it.
const HOME: &str = "\x1b[H";
const BELOW: &str = "\x1b[J";

/// Watch decisions as they come, agents, the session's clock and questions. Decisions are read from the audit log: those of the
/// last 2000 records, and what follows.
///
/// Keys: q quits; space holds the list still; a shows one agent after the other; d denies only, allows only, both; / asks for a
/// text; Esc shows everything again; arrows and page keys look back.
#[derive(Debug, Args)]
pub(super) struct Top {}

impl Top {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            let told = "`top` draws on a terminal, and there is none here: use `agentauthd status --watch`, or `agentauthd audit tail`";
            return Err(Failure::Usage(context.addressed(told).into_owned()));
        }
        let mut client = context.client();
        // A daemon that cannot be reached is told of before the screen changes.
        let status = client.status().await?;
        let record = Record::new(context, status.audit.records);
        let mut screen = Screen::enter()?;
        let shown = watch(context, client, record, &mut screen).await;
        drop(screen);
        shown.map(|()| Exit::Done)
    }
}

async fn watch(
    context: &Context<'_>,
    mut client: Client,
    mut record: Record,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut board = Board::default();
    let mut typed = typed();
    let mut keys = Keys::default();
    let (mut look, mut ask) = (interval(LOOK), interval(ASK));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listen = |kind| signal(kind).map_err(|error| Failure::caused("cannot receive signals", error));
    let (mut resized, mut ended) = (listen(SignalKind::window_change())?, listen(SignalKind::terminate())?);
    // Whatever happens to sessions and questions is asked for at once.
    let mut events = client.events().await.ok();
    loop {
        let page = view::page(&board, screen.size());
        let happened = tokio::select! {
            biased;
            _ = ended.recv() => return Ok(()),
            read = typed.recv() => match read {
                Some(read) => keys.take(&read).into_iter().map(Happening::Key).collect(),
                None => return Ok(()),
            },
            _ = resized.recv() => Vec::new(),
            _ = ask.tick() => asked(&mut client).await,
            () = told(&mut events) => asked(&mut client).await,
            _ = look.tick() => record.more(board.newest()),
        };
        for happening in happened {
            if board.take(happening, page) == Flow::Quit {
                return Ok(());
            }
        }
        if events.is_none() && board.away.is_none() {
            events = client.events().await.ok();
        }
        screen.draw(&board, context.now())?;
    }
}

/// How the daemon stands, and which questions wait.
async fn asked(client: &mut Client) -> Vec<Happening> {
    let status = client.status().await.map(Box::new).map_err(|error| error.to_string());
    let mut happened = vec![Happening::Status(status)];
    happened.extend(client.consents(None, Duration::ZERO).await.ok().map(Happening::Consents));
    happened
}

/// Completes when something happened; never where nobody tells.
async fn told(events: &mut Option<Events>) {
    match events {
        Some(stream) => {
            if !matches!(stream.next().await, Ok(Some(_))) {
                *events = None;
            }
        }
        None => std::future::pending().await,
    }
}

/// What is typed, read in a thread of its own: a terminal cannot be waited for together with sockets everywhere.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(read @ 1..) = io::stdin().read(&mut buffer) {
            if sender.blocking_send(buffer.get(..read).unwrap_or_default().to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The record's files, read on as they grow.
struct Record {
    trail: Trail,
    entries: Option<Entries>,
    /// The number of the record that was read last.
    last: u64,
    /// Why it cannot be read, where that was said.
    fault: Option<String>,
}

impl Record {
    fn new(context: &Context<'_>, newest: u64) -> Self {
        Self {
            trail: Trail::new(&context.loaded.config.paths.state_dir.join("audit")),
            entries: None,
            last: newest.saturating_sub(HISTORY),
            fault: None,
        }
    }

    /// What was recorded since. `newest` is the number of the newest record as far as the daemon has said: where there is
    /// more than can be read, it is begun anew from where it broke off.
    fn more(&mut self, newest: u64) -> Vec<Happening> {
        let mut happened = Vec::new();
        match self.read() {
            Ok(read) if read.is_empty() && newest > self.last => self.entries = None,
            Ok(read) => {
                if !read.is_empty() {
                    self.fault = None;
                }
                happened.extend(read.into_iter().map(|entry| Happening::Record(Box::new(entry))));
            }
            Err(error) => {
                self.entries = None;
                let why = error.to_string();
                if self.fault.as_ref() != Some(&why) {
                    happened.push(Happening::RecordEnded(why.clone()));
                    self.fault = Some(why);
                }
            }
        }
        happened
    }

    /// The records that are there by now. Those before a fault come first, the fault with the next call.
    fn read(&mut self) -> Result<Vec<Entry>, VerifyError> {
        let entries = match &mut self.entries {
            Some(entries) => entries,
            None => self.entries.insert(self.trail.entries_after(self.last)?),
        };
        let mut read = Vec::new();
        while read.len() < AT_ONCE {
            match entries.next() {
                Some(Ok(entry)) => {
                    self.last = entry.seq;
                    read.push(entry);
                }
                Some(Err(error)) if read.is_empty() => return Err(error),
                // Begun anew, it will be there again.
                Some(Err(_)) => {
                    self.entries = None;
                    break;
                }
                None => break,
            }
        }
        Ok(read)
    }
}

/// The terminal, which is as it was before once this is dropped.
struct Screen {
    mode: Option<terminal::Raw>,
    colour: bool,
}

impl Screen {
    fn enter() -> Result<Self, Failure> {
        let failed = |error| Failure::caused("could not take over the terminal", error);
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // What it says is to be read on the person's own screen.
            if terminal::restore() {
                let _ = put(LEAVE);
            }
            before(panic);
        }));
        let mode = terminal::Raw::begin().map_err(failed)?;
        let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let screen = Self { mode: Some(mode), colour };
        put(ENTER).map_err(failed)?;
        Ok(screen)
    }

    fn size(&self) -> Size {
        let (width, height) = terminal_size::terminal_size()
            .map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)));
        Size { width, height }
    }

    fn draw(&self, board: &Board, now: agentauth_core::Timestamp) -> Result<(), Failure> {
        let picture = view::frame(board, now, self.size(), self.colour, clock::time_of_day);
        put(&format!("{HOME}{picture}{BELOW}")).map_err(Failure::Output)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone cannot be put in order.
        let _ = put(LEAVE);
        drop(self.mode.take());
    }
}

/// As it stands: the dashboard decides about colour itself.
fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
