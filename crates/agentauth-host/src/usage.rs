//! What this process uses of the machine.

use std::time::Duration;

/// What this process uses, as far as the system tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory that is resident, in bytes.
    pub resident_bytes: Option<u64>,
    /// Processor time that was spent, in user and kernel mode.
    pub cpu: Option<Duration>,
    /// Open file descriptors.
    pub open_descriptors: Option<u64>,
}

/// What this process uses now. Reads three files of `/proc`; elsewhere nothing is known.
#[must_use]
pub fn usage() -> Usage {
    if !cfg!(target_os = "linux") {
        return Usage::default();
    }
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    Usage {
        resident_bytes: resident(&read("/proc/self/statm"), rustix::param::page_size()),
        cpu: cpu(&read("/proc/self/stat"), rustix::param::clock_ticks_per_second()),
        open_descriptors: std::fs::read_dir("/proc/self/fd")
            .ok()
            // One of them is the directory that is being read.
            .and_then(|entries| u64::try_from(entries.count().saturating_sub(1)).ok()),
    }
}

/// The second field of `proc_pid_statm(5)`, in pages.
fn resident(statm: &str, page: usize) -> Option<u64> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(u64::try_from(page).ok()?)
}

/// `utime` and `stime` of `proc_pid_stat(5)`. The program's name, in parentheses, may have spaces and parentheses in it.
fn cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let spent = ticks()?.checked_add(ticks()?)?;
    Some(Duration::from_millis(spent.checked_mul(1000)?.checked_div(ticks_per_second)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_the_right_ones() {
        assert_eq!(resident("5000 321 200 1 0 300 0\n", 4096), Some(321 * 4096));
        assert_eq!(resident("", 4096), None);
        let stat = "77 (a) b (c)) S 1 77 77 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 4 0 100 1000 321";
        assert_eq!(cpu(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(cpu(stat, 0), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_uses_something() {
        let used = usage();
        assert!(used.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{used:?}");
        assert!(used.open_descriptors.is_some_and(|open| open >= 3), "{used:?}");
        assert!(used.cpu.is_some());
    }
}
