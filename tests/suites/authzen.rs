//! AuthZEN over the real socket: the certification scenario and the interoperability scenario with an enforcer, an agent's
//! own questions, and what an enforcer may not.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use agentauth_core::agent::Registration;
use e2e::{ALICE, AgentSpec, Provider, Store, World, WorldOptions, binaries, rights};
use serde_json::{Value, json};

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";

const SCHEMA: &str = r#"
entity User = { @from("request") "role"?: String };
entity Record = { @from("request") "status": String };
action "read", "write" appliesTo { principal: [User], resource: [Record] };
action "delete" appliesTo { principal: [User], resource: [Record], context: { @from("action") "soft"?: Bool } };
"#;
const POLICIES: &str = r#"
@id("read") permit(principal, action == Action::"read", resource);
@id("alice-writes") permit(principal == User::"alice", action == Action::"write", resource)
    unless { resource.status == "archived" };
@id("admins-write") permit(principal, action == Action::"write", resource)
    when { principal has role && principal.role == "admin" && resource.status == "archived" };
@id("soft") permit(principal == User::"alice", action == Action::"delete", resource)
    when { context has soft && context.soft };
"#;
const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": []},
    {"uid": {"type": "User", "id": "bob"}, "attrs": {"role": "admin"}, "parents": []},
    {"uid": {"type": "Record", "id": "record-1"}, "attrs": {"status": "active"}, "parents": []},
    {"uid": {"type": "Record", "id": "record-2"}, "attrs": {"status": "archived"}, "parents": []}
]"#;

/// The scenario's fixture.
const RECORDS: [(&str, &str); 3] =
    [("schema.cedarschema", SCHEMA), ("records.cedar", POLICIES), ("entities.json", ENTITIES)];

