//! Agents that answer for the person: what a child of an agent gets that runs our command line, reads the page, or edits
//! files, directly and by every way out of its own tree. Each test prints a table, and fails if anything but expiring
//! grants to read and write ever resulted, or if a prompt was forged in another place than the documentation says.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use agentauth_core::grant::{Grant, Lifetime};
use e2e::booted::{self, Account};
use e2e::errand::quoted;
use e2e::household::{Household, PAY, READ};
use e2e::process::Owned;
use e2e::trials::{Before, Expected, Trials, carried_out, forged, refused, said, takes_away};
use e2e::{ALICE, Errand, Provider, Store, wait};
use serde_json::{Value, json};

/// What an agent, and whatever is below it, is told.
const BELOW: &str = "registered agent or one of its descendants";
/// What a process is told that is not shown to be the person.
const NO_GRADE: &str = "not shown to be the person";

/// A policy of the attacker's.
const PERMIT: &str = "@id(\"mine\")\npermit(principal, action, resource);\n";
/// A setting of the attacker's.
const SETTING: &str = "\n[consent]\nlongest = \"today\"\n";

/// What becomes of a process that took this way.
#[derive(Clone, Copy, PartialEq)]
enum Where {
    /// It is below the agent.
    Below,
    /// It is below nobody, and at no terminal that counts.
    Away,
    /// It stands where a person would: at a terminal that counts.
    Posing,
}

/// A way in which an agent's child can run something.
struct Way {
    name: &'static str,
    leads: Where,
    /// What the tool is told to run, so that the line is run.
    words: Told,
}

/// From the line that is to be run to what the tool is told.
type Told = Box<dyn Fn(&str) -> Vec<String>>;

fn way(name: &'static str, leads: Where, words: impl Fn(&str) -> Vec<String> + 'static) -> Way {
    Way { name, leads, words: Box::new(words) }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// The ways that need nothing but what every machine has.
fn plain_ways() -> Vec<Way> {
    vec![
        way("directly", Where::Below, |line| owned(&["sh", "-c", line])),
        way("nohup", Where::Below, |line| owned(&["nohup", "sh", "-c", line])),
        way("script -qc", Where::Below, |line| owned(&["script", "-qc", line, "/dev/null"])),
        way("an orphan (double fork)", Where::Away, |line| {
            owned(&["sh", "-c", &format!("({line} &) ; exec sleep 60")])
        }),
        way("setsid -f", Where::Away, |line| owned(&["setsid", "-f", "sh", "-c", line])),
        way("setsid -f script -qc", Where::Away, |line| {
            owned(&["setsid", "-f", "script", "-qc", line, "/dev/null"])
        }),
    ]
}

/// The person's own tmux, and screen where they have an account, with a shell in each.
struct Multiplexers {
    tmux: String,
    screens: Option<String>,
    _servers: Vec<Owned>,
}

impl Multiplexers {
    fn start(house: &Household, with_screen: bool) -> Self {
        let tmux = house.word("tmux.sock");
        let mut servers = Vec::new();
        let mut server = house.command("tmux");
        // In the foreground, so that it ends with the test.
        server.args(["-S", &tmux, "-D"]).stdin(Stdio::null()).stderr(Stdio::null());
        servers.push(Owned::start(&mut server));
        wait::until_true("tmux", || std::path::Path::new(&tmux).exists());
        let mut session = house.command("tmux");
        session.args(["-S", &tmux, "new-session", "-d", "-s", "person", "-x", "200", "-y", "50", "sh"]);
        assert!(session.status().unwrap().success());
        let screens = with_screen.then(|| {
            let directory = house.word("screens");
            std::fs::create_dir(&directory).unwrap();
            std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o700)).unwrap();
            house.world.give(directory.as_ref());
            let mut server = house.command("screen");
            server.args(["-D", "-m", "-S", "person", "sh"]).env("SCREENDIR", &directory);
            server.stdin(Stdio::null()).stdout(Stdio::null()).env("TERM", "vt100");
            servers.push(Owned::start(&mut server));
            wait::until_true("screen", || std::fs::read_dir(&directory).unwrap().next().is_some());
            directory
        });
        Self { tmux, screens, _servers: servers }
    }

    fn ways(&self) -> Vec<Way> {
        let (window, keys) = (self.tmux.clone(), self.tmux.clone());
        let mut ways = vec![
            way("the person's tmux: new-window", Where::Away, move |line| {
                owned(&["tmux", "-S", &window, "new-window", "-t", "person", line])
            }),
            way("the person's tmux: send-keys into their pane", Where::Away, move |line| {
                owned(&["tmux", "-S", &keys, "send-keys", "-t", "person:0", line, "Enter"])
            }),
        ];
        if let Some(directory) = &self.screens {
            let screens = format!("SCREENDIR={directory}");
            ways.push(way("the person's screen: stuff into their window", Where::Away, move |line| {
                let typed = format!("{line}\n");
                owned(&["env", &screens, "screen", "-S", "person", "-p", "0", "-X", "stuff", &typed])
            }));
        }
        ways
    }
}

