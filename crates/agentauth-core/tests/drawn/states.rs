//! Random states, and what one step makes of them.

use std::sync::{Arc, LazyLock};

use agentauth_core::claims::SessionClaims;
use agentauth_core::consent::Action;
use agentauth_core::session::{OverReason, Session, SessionLimits, SessionState, User};
use agentauth_core::{
    Agent, AgentFile, Binding, CallerFacts, Catalogue, Caveat, CheckRequest, Device, ExecutableFacts, Grant,
    Launch, Lifetime, Mandate, Presence, ProcessFacts, Registration, Scope, ScriptFacts, Signal, Signals,
    SignedDuration, Strength, Timestamp, Zone,
};
use fastrand::Rng;
use serde_json::json;

use super::{chance, pick};
use crate::reference::{Declined, State};

const CATALOGUE: &str = r#"
    [labels]
    secret = ["files:/srv/hr", "files:/projects/alpha/x", "payments:currency=EUR"]
    outside = ["email:domain=example.com"]

    [resources.files.actions.read]
    says = "read files"
    risk = "read"
    path = true
    lifetime = "until_revoked"
    strength = "prompt"
    [resources.files.actions.write]
    says = "change files"
    risk = "write"
    path = true
    lifetime = "session"
    strength = "prompt"
    [resources.files.actions.delete]
    says = "delete files"
    risk = "delete"
    path = true
    lifetime = "PT1H"
    strength = "passkey"
    [resources.email.actions.send]
    says = "send email"
    risk = "exfiltrate"
    keys = ["domain"]
    lifetime = "PT1H"
    strength = "passkey"
    [resources.payments.actions.read]
    says = "see payments"
    risk = "read"
    keys = ["currency"]
    lifetime = "session"
    strength = "prompt"
    [resources.payments.actions.execute]
    says = "pay money"
    risk = "money"
    keys = ["currency", "payee"]
    lifetime = "once"
    strength = "reauth"
"#;

/// Nobody's catalogue has `warp.engage`, and `loom.weave` is not in the vocabulary either.
const SCOPES: &[&str] = &[
    "files.read",
    "files.read:/",
    "files.read:/projects",
    "files.read:/projects/alpha",
    "files.read:/projects/alpha/x",
    "files.read:/projects2",
    "files.read:/srv/hr",
    "files.write:/projects/alpha",
    "files.delete:/projects/alpha",
    "payments.read",
    "payments.read:currency=EUR",
    "payments.execute:currency=EUR",
    "payments.execute:currency=EUR,payee=x",
    "email.send:domain=example.com",
    "warp.engage:factor=9",
    "warp.engage:factor=*",
];

const FILES: &str = "files-agent";
const PAYMENT: &str = "payment-agent";
const HELPER: &str = "helper";

pub(crate) static THE_CATALOGUE: LazyLock<Arc<Catalogue>> =
    LazyLock::new(|| Arc::new(Catalogue::parse(CATALOGUE).unwrap()));
static SCOPE_POOL: LazyLock<Vec<Scope>> =
    LazyLock::new(|| SCOPES.iter().map(|text| text.parse().unwrap()).collect());
static AGENTS: LazyLock<Vec<Agent>> = LazyLock::new(|| {
    vec![
        registered(FILES, "2.3.1", json!({"executable": "/opt/agents/files", "sha256": "a".repeat(64)})),
        registered(
            PAYMENT,
            "1.0.0",
            json!({"executable": "/usr/bin/python3.11", "script": "/opt/agents/payment_agent.py"}),
        ),
        Registration::agent(&file(HELPER, "0.1", json!({"executable": "/opt/agents/helper"})).registration()),
    ]
});

fn file(name: &str, version: &str, selectors: serde_json::Value) -> AgentFile {
    let names = [
        "files.read",
        "files.write",
        "files.delete",
        "payments.read",
        "payments.execute",
        "email.send",
        "warp.engage",
    ];
    let scopes: Vec<_> = names.iter().map(|scope| json!({"scope": scope, "purpose": "work"})).collect();
    let manifest = json!({"name": name, "version": version, "scopes": scopes});
    let file = json!({"manifest": manifest, "selectors": selectors});
    AgentFile::parse(file.to_string().as_bytes()).unwrap()
}

