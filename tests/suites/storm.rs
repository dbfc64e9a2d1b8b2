//! A storm on the one login that there is: many processes need a session at once, and whatever can happen to a refresh
//! happens to it. The provider rotates refresh tokens, and kills the family when a spent one comes again.
//!
//! What holds afterwards, whatever came before: where the provider's family lives, the session works without a new
//! login; where it is dead, the person is told to log in. A family that lives and is not used any more would be a lost
//! one, and a session that neither works nor says so would be silently wrong. There is neither.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentauth_api::{SessionPhase, Status};
use descope_emulator::{Fault, FaultAction, FaultBody};
use e2e::cli::Running;
use e2e::keyring::Keyring;
use e2e::provider::TOKEN_ENDPOINT;
use e2e::{ALICE, Outcome, Provider, Store, World, WorldOptions, wait};
use fastrand::Rng;
use serde_json::json;

const PAY: &str = "payments.execute:currency=EUR";

/// Processes that need a session at once.
const PROCESSES: usize = 50;

/// Random rounds in all, and the worlds that share them.
const ROUNDS: usize = 200;
const WORLDS: usize = 8;

/// How long an agent waits for a session to come back, in milliseconds; longer than a round takes.
const AGENTS_WAIT: u64 = 30_000;

/// Something that happens to one refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Delayed,
    AnswerDelayed,
    AnswerTwice,
    Limited,
    Unavailable,
    UnavailablePage,
    GatewayPage,
    Reset,
    AnswerLost,
    AnswerTruncated,
    AnswerReplacedByPage,
    AnswerGarbled,
    RepeatedFirstAnswer,
    RepeatedSecondAnswer,
}

/// What became of the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Works,
    ToldToLogIn,
}

impl Trouble {
    const ALL: [Self; 14] = [
        Self::Delayed,
        Self::AnswerDelayed,
        Self::AnswerTwice,
        Self::Limited,
        Self::Unavailable,
        Self::UnavailablePage,
        Self::GatewayPage,
        Self::Reset,
        Self::AnswerLost,
        Self::AnswerTruncated,
        Self::AnswerReplacedByPage,
        Self::AnswerGarbled,
        Self::RepeatedFirstAnswer,
        Self::RepeatedSecondAnswer,
    ];

    fn fault(self) -> FaultAction {
        let processed =
            |status, body| FaultAction::Status { status, retry_after: None, body, processed: true };
        match self {
            Self::Delayed => FaultAction::DelayBefore { ms: 300 },
            Self::AnswerDelayed => FaultAction::DelayAfter { ms: 300 },
            Self::AnswerTwice => FaultAction::AnswerTwice,
            Self::Limited => FaultAction::too_many_requests(1),
            Self::Unavailable => FaultAction::unavailable(503),
            Self::UnavailablePage => FaultAction::html(503),
            Self::GatewayPage => FaultAction::html(502),
            Self::Reset => FaultAction::Reset,
            Self::AnswerLost => FaultAction::AnswerLost,
            Self::AnswerTruncated => FaultAction::AnswerTruncated,
            Self::AnswerReplacedByPage => processed(504, FaultBody::Html),
            Self::AnswerGarbled => processed(200, FaultBody::Garbage),
            Self::RepeatedFirstAnswer => FaultAction::ProcessedTwice { second: false },
            Self::RepeatedSecondAnswer => FaultAction::ProcessedTwice { second: true },
        }
    }

    /// What must become of the login when this happens once and nobody is killed. The new token is out of reach where
    /// the provider rotated and its answer did not come; no client can do better than say so.
    fn fate(self) -> Fate {
        match self {
            Self::Delayed
            | Self::AnswerDelayed
            | Self::AnswerTwice
            | Self::Limited
            | Self::Unavailable
            | Self::UnavailablePage
            | Self::GatewayPage
            | Self::Reset => Fate::Works,
            Self::AnswerLost
            | Self::AnswerTruncated
            | Self::AnswerReplacedByPage
            | Self::AnswerGarbled
            | Self::RepeatedFirstAnswer
            | Self::RepeatedSecondAnswer => Fate::ToldToLogIn,
        }
    }
}

/// A world with a keyring of its own, logged in.
fn world(keyring: &Keyring) -> World {
    let options = WorldOptions {
        store: Store::Keychain,
        bus: Some(keyring.address().to_owned()),
        log_filter: "debug".to_owned(),
        // So many ask for money at once that it would be held against the agent.
        more_configuration: "[signals]\nrate_limit = 1000000\nburst_limit = 1000000\n".to_owned(),
        ..WorldOptions::default()
    };
    let world = World::with(&Provider::start(), options);
    world.login(ALICE);
    world
}

/// Processes that each ask once and wait for a session as long as that may help.
fn ask_all(world: &World, count: usize) -> Vec<Running> {
    let question = json!({"scope": PAY, "wait_ms": AGENTS_WAIT}).to_string();
    let asking = || world.probe_command(&["--request", "POST", "/v1/check", &question]);
    (0..count).map(|_| Running::start(asking())).collect()
}

