//! How the dashboard looks: pure, from what is known to lines of exactly the terminal's width.

use std::fmt::Write as _;

use agentauth_api::SessionPhase;
use agentauth_core::text::display_safe_within;
use agentauth_core::{SignedDuration, Timestamp};
use anstyle::Style;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::board::{Board, Decision};
use crate::cli::output::{BAD, FAINT, GOOD, STRONG, WARN};
use crate::cli::words::{account, age, count, span};

/// The smallest terminal that anything can be shown on.
const SMALLEST: Size = Size { width: 40, height: 10 };
/// The most characters of a text that is shown.
const LONGEST: usize = 256;
/// The most rows of agents, and of questions.
const AGENTS: usize = 5;
const QUESTIONS: usize = 3;

/// How large the terminal is, in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// A line: pieces of text, each in its style.
type Line = Vec<(Style, String)>;

/// How the rows are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rows {
    agents: usize,
    questions: usize,
    decisions: usize,
}

fn rows(board: &Board, height: usize) -> Rows {
    // Title, login, totals, two headings and the line at the bottom.
    let free = height.saturating_sub(6);
    let agents = board.tallies.len().clamp(1, AGENTS).min(free / 3);
    let questions = board.consents.len().min(QUESTIONS).min(free / 4);
    let heading = usize::from(questions > 0);
    Rows { agents, questions, decisions: free.saturating_sub(agents + questions + heading) }
}

/// How many decisions are shown at once.
pub(super) fn page(board: &Board, size: Size) -> usize {
    rows(board, size.height).decisions.max(1)
}

/// The whole screen, as text for a terminal. `local` writes an instant as a time of day.
pub(super) fn frame(
    board: &Board,
    now: Timestamp,
    size: Size,
    colour: bool,
    local: fn(Timestamp) -> String,
) -> String {
    let mut text = String::new();
    for (place, line) in lines(board, now, size, local).iter().enumerate() {
        if place > 0 {
            text.push_str("\r\n");
        }
        for (style, piece) in line {
            if colour && *style != Style::new() {
                // Writing to a `String` does not fail.
                let _ = write!(text, "{style}{piece}{style:#}");
            } else {
                text.push_str(piece);
            }
        }
        text.push_str("\x1b[K");
    }
    text
}

fn lines(board: &Board, now: Timestamp, size: Size, local: fn(Timestamp) -> String) -> Vec<Line> {
    let Size { width, height } = size;
    let plain = Style::new();
    if width < SMALLEST.width || height < SMALLEST.height {
        let told = format!("too small: {} x {}", SMALLEST.width, SMALLEST.height);
        return vec![vec![(plain, fit(&told, width))]];
    }
    let rows = rows(board, height);
    let mut lines = vec![title(board, now, width), login(board, now, width), totals(board, now, width)];
    agents(&mut lines, board, rows.agents, now, width);
    if rows.questions > 0 {
        questions(&mut lines, board, rows.questions, now, width);
    }
    lines.push(heading(board, width));
    let shown = board.shown().skip(board.scrolled).take(rows.decisions);
    lines.extend(shown.map(|decision| row(decision, width, local)));
    let blank = height.saturating_sub(lines.len() + 1);
    lines.extend(std::iter::repeat_n(vec![(plain, " ".repeat(width))], blank));
    lines.truncate(height.saturating_sub(1));
    lines.push(bottom(board, width));
    lines
}

fn title(board: &Board, now: Timestamp, width: usize) -> Line {
    let Some(status) = &board.status else {
        return vec![(STRONG, fit("agentauthd", width))];
    };
    let name = format!("agentauthd {}", safe(&status.version));
    let about = format!("  profile {}, up {}", safe(&status.profile), age(now, status.started_at));
    let locked = if status.locked { "  everything is paused: `agentauthd unlock`" } else { "" };
    fitted(vec![(STRONG, name), (FAINT, about), (BAD, locked.to_owned())], width)
}

