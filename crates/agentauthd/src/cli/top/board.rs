//! What the dashboard knows, and what becomes of it: pure, from one thing that happens to the next.

use std::collections::{BTreeMap, VecDeque};

use agentauth_api::Status;
use agentauth_audit::{Entry, Kind, Verdict};
use agentauth_client::ConsentList;
use agentauth_core::Timestamp;
use agentauth_core::text::display_safe_within;

use super::keys::Key;

/// Decisions that are kept to look back at.
const KEPT: usize = 1000;
/// Agents that are counted by name; what more there are is counted together.
const AGENTS: usize = 64;
/// The most characters of a text that an agent chose.
const LONGEST: usize = 512;
/// What is counted for agents beyond those that have a row.
const OTHERS: &str = "(others)";
/// What asks without being a registered agent.
const NOBODY: &str = "(no agent)";

/// Something that happens.
pub(super) enum Happening {
    /// A key was pressed.
    Key(Key),
    /// How the daemon stands, or why it does not say.
    Status(Result<Box<Status>, String>),
    /// The questions that wait for the person.
    Consents(ConsentList),
    /// A record was read.
    Record(Box<Entry>),
    /// The record cannot be read on; why.
    RecordEnded(String),
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Quit,
}

/// One decision, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) time: Timestamp,
    pub(super) allow: bool,
    /// How many equal ones it stands for.
    pub(super) count: u64,
    pub(super) agent: String,
    pub(super) reason: String,
    pub(super) scopes: String,
    pub(super) dry_run: bool,
}

/// What an agent was answered since the dashboard looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) last: Option<Timestamp>,
}

/// Which decisions are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Only this agent's.
    pub(super) agent: Option<String>,
    /// Only allows, or only denies.
    pub(super) allow: Option<bool>,
    /// Only those with this in them, in whatever case.
    pub(super) text: String,
}

/// Everything that is shown.
#[derive(Default)]
pub(super) struct Board {
    pub(super) status: Option<Box<Status>>,
    /// Why the daemon does not say how it stands.
    pub(super) away: Option<String>,
    pub(super) consents: Vec<agentauth_client::Consent>,
    pub(super) tallies: BTreeMap<String, Tally>,
    pub(super) total: Tally,
    pub(super) filter: Filter,
    /// The text that is being typed.
    pub(super) typing: Option<String>,
    /// How many of the decisions that are shown are newer than the first line.
    pub(super) scrolled: usize,
    /// The decisions stand still; those that came since are not shown.
    pub(super) paused: bool,
    /// Decisions that came while they stood still.
    pub(super) unseen: u64,
    /// Why there are no more decisions.
    pub(super) record_ended: Option<String>,
    /// The newest first.
    decisions: VecDeque<Decision>,
    /// Those that came while they stood still, the newest first.
    waiting: VecDeque<Decision>,
}

impl Board {
    /// Takes note of what happened. `page` is how many decisions are shown at once.
    pub(super) fn take(&mut self, happening: Happening, page: usize) -> Flow {
        match happening {
            Happening::Key(key) => return self.press(key, page),
            Happening::Status(Ok(status)) => {
                for agent in &status.agents {
                    if self.tallies.len() < AGENTS {
                        self.tallies.entry(display_safe_within(&agent.name, LONGEST)).or_default();
                    }
                }
                (self.status, self.away) = (Some(status), None);
            }
            Happening::Status(Err(why)) => self.away = Some(why),
            Happening::Consents(list) => self.consents = list.consents,
            Happening::Record(entry) => {
                self.record_ended = None;
                if let Some(decision) = decision(&entry) {
                    self.count(decision);
                }
            }
            Happening::RecordEnded(why) => self.record_ended = Some(why),
        }
        Flow::Continue
    }

    /// The number of the newest record, as far as the daemon has said.
    pub(super) fn newest(&self) -> u64 {
        self.status.as_ref().map_or(0, |status| status.audit.records)
    }

