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
}

/// Reads what the database holds for `profile` and the record in the directory `audit` bears out. Blocking; takes as long as reading
/// the record does.
///
/// # Errors
/// [`StateError`]. A row that does not count, or a record that cannot be read, is no error: it gives nothing.
pub(crate) fn standings(db: &StateDb, profile: &ProfileName, audit: &Path) -> Result<Standings, StateError> {
    let (registrations, grants) = (db.registrations(profile)?, db.grants(profile)?);
    let mut found = Standings::default();
    let (own_rules, owned) = (db.own_rules(profile)?, db.pin(profile)?.is_some());
    let passkeys = db.passkeys(profile)?;
    let ledger = match ledger(&Trail::new(audit)) {
        Ok((ledger, Replay { flaw: None, .. })) => ledger,
        Ok((ledger, Replay { flaw: Some(flaw), .. })) => {
            found
                .problems
                .push(format!("what was registered and granted after this does not count: {}", Chain(&flaw)));
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
pub(crate) fn ledger(trail: &Trail) -> Result<(Ledger, Replay), VerifyError> {
    let mut ledger = Ledger::default();
    let rights: Vec<_> = [
        Kind::AgentRegistered,
        Kind::AgentRemoved,
        Kind::ConsentAnswered,
        Kind::GrantAdded,
        Kind::GrantRevoked,
        Kind::PersonSeen,
        Kind::RulesApplied,
        Kind::PasskeyAdded,
        Kind::PasskeyRemoved,
        Kind::PasskeyUsed,
    ]
    .iter()
    .map(|kind| format!("\"event\":\"{}\"", kind.as_str()))
    .collect();
    let rights: Vec<_> = rights.iter().map(|kind| memmem::Finder::new(kind.as_bytes())).collect();
    let counted = format!("\"{COUNTED}");
    let counted = memmem::Finder::new(counted.as_bytes());
    // The kind stands behind the frame and the time; what a caller said stands behind it.
    let wanted = |line: &[u8]| {
        let head = line.get(..256).unwrap_or(line);
        rights.iter().any(|kind| kind.find(head).is_some()) || counted.find(line).is_some()
    };
    let replay = trail.replay(wanted, |record| apply(&mut ledger, record.event, record.standing))?;
    Ok((ledger, replay))
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
        Kind::GrantRevoked => ids().for_each(|id| ledger.apply(Entry::Revoked(id))),
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
