//! Random templates, and random questions that they may have something to say to.

use std::sync::Arc;

use agentauth_core::claims::SessionClaims;
use agentauth_core::grant::{GrantStrength, GrantUse};
use agentauth_core::policy::{Claimed, Question};
use agentauth_core::session::{Session, SessionLimits, User};
use agentauth_core::{
    AgentFile, Assurance, Catalogue, CaveatKinds, Device, Grant, GrantKind, Lifetime, Scope, Signal, Signals,
    SignedDuration, Strength, Timestamp,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::naive::Facts;

const PATTERNS: [&str; 22] = [
    "*",
    "files.*",
    "files.*:/srv/hr",
    "files.*:/srv",
    "files.*:/",
    "files.read",
    "files.read:/srv/hr/pay",
    "files.delete:/srv",
    "email.*",
    "email.send",
    "email.send:domain=hr.example",
    "email.*:domain=a.*",
    "email.send:domain=*",
    "email.send:domain=hr.example,to=u*",
    "sheets.write",
    "sheets.*:sheetId=1",
    "payments.execute",
    "payments.*:currency=EUR",
    "admin.*",
    "warp.engage",
    "warp.*:factor=9",
    "shell.execute",
];

const SCOPES: [&str; 27] = [
    "files.read",
    "files.read:/",
    "files.read:/srv",
    "files.read:/srv/hr",
    "files.read:/srv/hr/pay/2026",
    "files.read:/srv/hr2",
    "files.write:/srv/public",
    "files.read:/srv/public/a",
    "files.write:/home",
    "files.delete:/srv/hr/pay",
    "files.delete",
    "files.read:owner=me",
    "email.send",
    "email.send:domain=hr.example",
    "email.send:domain=a.example",
    "email.send:domain=hr.*",
    "email.send:domain=*",
    "email.send:to=u1",
    "email.send:domain=hr.example,to=x",
    "email.read:domain=a.example",
    "email.read:/inbox",
    "sheets.write:sheetId=1",
    "sheets.write:sheetId=12",
    "payments.execute:currency=EUR",
    "payments.read",
    "warp.engage:factor=9",
    "shell.execute",
];

/// The label that a person added.
pub(crate) const OWN_LABEL: &str = "mine";

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    pub(crate) scope: &'static str,
    pub(crate) agent: &'static str,
    publisher: Option<&'static str>,
    user: &'static str,
    email: Option<&'static str>,
    roles: Vec<&'static str>,
    permissions: Vec<&'static str>,
    tenants: Vec<&'static str>,
    assurance: Assurance,
    os: &'static str,
    managed: bool,
    attested: bool,
    /// After a Monday's midnight.
    minutes: i64,
    signals: Vec<Signal>,
    tampered: bool,
    stepped_up: bool,
    acr: Option<&'static str>,
    auth_age_seconds: i64,
    pub(crate) given: Option<Option<Strength>>,
}

pub(crate) fn draw() -> impl Strategy<Value = Draw> {
    let who = (
        select(&["a", "b"]),
        select(&[None, Some("Example"), Some("Other")]),
        select(&["U1", "U2"]),
        select(&[None, Some("u@example.com"), Some("u@other.example"), Some("x@example.com.evil")]),
        subsequence(vec!["admin", "ops"], 0..=2),
        subsequence(vec!["pay", "see"], 0..=2),
        subsequence(vec!["T1", "T2"], 0..=2),
    );
    let how = (
        select(&[Assurance::Path, Assurance::Pinned, Assurance::Launched]),
        select(&["linux", "macos", "windows"]),
        any::<bool>(),
        any::<bool>(),
        0..7 * 24 * 60_i64,
        subsequence(Signal::ALL.to_vec(), 0..=2),
        any::<bool>(),
    );
    let login = (
        any::<bool>(),
        select(&[None, Some("phr"), Some("mfa")]),
        select(&[0_i64, 60, 299, 300, 301, 3600, 90_000]),
        select(&[
            None,
            Some(None),
            Some(Some(Strength::Prompt)),
            Some(Some(Strength::Passkey)),
            Some(Some(Strength::Reauth)),
        ]),
    );
    (select(&SCOPES), who, how, login).prop_map(|(scope, who, how, login)| {
        let (agent, publisher, user, email, roles, permissions, tenants) = who;
        let (assurance, os, managed, attested, minutes, signals, tampered) = how;
        let (stepped_up, acr, auth_age_seconds, given) = login;
        Draw {
            scope,
            agent,
            publisher,
            user,
            email,
            roles,
            permissions,
            tenants,
            assurance,
            os,
            managed,
            attested,
            minutes,
            signals,
            tampered,
            stepped_up,
            acr,
            auth_age_seconds,
            given,
        }
    })
}

