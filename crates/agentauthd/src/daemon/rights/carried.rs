//! What stands, as it is written at the beginning of each file of the record, so that a start reads that file only.

use agentauth_audit::Event;
use agentauth_core::Timestamp;
use agentauth_core::ledger::{Entry, Ledger};
use serde_json::{Value, json};

/// The ledger as entries of `chain.carried`.
pub(crate) fn entries(ledger: &Ledger) -> impl Iterator<Item = Value> {
    ledger.entries().filter_map(written)
}

/// Takes into account what a record of this kind says. What it says of kinds that this version does not know gives nothing.
pub(super) fn apply(ledger: &mut Ledger, event: &Event<'_>) {
    let entries = event.details.get("entries").and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(read).for_each(|entry| ledger.apply(entry));
}

fn written(entry: Entry<'_>) -> Option<Value> {
    Some(match entry {
        Entry::Registered { agent, registration } => json!(["registered", agent, registration]),
        Entry::RulesApplied(digest) => json!(["rules", digest]),
        Entry::Given(id) => json!(["grant", id]),
        Entry::Uses { id, uses } => json!(["uses", id, uses]),
        Entry::Revoked(id) => json!(["ended", id]),
        Entry::PasskeyAdded(id) => json!(["passkey", id]),
        Entry::PasskeyUsed { id, sign_count } => json!(["counter", id, sign_count]),
        Entry::Seen(at) => json!(["seen", at]),
        // A ledger has none of these: it holds what has become of them.
        Entry::Removed { .. } | Entry::Used(_) | Entry::PasskeyRemoved(_) | Entry::Lost => return None,
    })
}

fn read(entry: &Value) -> Option<Entry<'_>> {
    let [what, rest @ ..] = entry.as_array()?.as_slice() else { return None };
    let text = |index: usize| rest.get(index).and_then(Value::as_str);
    let number = || rest.get(1).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let id = text(0)?;
    Some(match what.as_str()? {
        "registered" => Entry::Registered { agent: id, registration: text(1)? },
        "rules" => Entry::RulesApplied(id),
        "grant" => Entry::Given(id),
        "uses" => Entry::Uses { id, uses: number()? },
        "ended" => Entry::Revoked(id),
        "passkey" => Entry::PasskeyAdded(id),
        "counter" => Entry::PasskeyUsed { id, sign_count: number()? },
        "seen" => Entry::Seen(id.parse::<Timestamp>().ok()?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use agentauth_audit::carried;

    use super::*;

    #[test]
    fn what_is_carried_reads_back_as_the_same_ledger() {
        let mut ledger = Ledger::default();
        for entry in [
            Entry::Registered { agent: "a", registration: "one" },
            Entry::Given("counted:1"),
            Entry::Given("two"),
            Entry::Uses { id: "two", uses: 3 },
            Entry::Revoked("gone"),
            Entry::PasskeyAdded("key"),
            Entry::PasskeyUsed { id: "key", sign_count: 7 },
            Entry::Seen(Timestamp::UNIX_EPOCH),
            Entry::RulesApplied("rules"),
        ] {
            ledger.apply(entry);
        }
        let mut again = Ledger::default();
        for event in carried(entries(&ledger), 9, Timestamp::UNIX_EPOCH) {
            apply(&mut again, &event);
        }
        assert_eq!(again, ledger);
    }
}
