//! The keeper against the stand-in provider: rotation, a store that refuses, logout in the middle, another account.

mod rules;

use std::sync::Mutex;
use std::time::Duration;

use agentauth_core::consent::Declined;
use agentauth_core::policy::Policy;
use agentauth_core::session::SessionFault;
use agentauth_core::snapshot::Snapshot;
use agentauth_core::{Agents, Catalogue, Grants, MachineClock};
use agentauth_host::clock::SystemClock;
use agentauth_idp::{ProviderConfig, ProviderSettings, REVOCATION_BOUND, Realm};
use agentauth_store::{Fault, Memory};
use descope_emulator::{Emulator, Fault as ProviderFault, FaultAction};
use secrecy::ExposeSecret as _;

use super::farewells::Owed;
use super::*;

const ALICE: &str = "alice@acme.test";
const BOB: &str = "bob@acme.test";
const TOKEN_ENDPOINT: &str = "/oauth2/v1/token";

struct House {
    emulator: Arc<Emulator>,
    provider: Provider,
    keys: Arc<Keys>,
    store: Arc<Memory>,
    state: Arc<State>,
    handle: KeeperHandle,
    stop: CancellationToken,
    done: tokio::task::JoinHandle<()>,
    directory: Arc<tempfile::TempDir>,
    machine: Arc<Machine>,
    clock: Arc<SteadyClock>,
    limits: SessionLimits,
}

/// The system's clocks, moved: time goes on, as it does at the provider.
#[derive(Default)]
struct Machine {
    moved: Mutex<[SignedDuration; 3]>,
}

impl Machine {
    /// Moves the wall clock, the time since the start and the time awake by so many seconds.
    fn shift(&self, wall: i64, since_boot: i64, awake: i64) {
        let mut moved = self.moved.lock().unwrap();
        for (by, seconds) in moved.iter_mut().zip([wall, since_boot, awake]) {
            *by += SignedDuration::from_secs(seconds);
        }
    }
}

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        self.reading().wall
    }
}

impl MachineClock for Machine {
    fn reading(&self) -> ClockReading {
        let ([wall, since_boot, awake], now) = (*self.moved.lock().unwrap(), SystemClock.reading());
        ClockReading {
            wall: now.wall + wall,
            since_boot: now.since_boot + since_boot,
            awake: now.awake + awake,
        }
    }
}

impl House {
    /// A keeper at work; sessions live two seconds, so that it refreshes every second.
    async fn open() -> Self {
        let emulator = Emulator::builder().start().await.unwrap();
        emulator.control().update_settings(|settings| {
            settings.lifetimes.session = 2;
            settings.refresh.rotate = true;
        });
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self::open_with(Arc::new(emulator), Arc::new(Memory::new()), directory).await
    }

    /// A keeper under such limits; sessions live ten minutes.
    async fn open_under(limits: SessionLimits) -> Self {
        let emulator = Emulator::builder().start().await.unwrap();
        emulator.control().update_settings(|settings| settings.refresh.rotate = true);
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let store = Arc::new(Memory::new());
        Self::open_on(Arc::new(emulator), store, directory, Arc::default(), limits).await
    }

    /// The same after a restart of the daemon.
    async fn reopen(self) -> Self {
        self.stop.cancel();
        self.done.await.unwrap();
        Self::open_on(self.emulator, self.store, self.directory, self.machine, self.limits).await
    }

    async fn open_with(
        emulator: Arc<Emulator>,
        store: Arc<Memory>,
        directory: Arc<tempfile::TempDir>,
    ) -> Self {
        Self::open_on(emulator, store, directory, Arc::default(), SessionLimits::default()).await
    }

