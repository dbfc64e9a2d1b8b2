//! Loading, slicing and verdicts.

mod annotations;
mod own;
mod remembered;

use std::collections::HashMap;

use cedar_policy::{Entities, EntityUid, PolicySet};
use proptest::prelude::*;

use super::reads::Reads;
use super::slice::{Preapproves, Slice};
use super::*;
use crate::grant::{GrantKind, GrantStrength};
use crate::manifest::Manifest;
use crate::session::{SessionLimits, User};
use crate::signals::Signal;

const PERMIT: &str = r#"@id("permit") permit(principal, action, resource);"#;

fn load(texts: &[&str]) -> Result<Policy, PolicyFaults> {
    let sources: Vec<_> =
        texts.iter().enumerate().map(|(number, text)| (format!("{number}.cedar"), *text)).collect();
    Policy::load(&sources, &Catalogue::shipped().unwrap(), ["warp.engage"])
}

fn policy(texts: &[&str]) -> Policy {
    load(texts).unwrap_or_else(|faults| panic!("{faults}"))
}

/// What a load complains of, one line per fault.
fn faults(texts: &[&str]) -> Vec<String> {
    load(texts).err().map(|faults| faults.0.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

fn agent() -> Arc<Agent> {
    let manifest =
        Manifest::parse(br#"{"name":"a","version":"1.2","publisher":"Example","scopes":[]}"#).unwrap();
    let selectors = serde_json::from_str(r#"{"executable":"/opt/a"}"#).unwrap();
    Arc::new(crate::agent::Registration { manifest, selectors, launch_only: false, enforcer: None }.agent())
}

fn device() -> Arc<Device> {
    Arc::new(Device {
        id: "device:uuid:1".into(),
        os: "linux".into(),
        os_version: Some("6.1.0".into()),
        daemon_version: "0.1.0".into(),
        managed: true,
        attested: false,
        zone: crate::Zone::named("Europe/Berlin").unwrap(),
    })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn session(roles: &[&str]) -> Arc<Session> {
    let claims = crate::claims::SessionClaims {
        subject: "U1".into(),
        issuer: "https://issuer".into(),
        issued_at: None,
        expires_at: at(600),
        refresh_expires_at: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        permissions: vec!["pay".into()],
        tenants: None,
        current_tenant: Some("T1".into()),
        factors: vec!["mfa".into()],
        acr: Some("phr".into()),
        stepped_up: false,
        warnings: Vec::new(),
    };
    let user = User { subject: "U1".into(), name: None, email: Some("u@example.com".into()) };
    let rights = claims.effective(None);
    Arc::new(Session {
        user,
        claims,
        rights,
        key_id: "k".into(),
        confirmed_at: at(0),
        logged_in_at: at(-60),
        limits: SessionLimits::default(),
    })
}

fn used(kind: GrantKind) -> GrantUse {
    GrantUse { kind, strength: GrantStrength::Prompt }
}

/// A question that only differs in what a test changes.
fn ask(policy: &Policy, scope: &str, change: impl FnOnce(&mut Question<'_>)) -> Arc<Verdict> {
    ask_as(policy, &session(&["payment_processor"]), scope, change)
}

fn ask_as(
    policy: &Policy,
    session: &Arc<Session>,
    scope: &str,
    change: impl FnOnce(&mut Question<'_>),
) -> Arc<Verdict> {
    let (agent, device, scope) = (agent(), device(), scope.parse::<Scope>().unwrap());
    let mut question = Question {
        agent: &agent,
        session,
        scope: &scope,
        risk: Catalogue::shipped().unwrap().risk(&scope),
        assurance: Assurance::Path,
        greeted: true,
        tampered: false,
        caveats: CaveatKinds::default(),
        signals: Signals::NONE,
        device: &device,
        seen: None,
        grant: &GrantUse::default,
        claimed: Claimed::default(),
        now: at(0),
    };
    change(&mut question);
    policy.judge(&question)
}

fn pinned(question: &mut Question<'_>) {
    question.assurance = Assurance::Pinned;
}

fn permits(policy: &Policy, scope: &str) -> bool {
    ask(policy, scope, |_| {}).permitted
}

#[test]
fn the_shipped_policies_ask_for_roles() {
    let policy = Policy::load(Policy::shipped(), &Catalogue::shipped().unwrap(), [""; 0]).unwrap();
    assert_eq!((policy.len(), policy.warnings()), (7, &[][..]));
    assert!(permits(&policy, "files.read:/projects"));
    let nobody = session(&[]);
    let verdict = ask_as(&policy, &nobody, "payments.execute", pinned);
    assert_eq!(verdict.role.as_deref(), Some("payment_processor"));
    assert_eq!(verdict.policies, [Arc::from("payments-need-role")]);
    assert!(ask_as(&policy, &nobody, "payments.read", |_| {}).permitted);
    for action in ["admin.read", "admin.write", "admin.delete"] {
        assert_eq!(ask_as(&policy, &nobody, action, |_| {}).role.as_deref(), Some("admin"));
        assert!(ask_as(&policy, &session(&["admin"]), action, |_| {}).permitted);
    }
}

#[test]
fn the_shipped_policies_want_the_person_for_what_is_risky_and_unusual() {
    let policy = Policy::load(Policy::shipped(), &Catalogue::shipped().unwrap(), [""; 0]).unwrap();
    let (weak, strong) = (session(&["payment_processor"]), {
        let mut session = Session::clone(&session(&["payment_processor"]));
        session.claims.stepped_up = true;
        Arc::new(session)
    });
    let unusual = |session, scope: &str, signal| {
        ask_as(&policy, session, scope, |question| {
            pinned(question);
            question.signals = Signals::NONE.with(signal);
        })
    };
    for signal in Signal::ALL {
        for risky in ["payments.execute:currency=EUR", "files.delete:/a", "email.send:domain=a.example"] {
            let verdict = unusual(&weak, risky, signal);
            let counts = signal != Signal::Rate;
            assert_eq!(verdict.permitted, !counts, "{signal} {risky}");
            if counts {
                assert_eq!(verdict.policies, [Arc::from("signals-not-risky")]);
                assert_eq!(verdict.remedy, Some(Remedy::StepUp));
            }
            assert!(unusual(&strong, risky, signal).permitted && ask(&policy, risky, pinned).permitted);
            assert!(verdict.depends_on_time, "a kept copy would outlive the signals");
        }
        for harmless in ["files.read:/a", "payments.read"] {
            let verdict = unusual(&weak, harmless, signal);
            assert!(verdict.permitted && !verdict.depends_on_time, "{signal} {harmless}");
        }
        let written = unusual(&weak, "files.write:/a", signal);
        assert_eq!(written.permitted, signal != Signal::Burst, "{signal}");
    }
}

#[test]
fn the_shipped_policies_keep_the_tampered_from_what_is_risky() {
    let policy = Policy::load(Policy::shipped(), &Catalogue::shipped().unwrap(), ["warp.engage"]).unwrap();
    let tampered = |scope: &str| {
        ask(&policy, scope, |question| {
            pinned(question);
            question.tampered = true;
        })
    };
    for risky in ["payments.execute:currency=EUR", "files.delete:/a", "warp.engage"] {
        let verdict = tampered(risky);
        assert!(!verdict.permitted && ask(&policy, risky, pinned).permitted, "{risky}");
        assert_eq!(verdict.policies, [Arc::from("tampered-not-risky")]);
        assert!(verdict.reason_user.is_some() && verdict.remedy.is_none());
    }
    for harmless in ["files.read:/a", "files.write:/a", "payments.read"] {
        assert!(tampered(harmless).permitted, "{harmless}");
    }
}

#[test]
fn the_shipped_policies_keep_who_is_only_a_path_from_money() {
    let catalogue = Catalogue::shipped().unwrap();
    let policy = Policy::load(Policy::shipped(), &catalogue, [""; 0]).unwrap();
    let session = session(&["payment_processor", "admin"]);
    for (action, entry) in catalogue.actions() {
        for (assurance, proven) in [
            (Assurance::Unproven, false),
            (Assurance::Path, false),
            (Assurance::Pinned, true),
            (Assurance::Launched, true),
        ] {
            let verdict = ask_as(&policy, &session, action, |question| question.assurance = assurance);
            assert_eq!(verdict.permitted, proven || entry.risk != RiskClass::Money, "{action} {assurance}");
            assert!(verdict.permitted || verdict.remedy == Some(Remedy::Register), "{action}");
        }
    }
    // What was tampered with is said first, and no better proof helps against it.
    let verdict = ask_as(&policy, &session, "payments.execute", |question| question.tampered = true);
    assert_eq!(verdict.policies, ["tampered-not-risky", "unproven-no-money"].map(Arc::from));
    assert!(verdict.remedy.is_none() && verdict.reason_user.as_ref().unwrap().contains("Other code"));
}

#[test]
fn every_action_of_high_risk_is_kept_from_the_tampered() {
    let catalogue = Catalogue::shipped().unwrap();
    let policy = Policy::load(Policy::shipped(), &catalogue, [""; 0]).unwrap();
    let session = session(&["payment_processor", "admin"]);
    for (action, entry) in catalogue.actions() {
        let verdict = ask_as(&policy, &session, action, |question| question.tampered = true);
        assert_eq!(verdict.permitted, !entry.risk.is_high(), "{action}");
    }
}

#[test]
fn without_policies_nothing_is_permitted() {
    let verdict = ask(&policy(&[]), "files.read", |_| {});
    assert!(!verdict.permitted && verdict.policies.is_empty() && verdict.errors.is_empty());
}

#[test]
fn policies_see_user_agent_resource_and_context() {
    for (condition, scope, expected) in [
        (r#"principal.user.email == "u@example.com""#, "files.read", true),
        (r#"principal.user has email && principal.user.email == "u@example.com""#, "files.read", true),
        (r#"principal.user.factors.contains("mfa") && !principal.user.stepped_up"#, "files.read", true),
        (r#"principal.user has current_tenant && principal.user.current_tenant == "T1""#, "files.read", true),
        (
            r#"principal in AgentAuth::Tenant::"T1" && principal in AgentAuth::Permission::"pay""#,
            "files.read",
            true,
        ),
        (r#"principal in AgentAuth::Role::"payment_processor""#, "files.read", true),
        (r#"principal in AgentAuth::Role::"other""#, "files.read", false),
        (r#"principal in AgentAuth::User::"U1" && principal == AgentAuth::Agent::"a""#, "files.read", true),
        (
            r#"principal.name == "a" && principal.version == "1.2" && principal has publisher"#,
            "files.read",
            true,
        ),
        (r#"principal.registered_by == "person""#, "files.read", true),
        (r#"principal.registered_by == "administrator""#, "files.read", false),
        (r#"resource in AgentAuth::Resource::"files:/projects""#, "files.read:/projects/alpha", true),
        (r#"resource in AgentAuth::Resource::"files:/projects""#, "files.read:/projects", true),
        (r#"resource in AgentAuth::Resource::"files:/""#, "files.read:/projects", true),
        (r#"resource in AgentAuth::Resource::"files""#, "files.read:/projects", true),
        (r#"resource in AgentAuth::Resource::"files:/projects""#, "files.read:/projects2", false),
        (r#"resource in AgentAuth::Resource::"files:/projects""#, "files.read", false),
        (r#"resource has path && resource.path like "/projects/*""#, "files.read:/projects/x", true),
        (r#"resource has path"#, "files.read", false),
        (
            r#"resource.hasTag("currency") && resource.getTag("currency") == "EUR""#,
            "payments.execute:currency=EUR",
            true,
        ),
        (r#"resource.hasTag("currency")"#, "payments.execute", false),
        (
            r#"resource.kind == "payments" && resource in AgentAuth::Resource::"payments""#,
            "payments.execute:currency=EUR",
            true,
        ),
        (
            r#"action in AgentAuth::Action::"risk:money" && action in AgentAuth::Action::"risk:high""#,
            "payments.execute",
            true,
        ),
        (r#"action in AgentAuth::Action::"payments.*""#, "payments.read", true),
        (r#"action in AgentAuth::Action::"risk:high""#, "payments.read", false),
        (r#"action in AgentAuth::Action::"risk:high""#, "warp.engage", true),
        (r#"context.known.assurance == "path" && context.known.assurance_level == 1"#, "files.read", true),
        (r#"context.known.greeted && !context.known.tampered"#, "files.read", true),
        (r#"context.known.caveats.isEmpty()"#, "files.read", true),
        (r#"context.known.caveats.contains("just_changed")"#, "files.read", false),
        (r#"context.known.risk == "money" && context.known.high_risk"#, "payments.execute", true),
        (r#"context.known.now == datetime("2027-01-15T08:00:00Z")"#, "files.read", true),
        (
            r#"context.known.now.durationSince(context.known.logged_in_at) == duration("1m")"#,
            "files.read",
            true,
        ),
        (r#"context.claimed has purpose"#, "files.read", false),
        (r#"context.claimed has action || context.claimed has bytes"#, "files.read", false),
        (r#"context.known.device.os == "linux" && context.known.device.managed"#, "files.read", true),
        (
            r#"context.known.device == AgentAuth::Device::"device:uuid:1" && context.known.device.id == "device:uuid:1""#,
            "files.read",
            true,
        ),
        (
            r#"context.known.device has os_version && context.known.device.os_version like "6.*""#,
            "files.read",
            true,
        ),
        (r#"context.known.device.attested || context.known.proof"#, "files.read", false),
        (r#"context.known.daemon_version == "0.1.0""#, "files.read", true),
        (r#"context.known.auth_age == 60 && context.known.session_confirmed_age == 0"#, "files.read", true),
        (r#"context.known has acr && context.known.acr == "phr""#, "files.read", true),
        (r#"context.known.amr.contains("mfa")"#, "files.read", true),
        (r#"context.known has person_seen_at"#, "files.read", false),
        (r#"context.known.grant == "none""#, "files.read", true),
        (r#"resource.risk == "money" && resource.classification.isEmpty()"#, "payments.execute", true),
    ] {
        let text = format!(r#"@id("p") permit(principal, action, resource) when {{ {condition} }};"#);
        let loaded = load(&[&text]);
        if condition.starts_with("principal.user.email") {
            assert!(loaded.is_err(), "an optional attribute needs `has`");
            continue;
        }
        let verdict = ask(&loaded.unwrap_or_else(|faults| panic!("{faults}")), scope, |_| {});
        assert_eq!(verdict.errors, [""; 0], "{condition}");
        assert_eq!(verdict.permitted, expected, "{condition} on {scope}");
    }
}

#[test]
fn claims_are_kept_apart_from_knowledge() {
    let policy = policy(&[r#"@id("p") permit(principal, action, resource)
        when { context.claimed has purpose && context.claimed.purpose == "invoice" };"#]);
    let with = |purpose| ask(&policy, "files.read", |question| question.claimed.purpose = purpose).permitted;
    assert!(with(Some("invoice")) && !with(Some("fun")) && !with(None) && with(Some("invoice")));
}

#[test]
fn an_evaluation_error_denies_although_cedar_would_skip_the_policy() {
    let overflow = r#"@id("broken") forbid(principal, action, resource)
        when { 9223372036854775807 + context.known.assurance_level > 0 };"#;
    let policy = policy(&[PERMIT, overflow]);
    let verdict = ask(&policy, "files.read", |_| {});
    assert!(!verdict.permitted);
    assert_eq!(verdict.policies, [Arc::from("broken")]);
    assert_eq!(verdict.errors.len(), 1);
    // With nothing to add, nothing overflows, and the forbid applies.
    let verdict = ask(&policy, "files.read", |question| question.assurance = Assurance::Unproven);
    assert!(!verdict.permitted && verdict.errors.is_empty());
}

#[test]
fn an_error_in_a_permit_denies_too() {
    let broken = r#"@id("broken") permit(principal, action, resource)
        when { 9223372036854775807 + context.known.assurance_level > 0 };"#;
    assert!(!permits(&policy(&[PERMIT, broken]), "files.read"));
}

#[test]
fn every_fault_is_reported_at_once_with_file_line_and_id() {
    let found = faults(&[
        "permit(principal, action, resource);",
        "@id(\"twice\")\npermit(principal, action, resource);\n\n@id(\"twice\")\npermit(principal, action, resource);",
        "@id(\"odd\") @colour(\"red\") permit(principal, action, resource);",
        "\n\nthis is no policy",
        r#"@id("typo") permit(principal, action == AgentAuth::Action::"files.raed", resource);"#,
        r#"@id("attr") permit(principal, action, resource) when { principal.nmae == "x" };"#,
        r#"@id("bad id") permit(principal, action, resource);"#,
        r#"@id("role-on-permit") @role("x") permit(principal, action, resource);"#,
        r#"@id("remedy") @remedy("pray") forbid(principal, action, resource);"#,
        r#"@id("lifetime") @max_lifetime("-PT5M") permit(principal, action, resource);"#,
        r#"@id("forbid-lifetime") @max_lifetime("PT5M") forbid(principal, action, resource);"#,
        r#"@id("template") permit(principal == ?principal, action, resource);"#,
    ]);
    for expected in [
        "0.cedar:1:1: a policy has no @id",
        "1.cedar:4:1: `twice`: the @id stands in `1.cedar`",
        "2.cedar:1:12: `odd`: @colour",
        "3.cedar:3:6: ",
        "4.cedar:1:41: `typo`",
        "5.cedar:1:56: `attr`",
        "7.cedar:1:23: `role-on-permit`: @role",
        "11.cedar:1:1: `template`",
        "6.cedar",
        "`role-on-permit`: @role",
        "`remedy`: @remedy: `pray`",
        "`lifetime`: @max_lifetime",
        "`forbid-lifetime`: @max_lifetime",
        "`template`: templates",
    ] {
        assert!(found.iter().any(|fault| fault.contains(expected)), "{expected} is not in {found:#?}");
    }
}

#[test]
fn ids_are_unique_across_files() {
    assert_eq!(faults(&[PERMIT, PERMIT]).len(), 1);
}

#[test]
fn the_kind_of_the_grant_is_asked_only_where_it_is_read() {
    let reads = policy(&[r#"@id("p") permit(principal, action, resource)
        unless { context.known.grant == "always" };"#]);
    let with = |policy: &Policy, kind: &'static dyn Fn() -> GrantUse| {
        ask(policy, "files.read", |question| question.grant = kind).permitted
    };
    assert!(with(&reads, &|| used(GrantKind::Once)) && !with(&reads, &|| used(GrantKind::Always)));
    assert!(with(&reads, &|| used(GrantKind::Once)), "what is remembered is of this kind");
    assert!(with(&policy(&[PERMIT]), &|| panic!("nobody reads it")));
}

#[test]
fn policies_see_how_the_grant_was_confirmed() {
    let reads = policy(&[
        PERMIT,
        r#"@id("strong") @remedy("consent") @strength("passkey") forbid(principal, action == AgentAuth::Action::"files.read", resource)
        unless { context.known.grant_strength_level >= 2 && context.known.grant_strength != "reauth" };"#,
    ]);
    for (strength, permitted) in GrantStrength::ALL.into_iter().zip([false, false, true, false, true]) {
        let grant = GrantUse { kind: GrantKind::Always, strength };
        let verdict =
            ask(&reads, "files.read", |question| question.grant = Box::leak(Box::new(move || grant)));
        assert_eq!((verdict.permitted, verdict.consent_helps()), (permitted, !permitted), "{strength:?}");
        assert!(verdict.depends_on_strength && verdict.depends_on_time);
    }
    let prefers = |scope: &str| reads.prefers(&scope.parse().unwrap());
    assert_eq!((prefers("files.read:/x"), prefers("files.write")), (Prefer::Strongest, Prefer::Longest));
    assert_eq!(policy(&[PERMIT]).prefers(&"files.read".parse().unwrap()), Prefer::Longest);
}

#[test]
fn the_time_of_day_is_that_of_the_place() {
    // 2027-01-15 08:00:00 UTC is a Friday, and 09:00 in Berlin.
    let hours = policy(&[
        PERMIT,
        r#"@id("hours") forbid(principal, action, resource) when {
            context.known.local_minute < 480 || context.known.local_minute >= 1080 || context.known.local_weekday > 5 };"#,
    ]);
    let permits = |second: i64, zone: &str| {
        let place = Device { zone: crate::Zone::named(zone).unwrap(), ..Device::clone(&device()) };
        let place: &'static Arc<Device> = Box::leak(Box::new(Arc::new(place)));
        ask(&hours, "files.read", |question| (question.now, question.device) = (at(second), place)).permitted
    };
    assert!(permits(0, "Europe/Berlin") && !permits(9 * 3600, "Europe/Berlin"));
    assert!(permits(9 * 3600, "UTC") && !permits(10 * 3600, "UTC"));
    assert!(!permits(24 * 3600, "UTC"), "a Saturday");
    assert!(!permits(0, "America/New_York"));
}

#[test]
fn what_is_labelled_is_told_of_the_resource() {
    let catalogue = Catalogue::shipped().unwrap();
    let labels = Catalogue::parse("[labels]\nsecret = [\"files:/srv/hr\"]").unwrap();
    let text = r#"@id("p") permit(principal, action, resource)
        unless { resource.classification.contains("secret") };"#;
    let policy = Policy::load(&[("x", text)], &catalogue.overlaid(labels), [""; 0]).unwrap();
    assert!(permits(&policy, "files.read:/srv/web") && !permits(&policy, "files.read:/srv/hr/pay"));
    assert!(!permits(&policy, "files.read"), "who asks for everything asks for that, too");
}

#[test]
fn an_action_is_only_asked_of_the_policies_that_can_apply() {
    let texts: Vec<_> = (0..100)
        .map(|number| {
            let action = ["files.read", "email.read", "code.read", "docs.read"][number % 4];
            format!(
                r#"@id("p{number}") permit(principal, action == AgentAuth::Action::"{action}", resource);"#
            )
        })
        .collect();
    let group = r#"@id("g") forbid(principal, action in [AgentAuth::Action::"email.*", AgentAuth::Action::"risk:money"], resource);"#;
    let policy = policy(&[&texts.join("\n"), group, PERMIT]);
    let size = |action: &str| policy.slices[action].slice.policies.num_of_policies();
    assert_eq!((size("files.read"), size("email.read"), size("email.send")), (26, 27, 2));
    assert_eq!((size("payments.execute"), size("chat.read")), (2, 1));
    // Actions with the same policies share a slice.
    assert!(Arc::ptr_eq(&policy.slices["chat.read"].slice, &policy.slices["crm.read"].slice));
}

#[test]
fn verdicts_are_remembered_until_something_they_read_changes() {
    let policy = policy(&[PERMIT]);
    let (session, other) = (session(&["a"]), session(&["b"]));
    let (agent, device, scope) = (agent(), device(), "files.read:/x".parse::<Scope>().unwrap());
    let question = Question {
        agent: &agent,
        session: &session,
        scope: &scope,
        risk: RiskClass::Read,
        assurance: Assurance::Path,
        greeted: true,
        tampered: false,
        caveats: CaveatKinds::default(),
        signals: Signals::NONE,
        device: &device,
        seen: None,
        grant: &GrantUse::default,
        claimed: Claimed::default(),
        now: at(0),
    };
    let first = policy.judge(&question);
    let same = |question: &Question<'_>| Arc::ptr_eq(&first, &policy.judge(question));
    assert!(same(&question));
    let claimed = Claimed { purpose: Some("x"), action: Some("y"), bytes: 1, items: 2 };
    let once = || used(GrantKind::Once);
    assert!(same(&Question { now: at(100), claimed, grant: &once, ..question }), "none is read");
    assert!(same(&Question { device: &device.clone(), ..question }), "it is the same device");
    let renewed = Arc::new(Session { confirmed_at: at(100), key_id: "other".into(), ..(*session).clone() });
    assert!(same(&Question { session: &renewed, ..question }), "the rights are the same");
    assert!(!same(&Question { session: &other, ..question }));
    assert!(!same(&Question { assurance: Assurance::Pinned, ..question }));
    assert!(!same(&Question { greeted: false, ..question }));
    assert!(!same(&Question { tampered: true, ..question }));
    assert!(!same(&Question { signals: Signals::NONE.with(Signal::Burst), ..question }));
    assert!(!same(&Question { caveats: CaveatKinds::of(&[crate::Caveat::Deleted]), ..question }));
    assert!(!same(&Question { risk: RiskClass::Money, ..question }));
    assert!(!same(&Question { seen: Some(at(0)), ..question }));
    let elsewhere = Arc::new(Device { managed: false, ..Device::clone(&device) });
    assert!(!same(&Question { device: &elsewhere, ..question }));
    assert!(!same(&Question { scope: &"files.read:/y".parse().unwrap(), ..question }));
    assert!(!same(&Question { agent: &Arc::new((*agent).clone()), ..question }), "registered again");
}

#[test]
fn what_reads_the_time_is_asked_every_time() {
    let policy = policy(&[r#"@id("p") permit(principal, action, resource)
        when { context.known.now < datetime("2027-01-15T08:00:01Z") };"#]);
    let when = |second| ask(&policy, "files.read", |question| question.now = at(second));
    assert!(when(0).permitted && !when(1).permitted && when(0).permitted);
    assert!(when(0).depends_on_time);
}

#[test]
fn an_unknown_action_is_an_error_not_a_permit() {
    let policy = policy(&[PERMIT]);
    assert!(permits(&policy, "warp.engage") && policy.knows("warp.engage"));
    assert!(!policy.knows("warp.stop"));
    assert_eq!(ask(&policy, "warp.stop", |_| {}).errors.len(), 1);
}

#[test]
fn hostile_names_stay_names() {
    let policy = policy(&[
        r#"@id("p") permit(principal, action, resource) unless { principal in AgentAuth::Role::"admin" };"#,
    ]);
    let session = session(&["x\" , AgentAuth::Role::\"admin", "\u{202e}admin", "Admin", "admin "]);
    assert!(ask_as(&policy, &session, "files.read:/\"quoted\"/…", |_| {}).permitted);
}

/// What is built for a question passes the schema's own checks, which are skipped when deciding.
fn conforms(scope: &str, session: &Arc<Session>) {
    let policy = policy(&[PERMIT]);
    let (agent, scope) = (agent(), scope.parse::<Scope>().unwrap());
    let user = policy.types.prepare(session).unwrap();
    let asker = policy.types.asker(&agent, &user, &device()).unwrap();
    let labels = policy.labels.clone();
    let resource = policy.types.resource(&scope, RiskClass::Read, &labels).unwrap();
    let (agent, resource, entities) =
        (asker.uid.clone(), resource.uid(), asker.entities.iter().cloned().chain([resource]));
    let entities =
        Entities::from_entities(entities, Some(&policy.schema)).unwrap_or_else(|error| panic!("{error}"));
    let is_in = |child: &EntityUid, parent: &str| entities.is_ancestor_of(&parent.parse().unwrap(), child);
    assert!(is_in(&agent, r#"AgentAuth::User::"U1""#));
    assert!(
        scope.context() == &crate::scope::ScopeContext::Any
            || is_in(&resource, r#"AgentAuth::Resource::"files""#)
    );
}

#[test]
fn entities_conform_to_the_schema() {
    for scope in ["files.read", "files.read:/", "files.read:/a/b", "files.read:k=v,l=w*"] {
        conforms(scope, &session(&["a", "b"]));
        conforms(scope, &session(&[]));
    }
}

#[test]
fn a_thousand_policies_load_in_bounded_slices() {
    let catalogue = Catalogue::shipped().unwrap();
    let names: Vec<_> = catalogue.actions().map(|(name, _)| name.to_owned()).collect();
    let text: String = (0..300)
        .map(|number| {
            let action = &names[number % names.len()];
            format!("@id(\"p{number}\") forbid(principal, action == AgentAuth::Action::\"{action}\", resource) when {{ context.known.tampered }};\n")
        })
        .collect();
    let policy = policy(&[PERMIT, &text]);
    let most = policy.slices.values().map(|action| action.slice.policies.num_of_policies()).max().unwrap();
    assert!(most <= 300 / names.len() + 2, "{most}");
    assert!(permits(&policy, "files.read:/x"));
    let files: HashMap<_, _> =
        policy.files().into_iter().map(|(file, count)| (file.to_string(), count)).collect();
    assert_eq!((files["0.cedar"], files["1.cedar"]), (1, 300));
}

#[test]
fn a_resource_is_only_asked_of_the_policies_about_its_kind() {
    let texts = r#"
        @id("files") forbid(principal, action, resource == AgentAuth::Resource::"files:/a");
        @id("email") forbid(principal, action, resource in AgentAuth::Resource::"email");
        @id("code") forbid(principal, action, resource is AgentAuth::Resource in AgentAuth::Resource::"code:/");
        @id("all") forbid(principal, action, resource is AgentAuth::Resource) when { context.known.tampered };"#;
    let policy = policy(&[PERMIT, texts]);
    let size = |action: &str| policy.slices[action].slice.policies.num_of_policies();
    assert_eq!((size("files.read"), size("email.send"), size("code.read"), size("chat.read")), (3, 3, 3, 2));
    assert!(!permits(&policy, "files.read:/a") && permits(&policy, "files.read:/b"));
    assert!(!permits(&policy, "email.read") && permits(&policy, "chat.read"));
}

fn any_policy() -> impl Strategy<Value = String> {
    let effect = prop_oneof![Just("permit"), Just("forbid")];
    let action = prop_oneof![
        Just("action"),
        Just(r#"action == AgentAuth::Action::"files.read""#),
        Just(r#"action in AgentAuth::Action::"files.*""#),
        Just(r#"action in [AgentAuth::Action::"email.read", AgentAuth::Action::"risk:high"]"#),
    ];
    let resource = prop_oneof![
        Just("resource"),
        Just(r#"resource in AgentAuth::Resource::"files:/a""#),
        Just(r#"resource == AgentAuth::Resource::"email""#),
        Just(r#"resource is AgentAuth::Resource in AgentAuth::Resource::"files""#),
    ];
    let condition = prop_oneof![
        Just("true"),
        Just(r#"principal in AgentAuth::Role::"a""#),
        Just("context.known.tampered"),
        Just(r#"resource in AgentAuth::Resource::"files:/a""#),
        Just("9223372036854775807 + context.known.assurance_level > 0"),
        Just(r#"context.known.now < datetime("2030-01-01")"#),
    ];
    (effect, action, resource, condition).prop_map(|(effect, action, resource, condition)| {
        format!("{effect}(principal, {action}, {resource}) when {{ {condition} }};")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 32, ..ProptestConfig::default() })]

    /// Slices say what the whole set says, errors included; and a forbid more never permits.
    #[test]
    fn slicing_changes_nothing_and_a_forbid_never_permits(
        bodies in proptest::collection::vec(any_policy(), 0..6),
        scope in prop_oneof![Just("files.read:/a/b"), Just("files.write"), Just("email.read"), Just("files.delete:/b")],
        role in prop_oneof![Just("a"), Just("b")],
        tampered in any::<bool>(),
    ) {
        let named = |bodies: &[String]| -> String {
            bodies.iter().enumerate().map(|(number, body)| format!("@id(\"p{number}\") {body}\n")).collect()
        };
        let session = session(&[role]);
        let verdict = |policy: &Policy| ask_as(policy, &session, scope, |question| question.tampered = tampered);
        let sliced = policy(&[&named(&bodies)]);
        let whole: PolicySet = PolicySet::from_policies(
            named(&bodies).parse::<PolicySet>().unwrap().policies().enumerate().map(|(number, policy)| {
                let id = policy.annotation("id").unwrap_or_else(|| panic!("{number} has no id"));
                policy.new_id(cedar_policy::PolicyId::new(id))
            }),
        ).unwrap();
        let mut unsliced = policy(&[&named(&bodies)]);
        for action in unsliced.slices.values_mut() {
            action.slice = Arc::new(Slice { policies: whole.clone(), reads: Reads::EVERYTHING, preapproves: Preapproves::default() });
        }
        let (one, two) = (verdict(&sliced), verdict(&unsliced));
        prop_assert_eq!((one.permitted, &one.policies, &one.errors), (two.permitted, &two.policies, &two.errors));

        let mut more = bodies.clone();
        more.push("forbid(principal, action, resource) when { context.known.greeted };".to_owned());
        prop_assert!(!verdict(&policy(&[&named(&more)])).permitted);
        more.pop();
        more.push("forbid(principal, action, resource) when { context.known.tampered };".to_owned());
        let stricter = verdict(&policy(&[&named(&more)]));
        prop_assert!(one.permitted || !stricter.permitted);
    }
}
