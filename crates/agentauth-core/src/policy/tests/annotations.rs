//! What annotations say, and what is said of wrong ones.

use super::*;

#[test]
fn obligations_are_the_strictest_of_all_that_permitted() {
    let policy = policy(&[
        r#"@id("a") @max_lifetime("PT10M") permit(principal, action, resource);"#,
        r#"@id("b") @max_lifetime("PT5M") permit(principal, action in AgentAuth::Action::"files.*", resource);"#,
        r#"@id("c") @require_proof permit(principal, action == AgentAuth::Action::"files.write", resource);"#,
        r#"@id("d") @max_lifetime("PT1M") permit(principal, action, resource) when { context.known.tampered };"#,
    ]);
    let obligations = |scope: &str| {
        let obligations = ask(&policy, scope, |_| {}).obligations;
        (obligations.max_lifetime.unwrap().as_secs(), obligations.require_proof)
    };
    assert_eq!(obligations("email.read"), (600, false));
    assert_eq!(obligations("files.read"), (300, false));
    assert_eq!(obligations("files.write"), (300, true));
}

#[test]
fn what_only_limits_permits_nothing_by_itself() {
    let limit = r#"@id("limit") @limits_only @max_lifetime("PT5M") permit(principal, action, resource);"#;
    let alone = ask(&policy(&[limit]), "files.read", |_| {});
    assert_eq!(*alone, Verdict::default(), "nobody permits it");
    let beside = ask(&policy(&[PERMIT, limit]), "files.read", |_| {});
    assert!(beside.permitted && beside.obligations.max_lifetime == Some(crate::SignedDuration::from_mins(5)));
    assert_eq!(beside.policies, [Arc::from("limit"), Arc::from("permit")]);
    let forbid = r#"@id("no") forbid(principal, action, resource);"#;
    let forbidden = ask(&policy(&[limit, forbid]), "files.read", |_| {});
    assert!(!forbidden.permitted && forbidden.policies == [Arc::from("no")]);
    for (written, complaint) in [
        ("@limits_only permit", "@limits_only: it only means something beside"),
        (r#"@limits_only("yes") @require_proof permit"#, "@limits_only: `yes` means nothing here"),
        ("@limits_only forbid", "@limits_only: it only means something on `permit`"),
    ] {
        let found = faults(&[&format!("@id(\"x\") {written}(principal, action, resource);")]);
        assert!(found.iter().any(|fault| fault.contains(complaint)), "{written}: {found:?}");
    }
}

#[test]
fn what_is_granted_without_asking_is_of_no_high_risk_unless_that_is_said() {
    let policy = policy(&[
        PERMIT,
        r#"@id("free") @preapprove permit(principal, action in AgentAuth::Action::"files.*", resource)
           when { context.known.greeted };"#,
        r#"@id("bold") @preapprove("high_risk") permit(principal, action == AgentAuth::Action::"payments.execute", resource);"#,
    ]);
    let preapproved = |scope: &str| ask(&policy, scope, |_| {}).preapproved.as_deref().map(str::to_owned);
    assert_eq!(preapproved("files.write:/x").as_deref(), Some("free"));
    assert_eq!(preapproved("files.delete:/x"), None);
    assert_eq!(preapproved("payments.execute").as_deref(), Some("bold"));
    assert_eq!(preapproved("payments.read"), None);
    let ungreeted = ask(&policy, "files.write:/x", |question| question.greeted = false);
    assert!(ungreeted.permitted && ungreeted.preapproved.is_none(), "that permit had no part in it");
    for (scope, may) in [("files.delete", true), ("payments.execute", true), ("payments.read", false)] {
        assert_eq!(policy.may_preapprove("a", &scope.parse().unwrap()), may, "{scope}");
    }
    let named = r#"@id("one") @preapprove permit(principal == AgentAuth::Agent::"b", action, resource);"#;
    let named = self::policy(&[PERMIT, named]);
    let reaches = |agent: &str| named.may_preapprove(agent, &"files.read".parse().unwrap());
    assert!(reaches("b") && !reaches("a"));
    for (written, complaint) in [
        ("@preapprove forbid", "@preapprove: it only means something on `permit`"),
        (
            "@preapprove @limits_only @require_proof permit",
            "@preapprove: it means nothing on a policy that only limits",
        ),
        (r#"@preapprove("PT8H") permit"#, "`PT8H` is not `high_risk`"),
    ] {
        let found = faults(&[&format!("@id(\"x\") {written}(principal, action, resource);")]);
        assert!(found.iter().any(|fault| fault.contains(complaint)), "{written}: {found:?}");
    }
}

#[test]
fn role_and_remedy_come_from_what_forbade() {
    let step_up = r#"@id("b-step") @remedy("step_up") forbid(principal, action, resource) unless { principal.user.stepped_up };"#;
    let verdict = ask(&policy(&[PERMIT, step_up]), "files.read", |_| {});
    assert_eq!((verdict.remedy, verdict.role.as_deref()), (Some(Remedy::StepUp), None));
    // Another forbid without a remedy: stepping up would not help.
    let plain = r#"@id("a-plain") forbid(principal, action, resource);"#;
    let verdict = ask(&policy(&[PERMIT, step_up, plain]), "files.read", |_| {});
    assert_eq!((verdict.remedy, verdict.policies.len()), (None, 2));
    let role =
        r#"@id("c-role") @role("boss") @reason_user("Only bosses.") forbid(principal, action, resource);"#;
    let verdict = ask(&policy(&[PERMIT, plain, role]), "files.read", |_| {});
    assert_eq!(
        (verdict.role.as_deref(), verdict.reason_user.as_deref()),
        (Some("boss"), Some("Only bosses."))
    );
}

#[test]
fn terms_say_what_exactly_a_remedy_takes() {
    let one =
        r#"@id("a") @remedy("step_up") @acr("phr") @max_age("PT10M") forbid(principal, action, resource);"#;
    let two = r#"@id("b") @remedy("step_up") @max_age("PT5M") forbid(principal, action, resource);"#;
    let terms = ask(&policy(&[PERMIT, one, two]), "files.read", |_| {}).remedy_terms.clone();
    assert_eq!(
        (terms.acr.as_deref(), terms.max_age),
        (Some("phr"), Some(crate::SignedDuration::from_mins(5)))
    );
    let consent = r#"@id("c") @remedy("consent") @strength("passkey") forbid(principal, action, resource);"#;
    let verdict = ask(&policy(&[PERMIT, consent]), "files.read", |_| {});
    assert_eq!(
        (verdict.remedy, verdict.remedy_terms.strength),
        (Some(Remedy::Consent), Some(crate::Strength::Passkey))
    );
    // Of what does not help, no terms are told.
    let plain = r#"@id("d") forbid(principal, action, resource);"#;
    assert!(ask(&policy(&[PERMIT, one, plain]), "files.read", |_| {}).remedy_terms.is_empty());
}

#[test]
fn terms_that_belong_to_no_remedy_are_refused() {
    for (written, complaint) in [
        (r#"@acr("phr") forbid"#, "@acr: it only means something beside `@remedy(\"step_up\")`"),
        (r#"@remedy("proof") @max_age("PT5M") forbid"#, "@max_age: it only means"),
        (r#"@remedy("step_up") @strength("passkey") forbid"#, "beside `@remedy(\"consent\")`"),
        (r#"@remedy("consent") @strength("oath") forbid"#, "@strength: `oath`"),
        (r#"@remedy("step_up") @max_age("5") forbid"#, "@max_age: `5` is not a duration"),
        (r#"@remedy("step_up") @acr("") forbid"#, "@acr: it is empty"),
        (r#"@strength("passkey") permit"#, "@strength: it only means something on `forbid`"),
    ] {
        let found = faults(&[&format!("@id(\"x\") {written}(principal, action, resource);")]);
        assert!(found.iter().any(|fault| fault.contains(complaint)), "{written}: {found:?}");
    }
}

#[test]
fn a_fault_shows_the_line_with_a_mark_below_it() {
    let text =
        "// first\n@id(\"attr\")\npermit(principal, action, resource)\nwhen { principal.nmae == \"x\" };\n";
    let Err(PolicyFaults(found)) = load(&[text]) else { panic!("was loaded") };
    assert_eq!(found[0].excerpt(), ["| when { principal.nmae == \"x\" };", "|        ^^^^^^^^^^^^^^"]);
    assert!(PolicyFaults(found).to_string().ends_with("\n    |        ^^^^^^^^^^^^^^"));
}
