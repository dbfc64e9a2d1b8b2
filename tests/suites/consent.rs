//! Questions to the person over the socket: asked once, waited for, answered scope by scope, and what they give.

use e2e::cli::Running;
use e2e::{ALICE, AgentSpec, BOB, LoginRun, Provider, World, WorldOptions, wait};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const PAY: &str = "payments.execute:currency=EUR";
const READ: &str = "files.read:/projects";

/// Somebody logged in, whose agent may ask for everything that its manifest names and was allowed nothing.
fn world() -> World {
    let agent = AgentSpec { grants: Vec::new(), ..AgentSpec::probe() };
    let options = WorldOptions { agents: vec![agent], ..WorldOptions::default() };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    world
}

fn consents(world: &World) -> Vec<Value> {
    let list = world.cli(&["consents", "--json"]).json();
    list["consents"].as_array().unwrap().clone()
}

/// The agent sends one request.
fn request(world: &World, method: &str, path: &str, body: &Value) -> Value {
    world.probe(&["--request", method, path, &body.to_string()]).remove(0)
}

/// The agent asks, and the question that waits then.
#[track_caller]
fn asked(world: &World, body: &Value) -> String {
    let answer = request(world, "POST", "/v1/check", body);
    assert_eq!(answer["remedy"], "consent", "{answer}");
    answer["consents"][0].as_str().unwrap_or_else(|| panic!("no question: {answer}")).to_owned()
}

/// Answers by a fresh login.
#[track_caller]
fn approve(world: &World, arguments: &[&str]) {
    let command = world.command(&[&["approve", "--reauth", "--no-browser"], arguments].concat());
    let run = LoginRun::begin(command);
    world.provider.sign_in(&run.url, ALICE.email, ALICE.password);
    let outcome = run.finish();
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{}", world.log_tail());
}

