//! The catalogue read, laid over, extended.

use super::*;

#[test]
fn the_shipped_catalogue_is_sound() {
    let catalogue = Catalogue::shipped().unwrap();
    let risk = |scope: &str| catalogue.risk(&scope.parse().unwrap());
    assert_eq!(risk("payments.execute:currency=EUR"), RiskClass::Money);
    assert_eq!(risk("files.read:/projects"), RiskClass::Read);
    assert_eq!(risk("files.delete"), RiskClass::Delete);
    assert!(catalogue.actions().count() > 20);
    for (name, entry) in catalogue.actions() {
        assert!(entry.path || !entry.keys.is_empty(), "{name} can only be asked for everywhere");
    }
}

#[test]
fn an_action_that_nobody_described_is_high_risk() {
    let catalogue = Catalogue::default();
    assert!(catalogue.risk(&"nuke.read".parse().unwrap()).is_high());
}

#[test]
fn all_faults_are_reported_at_once() {
    let text = r#"
        [resources.Files.actions.read]
        says = "read"
        risk = "read"
        lifetime = "session"
        strength = "prompt"
        [resources.money.actions.move]
        says = "move money"
        risk = "money"
        lifetime = "session"
        strength = "prompt"
        [resources.mail.actions.send]
        says = "send"
        risk = "write"
        lifetime = "forever"
        strength = "prompt"
    "#;
    let fault = Catalogue::parse(text).unwrap_err();
    assert_eq!(fault.0.len(), 3, "{fault}");
}

#[test]
fn unknown_members_are_refused() {
    assert!(Catalogue::parse("[resources.files]\ncolour = 1\n[resources.files.actions]").is_err());
}

#[test]
fn an_overlay_stands_above() {
    let upper = "[resources.files.actions.read]\nsays = \"read\"\nrisk = \"exfiltrate\"\npath = true\nlifetime = \"PT1H\"\nstrength = \"passkey\"";
    let catalogue = Catalogue::shipped().unwrap().overlaid(Catalogue::parse(upper).unwrap());
    assert_eq!(catalogue.risk_of("files.read"), RiskClass::Exfiltrate);
    assert_eq!(catalogue.risk_of("files.write"), RiskClass::Write);
}

#[test]
fn every_kind_of_fault_has_its_place() {
    let text = r#"
        colour = 1
        closed = "yes"
        [resources.files]
        says = "x"
        [resources.docs.actions]
        read = 1
        [resources.mail.actions.send]
        says = "  "
        risk = "awful"
        lifetime = 8
        path = "yes"
        keys = ["to", "to", "a b", "k=v", 7]
        why = "x"
    "#;
    let CatalogueFault(faults) = Catalogue::parse(text).unwrap_err();
    for expected in [
        "`colour` is not known",
        "`closed`: `true` or `false`",
        "`resources.files`: has no `actions`",
        "`resources.files`: `says` is not known",
        "`docs.read`: a table",
        "`mail.send`: `says` must be",
        "`mail.send`: `risk = \"awful\"` is none of `read`",
        "`mail.send.lifetime`: a text",
        "`mail.send`: has no `strength`",
        "`mail.send.path`: ",
        "`mail.send`: the key `to` stands twice",
        "`mail.send`: the key `a b` cannot",
        "`mail.send`: the key `k=v` cannot",
        "`mail.send.keys`: a list of texts",
        "`mail.send`: `why` is not known",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected}: {faults:#?}");
    }
    assert_eq!(faults.len(), 15, "{faults:#?}");
    assert_eq!(Catalogue::parse("[resources").unwrap_err().0.len(), 1);
}

/// An entry of `files.write` (risk write, a session, prompt, paths) or of another action.
fn entry(action: &str, risk: &str, lifetime: &str, strength: &str) -> Catalogue {
    let says = if action == "write" { "create and change files" } else { "do something else" };
    Catalogue::parse(&format!(
        "[resources.files.actions.{action}]\nsays = \"{says}\"\nrisk = \"{risk}\"\npath = true\n\
         lifetime = \"{lifetime}\"\nstrength = \"{strength}\"\n"
    ))
    .unwrap()
}

#[test]
fn a_person_may_add_and_be_stricter_but_never_milder() {
    let shipped = || Catalogue::shipped().unwrap();
    let added = shipped().extended(entry("index", "read", "until_revoked", "prompt")).unwrap();
    assert_eq!(added.risk_of("files.index"), RiskClass::Read);
    let stricter = shipped().extended(entry("write", "execute", "once", "passkey")).unwrap();
    assert_eq!(stricter.risk_of("files.write"), RiskClass::Execute);
    assert!(shipped().extended(entry("write", "write", "session", "prompt")).is_ok());
    for (own, faults) in [
        (entry("write", "read", "session", "prompt"), 1),
        (entry("write", "write", "until_revoked", "prompt"), 1),
        // A duration may outlast a session.
        (entry("write", "write", "PT1H", "prompt"), 1),
        (entry("write", "read", "until_revoked", "prompt"), 2),
    ] {
        assert_eq!(shipped().extended(own).unwrap_err().0.len(), faults);
    }
    // The words and contexts stay: they are what a person is shown.
    let mut other = entry("write", "write", "session", "prompt");
    let written = other.actions.get_mut("files.write").unwrap();
    written.says = "read the weather".to_owned();
    written.keys = vec!["anything".to_owned()];
    assert_eq!(shipped().extended(other).unwrap_err().0.len(), 2);
}

#[test]
fn an_administrator_may_say_anything_and_close_the_catalogue() {
    let upper = entry("write", "read", "until_revoked", "prompt");
    let catalogue = Catalogue::shipped().unwrap().overlaid(upper.clone());
    assert_eq!(catalogue.risk_of("files.write"), RiskClass::Read);
    // What the person may not be milder than is what the administrator says.
    assert!(catalogue.clone().extended(entry("write", "read", "PT1H", "prompt")).is_ok());
    let strict = Catalogue::shipped().unwrap().overlaid(entry("write", "execute", "once", "reauth"));
    assert_eq!(strict.extended(entry("write", "write", "session", "prompt")).unwrap_err().0.len(), 3);
    let closed = Catalogue::parse("closed = true").unwrap();
    let catalogue = catalogue.overlaid(closed);
    assert!(catalogue.is_closed());
    assert!(catalogue.clone().extended(Catalogue::default()).is_ok());
    assert!(catalogue.extended(entry("index", "read", "once", "prompt")).is_err());
}

#[test]
fn lifetimes_are_compared_only_where_they_can_be() {
    let hours = |hours| DefaultLifetime::For(SignedDuration::from_hours(hours));
    let all =
        [DefaultLifetime::Once, hours(1), hours(8), DefaultLifetime::Session, DefaultLifetime::UntilRevoked];
    for (one, first) in all.iter().enumerate() {
        for (other, second) in all.iter().enumerate() {
            let session_and_duration = (other == 3) && (one == 1 || one == 2);
            assert_eq!(first.is_within(*second), one <= other && !session_and_duration, "{first} {second}");
        }
    }
    assert_eq!(hours(8).to_string(), "PT8H");
}
