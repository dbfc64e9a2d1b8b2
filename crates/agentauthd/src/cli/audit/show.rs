//! `agentauthd audit show`: everything about one decision, consent, login or grant.

mod related;
mod render;

use clap::Args;
use serde_json::{Map, Value, json};

use super::Record;
use super::out::Out;
use crate::cli::{Exit, Failure, output};
use agentauth_core::text::display_safe;
use related::{Group, Related};

/// Show everything that the record has about one thing: what it rests on, what came of it.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The id of a decision, consent, login, launch or grant, or the number of a record.
    #[arg(value_name = "ID")]
    id: String,
    /// Print the records as JSON.
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn run(self, record: &Record) -> Result<Exit, Failure> {
        let (related, damage) =
            Related::find(&record.trail, &self.id).map_err(|error| record.failure(error))?;
        if related.is_empty() {
            if let Some(error) = damage {
                return Err(record.failure(error));
            }
            return Err(Failure::Told(format!(
                "the record in `{}` has nothing with the id `{}`; ids are those that `agentauthd audit tail` prints",
                display_safe(&record.directory().display().to_string()),
                display_safe(&self.id)
            )));
        }
        if self.json {
            output::json(&as_json(&self.id, &related))?;
        } else {
            let mut out = Out::coloured();
            render::render(&related, &mut out)?;
            out.flush()?;
        }
        record.told(damage)
    }
}

fn as_json(id: &str, related: &Related) -> Value {
    let mut whole = Map::new();
    whole.insert("id".to_owned(), id.into());
    for group in Group::ALL {
        // A line was read as JSON before it came here.
        let records = related.of(group).map(|entry| serde_json::from_str(&entry.line).unwrap_or(Value::Null));
        whole.insert(group.name().to_owned(), records.collect());
    }
    whole.insert("uses_not_shown".to_owned(), json!(related.left_out));
    whole.into()
}
