//! Watching: the dashboard on a real terminal, and `status --watch` where there is none.

use std::time::{Duration, Instant};

use e2e::cli::Running;
use e2e::terminal::Terminal;
use e2e::{ALICE, World, wait};
use rustix::process::Signal;
use serde_json::Value;

const PAY: &str = "payments.execute:currency=EUR";

fn has(screen: &[String], words: &[&str]) -> bool {
    screen.iter().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn decisions_are_seen_as_they_come_and_the_terminal_is_as_before() {
    let world = World::start();
    world.login(ALICE);
    assert_eq!(world.check("admin.manage")["reason"], "role_required");
    let mut terminal = Terminal::start(&world.command(&["top"]), "COMMAND; echo \"code=$?\"; stty -a");
    let screen = terminal
        .until("decision from before", |screen| has(screen, &["deny", "probe-agent", "role_required"]));
    assert!(screen.len() <= 24 && screen.iter().all(|line| line.chars().count() <= 80), "{screen:#?}");
    assert!(has(&screen, &["session ends in"]), "{screen:#?}");

    // As it comes.
    assert_eq!(world.check(PAY)["decision"], "allow");
    terminal.until("allow", |screen| has(screen, &["allow", "probe-agent", "granted", PAY]));
    // Only denies; then, by a text that nothing has in it, none.
    terminal.press("d");
    terminal.until("filter", |screen| {
        has(screen, &["only deny"]) && has(screen, &["role_required"]) && !has(screen, &["granted"])
    });
    terminal.press("/nothing-like-it\r");
    terminal.until("filter by text", |screen| {
        has(screen, &["only deny, `nothing-like-it`"]) && !has(screen, &["role_required"])
    });
    terminal.press("\x1b");
    terminal.until("everything again", |screen| has(screen, &["granted"]) && has(screen, &["role_required"]));
    terminal.press(" ");
    terminal.until("hold", |screen| has(screen, &["held, 0 since"]));

    // Another session, told at once.
    assert_eq!(world.cli(&["logout"]).code, Some(0));
    terminal.until("logout", |screen| has(screen, &["nobody is logged in"]));

    terminal.press("q");
    let outcome = terminal.finish();
    assert!(outcome.stdout.contains("\x1b[?1049h") && outcome.stdout.contains("code=0"), "{outcome:?}");
    restored(&outcome.stdout);
}

/// The other screen was left, the cursor is back, and the terminal echoes lines again.
#[track_caller]
fn restored(shown: &str) {
    let left = shown.rfind("\x1b[?1049l").expect("the other screen was left");
    assert!(left > shown.rfind("\x1b[?1049h").unwrap() && shown[..left].contains("\x1b[?25h"));
    let modes: Vec<&str> = shown[left..].split_whitespace().collect();
    for mode in ["icanon", "echo", "isig", "opost"] {
        assert!(modes.contains(&mode), "{mode} is not among {modes:?}");
    }
}

#[test]
fn a_signal_leaves_the_terminal_in_order() {
    let world = World::start();
    let mut terminal =
        Terminal::start(&world.command(&["top"]), "timeout --foreground --signal=TERM 5 COMMAND; stty -a");
    terminal.until("picture", |screen| has(screen, &["nobody is logged in"]));
    restored(&terminal.finish().stdout);
}

#[test]
fn a_daemon_that_hangs_keeps_nobody_from_quitting() {
    let mut world = World::start();
    let mut terminal = Terminal::start(&world.command(&["top"]), "COMMAND; echo \"code=$?\"");
    terminal.until("picture", |screen| has(screen, &["nobody is logged in"]));
    world.daemon().signal(Signal::STOP);
    // By then it has been asked, and does not answer.
    std::thread::sleep(Duration::from_secs(2));
    let pressed = Instant::now();
    terminal.press("q");
    wait::until_true("the end", || terminal.shown().contains("code=0"));
    let took = pressed.elapsed();
    world.daemon().signal(Signal::CONT);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let world = World::start();
    let outcome = world.cli(&["top"]);
    assert_eq!(outcome.code, Some(64), "{outcome:?}");
    assert!(outcome.stderr.contains("status --watch"), "{outcome:?}");
}

#[test]
fn watching_without_a_terminal_adds_a_line_for_each_change_and_none_without() {
    let world = World::start();
    let mut watch = Running::start(world.command(&["status", "--watch", "--json"]));
    let lines = |watch: &mut Running| -> Vec<Value> {
        let shown = watch.so_far().stdout;
        let whole = shown.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    wait::until_true("the first", || !lines(&mut watch).is_empty());
    world.login(ALICE);
    wait::until_true("the login", || lines(&mut watch).last().unwrap()["session"]["phase"] == "active");
    world.check(PAY);
    let newest = world.status().audit.records;
    wait::until_true("the decision", || lines(&mut watch).last().unwrap()["audit"]["records"] == newest);
    let lines = lines(&mut watch);
    for pair in lines.windows(2) {
        assert_ne!(pair[0], pair[1], "each line says something new");
    }
    let mut plain = Running::start(world.command(&["status", "--watch"]));
    wait::until_true("the text", || plain.so_far().stdout.contains("login"));
    assert!(!plain.so_far().stdout.contains('\x1b'));
}