    async fn open_on(
        emulator: Arc<Emulator>,
        store: Arc<Memory>,
        directory: Arc<tempfile::TempDir>,
        machine: Arc<Machine>,
        limits: SessionLimits,
    ) -> Self {
        let settings = ProviderSettings {
            project_id: emulator.project_id().to_owned(),
            base_url: Some(emulator.base_url().to_owned()),
            ..ProviderSettings::default()
        };
        let provider = Provider::new(ProviderConfig::new(settings).unwrap()).unwrap();
        let db = Arc::new(StateDb::open(&directory.path().join("state.db")).unwrap());
        let last_seen = db.last_seen(&"default".parse().unwrap()).unwrap();
        let clock = Arc::new(SteadyClock::new(machine.clone(), last_seen));
        let keys = Arc::new(provider.keys(None, clock.now()));
        let state = Arc::new(State::new(empty_snapshot()));
        let stop = CancellationToken::new();
        let (keeper, handle) = Keeper::new(
            Parts {
                profile: "default".parse().unwrap(),
                state_directory: directory.path().to_owned(),
                tenant: None,
                provider: provider.clone(),
                keys: keys.clone(),
                store: store.clone(),
                db,
                audit: Recorder::new(
                    agentauth_audit::AuditLog::open(&directory.path().join("audit"), clock.now()).unwrap(),
                ),
                state: state.clone(),
                clock: clock.clone(),
                limits,
                jitter: || 0.0,
                settle: Arc::new(|| Ok(())),
                metrics: Arc::default(),
            },
            stop.clone(),
        );
        let done = tokio::spawn(keeper.run());
        Self { emulator, provider, keys, store, state, handle, stop, done, directory, machine, clock, limits }
    }

    async fn log_in(&self, login: &str) -> Result<User, AdoptError> {
        self.log_in_since(login, self.handle.logouts()).await
    }

    /// Files a login that began when there had been so many logouts.
    async fn log_in_since(&self, login: &str, logouts: u64) -> Result<User, AdoptError> {
        self.handle.adopt(self.signed_in(login, logouts).await).await
    }

    /// A login as the browser brings it.
    async fn signed_in(&self, login: &str, logouts: u64) -> NewLogin {
        let signed_in = self.emulator.control().sign_in(login).unwrap();
        let session_token = SecretString::from(signed_in.session);
        let now = self.machine.now();
        let session = self.provider.verify_session(&session_token, &self.keys, None, now).await.unwrap();
        let user =
            User { subject: session.claims.subject.clone(), name: None, email: Some(login.to_owned()) };
        let refresh_token = SecretString::from(signed_in.refresh);
        let issuer = self.emulator.issuer().to_owned();
        NewLogin {
            method: LoginMethod::Browser,
            logouts,
            issuer,
            user,
            refresh_token,
            session_token: Some(session_token.clone()),
            session,
            id_token: session_token,
            original: None,
        }
    }

    fn fault(&self) -> Option<SessionFault> {
        self.state.load().session.usable_at(self.clock.now()).err()
    }

    fn refreshes(&self) -> u64 {
        self.emulator.control().count(TOKEN_ENDPOINT)
    }

    async fn stored_token(&self) -> Option<String> {
        let name = SecretName::refresh_token("default".parse().unwrap());
        let secret = self.store.get(&name).await.unwrap()?;
        Some(StoredLogin::from_secret(&secret).unwrap().refresh_token.expose_secret().to_owned())
    }

    /// The living families, and whether the stored token is the one living token of the only one.
    fn living_families(&self) -> usize {
        self.emulator.control().families().iter().filter(|family| family.alive).count()
    }
}

fn empty_snapshot() -> Snapshot {
    let catalogue = Catalogue::shipped().unwrap();
    let no_actions: [&str; 0] = [];
    Snapshot {
        generation: 0,
        locked: false,
        quarantined_device: false,
        quarantined_agents: imbl::HashSet::new(),
        session: SessionState::LoggedOut,
        keys_fresh_until: None,
        agents: Agents::new(),
        grants: Grants::new(),
        declined: Declined::default(),
        launches: agentauth_core::Launches::new(),
        presence: agentauth_core::Presence::default(),
        policy: Arc::new(Policy::load(Policy::shipped(), &catalogue, no_actions).unwrap()),
        catalogue: Arc::new(catalogue),
        max_confirmation_age: SignedDuration::from_mins(15),
        device: Arc::default(),
    }
}