fn registered(name: &str, version: &str, selectors: serde_json::Value) -> Agent {
    file(name, version, selectors).agent()
}

/// The actions that the manifests of the beginning name.
pub(crate) fn actions() -> Vec<String> {
    let scopes = AGENTS.iter().flat_map(|agent| &agent.manifest.scopes);
    scopes.map(|entry| entry.scope.action_name().to_owned()).collect()
}

pub(crate) fn base() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    base() + SignedDuration::from_secs(seconds)
}

/// A moment around which things begin and end.
pub(crate) fn moment(random: &mut Rng) -> Timestamp {
    let millis = pick(
        random,
        &[
            0, 0, 0, 0, 500, 500, 10_000, 10_000, 20_000, 20_000, 29_999, 30_000, 40_000, 59_000, 60_000,
            61_000, 90_000, 240_000, 301_000, 599_999, 600_000,
        ],
    );
    base() + SignedDuration::from_millis(millis)
}

pub(crate) fn scope(random: &mut Rng) -> Scope {
    SCOPE_POOL[random.usize(0..SCOPE_POOL.len())].clone()
}

/// A state in which much is allowed.
pub(crate) fn healthy(random: &mut Rng) -> State {
    let mut state = State {
        locked: false,
        quarantined_device: false,
        quarantined_agents: Vec::new(),
        session: SessionState::Active(Arc::new(session(random))),
        keys_fresh_until: Some(after(pick(random, &[1800, 1800, 300]))),
        agents: AGENTS.clone(),
        launches: vec![launch(&AGENTS[1])],
        grants: Vec::new(),
        declined: Vec::new(),
        presence: Presence { seen: Some(after(-600)), recertify_after: SignedDuration::from_secs(900) },
        max_confirmation_age: SignedDuration::from_secs(300),
        device: Arc::new(device(random)),
    };
    for agent in [FILES, PAYMENT, HELPER] {
        for action in
            ["files.read", "files.write", "payments.read", "payments.execute", "warp.engage", "files.delete"]
        {
            if chance(random, 0.6) {
                let always = Lifetime::UntilRevoked;
                let until = Lifetime::Until(moment(random));
                let lifetime = pick(random, &[always, always, Lifetime::Session, until]);
                add(&mut state.grants, Grant::new(agent, action.parse().unwrap(), lifetime));
            }
        }
    }
    for _ in 0..random.usize(2..10) {
        let grant = grant(random, &state);
        add(&mut state.grants, grant);
    }
    state
}

/// The state after something has happened.
pub(crate) fn changed(random: &mut Rng, before: &State) -> State {
    let mut state = before.clone();
    for _ in 0..random.usize(1..=2) {
        match random.u8(0..20) {
            0..8 => change_session(random, &mut state),
            8 | 9 => {
                let grant = grant(random, &state);
                add(&mut state.grants, grant);
            }
            10 | 11 => {
                if !state.grants.is_empty() {
                    let place = random.usize(0..state.grants.len());
                    state.grants.remove(place);
                }
            }
            12 => {
                let spent = state.grants.iter_mut().filter_map(|grant| grant.left.as_mut());
                spent.for_each(|left| *left = left.saturating_sub(1));
            }
            13 => state.device = Arc::new(device(random)),
            14 => {
                state.presence.seen =
                    pick(random, &[None, Some(after(-890)), Some(after(-30)), Some(base())]);
            }
            15 => {
                state.keys_fresh_until =
                    pick(random, &[None, Some(after(60)), Some(after(1800)), Some(after(1800))])
            }
            16 => {
                let agent = pick(random, &[FILES, FILES, PAYMENT]).to_owned();
                let everything = chance(random, 0.2);
                let scope = (!everything).then(|| scope(random));
                state.declined.push(Declined { agent, scope, until: moment(random) });
            }
            17 => register_anew(random, &mut state),
            18 => match random.u8(0..6) {
                0 => state.locked = !state.locked,
                1 => state.quarantined_device = !state.quarantined_device,
                2 if state.quarantined_agents.is_empty() => {
                    state.quarantined_agents.push(pick(random, &[FILES, PAYMENT]).to_owned());
                }
                2 => state.quarantined_agents.clear(),
                3 => state.launches.clear(),
                4 => state.launches = vec![launch(&state.agents[1])],
                _ => state.max_confirmation_age = SignedDuration::from_secs(pick(random, &[30, 300])),
            },
            _ => {
                state.session = match random.u8(0..4) {
                    0 => SessionState::LoggedOut,
                    1 => SessionState::Unverified { user: None, since: base(), why: "no answer".to_owned() },
                    2 => SessionState::Over {
                        user: None,
                        why: pick(
                            random,
                            &[OverReason::Revoked, OverReason::Expired, OverReason::AnswerLost],
                        ),
                        at: base(),
                    },
                    _ => SessionState::Active(Arc::new(session(random))),
                }
            }
        }
    }
    state
}

