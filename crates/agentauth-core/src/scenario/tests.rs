//! The format of scenarios: what is taken for granted, what is refused, and what is told of a difference.

use super::*;

const POLICIES: &str = r#"
@id("permit") permit (principal, action, resource);
@id("fresh") @remedy("step_up") @max_age("PT15M")
forbid (principal, action, resource in AgentAuth::Resource::"files:/hr") when { context.known.auth_age > 900 };
@id("no-bursts") forbid (principal, action, resource) when { context.signals.contains("burst") };
@id("no-once") forbid (principal, action, resource) when { context.known.grant == "once" };
"#;

fn decided(cases: &str) -> Vec<(Scenario, Decision)> {
    let scenarios = read(&format!(r#"{{"cases": {cases}}}"#), &World::plain()).unwrap();
    let catalogue = Arc::new(Catalogue::shipped().unwrap());
    let actions: BTreeSet<_> = scenarios.iter().flat_map(|one| one.actions().unwrap()).collect();
    let policy = Arc::new(Policy::load(&[("p.cedar", POLICIES)], &catalogue, actions).unwrap());
    let decide = |scenario: Scenario| {
        let decision = scenario.decide(&catalogue, &policy).unwrap();
        (scenario, decision)
    };
    scenarios.into_iter().map(decide).collect()
}

#[test]
fn a_case_that_names_no_agent_is_about_the_policies_alone() {
    let decided = decided(
        r#"[
        {"name": "plain", "scopes": ["files.read:/hr"], "expect": {"decision": "allow"}},
        {"name": "unknown action", "scopes": ["warp.engage"], "expect": {"policies": ["permit"]}},
        {"name": "old login", "session": {"auth_age_seconds": 901}, "scopes": ["files.read:/hr"],
         "expect": {"reason": "policy_forbids", "remedy": "step_up", "remedy_max_age_seconds": 900}},
        {"name": "burst", "signals": ["burst"], "scopes": ["files.read"], "expect": {"remedy": null, "policies": ["no-bursts"]}},
        {"name": "once", "agent": {"grant": "once"}, "scopes": ["files.read"], "expect": {"policies": ["no-once"]}},
        {"name": "asked", "agent": {"grant": "none"}, "scopes": ["files.read"], "expect": {"reason": "consent_required"}},
        {"name": "launched", "agent": {"assurance": "launched"}, "scopes": ["files.read"], "expect": {"assurance": "launched"}}
    ]"#,
    );
    assert_eq!(decided.len(), 7);
    for (scenario, decision) in &decided {
        assert_eq!(scenario.case.expect.differences(decision), [], "{}", scenario.case.name);
    }
}

#[test]
fn a_difference_says_what_is_and_what_is_due() {
    let decided = decided(
        r#"[{"name": "wrong", "scopes": ["files.read"],
             "expect": {"decision": "deny", "remedy": "consent", "policies": [], "says": ["no\u001b[2J"]}}]"#,
    );
    let (scenario, decision) = &decided[0];
    let told: Vec<_> = scenario.case.expect.differences(decision).iter().map(ToString::to_string).collect();
    assert_eq!(
        told[..3],
        [
            "decision is allow, and deny is due",
            "remedy is none, and consent is due",
            "policies is permit, and none is due"
        ]
    );
    assert!(told[3].ends_with("and no\\u{1b}[2J is due"), "{}", told[3]);
}

#[test]
fn what_all_cases_have_in_common_is_bounded() {
    let file = |about: usize, cases: usize| {
        let cases = vec![r#"{"name": "n", "scopes": ["a.b"]}"#; cases].join(",");
        read(&format!(r#"{{"about": "{}", "cases": [{cases}]}}"#, "a".repeat(about)), &World::plain())
    };
    assert_eq!(file(100, 100).unwrap().len(), 100);
    let refused = file(2 << 20, 33).unwrap_err().to_string();
    assert!(refused.contains("and there are 33 cases") && refused.contains("split the file"), "{refused}");
}

#[test]
fn a_case_has_callers_of_its_own() {
    let text = r#"{"cases": [{"name": "n", "scopes": ["a.b"], "caller": "x", "callers": {"x": {}}}]}"#;
    let scenarios = read(text, &World::plain()).unwrap();
    assert!(scenarios[0].world.callers.contains_key("x"));
}

#[test]
fn what_is_no_scenario_is_refused_with_its_place() {
    let refused = |text: &str| read(text, &World::plain()).unwrap_err().to_string();
    for (text, says) in [
        ("[]", "the file: "),
        ("{}", "list of `cases`"),
        (r#"{"cases": [{"scopes": ["a.b"]}]}"#, "each with a `name`"),
        (r#"{"cases": [{"name": "n", "scopes": ["a.b"], "expects": {}}]}"#, "n: unknown field `expects`"),
        (r#"{"cases": [{"name": "n", "scopes": ["a b"]}]}"#, "n: "),
        (
            r#"{"cases": [{"name": "n", "scopes": ["a.b"], "session": {"rolls": []}}]}"#,
            "n: unknown field `rolls`",
        ),
        (r#"{"sessions": {}, "cases": [{"name": "n", "scopes": ["a.b"]}]}"#, "unknown field `sessions`"),
        (
            r#"{"cases": [{"name": "n", "scopes": ["a.b"], "agent": {"assurance": "good"}}]}"#,
            "`assurance` is `good`",
        ),
        (
            r#"{"cases": [{"name": "n", "scopes": ["a.b"], "agent": {}, "dry_run": "x"}]}"#,
            "n: of `caller`, `dry_run` and `agent` one says who asks",
        ),
        (
            r#"{"cases": [{"name": "n", "scopes": ["a.b"], "expect": {"asks": []}}]}"#,
            "n: without a `caller` it is a trial",
        ),
        (
            r#"{"cases": [{"name": "n", "scopes": ["a.b"], "dry_run": "x", "expect": {"effects": 0}}]}"#,
            "n: without a `caller` it is a trial",
        ),
    ] {
        let said = refused(text);
        assert!(said.contains(says), "{text}: {said}");
    }
}
