//! The rules of a session: its age, its confirmations, clocks that jump, the pause, a handover, and farewells.

use agentauth_core::session::Expiry;
use agentauth_core::widening::{Party, Question, Widening};
use agentauth_core::{Grant, Lifetime};
use agentauth_store::Pin;
use serde_json::Value;

use super::*;

const ME: &str = "/v1/auth/me";
const LOGOUT: &str = "/v1/auth/logout";
const HOUR: i64 = 3600;

fn max_age(seconds: i64) -> SessionLimits {
    SessionLimits { max_age: Some(SignedDuration::from_secs(seconds)), ..SessionLimits::default() }
}

fn revalidated(seconds: i64) -> SessionLimits {
    SessionLimits { revalidate_every: Some(SignedDuration::from_secs(seconds)), ..SessionLimits::default() }
}

impl House {
    /// Time passes, here and at the provider.
    fn pass(&self, seconds: i64) {
        self.emulator.control().advance(seconds);
        self.machine.shift(seconds, seconds, seconds);
    }

    fn records(&self, kind: &str) -> Vec<Value> {
        let folder = self.directory.path().join("audit");
        let mut files: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter(|record| record["event"] == kind).collect()
    }

    fn asked(&self, path: &str) -> u64 {
        self.emulator.control().count(path)
    }

    fn session(&self) -> Arc<agentauth_core::session::Session> {
        self.state.load().session.usable_at(self.clock.now()).unwrap().clone()
    }

    fn pin(&self) -> Pin {
        let db = StateDb::open(&self.directory.path().join("state.db")).unwrap();
        db.pin(&"default".parse().unwrap()).unwrap().unwrap()
    }

    async fn owed(&self) -> bool {
        let name = SecretName::farewells("default".parse().unwrap());
        self.store.get(&name).await.unwrap().is_some()
    }

    /// Nudges the keeper until something is so.
    async fn nudged(&self, what: &str, mut holds: impl FnMut() -> bool) {
        until(what, || {
            self.handle.nudge();
            holds()
        })
        .await;
    }
}