/// Another version of an agent takes the place of the one before.
fn register_anew(random: &mut Rng, state: &mut State) {
    let place = random.usize(0..state.agents.len());
    let agent = &mut state.agents[place];
    match random.u8(0..5) {
        0 => agent.manifest.version = pick(random, &["1.0.0", "2.0.0"]).to_owned(),
        1 => {
            agent.manifest.publisher =
                pick(random, &[None, Some("Example".to_owned()), Some("Other".to_owned())])
        }
        2 => agent.manifest.scopes.retain(|entry| entry.scope.action_name() != "files.read"),
        3 => *agent = AGENTS[place].clone(),
        _ => {
            // What the policies were not loaded for.
            let mut entry = agent.manifest.scopes[0].clone();
            entry.scope = "loom.weave".parse().unwrap();
            agent.manifest.scopes.push(entry);
        }
    }
    agent.manifest_digest = agent.manifest.digest();
}

fn launch(agent: &Agent) -> Launch {
    Launch { id: "launch:1".into(), agent: Arc::new(agent.clone()), pid: 7, start_time: 50 }
}

fn device(random: &mut Rng) -> Device {
    Device {
        id: pick(random, &["device:1", "device:1", "device:2"]).to_owned(),
        os: pick(random, &["linux", "linux", "macos"]).to_owned(),
        os_version: pick(random, &[None, Some("6.12".to_owned()), Some("5.4".to_owned())]),
        daemon_version: pick(random, &["1.0.0", "1.0.1"]).to_owned(),
        managed: random.bool(),
        attested: false,
        zone: Zone::named(pick(random, &["UTC", "UTC", "Europe/Berlin", "+05:30"])).unwrap(),
    }
}

fn some(random: &mut Rng, all: &[&str], probability: f64) -> Vec<String> {
    all.iter().filter(|_| chance(random, probability)).map(|one| (*one).to_owned()).collect()
}

