//! The start: which rows of the state database the record bears out.

use std::path::Path;

use agentauth_audit::{Event, Kind, Replay, Standing, Trail, Verdict, VerifyError};
use agentauth_core::Timestamp;
use agentauth_core::agent::Registration;
use agentauth_core::grant::{COUNTED, Grant};
use agentauth_core::ledger::{Entry, Ledger};
use agentauth_core::own_rules::OwnRules;
use agentauth_core::passkey::Passkey;
use agentauth_core::text::display_safe_within;
use agentauth_idp::Chain;
use agentauth_store::{ProfileName, StateDb, StateError};
use memchr::memmem;

use super::carried;
use super::own::Recorded;
use crate::daemon::kept::{self, Kept, Unmet};
use crate::daemon::record::RECORD_CUT;

/// What a person has registered and granted.
#[derive(Default)]
pub(crate) struct Standings {
    pub(crate) registrations: Vec<Registration>,
    pub(crate) grants: Vec<Grant>,
    /// When the person was seen last, as the record has it.
    pub(crate) seen: Option<Timestamp>,
    /// Each with the highest signature counter that it has shown.
    pub(crate) passkeys: Vec<(Passkey, u32)>,
    /// The ids of rows that have had their day.
    pub(crate) past: Vec<String>,
    /// Rows that do not count, and why. Safe to show.
    pub(crate) problems: Vec<String>,
    /// What was applied of the person's own rules.
    pub(crate) rules: Recorded,
    /// How the last run of the daemon ended.
    pub(crate) last_run: LastRun,
    /// What does not fit between the record and what was kept of it elsewhere: then nothing counts that was given.
    pub(crate) unmet: Option<Unmet>,
}

/// How the last run of the daemon ended, as the record has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum LastRun {
    /// There was none.
    #[default]
    None,
    /// It was stopped, and for what reason.
    Stopped(String),
    /// Without a word: it crashed, or was killed, or the machine was.
    Crashed,
}

/// What the record says.
pub(crate) struct Told {
    pub(crate) ledger: Ledger,
    pub(crate) replay: Replay,
    last_run: LastRun,
    checkpoints: u64,
}

/// Reads what the database holds for `profile` and the record below `state_directory` bears out. Blocking; takes as long as reading
/// the record does.
///
/// # Errors
/// [`StateError`]. A row that does not count, or a record that cannot be read, is no error: it gives nothing.
pub(crate) fn standings(
    db: &StateDb,
    profile: &ProfileName,
    state_directory: &Path,
) -> Result<Standings, StateError> {
    let (registrations, grants) = (db.registrations(profile)?, db.grants(profile)?);
    let mut found = Standings::default();
    let (own_rules, owned) = (db.own_rules(profile)?, db.pin(profile)?.is_some());
    let passkeys = db.passkeys(profile)?;
    let (trail, kept) = (Trail::new(&state_directory.join("audit")), kept::read(state_directory));
    let watch = if let Kept::Record(record) = &kept { Some(record.seq) } else { None };
    let ledger = match ledger(&trail, watch) {
        Ok(Told { ledger, replay, last_run, checkpoints }) => {
            found.last_run = last_run;
            found.unmet = kept::held_against(&kept, &trail, replay.last, replay.watched, checkpoints);
            if let Some(unmet) = &found.unmet {
                found.problems.push(format!("nothing that was registered or granted counts: {}", unmet.why));
                found.rules = Recorded::Lost(None);
                return Ok(found);
            }
            if let Some(flaw) = &replay.flaw {
                found.problems.push(format!(
                    "what was registered and granted after this does not count: {}",
                    Chain(flaw)
                ));
            }
            ledger
        }
        Err(error) => {
            found.problems.push(format!("nothing that was registered or granted counts: {}", Chain(&error)));
            found.rules = Recorded::Lost(None);
            return Ok(found);
        }
    };
    found.seen = ledger.seen();
    found.rules = recorded(ledger.rules(), own_rules.as_deref(), owned);
    for (name, json) in registrations {
        match Registration::parse(json.as_bytes()) {
            Ok(registration) if ledger.stands(&registration) => found.registrations.push(registration),
            Ok(_) => found.problems.push(format!(
                "the registration of `{}` does not count: the record does not say that it was made so; register the \
                 agent again with `agentauthd agent register`",
                display_safe_within(&name, 64)
            )),
            Err(fault) => found.problems.push(format!(
                "the registration of `{}` does not count: {fault}; register the agent again with \
                 `agentauthd agent register`",
                display_safe_within(&name, 64)
            )),
        }
    }
    let mut forged = 0;
    for (_, json) in passkeys {
        let passkey = Passkey::from_json(&json).ok();
        match passkey.and_then(|passkey| ledger.counter(&passkey).map(|counter| (passkey, counter))) {
            Some(known) => found.passkeys.push(known),
            None => forged += 1,
        }
    }
    if forged > 0 {
        found.problems.push(format!(
            "{forged} passkeys in the state database do not count: the record does not say that they were registered so"
        ));
    }
    let mut edited = 0;
    for (id, json) in grants {
        match Grant::from_json(&json).ok() {
            Some(grant) if ledger.is_past(&grant) => found.past.push(id),
            grant => match grant.and_then(|grant| ledger.admit(grant)) {
                Some(grant) => found.grants.push(grant),
                None => edited += 1,
            },
        }
    }
    if edited > 0 {
        found.problems.push(format!(
            "{edited} grants in the state database do not count: the record does not say that they were given so"
        ));
    }
    Ok(found)
}

