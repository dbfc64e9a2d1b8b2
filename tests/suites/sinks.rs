//! Copies of the record: to an endpoint that is away for a while, to a real rsyslog, to the real journal. Nothing is lost,
//! nobody waits.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use agentauth_api::SinkStatus;
use agentauth_audit::{Actor, AuditLog, Event, Kind, Verdict};
use e2e::process::Owned;
use e2e::receiver::{Mood, Receiver};
use e2e::{ALICE, Provider, Store, World, WorldOptions, booted, wait};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::Value;

const READ: &str = "files.read:/projects/alpha";

/// How long a receiver is away under load.
const OUTAGE: Duration = Duration::from_secs(60);

/// A name that wants to be more than a name.
const HOSTILE: &str = "a\nMESSAGE=forged\n<0>1 - evil\u{0}|\"]\\ \u{1b}[2J\u{202e}gnp.exe\u{2028}\r\n'; x";

fn world(more: &str) -> World {
    World::without_daemon(&Provider::start(), options(more))
}

fn options(more: &str) -> WorldOptions {
    let checks = "[checks]\nrequests_per_second = 1000000\nburst = 1000000\n";
    WorldOptions {
        store: Store::File,
        more_configuration: format!("{checks}\n{more}"),
        log_filter: "info".to_owned(),
        ..WorldOptions::default()
    }
}

/// Asks so often, and is allowed each time.
#[track_caller]
fn asks(world: &World, times: usize) {
    for chunk in vec![READ; times].chunks(250) {
        let answers = world.probe(chunk);
        assert_eq!(answers.len(), chunk.len());
        for answer in answers {
            assert_eq!(answer["decision"], "allow", "{answer}\n{}", world.log_tail());
        }
    }
}

fn sink(world: &World, name: &str) -> SinkStatus {
    world.status().sinks.into_iter().find(|sink| sink.name == name).unwrap()
}

