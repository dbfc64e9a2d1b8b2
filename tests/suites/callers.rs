//! Who is on the other end of the connection: nonces, what is said of a caller, and registrations that fit it. What
//! attackers try is in `attacks.rs`.

use std::process::Stdio;

use e2e::arena::Trick;
use e2e::raw::{Raw, request};
use e2e::{ALICE, AgentSpec, Provider, World, WorldOptions};
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";

/// A world in which the agent is allowed.
fn world() -> World {
    let world = World::start();
    world.login(ALICE);
    assert_eq!(world.check(PAY)["decision"], "allow", "the agent itself is allowed");
    world
}

#[test]
fn a_wrong_nonce_and_somebody_elses_nonce() {
    let world = world();
    let mut other = Raw::connect(&world.socket()).unwrap();
    let theirs = other.greet().unwrap();
    for nonce in ["0", "", "not a nonce", &"x".repeat(1000), &theirs] {
        let answer = &world.probe(&["--nonce", nonce, PAY])[0];
        assert_eq!(answer["http_status"], 403, "{nonce}: {answer}");
        assert_eq!(answer["code"], "caller_unproven", "{nonce}: {answer}");
    }
}

#[test]
fn a_nonce_belongs_to_its_connection() {
    let world = world();
    let mut agent = Trick::start(world.probe_command(&["--repeat-on-line", PAY]));
    assert_eq!(agent.answer()["decision"], "allow");
    // A second greeting gives a second nonce or the same one; what matters is that the kept connection goes on.
    agent.say("again");
    assert_eq!(agent.answer()["decision"], "allow");
}

#[test]
fn without_a_greeting_assurance_is_at_most_path() {
    let world = world();
    let answer = &world.probe(&["--no-greeting", PAY])[0];
    assert!(["path", "unproven"].contains(&answer["assurance"].as_str().unwrap_or("unproven")), "{answer}");
    let greeted = &world.probe(&[PAY])[0];
    assert_eq!(greeted["assurance"], "pinned", "{greeted}");
}

#[test]
fn two_requests_at_once_are_both_judged() {
    let world = world();
    // Pipelining: the second request is in the daemon's buffer while it answers the first.
    let mut raw = Raw::connect(&world.socket()).unwrap();
    let nonce = raw.greet().unwrap();
    let body = json!({"scope": PAY});
    let one = request("POST", "/v1/check", Some(&nonce), Some(&body));
    raw.send(&[one.clone(), one].concat()).unwrap();
    for _ in 0..2 {
        assert_eq!(raw.receive().unwrap().json()["reason"], "agent_unknown");
    }
}

#[test]
fn status_and_record_say_how_well_a_caller_is_proven_and_what_it_lacks() {
    let world = world();
    let status = |environment: &[(&str, &str)]| -> Value {
        let mut command = world.probe_command(&["--request", "GET", "/v1/status"]);
        command.envs(environment.iter().copied()).stdin(Stdio::null());
        world.lines_of(command)[0]["caller"].take()
    };
    let clean = status(&[]);
    assert_eq!((&clean["agent"], &clean["assurance"]), (&json!("probe-agent"), &json!("pinned")), "{clean}");
    assert_eq!(clean["caveats"], Value::Null, "{clean}");
    let tricked = status(&[("LD_LIBRARY_PATH", "/nowhere"), ("PYTHONPATH", "/nowhere")]);
    assert_eq!(tricked["assurance"], "path", "{tricked}");
    assert_eq!(tricked["caveats"], json!(["LD_LIBRARY_PATH"]), "{tricked}");

    let mut command = world.probe_command(&["payments.read"]);
    command.env("LD_LIBRARY_PATH", "/nowhere");
    let answer = &world.lines_of(command)[0];
    assert_eq!(answer["decision"], "allow", "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("proven at most by its path: `LD_LIBRARY_PATH` is set"), "{message}");
    let record = world.record_of(&answer["id"]);
    let text = record.to_string();
    assert!(text.contains(r#""caveats":["LD_LIBRARY_PATH"]"#), "{text}");
    assert!(text.contains(r#""assurance":"path""#), "{text}");
}

#[test]
fn a_process_that_fits_two_registrations_equally_well_is_neither() {
    let twin = AgentSpec { name: "twin-agent".to_owned(), ..AgentSpec::probe() };
    let options = WorldOptions { agents: vec![AgentSpec::probe(), twin], ..WorldOptions::default() };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    let answer = world.check(PAY);
    assert_eq!(
        (&answer["decision"], &answer["reason"]),
        (&json!("deny"), &json!("caller_unproven")),
        "{answer}"
    );
    assert_eq!(answer["remedy"], "register", "{answer}");
    assert_eq!(answer["agents"], json!(["probe-agent", "twin-agent"]), "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("probe-agent, twin-agent"), "{message}");
}
