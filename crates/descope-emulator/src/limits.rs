//! Rate limits: fixed windows for each limited path (sheet 4.6).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::redirects::matches;
use crate::settings::RateLimit;

/// The windows that are open.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    windows: Mutex<HashMap<String, Window>>,
}

#[derive(Debug)]
struct Window {
    opened: Timestamp,
    requests: u32,
}

impl Limiter {
    /// Closes every window.
    pub(crate) fn reset(&self) {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Counts a request; `Some` are the seconds after which the next one is worth a try.
    pub(crate) fn exceeded(&self, limits: &[RateLimit], path: &str, now: Timestamp) -> Option<u32> {
        let limit = limits.iter().find(|limit| matches(&limit.path, path))?;
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(limit.path.clone()).or_insert_with(|| Window { opened: now, requests: 0 });
        let length = SignedDuration::from_secs(limit.seconds.into());
        let mut age = now.duration_since(window.opened);
        if age >= length || age.is_negative() {
            *window = Window { opened: now, requests: 0 };
            age = SignedDuration::ZERO;
        }
        window.requests = window.requests.saturating_add(1);
        // The end of the window lies up to a second beyond whole seconds: rounding down would promise too much.
        let left = limit.seconds.saturating_sub(u32::try_from(age.as_secs()).unwrap_or(0));
        (window.requests > limit.requests).then_some(left.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_fills_and_opens_again() {
        let limiter = Limiter::default();
        let limits = [RateLimit { path: "/v1/mgmt/*".to_owned(), requests: 2, seconds: 60 }];
        let ask = |second: i64, path| {
            limiter.exceeded(&limits, path, Timestamp::from_second(1000 + second).unwrap())
        };
        assert_eq!((ask(0, "/v1/mgmt/user"), ask(10, "/v1/mgmt/role/all")), (None, None));
        assert_eq!(ask(20, "/v1/mgmt/user"), Some(40));
        assert_eq!(ask(20, "/v1/auth/me"), None);
        assert_eq!(ask(59, "/v1/mgmt/user"), Some(1));
        assert_eq!(ask(60, "/v1/mgmt/user"), None);
        limiter.reset();
        assert_eq!((ask(60, "/v1/mgmt/user"), ask(60, "/v1/mgmt/user")), (None, None));
        assert_eq!(ask(-500, "/v1/mgmt/user"), None, "a clock that went back opens a window, too");
    }
}
