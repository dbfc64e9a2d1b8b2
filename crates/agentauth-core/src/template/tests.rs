//! Reading templates, and what becomes of them.

use serde_json::json;

use super::*;
use crate::catalogue::Catalogue;
use crate::policy::Policy;

const CARD: &str = r#"{
  "policyId": "card",
  "rules": [
    {"if": {"requestedScope": "files.*"}, "then": {"maxLifetimeMinutes": 15}},
    {"if": {"requestedScope": "sheets.write"}, "then": {"require": ["poP", "attestation"]}},
    {"if": {"device.os": "unmanaged"}, "then": {"deny": true}}
  ]
}"#;

/// Every condition and every effect, in every form.
const WHOLE: &str = include_str!("../../testdata/templates/whole.json");

fn faults(json: &str) -> Vec<(String, TemplateFaultCode)> {
    let faults = Template::parse(json.as_bytes()).err().map(|faults| faults.0).unwrap_or_default();
    faults.into_iter().map(|fault| (fault.path, fault.code)).collect()
}

/// A template with this one rule.
fn rule(rule: &serde_json::Value) -> String {
    json!({"policyId": "t", "rules": [rule]}).to_string()
}

#[test]
fn the_shortest_form_is_a_template() {
    let template = Template::parse(CARD.as_bytes()).unwrap();
    assert_eq!(template.id, "card");
    let ids: Vec<_> = template.rules.iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids, ["r1", "r2", "r3"]);
    assert_eq!(template.rules[1].effects, [Effect::RequireProof, Effect::RequireAttestation]);
    assert_eq!(template.rules[2].when, [Condition::Os(vec![Os::Unmanaged])]);
    assert_eq!(template.digest, crate::canonical::sha256_hex(CARD.as_bytes()));
    assert_eq!(
        template.policy_ids(),
        ["card.r1-limit", "card.r2-proof", "card.r2-attestation", "card.r2-limit", "card.r3"]
    );
    assert_eq!(template.rule_of("card.r2-limit").map(|(position, _)| position), Some(1));
    assert_eq!(template.rule_of("card.r4"), None);
}

#[test]
fn the_policies_say_where_they_come_from_and_can_be_read() {
    let cedar = Template::parse(CARD.as_bytes()).unwrap().to_cedar("card.json");
    let digest = crate::canonical::sha256_hex(CARD.as_bytes());
    let expected = format!(
        r#"// card
//
// Imported from the policy template `card` in card.json by `agentauthd policy import`: change that file and import it
// anew, since what is changed here is lost then.
// SHA-256 of the template: {digest}

// Rule 1 of card.json (`/rules/0`):
// {{"if": {{"requestedScope": "files.*"}}, "then": {{"maxLifetimeMinutes": 15}}}}

@id("card.r1-limit")
@limits_only
@max_lifetime("PT15M")
permit (
  principal,
  action in AgentAuth::Action::"files.*",
  resource
);

// Rule 2 of card.json (`/rules/1`):
// {{"if": {{"requestedScope": "sheets.write"}}, "then": {{"require": ["poP", "attestation"]}}}}

@id("card.r2-proof")
@remedy("proof")
@reason_user("“card” allows this only to a program that proves to hold a key.")
@reason_admin("Rule `r2` of the policy template `card` does not allow it.")
forbid (
  principal,
  action == AgentAuth::Action::"sheets.write",
  resource
)
unless {{ context.known.proof }};

@id("card.r2-attestation")
@remedy("attestation")
@reason_user("“card” allows this only on a device that has proven what it is.")
@reason_admin("Rule `r2` of the policy template `card` does not allow it.")
forbid (
  principal,
  action == AgentAuth::Action::"sheets.write",
  resource
)
unless {{ context.known.device.attested }};

@id("card.r2-limit")
@limits_only
@require_proof
permit (
  principal,
  action == AgentAuth::Action::"sheets.write",
  resource
);

// Rule 3 of card.json (`/rules/2`):
// {{"if": {{"device.os": "unmanaged"}}, "then": {{"deny": true}}}}

@id("card.r3")
@reason_user("“card” does not allow this.")
@reason_admin("Rule `r3` of the policy template `card` does not allow it.")
forbid (
  principal,
  action,
  resource
)
when {{ !context.known.device.managed }};
"#
    );
    assert_eq!(cedar, expected);
}

#[test]
fn what_is_compiled_passes_strict_validation() {
    let catalogue = Catalogue::shipped().unwrap();
    for json in [CARD, WHOLE] {
        let template = Template::parse(json.as_bytes()).unwrap_or_else(|faults| panic!("{faults}"));
        let cedar = template.to_cedar("t.json");
        let ids = template.policy_ids();
        let sources = [("base.cedar", Policy::shipped()[0].1), ("t.cedar", cedar.as_str())];
        let policy =
            Policy::load(&sources, &catalogue, [""; 0]).unwrap_or_else(|faults| panic!("{faults}\n{cedar}"));
        assert_eq!(policy.len(), ids.len() + 1);
        assert_eq!(policy.warnings(), [""; 0], "{cedar}");
        for id in ids {
            assert!(cedar.contains(&format!("@id(\"{id}\")\n")), "{id}");
        }
    }
}