#[test]
fn a_question_is_asked_once_and_a_fresh_login_answers_it_once() {
    let world = world();
    let id = asked(&world, &json!({"scope": PAY}));
    assert_eq!(asked(&world, &json!({"scope": PAY})), id, "the same question is joined");
    assert_eq!(world.records("consent.asked").len(), 1);
    let shown = world.cli(&["consents"]).stdout;
    for part in ["probe-agent", ALICE.email, "moves money", "do what the test asks for", "never allowed", PAY]
    {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }

    // No terminal shows that a person asks, and for money a terminal would not do.
    let refused = world.cli(&["approve", &id]);
    assert!(refused.code == Some(1) && refused.stderr.contains("--reauth"), "{refused:?}");
    let allow = json!({"allow": [{"scope": PAY, "for": "once"}]});
    let mut raw = e2e::raw::Raw::connect(&world.socket()).unwrap();
    let answer = raw.ask("POST", &format!("/v1/consents/{id}"), None, Some(&allow)).unwrap();
    assert_eq!(answer.status, 403, "{}", answer.json());
    assert_eq!(world.check(PAY)["reason"], "consent_required");

    // Somebody else's login is no answer.
    let run = LoginRun::begin(world.command(&["approve", &id, "--reauth", "--no-browser"]));
    world.provider.sign_in(&run.url, BOB.email, BOB.password);
    let refused = run.finish();
    assert!(refused.code == Some(1) && refused.stderr.contains("nothing was allowed"), "{refused:?}");
    assert_eq!(world.check(PAY)["reason"], "consent_required");

    approve(&world, &[&id]);
    assert!(consents(&world).is_empty());
    let allowed = world.check(PAY);
    assert_eq!(allowed["decision"], "allow", "{allowed}");
    let again = world.check(PAY);
    assert_eq!(again["decision"], "deny", "it was for one use: {again}");

    let answered = &world.records("consent.answered")[0];
    let details = &answered["details"];
    assert_eq!((&answered["decision"], &answered["id"]), (&json!("allow"), &json!(id)), "{answered}");
    assert_eq!(
        (&details["strength"], &details["binding"]),
        (&json!("reauth"), &json!("nonce")),
        "{answered}"
    );
    assert_eq!(details["given"][0]["scope"], PAY);
    assert_eq!(details["given"][0]["grant"], answered["grants"][0]);
    assert_eq!(details["request"]["scopes"], json!([{"scope": PAY, "for": "once"}]));
    assert!(details["shown"].to_string().contains("moves money"), "{details}");
    verifies_offline(&world, details);
    let gone = world.cli(&["deny", &id]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
}

/// RFC 8785 for what holds neither numbers nor control characters.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
            let members =
                sorted.iter().map(|(name, member)| format!("{}:{}", json!(name), canonical(member)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// Whoever has the record, the evidence that it names and the provider's keys can tell what the person signed in for.
fn verifies_offline(world: &World, details: &Value) {
    let digest = |request: &Value| hex::encode(Sha256::digest(canonical(request)));
    let file = world
        .state_dir()
        .join("evidence")
        .join(format!("{}.json", details["request_digest"].as_str().unwrap()));
    let kept = std::fs::read(&file).unwrap();
    assert_eq!(hex::encode(Sha256::digest(&kept)), details["evidence"], "the record names this evidence");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let token = kept["id_token"].as_str().unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(kept["keys"].clone()).unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut how = jsonwebtoken::Validation::new(header.alg);
    (how.validate_exp, how.validate_aud) = (false, false);
    how.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Value>(token, &key, &how).unwrap().claims;
    assert_eq!(claims["nonce"], digest(&details["request"]), "it was signed for exactly this");
    let mut other = details["request"].clone();
    other["scopes"][0]["scope"] = json!("payments.execute");
    assert_ne!(claims["nonce"], digest(&other), "and not for another scope");
    let (head, tail) = token.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", tail.chars().rev().collect::<String>());
    assert!(jsonwebtoken::decode::<Value>(&forged, &key, &how).is_err());
}

#[test]
fn a_check_waits_for_the_answer() {
    let world = world();
    let body = json!({"scopes": [READ, PAY], "wait_ms": 30_000}).to_string();
    let waiting = || Running::start(world.probe_command(&["--request", "POST", "/v1/check", &body]));
    let question = || wait::until("the question", || consents(&world).pop());

    // Part of it is allowed: the rest is refused, and so is the request as a whole.
    let first = waiting();
    let one = question();
    assert_eq!(one["scopes"].as_array().unwrap().len(), 2, "{one}");
    approve(&world, &[one["id"].as_str().unwrap(), "--scope", READ, "--for", "always"]);
    let answer = first.finish().json();
    assert_eq!(answer["reason"], "consent_denied", "{answer}");
    assert_eq!(world.check(READ)["decision"], "allow");

    let agent = world.probe_command(&["--request", "POST", "/v1/check", &body]);
    let denied = Running::start(agent).finish().json();
    assert_eq!(denied["reason"], "consent_denied", "no question so soon after a no: {denied}");
    assert!(consents(&world).is_empty());
}

#[test]
fn a_no_ends_the_waiting_and_may_be_for_everything() {
    let world = world();
    let body = json!({"scope": "payments.read:currency=EUR", "wait_ms": 30_000}).to_string();
    let waiting = Running::start(world.probe_command(&["--request", "POST", "/v1/check", &body]));
    let question = wait::until("the question", || consents(&world).pop());
    let other = asked(&world, &json!({"scope": PAY}));
    let denied = world.cli(&["deny", question["id"].as_str().unwrap(), "--for", "1h"]);
    assert!(denied.code == Some(0) && denied.stdout.contains("probe-agent"), "{denied:?}");
    assert_eq!(waiting.finish().json()["reason"], "consent_denied");
    assert!(consents(&world).is_empty(), "what else it asked is over, too");
    for scope in [PAY, READ] {
        assert_eq!(world.check(scope)["reason"], "consent_denied");
    }
    let ended = world.records("consent.ended");
    assert!(ended.iter().any(|record| record["id"] == *other && record["reason"] == "denied"), "{ended:?}");
    let answered = &world.records("consent.answered")[0];
    assert_eq!(
        (&answered["decision"], &answered["details"]["refused"]),
        (&json!("deny"), &json!(["payments.read:currency=EUR"]))
    );
}

#[test]
fn an_approval_is_bound_to_the_action_that_was_shown() {
    let world = world();
    let pay = |amount: i64| json!({"scope": PAY, "action": {"amount": amount, "to": {"iban": "DE02"}}});
    let id = asked(&world, &pay(100));
    assert_ne!(asked(&world, &pay(101)), id, "another action is another question");
    let shown = world.cli(&["consents"]).stdout;
    assert!(shown.contains("amount: 100") && shown.contains("to › iban: \"DE02\""), "{shown}");
    approve(&world, &[&id, "--for", "30m"]);
    let turned = json!({"scope": PAY, "action": {"to": {"iban": "DE02"}, "amount": 100}});
    let check = |body: &Value| request(&world, "POST", "/v1/check", body);
    assert_eq!(check(&turned)["decision"], "allow");
    for other in [pay(101), json!({"scope": PAY}), json!({"scope": PAY, "action": {"amount": 100}})] {
        assert_eq!(check(&other)["decision"], "deny", "{other}");
    }
    for wrong in [json!([]), json!({}), json!({"amount": 0.5}), json!({"a": "x".repeat(5000)})] {
        let refused = check(&json!({"scope": PAY, "action": wrong}));
        assert_eq!(refused["code"], "request_invalid", "{refused}");
    }
    let mut raw = e2e::raw::Raw::connect(&world.socket()).unwrap();
    let twice = format!(r#"{{"scope":"{PAY}","action":{{"amount":1,"amount":100}}}}"#);
    let head = format!(
        "POST /v1/check HTTP/1.1\r\nhost: agentauthd\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        twice.len()
    );
    raw.send(&[head.as_bytes(), twice.as_bytes()].concat()).unwrap();
    assert_eq!(raw.receive().unwrap().status, 400, "a repeated member");
}

#[test]
fn an_agent_sees_and_refuses_its_own_questions_and_allows_none() {
    let world = world();
    let id = asked(&world, &json!({"scope": PAY}));
    let listed = world.probe(&["--request", "GET", "/v1/consents"]).remove(0);
    assert_eq!(listed["consents"][0]["id"], *id, "{listed}");
    for body in [
        json!({"allow": [{"scope": PAY, "for": "once"}]}),
        json!({"allow": [{"scope": PAY, "for": "once"}], "reauth": true}),
        json!({"allow": [{"scope": READ, "for": "once"}]}),
    ] {
        let answer = request(&world, "POST", &format!("/v1/consents/{id}"), &body);
        assert!(answer["http_status"] == 403 || answer["http_status"] == 400, "{answer}");
    }
    assert_eq!(consents(&world).len(), 1);
    let answer = request(&world, "POST", &format!("/v1/consents/{id}"), &json!({}));
    assert_eq!(answer["refused"], json!([PAY]), "{answer}");
    assert!(consents(&world).is_empty());
    assert!(world.records("grant.added").is_empty());
}

#[test]
fn nobody_is_worn_down_by_asking() {
    let world = world();
    let scopes: Vec<String> = (0..30).map(|number| format!("{READ}/{number}")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let answers = world.probe(&scopes);
    assert!(answers.iter().all(|answer| answer["reason"] == "consent_required"), "{answers:?}");
    let waiting = consents(&world).len();
    assert!((1..=4).contains(&waiting), "{waiting} questions wait");
    for question in consents(&world) {
        assert_eq!(world.cli(&["deny", question["id"].as_str().unwrap()]).code, Some(0));
    }
    world.probe(&scopes);
    assert!(world.records("consent.asked").len() <= 8, "few in a short time, whatever is answered");
}

#[test]
fn a_provider_that_does_not_show_a_fresh_sign_in_confirms_nothing() {
    let world = world();
    let id = asked(&world, &json!({"scope": PAY}));
    for claims in [json!({"nonce": null}), json!({"auth_time": null}), json!({"auth_time": 1_000_000_000})] {
        let run = LoginRun::begin(world.command(&["approve", &id, "--reauth", "--no-browser"]));
        let change = serde_json::from_value(json!({"kind": "id", "claims": claims})).unwrap();
        world.provider.next_token(change);
        world.provider.sign_in(&run.url, ALICE.email, ALICE.password);
        let refused = run.finish();
        assert!(
            refused.code == Some(1) && refused.stderr.contains("nothing was allowed"),
            "{claims}: {refused:?}"
        );
    }
    assert_eq!(world.check(PAY)["reason"], "consent_required");
    assert!(world.records("consent.answered").is_empty());

    // What a prompt is enough for, it is a prompt for; and nothing shows a fresh sign-in.
    for (number, claims) in
        [json!({"auth_time": null}), json!({"auth_time": 1_000_000_000})].iter().enumerate()
    {
        let id = asked(&world, &json!({"scope": format!("files.read:/projects/{number}")}));
        let command = ["approve", &id, "--for", "30m", "--reauth", "--no-browser"];
        let run = LoginRun::begin(world.command(&command));
        let change = serde_json::from_value(json!({"kind": "id", "claims": claims})).unwrap();
        world.provider.next_token(change);
        world.provider.sign_in(&run.url, ALICE.email, ALICE.password);
        let outcome = run.finish();
        assert_eq!(outcome.code, Some(0), "{claims}: {outcome:?}");
        let details = &world.records("consent.answered")[number]["details"];
        assert_eq!(
            (&details["strength"], &details["binding"]),
            (&json!("prompt"), &json!("sign_in")),
            "{details}"
        );
        assert!(details["evidence"].is_null() && details["lacks"].is_string(), "{details}");
    }
}
