//! The stream of events: who is told what, and when a stream ends.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;

use agentauth_core::agent::AgentFile;
use agentauth_core::grant::{Grant, Lifetime};
use e2e::cli::Running;
use e2e::raw::{Following, Raw};
use e2e::{ALICE, AgentSpec, LoginRun, Provider, World, WorldOptions, binaries, rights, wait};
use serde_json::{Value, json};

const READ: &str = "files.read:/projects";

/// Somebody logged in, and two agents that were allowed nothing. The second one's program is a copy.
fn world() -> (World, PathBuf) {
    let agents = vec![AgentSpec { grants: Vec::new(), ..AgentSpec::probe() }];
    let mut world =
        World::without_daemon(&Provider::start(), WorldOptions { agents, ..WorldOptions::default() });
    let copy = world.home().canonicalize().unwrap().join("other-agent");
    std::fs::copy(binaries::program("probe-agent"), &copy).unwrap();
    let other = AgentSpec {
        name: "other".to_owned(),
        executable: copy.clone(),
        grants: Vec::new(),
        ..AgentSpec::probe()
    };
    let (registration, grants) = other.standing();
    rights::put(&world.state_dir(), "default", &[registration], &grants);
    world.start_daemon();
    world.login(ALICE);
    (world, copy)
}

/// Follows as a process of the person's.
fn follow(world: &World) -> std::io::Result<Following> {
    let mut raw = Raw::connect(&world.socket())?;
    let nonce = raw.greet()?;
    raw.follow(Some(&nonce))
}

/// Waits for an event; what comes before it does not matter.
#[track_caller]
fn until(events: &Receiver<Value>, mut what: impl FnMut(&Value) -> bool) -> Value {
    let mut seen = Vec::new();
    loop {
        match events.recv_timeout(wait::PATIENCE) {
            Ok(event) if what(&event) => return event,
            Ok(event) => seen.push(event),
            Err(error) => panic!("{error}; so far: {seen:#?}"),
        }
    }
}

