//! A person's own policies beside those that stand above them.

use super::*;

const FORBID: &str = r#"@id("no-mail") @reason_user("Not by mail.") forbid(principal, action in AgentAuth::Action::"email.*", resource);"#;

fn file(name: &str, text: &str, own: bool) -> PolicyFile {
    PolicyFile { name: name.to_owned(), text: text.to_owned(), own }
}

fn loaded(files: &[PolicyFile]) -> Result<Policy, PolicyFaults> {
    Policy::load_files(files, &Catalogue::shipped().unwrap(), std::iter::empty::<&str>())
}

#[test]
fn a_name_that_a_person_has_taken_keeps_no_policy_out() {
    let mine = r#"@id("no-mail") forbid(principal, action == AgentAuth::Action::"files.delete", resource);"#;
    let files = [file("permit", PERMIT, false), file("above", FORBID, false), file("mine", mine, true)];
    let policy = loaded(&files).unwrap();
    let decided = |scope: &str| {
        let verdict = ask(&policy, scope, |_| {});
        (verdict.permitted, verdict.policies.iter().map(|id| id.to_string()).collect::<Vec<_>>())
    };
    assert_eq!(decided("email.send"), (false, vec!["no-mail".to_owned()]));
    assert_eq!(decided("files.delete"), (false, vec!["no-mail@own".to_owned()]), "both are in force");
    assert!(decided("files.read").0);
    let twice = [file("above", FORBID, false), file("one", mine, true), file("other", mine, true)];
    let faults = loaded(&twice).unwrap_err().0;
    assert!(faults.len() == 1 && faults[0].file == "other", "a name of one's own is one's own: {faults:?}");
}

#[test]
fn a_persons_number_of_policies_keeps_no_others_out() {
    let many = |count: usize, own| {
        let text = |n| format!("@id(\"p{n}\") permit(principal, action, resource);\n");
        file("many", &(0..count).map(text).collect::<String>(), own)
    };
    let fault = loaded(&[many(MAX_OWN_POLICIES + 1, true)]).unwrap_err();
    assert!(fault.to_string().contains("of your own"), "{fault}");
    assert!(loaded(&[file("permit", PERMIT, false), many(MAX_OWN_POLICIES, true)]).is_ok());
}

#[test]
fn a_persons_permit_permits_nothing_that_nobody_above_does() {
    let mine = r#"@id("mine") @max_lifetime("PT5M") permit(principal, action, resource);"#;
    let narrow = r#"@id("reads") permit(principal, action == AgentAuth::Action::"files.read", resource);"#;
    let policy = loaded(&[file("above", narrow, false), file("mine", mine, true)]).unwrap();
    let verdict = ask(&policy, "files.read", |_| {});
    assert!(verdict.permitted && verdict.obligations.max_lifetime.is_some(), "what it demands counts");
    let verdict = ask(&policy, "files.delete", |_| {});
    assert!(!verdict.permitted && verdict.policies.is_empty(), "{verdict:?}");
}

#[test]
fn what_a_person_applied_keeps_no_policy_out_when_an_agent_is_gone() {
    let catalogue = Catalogue::shipped().unwrap();
    let none = || std::iter::empty::<&str>();
    for naming in [
        r#"action == AgentAuth::Action::"foo.bar", resource)"#,
        r#"action in [AgentAuth::Action::"foo.bar", AgentAuth::Action::"risk:high"], resource)"#,
        r#"action in AgentAuth::Action::"foo.*", resource)"#,
        r#"action, resource) when { [AgentAuth::Action::"foo.bar"].contains(action) }"#,
    ] {
        let mine = format!(r#"@id("mine") forbid(principal, {naming};"#);
        let files = [file("permit", PERMIT, false), file("above", FORBID, false), file("mine", &mine, true)];
        let strict = Policy::load_files(&files, &catalogue, none()).unwrap_err().0;
        assert!(strict.iter().all(|fault| fault.file == "mine"), "{strict:?}");
        assert!(Policy::load_files(&files, &catalogue, ["foo.bar"]).is_ok(), "{naming}");
        let policy = Policy::load_applied(&files, &catalogue, none()).unwrap();
        assert!(!ask(&policy, "email.send", |_| {}).permitted, "the administrator's is in force");
        assert!(ask(&policy, "files.read", |_| {}).permitted, "{naming}");
        assert!(!ask(&policy, "foo.bar", |_| {}).permitted, "{naming}");
        // What stands above a person has to be right by itself.
        let above = [file("permit", PERMIT, false), file("above", &mine, false)];
        assert!(Policy::load_applied(&above, &catalogue, none()).is_err(), "{naming}");
    }
    for wrong in
        [r#"action == AgentAuth::Action::"Foo bar\"" "#, r#"action == AgentAuth::Action::"foo.bar:/x""#]
    {
        let mine = format!(r#"@id("mine") forbid(principal, {wrong}, resource);"#);
        let files = [file("permit", PERMIT, false), file("mine", &mine, true)];
        assert!(Policy::load_applied(&files, &catalogue, none()).is_err(), "{wrong}");
    }
}

#[test]
fn only_what_stands_above_a_person_grants_without_asking() {
    let grants =
        r#"@id("free") @preapprove permit(principal, action == AgentAuth::Action::"files.read", resource);"#;
    let above = loaded(&[file("permit", PERMIT, false), file("above", grants, false)]).unwrap();
    assert_eq!(ask(&above, "files.read", |_| {}).preapproved.as_deref(), Some("free"));
    let faults = loaded(&[file("permit", PERMIT, false), file("mine", grants, true)]).unwrap_err().0;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].what.contains("@preapprove: only an administrator's policy"), "{faults:?}");
    assert_eq!(faults[0].place.as_ref().map(|place| place.line), Some(1));
}