fn login(board: &Board, now: Timestamp, width: usize) -> Line {
    if let Some(why) = &board.away {
        return vec![(BAD, fit(&format!("no answer: {}", safe(why)), width))];
    }
    let Some(status) = &board.status else { return vec![(FAINT, fit("asking…", width))] };
    let session = &status.session;
    let who = session.user.as_ref().map(account);
    let left = |at: Timestamp| span(at.duration_since(now).max(SignedDuration::ZERO));
    let mut text = String::new();
    for (what, at) in [
        ("session ends in", session.expires_at),
        ("refresh in", session.next_refresh_at),
        ("login ends in", session.login_ends_at),
    ] {
        if let Some(at) = at {
            let _ = write!(text, ", {what} {}", left(at));
        }
    }
    let (style, said) = match session.phase {
        SessionPhase::Active => (GOOD, who.unwrap_or_else(|| "logged in".to_owned())),
        SessionPhase::Unverified => {
            (WARN, who.map_or("not verified yet".to_owned(), |who| format!("{who}, not verified yet")))
        }
        SessionPhase::Over => (BAD, "the login is over: `agentauthd login`".to_owned()),
        SessionPhase::LoggedOut => (WARN, "nobody is logged in: `agentauthd login`".to_owned()),
    };
    fitted(vec![(style, said), (Style::new(), text)], width)
}

fn totals(board: &Board, now: Timestamp, width: usize) -> Line {
    let mut pieces = vec![
        (GOOD, format!("{} allowed", board.total.allowed)),
        (Style::new(), "  ".to_owned()),
        (if board.total.denied > 0 { BAD } else { FAINT }, format!("{} denied", board.total.denied)),
    ];
    if let Some(why) = &board.record_ended {
        pieces.push((BAD, format!("  the record cannot be read: {}", safe(why))));
    }
    if let Some(status) = &board.status {
        let record = if status.audit.writable {
            (FAINT, format!("  record {}", status.audit.records))
        } else {
            (BAD, "  nothing can be recorded: everything is denied".to_owned())
        };
        let keys =
            status.keys.fetched_at.map(|at| format!(", keys {} old", age(now, at))).unwrap_or_default();
        pieces.push(record);
        pieces.push((FAINT, keys));
        if !status.problems.is_empty() {
            pieces.push((BAD, format!("  {}: `agentauthd status`", count(status.problems.len(), "problem"))));
        }
    }
    fitted(pieces, width)
}

fn agents(lines: &mut Vec<Line>, board: &Board, rows: usize, now: Timestamp, width: usize) {
    let name_width = width.saturating_sub(36).min(30);
    let head =
        format!("{} {:>7} {:>9} {:>9}  {}", fit("AGENT", name_width), "GRANTS", "ALLOWED", "DENIED", "LAST");
    lines.push(vec![(FAINT, fit(&head, width))]);
    let mut tallies: Vec<_> = board.tallies.iter().collect();
    tallies.sort_by(|(one_name, one), (other_name, other)| {
        other.last.cmp(&one.last).then(one_name.cmp(other_name))
    });
    let hidden = tallies.len().saturating_sub(rows);
    for (place, (name, tally)) in tallies.into_iter().take(rows).enumerate() {
        let registered = board.status.as_ref().and_then(|status| {
            status
                .agents
                .iter()
                .find(|agent| safe(&agent.name) == *name)
                .map(|agent| agent.grants.to_string())
        });
        let last = tally.last.map(|at| format!("{} ago", age(now, at))).unwrap_or_default();
        let more =
            if hidden > 0 && place + 1 == rows { format!("  and {hidden} more") } else { String::new() };
        let text = format!(
            "{} {:>7} {:>9} {:>9}  {last}{more}",
            fit(name, name_width),
            registered.unwrap_or_default(),
            tally.allowed,
            tally.denied
        );
        let chosen = board.filter.agent.as_deref() == Some(name);
        lines.push(vec![(if chosen { STRONG } else { Style::new() }, fit(&text, width))]);
    }
    if board.tallies.is_empty() {
        lines.push(vec![(FAINT, fit("no agent is registered", width))]);
    }
}

