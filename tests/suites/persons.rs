//! Persons, recognised live: in real login sessions of a booted system, and from all the places where they are not
//! recognised. Whoever is refused has a way.

use std::process::Stdio;

use e2e::booted::{self, Account};
use e2e::household::{Household, READ};
use e2e::process::Owned;
use e2e::trials::{carried_out, said, signing_in};
use e2e::{ALICE, Errand};

/// Where a command line of ours is run, and how well it is shown to be the person's own there.
struct Place<'a> {
    name: &'static str,
    grade: &'static str,
    /// For [`NONE`], a part of what the refusal says.
    because: &'static str,
    start: Box<dyn Fn(&str) -> Owned + 'a>,
}

const LOGIN: &str = "login";
const TERMINAL: &str = "terminal";
const NONE: &str = "none";

#[test]
fn persons_are_recognised_in_login_sessions() {
    booted::run("in_a_booted_system_persons_are_recognised");
}

#[test]
#[ignore = "runs in the system that the test above boots"]
fn in_a_booted_system_persons_are_recognised() {
    let account = Account::make();
    let house = Household::with(Some(account.uid), |_| {});
    let manager = account.runtime_dir();
    assert!(account.manager_hides(), "as systemd's does, from version 254 on");
    let place = |name, grade, because, line: &'static str| {
        let (account, house, manager) = (&account, &house, manager.clone());
        let start = Box::new(move |errand: &str| {
            let told = [("LINE", errand), ("MANAGER", &manager), ("PLACE", &house.word(""))]
                .into_iter()
                .fold(line.to_owned(), |text, (name, value)| text.replace(name, value));
            account.log_in(&told)
        });
        Place { name, grade, because, start }
    };
    let console = Place {
        name: "a shell on a console, by login(1)",
        grade: LOGIN,
        because: "",
        start: Box::new(|line| account.log_in_at_a_console(line)),
    };
    let gone = "its login session was not what started it";
    let places = [
        console,
        place("a command over SSH", LOGIN, "", "LINE"),
        place("script(1) in an SSH login", LOGIN, "", "script -qc \"LINE\" /dev/null"),
        place("tmux in an SSH login", NONE, gone, "tmux -S PLACEmux new-session -d LINE; sleep 60"),
        // Its server stays a child of the login: a program of the person's like any other.
        place("screen in the foreground of an SSH login", LOGIN, "", "screen -D -m -S p LINE & sleep 60"),
        place("screen, detached, in an SSH login", NONE, gone, "screen -d -m -S q LINE; sleep 60"),
        place(
            "systemd-run --user --pty in an SSH login",
            NONE,
            "its terminal is not one of the recognised ones",
            "MANAGER systemd-run --user --pty --quiet LINE",
        ),
        place(
            "a graphical terminal that the user's own manager started",
            TERMINAL,
            "",
            "MANAGER systemd-run --user --quiet xterm -qc \"LINE\" /dev/null; sleep 60",
        ),
        place(
            "a service of the user's own manager",
            NONE,
            "it has no terminal",
            "MANAGER systemd-run --user --quiet LINE; sleep 60",
        ),
        place("setsid -f in an SSH login", NONE, "it has no terminal", "setsid -f LINE; sleep 60"),
        place("in the background of an SSH login", NONE, "foreground", "set -m; LINE & sleep 60"),
        place(
            "without new privileges, in an SSH login",
            NONE,
            "no new privileges",
            "setpriv --no-new-privs LINE",
        ),
    ];
    let mut faults = Vec::new();
    let mut given = 0;
    println!("{:45}{:10}answered", "where", "grade");
    for place in &places {
        let question = house.question(&format!("{READ}/{given}"));
        let errand = Errand::new(&house.world, &["approve", &question, "--for", "30m"]);
        let outcome = carried_out(&house, &errand, (place.start)(&errand.line()));
        let answered = house.records("consent.answered");
        let grade = match answered.get(given) {
            Some(record) => record["details"]["grade"].as_str().unwrap().to_owned(),
            None => NONE.to_owned(),
        };
        given = answered.len();
        println!("{:45}{grade:10}{}", place.name, said(&outcome));
        let way = place.grade != NONE || outcome.all().contains("--reauth");
        if grade != place.grade || !outcome.all().contains(place.because) || !way {
            faults.push(format!("{}: {grade}, {outcome:?}", place.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    // An agent that the manager started is no worse for that.
    let socket = house.world.socket();
    let program = [&*house.word("tool"), "--socket", socket.to_str().unwrap(), READ];
    let errand = Errand::of(&house.world, &program);
    let service = format!("{manager} systemd-run --user --quiet {}; sleep 60", errand.line());
    let outcome = carried_out(&house, &errand, account.log_in(&service));
    let answer = outcome.json();
    assert_eq!((&answer["assurance"], &answer["caveats"]), (&"pinned".into(), &serde_json::Value::Null));

    // Whoever is refused signs in for it, wherever they are.
    for place in places.iter().filter(|place| place.grade == NONE).take(4) {
        // One agent alone may not ask so many in a short time.
        let question = house.question_of("other", &format!("{READ}/{given}"));
        let errand =
            Errand::new(&house.world, &["approve", &question, "--for", "30m", "--reauth", "--no-browser"]);
        let outcome = signing_in(&house, &errand, (place.start)(&errand.line()), ALICE);
        assert_eq!(outcome.code, Some(0), "{}: {outcome:?}", place.name);
        let answered = house.records("consent.answered");
        let details = &answered.last().unwrap()["details"];
        assert_eq!((answered.len(), &details["strength"]), (given + 1, &"reauth".into()), "{details}");
        given += 1;
        println!("{:45}{:10}{}", place.name, "reauth", said(&outcome));
    }
}

#[test]
fn whoever_is_refused_signs_in_for_it_with_no_terminal_at_all() {
    let house = Household::new();
    let question = house.question(READ);
    let detached = |arguments: &[&str]| {
        let errand = Errand::new(&house.world, arguments);
        let mut command = house.command("setsid");
        command.args(["-f", "sh", "-c", &errand.line()]).stdin(Stdio::null());
        signing_in(&house, &errand, Owned::start(&mut command), ALICE)
    };
    let refused = detached(&["approve", &question, "--for", "30m"]);
    assert!(refused.code == Some(1) && refused.all().contains("it has no terminal"), "{refused:?}");
    assert!(refused.all().contains("--reauth"), "{refused:?}");
    let allowed = detached(&["approve", &question, "--for", "30m", "--reauth", "--no-browser"]);
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    assert_eq!(house.check("tool", READ)["decision"], "allow");
    let details = &house.records("consent.answered")[0]["details"];
    assert_eq!(details["strength"], "reauth", "{details}");
}
