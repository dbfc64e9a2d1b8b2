//! What agents did before the daemon started, learned from the record.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use agentauth_audit::{Event, Kind, Trail, Verdict};
use agentauth_core::signals::Act;
use agentauth_core::{Reason, Scope, Timestamp};
use agentauth_idp::Chain;
use serde::Deserialize as _;
use serde_json::Value;

use super::{Watched, Watching, is_by_rule, lock, number};
use crate::daemon::app::App;

/// How many records are looked back on: some seconds of work, beside everything else.
const RECORDS: u64 = 200_000;

/// Learns from the record up to `newest`, the last one before the start. Blocking.
pub(crate) fn learn(app: &App, directory: &Path, newest: u64) {
    let entries = match Trail::new(directory).entries_after(newest.saturating_sub(RECORDS)) {
        Ok(entries) => entries,
        Err(error) => {
            return tracing::warn!(error = %Chain(&error), "what agents usually do is not known");
        }
    };
    let mut learned = Learned { watching: &app.watching, app, agents: HashMap::new() };
    for entry in entries {
        match entry {
            Ok(entry) if entry.seq > newest || app.stop.is_cancelled() => break,
            Ok(entry) => learned.take(&entry.event),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "what agents did after this is not learned from");
                break;
            }
        }
    }
    for (name, earlier) in learned.agents {
        let watched = app.watching.of(&name);
        let mut now = lock(&watched);
        now.counters.absorb(&earlier.counters);
        now.allowed.absorb(earlier.allowed);
    }
}

/// What was learned so far.
struct Learned<'a> {
    watching: &'a Watching,
    app: &'a App,
    agents: HashMap<Arc<str>, Watched>,
}

impl Learned<'_> {
    fn take(&mut self, event: &Event<'_>) {
        match event.kind {
            Kind::Decision if !event.dry_run => self.decision(event),
            Kind::Outcome => self.outcome(event),
            _ => {}
        }
    }

    fn decision(&mut self, event: &Event<'_>) {
        let reason = event.reason.as_ref().map(|reason| Value::from(reason.as_str()));
        let reason = reason.and_then(|reason| Reason::deserialize(reason).ok());
        let Some(reason) = reason else { return };
        // Who was not proven to be an agent says nothing about it.
        if matches!(reason, Reason::AgentUnknown | Reason::AgentChanged | Reason::CallerUnproven) {
            return;
        }
        let scopes: Vec<Scope> =
            event.scopes.iter().filter_map(|scope| scope.as_str().parse().ok()).collect();
        let catalogue = self.app.state.load().catalogue.clone();
        let act = Act {
            scopes: &scopes,
            catalogue: &catalogue,
            bytes: claimed(event, "bytes"),
            items: claimed(event, "items"),
        };
        let limits = &self.watching.limits;
        let risky = scopes.iter().any(|scope| catalogue.risk(scope).is_high());
        let agents = event.actor.iter().flat_map(|actor| &actor.agents);
        for (place, name) in agents.enumerate() {
            let agent = of(&mut self.agents, name.as_str(), self.watching.seed);
            // Whether the person was asked about it by name is not known any more, and tells only what was new then.
            agent.counters.asks(limits, &act, |_| true, event.time);
            if event.decision == Some(Verdict::Allow) {
                agent.counters.allowed(limits, &act, event.time);
                let id = event.id.as_ref().and_then(|id| number(id.as_str())).filter(|_| place == 0);
                if let Some(id) = id {
                    agent.allowed.add(id, risky, act.bytes, act.items, event.time);
                }
            } else {
                agent.counters.denied(limits, &act, is_by_rule(reason), event.time);
            }
        }
    }

    fn outcome(&mut self, event: &Event<'_>) {
        let name = event.details.get("agent").and_then(Value::as_str);
        let id = event.id.as_ref().and_then(|id| number(id.as_str()));
        if let (Some(name), Some(id)) = (name, id) {
            let agent = of(&mut self.agents, name, self.watching.seed);
            let (bytes, items) = agent.allowed.tell(id, claimed(event, "bytes"), claimed(event, "items"));
            agent.counters.reported(&self.watching.limits, bytes, items, at(event));
        }
    }
}

fn of<'l>(agents: &'l mut HashMap<Arc<str>, Watched>, name: &str, seed: u64) -> &'l mut Watched {
    agents.entry(name.into()).or_insert_with(|| Watched::new(seed))
}

fn claimed(event: &Event<'_>, what: &str) -> u64 {
    event.details.get(what).and_then(Value::as_u64).unwrap_or(0)
}

fn at(event: &Event<'_>) -> Timestamp {
    event.time
}
