//! Objects, lists and plain values of a template, each with its place.

use std::fmt::Debug;

use super::{Code, LONGEST_NAME, Reader};
use crate::json::{Node, TextFault, Unread, known_members, pointer_part, text_faults};
use crate::text::display_safe_within;

use super::super::MAX_VALUES;

/// A place in the document.
#[derive(Debug, Clone, Default)]
pub(super) struct At {
    /// A JSON pointer (RFC 6901).
    pub(super) pointer: String,
    /// Of each object and list on the way, the number of the member or element.
    pub(super) steps: Vec<usize>,
}

/// The members of one object, each at most once, in order.
pub(super) struct Members {
    at: At,
    found: Vec<(&'static str, At, Node)>,
}

impl At {
    pub(super) fn element(&self, position: usize) -> Self {
        self.member(&position.to_string(), position)
    }

    fn member(&self, name: &str, position: usize) -> Self {
        let steps = self.steps.iter().copied().chain([position]).collect();
        Self { pointer: format!("{}/{}", self.pointer, pointer_part(name)), steps }
    }
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.found.iter().any(|(found, ..)| *found == name)
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn take(&mut self, name: &str) -> Option<(At, Node)> {
        let position = self.found.iter().position(|(found, ..)| *found == name)?;
        let (_, at, node) = self.found.remove(position);
        Some((at, node))
    }
}

impl IntoIterator for Members {
    type Item = (&'static str, At, Node);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter()
    }
}

impl Reader<'_> {
    /// The members of an object that has no others than the known ones.
    pub(super) fn members(&mut self, at: At, node: Node, known: &[&'static str]) -> Option<Members> {
        let object = match node {
            Node::Object(object) => object,
            other if at.steps.is_empty() => {
                let reason = format!("the template is {}: an object is expected", other.kind());
                return self.faults.refuse(&at, Code::WrongType, reason);
            }
            other => return self.wrong_type(&at, &other, "an object"),
        };
        let found = known_members(object, known, |position, name, why, reason| {
            let code = match why {
                Unread::Unknown => Code::UnknownMember,
                Unread::Repeated => Code::RepeatedMember,
            };
            self.faults.of_name(&at.member(name, position), code, reason);
        });
        let placed = |(position, name, value)| (name, at.member(name, position), value);
        let found = found.into_iter().map(placed).collect();
        Some(Members { at, found })
    }

    pub(super) fn required(&mut self, members: &mut Members, name: &'static str) -> Option<(At, Node)> {
        let found = members.take(name);
        if found.is_none() {
            let reason = match members.at.pointer.as_str() {
                "" => format!("the template has no `{name}`"),
                _ => format!("has no `{name}`"),
            };
            self.faults.add(&members.at, Code::Missing, reason);
        }
        found
    }

    pub(super) fn optional_text(
        &mut self,
        members: &mut Members,
        name: &'static str,
        longest: usize,
    ) -> Option<String> {
        let (at, node) = members.take(name)?;
        self.text(&at, node, longest)
    }

    pub(super) fn text(&mut self, at: &At, node: Node, longest: usize) -> Option<String> {
        match node {
            Node::Text(text) => self.visible(at, text, longest),
            other => self.wrong_type(at, &other, "a text"),
        }
    }

    /// The text, if it can be shown as it is.
    pub(super) fn visible(&mut self, at: &At, text: String, longest: usize) -> Option<String> {
        let Some((fault, reason)) = text_faults(&text, longest).next() else { return Some(text) };
        let code = match fault {
            TextFault::Empty => Code::Empty,
            TextFault::TooLong => Code::TooLong,
            TextFault::Hidden => Code::Hidden,
        };
        self.faults.refuse(at, code, reason)
    }

    pub(super) fn boolean(&mut self, at: &At, node: &Node) -> Option<bool> {
        match node {
            Node::Bool(value) => Some(*value),
            other => self.wrong_type(at, other, "`true` or `false`"),
        }
    }

    /// An effect that there is or is not: to leave it out is to have it not.
    pub(super) fn only_true(&mut self, at: &At, node: &Node) -> Option<()> {
        match node {
            Node::Bool(true) => Some(()),
            Node::Bool(false) => {
                self.faults.refuse(at, Code::BadValue, "is `false`, which does nothing: leave it out")
            }
            other => self.wrong_type(at, other, "`true`"),
        }
    }

    /// One of these words.
    pub(super) fn word<T: Clone>(&mut self, at: &At, text: String, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text);
        if let Some((_, meaning)) = found {
            return Some(meaning.clone());
        }
        let list: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let shown = display_safe_within(&text, 60);
        let reason = match list.as_slice() {
            [one] => format!("is `{shown}`: the only word is {one}"),
            many => format!("is `{shown}`: the words are {}", many.join(", ")),
        };
        self.faults.refuse(at, Code::BadValue, reason)
    }

    /// One text, or a list of texts of which none stands twice.
    pub(super) fn any_of<T: PartialEq + Debug>(
        &mut self,
        at: &At,
        node: Node,
        mut read: impl FnMut(&mut Self, &At, String) -> Option<T>,
    ) -> Option<Vec<T>> {
        let list = match node {
            Node::Text(text) => return read(self, at, text).map(|one| vec![one]),
            Node::List(list) => list,
            other => return self.wrong_type(at, &other, "a text, or a list of texts"),
        };
        let mut values = Vec::with_capacity(list.len());
        let entries = self.entries(at, list)?;
        let count = entries.len();
        for (at, node) in entries {
            let value = match node {
                Node::Text(text) => read(self, &at, text),
                other => self.wrong_type(&at, &other, "a text"),
            };
            match value {
                Some(value) if values.contains(&value) => {
                    self.faults.add(&at, Code::RepeatedValue, "stands twice: remove one of the two");
                }
                Some(value) => values.push(value),
                None => {}
            }
        }
        (values.len() == count).then_some(values)
    }

    /// The entries of a list that has some, and not too many.
    pub(super) fn entries(&mut self, at: &At, list: Vec<Node>) -> Option<Vec<(At, Node)>> {
        if list.is_empty() {
            return self.faults.refuse(at, Code::Empty, "is an empty list");
        }
        if list.len() > MAX_VALUES {
            let reason = format!("has {} entries: at most {MAX_VALUES} are read", list.len());
            return self.faults.refuse(at, Code::TooLong, reason);
        }
        Some(list.into_iter().enumerate().map(|(position, node)| (at.element(position), node)).collect())
    }

    pub(super) fn wrong_type<T>(&mut self, at: &At, found: &Node, expected: &str) -> Option<T> {
        let reason = format!("is {}: {expected} is expected", found.kind());
        self.faults.refuse(at, Code::WrongType, reason)
    }

    /// A text of a plain member.
    pub(super) fn plain(&mut self, members: &mut Members, name: &'static str) -> Option<(At, String)> {
        let (at, node) = members.take(name)?;
        self.text(&at, node, LONGEST_NAME).map(|text| (at, text))
    }
}
