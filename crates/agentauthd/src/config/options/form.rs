//! The forms that options have: how a value is read and bounded, and shown as it would be written.

use std::fmt::Display;
use std::path::PathBuf;

use agentauth_core::SignedDuration;

use crate::config::value::{self, Shape, Value, Wrong};

/// A form.
pub(super) trait Form {
    /// What is read.
    type Read;
    /// How text from a variable or a flag is read.
    const SHAPE: Shape;
    /// Parses and bounds a value.
    fn read(&self, value: &Value) -> Result<Self::Read, Wrong>;
    /// The value that is read as this.
    fn show(&self, read: &Self::Read) -> Value;
}

/// [`Form::SHAPE`] of a form at hand.
pub(super) const fn shape_of<F: Form>(_form: &F) -> Shape {
    F::SHAPE
}

/// `true` or `false`.
pub(super) struct Switch;

impl Form for Switch {
    type Read = bool;
    const SHAPE: Shape = Shape::Switch;

    fn read(&self, value: &Value) -> Result<bool, Wrong> {
        value::switch(value)
    }

    fn show(&self, read: &bool) -> Value {
        Value::Switch(*read)
    }
}

/// A whole number from one to another, both included.
pub(super) struct Number<T>(pub(super) T, pub(super) T);

impl<T: Copy + Display + PartialOrd + TryFrom<i64> + TryInto<i64>> Form for Number<T> {
    type Read = T;
    const SHAPE: Shape = Shape::Integer;

    fn read(&self, value: &Value) -> Result<T, Wrong> {
        value::number(value, self.0, self.1)
    }

    fn show(&self, read: &T) -> Value {
        Value::Integer((*read).try_into().unwrap_or(i64::MAX))
    }
}

/// A duration from one to another.
pub(super) struct Span(pub(super) SignedDuration, pub(super) SignedDuration);

impl Form for Span {
    type Read = SignedDuration;
    const SHAPE: Shape = Shape::Text;

    fn read(&self, value: &Value) -> Result<SignedDuration, Wrong> {
        value::duration(value, self.0, self.1)
    }

    fn show(&self, read: &SignedDuration) -> Value {
        Value::Text(format!("{read:#}"))
    }
}

/// A number of bytes from one to another.
pub(super) struct Size(pub(super) u64, pub(super) u64);

impl Form for Size {
    type Read = u64;
    const SHAPE: Shape = Shape::Text;

    fn read(&self, value: &Value) -> Result<u64, Wrong> {
        value::size(value, self.0, self.1)
    }

    fn show(&self, read: &u64) -> Value {
        Value::Text(value::size_text(*read))
    }
}

/// An absolute path.
pub(super) struct Place;

impl Form for Place {
    type Read = PathBuf;
    const SHAPE: Shape = Shape::Text;

    fn read(&self, value: &Value) -> Result<PathBuf, Wrong> {
        value::path(value)
    }

    fn show(&self, read: &PathBuf) -> Value {
        Value::Text(read.to_string_lossy().into_owned())
    }
}

/// One of a closed set, each with its word.
pub(super) struct Word<T: 'static>(pub(super) &'static [T], pub(super) fn(T) -> &'static str);

impl<T: Copy> Form for Word<T> {
    type Read = T;
    const SHAPE: Shape = Shape::Text;

    fn read(&self, value: &Value) -> Result<T, Wrong> {
        value::choice(value, self.0, self.1)
    }

    fn show(&self, read: &T) -> Value {
        Value::Text((self.1)(*read).to_owned())
    }
}

/// Text with rules of its own, by what reads it.
pub(super) struct Text<T>(pub(super) fn(&Value) -> Result<T, Wrong>);

impl<T: Display> Form for Text<T> {
    type Read = T;
    const SHAPE: Shape = Shape::Text;

    fn read(&self, value: &Value) -> Result<T, Wrong> {
        (self.0)(value)
    }

    fn show(&self, read: &T) -> Value {
        Value::Text(read.to_string())
    }
}

/// Of another form, or empty text for nothing.
pub(super) struct Maybe<F>(pub(super) F);

impl<F: Form> Form for Maybe<F> {
    type Read = Option<F::Read>;
    const SHAPE: Shape = F::SHAPE;

    fn read(&self, value: &Value) -> Result<Self::Read, Wrong> {
        value::optional(value, |value| self.0.read(value))
    }

    fn show(&self, read: &Self::Read) -> Value {
        read.as_ref().map_or_else(|| Value::Text(String::new()), |read| self.0.show(read))
    }
}

/// Any number of another form, none twice.
pub(super) struct List<F>(pub(super) F);

impl<F: Form<Read: PartialEq>> Form for List<F> {
    type Read = Vec<F::Read>;
    const SHAPE: Shape = match F::SHAPE {
        Shape::Integer => Shape::Integers,
        _ => Shape::Texts,
    };

    fn read(&self, value: &Value) -> Result<Self::Read, Wrong> {
        value::list(value, |value| self.0.read(value))
    }

    fn show(&self, read: &Self::Read) -> Value {
        Value::List(read.iter().map(|read| self.0.show(read)).collect())
    }
}

/// Of another form, if somebody else has nothing against it.
pub(super) struct Judged<F: Form>(pub(super) F, pub(super) fn(&F::Read) -> Result<(), Wrong>);

impl<F: Form> Form for Judged<F> {
    type Read = F::Read;
    const SHAPE: Shape = F::SHAPE;

    fn read(&self, value: &Value) -> Result<Self::Read, Wrong> {
        let read = self.0.read(value)?;
        (self.1)(&read).map(|()| read)
    }

    fn show(&self, read: &Self::Read) -> Value {
        self.0.show(read)
    }
}

/// A line of text.
pub(super) const LINE: Text<String> = Text(value::text);
