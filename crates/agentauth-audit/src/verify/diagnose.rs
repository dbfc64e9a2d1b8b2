//! What was done where the chain breaks, seen from what follows.

use super::damage::{Damage, DamageKind};
use super::missing_file;
use super::scan::{Part, each_line};
use crate::chain::{self, Flaw, Frame};
use crate::{Appended, Kind};

/// How the break shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A line that proves nothing about itself.
    Line(Flaw),
    /// A line that is right by itself and does not follow the one before.
    Link,
    /// The file ends within a line.
    Unfinished,
    /// The file ends before its last record.
    End,
    /// The compressed form of the file cannot be read on.
    Corrupt,
}

/// What follows the break.
#[derive(Default)]
struct Ahead {
    /// The line at the break, if it is right by itself.
    here: Option<Frame>,
    /// Whether that line begins a file.
    begins: bool,
    /// The next line that is right by itself, after the one at the break.
    next: Option<Frame>,
    /// Whether the record that is expected at the break comes later: as the next, or further on.
    expected: bool,
    /// Whether the record at the break comes once more.
    again: bool,
}

/// Says what was done at line `line` of the file `index`, where the record after `last` (`expected`: its number and the
/// hash before it) should stand.
pub(super) fn diagnose(
    parts: &[Part],
    index: usize,
    line: u64,
    expected: Appended,
    last: Option<Appended>,
    trouble: Trouble,
) -> Damage {
    let path = parts.get(index).map(|part| part.path().to_owned()).unwrap_or_default();
    let damage = |kind, seq: u64, line: u64, detail: &str| Damage {
        kind,
        path: path.clone(),
        line,
        seq,
        detail: detail.to_owned(),
    };
    let n = expected.seq;
    if let (1, Some(Part::Closed(closed))) = (line, parts.get(index))
        && closed.first > n
    {
        return missing_file(&closed.path, n, closed.first - 1);
    }
    match trouble {
        Trouble::Unfinished => {
            return damage(DamageKind::Truncated, n, line, "the file ends within a record");
        }
        Trouble::End => {
            return damage(
                DamageKind::Truncated,
                n,
                line,
                "the file ends before the last record of its name",
            );
        }
        Trouble::Corrupt => {
            return damage(DamageKind::Edited, n, line, "its compressed form is damaged");
        }
        Trouble::Line(_) | Trouble::Link => {}
    }
    let ahead = look_ahead(parts, index, line, expected);
    if let Trouble::Line(flaw) = trouble {
        let follows = ahead.next.is_some_and(|next| (next.seq, next.prev) == (n, expected.hash));
        return if follows {
            damage(DamageKind::Inserted, n, line, "a line that is no record stands before it")
        } else {
            damage(DamageKind::Edited, n, line, &flaw.to_string())
        };
    }
    let Some(here) = ahead.here else {
        return damage(DamageKind::Edited, n, line, "it cannot be read");
    };
    let comes_next = ahead.next.is_some_and(|next| (next.seq, next.prev) == (n, expected.hash));
    if here.seq < n {
        return damage(
            DamageKind::Inserted,
            n,
            line,
            &format!("record {} stands here once more, or another in its name", here.seq),
        );
    }
    if here.seq == n {
        if comes_next || ahead.expected {
            return damage(DamageKind::Inserted, n, line, "another record of this number stands before it");
        }
        let goes_on = ahead.next.is_none_or(|next| (next.seq, next.prev) == (here.seq + 1, here.hash));
        return match last {
            Some(last) if goes_on => {
                let (path, line) = place_before(parts, index, line);
                Damage {
                    path,
                    ..damage(
                        DamageKind::Edited,
                        last.seq,
                        line,
                        "it was changed together with its hash: the next record does not follow it",
                    )
                }
            }
            _ => damage(DamageKind::Edited, n, line, "another record is in its place"),
        };
    }
    if ahead.expected {
        return if comes_next && ahead.again {
            damage(DamageKind::Inserted, n, line, &format!("a copy of record {} stands before it", here.seq))
        } else {
            damage(DamageKind::Reordered, n, line, &format!("record {} stands in its place", here.seq))
        };
    }
    if line == 1 && ahead.begins {
        return missing_file(&path, n, here.seq - 1);
    }
    damage(DamageKind::Deleted, n, line, &format!("the records {n} to {} are missing", here.seq - 1))
}

/// Where the record before this line stands.
fn place_before(parts: &[Part], index: usize, line: u64) -> (std::path::PathBuf, u64) {
    let path = |index: usize| parts.get(index).map(|part| part.path().to_owned()).unwrap_or_default();
    if line > 1 {
        return (path(index), line - 1);
    }
    let before = index.saturating_sub(1);
    let mut lines = 0;
    if let Some(part) = parts.get(before) {
        // What cannot be read was told before.
        _ = each_line(part, |_| {
            lines += 1;
            true
        });
    }
    (path(before), lines.max(1))
}

fn look_ahead(parts: &[Part], index: usize, line: u64, expected: Appended) -> Ahead {
    let mut ahead = Ahead::default();
    for (number, part) in parts.iter().enumerate().skip(index) {
        let mut at = 0;
        // A file that cannot be read on has nothing to say.
        _ = each_line(part, |text| {
            at += 1;
            if number == index && at < line {
                return true;
            }
            let frame = Frame::parse(text).ok();
            if number == index && at == line {
                ahead.here = frame;
                ahead.begins = chain::kind(text) == Some(Kind::ChainContinued);
                return true;
            }
            if let Some(frame) = frame {
                ahead.next.get_or_insert(frame);
                ahead.expected |= (frame.seq, frame.prev) == (expected.seq, expected.hash);
                ahead.again |= ahead.here.is_some_and(|here| here == frame);
            }
            true
        });
    }
    ahead
}
