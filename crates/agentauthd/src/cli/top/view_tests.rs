//! What is seen on screens of various sizes, and what keys make of it.

use agentauth_api::Status;
use agentauth_audit::{AuditLog, Event, Kind, Trail, Verdict};
use agentauth_client::{Consent, ConsentList};
use serde_json::json;

use super::super::board::{Flow, Happening};
use super::super::keys::Key;
use super::*;

const SCREEN: Size = Size { width: 80, height: 24 };

fn at(text: &str) -> Timestamp {
    format!("2026-03-01T{text}Z").parse().unwrap()
}

fn local(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

fn status() -> Status {
    serde_json::from_value(json!({
        "version": "0.1.0", "pid": 1, "started_at": "2026-03-01T09:00:00Z", "profile": "default",
        "device": "device:uuid:1", "locked": false,
        "session": {
            "phase": "active", "user": {"subject": "U1", "name": "Ada Lovelace", "email": "ada@example.com"},
            "roles": [], "permissions": [], "logged_in_at": "2026-03-01T09:00:00Z",
            "expires_at": "2026-03-01T12:08:00Z", "next_refresh_at": "2026-03-01T12:06:00Z",
            "login_ends_at": "2026-03-05T12:00:00Z",
        },
        "provider": {"base_url": "https://api.descope.com", "redirect_uris": []},
        "keys": {"count": 1, "fetched_at": "2026-03-01T11:50:00Z"},
        "secret_store": {"kind": "keychain", "usable": true},
        "policy": {"count": 2, "sources": []},
        "audit": {"writable": true, "records": 41},
        "agents": [
            {"name": "payment-agent", "version": "1", "executable": "/a", "grants": 2},
            {"name": "reader", "version": "1", "executable": "/b", "grants": 1},
        ],
        "caller": {"pid": 2, "assurance": "unproven", "caveats": [], "grade": "terminal", "greeted": true},
        "problems": [],
    }))
    .unwrap()
}

fn question(agent: &str) -> Consent {
    serde_json::from_value(json!({
        "id": "ask_1", "text": [], "agent": agent, "version": "1", "manifest_digest": "d",
        "user": {"subject": "U1"}, "program": {"pid": 1, "executable": "/b", "assurance": "pinned", "started_by": []},
        "scopes": [{"scope": "files.write:/projects", "says": "", "risk": "write", "purpose": "", "news": "", "suggested": "once", "offers": []}],
        "asked_at": "2026-03-01T12:00:00Z", "expires_at": "2026-03-01T12:05:00Z",
    }))
    .unwrap()
}

/// A decision as it is in the record.
fn decision(time: &str, agent: Option<&str>, allow: bool, reason: &str, scope: &str) -> Happening {
    let directory = tempfile::tempdir().unwrap();
    let log = AuditLog::open(directory.path(), at(time)).unwrap();
    let event = Event {
        actor: Some(agentauth_audit::Actor {
            agents: agent.into_iter().map(Into::into).collect(),
            ..agentauth_audit::Actor::default()
        }),
        decision: Some(if allow { Verdict::Allow } else { Verdict::Deny }),
        reason: Some(reason.into()),
        scopes: vec![scope.into()],
        ..Event::new(Kind::Decision, at(time))
    };
    log.append(&event).unwrap();
    let entries = Trail::new(directory.path()).entries().unwrap();
    let entry = entries.map(Result::unwrap).find(|entry| entry.event.kind == Kind::Decision).unwrap();
    Happening::Record(Box::new(entry))
}

fn board() -> Board {
    let mut board = Board::default();
    for happening in [
        Happening::Status(Ok(Box::new(status()))),
        decision("11:59:10", Some("payment-agent"), true, "granted", "payments.execute:currency=EUR"),
        decision("11:59:20", Some("payment-agent"), false, "role_required", "admin.manage"),
        decision("11:59:30", Some("reader"), true, "granted", "files.read:/projects/alpha"),
        decision("11:59:59", None, false, "agent_unknown", "files.read:/\u{1b}[2J\u{202e}etc"),
    ] {
        assert_eq!(board.take(happening, 10), Flow::Continue);
    }
    board
}

/// The screen, without the blanks at the ends of its lines.
fn screen(board: &Board, size: Size) -> Vec<String> {
    let lines = lines(board, at("12:00:00"), size, local);
    lines
        .iter()
        .map(|line| {
            let text: String = line.iter().map(|(_, piece)| piece.as_str()).collect();
            assert_eq!(text.width(), size.width, "`{text}`");
            text.trim_end().to_owned()
        })
        .collect()
}

#[track_caller]
fn press(board: &mut Board, keys: &[Key]) {
    for key in keys {
        assert_eq!(board.take(Happening::Key(*key), 10), Flow::Continue);
    }
}

fn decisions(board: &Board) -> Vec<String> {
    let shown = screen(board, SCREEN);
    let from = shown.iter().position(|line| line.starts_with("DECISIONS")).unwrap();
    shown[from..shown.len() - 1].iter().filter(|line| !line.is_empty()).cloned().collect()
}

#[test]
fn everything_fits_on_the_smallest_usual_screen() {
    let shown = screen(&board(), SCREEN);
    assert_eq!(shown.len(), 24);
    assert_eq!(
        shown[..13],
        [
            "agentauthd 0.1.0  profile default, up 3 h",
            "Ada Lovelace <ada@example.com>, session ends in 8 min, refresh in 6 min, login …",
            "2 allowed  2 denied  record 41, keys 10 min old",
            "AGENT                           GRANTS   ALLOWED    DENIED  LAST",
            "(no agent)                                     0         1  1 s ago",
            "reader                               1         1         0  30 s ago",
            "payment-agent                        2         1         1  40 s ago",
            "DECISIONS",
            "11:59:59 deny  (no agent)       agent_unknown     files.read:/\\u{1b}[2J\\u{202e}…",
            "11:59:30 allow reader           granted           files.read:/projects/alpha",
            "11:59:20 deny  payment-agent    role_required     admin.manage",
            "11:59:10 allow payment-agent    granted           payments.execute:currency=EUR",
            "",
        ]
    );
    assert_eq!(shown[23], "q quit  space hold  a agent  d deny/allow  / text  Esc all  ↑↓ scroll");
}

#[test]
fn questions_and_troubles_are_shown_where_they_are() {
    let mut board = board();
    let consents = vec![question("reader"), question("pay\u{1b}[31m")];
    board.take(Happening::Consents(ConsentList { revision: 1, consents }), 10);
    let paused = Status { locked: true, problems: vec!["x".to_owned()], ..status() };
    board.take(Happening::Status(Ok(Box::new(paused))), 10);
    let shown = screen(&board, SCREEN);
    for line in [
        "agentauthd 0.1.0  profile default, up 3 h  everything is paused: `agentauthd un…",
        "2 questions wait for you: `agentauthd consents`",
        "  reader asks for files.write:/projects (5 min left)",
        "  pay\\u{1b}[31m asks for files.write:/projects (5 min left)",
    ] {
        assert!(shown.iter().any(|one| one == line), "{line} is not in {shown:#?}");
    }
    assert!(shown[2].ends_with("1 problem: `agentauthd status`"), "{}", shown[2]);
    board.take(Happening::Status(Err("gone\u{7}".to_owned())), 10);
    board.take(Happening::RecordEnded("no".to_owned()), 10);
    let shown = screen(&board, SCREEN);
    assert_eq!(shown[1], "no answer: gone\\u{7}");
    assert!(shown[2].contains("the record cannot be read: no"), "{}", shown[2]);
}

#[test]
fn filters_leave_what_they_name() {
    let mut board = board();
    press(&mut board, &[Key::Char('d')]);
    assert_eq!(decisions(&board).len(), 3);
    assert_eq!(decisions(&board)[0], "DECISIONS  only deny");
    press(&mut board, &[Key::Char('d')]);
    assert!(decisions(&board)[1..].iter().all(|line| line.contains(" allow ")));
    press(&mut board, &[Key::Escape, Key::Char('a'), Key::Char('a')]);
    assert_eq!(decisions(&board)[0], "DECISIONS  only payment-agent");
    assert_eq!(decisions(&board).len(), 3);
    press(&mut board, &[Key::Char('a'), Key::Char('a')]);
    assert_eq!(decisions(&board).len(), 5, "after the last agent come all");

    press(&mut board, &[Key::Char('/'), Key::Char('A'), Key::Char('l'), Key::Char('x'), Key::Backspace]);
    assert_eq!(screen(&board, SCREEN)[23], "text: Al▏ Enter, Esc");
    press(&mut board, &[Key::Char('p'), Key::Enter]);
    assert_eq!(decisions(&board)[0], "DECISIONS  only `Alp`");
    assert!(decisions(&board)[1].ends_with("files.read:/projects/alpha"));
    // While a text is typed, keys are letters; Escape gives it up.
    press(&mut board, &[Key::Char('/'), Key::Char('q'), Key::Escape]);
    assert_eq!(board.filter.text, "Alp");
    press(&mut board, &[Key::Escape]);
    assert_eq!(decisions(&board).len(), 5);
}

#[test]
fn what_is_held_stands_still_and_nothing_is_lost() {
    let mut board = board();
    let before = decisions(&board);
    press(&mut board, &[Key::Char(' ')]);
    board.take(decision("12:00:00", Some("reader"), false, "stale", "files.read:/x"), 10);
    assert_eq!(decisions(&board)[1..], before[1..]);
    assert_eq!(decisions(&board)[0], "DECISIONS  held, 1 since");
    assert!(screen(&board, SCREEN)[2].starts_with("2 allowed  3 denied"), "the totals go on");
    press(&mut board, &[Key::Char(' ')]);
    assert_eq!(decisions(&board).len(), before.len() + 1);
    assert!(decisions(&board)[1].contains("stale"));
}

#[test]
fn one_looks_back_and_stays_there() {
    let mut board = Board::default();
    for number in 0..60 {
        board.take(decision("12:00:00", Some("a"), true, "granted", &format!("files.read:/{number}")), 10);
    }
    let first = |board: &Board| decisions(board)[1].clone();
    assert!(first(&board).ends_with("/59"));
    press(&mut board, &[Key::Down, Key::Down]);
    assert!(first(&board).ends_with("/57"), "{}", first(&board));
    board.take(decision("12:00:00", Some("a"), true, "granted", "files.read:/60"), 10);
    assert!(first(&board).ends_with("/57"));
    assert!(decisions(&board)[0].ends_with("3 newer above"));
    press(&mut board, &[Key::End]);
    assert!(first(&board).ends_with("/0"));
    press(&mut board, &[Key::PageUp, Key::Home]);
    assert!(first(&board).ends_with("/60"));
    assert_eq!(board.take(Happening::Key(Key::Char('q')), 10), Flow::Quit);
    assert_eq!(board.take(Happening::Key(Key::Interrupt), 10), Flow::Quit);
}

#[test]
fn agents_that_come_and_go_take_a_bounded_place() {
    let mut board = board();
    for number in 0..300 {
        board.take(decision("12:00:00", Some(&format!("agent{number}")), false, "stale", "a.b"), 10);
    }
    assert!(board.tallies.len() <= 65, "{}", board.tallies.len());
    let counted: u64 = board.tallies.values().map(|tally| tally.denied).sum();
    assert_eq!(counted, board.total.denied);
}

#[test]
fn every_size_is_filled_exactly() {
    let mut board = board();
    board.take(Happening::Consents(ConsentList { revision: 1, consents: vec![question("読者"); 5] }), 10);
    for width in [1, 39, 40, 57, 80, 133, 300] {
        for height in [1, 9, 10, 11, 24, 25, 60] {
            let size = Size { width, height };
            let shown = screen(&board, size);
            assert!(shown.len() == height || shown.len() == 1, "{size:?}: {} lines", shown.len());
            assert!(page(&board, size) >= 1);
        }
    }
}

#[test]
fn colour_is_for_terminals_that_show_it() {
    let plain = frame(&board(), at("12:00:00"), SCREEN, false, local);
    assert!(!plain.replace("\x1b[K", "").contains('\x1b'), "{plain:?}");
    let coloured = frame(&board(), at("12:00:00"), SCREEN, true, local);
    assert!(coloured.contains("\x1b[31m") || coloured.contains("\x1b[1m"), "{coloured:?}");
    assert_eq!(plain.matches("\r\n").count(), 23);
}
