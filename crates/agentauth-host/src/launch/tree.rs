//! The processes below this one: collected, signalled, ended.

use std::collections::HashMap;
use std::io;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, pidfd_send_signal,
    set_child_subreaper, wait,
};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal.
    Killed(u8),
}

impl Ended {
    /// The exit code that shells give it: 128 and the signal's number for one that was killed.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => signal.saturating_add(128),
        }
    }
}

/// From now on processes below this one whose parents end are this one's children, not those of process 1.
///
/// # Errors
/// What the kernel says.
pub fn stay_above() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Collects every child that has ended; says too whether anything is left below this process.
pub fn reap() -> (Vec<(u32, Ended)>, bool) {
    let mut ended = Vec::new();
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => {
                let small = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
                let how = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => Ended::Exited(small(code)),
                    (None, Some(signal)) => Ended::Killed(small(signal)),
                    (None, None) => continue,
                };
                ended.extend(u32::try_from(pid.as_raw_nonzero().get()).ok().map(|pid| (pid, how)));
            }
            Err(Errno::INTR) => {}
            Ok(None) => return (ended, true),
            Err(_) => return (ended, false),
        }
    }
}

/// Sends a signal, by its number, to everything below this process; to how many. What is started meanwhile is missed:
/// call it again until there is nothing left.
pub fn signal_all(signal: i32) -> usize {
    let Some(signal) = Signal::from_named_raw(signal) else { return 0 };
    let seen = processes();
    let own = u32::try_from(getpid().as_raw_nonzero().get()).unwrap_or_default();
    below(own, &seen).into_iter().filter(|(pid, at)| send(*pid, *at, signal)).count()
}

/// Sends a signal, by its number, to one child.
pub fn signal_child(pid: u32, signal: i32) {
    if let (Some(pid), Some(signal)) = (as_pid(pid), Signal::from_named_raw(signal)) {
        // A child that was not collected keeps its number.
        let _ = kill_process(pid, signal);
    }
}

/// Stops this process, until it is continued.
pub fn stop_self() {
    let _ = kill_process(getpid(), Signal::STOP);
}

/// Whether this process is in the foreground of a terminal: then what is typed there reaches its whole group, the
/// program included, and must not be passed on once more.
#[must_use]
pub fn shares_terminal() -> bool {
    let line = std::fs::read("/proc/self/stat").unwrap_or_default();
    Stat::parse(&line).is_some_and(|own| own.terminal != 0 && own.foreground == own.group)
}

/// What is read of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    group: i32,
    terminal: i32,
    foreground: i32,
    start: u64,
}

impl Stat {
    /// The name in parentheses may hold anything, so it ends at the last closing one.
    fn parse(line: &[u8]) -> Option<Self> {
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace().skip(1);
        Some(Self {
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            terminal: fields.nth(1)?.parse().ok()?,
            foreground: fields.next()?.parse().ok()?,
            start: fields.nth(13)?.parse().ok()?,
        })
    }

    fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }
}

fn processes() -> HashMap<u32, Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, Stat::of(pid)?))).collect()
}

/// Those below `top`, with their start times.
fn below(top: u32, processes: &HashMap<u32, Stat>) -> Vec<(u32, u64)> {
    let is_below = |mut pid: u32| {
        // No way up is longer than there are processes.
        for _ in 0..=processes.len() {
            match processes.get(&pid) {
                Some(stat) if stat.parent == top => return true,
                Some(stat) if stat.parent != 0 => pid = stat.parent,
                _ => return false,
            }
        }
        false
    };
    let found = processes.iter().filter(|(pid, _)| **pid != top && is_below(**pid));
    found.map(|(pid, stat)| (*pid, stat.start)).collect()
}

/// Signals the process that had this number and start, and no later one of that number.
fn send(pid: u32, start: u64, signal: Signal) -> bool {
    let Some(handle) = as_pid(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return false;
    };
    Stat::of(pid).is_some_and(|stat| stat.start == start) && pidfd_send_signal(&handle, signal).is_ok()
}

fn as_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read_whatever_the_name_holds() {
        let line = b"42 (a) b ) R 7 40 39 34816 41 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 9 9\n";
        let expected = Stat { parent: 7, group: 40, terminal: 34816, foreground: 41, start: 987_654 };
        assert_eq!(Stat::parse(line), Some(expected));
        for cut in [&b""[..], b"42 (a", b"42 (a) R 7", b"42 (a) R x 40 39 34816 41"] {
            assert_eq!(Stat::parse(cut), None);
        }
        assert!(Stat::of(std::process::id()).is_some());
    }

    #[test]
    fn all_below_and_nobody_else() {
        let stat = |parent| Stat { parent, group: 0, terminal: 0, foreground: -1, start: 1 };
        let mut processes: HashMap<u32, Stat> =
            [(1, 0), (5, 1), (6, 5), (7, 6), (8, 1), (9, 8)].map(|(pid, parent)| (pid, stat(parent))).into();
        let mut found = below(5, &processes);
        found.sort_unstable();
        assert_eq!(found, [(6, 1), (7, 1)]);
        assert_eq!(below(7, &processes), []);
        // Numbers that were given anew while they were read can even make a circle.
        processes.extend([(10, stat(11)), (11, stat(10))]);
        assert_eq!(below(8, &processes), [(9, 1)]);
    }

    #[test]
    fn codes_are_those_of_shells() {
        assert_eq!((Ended::Exited(3).code(), Ended::Killed(15).code()), (3, 143));
    }
}
