//! Times of day: `{"from": "08:00", "to": "18:00", "days": ["mon"]}`, or `{"outside": {…}}`.

use super::walk::{At, Members};
use super::{Code, Reader};
use crate::json::Node;
use crate::template::Hours;
use crate::text::display_safe_within;
use crate::zone::{DAYS, two_digits};

/// A day, in minutes.
const DAY: u16 = 24 * 60;

impl Reader<'_> {
    pub(super) fn hours(&mut self, at: &At, node: Node) -> Option<Hours> {
        let known = ["from", "to", "days", "outside"];
        let mut members = self.members(at.clone(), node, &known)?;
        let Some((outside, node)) = members.take("outside") else { return self.span(at, members) };
        if !members.is_empty() {
            let reason = "has `outside` beside other members: they belong into it";
            return self.faults.refuse(at, Code::Contradiction, reason);
        }
        let members = self.members(outside.clone(), node, &["from", "to", "days"])?;
        self.span(&outside, members).map(|hours| Hours { outside: true, ..hours })
    }

    fn span(&mut self, at: &At, mut members: Members) -> Option<Hours> {
        if members.is_empty() {
            let reason = "is empty: name `from` and `to`, `days`, or all of them";
            return self.faults.refuse(at, Code::Empty, reason);
        }
        let before = self.faults.count();
        let has = [members.has("from"), members.has("to")];
        let from = self.time(&mut members, "from", DAY - 1);
        let to = self.time(&mut members, "to", DAY);
        if has == [true, false] || has == [false, true] {
            self.faults.add(
                at,
                Code::Missing,
                "has one of `from` and `to`: name both, or none for whole days",
            );
        }
        if let (Some(from), Some(to)) = (from, to)
            && from == to
        {
            let reason = "begins where it ends: leave out both for whole days";
            self.faults.add(at, Code::NeverHolds, reason);
        }
        let days = match members.take("days") {
            Some((at, node)) => {
                let words: Vec<_> = DAYS.into_iter().zip(1..).collect();
                let mut days = self.any_of(&at, node, |reader, at, text| reader.word(at, text, &words))?;
                days.sort_unstable();
                Some(days)
            }
            None => None,
        };
        (self.faults.count() == before).then_some(Hours { minutes: from.zip(to), days, outside: false })
    }

    /// `HH:MM`, as minutes after midnight.
    fn time(&mut self, members: &mut Members, name: &'static str, last: u16) -> Option<u16> {
        let (at, text) = self.plain(members, name)?;
        let digits = |text: &str| two_digits(text).map(u16::from);
        let parts = text.split_once(':').and_then(|(hours, minutes)| digits(hours).zip(digits(minutes)));
        let minutes = parts.filter(|(_, minutes)| *minutes < 60).map(|(hours, minutes)| hours * 60 + minutes);
        if minutes.is_none_or(|minutes| minutes > last) {
            let shown = display_safe_within(&text, 40);
            let reason = format!(
                "is `{shown}`: write a time of day from `00:00` to `{:02}:{:02}`",
                last / 60,
                last % 60
            );
            return self.faults.refuse(&at, Code::BadValue, reason);
        }
        minutes
    }
}