/// The attempts that the command line offers, by what each gets where.
struct Attack {
    name: &'static str,
    words: Vec<String>,
    below: Expected,
    away: Expected,
    posing: Expected,
}

impl Attack {
    fn expected(&self, leads: Where) -> &Expected {
        match leads {
            Where::Below => &self.below,
            Where::Away => &self.away,
            Where::Posing => &self.posing,
        }
    }
}

fn attack(name: &'static str, words: &[&str], below: &str, away: &str) -> Attack {
    Attack { name, words: owned(words), below: refused(below), away: refused(away), posing: refused(away) }
}

/// Everything that widens, as an agent's child can ask for it; `read` and `pay` are questions that wait.
fn attacks(house: &Household, read: &str, pay: &str) -> Vec<Attack> {
    let manifest = |name: &str, scopes: &[&str]| {
        let scopes: Vec<_> =
            scopes.iter().map(|scope| json!({"scope": scope, "purpose": "whatever it takes"})).collect();
        let manifest = json!({"name": name, "version": "2.0.0", "scopes": scopes});
        let path = house.write(&format!("{name}-wider.json"), &manifest.to_string());
        path.to_str().unwrap().to_owned()
    };
    let (mine, wider) = (manifest("mine", &[PAY, READ]), manifest("tool", &["files.read:/", PAY, READ]));
    let stranger = house.word("stranger");
    // Who only descends from an agent sees no question at all.
    let unseen = "no such question waits";
    let mut approve =
        attack("approve, to read for 30 minutes", &["approve", read, "--for", "30m"], unseen, NO_GRADE);
    approve.posing = forged(READ);
    let more = "add `--reauth`";
    let mut attacks = vec![
        attack("approve, to read for ever", &["approve", read, "--for", "always"], unseen, more),
        attack("approve, to move money once", &["approve", pay], unseen, more),
        attack(
            "approve --reauth, signed in as somebody else",
            &["approve", pay, "--reauth", "--no-browser"],
            unseen,
            "nothing was allowed",
        ),
        attack(
            "agent register, signed in as somebody else",
            &["agent", "register", &mine, "--exe", &stranger, "--no-browser"],
            BELOW,
            "nothing was registered",
        ),
        attack(
            "agent register --update, signed in as somebody else",
            &["agent", "register", &wider, "--update", "tool", "--no-browser"],
            BELOW,
            "nothing was registered",
        ),
        attack(
            "exec --agent other",
            &["exec", "--agent", "other", "--", "--print", "started"],
            BELOW,
            "starting an agent was refused",
        ),
        attack(
            "exec --reauth, signed in as somebody else",
            &["exec", "--agent", "other", "--reauth", "--no-browser", "--", "--print", "started"],
            BELOW,
            "nothing was started",
        ),
        attack(
            "policy apply, signed in as somebody else",
            &["policy", "apply", "--no-browser"],
            BELOW,
            "nothing was applied",
        ),
        attack(
            "config apply, signed in as somebody else",
            &["config", "apply", "--no-browser"],
            BELOW,
            "nothing was applied",
        ),
        attack("login as somebody else", &["login", "--no-browser"], BELOW, "belongs to"),
        attack("login --switch to somebody else", &["login", "--switch", "--no-browser"], BELOW, "sign"),
    ];
    attacks.push(approve);
    attacks
}

/// An attempt by way of the tool.
fn by(house: &Household, way: &Way, words: &[String]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let errand = Errand::new(&house.world, &words);
    let told = (way.words)(&errand.line());
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let mut tool = house.tool(&told);
    tool.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    said(&carried_out(house, &errand, Owned::start(&mut tool)))
}

/// What an attacker would have applied.
fn edit_files(house: &Household) {
    let configuration = house.world.config_dir();
    let mut settings = std::fs::read_to_string(configuration.join("config.toml")).unwrap();
    settings.push_str(SETTING);
    std::fs::write(configuration.join("config.toml"), settings).unwrap();
    let policies = configuration.join("policies");
    std::fs::create_dir_all(&policies).unwrap();
    std::fs::write(policies.join("mine.cedar"), PERMIT).unwrap();
    house.world.give(&configuration);
}