/// The lines of the log.
fn lines(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.state_dir().join("audit/audit.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn newest(world: &World) -> u64 {
    world.status().audit.records
}

#[test]
fn an_outage_under_load_loses_nothing_and_slows_nothing_even_over_a_restart() {
    let receiver = Receiver::start(Mood::Takes);
    let mut world = world(&receiver.section(""));
    world.start_daemon();
    world.login(ALICE);
    asks(&world, 20);
    wait::until_true("everything to be copied", || receiver.lines().len() as u64 == newest(&world));

    // It takes what it is sent and says nothing; those who ask are answered.
    receiver.mood(Mood::Silent);
    asks(&world, 1000);
    wait::until_true("a batch to be under way", || receiver.batches().iter().any(|batch| !batch.taken));
    assert!(sink(&world, "http").behind >= 1000, "{:?}", sink(&world, "http"));
    world.kill_daemon();
    receiver.mood(Mood::Closes);
    world.start_daemon();
    wait::until_true("the session to be verified again", || world.check(READ)["decision"] == "allow");
    asks(&world, 1000);
    wait::until_true("the sink to be down", || !sink(&world, "http").up);
    let told = world.cli(&["status"]).stdout;
    assert!(told.contains("copied to") && told.contains("waiting"), "{told}");
    assert!(!told.contains("/records"), "some receivers take a path for a password: {told}");
    let problems = world.status().problems;
    assert!(problems.iter().any(|problem| problem.contains("is not copied to `http`")), "{problems:?}");

    receiver.mood(Mood::Takes);
    wait::until_true("the sink to be up", || sink(&world, "http").up);
    wait::until_true("everything to be copied", || receiver.lines().len() as u64 == newest(&world));
    world.stop_daemon();
    assert_eq!(receiver.lines(), lines(&world), "in order, byte for byte, to the very last");

    // What arrived twice did so under one name.
    let mut keys: BTreeMap<u64, String> = BTreeMap::new();
    for batch in receiver.batches() {
        for number in batch.numbers() {
            let key = keys.entry(number).or_insert_with(|| batch.key.clone());
            assert_eq!(*key, batch.key, "record {number} arrived in two batches");
        }
    }
    let states = world.records("sink.state");
    let words: Vec<_> = states.iter().map(|it| it["details"]["state"].as_str().unwrap()).collect();
    assert_eq!(words, ["down", "up"], "{states:#?}");
}

/// The test agent on one kept connection.
struct Agent {
    process: Owned,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Agent {
    fn start(world: &World) -> Self {
        let mut command = world.probe_command(&["--repeat-on-line", READ]);
        let mut process = Owned::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let answers = BufReader::new(process.child().stdout.take().unwrap()).lines();
        let mut agent = Self { process, answers };
        agent.is_allowed();
        agent
    }

    #[track_caller]
    fn is_allowed(&mut self) {
        let answer: Value = serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["decision"], "allow", "{answer}");
    }

    /// Asks so often, is allowed each time, and returns how long each took.
    #[track_caller]
    fn asks(&mut self, times: usize) -> Vec<Duration> {
        let one = |_| {
            let asked = Instant::now();
            self.process.child().stdin.as_mut().unwrap().write_all(b"\n").unwrap();
            self.is_allowed();
            asked.elapsed()
        };
        (0..times).map(one).collect()
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_minute_without_a_receiver_under_load_loses_nothing_and_keeps_nobody_waiting() {
    let receiver = Receiver::start(Mood::Takes);
    // So much would be unusual of an agent.
    let mut world = world(&receiver.section("[signals]\nenabled = false"));
    world.start_daemon();
    world.login(ALICE);
    wait::until_true("the agent's program to have settled", || world.check(READ)["decision"] == "allow");
    let mut agent = Agent::start(&world);
    let before = agent.asks(500);
    wait::until_true("everything to be copied", || receiver.lines().len() as u64 == newest(&world));

    // For half of the time it is silent, then it closes each connection at once. Those who ask are answered all along,
    // while not one record finds its way there: nobody can have waited for it.
    receiver.mood(Mood::Silent);
    let (copied, began, mut during) = (receiver.lines().len(), Instant::now(), Vec::new());
    while began.elapsed() < OUTAGE {
        if began.elapsed() > OUTAGE / 2 {
            receiver.mood(Mood::Closes);
        }
        during.extend(agent.asks(25));
        // The load's pace.
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(receiver.lines().len(), copied, "nothing arrived");
    let away = sink(&world, "http");
    let asked = during.len() as u64;
    assert!(!away.up && away.failures > 1 && away.behind >= asked && asked > 2000, "{asked}: {away:?}");

    receiver.mood(Mood::Takes);
    let after = agent.asks(500);
    // The next attempt may be half a minute away.
    let all = || (sink(&world, "http").behind == 0).then_some(());
    wait::within(OUTAGE + wait::PATIENCE, all).expect("everything to be copied");
    assert_eq!(sink(&world, "http").dropped, 0);
    world.stop_daemon();
    assert_eq!(receiver.lines(), lines(&world), "in order, byte for byte, to the very last");
    println!(
        "{asked} checks in {OUTAGE:?} without the receiver; median of a check {:?} before, {:?} meanwhile, {:?} while it \
         catches up",
        median(before),
        median(during),
        median(after)
    );
}

#[test]
fn beyond_the_bound_it_is_counted_and_recorded_what_is_not_handed_over() {
    let receiver = Receiver::start(Mood::Closes);
    let mut world = world(&receiver.section("spool = 200"));
    world.start_daemon();
    world.login(ALICE);
    asks(&world, 750);
    wait::until_true("records to be let go of", || sink(&world, "http").dropped > 400);
    receiver.mood(Mood::Takes);
    wait::until_true("the rest to be copied", || sink(&world, "http").behind == 0);
    let dropped = sink(&world, "http").dropped;
    world.stop_daemon();
    let all = lines(&world);
    let copied = receiver.lines();
    assert_eq!(copied.as_slice(), &all[usize::try_from(dropped).unwrap()..]);
    let records = world.records("sink.dropped");
    let told: u64 = records.iter().map(|it| it["details"]["records"].as_u64().unwrap()).sum();
    assert_eq!(told, dropped, "{records:#?}");
    assert_eq!(records[0]["details"]["first"], 1);
}

#[test]
fn the_service_manager_hands_over_a_receivers_token() {
    let receiver = Receiver::start(Mood::Takes);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("agentauthd.sinks.http.token");
    std::fs::write(&file, "handed-over\n").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    let credentials = directory.path().display().to_string();
    let environment = vec![("CREDENTIALS_DIRECTORY".to_owned(), credentials)];
    let options = WorldOptions { environment, ..options(&receiver.section("")) };
    let _world = World::with(&Provider::start(), options);
    wait::until_true("the first records", || !receiver.batches().is_empty());
    assert_eq!(receiver.batches()[0].authorization, "Bearer handed-over");
}

#[test]
fn an_agent_that_edits_the_configuration_does_not_lead_the_record_elsewhere() {
    let (own, other) = (Receiver::start(Mood::Takes), Receiver::start(Mood::Takes));
    let mut world = world(&own.section(""));
    world.start_daemon();
    world.login(ALICE);
    let file = world.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&own.section(""), &other.section(""))).unwrap();
    world.restart_daemon();
    wait::until_true("everything to be copied", || own.lines().len() as u64 == newest(&world));
    let problems = world.status().problems;
    assert!(problems.iter().any(|problem| problem.contains("sinks.http.url")), "{problems:?}");
    assert!(other.batches().is_empty());
}

/// A record of earlier times, with agents that wanted to write into others' logs.
fn hostile_past(world: &World) {
    let now = jiff::Timestamp::now();
    let log = AuditLog::open(&world.state_dir().join("audit"), now).unwrap();
    for _ in 0..200 {
        let event = Event {
            decision: Some(Verdict::Deny),
            reason: Some("agent_unknown".into()),
            purpose: Some(HOSTILE.into()),
            actor: Some(Actor { pid: 7, agents: vec![HOSTILE.into()], ..Actor::default() }),
            ..Event::new(Kind::Decision, now)
        };
        log.append(&event).unwrap();
    }
}

/// rsyslog as a process of its own, with a configuration of its own, that writes what it gets to a file.
fn rsyslog(directory: &Path, input: &str) -> Option<(Owned, PathBuf)> {
    let program = Path::new("/usr/sbin/rsyslogd");
    if !program.exists() {
        println!("==== NOT RUN: {} is missing: tests/run installs rsyslog ====", program.display());
        return None;
    }
    let file = directory.join("received");
    let configuration = format!(
        "global(workDirectory=\"{0}\" maxMessageSize=\"128k\")\n\
         template(name=\"record\" type=\"string\" string=\"%structured-data%\\t%msg%\\n\")\n\
         {input}\n\
         if $programname == \"agentauthd\" then action(type=\"omfile\" file=\"{1}\" template=\"record\")\n\
         else action(type=\"omfile\" file=\"{0}/strangers\")\n",
        directory.display(),
        file.display()
    );
    let path = directory.join("rsyslog.conf");
    std::fs::write(&path, configuration).unwrap();
    let mut command = Command::new(program);
    command.arg("-n").arg("-f").arg(path).arg("-i").arg(directory.join("pid"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(directory.join("said")).unwrap());
    Some((Owned::start(&mut command), file))
}

/// The world's whole record arrived, byte for byte, each once or again under its number, and nothing else did.
#[track_caller]
fn arrived(world: &mut World, directory: &Path, file: &Path) {
    asks(world, 100);
    wait::until_true("everything to be copied", || sink(world, "syslog").behind == 0);
    world.stop_daemon();
    let all = lines(world);
    let received = || std::fs::read_to_string(file).unwrap_or_default();
    let last = all.last().unwrap();
    if wait::within(wait::PATIENCE, || received().contains(last.as_str()).then_some(())).is_none() {
        let said = std::fs::read_to_string(directory.join("said")).unwrap_or_default();
        panic!("rsyslog did not get the last record: {said}\n{}", world.log_tail());
    }
    let text = received();
    let messages: Vec<(&str, &str)> = text.lines().map(|line| line.split_once('\t').unwrap()).collect();
    let mut bodies: Vec<&str> = messages.iter().map(|(_, body)| body.trim_start()).collect();
    bodies.dedup();
    assert_eq!(bodies, all);
    for (data, body) in messages {
        let record: Value = serde_json::from_str(body).unwrap();
        let (seq, hash) = (&record["seq"], record["hash"].as_str().unwrap());
        assert!(data.starts_with(&format!("[agentauthd@32473 seq=\"{seq}\" hash=\"{hash}\"")), "{data}");
        assert!(data.ends_with(']'), "{data}");
    }
    let hostile: Value = serde_json::from_str(&all[5]).unwrap();
    assert_eq!(hostile["actor"]["agents"][0], HOSTILE, "what the agent called itself is told as it was");
    assert!(!directory.join("strangers").exists(), "messages that nobody sent");
}

#[test]
fn a_real_rsyslog_gets_every_record_over_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("log");
    let input = format!(
        "module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imuxsock\" Socket=\"{}\" UseSpecialParser=\"off\" RateLimit.Interval=\"0\")",
        socket.display()
    );
    let Some((_rsyslog, file)) = rsyslog(directory.path(), &input) else { return };
    wait::until_true("rsyslog to listen", || socket.exists());
    let mut world = world(&format!("[sinks.syslog]\naddress = \"unix:{}\"\n", socket.display()));
    hostile_past(&world);
    world.start_daemon();
    world.login(ALICE);
    arrived(&mut world, directory.path(), &file);
}

#[test]
fn a_real_rsyslog_gets_every_record_over_tls() {
    let directory = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let authority = certificates(directory.path());
    let place = directory.path().display();
    let input = format!(
        "global(DefaultNetstreamDriverCAFile=\"{place}/ca.pem\" DefaultNetstreamDriverCertFile=\"{place}/cert.pem\" \
         DefaultNetstreamDriverKeyFile=\"{place}/key.pem\")\n\
         module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n\
         input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")"
    );
    let Some((_rsyslog, file)) = rsyslog(directory.path(), &input) else { return };
    wait::until_true("rsyslog to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let network = format!("[network]\nca_file = \"{}\"\n", authority.display());
    let mut world = world(&format!("{network}[sinks.syslog]\naddress = \"tls://localhost:{port}\"\n"));
    hostile_past(&world);
    world.start_daemon();
    world.login(ALICE);
    arrived(&mut world, directory.path(), &file);
}

/// An authority of its own and a certificate for `localhost`, as PEM files.
fn certificates(directory: &Path) -> PathBuf {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer).unwrap();
    for (name, text) in
        [("ca.pem", authority.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
    {
        std::fs::write(directory.join(name), text).unwrap();
    }
    directory.join("ca.pem")
}

#[test]
fn the_real_journal_gets_every_record() {
    booted::run("in_a_booted_system_the_journal_gets_every_record");
}

#[test]
#[ignore = "runs in the system that the test above boots"]
fn in_a_booted_system_the_journal_gets_every_record() {
    let mut world = world("[sinks.journald]\nsend = \"all\"\n");
    hostile_past(&world);
    world.start_daemon();
    world.login(ALICE);
    asks(&world, 100);
    wait::until_true("everything to be copied", || sink(&world, "journald").behind == 0);
    world.stop_daemon();
    let all = lines(&world);
    let entries = || -> Vec<Value> {
        let mut command = Command::new("journalctl");
        command.args(["SYSLOG_IDENTIFIER=agentauthd", "-o", "json", "--all", "--no-pager"]);
        e2e::cli::run(command).json_lines()
    };
    // journald stores what it took when it gets round to it.
    let entries =
        wait::until("the journal to have all", || Some(entries()).filter(|it| it.len() >= all.len()));
    let records: Vec<_> = entries.iter().map(|it| it["AGENTAUTH_RECORD"].as_str().unwrap()).collect();
    assert_eq!(records, all, "in order, byte for byte, and nothing else");
    for (entry, line) in entries.iter().zip(&all) {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["AGENTAUTH_SEQ"], record["seq"].to_string());
        assert_eq!(entry["AGENTAUTH_EVENT"], record["event"]);
        assert_eq!(entry["_UID"], "0", "who sent it, as the journal knows it: {entry}");
        assert!(entry["_EXE"].as_str().unwrap().ends_with("agentauthd"), "{entry}");
        assert!(entry["MESSAGE"].is_string(), "readable as text: {entry}");
    }
}
