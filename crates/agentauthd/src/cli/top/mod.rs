//! `agentauthd top`: the daemon at a glance, as it goes.
//!
//! Decisions are read from the record's files, which is the truth, so that the daemon has nothing to do for those who watch;
//! how it stands is asked for. What happens goes through [`board`], and [`view`] makes the screen of that; both are pure.

mod board;
mod keys;
mod screen;
mod view;

use std::io::{self, IsTerminal as _, Read as _};
use std::time::Duration;

use agentauth_audit::{Entries, Entry, Trail, VerifyError};
use agentauth_client::{Client, Events};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::{Context, Exit, Failure};
use board::{Board, Flow, Happening};
use keys::Keys;
use screen::Screen;

/// How often the record is looked at for more.
const LOOK: Duration = Duration::from_millis(200);
/// How often the daemon is asked how it stands.
const ASK: Duration = Duration::from_secs(1);
/// How many records from before are read at the start.
const HISTORY: u64 = 2000;
/// The most records that are read at a time, so that keys are obeyed in between.
const AT_ONCE: usize = 2000;

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
        let mut board = Board::default();
        board.take(Happening::Status(Ok(Box::new(status))), 0);
        let screen = Screen::enter()?;
        let shown = watch(context, client, record, board, &screen).await;
        drop(screen);
        shown.map(|()| Exit::Done)
    }
}

async fn watch(
    context: &Context<'_>,
    client: Client,
    mut record: Record,
    mut board: Board,
    screen: &Screen,
) -> Result<(), Failure> {
    let (mut typed, mut told) = (typed(), told(client));
    let mut keys = Keys::default();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listen = |kind| signal(kind).map_err(|error| Failure::caused("cannot receive signals", error));
    let (mut resized, mut ended) = (listen(SignalKind::window_change())?, listen(SignalKind::terminate())?);
    let mut interrupted = listen(SignalKind::interrupt())?;
    loop {
        let page = view::page(&board, screen.size());
        let happened = tokio::select! {
            biased;
            _ = ended.recv() => return Ok(()),
            _ = interrupted.recv() => return Ok(()),
            read = typed.recv() => match read {
                Some(read) => keys.take(&read).into_iter().map(Happening::Key).collect(),
                None => return Ok(()),
            },
            _ = resized.recv() => Vec::new(),
            Some(said) = told.recv() => said,
            _ = look.tick() => record.more(board.newest()),
        };
        for happening in happened {
            if board.take(happening, page) == Flow::Quit {
                return Ok(());
            }
        }
        screen.draw(&board, context.now())?;
    }
}

/// What the daemon says, asked for every second and whenever it tells that something happened. Beside everything else: one
/// that hangs keeps nobody from quitting.
fn told(mut client: Client) -> mpsc::Receiver<Vec<Happening>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut ask = interval(ASK);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events = None;
        loop {
            tokio::select! {
                () = sender.closed() => return,
                _ = ask.tick() => {}
                () = something(&mut events) => {}
            }
            let said = asked(&mut client).await;
            if events.is_none() && matches!(said.first(), Some(Happening::Status(Ok(_)))) {
                events = client.events().await.ok();
            }
            if sender.send(said).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// How the daemon stands, and which questions wait.
async fn asked(client: &mut Client) -> Vec<Happening> {
    let status = client.status().await.map(Box::new).map_err(|error| error.to_string());
    let mut happened = vec![Happening::Status(status)];
    happened.extend(client.consents(None, Duration::ZERO).await.ok().map(Happening::Consents));
    happened
}

/// Completes when something happened; never where nobody tells.
async fn something(events: &mut Option<Events>) {
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
