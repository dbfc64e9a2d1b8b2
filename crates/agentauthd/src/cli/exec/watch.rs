//! Standing above a program: signals passed on, orphans collected, what is left ended.

use std::ffi::OsString;
use std::time::Duration;

use agentauth_host::launch::{self, Marks, Program, tree};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, TAKE_OVER, failure};

/// How long what was killed may take to be gone. Only what hangs in the kernel takes longer.
const BURIAL: Duration = Duration::from_secs(5);

/// How often it is looked again for what was started while the rest was being killed.
const AGAIN: Duration = Duration::from_millis(50);

const TERM: i32 = 15;
const KILL: i32 = 9;
const CONT: i32 = 18;
const STOP_BY_KEY: i32 = 20;

/// Starts the program and stays until it has ended, and everything that came of it. The program's exit code.
pub(super) async fn watch(program: &Program, marks: &Marks, grace: Duration) -> Result<u8, Failure> {
    let deaf = |error| Failure::caused("could not receive signals; nothing was started", error);
    let mut signals = Signals::register().map_err(deaf)?;
    let marks = serde_json::to_string(marks)
        .map_err(|error| Failure::caused("could not write down how to start the program", error))?;
    let child = launch::start(program, &[TAKE_OVER.into(), OsString::from(marks)]).map_err(failure)?;
    let mut code = None;
    loop {
        match signals.next().await {
            Heard::Ended => {
                code = collect(child).0.or(code);
                if code.is_some() {
                    break;
                }
            }
            Heard::Signal(TERM) => break,
            Heard::Signal(number) => pass_on(child, number),
        }
    }
    let last = end_all(child, grace, &mut signals).await;
    // Without an answer it was told to end and did not: what shells say of a process that was killed so.
    Ok(code.or(last).unwrap_or(128 + 9))
}

/// What is typed at the terminal, and its end, reaches the whole group by itself.
fn pass_on(child: u32, number: i32) {
    if number == CONT || !tree::shares_terminal() {
        tree::signal_child(child, number);
    }
    if number == STOP_BY_KEY {
        tree::stop_self();
    }
}

/// The program's exit code if it has ended now, and whether anything is left.
fn collect(child: u32) -> (Option<u8>, bool) {
    let (ended, left) = tree::reap();
    (ended.into_iter().find(|(pid, _)| *pid == child).map(|(_, how)| how.code()), left)
}

/// Ends everything that is left below this process: asked first, and killed after the grace, or when asked once more.
async fn end_all(child: u32, grace: Duration, signals: &mut Signals) -> Option<u8> {
    let (mut code, mut left) = collect(child);
    if left {
        tree::signal_all(TERM);
        // What is stopped does not hear it.
        tree::signal_all(CONT);
    }
    let mut patience = std::pin::pin!(tokio::time::sleep(grace));
    while left {
        tokio::select! {
            () = patience.as_mut() => break,
            heard = signals.next() => match heard {
                Heard::Ended => {
                    let (now, still) = collect(child);
                    (code, left) = (now.or(code), still);
                }
                Heard::Signal(TERM) => break,
                Heard::Signal(_) => {}
            },
        }
    }
    let mut burial = std::pin::pin!(tokio::time::sleep(BURIAL));
    while left {
        tree::signal_all(KILL);
        tokio::select! {
            () = burial.as_mut() => break,
            _ = signals.next() => {}
            () = tokio::time::sleep(AGAIN) => {}
        }
        let (now, still) = collect(child);
        (code, left) = (now.or(code), still);
    }
    code
}

/// What this process hears.
enum Heard {
    /// A child ended.
    Ended,
    /// A signal that is the program's.
    Signal(i32),
}

/// The signals that are the program's, by their numbers on Linux.
struct Signals {
    ended: Signal,
    hang_up: Signal,
    interrupt: Signal,
    quit: Signal,
    user: [Signal; 2],
    terminate: Signal,
    go_on: Signal,
    stop: Signal,
    window: Signal,
}

impl Signals {
    fn register() -> std::io::Result<Self> {
        Ok(Self {
            ended: signal(SignalKind::child())?,
            hang_up: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
            terminate: signal(SignalKind::terminate())?,
            go_on: signal(SignalKind::from_raw(CONT))?,
            stop: signal(SignalKind::from_raw(STOP_BY_KEY))?,
            window: signal(SignalKind::window_change())?,
        })
    }

    async fn next(&mut self) -> Heard {
        let [one, two] = &mut self.user;
        tokio::select! {
            _ = self.ended.recv() => Heard::Ended,
            _ = self.hang_up.recv() => Heard::Signal(1),
            _ = self.interrupt.recv() => Heard::Signal(2),
            _ = self.quit.recv() => Heard::Signal(3),
            _ = one.recv() => Heard::Signal(10),
            _ = two.recv() => Heard::Signal(12),
            _ = self.terminate.recv() => Heard::Signal(TERM),
            _ = self.go_on.recv() => Heard::Signal(CONT),
            _ = self.stop.recv() => Heard::Signal(STOP_BY_KEY),
            _ = self.window.recv() => Heard::Signal(28),
        }
    }
}