/// Waits for a condition, with a limit that only a hang reaches.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_login_is_refreshed_and_each_rotated_token_is_stored() {
    let house = House::open().await;
    house.log_in(ALICE).await.unwrap();
    let first = house.stored_token().await.unwrap();
    until("two refreshes", || house.refreshes() >= 2).await;
    until("a usable session", || house.fault().is_none()).await;
    assert_ne!(house.stored_token().await.unwrap(), first);
    assert_eq!(house.living_families(), 1);
    house.stop.cancel();
}

#[tokio::test]
async fn a_rotated_token_that_the_store_refuses_is_stored_before_it_is_used() {
    let house = House::open().await;
    house.log_in(ALICE).await.unwrap();
    // While the provider has the request, the next that the store hears of is the rotated token.
    let control = house.emulator.control();
    control.inject(ProviderFault::on(TOKEN_ENDPOINT, FaultAction::HoldBefore).once());
    control.wait_for_hold(TOKEN_ENDPOINT).await;
    let before = house.stored_token().await.unwrap();
    let calls = house.store.calls().len();
    house.store.fail_next(Fault::Refused);
    control.release_all();
    until("the refused write", || house.store.calls().iter().skip(calls).any(|call| *call == "set")).await;
    let refreshed = house.refreshes();
    assert_eq!(house.stored_token().await.unwrap(), before, "the refusal stands");
    until("the problem is shown", || house.handle.view().problem.is_some()).await;
    let sets = |house: &House| house.store.calls().iter().skip(calls).filter(|call| **call == "set").count();
    until("the second write", || {
        let asked = house.refreshes();
        let stored = sets(&house) >= 2;
        assert!(stored || asked == refreshed, "the unstored token was used");
        stored
    })
    .await;
    until("a usable session", || house.fault().is_none()).await;
    assert_eq!(house.living_families(), 1);
    house.stop.cancel();
}

#[tokio::test]
async fn a_logout_during_a_refresh_wins_and_leaves_nothing() {
    let house = House::open().await;
    house.log_in(ALICE).await.unwrap();
    let control = house.emulator.control();
    control.inject(ProviderFault::on(TOKEN_ENDPOINT, FaultAction::HoldAfter).once());
    control.wait_for_hold(TOKEN_ENDPOINT).await;
    let logout = tokio::spawn({
        let handle = house.handle.clone();
        async move { handle.logout(false).await.unwrap() }
    });
    until("the rights are gone", || house.fault() == Some(SessionFault::NotLoggedIn)).await;
    control.release_all();
    let done = logout.await.unwrap();
    assert!(done.was_logged_in && done.secret_removed && done.revoked_at_provider, "{done:?}");
    assert_eq!(house.fault(), Some(SessionFault::NotLoggedIn));
    assert_eq!(house.stored_token().await, None);
    assert_eq!(house.living_families(), 0, "the token that came during the logout is revoked too");
    house.stop.cancel();
}

#[tokio::test]
async fn another_account_than_the_pinned_one_is_refused_and_nothing_changes() {
    let house = House::open().await;
    house.log_in(ALICE).await.unwrap();
    let refused = house.log_in(BOB).await.unwrap_err();
    assert!(matches!(refused, AdoptError::OtherAccount { .. }), "{refused}");
    assert!(refused.to_string().contains(ALICE) && refused.to_string().contains(BOB));
    let session = house.state.load().session.user().unwrap().label().to_owned();
    assert_eq!(session, ALICE);
    house.handle.logout(false).await.unwrap();
    assert!(house.log_in(BOB).await.is_err(), "the pin outlives a logout");
    house.log_in(ALICE).await.unwrap();
    house.stop.cancel();
}

