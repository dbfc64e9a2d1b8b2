//! What agents did before the daemon started, learned from the record.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use agentauth_audit::{Event, Kind, Text, Trail, Verdict};
use agentauth_core::signals::Act;
use agentauth_core::{Assurance, Catalogue, Reason, Scope};
use agentauth_idp::Chain;
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error, StrDeserializer};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Watched, Watching, lock, number, place};

/// How many records are looked back on: some seconds of work, beside everything else.
const RECORDS: u64 = 200_000;

/// Learns from the record in `directory` up to `newest`, the last one before the start, until it is told to stop. Blocking.
pub(crate) fn learn(
    watching: &Watching,
    catalogue: &Catalogue,
    directory: &Path,
    newest: u64,
    stop: &CancellationToken,
) {
    let entries = match Trail::new(directory).entries_after(newest.saturating_sub(RECORDS)) {
        Ok(entries) => entries,
        Err(error) => {
            return tracing::warn!(error = %Chain(&error), "what agents usually do is not known");
        }
    };
    let mut learned = Learned { watching, catalogue, agents: HashMap::new() };
    for entry in entries {
        match entry {
            Ok(entry) if entry.seq > newest || stop.is_cancelled() => break,
            Ok(entry) => learned.take(&entry.event),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "what agents did after this is not learned from");
                break;
            }
        }
    }
    for (name, earlier) in learned.agents {
        lock(&watching.of(&name)).absorb(earlier);
    }
}

/// What was learned so far.
struct Learned<'a> {
    watching: &'a Watching,
    catalogue: &'a Catalogue,
    agents: HashMap<Arc<str>, Watched>,
}

impl Learned<'_> {
    fn take(&mut self, event: &Event<'_>) {
        match event.kind {
            Kind::Decision if !event.dry_run => self.decided(event, 1),
            Kind::DecisionsFolded => self.decided(event, said(event, "count")),
            Kind::Outcome => self.became(event),
            _ => {}
        }
    }

    fn decided(&mut self, event: &Event<'_>, times: u64) {
        let Some(actor) = &event.actor else { return };
        // Who was not proven to be an agent says nothing about it.
        if read::<Assurance>(actor.assurance.as_ref()).unwrap_or_default() == Assurance::Unproven {
            return;
        }
        let Some(reason) = read::<Reason>(event.reason.as_ref()) else { return };
        let scopes: Vec<Scope> =
            event.scopes.iter().filter_map(|scope| scope.as_str().parse().ok()).collect();
        let catalogue = self.catalogue;
        let (bytes, items) = (said(event, "bytes"), said(event, "items"));
        let act = Act { scopes: &scopes, catalogue, bytes, items, times };
        let limits = &self.watching.limits;
        for (place, name) in actor.agents.iter().enumerate() {
            let agent = of(&mut self.agents, name.as_str(), self.watching.seed);
            // Whether the person was asked about it by name is not known any more, and tells only what was new then.
            agent.counters.asks(limits, &act, |_| true, event.time);
            if event.decision != Some(Verdict::Allow) {
                agent.counters.denied(limits, &act, reason.is_about_what_was_asked(), event.time);
                continue;
            }
            agent.counters.allowed(limits, &act, event.time);
            if place == 0
                && let Some(allowed) = &mut agent.allowed
                && let Some(id) = event.id.as_ref().and_then(|id| number(id.as_str()))
            {
                let risky = scopes.iter().any(|scope| catalogue.risk(scope).is_high());
                allowed.add(id, risky, bytes, items, event.time);
            }
        }
    }

    fn became(&mut self, event: &Event<'_>) {
        let name = event.details.get("agent").and_then(Value::as_str);
        let id = event.id.as_ref().and_then(|id| number(id.as_str()));
        if let (Some(name), Some(id)) = (name, id) {
            let agent = of(&mut self.agents, name, self.watching.seed);
            let Some(allowed) = &mut agent.allowed else { return };
            let (bytes, items) = allowed.tell(id, said(event, "bytes"), said(event, "items"));
            agent.counters.reported(&self.watching.limits, bytes, items, event.time);
        }
    }
}

fn of<'l>(agents: &'l mut HashMap<Arc<str>, Watched>, name: &str, seed: u64) -> &'l mut Watched {
    let name = place(agents, name);
    agents.entry(name.into()).or_insert_with(|| Watched::new(name, seed))
}

/// A word of the record; nothing for one that this version does not know.
fn read<'de, W: Deserialize<'de>>(text: Option<&'de Text<'_>>) -> Option<W> {
    let word: StrDeserializer<'de, Error> = text?.as_str().into_deserializer();
    W::deserialize(word).ok()
}

fn said(event: &Event<'_>, what: &str) -> u64 {
    event.details.get(what).and_then(Value::as_u64).unwrap_or(0)
}
