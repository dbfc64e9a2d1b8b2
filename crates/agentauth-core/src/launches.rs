//! The launches that are alive: agents that the daemon's own launcher started, each known by the launcher's process.
//!
//! There is no ticket that could be stolen: the launcher stays above what it started, collects what would otherwise be
//! orphaned, and the kernel says of every process who its parents are. A launch ends with the launcher, so what is left
//! of the tree after that is not launched any more.

use std::sync::Arc;

use crate::agent::Agent;
use crate::caller::{CallerFacts, ProcessFacts};
use crate::map::Map;

/// One launch: everything below this process is this agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Its identifier, as in the audit log.
    pub id: Arc<str>,
    /// The agent, as it was registered when it was started.
    pub agent: Arc<Agent>,
    /// The launcher's process id.
    pub pid: u32,
    /// When the launcher started, in the kernel's ticks since boot: with the pid it names one process for ever.
    pub start_time: u64,
}

/// The launches that are alive.
#[derive(Debug, Clone, Default)]
pub struct Launches {
    by_pid: Map<u32, Arc<Launch>>,
}

impl Launches {
    /// No launches.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a launch. A launcher that had one before has this one only.
    pub fn insert(&mut self, launch: Launch) {
        self.by_pid.insert(launch.pid, Arc::new(launch));
    }

    /// Ends a launch. Whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        let pid = self.by_pid.values().find(|launch| &*launch.id == id).map(|launch| launch.pid);
        pid.is_some_and(|pid| self.by_pid.remove(&pid).is_some())
    }

    /// Every launch, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Launch>> {
        self.by_pid.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_pid.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }

    /// The launch whose launcher this process is.
    #[must_use]
    pub fn of(&self, pid: u32, start_time: u64) -> Option<&Arc<Launch>> {
        self.by_pid.get(&pid).filter(|launch| launch.start_time == start_time)
    }

    /// The launches that a caller stands below, the nearest first. A launcher does not stand below itself. Where a
    /// parent is said to have started after its child, the way up from there is not believed.
    pub fn over<'a>(&'a self, caller: &'a CallerFacts) -> impl Iterator<Item = &'a Arc<Launch>> {
        let mut youngest = caller.process.start_time;
        // Almost always there are none, and then nothing is looked up.
        let ancestors: &[ProcessFacts] = if self.is_empty() { &[] } else { &caller.ancestors };
        ancestors
            .iter()
            .take_while(move |ancestor| {
                let older = ancestor.start_time <= youngest;
                youngest = ancestor.start_time;
                older
            })
            .filter_map(|ancestor| self.of(ancestor.pid, ancestor.start_time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentFile;

    fn launch(id: &str, pid: u32, start_time: u64) -> Launch {
        let file =
            br#"{"manifest":{"name":"a","version":"1","scopes":[{"scope":"files.read","purpose":"p"}]},
            "selectors":{"executable":"/opt/a"}}"#;
        let agent = Arc::new(AgentFile::parse(file).unwrap().agent());
        Launch { id: id.into(), agent, pid, start_time }
    }

    fn process((pid, start_time): (u32, u64)) -> ProcessFacts {
        ProcessFacts { pid, start_time, ..ProcessFacts::default() }
    }

    fn over(launches: &Launches, way: &[(u32, u64)]) -> Vec<String> {
        let (own, parents) = way.split_first().unwrap();
        let caller = CallerFacts {
            process: process(*own),
            ancestors: parents.iter().copied().map(process).collect(),
            ..CallerFacts::default()
        };
        launches.over(&caller).map(|launch| launch.id.to_string()).collect()
    }

    #[test]
    fn who_stands_below_a_launcher_and_who_does_not() {
        let mut launches = Launches::new();
        assert!(over(&launches, &[(9, 50), (5, 40), (1, 0)]).is_empty());
        launches.insert(launch("outer", 5, 40));
        launches.insert(launch("inner", 7, 45));
        assert_eq!(over(&launches, &[(9, 50), (5, 40), (1, 0)]), ["outer"]);
        assert_eq!(over(&launches, &[(9, 50), (8, 46), (7, 45), (5, 40), (1, 0)]), ["inner", "outer"]);
        assert!(over(&launches, &[(5, 40), (1, 0)]).is_empty(), "the launcher itself");
        assert!(over(&launches, &[(9, 50), (5, 41), (1, 0)]).is_empty(), "another process of that number");
        assert!(over(&launches, &[(9, 50), (8, 30), (5, 40)]).is_empty(), "a parent younger than its child");
        assert!(over(&launches, &[(9, 39), (5, 40)]).is_empty());
    }

    #[test]
    fn a_launch_ends_by_its_name() {
        let mut launches = Launches::new();
        launches.insert(launch("one", 5, 40));
        assert!(!launches.remove("two") && launches.remove("one") && !launches.remove("one"));
        assert!(launches.is_empty());
        launches.insert(launch("one", 5, 40));
        launches.insert(launch("two", 5, 60));
        assert_eq!(launches.of(5, 60).map(|launch| &*launch.id), Some("two"));
        assert_eq!((launches.of(5, 40), launches.iter().count()), (None, 1));
    }
}
