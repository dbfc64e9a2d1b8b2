//! The checks of a decision, in plain words. Their order is fixed, and the first that fails names the reason: so the reason
//! says how each of them ended.

use serde::Serialize;

use crate::decision::Reason;

/// One check of [`crate::decide()`], in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Nothing is paused or locked.
    Locks,
    /// The caller is a registered agent.
    Agent,
    /// Somebody is logged in, and that is verified.
    Session,
    /// The provider has confirmed it recently enough for what is risky.
    Freshness,
    /// The manifest asks for it.
    Manifest,
    /// The policies permit it.
    Policies,
    /// A grant covers it.
    Grants,
    /// The decision is written down.
    Record,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It was passed.
    Passed,
    /// It failed, and named the reason.
    Failed,
    /// An earlier one failed.
    NotReached,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 8] = [
        Self::Locks,
        Self::Agent,
        Self::Session,
        Self::Freshness,
        Self::Manifest,
        Self::Policies,
        Self::Grants,
        Self::Record,
    ];

    /// The check that ends with this reason; none where it is said after them.
    #[must_use]
    pub fn of(reason: Reason) -> Option<Self> {
        match reason {
            Reason::Granted | Reason::DomainForbids => None,
            Reason::Locked | Reason::Quarantined => Some(Self::Locks),
            Reason::AgentUnknown | Reason::AgentChanged | Reason::CallerUnproven => Some(Self::Agent),
            Reason::NotLoggedIn
            | Reason::SessionExpired
            | Reason::SessionUnverified
            | Reason::SessionRevoked => Some(Self::Session),
            Reason::Stale => Some(Self::Freshness),
            Reason::NotInManifest => Some(Self::Manifest),
            Reason::PolicyForbids | Reason::RoleRequired => Some(Self::Policies),
            Reason::ConsentRequired | Reason::ConsentDenied | Reason::GrantExpired => Some(Self::Grants),
            Reason::AuditUnavailable => Some(Self::Record),
        }
    }

    /// How each check ended, in order. `permitted`: whether policies are known to have permitted it; then a caller that is
    /// not proven passed the first time, and failed when it was looked at again before the answer left.
    pub fn ended(reason: Reason, permitted: bool) -> impl Iterator<Item = (Self, Ended)> {
        let failed = Self::of(reason);
        let again = reason == Reason::CallerUnproven && permitted;
        Self::ALL.into_iter().map(move |check| {
            let ended = match failed {
                Some(failed) if check == failed => Ended::Failed,
                Some(failed) if check > failed && !(again && check < Self::Record) => Ended::NotReached,
                _ => Ended::Passed,
            };
            (check, ended)
        })
    }

    /// Its number, from 1.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// What it looks at, as a statement that is true where it is passed.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::Locks => "nothing is paused, and no administrator has locked this device or the agent",
            Self::Agent => "the program that asks is a registered agent, and is proven well enough to be it",
            Self::Session => "somebody is logged in, and the login is verified now",
            Self::Freshness => "for what is risky, the provider has confirmed the login recently enough",
            Self::Manifest => "the agent's manifest asks for it",
            Self::Policies => "the organisation's policies permit it",
            Self::Grants => "the person, or an administrator, has allowed it, and that still holds",
            Self::Record => "the decision is written down before the answer leaves",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_reasons_is_that_of_the_checks() {
        let checks: Vec<_> = Reason::ALL.into_iter().filter_map(Check::of).collect();
        assert!(checks.is_sorted(), "{checks:?}");
        assert!(Check::ALL.into_iter().all(|check| checks.contains(&check)));
        assert_eq!(Check::ALL.map(Check::number), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn what_comes_before_the_failed_check_was_passed_and_what_comes_after_was_not_reached() {
        let ended = |reason, permitted| -> String {
            let word = |(_, ended)| match ended {
                Ended::Passed => '+',
                Ended::Failed => '!',
                Ended::NotReached => '-',
            };
            Check::ended(reason, permitted).map(word).collect()
        };
        assert_eq!(ended(Reason::Granted, true), "++++++++");
        assert_eq!(ended(Reason::DomainForbids, true), "++++++++");
        assert_eq!(ended(Reason::Locked, false), "!-------");
        assert_eq!(ended(Reason::RoleRequired, false), "+++++!--");
        assert_eq!(ended(Reason::CallerUnproven, false), "+!------");
        assert_eq!(ended(Reason::CallerUnproven, true), "+!+++++-", "proven at first, and not again");
        assert_eq!(ended(Reason::AuditUnavailable, true), "+++++++!");
    }
}