/// Every answer is one that a session in this state may give. Of a daemon that was killed there may be none.
#[track_caller]
fn assert_sound(outcome: &Outcome, killed: bool) {
    let lines = outcome.json_lines();
    let [answer] = lines.as_slice() else { panic!("one line: {outcome:?}") };
    if killed && (answer.get("io_error").is_some() || answer["code"] == "caller_unproven") {
        return;
    }
    let sound = match answer["decision"].as_str() {
        Some("allow") => answer["reason"] == "granted",
        Some("deny") => ["login", "wait"].contains(&answer["remedy"].as_str().unwrap_or_default()),
        _ => false,
    };
    assert!(sound, "{answer}");
}

/// From now on a session token lives for two seconds and is refreshed every second.
fn refresh_often(world: &World) {
    world.provider.patch(json!({"lifetimes": {"session": 2}}));
}

/// The weather clears: no more faults, and session tokens that live long. A request that is still under way is left to
/// end as it began: a token of a family that it kills would otherwise be good for long, as tokens are that nobody asks about.
fn calm(world: &World) {
    world.provider.calm();
    wait::until_true("requests under way to end", || {
        world.provider.control().counts().get(TOKEN_ENDPOINT).is_none_or(|count| count.in_flight == 0)
    });
    world.provider.patch(json!({"lifetimes": {"session": 600}}));
}

/// Waits until the daemon knows where it stands: with a token that lives long, or at the end of the login.
#[track_caller]
fn settled(world: &World) -> (Fate, Status) {
    let fate = |status: &Status| match status.session.phase {
        SessionPhase::Unverified => None,
        SessionPhase::Active => {
            let now = world.provider.control().now();
            let lives_long =
                status.session.expires_at.is_some_and(|ends| ends.duration_since(now).as_secs() > 60);
            lives_long.then_some(Fate::Works)
        }
        SessionPhase::LoggedOut | SessionPhase::Over => Some(Fate::ToldToLogIn),
    };
    wait::until("the daemon to know where it stands", || {
        let status = world.status();
        fate(&status).map(|fate| (fate, status))
    })
}

/// Holds what the daemon says against what the provider knows.
#[track_caller]
fn aftermath(world: &World, story: &dyn std::fmt::Debug) -> Fate {
    let (fate, status) = settled(world);
    let live = world.provider.live_families(ALICE.email);
    let families = || format!("{story:?}: {:#?}\n{status:#?}", world.provider.families().last());
    let decision = world.check(PAY);
    match fate {
        Fate::Works => {
            assert_eq!(live, 1, "the session works and the provider has ended it: {}", families());
            assert_eq!(decision["decision"], "allow", "{story:?}: {decision}");
        }
        Fate::ToldToLogIn => {
            assert_eq!(live, 0, "a login that still lives was given up: {}", families());
            assert_eq!(decision["decision"], "deny", "{story:?}: {decision}");
            assert_eq!(decision["remedy"], "login", "{story:?}: {decision}");
            // A daemon that was killed after it had forgotten the login says only that nobody is logged in.
            let phase = status.session.phase;
            assert!(phase == SessionPhase::LoggedOut || status.session.detail.is_some(), "{}", families());
        }
    }
    fate
}

#[test]
fn fifty_processes_and_the_daemon_need_a_session_and_there_is_one_refresh() {
    let Some(keyring) = Keyring::start() else { return };
    let mut world = world(&keyring);
    let before = world.provider.families()[0].refreshes;
    let asked = world.provider.control().count(TOKEN_ENDPOINT);
    // After its start the daemon has no session token; the provider takes its time.
    world.provider.inject(Fault::on(TOKEN_ENDPOINT, FaultAction::HoldBefore).grant("refresh_token").once());
    world.restart_daemon();
    let held = world.provider.wait_for_hold(TOKEN_ENDPOINT);
    let agents = ask_all(&world, PROCESSES);
    // Each of them has been answered `session_unverified` once, and waits.
    wait::until_true("all processes to wait for a session", || {
        let waiting = world.audit().iter().filter(|record| record["reason"] == "session_unverified").count();
        waiting >= PROCESSES
    });
    assert!(world.provider.control().release(held.id));
    for agent in agents {
        let answers = agent.finish().json_lines();
        assert_eq!(answers[0]["decision"], "allow", "{answers:?}");
    }
    let family = &world.provider.families()[0];
    assert_eq!((family.refreshes, family.reuses, family.alive), (before + 1, 0, true));
    assert_eq!(world.provider.control().count(TOKEN_ENDPOINT), asked + 1);
    assert_eq!(world.provider.control().counts()[TOKEN_ENDPOINT].peak, 1);
}