fn try_everything(house: &Household, ways: &[Way], trials: &mut Trials) {
    let mut prompts = 0;
    let pay = house.question(PAY);
    edit_files(house);
    for way in ways {
        // A prompt that was forged before has been answered.
        let read = house.question(&format!("{READ}/{prompts}"));
        for attack in attacks(house, &read, &pay) {
            let expected = attack.expected(way.leads);
            trials.attempt(house, (attack.name, way.name), expected, || by(house, way, &attack.words));
            prompts += usize::from(matches!(expected, Expected::Forged(_)));
        }
    }
    assert_eq!(house.world.cli(&["lock"]).code, Some(0));
    for way in ways {
        for attack in [
            attack("unlock", &["unlock"], BELOW, "unlocking was refused"),
            attack(
                "unlock --reauth, signed in as somebody else",
                &["unlock", "--reauth", "--no-browser"],
                BELOW,
                "everything stays paused",
            ),
        ] {
            let expected = attack.expected(way.leads);
            trials.attempt(house, (attack.name, way.name), expected, || by(house, way, &attack.words));
        }
    }
}

#[test]
fn what_an_agents_child_gets_from_the_command_line() {
    let house = Household::new();
    let multiplexers = Multiplexers::start(&house, false);
    let mut trials = Trials::default();
    let read = house.question(READ);
    let answer = |program: &str, body: &Value| {
        let answer = house.request(program, "POST", &format!("/v1/consents/{read}"), body);
        answer["detail"].as_str().unwrap_or_default().to_owned()
    };
    let yes = json!({"allow": [{"scope": READ, "for": "30m"}]});
    trials.attempt(
        &house,
        ("answer its own question", "the agent, over the socket"),
        &refused(BELOW),
        || answer("tool", &yes),
    );
    trials.attempt(
        &house,
        ("answer the agent's question", "another program, over the socket"),
        &refused("it is not the installed `agentauthd` program"),
        || answer("stranger", &yes),
    );
    let ways: Vec<Way> = plain_ways().into_iter().chain(multiplexers.ways()).collect();
    try_everything(&house, &ways, &mut trials);
    trials.judgement();
}

#[test]
fn what_it_gets_where_there_are_login_sessions() {
    booted::run("in_a_booted_system_what_it_gets");
}

#[test]
#[ignore = "runs in the system that the test above boots"]
fn in_a_booted_system_what_it_gets() {
    let account = Account::make();
    let house = Household::with(Some(account.uid), |_| {});
    let multiplexers = Multiplexers::start(&house, true);
    let mut trials = Trials::default();

    let manager = account.runtime_dir();
    let (with_terminal, without) = (manager.clone(), manager);
    let mut ways = multiplexers.ways();
    ways.push(way("systemd-run --user --pty", Where::Away, move |line| {
        owned(&["env", &with_terminal, "systemd-run", "--user", "--pty", "--quiet", "sh", "-c", line])
    }));
    ways.push(way("systemd-run --user", Where::Away, move |line| {
        owned(&["env", &without, "systemd-run", "--user", "--quiet", "sh", "-c", line])
    }));
    ways.push(own_sshd(&house, &account));
    let ssh = account.ssh();
    ways.push(way("ssh localhost, with a key of the agent's", Where::Posing, move |line| {
        [ssh.as_slice(), &[line.to_owned()]].concat()
    }));
    typing(&mut trials, &house, &account);
    try_everything(&house, &ways, &mut trials);
    // The pause goes on. Taking rights away is less than giving them: a forged prompt does that, too.
    let posing = ways.last().unwrap();
    trials.attempt(&house, ("agent remove other", posing.name), &takes_away("removed: other"), || {
        by(&house, posing, &owned(&["agent", "remove", "other"]))
    });
    trials.judgement();
}

