//! The machine: what it is, how busy it is, and on which of its cores things run.

use std::sync::OnceLock;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// On which cores client and servers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// All on the first core.
    OneCore,
    /// Wherever the system likes.
    Free,
}

impl Placement {
    /// Moves this thread; whatever it starts from now on inherits that.
    pub fn take(self) {
        static ALL: OnceLock<CpuSet> = OnceLock::new();
        let all = ALL.get_or_init(|| sched_getaffinity(None).unwrap());
        let mut cores = *all;
        if self == Self::OneCore {
            let first = (0..CpuSet::MAX_CPU).find(|core| all.is_set(*core)).unwrap();
            cores.clear();
            cores.set(first);
        }
        sched_setaffinity(None, &cores).unwrap();
    }

    /// A heading.
    pub fn words(self) -> &'static str {
        match self {
            Self::OneCore => "client and servers on one core",
            Self::Free => "unpinned",
        }
    }
}

/// One line about the machine.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let processor = read("/proc/cpuinfo");
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processor = processor.trim_start_matches([' ', '\t', ':']);
    format!("{cores} cores ({processor}), Linux {}, {}", kernel.trim(), load())
}

/// How busy the machine is: this benchmark alone is a load of about 1 to 2.
pub fn load() -> String {
    let load = read("/proc/loadavg");
    format!("load {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// Makes this process end when the one that started it does.
pub fn end_with_parent() {
    set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