#[test]
fn fifty_processes_keep_asking_while_tokens_run_out() {
    let Some(keyring) = Keyring::start() else { return };
    let world = world(&keyring);
    refresh_often(&world);
    world.cli(&["logout"]);
    world.login(ALICE);
    world
        .provider
        .inject(Fault::on(TOKEN_ENDPOINT, FaultAction::DelayBefore { ms: 1500 }).grant("refresh_token"));
    // Refreshes take longer than what is left of a token: the session is away most of the time.
    let before = world.provider.families().last().unwrap().refreshes;
    let mut agents = ask_all(&world, PROCESSES);
    while world.provider.families().last().unwrap().refreshes < before + 3 {
        for agent in agents.drain(..) {
            assert_sound(&agent.finish(), false);
        }
        agents = ask_all(&world, PROCESSES);
    }
    for agent in agents {
        assert_sound(&agent.finish(), false);
    }
    calm(&world);
    assert_eq!(aftermath(&world, &"slow refreshes"), Fate::Works);
    assert_eq!(world.provider.control().counts()[TOKEN_ENDPOINT].peak, 1, "two refreshes at once");
    assert_eq!(world.provider.families().last().unwrap().reuses, 0);
}

#[test]
fn each_trouble_has_its_outcome() {
    let Some(keyring) = Keyring::start() else { return };
    let mut world = world(&keyring);
    let mut table = String::from("what happens to a refresh   provider's family   daemon says\n");
    for trouble in Trouble::ALL {
        refresh_often(&world);
        world.restart_daemon();
        let fault =
            world.provider.inject(Fault::on(TOKEN_ENDPOINT, trouble.fault()).grant("refresh_token").once());
        wait_for_hits(&world, &[fault]);
        calm(&world);
        let fate = aftermath(&world, &trouble);
        let family = if world.provider.live_families(ALICE.email) == 1 { "lives" } else { "dead" };
        table.push_str(&format!("{:<28}{family:<20}{fate:?}\n", format!("{trouble:?}")));
        assert_eq!(fate, trouble.fate(), "{trouble:?}");
        if fate == Fate::ToldToLogIn {
            world.login(ALICE);
        }
    }
    println!("{table}");
}

/// Waits until each of these faults has been met, or the login is over before.
#[track_caller]
fn wait_for_hits(world: &World, faults: &[u64]) {
    wait::until_true("the faults to be met", || {
        let met =
            |id: &u64| world.provider.control().faults().iter().any(|view| view.id == *id && view.hits > 0);
        faults.iter().all(met)
            || matches!(world.status().session.phase, SessionPhase::Over | SessionPhase::LoggedOut)
    });
}

#[test]
fn two_hundred_random_rounds_lose_nothing_and_are_never_silently_wrong() {
    let seed = std::env::var("STORM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("STORM_SEED={seed}");
    let next = AtomicUsize::new(0);
    let fates = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for number in 0..WORLDS {
            let (next, fates) = (&next, &fates);
            scope.spawn(move || {
                let Some(keyring) = Keyring::start() else { return };
                let mut world = world(&keyring);
                let mut rng = Rng::with_seed(seed + number as u64);
                while next.fetch_add(1, Ordering::Relaxed) < ROUNDS {
                    let fate = round(&mut world, &mut rng);
                    fates.lock().unwrap().push(fate);
                }
            });
        }
    });
    let fates = fates.into_inner().unwrap();
    let count = |wanted: Fate| fates.iter().filter(|fate| **fate == wanted).count();
    println!(
        "{} rounds: {} work on, {} told to log in",
        fates.len(),
        count(Fate::Works),
        count(Fate::ToldToLogIn)
    );
    if std::env::var_os("AGENTAUTHD_TEST_KEYRING").is_some() {
        assert_eq!(fates.len(), ROUNDS);
        assert!(count(Fate::Works) > 0 && count(Fate::ToldToLogIn) > 0, "both ends are met");
    }
}

/// One or two troubles in a row, agents that ask meanwhile, and every other time a kill at any moment.
fn round(world: &mut World, rng: &mut Rng) -> Fate {
    let troubles: Vec<Trouble> =
        (0..rng.usize(1..=2)).map(|_| Trouble::ALL[rng.usize(..Trouble::ALL.len())]).collect();
    let killed = rng.bool().then(|| Duration::from_micros(rng.u64(0..400_000)));
    let story = (troubles.clone(), killed);
    refresh_often(world);
    let faults: Vec<u64> = (0_u32..)
        .zip(&troubles)
        .map(|(n, trouble)| {
            world
                .provider
                .inject(Fault::on(TOKEN_ENDPOINT, trouble.fault()).grant("refresh_token").after(n).once())
        })
        .collect();
    // The token in force lives long: a new start asks for one that does not.
    world.restart_daemon();
    let agents = ask_all(world, PROCESSES / WORLDS);
    match killed {
        None => wait_for_hits(world, &faults),
        Some(later) => {
            wait_for_hits(world, &faults[..1]);
            // At any moment: that is what is tried here.
            std::thread::sleep(later);
            world.kill_daemon();
            assert!(world.provider.live_families(ALICE.email) <= 1, "{story:?}");
            world.start_daemon();
        }
    }
    calm(world);
    let fate = aftermath(world, &story);
    for agent in agents {
        assert_sound(&agent.finish(), killed.is_some());
    }
    assert!(world.provider.live_families(ALICE.email) <= 1, "{story:?}");
    if fate == Fate::ToldToLogIn {
        world.login(ALICE);
    }
    fate
}