fn questions(lines: &mut Vec<Line>, board: &Board, rows: usize, now: Timestamp, width: usize) {
    let waiting = board.consents.len();
    let wait = if waiting == 1 { "waits" } else { "wait" };
    let head = format!("{} {wait} for you: `agentauthd consents`", count(waiting, "question"));
    lines.push(vec![(WARN, fit(&head, width))]);
    for consent in board.consents.iter().take(rows) {
        let scopes: Vec<&str> = consent.scopes.iter().map(|scope| scope.scope.as_str()).collect();
        let left = span(consent.expires_at.duration_since(now).max(SignedDuration::ZERO));
        let text = format!("  {} asks for {} ({left} left)", safe(&consent.agent), safe(&scopes.join(" ")));
        lines.push(vec![(Style::new(), fit(&text, width))]);
    }
}

fn heading(board: &Board, width: usize) -> Line {
    let mut pieces = vec![(FAINT, "DECISIONS".to_owned())];
    if let Some(words) = board.filter.words() {
        pieces.push((STRONG, format!("  only {words}")));
    }
    if board.paused {
        pieces.push((WARN, format!("  held, {} since", board.unseen)));
    }
    if board.scrolled > 0 {
        pieces.push((WARN, format!("  {} newer above", board.scrolled)));
    }
    fitted(pieces, width)
}

fn row(decision: &Decision, width: usize, local: fn(Timestamp) -> String) -> Line {
    let (style, verdict) = if decision.allow { (GOOD, "allow") } else { (BAD, "deny ") };
    let agent_width = (width / 5).min(24);
    let mut reason = decision.reason.clone();
    if decision.dry_run {
        reason.push_str(" (trial)");
    }
    if decision.count > 1 {
        let _ = write!(reason, " ×{}", decision.count);
    }
    let reason_width = (width / 5).clamp(17, 24);
    fitted(
        vec![
            (FAINT, format!("{} ", local(decision.time))),
            (style, format!("{verdict} ")),
            (Style::new(), format!("{} ", fit(&decision.agent, agent_width))),
            (FAINT, format!("{} ", fit(&reason, reason_width))),
            (Style::new(), decision.scopes.clone()),
        ],
        width,
    )
}

fn bottom(board: &Board, width: usize) -> Line {
    match &board.typing {
        Some(text) => {
            fitted(vec![(STRONG, format!("text: {}", safe(text))), (FAINT, "▏ Enter, Esc".to_owned())], width)
        }
        None => {
            let keys = "q quit  space hold  a agent  d deny/allow  / text  Esc all  ↑↓ scroll";
            vec![(FAINT, fit(keys, width))]
        }
    }
}

fn safe(text: &str) -> String {
    display_safe_within(text, LONGEST)
}

/// Pieces cut and filled up to a width.
fn fitted(pieces: Line, width: usize) -> Line {
    let mut line = Line::new();
    let mut left = width;
    for (style, text) in pieces {
        let text = if text.width() > left { fit(&text, left) } else { text };
        left = left.saturating_sub(text.width());
        line.push((style, text));
    }
    line.push((Style::new(), " ".repeat(left)));
    line
}

/// Text of exactly this many cells: cut, with a mark, or filled up.
fn fit(text: &str, width: usize) -> String {
    let taken = text.width();
    if taken <= width {
        return format!("{text}{}", " ".repeat(width - taken));
    }
    let mut cut = String::new();
    let mut left = width.saturating_sub(1);
    for character in text.chars() {
        let cells = character.width().unwrap_or(0);
        if cells > left {
            break;
        }
        left -= cells;
        cut.push(character);
    }
    if width > 0 {
        cut.push('…');
    }
    cut + &" ".repeat(left)
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