    /// The decisions that the filter lets through, the newest first.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| self.filter.lets_through(decision))
    }

    fn count(&mut self, decision: Decision) {
        let name = if self.tallies.len() < AGENTS || self.tallies.contains_key(&decision.agent) {
            decision.agent.clone()
        } else {
            OTHERS.to_owned()
        };
        for tally in [self.tallies.entry(name).or_default(), &mut self.total] {
            let counter = if decision.allow { &mut tally.allowed } else { &mut tally.denied };
            *counter += decision.count;
            tally.last = Some(decision.time);
        }
        let queue = if self.paused {
            self.unseen += decision.count;
            &mut self.waiting
        } else {
            if self.scrolled > 0 && self.filter.lets_through(&decision) {
                // What one looks at stays where it is.
                self.scrolled += 1;
            }
            &mut self.decisions
        };
        queue.push_front(decision);
        queue.truncate(KEPT);
    }

    fn press(&mut self, key: Key, page: usize) -> Flow {
        if key == Key::Interrupt {
            return Flow::Quit;
        }
        if let Some(mut text) = self.typing.take() {
            match key {
                Key::Enter => self.filter.text = text,
                Key::Escape => {}
                Key::Backspace => {
                    text.pop();
                    self.typing = Some(text);
                }
                Key::Char(character) if text.chars().count() < 64 && !character.is_control() => {
                    text.push(character);
                    self.typing = Some(text);
                }
                _ => self.typing = Some(text),
            }
            self.scrolled = 0;
            return Flow::Continue;
        }
        match key {
            Key::Char('q' | 'Q') => return Flow::Quit,
            Key::Char(' ' | 'p') => self.pause(),
            Key::Char('a') => self.next_agent(),
            Key::Char('d') => {
                self.filter.allow = match self.filter.allow {
                    None => Some(false),
                    Some(false) => Some(true),
                    Some(true) => None,
                };
                self.scrolled = 0;
            }
            Key::Char('/') => self.typing = Some(self.filter.text.clone()),
            Key::Escape => {
                self.filter = Filter::default();
                self.scrolled = 0;
            }
            Key::Down => self.scroll(1),
            Key::Up => self.scroll(-1),
            Key::PageDown => self.scroll(isize::try_from(page).unwrap_or(1)),
            Key::PageUp => self.scroll(-isize::try_from(page).unwrap_or(1)),
            Key::Home => self.scrolled = 0,
            Key::End => self.scroll(isize::MAX),
            _ => {}
        }
        let last = self.shown().count().saturating_sub(1);
        self.scrolled = self.scrolled.min(last);
        Flow::Continue
    }

    fn scroll(&mut self, by: isize) {
        self.scrolled = self.scrolled.saturating_add_signed(by);
    }

    fn pause(&mut self) {
        self.paused = !self.paused;
        if !self.paused {
            while let Some(decision) = self.waiting.pop_back() {
                self.decisions.push_front(decision);
            }
            self.decisions.truncate(KEPT);
            self.unseen = 0;
            self.scrolled = 0;
        }
    }

    fn next_agent(&mut self) {
        let mut names = self.tallies.keys();
        self.filter.agent = match &self.filter.agent {
            None => names.next().cloned(),
            Some(now) => names.find(|name| *name > now).cloned(),
        };
        self.scrolled = 0;
    }
}

impl Filter {
    fn lets_through(&self, decision: &Decision) -> bool {
        let text = self.text.to_lowercase();
        let has = |field: &str| field.to_lowercase().contains(&text);
        self.agent.as_ref().is_none_or(|agent| *agent == decision.agent)
            && self.allow.is_none_or(|allow| allow == decision.allow)
            && (text.is_empty()
                || [&decision.agent, &decision.reason, &decision.scopes].into_iter().any(|field| has(field)))
    }

    /// The filter in words; nothing where everything is shown.
    pub(super) fn words(&self) -> Option<String> {
        let verdict = self.allow.map(|allow| if allow { "allow" } else { "deny" }.to_owned());
        let text = Some(&self.text).filter(|text| !text.is_empty()).map(|text| format!("`{text}`"));
        let words: Vec<String> = [self.agent.clone(), verdict, text].into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// The decision in a record, if it is one. What an agent said is made safe to show here, once.
fn decision(entry: &Entry) -> Option<Decision> {
    let event = &entry.event;
    let folded = event.kind == Kind::DecisionsFolded;
    if event.kind != Kind::Decision && !folded {
        return None;
    }
    let count = if folded { event.details.get("count").and_then(serde_json::Value::as_u64) } else { None };
    let agent = event.actor.as_ref().and_then(|actor| actor.agents.first());
    let scopes: Vec<&str> = event.scopes.iter().map(|scope| scope.as_str()).collect();
    Some(Decision {
        time: event.time,
        allow: event.decision == Some(Verdict::Allow),
        count: count.unwrap_or(1),
        agent: agent.map_or_else(|| NOBODY.to_owned(), |agent| display_safe_within(agent.as_str(), LONGEST)),
        reason: event
            .reason
            .as_ref()
            .map(|reason| display_safe_within(reason.as_str(), LONGEST))
            .unwrap_or_default(),
        scopes: display_safe_within(&scopes.join(" "), LONGEST),
        dry_run: event.dry_run,
    })
}