/// What stands as applied: the row where the record bears it out. `owned` is whether an account has logged in before.
fn recorded(digest: Option<&str>, row: Option<&str>, owned: bool) -> Recorded {
    let rules: Option<OwnRules> = row.and_then(|says| serde_json::from_str(says).ok());
    match (digest, rules) {
        (Some(digest), Some(rules)) if rules.digest().as_deref() == Some(digest) => Recorded::Applied(rules),
        (Some(digest), _) => Recorded::Lost(Some(digest.to_owned())),
        (None, _) if owned => Recorded::Lost(None),
        (None, _) => Recorded::Never,
    }
}

/// What stands after the last record, and which that is.
pub(crate) fn ledger(trail: &Trail, watch: Option<u64>) -> Result<Told, VerifyError> {
    let mut ledger = Ledger::default();
    let (mut last_run, mut checkpoints) = (None, 0);
    let counted = format!("\"{COUNTED}");
    let counted = memmem::Finder::new(counted.as_bytes());
    let wanted = |kind, line: &[u8]| match kind {
        Kind::AgentRegistered
        | Kind::AgentRemoved
        | Kind::AuditGap
        | Kind::Checkpoint
        | Kind::ConsentAnswered
        | Kind::GrantAdded
        | Kind::GrantExpired
        | Kind::GrantRevoked
        | Kind::PersonSeen
        | Kind::RulesApplied
        | Kind::PasskeyAdded
        | Kind::PasskeyRemoved
        | Kind::PasskeyUsed
        | Kind::ServiceStart
        | Kind::ServiceStop => true,
        Kind::Decision => counted.find(line).is_some(),
        _ => false,
    };
    let replay = trail.replay(watch, wanted, |record| match record.event.kind {
        Kind::Checkpoint => checkpoints += 1,
        Kind::ServiceStart => last_run = Some(LastRun::Crashed),
        Kind::ServiceStop => {
            let why = record.event.message.as_ref().map_or("", agentauth_audit::Text::as_str);
            last_run = Some(LastRun::Stopped(why.to_owned()));
        }
        _ => apply(&mut ledger, record.event, record.standing),
    })?;
    // A run whose start is in an older file had not ended when this one was begun.
    let before = if replay.last.is_some() { LastRun::Crashed } else { LastRun::None };
    Ok(Told { ledger, replay, last_run: last_run.unwrap_or(before), checkpoints })
}

/// What one record means. Behind a flaw only what takes away is believed.
fn apply(ledger: &mut Ledger, event: &Event<'_>, standing: Standing) {
    let text = |name: &str| event.details.get(name).and_then(serde_json::Value::as_str);
    let ids = || event.grants.iter().map(agentauth_audit::Text::as_str);
    let proven = standing == Standing::Proven;
    match event.kind {
        Kind::AgentRegistered if proven => {
            if let (Some(agent), Some(registration)) = (text("agent"), text("registration")) {
                ledger.apply(Entry::Registered { agent, registration });
            }
        }
        Kind::AuditGap if event.reason.as_ref().is_some_and(|reason| reason.as_str() == RECORD_CUT) => {
            ledger.apply(Entry::Lost);
        }
        Kind::ChainCarried if proven => carried::apply(ledger, event),
        Kind::AgentRemoved => {
            if let Some(agent) = text("agent") {
                ledger.apply(Entry::Removed { agent });
            }
            ids().for_each(|id| ledger.apply(Entry::Revoked(id)));
        }
        Kind::ConsentAnswered | Kind::GrantAdded if proven => {
            ids().for_each(|id| ledger.apply(Entry::Given(id)));
        }
        Kind::PersonSeen if proven => {
            if let Some(at) = text("seen_at").and_then(|at| at.parse::<Timestamp>().ok()) {
                ledger.apply(Entry::Seen(at));
            }
        }
        Kind::RulesApplied if proven => {
            if let Some(rules) = text("rules") {
                ledger.apply(Entry::RulesApplied(rules));
            }
        }
        Kind::GrantRevoked | Kind::GrantExpired => ids().for_each(|id| ledger.apply(Entry::Revoked(id))),
        Kind::PasskeyAdded if proven => {
            if let Some(id) = text("passkey") {
                ledger.apply(Entry::PasskeyAdded(id));
            }
        }
        Kind::PasskeyRemoved => {
            if let Some(id) = text("passkey") {
                ledger.apply(Entry::PasskeyRemoved(id));
            }
        }
        Kind::PasskeyUsed => {
            let counter = event.details.get("sign_count").and_then(serde_json::Value::as_u64);
            if let (Some(id), Some(sign_count)) = (text("passkey"), counter) {
                let sign_count = u32::try_from(sign_count).unwrap_or(u32::MAX);
                ledger.apply(Entry::PasskeyUsed { id, sign_count });
            }
        }
        Kind::Decision if event.decision == Some(Verdict::Allow) && !event.dry_run => {
            ids().for_each(|id| ledger.apply(Entry::Used(id)));
        }
        _ => {}
    }
}