#[tokio::test]
async fn a_login_after_a_logout_is_kept_like_the_first() {
    let house = House::open().await;
    house.log_in(ALICE).await.unwrap();
    house.handle.logout(false).await.unwrap();
    house.log_in(ALICE).await.unwrap();
    let asked = house.refreshes();
    until("two refreshes", || house.refreshes() >= asked + 2).await;
    until("a usable session", || house.fault().is_none()).await;
    assert!(house.stored_token().await.is_some());
    assert_eq!(house.living_families(), 1);
    house.stop.cancel();
}

#[tokio::test]
async fn a_store_that_refuses_the_login_keeps_nothing() {
    let house = House::open().await;
    // The keeper reads the login and what is owed when it starts.
    until("the start", || house.store.calls().len() >= 2).await;
    house.store.fail_next(Fault::Nothing);
    house.store.fail_next(Fault::Locked);
    let refused = house.log_in(ALICE).await.unwrap_err();
    assert!(matches!(refused, AdoptError::Store(_)), "{refused}");
    assert_eq!(house.stored_token().await, None);
    assert_eq!(house.fault(), Some(SessionFault::NotLoggedIn));
    house.stop.cancel();
}

#[tokio::test]
async fn what_the_provider_ends_is_over_here_too() {
    let house = House::open().await;
    house.log_in(ALICE).await.unwrap();
    house.emulator.control().revoke_user(ALICE).unwrap();
    until("the end", || house.fault() == Some(SessionFault::Revoked)).await;
    assert_eq!(house.stored_token().await, None);
    house.log_in(ALICE).await.unwrap();
    until("a usable session", || house.fault().is_none()).await;
    house.stop.cancel();
}

#[tokio::test]
async fn a_replaced_login_is_ended_at_the_provider() {
    let house = House::open().await;
    house.log_in(ALICE).await.unwrap();
    house.log_in(ALICE).await.unwrap();
    until("one family", || house.living_families() == 1).await;
    house.stop.cancel();
}

#[tokio::test]
async fn a_logout_that_comes_during_a_login_is_the_newer_word() {
    let house = House::open().await;
    let began = house.handle.logouts();
    house.handle.logout(false).await.unwrap();
    let refused = house.log_in_since(ALICE, began).await.unwrap_err();
    assert!(matches!(refused, AdoptError::LoggedOut), "{refused}");
    assert_eq!(house.fault(), Some(SessionFault::NotLoggedIn));
    assert_eq!(house.stored_token().await, None);
    until("the refused login is ended", || house.living_families() == 0).await;
    house.stop.cancel();
}

#[tokio::test]
async fn a_stored_login_is_sent_to_the_provider_that_gave_it_and_to_no_other() {
    let house = House::open().await;
    house.log_in(ALICE).await.unwrap();
    house.stop.cancel();
    house.done.await.unwrap();
    let other = Emulator::builder().project_id(house.emulator.project_id()).start().await.unwrap();
    let moved = House::open_with(Arc::new(other), house.store, house.directory).await;
    until("the store was read", || moved.handle.view().problem.is_some()).await;
    assert!(moved.handle.view().problem.unwrap().contains(house.emulator.base_url()));
    assert_eq!(moved.fault(), Some(SessionFault::NotLoggedIn));
    let done = moved.handle.logout(false).await.unwrap();
    assert!(done.secret_removed && !done.revoked_at_provider, "{done:?}");
    let asked: u64 = moved.emulator.control().counts().values().map(|count| count.total).sum();
    assert_eq!(asked, 0, "nothing at all was sent");
    moved.stop.cancel();
}

#[tokio::test]
async fn a_logout_without_store_and_provider_holds_after_a_restart() {
    let house = House::open().await;
    house.log_in(ALICE).await.unwrap();
    let control = house.emulator.control();
    control.inject(ProviderFault::on("/v1/auth/logout", FaultAction::Reset).once());
    control.inject(ProviderFault::on(TOKEN_ENDPOINT, FaultAction::Reset));
    for _ in 0..8 {
        house.store.fail_next(Fault::Refused);
    }
    let done = house.handle.logout(false).await.unwrap();
    assert!(!done.secret_removed && !done.revoked_at_provider, "{done:?}");
    assert!(done.failures.len() >= 3, "{done:?}");
    assert_eq!(house.fault(), Some(SessionFault::NotLoggedIn));
    control.clear_faults();
    let name = SecretName::refresh_token("default".parse().unwrap());
    while house.store.get(&name).await.is_err() {}
    let house = house.reopen().await;
    until("the rest is done", || house.living_families() == 0).await;
    assert_eq!(house.fault(), Some(SessionFault::NotLoggedIn));
    assert_eq!(house.refreshes(), 0);
    house.stop.cancel();
}