/// A process that asks over one greeted connection.
struct Gateway {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// One answer.
struct Said {
    status: u64,
    head: String,
    body: String,
}

impl Gateway {
    fn open(world: &World) -> Self {
        let mut command = world.probe_command(&["--relay"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Self { child, to, from }
    }

    #[track_caller]
    fn send(&mut self, method: &str, path: &str, headers: &Value, body: &str) -> Said {
        let line = json!({"method": method, "path": path, "headers": headers, "body": body});
        writeln!(self.to, "{line}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let text = |name: &str| said[name].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
        Said {
            status: said["status"].as_u64().unwrap(),
            head: text("head").to_lowercase(),
            body: text("body"),
        }
    }

    #[track_caller]
    fn post(&mut self, path: &str, body: &str) -> Said {
        self.send("POST", path, &json!({"content-type": "application/json"}), body)
    }

    /// The answer to something that is answered.
    #[track_caller]
    fn ask(&mut self, path: &str, body: &Value) -> Value {
        let said = self.post(path, &body.to_string());
        assert_eq!(said.status, 200, "{}", said.body);
        assert!(said.head.contains("content-type: application/json"), "{}", said.head);
        serde_json::from_str(&said.body).unwrap()
    }

    /// The decision about one question.
    #[track_caller]
    fn decides(&mut self, body: &Value) -> bool {
        self.ask(EVALUATION, body)["decision"].as_bool().unwrap()
    }

    /// The decisions about several.
    #[track_caller]
    fn decide(&mut self, body: &Value) -> Vec<bool> {
        let answer = self.ask(EVALUATIONS, body);
        let answers = answer["evaluations"].as_array().unwrap_or_else(|| panic!("{answer}"));
        answers.iter().map(|one| one["decision"].as_bool().unwrap()).collect()
    }

    /// What a search finds: ids, or names.
    #[track_caller]
    fn find(&mut self, what: &str, body: &Value) -> Vec<String> {
        let answer = self.ask(&format!("/access/v1/search/{what}"), body);
        let found =
            |result: &Value| result.get("id").or(result.get("name")).unwrap().as_str().unwrap().to_owned();
        answer["results"].as_array().unwrap_or_else(|| panic!("{answer}")).iter().map(found).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The test agent, registered to ask by this domain, and granted that.
fn gateway(domain: &str) -> (Registration, AgentSpec) {
    let asks = vec![format!("enforcer.ask:domain={domain}")];
    let spec = AgentSpec { scopes: asks.clone(), grants: asks, ..AgentSpec::probe() };
    (Registration { enforcer: Some(domain.to_owned()), ..spec.standing().0 }, spec)
}

fn put_domain(world: &World, domain: &str, files: &[(&str, &str)]) {
    let place = world.config_dir().join("domains").join(domain);
    e2e::world::private_directory(&place);
    files.iter().for_each(|(file, text)| std::fs::write(place.join(file), text).unwrap());
}

/// Somebody logged in, with an enforcer for this domain.
fn world(domain: &str, files: &[(&str, &str)]) -> World {
    let options = WorldOptions { store: Store::File, agents: Vec::new(), ..WorldOptions::default() };
    let mut world = World::without_daemon(&Provider::start(), options);
    let (registration, spec) = gateway(domain);
    rights::put(&world.state_dir(), "default", &[registration], &spec.standing().1);
    put_domain(&world, domain, files);
    world.start_daemon();
    world.login(ALICE);
    world
}

fn user(id: &str) -> Value {
    json!({"type": "user", "id": id})
}

fn record(id: &str) -> Value {
    json!({"type": "record", "id": id})
}

fn question(subject: Value, action: &str, resource: Value) -> Value {
    json!({"subject": subject, "action": {"name": action}, "resource": resource})
}

fn archived() -> Value {
    json!({"type": "record", "id": "record-2", "properties": {"status": "archived"}})
}

fn admin() -> Value {
    json!({"type": "user", "id": "bob", "properties": {"role": "admin"}})
}

#[test]
fn the_certification_scenario_basic() {
    let world = world("records", &RECORDS);
    let mut pdp = Gateway::open(&world);
    let delete = |soft: bool| {
        let action = json!({"name": "delete", "properties": {"soft": soft}});
        json!({"subject": user("alice"), "action": action, "resource": record("record-1")})
    };
    let the_eight = [
        (question(user("alice"), "read", record("record-1")), true),
        (question(user("alice"), "write", record("record-1")), true),
        (question(user("bob"), "read", record("record-1")), true),
        (question(user("bob"), "write", record("record-1")), false),
        (question(user("alice"), "write", archived()), false),
        (question(admin(), "write", archived()), true),
        (delete(true), true),
        (delete(false), false),
    ];
    for _ in 0..3 {
        for (asked, expected) in &the_eight {
            assert_eq!(pdp.decides(asked), *expected, "{asked}");
        }
    }
    // Context, additional properties and unknown members change nothing.
    let mut more = the_eight[0].0.clone();
    more["context"] = json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"});
    assert!(pdp.decides(&more));
    more["subject"]["properties"] = json!({"department": "Sales", "role": "manager"});
    more["action"]["properties"] = json!({"method": "GET"});
    more["resource"]["properties"] = json!({"status": "active", "owner": "bob"});
    more["foo"] = json!("bar");
    more["futureField"] = json!({"nested": true});
    assert!(pdp.decides(&more));
    let mut nulls = the_eight[0].0.clone();
    nulls["context"] = Value::Null;
    nulls["subject"]["properties"] = Value::Null;
    assert!(pdp.decides(&nulls));

    // What is malformed is refused with a text.
    let whole = &the_eight[0].0;
    let mut malformed: Vec<String> = Vec::new();
    for (entity, members) in
        [("subject", &["type", "id"][..]), ("action", &["name"]), ("resource", &["type", "id"])]
    {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(entity);
        malformed.push(without.to_string());
        for wrong in [json!("alice"), json!([]), json!(5), Value::Null] {
            let mut other = whole.clone();
            other[entity] = wrong;
            malformed.push(other.to_string());
        }
        for member in members {
            let mut without = whole.clone();
            without[entity].as_object_mut().unwrap().remove(*member);
            malformed.push(without.to_string());
            for wrong in [json!(123), json!({}), Value::Null] {
                let mut other = whole.clone();
                other[entity][*member] = wrong;
                malformed.push(other.to_string());
            }
        }
    }
    let mut context = whole.clone();
    context["context"] = json!("now");
    malformed.push(context.to_string());
    malformed.push(whole.to_string().replacen('{', r#"{"subject": {"type": "user", "id": "bob"}, "#, 1));
    malformed.push(whole.to_string().replacen(r#""id":"alice""#, r#""id":"alice","x":{"y":1,"y":2}"#, 1));
    malformed.extend(["", "{", "null", "[]", "\"x\"", "{}", "{\"subject\":"].map(str::to_owned));
    for body in malformed {
        let said = pdp.post(EVALUATION, &body);
        assert_eq!(said.status, 400, "{body}: {}", said.body);
        assert!(said.head.contains("content-type: text/plain"), "{}", said.head);
        assert!(!said.body.is_empty() && !said.body.starts_with('{'), "{}", said.body);
    }
    for headers in
        [json!({}), json!({"content-type": "text/plain"}), json!({"content-type": "application/jsonp"})]
    {
        assert_eq!(pdp.send("POST", EVALUATION, &headers, &whole.to_string()).status, 400, "{headers}");
    }
    let charset =
        json!({"content-type": "application/json; charset=utf-8", "X-Request-ID": "bfe9eb29-ab87-4ca3"});
    for (body, status) in [(whole.to_string(), 200), ("{".to_owned(), 400)] {
        let said = pdp.send("POST", EVALUATION, &charset, &body);
        assert_eq!(said.status, status, "{}", said.body);
        assert!(said.head.contains("\r\nx-request-id: bfe9eb29-ab87-4ca3\r\n"), "{}", said.head);
    }
    assert!(!pdp.post(EVALUATION, &whole.to_string()).head.contains("x-request-id"));
    assert_eq!(pdp.send("GET", EVALUATION, &json!({}), "").status, 405);
    assert_eq!(pdp.post("/access/v1/elsewhere", "{}").status, 404);
}

#[test]
fn the_certification_scenario_batch() {
    let world = world("records", &RECORDS);
    let mut pdp = Gateway::open(&world);
    let of = |id: &str, status: &str| json!({"type": "record", "id": id, "properties": {"status": status}});
    let batches = [
        (
            json!({"subject": user("alice"), "action": {"name": "read"},
                "evaluations": [{"resource": record("record-1")}, {"resource": record("record-2")}]}),
            vec![true, true],
        ),
        (
            json!({"subject": user("bob"), "resource": record("record-1"),
                "evaluations": [{"action": {"name": "read"}}, {"action": {"name": "write"}}]}),
            vec![true, false],
        ),
        (
            json!({"subject": user("alice"), "action": {"name": "write"},
                "evaluations": [{"resource": of("record-1", "active")}, {"resource": of("record-2", "archived")}]}),
            vec![true, false],
        ),
        (
            json!({"action": {"name": "write"}, "resource": archived(),
                "evaluations": [{"subject": user("alice")}, {"subject": admin()}]}),
            vec![false, true],
        ),
        (
            json!({"evaluations": [question(user("alice"), "read", record("record-1")),
                question(user("bob"), "write", record("record-1"))]}),
            vec![true, false],
        ),
        (
            json!({"subject": user("alice"), "action": {"name": "write"}, "resource": {"type": "record"},
                "evaluations": [{"resource": {"id": "record-1", "properties": {"status": "active"}}},
                    {"resource": archived()}]}),
            vec![true, false],
        ),
        // What an item says of an entity stands for all of it: these properties are nobody's.
        (
            json!({"subject": admin(), "action": {"name": "write"}, "resource": of("record-1", "archived"),
                "evaluations": [{"resource": record("record-1")}, {}, {"subject": user("alice")}]}),
            vec![false, true, false],
        ),
        (
            json!({"subject": user("alice"), "action": {"name": "read"}, "context": {"time": "now"},
                "evaluations": [{"resource": record("record-1")}, {"resource": record("record-2"), "context": {}}]}),
            vec![true, true],
        ),
    ];
    for (body, expected) in &batches {
        assert_eq!(&pdp.decide(body), expected, "{body}");
    }
    // One that is broken is its own answer.
    let broken = json!({"subject": user("alice"), "action": {"name": "read"},
        "evaluations": [{"resource": record("record-1")}, {}, {"resource": "x"}, 5]});
    assert_eq!(pdp.decide(&broken), [true, false, false, false]);
    let answer = pdp.ask(EVALUATIONS, &broken);
    assert_eq!(answer["evaluations"][1]["context"]["error"]["status"], 400, "{answer}");
    assert!(answer.get("decision").is_none());
    // Until the first that decides.
    let three = |semantic: &str| {
        json!({"subject": user("bob"), "resource": record("record-1"),
            "options": {"evaluations_semantic": semantic},
            "evaluations": [{"action": {"name": "read"}}, {"action": {"name": "write"}}, {"action": {"name": "read"}}]})
    };
    assert_eq!(pdp.decide(&three("execute_all")), [true, false, true]);
    assert_eq!(pdp.decide(&three("deny_on_first_deny")), [true, false]);
    assert_eq!(pdp.decide(&three("permit_on_first_permit")), [true]);
    // No items: one question.
    let mut plain = question(user("alice"), "read", record("record-1"));
    assert_eq!(pdp.ask(EVALUATIONS, &plain)["decision"], true);
    plain["evaluations"] = json!([]);
    assert_eq!(pdp.ask(EVALUATIONS, &plain)["decision"], true);
    for (member, wrong) in [
        ("evaluations", json!({})),
        ("evaluations", json!("x")),
        ("evaluations", json!(vec![json!({}); 257])),
        ("options", json!({"evaluations_semantic": "guess"})),
        ("subject", json!("alice")),
    ] {
        let mut body = batches[0].0.clone();
        body[member] = wrong;
        assert_eq!(pdp.post(EVALUATIONS, &body.to_string()).status, 400, "{member}");
    }
    assert_eq!(pdp.post(EVALUATIONS, "").status, 400);
}

#[test]
fn the_certification_scenario_search_and_discovery() {
    let world = world("records", &RECORDS);
    let mut pdp = Gateway::open(&world);
    let search = |subject: Value, action: &str, resource: Value| question(subject, action, resource);
    let users = json!({"type": "user"});
    let records = json!({"type": "record"});
    assert_eq!(pdp.find("subject", &search(users.clone(), "read", record("record-1"))), ["alice", "bob"]);
    assert_eq!(pdp.find("subject", &search(users.clone(), "write", archived())), ["bob"]);
    assert_eq!(
        pdp.find("resource", &search(user("alice"), "read", records.clone())),
        ["record-1", "record-2"]
    );
    assert_eq!(pdp.find("resource", &search(admin(), "write", records.clone())), ["record-2"]);
    let actions = |subject: Value, resource: Value| json!({"subject": subject, "resource": resource});
    assert_eq!(pdp.find("action", &actions(user("alice"), record("record-1"))), ["read", "write"]);
    assert_eq!(pdp.find("action", &actions(admin(), archived())), ["read", "write"]);
    // An id that stands where one is searched is ignored.
    assert_eq!(pdp.find("subject", &search(user("carol"), "read", record("record-1"))), ["alice", "bob"]);
    let answer = pdp.ask("/access/v1/search/subject", &search(users.clone(), "read", record("record-1")));
    assert_eq!(answer["results"][0], user("alice"), "{answer}");
    // What is not known is found nowhere.
    for (what, body) in [
        ("subject", search(json!({"type": "robot"}), "read", record("record-1"))),
        ("subject", search(users.clone(), "sing", record("record-1"))),
        ("subject", search(users.clone(), "read", record("nothing"))),
        ("resource", search(user("nobody"), "read", records.clone())),
        ("resource", search(user("alice"), "read", json!({"type": "planet"}))),
        ("action", actions(user("nobody"), record("record-1"))),
    ] {
        assert_eq!(pdp.find(what, &body), [""; 0], "{what} {body}");
    }
    for (what, body) in [
        ("subject", json!({"subject": {}, "action": {"name": "read"}, "resource": record("record-1")})),
        ("subject", json!({"action": {"name": "read"}, "resource": record("record-1")})),
        ("resource", json!({"subject": users, "action": {"name": "read"}, "resource": records})),
        ("action", json!({"subject": user("alice")})),
    ] {
        assert_eq!(pdp.post(&format!("/access/v1/search/{what}"), &body.to_string()).status, 400, "{what}");
    }
    // Page by page.
    let mut paged = search(json!({"type": "user"}), "read", record("record-1"));
    paged["page"] = json!({"limit": 1});
    let first = pdp.ask("/access/v1/search/subject", &paged);
    assert_eq!((&first["results"], &first["page"]["total"]), (&json!([user("alice")]), &json!(2)), "{first}");
    let token = first["page"]["next_token"].as_str().unwrap().to_owned();
    paged["page"] = json!({"limit": 1, "token": token});
    let last = pdp.ask("/access/v1/search/subject", &paged);
    assert_eq!(
        (&last["results"], &last["page"]["next_token"]),
        (&json!([user("bob")]), &json!("")),
        "{last}"
    );
    paged["action"]["name"] = json!("write");
    assert_eq!(pdp.post("/access/v1/search/subject", &paged.to_string()).status, 400, "another search");

    let said = pdp.send("GET", "/.well-known/authzen-configuration", &json!({}), "");
    assert!(said.status == 200 && said.head.contains("content-type: application/json"), "{}", said.head);
    let found: Value = serde_json::from_str(&said.body).unwrap();
    let base = found["policy_decision_point"].as_str().unwrap();
    assert!(base.starts_with("http+unix://%2F") && base.ends_with("%2Fagent.sock"), "{found}");
    for (member, path) in [
        ("access_evaluation_endpoint", EVALUATION),
        ("access_evaluations_endpoint", EVALUATIONS),
        ("search_subject_endpoint", "/access/v1/search/subject"),
        ("search_resource_endpoint", "/access/v1/search/resource"),
        ("search_action_endpoint", "/access/v1/search/action"),
    ] {
        assert_eq!(found[member], format!("{base}{path}"));
    }
}

/// The five users of the interoperability scenario: a letter in the id, the mail address, and whether they create, update
/// their own, update others', delete their own, delete others'.
const PEOPLE: [(char, &str, [bool; 5]); 5] = [
    ('A', "rick@the-citadel.com", [true, true, true, true, true]),
    ('E', "morty@the-citadel.com", [true, true, false, true, false]),
    ('I', "summer@the-smiths.com", [true, true, false, true, false]),
    ('M', "beth@the-smiths.com", [false, false, false, false, false]),
    ('Q', "jerry@the-smiths.com", [false, false, false, false, false]),
];

#[test]
fn the_todo_example() {
    let place = binaries::root().join("docs/examples/authzen-todo");
    let read = |file: &str| std::fs::read_to_string(place.join(file)).unwrap();
    let (schema, policies, entities) =
        (read("schema.cedarschema"), read("todo.cedar"), read("entities.json"));
    let files = [("schema.cedarschema", &*schema), ("todo.cedar", &*policies), ("entities.json", &*entities)];
    let world = world("todo", &files);
    let mut pdp = Gateway::open(&world);
    for (letter, mail, [creates, updates_own, updates, deletes_own, deletes]) in PEOPLE {
        let id = format!("CiRmZD{letter}2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs");
        let other = if letter == 'A' { "morty@the-citadel.com" } else { "rick@the-citadel.com" };
        let list = || json!({"type": "todo", "id": "todo-1"});
        let item = |owner: &str| {
            let item = "7240d0db-8ff0-41ec-98b2-34a096273b9f";
            json!({"type": "todo", "id": item, "properties": {"ownerID": owner}})
        };
        let cases = [
            ("can_read_user", user("beth@the-smiths.com"), true),
            ("can_read_user", user(mail), true),
            ("can_read_todos", list(), true),
            ("can_create_todo", list(), creates),
            ("can_update_todo", item(mail), updates_own),
            ("can_update_todo", item(other), updates),
            ("can_delete_todo", item(mail), deletes_own),
            ("can_delete_todo", item(other), deletes),
        ];
        for (action, resource, expected) in &cases {
            let asked = question(user(&id), action, resource.clone());
            assert_eq!(pdp.decides(&asked), *expected, "{mail}: {asked}");
        }
        let items: Vec<Value> = cases
            .iter()
            .map(|(action, resource, _)| json!({"action": {"name": action}, "resource": resource}))
            .collect();
        let expected: Vec<bool> = cases.iter().map(|(.., expected)| *expected).collect();
        assert_eq!(pdp.decide(&json!({"subject": user(&id), "evaluations": items})), expected, "{mail}");
    }
    let denied = pdp.ask(
        EVALUATION,
        &question(
            user("CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs"),
            "can_create_todo",
            json!({"type": "todo", "id": "todo-1"}),
        ),
    );
    let context = &denied["context"];
    assert_eq!(context["code"], "domain_forbids", "{denied}");
    assert_eq!(context["reason_user"]["domain_forbids"], "Viewers can look at the list, and change nothing.");
    assert_eq!(context["policies"], json!(["viewers-only-look"]), "{denied}");
}

/// The script that the example registers, asking as its page says.
#[test]
fn the_todo_examples_gateway() {
    let Some(python) = binaries::python() else { return };
    let place = binaries::root().join("docs/examples/authzen-todo");
    let options = WorldOptions { agents: Vec::new(), ..WorldOptions::default() };
    let mut world = World::without_daemon(&Provider::start(), options);
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(place.join("gateway.json")).unwrap()).unwrap();
    let asks = vec![manifest["scopes"][0]["scope"].as_str().unwrap().to_owned()];
    let spec = AgentSpec {
        name: manifest["name"].as_str().unwrap().to_owned(),
        executable: python.clone(),
        pinned: false,
        script: Some(place.join("gateway.py")),
        scopes: asks.clone(),
        grants: asks,
        ..AgentSpec::probe()
    };
    let (registration, grants) = spec.standing();
    let registration = Registration { enforcer: Some("todo".to_owned()), ..registration };
    rights::put(&world.state_dir(), "default", &[registration], &grants);
    let read = |file: &str| std::fs::read_to_string(place.join(file)).unwrap();
    let texts = ["schema.cedarschema", "todo.cedar", "entities.json"].map(|file| (file, read(file)));
    put_domain(&world, "todo", &texts.each_ref().map(|(file, text)| (*file, text.as_str())));
    world.start_daemon();
    world.login(ALICE);
    let page = read("README.md");
    let asked: Vec<&str> =
        page.split("<<'JSON'\n").skip(1).map(|rest| rest.split("\nJSON").next().unwrap()).collect();
    let ask = |path: &str, body: &str| -> Value {
        let mut command = binaries::command(&python);
        command.arg(place.join("gateway.py")).arg("--socket").arg(world.socket()).args(["--path", path]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let denied = ask(EVALUATION, asked[0]);
    assert_eq!(denied["context"]["code"], "domain_forbids", "{denied}");
    let own = asked[0].replace("rick@the-citadel.com", "morty@the-citadel.com");
    assert_eq!(ask(EVALUATION, &own)["decision"], true);
    let several = ask(EVALUATIONS, asked[1]);
    let decisions: Vec<&Value> =
        several["evaluations"].as_array().unwrap().iter().map(|one| &one["decision"]).collect();
    assert_eq!(decisions, [&json!(true), &json!(true)], "{several}");
}

#[test]
fn an_enforcer_is_decided_about_and_recorded_as_any_agent() {
    let mut world = world("records", &RECORDS);
    let mut pdp = Gateway::open(&world);
    let hostile = json!({"type": "user", "id": format!("al\u{1b}[2J\u{202e}{}", "x".repeat(5000))});
    assert!(!pdp.decides(&question(hostile, "read", record("record-1"))));
    let answer = pdp.ask(EVALUATION, &question(user("alice"), "read", record("record-1")));
    let written = world.record_of(&answer["context"]["id"]);
    assert_eq!(written["scopes"], json!(["enforcer.ask:domain=records"]), "{written}");
    let enforced = &written["details"]["enforced"];
    assert_eq!((&enforced["domain"], &enforced["permitted"]), (&json!("records"), &json!(true)), "{written}");
    assert_eq!((&enforced["subject"], &enforced["resource"]), (&user("alice"), &record("record-1")));
    assert_eq!((&enforced["action"], &enforced["policies"]), (&json!("read"), &json!(["read"])));
    assert_eq!(enforced["digest"].as_str().unwrap().len(), 64);
    // Equal but for what they are about: each is a record of its own, whatever it says.
    for number in 0..30 {
        assert!(!pdp.decides(&question(user(&format!("nobody-{number}")), "read", record("record-1"))));
    }
    let denials: Vec<Value> =
        world.audit().into_iter().filter(|record| record["reason"] == "domain_forbids").collect();
    assert_eq!(denials.len(), 31, "{denials:#?}");
    assert!(denials.iter().all(|record| record.to_string().len() < 4096));
    assert!(!denials[0].to_string().contains('\u{202e}'));

    // Its domain answers nothing that the daemon would not let it ask.
    let asked = question(user("alice"), "read", record("record-1"));
    assert_eq!(world.cli(&["lock"]).code, Some(0));
    let locked = pdp.ask(EVALUATION, &asked);
    assert_eq!(
        (&locked["decision"], &locked["context"]["code"]),
        (&json!(false), &json!("locked")),
        "{locked}"
    );
    let nothing = pdp
        .ask("/access/v1/search/action", &json!({"subject": user("alice"), "resource": record("record-1")}));
    assert_eq!(
        (&nothing["results"], &nothing["context"]["code"]),
        (&json!([]), &json!("locked")),
        "{nothing}"
    );
    drop(pdp);

    // An edited file is reported, not obeyed.
    let wide = POLICIES.replace("Action::\"read\"", "Action::\"write\"");
    put_domain(&world, "records", &[("records.cedar", &wide)]);
    world.restart_daemon();
    assert!(world.status().problems.iter().any(|problem| problem.contains("domains/records/records.cedar")));
}

#[test]
fn without_a_grant_or_a_sound_domain_nothing_is_permitted() {
    let options = WorldOptions { agents: Vec::new(), ..WorldOptions::default() };
    let mut world = World::without_daemon(&Provider::start(), options);
    let (registration, _) = gateway("records");
    rights::put(&world.state_dir(), "default", &[registration], &[]);
    put_domain(&world, "records", &RECORDS);
    put_domain(
        &world,
        "broken",
        &[("schema.cedarschema", SCHEMA), ("p.cedar", "permit(principal, action, resource);")],
    );
    world.start_daemon();
    world.login(ALICE);
    let asked = question(user("alice"), "read", record("record-1"));
    let mut pdp = Gateway::open(&world);
    let denied = pdp.ask(EVALUATION, &asked);
    let context = &denied["context"];
    assert_eq!(
        (&denied["decision"], &context["code"]),
        (&json!(false), &json!("consent_required")),
        "{denied}"
    );
    // The person is asked whether the gateway may ask, and the answer says where that waits.
    assert_eq!(context["reason"], "approval_required", "{denied}");
    assert_eq!(context["evaluation_id"], context["id"]);
    assert!(
        context["access_request"]["endpoint"].as_str().unwrap().starts_with("/v1/consents/ask_"),
        "{denied}"
    );
    assert!(context["access_request"]["expires_at"].is_string());
    assert!(
        world
            .status()
            .problems
            .iter()
            .any(|problem| problem.contains("`broken`") && problem.contains("no @id"))
    );
    drop(pdp);

    // With a grant, and a domain that cannot be used, or is not there.
    let files = [("schema.cedarschema", SCHEMA), ("p.cedar", "permit(principal, action, resource);")];
    for (domain, files) in [("broken", &files[..]), ("absent", &[])] {
        let world = self::world(domain, files);
        let mut pdp = Gateway::open(&world);
        let denied = pdp.ask(EVALUATION, &asked);
        assert_eq!(denied["context"]["code"], "domain_forbids", "{denied}");
        let users = question(json!({"type": "user"}), "read", record("record-1"));
        let found = pdp.ask("/access/v1/search/subject", &users);
        assert_eq!(
            (&found["results"], &found["context"]["code"]),
            (&json!([]), &json!("domain_forbids")),
            "{found}"
        );
    }
}

#[test]
fn an_agent_asks_for_itself_and_for_nobody_else() {
    let world = World::start();
    world.login(ALICE);
    let mut agent = Gateway::open(&world);
    let me = || json!({"type": "agent", "id": "probe-agent"});
    let read = || json!({"type": "files", "id": "/projects/alpha"});
    let asked = question(me(), "files.read", read());
    let allowed = agent.ask(EVALUATION, &asked);
    assert_eq!(
        (&allowed["decision"], &allowed["context"]["code"]),
        (&json!(true), &json!("granted")),
        "{allowed}"
    );
    assert!(allowed["context"]["expires_at"].is_string());
    let id = allowed["context"]["id"].clone();
    let written = world.record_of(&id);
    assert_eq!(written["scopes"], json!(["files.read:/projects/alpha"]), "{written}");
    // The same words as `POST /v1/check`.
    let denied = agent.ask(EVALUATION, &question(me(), "files.write", read()));
    assert_eq!(denied["context"]["reason"], "not_in_manifest", "{denied}");
    assert!(denied["context"]["reason_user"]["not_in_manifest"].as_str().unwrap().contains("may not"));
    assert!(denied["context"]["model_message"].as_str().unwrap().starts_with("Refused"));
    for (body, status) in [
        (question(json!({"type": "agent", "id": "payment-agent"}), "files.read", read()), 403),
        (question(user("probe-agent"), "files.read", read()), 403),
        (question(me(), "files.read", json!({"type": "sheets", "id": "/projects"})), 400),
        (question(me(), "read", read()), 400),
        (question(me(), "files.read:/etc", json!({"type": "files", "id": ""})), 400),
    ] {
        let said = agent.post(EVALUATION, &body.to_string());
        assert_eq!(said.status, status, "{body}: {}", said.body);
    }
    let several = json!({"subject": me(), "evaluations": [
        {"action": {"name": "files.read"}, "resource": read()},
        {"action": {"name": "files.read"}, "resource": read(), "subject": user("alice")},
        {"action": {"name": "payments.read"}, "resource": {"type": "payments", "id": ""}}]});
    assert_eq!(agent.decide(&several), [true, false, true]);
    // What it may do at all.
    let actions = json!({"subject": me(), "resource": read()});
    assert_eq!(agent.find("action", &actions), ["files.read"]);
    let places = json!({"subject": me(), "action": {"name": "files.read"}, "resource": {"type": "files"}});
    assert_eq!(agent.find("resource", &places), ["/projects"]);
    let who = json!({"subject": {"type": "agent"}, "action": {"name": "files.read"}, "resource": read()});
    assert_eq!(agent.find("subject", &who), ["probe-agent"]);

    // Who is no agent, and who did not greet, is not authenticated.
    let mut stranger = e2e::raw::Raw::connect(&world.socket()).unwrap();
    let nonce = stranger.greet().unwrap();
    let answer = stranger.ask("POST", EVALUATION, Some(&nonce), Some(&asked)).unwrap();
    assert_eq!(answer.status, 401, "{}", String::from_utf8_lossy(&answer.body));
    let found = stranger.ask("POST", "/access/v1/search/action", Some(&nonce), Some(&actions)).unwrap();
    assert_eq!(found.status, 401);
    let said =
        world.probe_command(&["--no-greeting", "--request", "POST", EVALUATION, &asked.to_string()]).output();
    let said = String::from_utf8_lossy(&said.unwrap().stdout).into_owned();
    assert!(said.contains("agentauthd-nonce"), "{said}");
}

#[test]
fn a_person_registers_an_enforcer_by_a_sign_in() {
    let options = WorldOptions { agents: Vec::new(), ..WorldOptions::default() };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    let manifest = world.home().join("gateway.json");
    let scopes = json!([{"scope": "enforcer.ask:domain=records", "purpose": "ask for the record store"}]);
    let text = json!({"name": "gateway", "version": "1.0.0", "scopes": scopes}).to_string();
    std::fs::write(&manifest, text).unwrap();
    let program = binaries::program("probe-agent");
    let shown = |path: &Path| path.display().to_string();
    let (manifest, program) = (shown(&manifest), shown(&program));
    let arguments = ["agent", "register", &manifest, "--exe", &program, "--enforcer", "records"];
    let done = world.confirmed_by(ALICE, &arguments);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains("ask about others, by the domain records"), "{done:?}");
    let agents = world.cli(&["agent", "show", "gateway", "--json"]).json();
    assert_eq!(agents["enforcer"], "records", "{agents}");
    let registered = world.records("agent.registered").remove(0);
    assert_eq!(registered["details"]["enforcer"], "records", "{registered}");
    let refused = world.cli(&["agent", "register", &manifest, "--exe", &program, "--enforcer", "../x"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("name a domain"), "{refused:?}");
}
