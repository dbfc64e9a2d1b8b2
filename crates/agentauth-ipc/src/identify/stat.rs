//! `/proc/PID/stat` and `/proc/PID/status`: text that the process can partly choose, so parsed with care.

/// The fields of `/proc/PID/stat` that we use (proc_pid_stat(5) numbers them from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Field 1.
    pub(crate) pid: u32,
    /// Field 3: `Z` and `X` are dead.
    pub(crate) state: u8,
    /// Field 4.
    pub(crate) parent: u32,
    /// Field 5.
    pub(crate) group: i32,
    /// Field 6.
    pub(crate) session: i32,
    /// Field 7.
    pub(crate) terminal: i32,
    /// Field 8.
    pub(crate) foreground_group: i32,
    /// Field 22, in clock ticks since boot.
    pub(crate) start_time: u64,
}

impl Stat {
    /// Reads the line. The name in parentheses is the process's own and may hold spaces, line ends and parentheses, so
    /// it ends at the *last* closing one.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let pid = number(line.get(..open)?.trim_ascii())?;
        let mut fields =
            line.get(close + 1..)?.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let state = match fields.next()? {
            [letter] => *letter,
            _ => return None,
        };
        Some(Self {
            pid,
            state,
            parent: number(fields.next()?)?,
            group: number(fields.next()?)?,
            session: number(fields.next()?)?,
            terminal: number(fields.next()?)?,
            foreground_group: number(fields.next()?)?,
            start_time: number(fields.nth(13)?)?,
        })
    }

    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// The lines of `/proc/PID/status` that we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// Real user id.
    pub(crate) real_uid: u32,
    /// Effective user id.
    pub(crate) effective_uid: u32,
    /// Saved user id.
    pub(crate) saved_uid: u32,
    pub(crate) tracer: Option<u32>,
    pub(crate) no_new_privs: bool,
    pub(crate) seccomp: u8,
}

impl Status {
    /// Reads the lines. All that we use must be there. The name in the first line is the process's own, but the kernel
    /// escapes line ends in it.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (mut uids, mut tracer, mut no_new_privs, mut seccomp) = (None, None, None, None);
        for line in text.split(|byte| *byte == b'\n').skip(1) {
            if let Some(rest) = line.strip_prefix(b"Uid:") {
                let mut ids = rest.split(u8::is_ascii_whitespace).filter(|id| !id.is_empty());
                uids = Some((number(ids.next()?)?, number(ids.next()?)?, number(ids.next()?)?));
            } else if let Some(rest) = line.strip_prefix(b"TracerPid:") {
                tracer = Some(number::<u32>(rest.trim_ascii())?);
            } else if let Some(rest) = line.strip_prefix(b"NoNewPrivs:") {
                no_new_privs = Some(number::<u8>(rest.trim_ascii())? != 0);
            } else if let Some(rest) = line.strip_prefix(b"Seccomp:") {
                seccomp = Some(number(rest.trim_ascii())?);
                break;
            }
        }
        let (real_uid, effective_uid, saved_uid) = uids?;
        let tracer = Some(tracer?).filter(|pid| *pid != 0);
        Some(Self {
            real_uid,
            effective_uid,
            saved_uid,
            tracer,
            no_new_privs: no_new_privs?,
            seccomp: seccomp?,
        })
    }
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_recorded_line() {
        let line = b"2817 (sd-pam) S 2815 2815 2815 0 -1 1077936448 39 0 0 0 0 0 0 0 20 0 1 0 12345 175 33 18446744073709551615 1 1";
        let stat = Stat::parse(line).unwrap();
        let expected = Stat {
            pid: 2817,
            state: b'S',
            parent: 2815,
            group: 2815,
            session: 2815,
            terminal: 0,
            foreground_group: -1,
            start_time: 12345,
        };
        assert_eq!(stat, expected);
    }

    #[test]
    fn our_own_line_and_status() {
        let stat = Stat::parse(&std::fs::read("/proc/self/stat").unwrap()).unwrap();
        assert_eq!(stat.pid, std::process::id());
        assert_eq!(stat.parent, std::os::unix::process::parent_id());
        assert!(!stat.is_dead());
        let status = Status::parse(&std::fs::read("/proc/self/status").unwrap()).unwrap();
        assert_eq!(status.effective_uid, rustix::process::geteuid().as_raw());
        assert_eq!(status.real_uid, rustix::process::getuid().as_raw());
    }

    #[test]
    fn a_status_without_what_is_needed_is_refused() {
        let whole = "Name:\tx\nUid:\t1\t2\t3\t4\nTracerPid:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let status = Status::parse(whole.as_bytes()).unwrap();
        assert_eq!((status.real_uid, status.effective_uid, status.saved_uid, status.tracer), (1, 2, 3, None));
        assert!(status.no_new_privs);
        assert_eq!(status.seccomp, 2);
        for missing in ["Uid:", "TracerPid:", "NoNewPrivs:", "Seccomp:"] {
            let cut: String =
                whole.lines().filter(|line| !line.starts_with(missing)).map(|l| format!("{l}\n")).collect();
            assert_eq!(Status::parse(cut.as_bytes()), None, "{missing}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_name_holds(
            name in proptest::collection::vec(prop_oneof![Just(b')'), Just(b'('), Just(b' '), Just(b'\n'), any::<u8>()], 0..40),
            pid in 1u32..4_194_304, parent in 0u32..4_194_304, group in any::<i32>(), session in any::<i32>(),
            terminal in any::<i32>(), foreground_group in any::<i32>(), start_time in any::<u64>(),
        ) {
            let mut line = format!("{pid} (").into_bytes();
            line.extend_from_slice(&name);
            line.extend_from_slice(format!(
                ") R {parent} {group} {session} {terminal} {foreground_group} 4194560 1 2 3 4 5 6 7 8 20 0 1 0 {start_time} 9 9 9 1 1 0\n"
            ).as_bytes());
            let stat = Stat::parse(&line);
            prop_assert_eq!(stat, Some(Stat {
                pid, state: b'R', parent, group, session, terminal, foreground_group, start_time
            }));
        }

        #[test]
        fn no_text_makes_it_fail_badly(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Stat::parse(&bytes);
            let _ = Status::parse(&bytes);
        }
    }
}
