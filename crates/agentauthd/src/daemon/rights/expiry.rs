//! Grants that end by themselves: their end is recorded when it comes, and a day later they are forgotten.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use agentauth_audit::AuditError;
use agentauth_core::grant::{Grant, Grants, Standing};
use agentauth_core::presence::Presence;
use agentauth_core::session::SessionState;
use agentauth_core::{SignedDuration, Timestamp};
use agentauth_idp::Chain;
use agentauth_store::RightsChange;
use tokio_util::sync::CancellationToken;

use super::Rights;
use crate::daemon::record;
use crate::daemon::recorder::Recorder;

/// How often it is looked for grants that have ended.
const EVERY: Duration = Duration::from_secs(15);
/// For how long a grant that has ended stays known, so that whoever asks is told that it has.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// The grants that are known to have ended, each with the time at which that was seen.
type Ended = HashMap<Arc<str>, Timestamp>;

impl Rights {
    /// Looks after grants that end by themselves, until the daemon stops.
    pub(crate) async fn watch_expiry(&self, stop: CancellationToken) {
        let mut known = Ended::new();
        loop {
            self.expire(&mut known).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn expire(&self, known: &mut Ended) {
        let (now, snapshot) = (self.clock.now(), self.state.load());
        // All grants are looked at, and there may be very many.
        let look = move || {
            let login = match &snapshot.session {
                SessionState::Active(session) => Some(session.logged_in_at),
                _ => None,
            };
            ended(&snapshot.grants, login, &snapshot.presence, now)
        };
        let Ok(ended) = tokio::task::spawn_blocking(look).await else { return };
        if let Err(error) = tell(&self.audit, &ended, known, now) {
            tracing::warn!(error = %Chain(&error), "the end of a grant cannot be recorded yet");
        }
        let old: Vec<String> = known
            .iter()
            .filter(|(_, seen)| now.duration_since(**seen) >= REMEMBERED)
            .map(|(id, _)| (**id).to_owned())
            .collect();
        if old.is_empty() {
            return;
        }
        let _turn = self.turn.lock().await;
        self.state.change(|snapshot| old.iter().for_each(|id| drop(snapshot.grants.remove(id))));
        if let Err(error) = self.write(RightsChange { grants_out: old, ..RightsChange::default() }).await {
            tracing::warn!(error = %Chain(&error), "grants that ended cannot be forgotten yet");
        }
    }
}

/// Records what has ended and was not known to. What cannot be recorded is not known afterwards, and tried again.
fn tell(audit: &Recorder, ended: &[Arc<Grant>], known: &mut Ended, now: Timestamp) -> Result<(), AuditError> {
    let ids: HashSet<&Arc<str>> = ended.iter().map(|grant| &grant.id).collect();
    known.retain(|id, _| ids.contains(id));
    for grant in ended {
        if known.contains_key(&grant.id) {
            continue;
        }
        // Of a grant that was used up, the record of the decision says so.
        if grant.left != Some(0) {
            audit.append(&record::grant_expired(grant, now))?;
        }
        known.insert(Arc::clone(&grant.id), now);
    }
    Ok(())
}

/// The person's grants that have ended. The administrator's are the files' to keep. While nobody is logged in, nobody can
/// say that a grant is one of another login.
fn ended(grants: &Grants, login: Option<Timestamp>, presence: &Presence, now: Timestamp) -> Vec<Arc<Grant>> {
    let has_ended = |grant: &&Arc<Grant>| {
        let login = login.or(grant.login).unwrap_or(now);
        grant.binding.consent.is_some() && grant.standing(now, login, presence) == Standing::Ended
    };
    grants.iter().filter(has_ended).cloned().collect()
}

#[cfg(test)]
mod tests {
    use agentauth_audit::{AuditLog, Event, Kind, Trail};
    use agentauth_core::grant::{Binding, Lifetime};

    use super::super::replay;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn grant(scope: &str, end: i64) -> Grant {
        let binding = Binding { consent: Some("answer".into()), ..Binding::default() };
        Grant::new("agent", scope.parse().unwrap(), Lifetime::Until(at(end))).bound(binding)
    }

    #[test]
    fn an_end_is_recorded_once_and_the_grant_does_not_come_back() {
        let room = tempfile::tempdir().unwrap();
        let audit = Recorder::new(AuditLog::open(room.path(), at(0)).unwrap());
        let (short, long) = (grant("files.read:/a", 10), grant("files.read:/b", 1000));
        let spent = Grant { left: Some(0), ..grant("files.read:/c", 1000).for_uses(1) };
        for grant in [&short, &long] {
            let given = Event { grants: vec![(&*grant.id).into()], ..Event::new(Kind::GrantAdded, at(0)) };
            audit.append(&given).unwrap();
        }
        let mut known = Ended::new();
        let of_a_file = Grant { binding: Binding::default(), ..grant("files.read:/d", 10) };
        let mut grants = Grants::default();
        for grant in [&short, &long, &spent, &of_a_file] {
            grants.insert(grant.clone());
        }
        for now in [5, 10, 11, 25] {
            let ended = ended(&grants, Some(at(0)), &Presence::default(), at(now));
            tell(&audit, &ended, &mut known, at(now)).unwrap();
        }
        let entries = Trail::new(room.path()).entries().unwrap().map(|entry| entry.unwrap().event);
        let ends: Vec<_> = entries.filter(|event| event.kind == Kind::GrantExpired).collect();
        assert_eq!(ends.len(), 1, "what is used up is on record already, and what ended ends once");
        assert_eq!(ends[0].grants[0].as_str(), &*short.id);
        let ledger = replay::ledger(&Trail::new(room.path()), None).unwrap().ledger;
        assert!(ledger.is_past(&short) && ledger.admit(short).is_none());
        assert_eq!(ledger.admit(long.clone()), Some(long));
    }
}
