//! Work that can wait: it gets what processor time nobody else wants.

use std::panic::resume_unwind;
use std::thread;

/// Does `work` on a thread of its own that yields to everything else, and waits for it. For work that takes long and on which
/// nothing waits that somebody else holds up; never while a lock is held that a decision needs.
///
/// A panic of `work` goes on here.
pub fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            yield_to_others();
            work()
        });
        worker.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Gives this thread the lowest priority there is.
#[cfg(target_os = "linux")]
fn yield_to_others() {
    const LOWEST: i32 = 19;
    // On Linux this is about the calling thread alone (setpriority(2), "C library/kernel differences"). A refusal costs
    // only speed.
    let _ = rustix::process::setpriority_process(None, LOWEST);
}

/// Elsewhere a priority is the whole process's, which has others to serve.
#[cfg(not(target_os = "linux"))]
fn yield_to_others() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_comes_back() {
        let words = ["a", "b"];
        assert_eq!(aside(|| words.len()), 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_worker_yields() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        assert_eq!(aside(priority), 19);
        assert_eq!(priority(), before);
    }
}