#[tokio::test]
async fn a_session_of_a_withdrawn_key_ends_within_the_hour() {
    let emulator = Arc::new(Emulator::builder().start().await.unwrap());
    let control = emulator.control();
    // Long enough that only the keys can be the reason.
    control.update_settings(|settings| settings.lifetimes.session = 24 * 3600);
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let house = House::open_with(emulator.clone(), Arc::new(Memory::new()), directory).await;
    house.log_in(ALICE).await.unwrap();
    until("a session", || house.fault().is_none()).await;
    let (refreshes, withdrawn) = (house.refreshes(), house.keys.ids());
    control.rotate_and_revoke_keys().await.unwrap();
    let almost = (REVOCATION_BOUND - SignedDuration::from_mins(1)).as_secs();
    house.machine.shift(almost, almost, almost);
    control.advance(almost);
    until("the new keys", || withdrawn.iter().all(|kid| !house.keys.contains(kid))).await;
    // The refresh token was signed with a withdrawn key too: the provider refuses it, and everybody logs in again.
    until("the provider to be asked", || house.refreshes() > refreshes).await;
    until("the login to be over", || {
        matches!(house.fault(), Some(SessionFault::Expired(_) | SessionFault::Revoked))
    })
    .await;
    house.stop.cancel();
}

#[tokio::test]
async fn what_another_provider_is_owed_is_sent_to_no_other() {
    let emulator = Arc::new(Emulator::builder().start().await.unwrap());
    let control = emulator.control();
    let settings = ProviderSettings {
        project_id: emulator.project_id().to_owned(),
        base_url: Some(emulator.base_url().to_owned()),
        ..ProviderSettings::default()
    };
    let here = ProviderConfig::new(settings).unwrap().realm().clone();
    let elsewhere = Realm::Descope {
        project_id: emulator.project_id().to_owned(),
        base_url: "https://elsewhere.example/".to_owned(),
    };
    let owed = |realm: Realm, token: &str| Owed {
        login: StoredLogin {
            profile: "default".parse().unwrap(),
            realm,
            issuer: emulator.issuer().to_owned(),
            user: User { subject: "U1".to_owned(), name: None, email: None },
            logged_in_at: SystemClock.now(),
            original: None,
            refresh_token: SecretString::from(token),
        },
        tries: 0,
    };
    const FOREIGN: &str = "a-token-of-another-provider";
    let ours = control.sign_in(ALICE).unwrap().refresh;
    let store = Arc::new(Memory::new());
    let name = SecretName::farewells("default".parse().unwrap());
    store
        .set(&name, &farewells::write(&[owed(elsewhere, FOREIGN), owed(here, &ours)]).unwrap())
        .await
        .unwrap();

    let directory = Arc::new(tempfile::tempdir().unwrap());
    let house = House::open_with(emulator.clone(), store.clone(), directory).await;
    until("our own farewell to be said", || control.live_families().is_empty()).await;
    // What the provider has ended is struck off a moment later.
    let struck_off = async {
        while store.get(&name).await.unwrap().is_some_and(|left| left.expose_secret().contains(&ours)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), struck_off).await.expect("our own is struck off");
    house.stop.cancel();
    house.done.await.unwrap();
    assert!(!control.issued().iter().any(|secret| secret.value.contains(FOREIGN)), "it was sent");
    let left = store.get(&name).await.unwrap().expect("it is still owed");
    assert!(left.expose_secret().contains(FOREIGN) && !left.expose_secret().contains(&ours));
}