/// An agent in the person's own login types into their terminal, to have their shell run what it wants.
fn typing(trials: &mut Trials, house: &Household, account: &Account) {
    const CODE: &str = "import fcntl, sys, termios\n\
        terminal = open('/dev/tty')\n\
        for letter in sys.argv[1] + '\\n': fcntl.ioctl(terminal, termios.TIOCSTI, letter.encode())\n";
    let row = ("approve, to read for 30 minutes", "TIOCSTI into the person's SSH login");
    let allowed = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").unwrap_or_default();
    if allowed.trim() != "1" {
        trials.not_tried(row.0, row.1, "this kernel lets nobody (dev.tty.legacy_tiocsti)");
        return;
    }
    let code = house.write("type.py", CODE);
    let question = house.question(&format!("{READ}/typed"));
    trials.attempt(house, row, &forged(READ), || {
        let errand = Errand::new(&house.world, &["approve", &question, "--for", "30m"]);
        let mut login = account.log_in("");
        let tool =
            format!("{} --run python3 {} {}", house.word("tool"), code.display(), quoted(&errand.line()));
        booted::type_line(&mut login, &tool);
        said(&carried_out(house, &errand, login))
    });
}

/// The agent starts a server of its own that lets it in.
fn own_sshd(house: &Household, account: &Account) -> Way {
    let key = house.word("host-key");
    let port = 2223;
    let made =
        house.command("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]).status().unwrap();
    assert!(made.success());
    let configuration = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {key}\nPidFile none\nUsePAM no\nStrictModes no\n"
    );
    let file = house.write("sshd_config", &configuration);
    let server = format!("/usr/sbin/sshd -D -f {}", file.display());
    let mut tool = house.tool(&["setsid", "-f", "sh", "-c", &format!("exec {server} >/dev/null 2>&1")]);
    assert!(tool.stdin(Stdio::null()).status().unwrap().success());
    wait::until_true("the agent's sshd to listen", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let ssh = account.ssh_to(port);
    way("an sshd of the agent's own", Where::Away, move |line| [ssh.as_slice(), &[line.to_owned()]].concat())
}

/// What a browser is opened at stands in its arguments, where each process of the user can read it.
#[test]
fn what_it_gets_from_the_page() {
    let scripts = tempfile::tempdir().unwrap();
    std::fs::set_permissions(scripts.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let browser = scripts.path().join("browser");
    // It stays, as a browser does.
    std::fs::write(&browser, "#!/bin/sh\nsleep 60; exit \"$1\"\n").unwrap();
    std::fs::set_permissions(&browser, PermissionsExt::from_mode(0o755)).unwrap();
    let house = Household::with(None, |options| {
        options.environment.push(("BROWSER".to_owned(), browser.display().to_string()));
    });
    let thief = house.write("thief.py", include_str!("../src/programs/thief.py"));
    let thief = thief.to_str().unwrap().to_owned();
    let mut trials = Trials::default();
    let steal = |mode: &str, scope: &str, lifetime: &str| {
        let errand = Errand::of(&house.world, &["python3", &thief, mode, scope, lifetime]);
        let mut tool = house.tool(&["sh", "-c", &errand.line()]);
        tool.stdin(Stdio::null());
        let outcome = carried_out(&house, &errand, Owned::start(&mut tool));
        outcome.stdout.lines().last().unwrap_or_default().to_owned()
    };
    let guessed = "the page's port, by trying those that listen";
    let stolen = "the page's address, from the browser's arguments in /proc";
    house.question(READ);
    trials.attempt(&house, ("yes, to read for 30 minutes", guessed), &refused("no page"), || {
        steal("guess", READ, "30m")
    });
    trials.attempt(&house, ("yes, to read for ever", stolen), &refused("Sign in to allow this"), || {
        steal("steal", READ, "always")
    });
    // The address was good once: another one comes with the next question.
    house.question(PAY);
    trials.attempt(&house, ("yes, to move money once", stolen), &refused("Sign in to allow this"), || {
        steal("steal", PAY, "once")
    });
    house.question(&format!("{READ}/more"));
    trials.attempt(&house, ("yes, to read for 30 minutes", stolen), &forged(READ), || {
        steal("steal", &format!("{READ}/more"), "30m")
    });
    trials.judgement();
}

#[test]
fn what_it_gets_from_rows_and_files_of_its_own_making() {
    const ROW: &str = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); \
        assert d.execute(sys.argv[2], sys.argv[3:]).rowcount > 0; d.commit()";
    const FILE: &str = "import os, sys; os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True); \
        open(sys.argv[1], 'a').write(sys.argv[2])";
    const TEXT: &str = "import sys; text = open(sys.argv[1]).read(); assert sys.argv[2] in text; \
        open(sys.argv[1], 'w').write(text.replace(sys.argv[2], sys.argv[3]))";
    let mut house = Household::with(None, |options| options.store = Store::File);
    let theirs = Provider::start();
    let mut trials = Trials::default();
    let configuration = house.world.config_dir();
    let file = |name: &str| configuration.join(name).display().to_string();
    let database = house.world.state_dir().join("state.db").display().to_string();
    let grant = Grant::new("tool", PAY.parse().unwrap(), Lifetime::UntilRevoked);
    let registration = json!({
        "manifest": {"name": "mine", "version": "1.0.0", "scopes": [{"scope": PAY, "purpose": "mine"}]},
        "selectors": {"executable": house.word("stranger")},
    });
    let mut with_grant = registration.clone();
    with_grant["grants"] = json!([{"scope": PAY, "lifetime": "until_revoked"}]);
    let gone = takes_away("removed: tool");
    let attempts: [(&str, &str, Vec<String>, Expected); 8] = [
        (
            "a registration of a program of its own",
            "a file in agents/",
            vec![FILE.to_owned(), file("agents/mine.json"), with_grant.to_string()],
            refused(""),
        ),
        (
            "a policy that permits everything",
            "a file in policies/",
            vec![FILE.to_owned(), file("policies/mine.cedar"), PERMIT.to_owned()],
            refused("agentauthd policy apply"),
        ),
        (
            "another longest yes",
            "config.toml",
            vec![FILE.to_owned(), file("config.toml"), SETTING.to_owned()],
            refused("agentauthd config apply"),
        ),
        (
            "a provider of its own",
            "config.toml",
            vec![
                TEXT.to_owned(),
                file("config.toml"),
                house.world.provider.base_url().to_owned(),
                theirs.base_url().to_owned(),
            ],
            refused("agentauthd config apply"),
        ),
        (
            "words that make a payment look harmless",
            "scopes.toml",
            vec![
                FILE.to_owned(),
                file("scopes.toml"),
                "[payments.execute]\nsays = \"look at payments\"\nrisk = \"read\"\n".to_owned(),
            ],
            refused("agentauthd config apply"),
        ),
        (
            "a grant of money, without end",
            "a row in state.db",
            vec![
                ROW.to_owned(),
                database.clone(),
                "INSERT INTO grants (profile, id, says) VALUES ('default', ?, ?)".to_owned(),
                grant.id.to_string(),
                grant.to_json(),
            ],
            refused("1 grants in the state database do not count"),
        ),
        (
            "a registration of a program of its own",
            "a row in state.db",
            vec![
                ROW.to_owned(),
                database.clone(),
                "INSERT INTO agents (profile, name, registration) VALUES ('default', ?, ?)".to_owned(),
                "mine".to_owned(),
                registration.to_string(),
            ],
            refused("the registration of `mine` does not count: the record does not say"),
        ),
        (
            "registrations that ask for every file",
            "edited rows in state.db",
            vec![
                ROW.to_owned(),
                database,
                "UPDATE agents SET registration = replace(registration, ?, ?)".to_owned(),
                format!("{READ}\""),
                "files.read:/\"".to_owned(),
            ],
            // They are nobody's then: it takes away, and gives nothing.
            gone,
        ),
    ];
    for (what, place, words, expected) in attempts {
        let before = Before::of(&house);
        house.world.stop_daemon();
        let words = [vec!["python3", "-c"], words.iter().map(String::as_str).collect()].concat();
        let errand = Errand::of(&house.world, &words);
        let mut tool = house.tool(&["sh", "-c", &errand.line()]);
        let outcome = carried_out(&house, &errand, Owned::start(tool.stdin(Stdio::null())));
        assert_eq!(outcome.code, Some(0), "{what}: {outcome:?}");
        house.world.start_daemon();
        house.world.wait_for_phase(agentauth_api::SessionPhase::Active);
        let mut problems = house.world.status().problems;
        if problems.is_empty() {
            problems.push("no word: it is not read".to_owned());
        }
        // What it is about first, among those that were there before.
        problems
            .sort_by_key(|problem| !matches!(&expected, Expected::Refused(words) if problem.contains(words)));
        let (way, found) = (format!("{place}, and a restart"), problems.join("; "));
        trials.attempted(&house, (what, &way), &expected, &before, &found);
        assert_ne!(house.check("tool", PAY)["decision"], "allow", "{what}");
        let stranger = house.request("stranger", "POST", "/v1/check", &json!({"scope": PAY}));
        assert_eq!(stranger["reason"], "agent_unknown", "{what}: {stranger}");
        assert_eq!(house.world.status().session.user.unwrap().email.as_deref(), Some(ALICE.email), "{what}");
    }
    trials.judgement();
}