fn session(random: &mut Rng) -> Session {
    let subject = pick(random, &["U1", "U1", "U2"]).to_owned();
    let claims = SessionClaims {
        subject: subject.clone(),
        issuer: "https://api.descope.com/P2abc".to_owned(),
        issued_at: None,
        expires_at: after(pick(random, &[600, 600, 1200, 600, 1200, 45])),
        refresh_expires_at: pick(random, &[None, None, Some(after(86_400)), Some(after(300))]),
        roles: some(random, &["admin", "payment_processor", "viewer"], 0.4),
        permissions: some(random, &["pay", "see"], 0.4),
        tenants: None,
        current_tenant: pick(random, &[None, Some("T1".to_owned()), Some("T2".to_owned())]),
        factors: some(random, &["pwd", "mfa"], 0.6),
        acr: pick(random, &[None, Some("phr".to_owned()), Some("mfa".to_owned())]),
        stepped_up: chance(random, 0.3),
        warnings: Vec::new(),
    };
    let mut rights = claims.effective(None);
    rights.tenants = some(random, &["T1", "T2"], 0.5);
    Session {
        user: User {
            email: pick(
                random,
                &[None, Some(format!("{subject}@acme.test")), Some("x@other.test".to_owned())],
            ),
            subject,
            name: None,
        },
        rights,
        claims,
        key_id: "K1".to_owned(),
        confirmed_at: after(pick(random, &[-80, -5, -60, -25, -250])),
        logged_in_at: after(pick(random, &[-3600, -270, -80, -60, -25, -10, -5])),
        limits: SessionLimits {
            max_age: pick(random, &[None, None, None, Some(SignedDuration::from_secs(3630))]),
            revalidate_every: pick(random, &[None, None, None, None, Some(SignedDuration::from_secs(60))]),
        },
    }
}

/// The same person's session after a refresh, with one thing changed or nothing but its time.
fn change_session(random: &mut Rng, state: &mut State) {
    let SessionState::Active(before) = &state.session else {
        state.session = SessionState::Active(Arc::new(session(random)));
        return;
    };
    let mut next = Session::clone(before);
    let other = session(random);
    match random.u8(0..14) {
        0 => next.confirmed_at = other.confirmed_at,
        1 => next.rights.roles = other.rights.roles,
        2 => next.rights.permissions = other.rights.permissions,
        3 => next.rights.tenants = other.rights.tenants,
        4 => next.rights.current_tenant = other.rights.current_tenant,
        5 => next.claims.factors = other.claims.factors,
        6 => next.claims.acr = other.claims.acr,
        7 => next.claims.stepped_up = !next.claims.stepped_up,
        8 => next.user.email = other.user.email,
        9 => next.logged_in_at = other.logged_in_at,
        10 => next.claims.expires_at = other.claims.expires_at,
        11 => next.limits = other.limits,
        12 => next.user.subject = other.user.subject,
        _ => next = other,
    }
    state.session = SessionState::Active(Arc::new(next));
}

/// Grants of the same name are one.
fn add(grants: &mut Vec<Grant>, grant: Grant) {
    grants.retain(|other| other.id != grant.id);
    grants.push(grant);
}

fn grant(random: &mut Rng, state: &State) -> Grant {
    let name = pick(random, &[FILES, FILES, PAYMENT, HELPER]);
    let lifetime = match random.u8(0..4) {
        0 => Lifetime::UntilRevoked,
        1 => Lifetime::Session,
        _ => Lifetime::Until(moment(random)),
    };
    let mut grant = Grant::new(name, scope(random), lifetime);
    if chance(random, 0.15) {
        grant = grant.for_uses(random.u32(1..=2));
    }
    if lifetime == Lifetime::Session
        && let SessionState::Active(session) = &state.session
        && random.bool()
    {
        grant = grant.during(session.logged_in_at);
    }
    if chance(random, 0.4) {
        let digest = state
            .agents
            .iter()
            .find(|agent| *agent.name == *name)
            .map(|agent| agent.manifest_digest.as_str().into());
        grant = grant.bound(Binding {
            manifest_digest: if chance(random, 0.3) { digest } else { None },
            user: pick(random, &[None, Some("U1".into())]),
            action: chance(random, 0.2).then(|| action().digest().into()),
            consent: pick(random, &[None, Some("C1".into())]),
            strength: pick(
                random,
                &[None, None, Some(Strength::Prompt), Some(Strength::Passkey), Some(Strength::Reauth)],
            ),
        });
    }
    if chance(random, 0.12) {
        let window =
            pick(random, &[None, Some("10:00-10:01 UTC"), Some("09:00-10:00 UTC"), Some("00:00-24:00 UTC")]);
        grant = grant.mandated(Mandate { window: window.map(|text| text.parse().unwrap()) });
    }
    if chance(random, 0.08) { grant.refused() } else { grant }
}

