//! What is wrong with a template, and where.

use std::fmt;

use serde::Serialize;

use super::walk::At;
use crate::json::{Target, locate};
use crate::policy::Place;

/// At most this many faults of one template are listed; one more says how many there are beyond.
pub const MAX_FAULTS: usize = 100;

/// One thing that is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// Where: a JSON pointer (RFC 6901), empty for the whole. Safe to show: of a member's name, what cannot be seen is
    /// escaped, and what is long is cut.
    pub path: String,
    /// Where in the text.
    pub place: Option<Place>,
    /// What kind of fault it is.
    pub code: TemplateFaultCode,
    /// What is wrong and what to do; safe to show.
    pub reason: String,
}

/// What kind of fault a template has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TemplateFaultCode {
    /// Not JSON at all.
    NotJson,
    /// More bytes, characters or entries than are read.
    TooLong,
    /// A member that templates do not have.
    UnknownMember,
    /// A member that stands twice in one object.
    RepeatedMember,
    /// A member that must be there is not.
    Missing,
    /// A value of another type than the member has.
    WrongType,
    /// A name that cannot be one.
    BadName,
    /// A value that the member cannot have.
    BadValue,
    /// A text that is no scope, and no pattern of scopes.
    BadScope,
    /// Nothing where something has to stand.
    Empty,
    /// A text with a character that cannot be seen.
    Hidden,
    /// A value that stands twice in one list.
    RepeatedValue,
    /// A rule whose policies would be called as another's.
    RepeatedId,
    /// Two things of which one makes the other worthless.
    Contradiction,
    /// A span of time that ends where it begins.
    NeverHolds,
    /// There are more faults than are listed.
    More,
}

/// Everything that is wrong with a template; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TemplateFaults(pub Vec<TemplateFault>);

/// The faults of one text, as far as the reading has come.
pub(super) struct Faults<'t> {
    text: &'t str,
    found: Vec<TemplateFault>,
    beyond: usize,
}

impl<'t> Faults<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, found: Vec::new(), beyond: 0 }
    }

    pub(super) fn count(&self) -> usize {
        self.found.len() + self.beyond
    }

    /// Notes a fault of a value.
    pub(super) fn add(&mut self, at: &At, code: TemplateFaultCode, reason: impl Into<String>) {
        self.note(at, Target::Value, code, reason.into());
    }

    /// Notes a fault of a member's name.
    pub(super) fn of_name(&mut self, at: &At, code: TemplateFaultCode, reason: impl Into<String>) {
        self.note(at, Target::Name, code, reason.into());
    }

    /// Notes a fault of a value, which is then none.
    pub(super) fn refuse<T>(
        &mut self,
        at: &At,
        code: TemplateFaultCode,
        reason: impl Into<String>,
    ) -> Option<T> {
        self.add(at, code, reason);
        None
    }

    fn note(&mut self, at: &At, target: Target, code: TemplateFaultCode, reason: String) {
        if self.found.len() == MAX_FAULTS {
            self.beyond += 1;
            return;
        }
        let place = Some(Place::of(self.text, locate(self.text, &at.steps, target)));
        self.found.push(TemplateFault { path: at.pointer.clone(), place, code, reason });
    }

    /// What was read, unless anything was wrong.
    pub(super) fn or<T>(mut self, read: Option<T>) -> Result<T, TemplateFaults> {
        if self.beyond > 0 {
            let reason = format!("there are {} faults more than are listed", self.beyond);
            let code = TemplateFaultCode::More;
            self.found.push(TemplateFault { path: String::new(), place: None, code, reason });
        }
        match read {
            Some(read) if self.found.is_empty() => Ok(read),
            _ => {
                self.found.sort_by_key(|fault| {
                    fault.place.as_ref().map_or((usize::MAX, 0), |at| (at.line, at.column))
                });
                Err(TemplateFaults(self.found))
            }
        }
    }
}

impl TemplateFault {
    /// The line at fault, and the mark below it; nothing where the place is not known. Safe to show.
    #[must_use]
    pub fn excerpt(&self) -> Vec<String> {
        let lines = self.place.iter().flat_map(|place| [&place.text, &place.mark]);
        lines.map(|line| format!("| {line}")).collect()
    }
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => formatter.write_str(&self.reason),
            path => write!(formatter, "`{path}` {}", self.reason),
        }
    }
}

impl fmt::Display for TemplateFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the template cannot be used")?;
        for fault in &self.0 {
            match &fault.place {
                Some(place) => write!(formatter, "\n  {}:{}: {fault}", place.line, place.column)?,
                None => write!(formatter, "\n  {fault}")?,
            }
            fault.excerpt().into_iter().try_for_each(|line| write!(formatter, "\n    {line}"))?;
        }
        Ok(())
    }
}
