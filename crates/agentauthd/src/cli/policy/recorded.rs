//! Decisions of the record, one after the other, each with the facts that it was decided on.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use agentauth_audit::{Entry, Event, Kind, Text, VerifyError};
use agentauth_core::facts::{NotReplayable, Past};
use clap::Args;
use serde_json::{Map, Value};

use super::super::audit::{Record, next};
use super::super::{Context, Failure};

/// Which record is read.
#[derive(Debug, Args)]
pub(super) struct RecordChoice {
    /// Read the record in this directory, such as an archive of another machine, in place of the profile's own.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl RecordChoice {
    pub(super) fn open(&self, context: &Context<'_>) -> Result<Record, Failure> {
        match &self.dir {
            Some(directory) => Ok(Record::archive(directory.clone())),
            None => Record::own(context.environment, &context.flags),
        }
    }

    /// Whether one is named.
    pub(super) fn is_named(&self) -> bool {
        self.dir.is_some()
    }
}

/// The facts that were met, by digest. A record names only those that stand before it in its file, so that no more than one
/// file's are kept.
#[derive(Default)]
pub(super) struct Facts(HashMap<String, Map<String, Value>>);

/// A decision of the record, or denials that were counted together.
pub(super) struct Decided<'a> {
    pub(super) entry: &'a Entry,
    facts: &'a Facts,
}

impl Decided<'_> {
    pub(super) fn event(&self) -> &Event<'static> {
        &self.entry.event
    }

    /// How many decisions it stands for.
    pub(super) fn count(&self) -> u64 {
        match self.event().kind {
            Kind::DecisionsFolded => self.event().details.get("count").and_then(Value::as_u64).unwrap_or(1),
            _ => 1,
        }
    }

    /// Its id; of denials that were counted together, the first one's.
    pub(super) fn id(&self) -> Option<&str> {
        match self.event().kind {
            Kind::DecisionsFolded => self.event().details.get("first_id").and_then(Value::as_str),
            _ => self.event().id.as_ref().map(Text::as_str),
        }
    }

    /// Everything that policies could read of it.
    pub(super) fn past(&self) -> Result<Past, NotReplayable> {
        let record: Value = serde_json::from_str(&self.entry.line).map_err(NotReplayable::Record)?;
        Past::read(&record, |digest| self.facts.0.get(digest))
    }

    /// A member of the facts of this kind.
    pub(super) fn fact(&self, kind: &str, member: &str) -> Option<&str> {
        let sets = self.event().facts.iter().filter_map(|digest| self.facts.0.get(digest.as_str()));
        let mut of_kind = sets.filter(|set| set.get("kind").and_then(Value::as_str) == Some(kind));
        of_kind.find_map(|set| set.get("facts")?.get(member)?.as_str())
    }
}

/// Texts of the record.
pub(super) fn texts(texts: &[Text<'_>]) -> Vec<String> {
    texts.iter().map(|text| text.as_str().to_owned()).collect()
}

/// Reads the record from its beginning, and hands over each decision. Returns the first damage that was met; what follows
/// it was read too.
pub(super) fn each(
    record: &Record,
    mut look: impl FnMut(&Decided<'_>) -> ControlFlow<()>,
) -> Result<Option<VerifyError>, Failure> {
    let mut facts = Facts::default();
    let mut damage = None;
    let mut entries = record.trail.entries().map_err(|error| record.failure(error))?.past_damage();
    while let Some(entry) = next(&mut entries, &mut damage).map_err(|error| record.failure(error))? {
        match entry.event.kind {
            Kind::ChainContinued | Kind::ChainRecovered => facts.0.clear(),
            Kind::Facts => {
                if let Some(id) = &entry.event.id {
                    facts.0.insert(id.as_str().to_owned(), entry.event.details.clone());
                }
            }
            Kind::Decision | Kind::DecisionsFolded
                if look(&Decided { entry: &entry, facts: &facts }).is_break() =>
            {
                break;
            }
            _ => {}
        }
    }
    Ok(damage)
}