fn action() -> Action {
    Action::new(&json!({"pay": 5, "to": "x"})).unwrap()
}

pub(crate) fn request(random: &mut Rng) -> CheckRequest {
    let count = pick(random, &[1, 1, 1, 1, 1, 1, 2, 2, 3, 0]);
    let mut scopes: Vec<Scope> = (0..count).map(|_| scope(random)).collect();
    if chance(random, 0.01) {
        scopes = vec![scope(random); 33];
    } else if chance(random, 0.02) {
        scopes.push("loom.weave".parse().unwrap());
    }
    CheckRequest {
        scopes,
        purpose: pick(random, &[None, None, Some("invoice".to_owned()), Some("other".to_owned())]),
        action: chance(random, 0.25).then(action),
        bytes: pick(random, &[0, 0, 1, 100, u64::MAX]),
        items: pick(random, &[0, 0, 1, 5]),
        dry_run_as: None,
    }
}

/// A caller, mostly one that is proven.
pub(crate) fn caller(random: &mut Rng) -> Result<CallerFacts, String> {
    let file = |path: &str, sha256: Option<&str>| ProcessFacts {
        pid: 4712,
        start_time: 100,
        executable: Some(ExecutableFacts {
            path: path.to_owned(),
            sha256: sha256.map(|letter| letter.repeat(64)),
            ..ExecutableFacts::default()
        }),
        ..ProcessFacts::default()
    };
    let files = || file("/opt/agents/files", Some("a"));
    let payment = || ProcessFacts {
        script: Some(ScriptFacts {
            path: "/opt/agents/payment_agent.py".to_owned(),
            ..ScriptFacts::default()
        }),
        ..file("/usr/bin/python3.11", Some("e"))
    };
    let launcher = || ProcessFacts { pid: 7, start_time: 50, ..file("/usr/bin/agentauthd", None) };
    let asks = |process: ProcessFacts| CallerFacts {
        process,
        ancestry_complete: true,
        greeted: true,
        ..CallerFacts::default()
    };
    let mut facts = match random.u8(0..24) {
        0..9 => asks(files()),
        9..14 => CallerFacts { ancestors: vec![launcher()], no_new_privs: true, ..asks(payment()) },
        14 => asks(payment()),
        15 | 16 => asks(file("/opt/agents/helper", None)),
        17 => CallerFacts { ancestors: vec![payment()], ..asks(files()) },
        18 => CallerFacts {
            ancestors: vec![launcher()],
            no_new_privs: true,
            ..asks(file("/usr/bin/git", None))
        },
        19 => asks(file("/usr/bin/curl", Some("c"))),
        20 => asks(file("/opt/agents/files", pick(random, &[None, Some("b")]))),
        21 => {
            let mut replaced = file(pick(random, &["/opt/agents/files", "/opt/agents/helper"]), Some("a"));
            replaced.executable.as_mut().unwrap().replaced = true;
            asks(replaced)
        }
        22 => return Err(pick(random, &[FILES, PAYMENT, "nobody"]).to_owned()),
        _ => CallerFacts {
            ancestors: vec![file("/opt/agents/files", Some("b"))],
            ..asks(file("/opt/agents/helper", None))
        },
    };
    match random.u8(0..20) {
        0 => facts.greeted = false,
        1 => facts.ancestry_complete = false,
        2 => facts.no_new_privs = false,
        3 => facts.caveats = vec![Caveat::Traced],
        4 => facts.caveats = vec![Caveat::OtherMountNamespace],
        5 => facts.caveats = vec![Caveat::Variable("LD_PRELOAD".to_owned()), Caveat::WritableByOthers],
        _ => {}
    }
    Ok(facts)
}

pub(crate) fn signals(random: &mut Rng) -> Signals {
    match random.u8(0..6) {
        0 => Signals::NONE.with(Signal::Burst),
        1 => Signals::NONE.with(Signal::Rate).with(Signal::OffHours),
        _ => Signals::NONE,
    }
}