/// The head names the agent, so that nobody else counts as one to whom the policy may grant something.
#[test]
fn what_is_preapproved_for_one_agent_reaches_no_other() {
    let json = rule(
        &json!({"if": {"requestedScope": "files.read", "agent": "cleaner"}, "then": {"preapprove": true}}),
    );
    let cedar = Template::parse(json.as_bytes()).unwrap().to_cedar("t.json");
    let policy = Policy::load(&[("t", cedar.as_str())], &Catalogue::shipped().unwrap(), [""; 0])
        .unwrap_or_else(|faults| panic!("{faults}\n{cedar}"));
    let scope = "files.read".parse().unwrap();
    assert!(policy.may_preapprove("cleaner", &scope) && !policy.may_preapprove("other", &scope), "{cedar}");
}

#[test]
fn every_fault_is_told_at_once_with_its_place() {
    let text = "{\n  \"policyId\": \"a b\",\n  \"rules\": [\n    {\"if\": {\"requestedScop\": \"x\", \"user\": 1}, \"then\": {\"deny\": false}},\n    {\"if\": {\"risk\": [\"high\", \"hihg\"]}, \"then\": {\"require\": \"pop\"}, \"then\": {}}\n  ]\n}";
    let faults = Template::parse(text.as_bytes()).unwrap_err();
    let told = faults.to_string();
    for line in [
        "2:15: `/policyId` is `a b`: ",
        "4:13: `/rules/0/if/requestedScop` is not known: ",
        "|     {\"if\": {\"requestedScop\": \"x\", \"user\": 1}, \"then\": {\"deny\": false}},",
        "|             ^^^^^^^^^^^^^^^",
        "4:43: `/rules/0/if/user` is a number: a text, or a list of texts is expected",
        "4:64: `/rules/0/then/deny` is `false`",
        "5:30: `/rules/1/if/risk/1` is `hihg`: the words are `read`, ",
        "5:60: `/rules/1/then/require` is `pop`: the words are `poP`, ",
        "5:68: `/rules/1/then` stands twice",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert_eq!(faults.0.len(), 7, "{told}");
}

#[test]
fn what_is_not_json_has_a_place_too() {
    let faults = Template::parse(b"{\n \"policyId\": \"a\",\n}").unwrap_err();
    assert_eq!(faults.0[0].code, TemplateFaultCode::NotJson);
    let place = faults.0[0].place.as_ref().unwrap();
    assert_eq!((place.line, place.column), (3, 1));
    assert_eq!(Template::parse(b"\xff").unwrap_err().0[0].code, TemplateFaultCode::NotJson);
    let long = vec![b' '; MAX_TEMPLATE_BYTES + 1];
    assert_eq!(Template::parse(&long).unwrap_err().0[0].code, TemplateFaultCode::TooLong);
    let deep = "[".repeat(100_000);
    assert_eq!(Template::parse(deep.as_bytes()).unwrap_err().0[0].code, TemplateFaultCode::NotJson);
}

#[test]
fn faults_by_kind() {
    use TemplateFaultCode as Code;
    let deny = json!({"deny": true});
    let all = json!({"requestedScope": "*"});
    let of = |when: serde_json::Value| rule(&json!({"if": when, "then": deny}));
    let then = |then: serde_json::Value| rule(&json!({"if": all, "then": then}));
    let cases = [
        ("null".to_owned(), "", Code::WrongType),
        (json!({"rules": [{"if": all, "then": deny}]}).to_string(), "", Code::Missing),
        (json!({"policyId": "t", "rules": []}).to_string(), "/rules", Code::Empty),
        (rule(&json!({"then": deny})), "/rules/0", Code::Missing),
        (rule(&json!({"if": all})), "/rules/0", Code::Missing),
        (of(json!({})), "/rules/0/if", Code::Empty),
        (of(json!({"user": null})), "/rules/0/if/user", Code::WrongType),
        (of(json!({"user": " "})), "/rules/0/if/user", Code::Empty),
        (of(json!({"user": []})), "/rules/0/if/user", Code::Empty),
        (of(json!({"user": ["a", "a"]})), "/rules/0/if/user/1", Code::RepeatedValue),
        (of(json!({"user": "a\u{202e}b"})), "/rules/0/if/user", Code::Hidden),
        (of(json!({"user.email": "a*@b"})), "/rules/0/if/user.email", Code::BadValue),
        (of(json!({"requestedScope": "files"})), "/rules/0/if/requestedScope", Code::BadScope),
        (of(json!({"resource.label": "A"})), "/rules/0/if/resource.label", Code::BadName),
        (of(json!({"assurance": {}})), "/rules/0/if/assurance", Code::Missing),
        (
            of(json!({"assurance": {"below": "path", "atLeast": "path"}})),
            "/rules/0/if/assurance",
            Code::Contradiction,
        ),
        (of(json!({"device.managed": "yes"})), "/rules/0/if/device.managed", Code::WrongType),
        (
            of(json!({"timeOfDay": {"from": "8:00", "to": "18:00"}})),
            "/rules/0/if/timeOfDay/from",
            Code::BadValue,
        ),
        (
            of(json!({"timeOfDay": {"from": "24:00", "to": "18:00"}})),
            "/rules/0/if/timeOfDay/from",
            Code::BadValue,
        ),
        (
            of(json!({"timeOfDay": {"from": "08:00", "to": "24:01"}})),
            "/rules/0/if/timeOfDay/to",
            Code::BadValue,
        ),
        (of(json!({"timeOfDay": {"from": "08:00"}})), "/rules/0/if/timeOfDay", Code::Missing),
        (
            of(json!({"timeOfDay": {"from": "08:00", "to": "08:00"}})),
            "/rules/0/if/timeOfDay",
            Code::NeverHolds,
        ),
        (
            of(json!({"timeOfDay": {"outside": {"days": ["mon"]}, "days": ["mon"]}})),
            "/rules/0/if/timeOfDay",
            Code::Contradiction,
        ),
        (
            of(json!({"timeOfDay": {"outside": {"outside": {}, "days": "sun"}}})),
            "/rules/0/if/timeOfDay/outside/outside",
            Code::UnknownMember,
        ),
        (rule(&json!({"if": all, "unless": [], "then": deny})), "/rules/0/unless", Code::Empty),
        (then(json!({})), "/rules/0/then", Code::Empty),
        (then(json!({"deny": true, "maxLifetimeMinutes": 5})), "/rules/0/then", Code::Contradiction),
        (
            then(json!({"preapprove": true, "consentStrength": "prompt"})),
            "/rules/0/then",
            Code::Contradiction,
        ),
        (then(json!({"maxLifetimeMinutes": 0})), "/rules/0/then/maxLifetimeMinutes", Code::BadValue),
        (then(json!({"maxLifetimeMinutes": 1.5})), "/rules/0/then/maxLifetimeMinutes", Code::BadValue),
        (then(json!({"maxLifetimeMinutes": 1e300})), "/rules/0/then/maxLifetimeMinutes", Code::BadValue),
        (then(json!({"stepUp": {}})), "/rules/0/then/stepUp", Code::Empty),
        (then(json!({"consentStrength": "strong"})), "/rules/0/then/consentStrength", Code::BadValue),
        (then(json!({"assuranceFloor": "unproven"})), "/rules/0/then/assuranceFloor", Code::BadValue),
        (then(json!({"preapprove": "high"})), "/rules/0/then/preapprove", Code::BadValue),
        (rule(&json!({"if": {"agent": "a"}, "then": {"preapprove": true}})), "/rules/0/then", Code::Missing),
        (rule(&json!({"id": "a.b", "if": all, "then": deny})), "/rules/0/id", Code::BadName),
        (
            rule(&json!({"if": all, "then": deny, "reasonUser": "x".repeat(301)})),
            "/rules/0/reasonUser",
            Code::TooLong,
        ),
    ];
    for (json, path, code) in cases {
        assert_eq!(faults(&json), [(path.to_owned(), code)], "{json}");
    }
}

#[test]
fn no_two_policies_have_one_name() {
    let all = json!({"requestedScope": "*"});
    let rules = |one: serde_json::Value, other: serde_json::Value| {
        json!({"policyId": "t", "rules": [one, other]}).to_string()
    };
    let deny = json!({"deny": true});
    for json in [
        rules(json!({"id": "a", "if": all, "then": deny}), json!({"id": "a", "if": all, "then": deny})),
        rules(json!({"id": "r2", "if": all, "then": deny}), json!({"if": all, "then": deny})),
        rules(
            json!({"id": "a-limit", "if": all, "then": deny}),
            json!({"id": "a", "if": all, "then": {"maxLifetimeMinutes": 1}}),
        ),
    ] {
        assert_eq!(faults(&json), [("/rules/1".to_owned(), TemplateFaultCode::RepeatedId)], "{json}");
    }
}

#[test]
fn no_more_faults_are_listed_than_anybody_reads() {
    let rules: Vec<_> = (0..MAX_RULES).map(|_| json!({})).collect();
    let faults =
        Template::parse(json!({"policyId": "t", "rules": rules}).to_string().as_bytes()).unwrap_err();
    assert_eq!(faults.0.len(), MAX_FAULTS + 1);
    assert_eq!(faults.0[MAX_FAULTS].code, TemplateFaultCode::More);
}

#[test]
fn nothing_that_is_hostile_leaves_its_comment() {
    let json = rule(
        &json!({"if": {"user": "x"}, "then": {"deny": true}, "reasonUser": "a\"); permit(principal, action, resource); //"}),
    );
    let cedar = Template::parse(json.as_bytes())
        .unwrap()
        .to_cedar("a\n@id(\"x\") permit(principal, action, resource);\u{202e}.json");
    let policy = Policy::load(&[("t", cedar.as_str())], &Catalogue::shipped().unwrap(), [""; 0]).unwrap();
    assert_eq!(policy.len(), 1, "{cedar}");
    assert!(!crate::text::has_hidden(&cedar.replace('\n', "")));
}
