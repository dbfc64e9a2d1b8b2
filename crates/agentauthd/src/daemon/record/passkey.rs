//! Passkeys and what they confirmed, as it is written down.

use agentauth_audit::{Event, Kind};
use agentauth_core::Timestamp;
use agentauth_core::caller::CallerFacts;
use agentauth_core::passkey::Used;
use agentauth_core::widening::{Confirmed, Means};
use serde_json::json;

use super::{asker, confirmation, details};
use crate::daemon::passkeys::Known;

/// A passkey is registered. Its id is what the row in the state database is held against.
pub(crate) fn passkey_added<'a>(
    known: &'a Known,
    by: &'a CallerFacts,
    confirmed: &Confirmed,
    now: Timestamp,
) -> Event<'a> {
    let passkey = &known.passkey;
    let mut members = details(json!({
        "passkey": *known.id,
        "name": passkey.name,
        "credential": passkey.credential_id,
        "algorithm": passkey.algorithm,
        "aaguid": passkey.aaguid,
        "attestation": passkey.attestation,
        "backup_eligible": passkey.backup_eligible,
        "backed_up": passkey.backed_up,
    }));
    members.extend(confirmation(confirmed));
    Event {
        user: Some(passkey.subject.as_str().into()),
        actor: Some(asker(by)),
        details: members,
        ..Event::new(Kind::PasskeyAdded, now)
    }
}

/// A passkey is removed.
pub(crate) fn passkey_removed<'a>(known: &'a Known, by: &'a CallerFacts, now: Timestamp) -> Event<'a> {
    Event {
        user: Some(known.passkey.subject.as_str().into()),
        actor: Some(asker(by)),
        details: details(json!({ "passkey": *known.id, "name": known.passkey.name })),
        ..Event::new(Kind::PasskeyRemoved, now)
    }
}

/// A passkey confirmed a request. What came of it stands in a record of its own.
pub(crate) fn passkey_used<'a>(
    known: &'a Known,
    confirmed: &Confirmed,
    used: Used,
    now: Timestamp,
) -> Event<'a> {
    let mut members = confirmation(confirmed);
    members.extend(details(json!({ "sign_count": used.sign_count, "backed_up": used.backed_up })));
    if let Means::Passkey { evidence, .. } = &confirmed.by {
        members.insert("evidence".to_owned(), evidence.as_str().into());
    }
    Event {
        user: Some(known.passkey.subject.as_str().into()),
        details: members,
        ..Event::new(Kind::PasskeyUsed, now)
    }
}

/// The answer of a passkey counted for nothing.
pub(crate) fn passkey_refused<'a>(
    code: &'a str,
    message: &'a str,
    request_digest: &str,
    now: Timestamp,
) -> Event<'a> {
    Event {
        reason: Some(code.into()),
        message: Some(message.into()),
        details: details(json!({ "request_digest": request_digest })),
        ..Event::new(Kind::PasskeyRefused, now)
    }
}