/// What an agent that follows has printed.
fn printed(agent: &mut Running) -> Vec<Value> {
    let whole = agent.so_far().stdout;
    let end = whole.rfind('\n').map_or(0, |end| end + 1);
    whole[..end].lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn prints(agent: &mut Running, what: impl Fn(&Value) -> bool) -> Value {
    wait::until("an event", || printed(agent).into_iter().find(&what))
}

fn confirmed(world: &World, arguments: &[&str]) {
    let run = LoginRun::begin(world.command(&[arguments, &["--reauth", "--no-browser"]].concat()));
    world.provider.sign_in(&run.url, ALICE.email, ALICE.password);
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", world.log_tail());
}

#[test]
fn each_party_is_told_what_concerns_it_and_no_other_agent_is() {
    let (mut world, copy) = world();
    let events = follow(&world).unwrap().in_background();
    let mut agent = Running::start(world.probe_command(&["--follow"]));
    let mut other = binaries::command(&copy);
    other.arg("--socket").arg(world.socket()).arg("--follow");
    let mut other = Running::start(other);
    let active = json!({"type": "session", "phase": "active", "locked": false});
    assert_eq!(until(&events, |_| true), active, "first of all, where the session stands");
    for agent in [&mut agent, &mut other] {
        assert_eq!(prints(agent, |_| true), active);
    }
    let mut watch = Running::start(world.command(&["consents", "--watch", "--json"]));
    wait::until_true("the watching", || !watch.so_far().stdout.is_empty());

    // What an agent says is one line of data, and drives no terminal.
    let hostile = "\u{1b}[2J\u{202e}x\n\ndata: {\"type\":\"lagged\"}\n\n";
    let body = json!({"scope": READ, "purpose": hostile}).to_string();
    let answer = world.probe(&["--request", "POST", "/v1/check", &body]).remove(0);
    let id = answer["consents"][0].as_str().unwrap().to_owned();
    let asked = until(&events, |event| event["type"] == "consent");
    assert_eq!(
        (&asked["id"], &asked["state"], &asked["agent"]),
        (&json!(id), &json!("asked"), &json!("probe-agent"))
    );
    assert_eq!(asked["consent"]["scopes"][0]["scope"], READ, "{asked}");
    assert_eq!(prints(&mut agent, |event| event["type"] == "consent"), asked);
    wait::until_true("the question, watched for", || watch.so_far().stdout.contains(&id));

    confirmed(&world, &["approve", &id, "--for", "always"]);
    let given = until(&events, |event| event["type"] == "grant");
    let grant = given["grants"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!((&given["grants"][0]["scope"], &given["grants"][0]["holds"]), (&json!(READ), &json!(true)));
    let answered = until(&events, |event| event["state"] == "answered");
    assert_eq!((&answered["id"], &answered["given"]), (&json!(id), &json!([grant])));
    assert_eq!(prints(&mut agent, |event| event["state"] == "answered"), answered);

    assert_eq!(world.cli(&["grant", "revoke", &grant]).code, Some(0));
    let taken = json!({"type": "revocation", "agent": "probe-agent", "grants": [grant], "why": "revoked"});
    assert_eq!(until(&events, |event| event["type"] == "revocation"), taken);
    assert_eq!(prints(&mut agent, |event| event["type"] == "revocation"), taken);

    assert_eq!(world.cli(&["lock"]).code, Some(0));
    until(&events, |event| event["locked"] == true);
    confirmed(&world, &["unlock"]);
    until(&events, |event| event["locked"] == false && event["phase"] == "active");
    assert_eq!(world.cli(&["logout"]).code, Some(0));
    let out = json!({"type": "session", "phase": "logged_out", "locked": false});
    assert_eq!(until(&events, |event| event["phase"] == "logged_out"), out);
    for agent in [&mut agent, &mut other] {
        assert_eq!(prints(agent, |event| event["phase"] == "logged_out"), out);
    }
    let foreign: Vec<_> =
        printed(&mut other).into_iter().filter(|event| event["type"] != "session").collect();
    assert!(foreign.is_empty(), "another agent's: {foreign:#?}");

    // The end of the daemon is the end of every stream, at once.
    world.stop_daemon();
    assert!(events.recv_timeout(wait::PATIENCE).is_err());
    for agent in [agent, other] {
        assert_eq!(agent.finish().json_lines().last().unwrap(), &json!({"ended": true}));
    }
}

/// More happens than fits anywhere on the way. Whoever reads is told all of it, or that it has missed something; whoever does
/// not read is left, and in neither case does the daemon wait.
#[test]
fn whoever_does_not_read_is_left_and_holds_up_nobody() {
    const AGENTS: usize = 6;
    const GRANTS: usize = 2000;
    let options = WorldOptions { agents: Vec::new(), ..WorldOptions::default() };
    let mut world = World::without_daemon(&Provider::start(), options);
    let (mut registrations, mut grants) = (Vec::new(), Vec::new());
    for agent in 0..AGENTS {
        let spec = AgentSpec {
            name: format!("agent-{agent}"),
            executable: format!("/opt/agent-{agent}").into(),
            pinned: false,
            ..AgentSpec::probe()
        };
        let file = AgentFile::parse(spec.file().to_string().as_bytes()).unwrap();
        registrations.push(file.registration());
        grants.extend((0..GRANTS).map(|number| {
            let scope = format!("{READ}/{number}").parse().unwrap();
            Grant::new(&spec.name, scope, Lifetime::UntilRevoked)
        }));
    }
    rights::put(&world.state_dir(), "default", &registrations, &grants);
    world.start_daemon();
    world.login(ALICE);

    let reading = follow(&world).unwrap().in_background();
    let stalled = follow(&world).unwrap();
    for agent in 0..AGENTS {
        confirmed(&world, &["agent", "remove", &format!("agent-{agent}")]);
    }
    let mut told = 0;
    until(&reading, |event| {
        told += event["grants"].as_array().map_or(0, Vec::len);
        event["type"] == "lagged" || told == grants.len()
    });
    wait::until_true("the reader that does not read to be left", || {
        world.daemon_output().contains("a reader that does not read is left")
    });
    let sent = stalled.map(|event| event["grants"].as_array().map_or(0, Vec::len)).sum::<usize>();
    assert!(sent < grants.len(), "all of it was sent after all");
    assert_eq!(world.status().agents.len(), 0);
}

#[test]
fn a_stream_ends_with_the_agent_and_streams_are_bounded() {
    let (world, _) = world();
    let mut agent = Running::start(world.probe_command(&["--follow"]));
    prints(&mut agent, |event| event["type"] == "session");
    confirmed(&world, &["agent", "remove", "probe-agent"]);
    let ended = wait::until("the end of the stream", || agent.so_far().code.map(|_| printed(&mut agent)));
    assert_eq!(ended.last().unwrap(), &json!({"ended": true}), "{ended:?}");

    let mut held: Vec<_> = (0..4).map(|_| follow(&world).unwrap()).collect();
    let refused = follow(&world).unwrap_err().to_string();
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    // A place is given back when its reader has gone; whoever does not greet is a person's process all the same.
    held.clear();
    wait::until("a place", || {
        let raw = Raw::connect(&world.socket()).unwrap();
        raw.follow(None).ok().and_then(|mut following| following.next())
    });
    assert_eq!(world.check(READ)["reason"], "agent_unknown");
}