/// A template that is accepted.
pub(crate) fn template() -> impl Strategy<Value = Value> {
    prop::collection::vec(rule(), 1..10).prop_map(|rules| {
        let named = rules.into_iter().enumerate().map(|(number, mut rule)| {
            if rule["id"] == true {
                rule["id"] = json!(format!("rule-{number}"));
            }
            rule
        });
        json!({"policyId": "t", "rules": named.collect::<Vec<_>>()})
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let unless = prop_oneof![
        3 => Just(None),
        1 => conditions(1..3).prop_map(Some),
        1 => prop::collection::vec(conditions(1..3), 1..3).prop_map(|list| Some(Value::Array(list))),
    ];
    (conditions(1..4), unless, effects(), any::<bool>()).prop_map(|(when, unless, then, named)| {
        let mut rule = json!({"if": when, "then": then, "reasonUser": "said by default"});
        if rule["then"].get("preapprove").is_some() && rule["if"].get("requestedScope").is_none() {
            rule["if"]["requestedScope"] = json!(["files.*:/srv", "email.send:domain=hr.example"]);
        }
        if let Some(unless) = unless {
            rule["unless"] = unless;
        }
        if named {
            rule["id"] = json!(true);
        }
        rule
    })
}

fn conditions(count: std::ops::Range<usize>) -> impl Strategy<Value = Value> {
    prop::collection::vec(condition(), count)
        .prop_map(|list| Value::Object(list.into_iter().collect::<Map<_, _>>()))
}

fn condition() -> impl Strategy<Value = (String, Value)> {
    let named = |name: &'static str, words: &[&'static str]| {
        let words = words.to_vec();
        let most = words.len().min(3);
        let list = subsequence(words.clone(), 1..=most).prop_map(|list| json!(list));
        prop_oneof![select(words).prop_map(|word| json!(word)), list]
            .prop_map(move |value| (name.to_owned(), value))
            .boxed()
    };
    const WORDS: [&str; 3] = ["path", "pinned", "launched"];
    let assured = prop_oneof![
        select(&WORDS).prop_map(|word| json!({"below": word})),
        select(&WORDS).prop_map(|word| json!({"atLeast": word})),
    ];
    let flag =
        |name: &'static str| any::<bool>().prop_map(move |value| (name.to_owned(), json!(value))).boxed();
    let signals: Vec<_> = Signal::ALL.iter().map(|signal| signal.as_str()).collect();
    prop_oneof![
        8 => named("requestedScope", &PATTERNS),
        1 => named("agent", &["a", "b", "c"]),
        1 => named("agent.publisher", &["Example", "Other"]),
        1 => named("user", &["U1", "U2", "U3"]),
        1 => named("user.email", &["*@example.com", "u@other.example", "*@other.example"]),
        1 => named("user.role", &["admin", "ops", "none"]),
        1 => named("user.permission", &["pay", "see"]),
        1 => named("user.tenant", &["T1", "T2", "T3"]),
        2 => named("risk", &["read", "write", "delete", "execute", "exfiltrate", "money", "high"]),
        1 => named("assurance", &WORDS),
        1 => assured.prop_map(|value| ("assurance".to_owned(), value)),
        1 => named("device.os", &["linux", "macos", "windows", "unmanaged"]),
        1 => flag("device.managed"),
        1 => flag("device.attested"),
        1 => named("resource.label", &["confidential", "public", OWN_LABEL, "none"]),
        2 => time().prop_map(|value| ("timeOfDay".to_owned(), value)),
        1 => named("signals", &signals),
    ]
}

fn time() -> impl Strategy<Value = Value> {
    let days = subsequence(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"], 1..=3);
    let clock = |minute: i64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let span = (0..24 * 60_i64, 1..24 * 60_i64).prop_map(move |(from, length)| {
        let to = from + length;
        // Midnight at the end is the day's end, or the next day's begin: it is one minute.
        json!({"from": clock(from), "to": clock(if to > 24 * 60 { to - 24 * 60 } else { to })})
    });
    let one = prop_oneof![
        span.clone(),
        days.clone().prop_map(|days| json!({"days": days})),
        (span, days).prop_map(|(mut span, days)| {
            span["days"] = json!(days);
            span
        }),
    ];
    (one, any::<bool>()).prop_map(|(one, outside)| if outside { json!({"outside": one}) } else { one })
}

fn effects() -> impl Strategy<Value = Value> {
    let several = prop::collection::vec(effect(), 1..4).prop_map(|list| {
        let mut effects: Map<_, _> = list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        if effects.contains_key("preapprove") {
            effects.remove("consentStrength");
        }
        Value::Object(effects)
    });
    prop_oneof![2 => Just(json!({"deny": true})), 5 => several]
}

fn effect() -> impl Strategy<Value = (&'static str, Value)> {
    let requirements = subsequence(vec!["poP", "attestation", "managedDevice", "untampered"], 1..=2);
    let step_up = prop_oneof![
        Just(json!(true)),
        select(&["phr", "mfa"]).prop_map(|acr| json!({"acr": acr})),
        select(&[1, 5, 60]).prop_map(|minutes| json!({"maxAgeMinutes": minutes})),
        select(&[5, 60]).prop_map(|minutes| json!({"acr": "phr", "maxAgeMinutes": minutes})),
    ];
    prop_oneof![
        requirements.prop_map(|list| ("require", json!(list))),
        select(&["admin", "ops"]).prop_map(|role| ("requireRole", json!(role))),
        select(&[1, 5, 15, 60]).prop_map(|minutes| ("maxLifetimeMinutes", json!(minutes))),
        step_up.prop_map(|value| ("stepUp", value)),
        select(&["prompt", "passkey", "reauth"]).prop_map(|strength| ("consentStrength", json!(strength))),
        select(&["path", "pinned", "launched"]).prop_map(|floor| ("assuranceFloor", json!(floor))),
        select(vec![json!(true), json!("highRisk")]).prop_map(|value| ("preapprove", value)),
    ]
}

impl Draw {
    pub(crate) fn now(&self) -> Timestamp {
        // A Monday.
        "2026-11-23T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(self.minutes)
    }

    pub(crate) fn facts(&self, catalogue: &Catalogue) -> Facts {
        let scope: Scope = self.scope.parse().unwrap();
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let labels = |within: bool| {
            let bears = |bearer: &String| {
                let (resource, context) = bearer.split_once(':').unwrap();
                let bearer: Scope = format!("{}:{context}", scope.action_name()).parse().unwrap();
                let fits = if within { bearer.covers(&scope) } else { bearer.overlaps(&scope) };
                resource == scope.resource() && fits
            };
            let all = catalogue.labels().iter().filter(|(_, bearers)| bearers.iter().any(bears));
            // What a person added gives nothing, and spares nothing.
            all.map(|(label, _)| label.to_owned()).filter(|label| !within || label != OWN_LABEL).collect()
        };
        Facts {
            agent: self.agent.to_owned(),
            publisher: self.publisher.map(str::to_owned),
            user: self.user.to_owned(),
            email: self.email.map(str::to_owned),
            roles: texts(&self.roles),
            permissions: texts(&self.permissions),
            tenants: texts(&self.session().rights.tenants.iter().map(String::as_str).collect::<Vec<_>>()),
            risk: catalogue.risk(&scope).as_str().to_owned(),
            assurance: self.assurance.as_str().to_owned(),
            os: self.os.to_owned(),
            managed: self.managed,
            attested: self.attested,
            labels: labels(false),
            labels_within: labels(true),
            weekday: self.minutes / (24 * 60) + 1,
            minute: self.minutes % (24 * 60),
            signals: self.signals.iter().map(|signal| signal.as_str().to_owned()).collect(),
            tampered: self.tampered,
            stepped_up: self.stepped_up,
            acr: self.acr.map(str::to_owned),
            auth_age_seconds: self.auth_age_seconds,
            grant_level: match self.given {
                None => 0,
                // The administrator's.
                Some(None) => 3,
                Some(Some(Strength::Prompt)) => 1,
                Some(Some(Strength::Passkey)) => 2,
                Some(Some(Strength::Reauth)) => 3,
            },
            scope,
        }
    }

    pub(crate) fn session(&self) -> Arc<Session> {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let now = self.now();
        let claims = SessionClaims {
            subject: self.user.to_owned(),
            issuer: "https://issuer".into(),
            issued_at: None,
            expires_at: now + SignedDuration::from_mins(10),
            refresh_expires_at: None,
            roles: texts(&self.roles),
            permissions: texts(&self.permissions),
            tenants: None,
            current_tenant: None,
            factors: vec!["pwd".into()],
            acr: self.acr.map(str::to_owned),
            stepped_up: self.stepped_up,
            warnings: Vec::new(),
        };
        let mut rights = claims.effective(None);
        rights.tenants = texts(&self.tenants);
        let user = User { subject: self.user.to_owned(), name: None, email: self.email.map(str::to_owned) };
        Arc::new(Session {
            user,
            claims,
            rights,
            key_id: "k".into(),
            confirmed_at: now,
            logged_in_at: now - SignedDuration::from_secs(self.auth_age_seconds),
            limits: SessionLimits::default(),
        })
    }

    pub(crate) fn device(&self) -> Arc<Device> {
        Arc::new(Device {
            id: "device:uuid:1".into(),
            os: self.os.into(),
            managed: self.managed,
            attested: self.attested,
            ..Device::default()
        })
    }

    pub(crate) fn agent_file(&self) -> AgentFile {
        let mut manifest = json!({
            "name": self.agent, "version": "1",
            "scopes": [{"scope": self.scope, "purpose": "for a test"}],
        });
        if let Some(publisher) = self.publisher {
            manifest["publisher"] = json!(publisher);
        }
        let file = json!({"manifest": manifest, "selectors": {"executable": "/opt/a"}});
        AgentFile::parse(file.to_string().as_bytes()).unwrap()
    }

    /// The grant that there is, with nothing but how it was confirmed.
    pub(crate) fn grant(&self) -> Option<Grant> {
        let confirmed = self.given?;
        let grant = Grant::new(self.agent, self.scope.parse().unwrap(), Lifetime::UntilRevoked);
        Some(match confirmed {
            Some(strength) => grant.bound(agentauth_core::Binding {
                strength: Some(strength),
                ..agentauth_core::Binding::default()
            }),
            None => grant,
        })
    }

    /// The question, for as long as `ask` takes.
    pub(crate) fn question<T>(&self, catalogue: &Catalogue, ask: impl FnOnce(&Question<'_>) -> T) -> T {
        let (agent, session, device) = (Arc::new(self.agent_file().agent()), self.session(), self.device());
        let scope: Scope = self.scope.parse().unwrap();
        let strength = match self.given {
            None => GrantStrength::None,
            Some(None) => GrantStrength::Policy,
            Some(Some(strength)) => strength.into(),
        };
        let kind = if self.given.is_some() { GrantKind::Always } else { GrantKind::None };
        ask(&Question {
            agent: &agent,
            session: &session,
            scope: &scope,
            risk: catalogue.risk(&scope),
            assurance: self.assurance,
            greeted: true,
            tampered: self.tampered,
            caveats: CaveatKinds::default(),
            signals: self.signals.iter().copied().collect::<Signals>(),
            device: &device,
            seen: None,
            grant: &|| GrantUse { kind, strength },
            claimed: Claimed::default(),
            now: self.now(),
        })
    }
}
