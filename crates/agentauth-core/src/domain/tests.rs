//! Loading, judging and searching, the scenarios of AuthZEN, and what must hold of any question.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Domain, Question, Sought, Thing};

const SCHEMA: &str = r#"
entity User = { @from("request") "role"?: String, "clearance"?: Long };
entity Record = { @from("request") "status": String, "owner"?: User };
type Circumstances = { @from("request") "ip"?: ipaddr, @from("action") "soft"?: Bool, "never"?: Bool };
action "read", "write", "delete" appliesTo { principal: [User], resource: [Record], context: Circumstances };
"#;
const POLICIES: &str = r#"
@id("read") permit(principal, action == Action::"read", resource);
@id("alice-writes") permit(principal == User::"alice", action == Action::"write", resource) unless { resource.status == "archived" };
@id("admins-write") permit(principal, action == Action::"write", resource)
    when { principal has role && principal.role == "admin" && resource.status == "archived" };
@id("soft") permit(principal, action == Action::"delete", resource) when { context has soft && context.soft };
@id("lab") @reason_user("The laboratory is closed.") @reason_admin("by the director")
    forbid(principal, action, resource == Record::"lab");
"#;
const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "alice"}, "attrs": {}, "parents": []},
    {"uid": {"type": "User", "id": "bob"}, "attrs": {"role": "admin"}, "parents": []},
    {"uid": {"type": "Record", "id": "record-1"}, "attrs": {"status": "active"}, "parents": []},
    {"uid": {"type": "Record", "id": "record-2"}, "attrs": {"status": "archived"}, "parents": []},
    {"uid": {"type": "Record", "id": "lab"}, "attrs": {"status": "active"}, "parents": []}
]"#;

static DOMAIN: LazyLock<Domain> = LazyLock::new(|| load(SCHEMA, POLICIES, ENTITIES).unwrap());

