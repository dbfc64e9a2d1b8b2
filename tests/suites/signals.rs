//! What decisions rested on, what became of what was allowed, and what an agent does that it usually does not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::collections::HashMap;

use agentauth_core::canonical::canonical_digest;
use agentauth_core::signals::{Bound, Limits};
use agentauth_core::{Catalogue, Past, Policy, Signal};
use e2e::raw::Raw;
use e2e::{ALICE, AgentSpec, Provider, Store, World, WorldOptions, binaries, rights, wait};
use serde_json::{Map, Value, json};

const PAY: &str = "payments.execute:currency=EUR";
const READ: &str = "files.read:/projects/a";

fn records<'r>(log: &'r [Value], kind: &'r str) -> impl Iterator<Item = &'r Value> {
    log.iter().filter(move |record| record["event"] == kind)
}

/// The facts in a log, by digest. Each set stands there once, named by what is in it, before any decision that rests on it.
fn facts(log: &[Value]) -> HashMap<&str, &Map<String, Value>> {
    let mut known = HashMap::new();
    for record in log {
        if record["event"] == "facts" {
            let (id, said) = (record["id"].as_str().unwrap(), record["details"].as_object().unwrap());
            assert_eq!(canonical_digest(&Value::Object(said.clone())).unwrap(), id);
            assert!(known.insert(id, said).is_none(), "written twice: {record}");
        }
        for named in record["facts"].as_array().into_iter().flatten() {
            assert!(known.contains_key(named.as_str().unwrap()), "not before it: {record}");
        }
    }
    known
}

fn policy(more: &[(&str, &str)]) -> Policy {
    let sources: Vec<_> = Policy::shipped().iter().chain(more).copied().collect();
    Policy::load(&sources, &Catalogue::shipped().unwrap(), ["admin.manage"]).unwrap()
}

