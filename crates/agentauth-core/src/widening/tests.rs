//! What a login or a passkey confirms, and what it does not.

use proptest::prelude::*;

use super::*;
use crate::passkey::Algorithm;
use crate::passkey::soft::Soft;

fn party(subject: &str) -> Party {
    Party { issuer: "https://id.example".to_owned(), subject: subject.to_owned() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn switch(from: &str, to: &str, device: &str, id: &str) -> Question {
    let operation = Widening::SwitchAccount { from: party(from), to: party(to) };
    Question::new(&operation, device, id, at(1000)).unwrap()
}

fn token(subject: &str, nonce: Option<&str>, auth_time: Option<i64>) -> IdTokenClaims {
    IdTokenClaims {
        subject: subject.to_owned(),
        issuer: "https://id.example".to_owned(),
        audiences: Vec::new(),
        authorized_party: None,
        issued_at: at(1001),
        expires_at: at(2000),
        auth_time: auth_time.map(at),
        nonce: nonce.map(str::to_owned),
        email: None,
        email_verified: None,
        name: None,
        assurance: None,
        factors: Vec::new(),
        session_id: None,
        access_token_hash: None,
    }
}

#[test]
fn the_digest_is_that_of_the_canonical_request() {
    let canonical = r#"{"device":"device:uuid:1","from":{"issuer":"https://id.example","sub":"U1"},"id":"q1","operation":"login.switch","to":{"issuer":"https://id.example","sub":"U2"}}"#;
    let question = switch("U1", "U2", "device:uuid:1", "q1");
    assert_eq!(question.digest(), crate::canonical::sha256_hex(canonical.as_bytes()));
}

#[test]
fn a_login_that_shows_too_little_is_a_prompt_where_that_will_do_and_nothing_elsewhere() {
    let question = |needs| {
        let operation = Widening::Approve {
            account: party("U1"),
            question: "q".to_owned(),
            agent: "a".to_owned(),
            manifest_digest: "m".to_owned(),
            subject: "U1".to_owned(),
            scopes: vec![("files.read:/a".parse().unwrap(), Choice::HalfHour)],
            action: None,
            needs,
        };
        Question::new(&operation, "d", "q1", at(1000)).unwrap()
    };
    let prompt = question(Strength::Prompt);
    let digest = prompt.digest().to_owned();
    let short = [token("U1", Some(&digest), None), token("U1", Some(&digest), Some(1))];
    for token in &short {
        assert_eq!(prompt.answered_by(token).unwrap().strength(), Strength::Prompt);
        for more in [Strength::Passkey, Strength::Reauth] {
            assert!(question(more).answered_by(token).is_err(), "{more:?}");
        }
    }
    assert_eq!(
        prompt.answered_by(&token("U1", Some(&digest), Some(1000))).unwrap().strength(),
        Strength::Reauth
    );
    assert!(prompt.answered_by(&token("U1", Some("another"), Some(1000))).is_err());
    assert!(prompt.answered_by(&token("U1", None, Some(1000))).is_err());
    assert!(prompt.answered_by(&token("U2", Some(&digest), Some(1000))).is_err());
    let unlock = Question::new(&Widening::Unlock { account: party("U1") }, "d", "q1", at(1000)).unwrap();
    assert!(unlock.answered_by(&token("U1", Some(unlock.digest()), None)).is_err());
}

#[test]
fn only_a_fresh_login_of_the_asked_account_for_this_question_counts() {
    let question = switch("U1", "U2", "d", "q1");
    let digest = question.digest().to_owned();
    let other = switch("U1", "U2", "d", "q2").digest().to_owned();
    let answered = |token: &IdTokenClaims| question.answered_by(token);
    let confirmed = answered(&token("U1", Some(&digest), Some(1000))).unwrap();
    assert_eq!(confirmed.digest, digest);
    assert_eq!(confirmed.by, Means::Reauth { auth_time: at(1000), proof: None });
    assert_eq!(confirmed.strength(), Strength::Reauth);
    assert!(matches!(
        answered(&token("U2", Some(&digest), Some(1001))),
        Err(NotConfirmed::OtherAccount { .. })
    ));
    let mut foreign = token("U1", Some(&digest), Some(1001));
    foreign.issuer = "https://evil.example".to_owned();
    assert!(matches!(answered(&foreign), Err(NotConfirmed::OtherAccount { .. })));
    for nonce in [None, Some(""), Some(other.as_str())] {
        assert_eq!(answered(&token("U1", nonce, Some(1001))), Err(NotConfirmed::OtherQuestion));
    }
    assert_eq!(answered(&token("U1", Some(&digest), None)), Err(NotConfirmed::NoAuthTime));
    assert!(matches!(answered(&token("U1", Some(&digest), Some(999))), Err(NotConfirmed::NotFresh { .. })));
}

#[test]
fn a_passkey_confirms_its_owners_question_and_no_other_and_no_passkey() {
    let origin = "http://localhost:4711";
    let soft = Soft::new(Algorithm::Es256, b"credential");
    let creation = Ceremony { challenge: &[1; 32], origin };
    let passkey = soft.enrolled(&creation, &party("U1"));
    let asked = |operation: &Widening| Question::new(operation, "d", "q1", at(0)).unwrap();
    let approve = |scope: &str| Widening::Approve {
        account: party("U1"),
        question: "ask_1".to_owned(),
        agent: "a".to_owned(),
        manifest_digest: "m".to_owned(),
        subject: "U1".to_owned(),
        scopes: vec![(scope.parse().unwrap(), Choice::Always)],
        action: None,
        needs: Strength::Passkey,
    };
    let question = asked(&approve("files.read:/a"));
    let answer = soft.get(&Ceremony { challenge: question.challenge(), origin }, 1);
    assert!(question.takes(&passkey) && question.signed_by(&passkey, &answer, origin, 0).is_ok());
    // Another scope is another question, and so is everything else.
    for other in [approve("files.read:/"), Widening::Unlock { account: party("U1") }] {
        let refused = asked(&other).signed_by(&passkey, &answer, origin, 0);
        assert_eq!(refused, Err(NotConfirmed::Passkey(PasskeyFault::OtherChallenge)));
    }
    let elsewhere = question.signed_by(&passkey, &answer, "http://localhost:4712", 0);
    assert!(matches!(elsewhere, Err(NotConfirmed::Passkey(PasskeyFault::OtherOrigin { .. }))));
    let foreign = asked(&Widening::Unlock { account: party("U2") });
    assert!(!foreign.takes(&passkey));
    assert_eq!(foreign.signed_by(&passkey, &answer, origin, 0), Err(NotConfirmed::OtherOwner));
    // What may confirm is not widened by what was confirmed so.
    for only_login in [
        Widening::AddPasskey { account: party("U1"), name: "n".to_owned() },
        Widening::SwitchAccount { from: party("U1"), to: party("U2") },
    ] {
        let question = asked(&only_login);
        let answer = soft.get(&Ceremony { challenge: question.challenge(), origin }, 1);
        assert!(!question.takes(&passkey));
        let refused = question.signed_by(&passkey, &answer, origin, 0);
        assert_eq!(refused, Err(NotConfirmed::NeedsLogin));
    }
}

#[test]
fn another_program_or_no_confinement_is_another_question() {
    let launch = Launched {
        agent: "a".to_owned(),
        manifest_digest: "m".to_owned(),
        executable_sha256: "e".to_owned(),
        script_sha256: None,
        confined: true,
    };
    let digest = |launch: &Launched| {
        let operation = Widening::Launch { account: party("U1"), launch: launch.clone() };
        assert_eq!(operation.asked_of(), &party("U1"));
        Question::new(&operation, "d", "q1", at(0)).unwrap().digest().to_owned()
    };
    let mut digests = vec![digest(&launch)];
    for other in [
        Launched { agent: "b".to_owned(), ..launch.clone() },
        Launched { manifest_digest: "n".to_owned(), ..launch.clone() },
        Launched { executable_sha256: "f".to_owned(), ..launch.clone() },
        Launched { script_sha256: Some("s".to_owned()), ..launch.clone() },
        Launched { confined: false, ..launch },
    ] {
        digests.push(digest(&other));
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 6);
}

#[test]
fn another_bound_is_another_mandate() {
    let draft = Draft {
        scopes: vec!["files.read:/a".parse().unwrap()],
        until: at(9),
        uses: Some(1),
        window: "02:00-03:00 Europe/Berlin".parse().ok(),
    };
    let digest = |draft: &Draft| {
        let operation = Widening::GiveMandate {
            account: party("U1"),
            mandate: "m".to_owned(),
            agent: "a".to_owned(),
            manifest_digest: "d".to_owned(),
            subject: "U1".to_owned(),
            draft: draft.clone(),
            needs: Strength::Passkey,
        };
        assert_eq!(operation.asked_of(), &party("U1"));
        Question::new(&operation, "d", "q1", at(0)).unwrap().digest().to_owned()
    };
    let mut digests = vec![digest(&draft)];
    for other in [
        Draft { scopes: vec!["files.read:/b".parse().unwrap()], ..draft.clone() },
        Draft { until: at(10), ..draft.clone() },
        Draft { uses: None, ..draft.clone() },
        Draft { window: None, ..draft.clone() },
        Draft { window: "02:00-03:00 UTC".parse().ok(), ..draft },
    ] {
        digests.push(digest(&other));
    }
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 6);
}

proptest! {
    #[test]
    fn two_questions_share_a_digest_only_if_they_are_the_same(
        a in proptest::array::uniform4("[a-z\"\\\\{}:,]{0,6}"), b in proptest::array::uniform4("[a-z\"\\\\{}:,]{0,6}"),
    ) {
        let of = |parts: &[String; 4]| switch(&parts[0], &parts[1], &parts[2], &parts[3]).digest().to_owned();
        prop_assert_eq!(of(&a) == of(&b), a == b);
        let unlock = Question::new(&Widening::Unlock { account: party(&a[0]) }, &a[2], &a[3], at(0)).unwrap();
        prop_assert_ne!(unlock.digest().to_owned(), of(&b));
    }
}