fn load(schema: &str, policies: &str, entities: &str) -> Result<Domain, Vec<String>> {
    let files = [("schema.cedarschema", schema), ("p.cedar", policies), ("entities.json", entities)];
    let files: BTreeMap<_, _> = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    Domain::load("records", &files).map_err(|faults| faults.0.iter().map(ToString::to_string).collect())
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn thing(kind: &str, id: &str, properties: &Value) -> Thing {
    Thing { kind: kind.to_owned(), id: id.to_owned(), properties: object(properties) }
}

/// `subject`, `action` and `resource`, each with what is said of it.
fn question(subject: (&str, Value), action: (&str, Value), resource: (&str, Value)) -> Question {
    Question {
        subject: thing("user", subject.0, &subject.1),
        action: action.0.to_owned(),
        action_properties: object(&action.1),
        resource: thing("record", resource.0, &resource.1),
        context: Map::new(),
    }
}

fn plain(subject: &str, action: &str, resource: &str) -> Question {
    question((subject, json!({})), (action, json!({})), (resource, json!({})))
}

fn permits(question: &Question) -> bool {
    DOMAIN.judge(question).permitted
}

#[test]
fn the_eight_decisions_of_the_certification_scenario() {
    let none = || json!({});
    assert!(permits(&plain("alice", "read", "record-1")));
    assert!(permits(&plain("alice", "write", "record-1")));
    assert!(permits(&plain("bob", "read", "record-1")));
    assert!(!permits(&plain("bob", "write", "record-1")));
    let archived = || ("record-2", json!({"status": "archived"}));
    assert!(!permits(&question(("alice", none()), ("write", none()), archived())));
    assert!(permits(&question(("bob", json!({"role": "admin"})), ("write", none()), archived())));
    let delete = |soft| question(("alice", none()), ("delete", json!({"soft": soft})), ("record-1", none()));
    assert!(permits(&delete(true)) && !permits(&delete(false)));
}

#[test]
fn what_a_question_says_counts_only_where_the_schema_lets_it() {
    let none = || json!({});
    let active = json!({"status": "active"});
    assert!(permits(&question(("alice", none()), ("write", none()), ("record-2", active.clone()))));
    // Not known, and all that its type demands is said.
    assert!(permits(&question(("alice", none()), ("write", none()), ("record-9", active))));
    let said = json!({"status": "active", "owner": 5, "clearance": "x"});
    assert!(permits(&question(("alice", said.clone()), ("read", said.clone()), ("record-1", said))));
    // Of the wrong type, or with nothing said that counts.
    for resource in
        [("record-1", json!({"status": 5})), ("record-9", none()), ("record-9", json!({"status": null}))]
    {
        let verdict = DOMAIN.judge(&question(("alice", none()), ("read", none()), resource));
        assert!(!verdict.permitted && verdict.unasked.is_some(), "{verdict:?}");
    }
    // From elsewhere than the schema says.
    let mut asked = plain("alice", "delete", "record-1");
    asked.context = object(&json!({"soft": true, "never": true}));
    assert!(!permits(&asked));
    asked.action_properties = object(&json!({"soft": true, "ip": "not one"}));
    assert!(permits(&asked));
    asked.context = object(&json!({"ip": "not one"}));
    assert!(!permits(&asked), "what does not fit the schema denies");
    asked.context = object(&json!({"ip": "127.0.0.1"}));
    assert!(permits(&asked));
}

#[test]
fn what_is_not_known_is_denied_and_said() {
    for (asked, what) in [
        (plain("nobody", "read", "record-1"), "subject `nobody`"),
        (plain("alice", "read", "nothing"), "resource `nothing`"),
        (plain("alice", "sing", "record-1"), "action `sing`"),
        (
            Question { subject: thing("robot", "r", &json!({})), ..plain("", "read", "record-1") },
            "type `robot`",
        ),
    ] {
        let verdict = DOMAIN.judge(&asked);
        assert!(!verdict.permitted && verdict.unasked.unwrap().contains(what), "{what}");
    }
    let named = Question { subject: thing("USER", "alice", &json!({})), ..plain("", "read", "record-1") };
    assert!(permits(&named));
    let swapped =
        Question { subject: thing("record", "record-1", &json!({})), ..plain("", "read", "record-1") };
    assert!(!permits(&swapped));
}

#[test]
fn a_forbid_wins_and_says_why() {
    let verdict = DOMAIN.judge(&plain("alice", "read", "lab"));
    assert_eq!((verdict.permitted, verdict.policies), (false, vec!["lab".to_owned()]));
    assert_eq!(verdict.reason_user.as_deref(), Some("The laboratory is closed."));
    assert_eq!(verdict.reason_admin.as_deref(), Some("by the director"));
    assert_eq!(DOMAIN.judge(&plain("alice", "read", "record-1")).reason_user, None);
}

#[test]
fn any_evaluation_error_denies() {
    let failing = r#"@id("all") permit(principal, action, resource);
        @id("fails") forbid(principal, action, resource) when { principal has clearance && principal.clearance + 1 > 10 };"#;
    let entities = ENTITIES.replacen("\"attrs\": {}", "\"attrs\": {\"clearance\": 9223372036854775807}", 1);
    let domain = load(SCHEMA, failing, &entities).unwrap();
    let verdict = domain.judge(&plain("alice", "read", "record-1"));
    assert_eq!((verdict.permitted, verdict.policies), (false, vec!["fails".to_owned()]));
    assert!(verdict.unasked.is_some());
    assert!(domain.judge(&plain("bob", "read", "record-1")).permitted);
    assert_eq!(domain.search(Sought::Subjects, &plain("", "read", "record-1")), ["bob"]);
}

#[test]
fn searches_find_what_is_permitted() {
    let search = |sought, subject: &str, action: &str, resource: &str| {
        DOMAIN.search(sought, &plain(subject, action, resource))
    };
    assert_eq!(search(Sought::Subjects, "", "read", "record-1"), ["alice", "bob"]);
    assert_eq!(search(Sought::Subjects, "", "write", "record-2"), ["bob"]);
    assert_eq!(search(Sought::Resources, "alice", "read", ""), ["record-1", "record-2"]);
    assert_eq!(search(Sought::Resources, "bob", "write", ""), ["record-2"]);
    assert_eq!(search(Sought::Actions, "alice", "", "record-1"), ["read", "write"]);
    let soft = question(("alice", json!({})), ("", json!({"soft": true})), ("record-1", json!({})));
    assert_eq!(DOMAIN.search(Sought::Actions, &soft), ["delete", "read", "write"]);
    let every = question(("alice", json!({})), ("write", json!({})), ("", json!({"status": "active"})));
    assert_eq!(DOMAIN.search(Sought::Resources, &every), ["record-1", "record-2"]);
    for nothing in [
        search(Sought::Subjects, "", "sing", "record-1"),
        search(Sought::Subjects, "", "read", "nothing"),
        search(Sought::Resources, "nobody", "read", ""),
        search(Sought::Actions, "nobody", "", "record-1"),
        DOMAIN.search(
            Sought::Subjects,
            &Question { subject: thing("robot", "", &json!({})), ..plain("", "read", "record-1") },
        ),
    ] {
        assert_eq!(nothing, [""; 0]);
    }
}

#[test]
fn every_fault_is_told_with_its_place() {
    let wrong = |schema: &str, policies: &str, entities: &str| load(schema, policies, entities).unwrap_err();
    let told = wrong(
        SCHEMA,
        "permit(principal, action, resource);\n@id(\"a\") @until(\"x\") permit(principal, action, resource);\n\
         @id(\"b\")\npermit(principal, action, resource)\nwhen { principal.roel == \"x\" };",
        r#"[{"uid": {"type": "User", "id": "x"}, "attrs": {"role": 5}, "parents": []}]"#,
    );
    assert_eq!(told.len(), 4, "{told:#?}");
    for part in
        ["p.cedar: a policy has no @id", "@until: there is no such annotation", "`b`", "entities.json"]
    {
        assert!(told.iter().any(|fault| fault.contains(part)), "{part}: {told:#?}");
    }
    assert!(wrong(SCHEMA, "permit(\n", "[]")[0].starts_with("p.cedar:"));
    assert!(wrong("entity User = {", POLICIES, "[]")[0].starts_with("schema.cedarschema:1:"));
    for (schema, part) in [
        (SCHEMA.replace("@from(\"request\") \"role\"", "@from(\"moon\") \"role\""), "moon"),
        (SCHEMA.replace("@from(\"request\") \"role\"", "@from(\"action\") \"role\""), "`action`"),
        (SCHEMA.replace("\"never\"?: Bool", "\"never\": Bool"), "`never`"),
        (format!("{SCHEMA}\nentity USER;"), "USER"),
    ] {
        let told = wrong(&schema, POLICIES, "[]");
        assert!(told[0].contains(part.trim_matches('`')), "{part}: {told:#?}");
    }
    let twice = format!("{POLICIES}\n@id(\"read\") permit(principal, action, resource);");
    assert!(wrong(SCHEMA, &twice, "[]")[0].contains("stands in `p.cedar` already"));
    let named = Domain::load("No Name", &BTreeMap::new()).unwrap_err().0;
    assert_eq!(named.len(), 2, "{named:?}");
}

#[test]
fn the_digest_is_of_what_counts() {
    let of = |more: &[(&str, &str)]| {
        let files = [("schema.cedarschema", SCHEMA), ("p.cedar", POLICIES)];
        let files = files.iter().chain(more).map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Domain::load("records", &files.collect()).unwrap().digest().to_owned()
    };
    assert_eq!(of(&[]), of(&[("README.md", "words")]));
    assert_ne!(of(&[]), of(&[("entities.json", "[]")]));
    assert_ne!(of(&[]), of(&[("q.cedar", "")]));
}

/// The example in the documentation, by the interoperability scenario's own rules.
#[test]
fn the_todo_example_decides_as_its_scenario_says() {
    let files = [
        ("schema.cedarschema", include_str!("../../../../docs/examples/authzen-todo/schema.cedarschema")),
        ("todo.cedar", include_str!("../../../../docs/examples/authzen-todo/todo.cedar")),
        ("entities.json", include_str!("../../../../docs/examples/authzen-todo/entities.json")),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    let domain = Domain::load("todo", &files).unwrap();
    let asked = |letter: char, action: &str, resource: Thing| Question {
        subject: thing(
            "user",
            &format!("CiRmZD{letter}2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs"),
            &json!({}),
        ),
        action: action.to_owned(),
        resource,
        ..Question::default()
    };
    // Letter, mail address, and whether they create, update own, update others', delete own, delete others'.
    for (letter, mail, may) in [
        ('A', "rick@the-citadel.com", [true, true, true, true, true]),
        ('E', "morty@the-citadel.com", [true, true, false, true, false]),
        ('I', "summer@the-smiths.com", [true, true, false, true, false]),
        ('M', "beth@the-smiths.com", [false; 5]),
        ('Q', "jerry@the-smiths.com", [false; 5]),
    ] {
        let permits =
            |action: &str, resource: Thing| domain.judge(&asked(letter, action, resource)).permitted;
        let item =
            |owner: &str| thing("todo", "7240d0db-8ff0-41ec-98b2-34a096273b92", &json!({"ownerID": owner}));
        let list = || thing("todo", "todo-1", &json!({}));
        for read in ["beth@the-smiths.com", mail] {
            assert!(permits("can_read_user", thing("user", read, &json!({}))), "{mail}");
        }
        assert!(permits("can_read_todos", list()), "{mail}");
        let found = [
            permits("can_create_todo", list()),
            permits("can_update_todo", item(mail)),
            permits("can_update_todo", item("someone@the-citadel.com")),
            permits("can_delete_todo", item(mail)),
            permits("can_delete_todo", item("someone@the-citadel.com")),
        ];
        assert_eq!(found, may, "{mail}");
    }
}

fn said() -> impl Strategy<Value = Map<String, Value>> {
    let names =
        prop::sample::select(vec!["clearance", "owner", "never", "Role", "STATUS", "x", "__entity", "type"]);
    let values = prop::sample::select(vec![
        json!(true),
        json!(9_223_372_036_854_775_807_i64),
        json!("admin"),
        json!(["archived"]),
        json!({"__entity": {"type": "User", "id": "bob"}}),
    ]);
    prop::collection::btree_map(names.prop_map(str::to_owned), values, 0..5)
        .prop_map(|map| map.into_iter().collect())
}

proptest! {
    /// Whatever is said beside what the schema lets count: the verdict is the same.
    #[test]
    fn what_does_not_count_changes_nothing(
        subject in prop::sample::select(vec!["alice", "bob", "carol"]),
        action in prop::sample::select(vec!["read", "write", "delete"]),
        resource in prop::sample::select(vec!["record-1", "record-2", "lab", "none"]),
        sayings in [said(), said(), said(), said()],
    ) {
        let asked = plain(subject, action, resource);
        let [of_subject, of_resource, of_action, context] = sayings;
        let mut chatty = asked.clone();
        chatty.subject.properties = of_subject;
        chatty.resource.properties = of_resource;
        chatty.action_properties = of_action;
        chatty.context = context;
        prop_assert_eq!(DOMAIN.judge(&asked), DOMAIN.judge(&chatty));
    }

    /// What a search finds is what is permitted when it is asked one by one.
    #[test]
    fn a_search_is_its_evaluations(
        action in prop::sample::select(vec!["read", "write", "delete"]),
        resource in prop::sample::select(vec!["record-1", "record-2", "lab"]),
        soft in any::<bool>(),
    ) {
        let mut asked = plain("", action, resource);
        asked.action_properties = object(&json!({"soft": soft}));
        let one_by_one: Vec<String> = ["alice", "bob"].into_iter().filter(|subject| {
            permits(&Question { subject: thing("user", subject, &json!({})), ..asked.clone() })
        }).map(str::to_owned).collect();
        prop_assert_eq!(DOMAIN.search(Sought::Subjects, &asked), one_by_one);
    }

    /// A forbid more never permits more.
    #[test]
    fn another_forbid_permits_nothing(
        subject in prop::sample::select(vec!["alice", "bob"]),
        action in prop::sample::select(vec!["read", "write"]),
        resource in prop::sample::select(vec!["record-1", "record-2"]),
    ) {
        static STRICTER: LazyLock<Domain> = LazyLock::new(|| {
            let more = format!("{POLICIES}\n@id(\"no\") forbid(principal == User::\"bob\", action, resource);");
            load(SCHEMA, &more, ENTITIES).unwrap()
        });
        let asked = plain(subject, action, resource);
        let stricter = STRICTER.judge(&asked).permitted;
        prop_assert!(!stricter || permits(&asked));
        prop_assert!(subject == "alice" || !stricter);
    }
}