#[tokio::test]
async fn a_login_of_full_age_is_over_however_often_it_was_renewed() {
    let house = House::open_under(max_age(HOUR)).await;
    house.log_in(ALICE).await.unwrap();
    let logged_in_at = house.session().logged_in_at;
    house.pass(HOUR / 2);
    house.nudged("a renewal", || house.refreshes() == 1 && house.fault().is_none()).await;
    assert_eq!(house.session().logged_in_at, logged_in_at, "a renewal is no login");
    house.pass(HOUR / 2);
    // Decisions know it before the keeper does.
    assert_eq!(house.fault(), Some(SessionFault::Expired(Expiry::MaxAge)));
    house.nudged("the end at the provider", || house.living_families() == 0).await;
    assert_eq!(house.fault(), Some(SessionFault::Expired(Expiry::MaxAge)));
    until("its refresh token is gone", || house.records("session.over").len() == 1).await;
    assert_eq!(house.stored_token().await, None);
    assert_eq!(house.records("session.over")[0]["reason"], "max_age");
    assert_eq!(house.refreshes(), 1, "the provider was not asked again");
    house.log_in(ALICE).await.unwrap();
    assert_eq!(house.fault(), None);
    house.stop.cancel();
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_login_younger_not_even_across_a_restart() {
    let house = House::open_under(max_age(2 * HOUR)).await;
    house.log_in(ALICE).await.unwrap();
    house.pass(HOUR);
    house.nudged("a renewal", || house.refreshes() == 1 && house.fault().is_none()).await;
    // Two hours back, and an hour and a bit on: three quarters of what the wall clock says is left are gone.
    house.machine.shift(-2 * HOUR, 0, 0);
    house.machine.shift(HOUR + 5, HOUR + 5, HOUR + 5);
    assert_eq!(house.fault(), Some(SessionFault::Expired(Expiry::MaxAge)));
    house.stop.cancel();

    let house = House::open_under(max_age(2 * HOUR)).await;
    house.log_in(ALICE).await.unwrap();
    house.pass(2 * HOUR - 60);
    house.nudged("a renewal", || house.refreshes() >= 1 && house.fault().is_none()).await;
    house.machine.shift(100, 100, 100);
    house.stop.cancel();
    // What the daemon notes at its end is enough.
    house.machine.shift(-5 * HOUR, 0, 0);
    let house = house.reopen().await;
    house.nudged("the end", || house.fault() == Some(SessionFault::Expired(Expiry::MaxAge))).await;
    house.nudged("the end at the provider", || house.living_families() == 0).await;
    assert_eq!(house.stored_token().await, None);
    house.stop.cancel();
}

#[tokio::test]
async fn a_login_of_full_age_that_the_store_keeps_is_over_all_the_same() {
    let house = House::open_under(max_age(HOUR)).await;
    house.log_in(ALICE).await.unwrap();
    house.store.fail_next(Fault::Refused);
    house.store.fail_next(Fault::Refused);
    house.pass(HOUR);
    house.nudged("the end", || house.records("session.over").len() == 1).await;
    assert_eq!(house.fault(), Some(SessionFault::Expired(Expiry::MaxAge)));
    house.pass(60);
    house.nudged("the end at the provider", || house.living_families() == 0).await;
    assert_eq!(house.stored_token().await, None);
    assert_eq!(house.records("session.over").len(), 1, "told once");
    assert_eq!(house.refreshes(), 0);
    house.stop.cancel();
}

#[tokio::test]
async fn sleep_and_a_clock_set_forward_end_the_allows_at_once_and_ask_the_provider_at_once() {
    let house = House::open_under(SessionLimits::default()).await;
    house.log_in(ALICE).await.unwrap();
    // Three hours of sleep.
    house.emulator.control().advance(3 * HOUR);
    house.machine.shift(3 * HOUR, 3 * HOUR, 0);
    assert_eq!(house.fault(), Some(SessionFault::Unverified), "before the keeper has noticed");
    house.nudged("a renewal after sleep", || house.fault().is_none()).await;
    assert_eq!(house.refreshes(), 1);
    // A short sleep: the token is still good, but the provider is asked.
    house.emulator.control().advance(60);
    house.machine.shift(60, 60, 0);
    house.nudged("a renewal after a short sleep", || house.refreshes() == 2).await;
    // The clock is set forward, and the provider's is not: its tokens look expired, and none is believed.
    house.machine.shift(HOUR, 0, 0);
    assert_eq!(house.fault(), Some(SessionFault::Unverified));
    house.nudged("the question", || house.refreshes() >= 3).await;
    house.nudged("the reason", || house.handle.view().problem.is_some()).await;
    assert_eq!(house.fault(), Some(SessionFault::Unverified));
    // Set right again: the provider vouches for it.
    house.machine.shift(-HOUR, 0, 0);
    assert_eq!(house.fault(), Some(SessionFault::Unverified), "what looked expired once stays so");
    house.nudged("a renewal", || house.fault().is_none()).await;
    let drift = house.clock.now().duration_since(house.machine.now()).abs();
    assert!(drift < SignedDuration::from_secs(5), "the clock is trusted again: {drift}");
    house.stop.cancel();
}

#[tokio::test]
async fn a_clock_set_back_revives_nothing_until_the_provider_vouches_for_it() {
    let house = House::open_under(SessionLimits::default()).await;
    house.log_in(ALICE).await.unwrap();
    let control = house.emulator.control();
    let down = control.inject(ProviderFault::on(TOKEN_ENDPOINT, FaultAction::Reset));
    house.pass(700);
    house.nudged("the token has run out", || house.fault() == Some(SessionFault::Unverified)).await;
    house.machine.shift(-600, 0, 0);
    assert_eq!(house.fault(), Some(SessionFault::Unverified), "its token would look young again");
    control.clear_fault(down);
    let asked = house.refreshes();
    house.nudged("the question", || house.refreshes() > asked).await;
    until("the refusal of a token from the future", || house.handle.view().problem.is_some()).await;
    assert_eq!(house.fault(), Some(SessionFault::Unverified));
    // The provider's clock says the same: it is right.
    control.advance(-600);
    house.handle.ask_now().await;
    house.nudged("a renewal", || house.fault().is_none()).await;
    assert!(house.clock.now().duration_since(house.machine.now()).abs() < SignedDuration::from_secs(5));
    house.stop.cancel();
}

#[tokio::test]
async fn the_provider_confirms_the_session_without_a_rotation() {
    let house = House::open_under(revalidated(60)).await;
    house.log_in(ALICE).await.unwrap();
    let (token, before) = (house.stored_token().await, house.session().confirmed_at);
    house.pass(61);
    house.nudged("the question", || house.asked(ME) == 1).await;
    until("the confirmation", || house.records("session.confirmed").len() == 1).await;
    until("it counts", || house.session().confirmed_at > before).await;
    assert_eq!((house.refreshes(), house.stored_token().await), (0, token), "nothing was rotated");
    house.pass(61);
    house.nudged("the next question", || house.asked(ME) == 2).await;
    house.stop.cancel();
}

#[tokio::test]
async fn a_confirmation_that_is_refused_ends_the_session() {
    for end in ["disabled", "revoked"] {
        let house = House::open_under(revalidated(60)).await;
        house.log_in(ALICE).await.unwrap();
        match end {
            "disabled" => drop(house.emulator.control().set_disabled(ALICE, true).unwrap()),
            _ => drop(house.emulator.control().revoke_user(ALICE).unwrap()),
        }
        assert_eq!(house.fault(), None, "nothing has told the daemon yet");
        house.pass(61);
        house.nudged("the end", || house.fault() == Some(SessionFault::Revoked)).await;
        until("it is recorded", || house.records("session.over").len() == 1).await;
        assert_eq!(house.records("session.over")[0]["reason"], "revoked", "{end}");
        assert_eq!(house.stored_token().await, None);
        assert_eq!(house.refreshes(), 0, "{end}");
        house.stop.cancel();
    }
}

#[tokio::test]
async fn without_an_answer_the_session_counts_for_the_grace_and_no_longer() {
    let house = House::open_under(revalidated(60)).await;
    house.log_in(ALICE).await.unwrap();
    let control = house.emulator.control();
    control.inject(ProviderFault::on(ME, FaultAction::Reset));
    house.pass(61);
    house.nudged("a question without answer", || house.asked(ME) >= 1).await;
    assert_eq!(house.fault(), None, "within the grace");
    house.pass(60);
    assert_eq!(house.fault(), Some(SessionFault::Unverified));
    control.clear_faults();
    house.pass(30);
    house.nudged("the answer", || house.fault().is_none()).await;
    assert_eq!((house.refreshes(), house.living_families()), (0, 1), "nobody had to log in");
    house.stop.cancel();
}

#[tokio::test]
async fn while_everything_is_paused_nothing_is_sent_and_what_arrives_is_kept() {
    let house = House::open_under(revalidated(60)).await;
    house.log_in(ALICE).await.unwrap();
    // A refresh is under way when the pause begins: what it rotated is stored.
    let control = house.emulator.control();
    control.inject(ProviderFault::on(TOKEN_ENDPOINT, FaultAction::HoldAfter).once());
    let before = house.stored_token().await;
    house.handle.ask_now().await;
    control.wait_for_hold(TOKEN_ENDPOINT).await;
    house.state.change(|snapshot| snapshot.locked = true);
    control.release_all();
    until("the rotated token is stored", || {
        house.store.calls().iter().filter(|call| **call == "set").count() >= 2
    })
    .await;
    assert_ne!(house.stored_token().await, before);
    let asked = |house: &House| [TOKEN_ENDPOINT, ME, LOGOUT].map(|path| house.asked(path));
    let before = asked(&house);
    for _ in 0..3 {
        house.pass(700);
        // Whatever is answered comes after the keeper has looked at its clocks.
        house.handle.ask_now().await;
        let refused = house.log_in(BOB).await;
        assert!(matches!(refused, Err(AdoptError::OtherAccount { .. })));
    }
    // Bob's logins are ended in the background; that is no business of the session.
    assert_eq!(asked(&house)[..2], before[..2]);
    house.state.change(|snapshot| snapshot.locked = false);
    house.handle.ask_now().await;
    house.nudged("a session", || house.fault().is_none()).await;
    assert_eq!(house.refreshes(), before[0] + 1);
    house.stop.cancel();
}

#[tokio::test]
async fn a_handover_replaces_the_pin_ends_the_old_login_and_takes_what_was_given_to_it() {
    let house = House::open_under(SessionLimits::default()).await;
    house.log_in(ALICE).await.unwrap();
    let login = house.session().logged_in_at;
    house.state.change(|snapshot| {
        let grant = |scope: &str| Grant::new("a", scope.parse().unwrap(), Lifetime::Session);
        snapshot.grants.insert(grant("files.read").during(login));
        snapshot.grants.insert(grant("files.write"));
    });
    let bob = house.signed_in(BOB, 0).await;
    let pin = house.pin();
    let party = |issuer: &str, subject: &str| Party { issuer: issuer.into(), subject: subject.into() };
    let operation = Widening::SwitchAccount {
        from: party(&pin.issuer, &pin.subject),
        to: party(&bob.issuer, &bob.user.subject),
    };
    let question = Question::new(&operation, "device", "1", house.machine.now()).unwrap();
    let by = agentauth_core::widening::Means::Reauth { auth_time: house.machine.now(), proof: None };
    let confirmed = question.confirmed(by);
    // One that was confirmed by somebody whom the installation does not belong to any more counts for nothing.
    let other = Pin { subject: "U-other".to_owned(), ..pin.clone() };
    let stale = Replacing { pin: other, confirmed: confirmed.clone() };
    let refused = house.handle.hand_over(house.signed_in(BOB, 0).await, stale).await.unwrap_err();
    assert!(matches!(refused, AdoptError::Overtaken), "{refused}");
    assert_eq!(house.pin(), pin);

    let subject = bob.user.subject.clone();
    house.handle.hand_over(bob, Replacing { pin, confirmed }).await.unwrap();
    assert_eq!((house.pin().subject, house.session().user.label()), (subject, BOB));
    until("one family", || house.living_families() == 1).await;
    let left: Vec<_> =
        house.state.load().grants.iter().map(|grant| grant.scope.as_str().to_owned()).collect();
    assert_eq!(left, ["files.write"], "what was given during the old login is gone");
    let switched = house.records("login.switched");
    assert_eq!(switched[0]["details"]["request_digest"], question.digest());
    assert!(house.log_in(ALICE).await.is_err(), "the installation is not hers any more");
    house.stop.cancel();
}

#[tokio::test]
async fn a_farewell_that_was_not_said_is_said_after_a_restart() {
    let house = House::open_under(SessionLimits::default()).await;
    house.log_in(ALICE).await.unwrap();
    let control = house.emulator.control();
    control.inject(ProviderFault::on(LOGOUT, FaultAction::Reset));
    house.log_in(ALICE).await.unwrap();
    house.nudged("a farewell that fails", || house.asked(LOGOUT) >= 1).await;
    assert!(house.owed().await);
    assert_eq!(house.living_families(), 2);
    control.clear_faults();
    let house = house.reopen().await;
    house.nudged("one family", || house.living_families() == 1).await;
    until("a session", || house.fault().is_none()).await;
    let waiting = async {
        while house.owed().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("nothing is owed any more");
    house.stop.cancel();
}

#[tokio::test]
async fn a_farewell_that_fails_for_ever_is_given_up_and_told() {
    let house = House::open_under(SessionLimits::default()).await;
    house.log_in(ALICE).await.unwrap();
    house.emulator.control().inject(ProviderFault::on(LOGOUT, FaultAction::Reset));
    house.log_in(ALICE).await.unwrap();
    for asked in 1..=10 {
        assert!(house.records("login.not_ended").is_empty());
        house.nudged("another try", || house.asked(LOGOUT) >= asked).await;
        house.pass(7 * HOUR);
    }
    until("it is told", || house.records("login.not_ended").len() == 1).await;
    assert_eq!(house.asked(LOGOUT), 10);
    house.stop.cancel();
}

#[tokio::test]
async fn a_login_that_is_not_stored_leaves_the_one_before_in_use() {
    let house = House::open_under(SessionLimits::default()).await;
    house.log_in(ALICE).await.unwrap();
    let before = house.stored_token().await;
    // The store is read, what is owed is read and written, and then the login itself is refused.
    for _ in 0..3 {
        house.store.fail_next(Fault::Nothing);
    }
    house.store.fail_next(Fault::Refused);
    let refused = house.log_in(ALICE).await.unwrap_err();
    assert!(matches!(refused, AdoptError::Store(_)), "{refused}");
    assert_eq!(house.stored_token().await, before);
    assert!(!house.owed().await);
    until("the refused one is ended", || house.living_families() == 1).await;
    assert_eq!(house.fault(), None);
    house.stop.cancel();
}

#[tokio::test]
async fn a_lost_answer_is_tried_again_and_its_refusal_is_told_for_what_it_is() {
    let house = House::open_under(SessionLimits::default()).await;
    house.emulator.control().patch_settings(&serde_json::json!({"refresh": {"on_reuse": "kill"}})).unwrap();
    house.log_in(ALICE).await.unwrap();
    house.emulator.control().inject(ProviderFault::on(TOKEN_ENDPOINT, FaultAction::AnswerLost).once());
    house.handle.ask_now().await;
    until("the failure is told", || house.handle.view().last_failure.is_some()).await;
    let told = house.handle.view().last_failure.unwrap();
    assert!(told.contains("may have acted on the request"), "{told}");
    assert_eq!(house.fault(), None, "the session in force is not worse for it");
    house.machine.shift(5, 5, 5);
    house.nudged("the end", || house.fault() == Some(SessionFault::Expired(Expiry::AnswerLost))).await;
    assert_eq!(house.refreshes(), 2, "tried once more with the old token, and no more");
    until("it is recorded", || house.records("session.over").len() == 1).await;
    let record = &house.records("session.over")[0];
    assert_eq!(record["reason"], "answer_lost");
    assert!(record["message"].as_str().unwrap().contains("answer got lost"), "{record}");
    assert_eq!(house.stored_token().await, None);
    house.stop.cancel();
}