#[test]
fn a_decision_is_replayed_from_its_record_alone() {
    let world = World::start();
    world.login(ALICE);
    for _ in 0..2 {
        world.probe(&[PAY, "admin.manage", READ, "email.send:domain=example.com"]);
    }
    let log = world.audit();
    let facts = facts(&log);
    let read = |record: &Value| Past::read(record, |digest| facts.get(digest).copied());
    let (shipped, stricter) = (
        policy(&[]),
        policy(&[(
            "own.cedar",
            r#"@id("no-pinned-payment") forbid(principal, action in AgentAuth::Action::"payments.*", resource)
               when { context.known.assurance == "pinned" && principal.name == "probe-agent" };"#,
        )]),
    );
    let by_what_is_known = policy(&[(
        "own.cedar",
        r#"@id("no-standing-payment") forbid(principal, action in AgentAuth::Action::"payments.*", resource)
           when { context.known.grant == "always" && context.known.device.os == "linux"
                  && context.known.session_confirmed_age < 3600 && context.known has person_seen_at };"#,
    )]);
    let (mut judged, mut changed, mut changed_by_what_is_known) = (0, 0, 0);
    for record in records(&log, "decision") {
        let kinds: Vec<_> = record["facts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| facts[id.as_str().unwrap()]["kind"].clone())
            .collect();
        assert_eq!(json!(kinds), json!(["caller", "agent", "session", "rules", "machine"]), "{record}");
        let past = read(record).unwrap();
        match record["reason"].as_str().unwrap() {
            "granted" | "role_required" => {}
            "not_in_manifest" => continue,
            other => panic!("{other}: {record}"),
        }
        let again = past.judge(&shipped);
        assert_eq!(again.permitted, record["decision"] == "allow", "{record}");
        assert_eq!(json!(again.policies), record["policies"], "{record}");
        assert_eq!(
            again.refused.is_some_and(|verdict| verdict.role.is_some()),
            record["reason"] == "role_required"
        );
        judged += 1;
        changed += usize::from(past.judge(&stricter).permitted != again.permitted);
        changed_by_what_is_known += usize::from(past.judge(&by_what_is_known).permitted != again.permitted);
    }
    assert_eq!(
        changed_by_what_is_known, 2,
        "grant, device, session and person are in the record and its facts"
    );
    assert_eq!((judged, changed), (6, 2), "the payments are what the other policies forbid");
    // Nothing else is needed, and nothing less will do.
    let allowed = records(&log, "decision").find(|record| record["decision"] == "allow").unwrap();
    assert!(Past::read(allowed, |_| None).is_err());
    let session = facts.values().find(|set| set["kind"] == "session").unwrap();
    assert_eq!(session["facts"]["login"].as_str().unwrap().len(), 64, "{session:?}");
}

/// Alice logged in, an agent that was allowed these, and these settings of `[signals]`.
fn watched(grants: &[&str], settings: &str, policy: Option<&str>) -> World {
    let scopes: Vec<String> = grants.iter().map(|scope| (*scope).to_owned()).collect();
    let agents = vec![AgentSpec { scopes: scopes.clone(), grants: scopes, ..AgentSpec::probe() }];
    let options = WorldOptions {
        agents,
        store: Store::File,
        more_configuration: format!("[signals]\n{settings}\n"),
        ..WorldOptions::default()
    };
    let mut world = World::without_daemon(&Provider::start(), options);
    if let Some(policy) = policy {
        let policies = world.config_dir().join("policies");
        std::fs::create_dir_all(&policies).unwrap();
        std::fs::write(policies.join("own.cedar"), policy).unwrap();
    }
    world.start_daemon();
    world.login(ALICE);
    world
}

fn request(world: &World, path: &str, body: &Value) -> Value {
    world.probe(&["--request", "POST", path, &body.to_string()]).remove(0)
}

fn refused_for(answer: &Value, signal: &str) -> bool {
    let up = answer["signals"].as_array().is_some_and(|up| up.iter().any(|up| up == signal));
    up && answer["decision"] == "deny"
        && answer["reason"] == "policy_forbids"
        && answer["remedy"] == "step_up"
}

/// The only `signal` record of a kind, and that it comes before the first decision that saw it.
fn raised(log: &[Value], signal: &str) -> Value {
    let told: Vec<&Value> =
        records(log, "signal").filter(|record| record["details"]["signal"] == signal).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    let saw = records(log, "decision")
        .find(|record| record["signals"].as_array().is_some_and(|up| up.iter().any(|up| up == signal)))
        .unwrap();
    assert!(told[0]["seq"].as_u64() < saw["seq"].as_u64(), "{saw}");
    told[0]["details"].clone()
}

#[test]
fn a_burst_of_writes_is_stopped_by_the_write_that_is_one_too_many() {
    let write = "files.write:/projects";
    let mut world = watched(&[write, READ], "burst_floor = 5\nburst_limit = 5", None);
    let mut raw = Raw::connect(&world.socket()).unwrap();
    let nonce = raw.greet().unwrap();
    let events = raw.follow(Some(&nonce)).unwrap().in_background();

    let answers = world.probe(&[write, write, write, write, write, write, READ, write]);
    for (number, answer) in answers.iter().enumerate() {
        match number {
            5 | 7 => assert!(refused_for(answer, "burst"), "{answer}"),
            _ => assert_eq!(answer["decision"], "allow", "{number}: {answer}"),
        }
    }
    assert_eq!(answers[5]["policies"], json!(["signals-no-burst-of-changes"]));
    let told = raised(&world.audit(), "burst");
    assert_eq!(
        (&told["agent"], &told["seen"], &told["limit"]),
        (&json!("probe-agent"), &json!(6), &json!(5))
    );
    let event = loop {
        let event = events.recv_timeout(wait::PATIENCE).unwrap();
        if event["type"] == "signal" {
            break event;
        }
    };
    assert_eq!((&event["agent"], &event["signal"]), (&json!("probe-agent"), &json!("burst")));
    let status = world.status();
    assert_eq!((status.signals.len(), status.signals[0].signal.as_str()), (1, "burst"));
    assert!(status.problems.iter().any(|problem| problem.contains("changes more at once")), "{status:?}");

    // Neither a new process nor a new daemon makes it forget.
    assert!(refused_for(&world.check(write), "burst"));
    world.restart_daemon();
    wait::until_true("the past to be learned", || !world.status().signals.is_empty());
    wait::until_true("the login to be back", || world.check(READ)["decision"] == "allow");
    assert!(refused_for(&world.check(write), "burst"));
}

#[test]
fn large_reads_at_night_are_noticed_and_policy_stops_them() {
    let hour = (jiff::Timestamp::now().as_second() / 3600 + 6) % 24;
    let settings = format!(
        "working_hours = [\"{hour:02}:00-{:02}:30 UTC\"]\noff_hours_limit = 3\nbytes_floor = 1000\nbytes_limit = 1000",
        hour
    );
    let own = r#"@id("no-large-reads-at-night") @remedy("step_up")
        forbid (principal, action in AgentAuth::Action::"files.*", resource)
        when { context.signals.contains("off_hours") && context.signals.contains("volume") };"#;
    let world = watched(&["files.read:/projects", PAY], &settings, Some(own));
    let read = |bytes: u64| request(&world, "/v1/check", &json!({"scope": READ, "bytes": bytes}));
    for bytes in [400, 400, 1] {
        let answer = read(bytes);
        assert_eq!((&answer["decision"], &answer["signals"]), (&json!("allow"), &Value::Null), "{answer}");
    }
    let answer = read(100);
    assert_eq!(
        (&answer["decision"], &answer["signals"]),
        (&json!("allow"), &json!(["off_hours"])),
        "{answer}"
    );
    let answer = read(100);
    assert!(refused_for(&answer, "volume") && refused_for(&answer, "off_hours"), "{answer}");
    assert_eq!(answer["policies"], json!(["no-large-reads-at-night"]), "{answer}");
    assert!(refused_for(&world.check(PAY), "off_hours"), "what is risky waits for the person");
    let log = world.audit();
    assert_eq!(raised(&log, "off_hours")["seen"], 4);
    assert_eq!(raised(&log, "volume")["seen"], 1001);
    // What was seen is on record, and enough to decide it again.
    let facts = facts(&log);
    let record = records(&log, "decision").find(|record| record["id"] == answer["id"]).unwrap();
    assert_eq!((&record["details"]["bytes"], &record["risks"]), (&json!(100), &json!(["read"])));
    let past = Past::read(record, |digest| facts.get(digest).copied()).unwrap();
    assert!(past.judge(&policy(&[])).permitted && !past.judge(&policy(&[("own.cedar", own)])).permitted);
}

#[test]
fn a_risky_place_that_nobody_named_is_not_gone_to_unnoticed() {
    let (known, wide) = ("email.send:domain=example.com", "email.send:domain=ev*");
    let world = watched(&[known, wide], "learning_days = 0", None);
    assert_eq!(world.check(known)["decision"], "allow");
    let answer = world.check("email.send:domain=evil.example");
    assert!(refused_for(&answer, "first_seen"), "{answer}");
    assert_eq!(answer["policies"], json!(["signals-not-risky"]), "{answer}");
    let answer = world.check(known);
    assert_eq!((&answer["decision"], &answer["signals"]), (&json!("allow"), &Value::Null), "{answer}");
    assert!(
        refused_for(&world.check("email.send:domain=evil.example"), "first_seen"),
        "asking makes nothing known"
    );
    assert_eq!(raised(&world.audit(), "first_seen")["agent"], "probe-agent");
}

#[test]
fn the_limits_are_those_of_the_documentation() {
    let limits = Limits::default();
    let text = std::fs::read_to_string(binaries::root().join("docs/signals.md")).unwrap();
    for signal in Signal::ALL {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{signal}` |"))).unwrap();
        let said: Vec<u64> = {
            let cell = row.split('|').nth(4).unwrap();
            let amounts = cell.split([',', ';']).map(str::trim).filter(|text| !text.is_empty());
            // `100,000` is one number.
            let amounts = amounts.fold(Vec::<String>::new(), |mut all, text| {
                match all.last_mut() {
                    Some(before) if text == "000" => before.push_str(text),
                    _ => all.push(text.to_owned()),
                }
                all
            });
            let amount = |text: &String| {
                let (number, unit) = text.split_once(' ').unwrap_or((text, ""));
                let unit = match unit {
                    "MiB" => 1 << 20,
                    "GiB" => 1 << 30,
                    _ => 1,
                };
                number.parse::<u64>().unwrap() * unit
            };
            amounts.iter().map(amount).collect()
        };
        let of = |bound: Bound| vec![bound.floor, bound.most];
        let expected = match signal {
            Signal::Rate => of(limits.rate),
            Signal::Burst => of(limits.burst),
            Signal::Volume => [of(limits.bytes), of(limits.items)].concat(),
            Signal::Spread => of(limits.spread),
            Signal::Denies => of(limits.denies),
            Signal::OffHours => vec![limits.off_hours],
            Signal::FirstSeen => vec![],
        };
        assert_eq!(said, expected, "{row}");
    }
}

#[test]
fn ordinary_use_raises_nothing() {
    let world = World::start();
    world.login(ALICE);
    for _ in 0..3 {
        world.probe(&[PAY, READ, "payments.read", "admin.manage", READ, READ]);
    }
    assert_eq!(records(&world.audit(), "signal").count(), 0);
    assert!(world.status().signals.is_empty());
}

#[test]
fn an_agent_says_what_became_of_its_own_actions_and_of_no_others() {
    let provider = Provider::start();
    let options = WorldOptions { store: Store::File, ..WorldOptions::default() };
    let mut world = World::without_daemon(&provider, options);
    let copy = world.home().canonicalize().unwrap().join("other-agent");
    std::fs::copy(binaries::program("probe-agent"), &copy).unwrap();
    let probe = AgentSpec::probe();
    let other = AgentSpec { name: "other".to_owned(), executable: copy.clone(), ..AgentSpec::probe() };
    let (registrations, grants): (Vec<_>, Vec<_>) =
        [&probe, &other].iter().map(|agent| agent.standing()).unzip();
    rights::put(&world.state_dir(), "default", &registrations, &grants.concat());
    world.start_daemon();
    world.login(ALICE);

    let paid = world.check(PAY);
    let id = paid["id"].as_str().unwrap().to_owned();
    let hostile = "TX-1\n{\"event\":\"decision\"}\u{1b}[2J\u{202e}";
    let said = json!({"decision": id, "outcome": "done", "reference": hostile, "bytes": 4, "items": 1});
    let answer = request(&world, "/v1/outcome", &said);
    assert_eq!((&answer["http_status"], &answer["repeated"]), (&json!(200), &json!(false)), "{answer}");
    let answer = request(&world, "/v1/outcome", &json!({"decision": id, "outcome": "failed"}));
    assert_eq!((&answer["outcome"], &answer["repeated"]), (&json!("failed"), &json!(true)), "{answer}");
    let log = world.audit();
    let outcomes: Vec<_> = records(&log, "outcome").filter(|record| record["id"] == id.as_str()).collect();
    let words: Vec<_> = outcomes.iter().map(|record| &record["details"]["outcome"]).collect();
    assert_eq!(words, ["done", "failed"]);
    let reference = outcomes[0]["details"]["reference"].as_str().unwrap();
    assert!(
        reference.starts_with("TX-1") && !reference.contains(['\n', '\u{1b}', '\u{202e}']),
        "{reference}"
    );
    assert_eq!(outcomes[0]["details"]["items"], 1);

    // Not of a deny, of nothing, of another agent's; not by the person; and nothing beyond its bounds.
    let denied = world.check("admin.manage")["id"].as_str().unwrap().to_owned();
    let say = |id: &str| json!({"decision": id, "outcome": "done"});
    for id in [denied.as_str(), "dec_0", "", "dec_00000000000000000000000000000000"] {
        let answer = request(&world, "/v1/outcome", &say(id));
        assert_eq!(
            (&answer["http_status"], &answer["code"]),
            (&json!(404), &json!("decision_unknown")),
            "{answer}"
        );
    }
    let mut others = binaries::command(&copy);
    others.arg("--socket").arg(world.socket()).args([
        "--request",
        "POST",
        "/v1/outcome",
        &say(&id).to_string(),
    ]);
    assert_eq!(world.lines_of(others).remove(0)["code"], "decision_unknown");
    let mut person = Raw::connect(&world.socket()).unwrap();
    let nonce = person.greet().unwrap();
    let answer = person.ask("POST", "/v1/outcome", Some(&nonce), Some(&say(&id))).unwrap();
    assert_eq!(answer.status, 403, "{answer:?}");
    let long = json!({"decision": id, "outcome": "done", "reference": "x".repeat(300)});
    for bad in [
        long,
        json!({"decision": id, "outcome": "perhaps"}),
        json!({"decision": id, "outcome": "done", "bytes": u64::MAX}),
    ] {
        assert_eq!(request(&world, "/v1/outcome", &bad)["code"], "request_invalid", "{bad}");
    }

    // What was allowed before a restart is known after it, and that its outcome was told.
    world.restart_daemon();
    let answer = wait::until("the past to be learned", || {
        Some(request(&world, "/v1/outcome", &say(&id))).filter(|answer| answer["http_status"] == 200)
    });
    assert_eq!(answer["repeated"], true, "{answer}");
}
