//! What counts as a passkey's answer, and everything that does not.

use proptest::prelude::*;
use serde_json::json;

use super::soft::*;
use super::*;

const ORIGIN: &str = "http://localhost:4711";
const CHALLENGE: [u8; 32] = [9; 32];
const ASKED: Ceremony<'_> = Ceremony { challenge: &CHALLENGE, origin: ORIGIN };
const ED: u8 = 0x80;

fn alice() -> Party {
    Party { issuer: "https://id.example".to_owned(), subject: "U1".to_owned() }
}

#[test]
fn every_accepted_kind_of_key_is_registered_and_answers() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
        let soft = Soft::new(algorithm, b"credential");
        let passkey = soft.enrolled(&ASKED, &alice());
        assert_eq!((passkey.algorithm, passkey.attestation), (algorithm, Attestation::Claimed));
        assert_eq!(passkey.aaguid, "07070707-0707-0707-0707-070707070707");
        assert!(is_aaguid(&passkey.aaguid) && passkey.is_of(&alice()));
        let used = passkey.verify(&soft.get(&ASKED, 0), &ASKED, 0).unwrap();
        assert_eq!(used, Used { sign_count: 0, backed_up: false });
        let again = Passkey::from_json(&passkey.to_json()).unwrap();
        assert_eq!((again.id(), &again), (passkey.id(), &passkey));
    }
}

#[test]
fn an_edited_registration_is_another_one() {
    let passkey = Soft::new(Algorithm::Es256, b"one").enrolled(&ASKED, &alice());
    let other = Soft::new(Algorithm::Es256, b"two").enrolled(&ASKED, &alice());
    for edited in [
        Passkey { public_key: other.public_key.clone(), ..passkey.clone() },
        Passkey { credential_id: other.credential_id.clone(), ..passkey.clone() },
        Passkey { subject: "U2".to_owned(), ..passkey.clone() },
        Passkey { issuer: "https://evil.example".to_owned(), ..passkey.clone() },
        Passkey { name: "other".to_owned(), ..passkey.clone() },
        Passkey { attestation: Attestation::Vouched, ..passkey.clone() },
        Passkey { backup_eligible: true, ..passkey.clone() },
        Passkey { sign_count: 1, ..passkey.clone() },
    ] {
        assert_ne!(edited.id(), passkey.id());
    }
    let extended = passkey.to_json().replacen('{', r#"{"more":1,"#, 1);
    assert!(Passkey::from_json(&extended).is_err());
}

/// The hostile assertions: how each differs from the honest one, and what is said to it.
#[test]
fn hostile_assertions_are_refused() {
    let soft = Soft::new(Algorithm::Es256, b"credential");
    let stranger = Soft::new(Algorithm::Es256, b"credential");
    let passkey = soft.enrolled(&ASKED, &alice());
    let honest = client_data("webauthn.get", &ASKED, json!({}));
    let said = |other| client_data("webauthn.get", &ASKED, other);
    let data = |flags| head(RP_ID, flags, 8);
    let with = |flags: u8, more: &[u8]| [head(RP_ID, flags, 8), more.to_vec()].concat();
    let malformed = "passkey_malformed";
    let table: Vec<(&str, Assertion, &str)> = vec![
        (
            "another origin",
            soft.get_of(&data(UP_UV), &said(json!({"origin": "http://localhost:4712"}))),
            "passkey_other_origin",
        ),
        (
            "an origin by address",
            soft.get_of(&data(UP_UV), &said(json!({"origin": "http://127.0.0.1:4711"}))),
            "passkey_other_origin",
        ),
        (
            "an origin with a path",
            soft.get_of(&data(UP_UV), &said(json!({"origin": "http://localhost:4711/"}))),
            "passkey_other_origin",
        ),
        (
            "a secure origin",
            soft.get_of(&data(UP_UV), &said(json!({"origin": "https://localhost:4711"}))),
            "passkey_other_origin",
        ),
        (
            "another challenge",
            soft.get_of(&data(UP_UV), &said(json!({"challenge": URL_SAFE_NO_PAD.encode([8; 32])}))),
            "passkey_other_request",
        ),
        (
            "a longer challenge",
            soft.get_of(&data(UP_UV), &said(json!({"challenge": URL_SAFE_NO_PAD.encode([9; 33])}))),
            "passkey_other_request",
        ),
        ("no challenge", soft.get_of(&data(UP_UV), &said(json!({"challenge": ""}))), "passkey_other_request"),
        (
            "a registration",
            soft.get_of(&data(UP_UV), &said(json!({"type": "webauthn.create"}))),
            "passkey_other_type",
        ),
        ("a payment", soft.get_of(&data(UP_UV), &said(json!({"type": "payment.get"}))), "passkey_other_type"),
        (
            "in a frame of another site",
            soft.get_of(&data(UP_UV), &said(json!({"crossOrigin": true}))),
            "passkey_in_frame",
        ),
        (
            "below another page",
            soft.get_of(&data(UP_UV), &said(json!({"topOrigin": "https://evil.example"}))),
            "passkey_in_frame",
        ),
        ("client data that is no JSON", soft.get_of(&data(UP_UV), b"type=webauthn.get"), malformed),
        (
            "client data with something behind it",
            soft.get_of(&data(UP_UV), &[&honest[..], b"{}"].concat()),
            malformed,
        ),
        ("client data that says it twice", soft.get_of(&data(UP_UV), &twice(&honest)), malformed),
        (
            "client data without end",
            soft.get_of(&data(UP_UV), &said(json!({"more": "x".repeat(20_000)}))),
            malformed,
        ),
        ("another site", soft.get_of(&head("evil.example", UP_UV, 8), &honest), "passkey_other_site"),
        ("the site by address", soft.get_of(&head("127.0.0.1", UP_UV, 8), &honest), "passkey_other_site"),
        ("nobody was there", soft.get_of(&data(0x04), &honest), "passkey_not_present"),
        ("nobody was verified", soft.get_of(&data(0x01), &honest), "passkey_not_verified"),
        ("copied, though it cannot be", soft.get_of(&data(UP_UV | 0x10), &honest), "passkey_backup"),
        ("can be copied all at once", soft.get_of(&data(UP_UV | 0x08), &honest), "passkey_backup"),
        ("the counter went back", soft.get(&ASKED, 6), "passkey_counter"),
        ("the counter stood still", soft.get(&ASKED, 7), "passkey_counter"),
        ("the counter is gone", soft.get(&ASKED, 0), "passkey_counter"),
        ("trailing bytes", soft.get_of(&with(UP_UV, &[0]), &honest), malformed),
        ("extensions without their flag", soft.get_of(&with(UP_UV, &map(&[])), &honest), malformed),
        ("the flag without extensions", soft.get_of(&with(UP_UV | ED, &[]), &honest), malformed),
        ("extensions that are no map", soft.get_of(&with(UP_UV | ED, &int(1)), &honest), malformed),
        ("bad CBOR", soft.get_of(&with(UP_UV | ED, &[0xff]), &honest), malformed),
        (
            "something behind the extensions",
            soft.get_of(&with(UP_UV | ED, &[map(&[]), int(1)].concat()), &honest),
            malformed,
        ),
        ("the flag without a credential", soft.get_of(&with(UP_UV | AT, &[]), &honest), malformed),
        ("a credential in it", soft.get_of(&with(UP_UV | AT, &credential(&soft)), &honest), malformed),
        ("cut short", soft.get_of(&data(UP_UV)[..36], &honest), malformed),
        ("nothing", soft.get_of(&[], &honest), malformed),
        ("too long", soft.get_of(&with(UP_UV, &[0; MOST]), &honest), malformed),
        ("another credential", Soft::new(Algorithm::Es256, b"other").get(&ASKED, 8), "passkey_unknown"),
        ("no credential", Assertion { credential_id: Vec::new(), ..soft.get(&ASKED, 8) }, "passkey_unknown"),
        ("another key", stranger.get(&ASKED, 8), "passkey_signature"),
        (
            "another kind of key",
            Soft::new(Algorithm::EdDsa, b"credential").get(&ASKED, 8),
            "passkey_signature",
        ),
        ("no signature", Assertion { signature: Vec::new(), ..soft.get(&ASKED, 8) }, "passkey_signature"),
        ("a longer signature", longer(soft.get(&ASKED, 8)), "passkey_signature"),
        (
            "the signature of another answer",
            Assertion { signature: soft.get(&ASKED, 9).signature, ..soft.get(&ASKED, 8) },
            "passkey_signature",
        ),
        (
            "client data exchanged behind the signature",
            Assertion { client_data: said(json!({"more": 1})), ..soft.get(&ASKED, 8) },
            "passkey_signature",
        ),
    ];
    for (why, assertion, code) in table {
        let refused = passkey.verify(&assertion, &ASKED, 7).map_err(|fault| fault.code());
        assert_eq!(refused, Err(code), "{why}");
    }
    // What is only unusual is not refused.
    for (why, assertion) in [
        (
            "a member that we do not know",
            soft.get_of(&data(UP_UV), &said(json!({"other_keys_can_be_added_here": "…"}))),
        ),
        ("extensions", soft.get_of(&with(UP_UV | ED, &map(&[(text("credProtect"), int(2))])), &honest)),
    ] {
        assert!(passkey.verify(&assertion, &ASKED, 7).is_ok(), "{why}");
    }
}

fn twice(client_data: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(client_data.to_vec()).unwrap();
    text.replacen('{', r#"{"type":"webauthn.get","#, 1).into_bytes()
}

fn longer(assertion: Assertion) -> Assertion {
    Assertion { signature: [assertion.signature, vec![0]].concat(), ..assertion }
}

fn credential(soft: &Soft) -> Vec<u8> {
    [MODEL.to_vec(), vec![0, 1, 7], soft.key()].concat()
}

#[test]
fn the_counter_goes_on_or_there_is_none() {
    let soft = Soft::new(Algorithm::EdDsa, b"credential");
    let passkey = soft.enrolled(&ASKED, &alice());
    assert_eq!(passkey.verify(&soft.get(&ASKED, 1), &ASKED, 0).unwrap().sign_count, 1);
    let back = passkey.verify(&soft.get(&ASKED, 5), &ASKED, 6);
    assert_eq!(back, Err(PasskeyFault::CounterBack { last: 6, now: 5 }));
    // A forged answer does not even learn where the counter stands.
    let forged = Assertion { signature: vec![0; 64], ..soft.get(&ASKED, 5) };
    assert_eq!(passkey.verify(&forged, &ASKED, 6), Err(PasskeyFault::Signature));
}

#[test]
fn hostile_registrations_are_refused() {
    let soft = Soft::new(Algorithm::Es256, b"credential");
    let honest = soft.create(&ASKED);
    let refused =
        |creation: &Creation| enrol(creation, &ASKED, &Terms::default(), &alice()).map_err(|f| f.code());
    assert!(refused(&honest).is_ok());
    let other = Ceremony { challenge: &[8; 32], origin: ORIGIN };
    let elsewhere = Ceremony { challenge: &CHALLENGE, origin: "http://localhost:80" };
    let object = |data: &[u8]| Creation {
        attestation_object: map(&[
            (text("fmt"), text("none")),
            (text("attStmt"), map(&[])),
            (text("authData"), bytes(data)),
        ]),
        ..honest.clone()
    };
    let made = |flags: u8, id: &[u8], key: &[u8]| {
        let length = u16::try_from(id.len()).unwrap().to_be_bytes();
        object(&[head(RP_ID, flags, 0), MODEL.to_vec(), length.to_vec(), id.to_vec(), key.to_vec()].concat())
    };
    assert!(refused(&made(UP_UV | AT, b"id", &soft.key())).is_ok());
    let point = |x: &[u8], y: &[u8]| {
        map(&[
            (int(1), int(2)),
            (int(3), int(-7)),
            (int(-1), int(1)),
            (int(-2), bytes(x)),
            (int(-3), bytes(y)),
        ])
    };
    let rsa = |n: &[u8]| {
        map(&[(int(1), int(3)), (int(3), int(-257)), (int(-1), bytes(n)), (int(-2), bytes(&[1, 0, 1]))])
    };
    let es384 = map(&[
        (int(1), int(2)),
        (int(3), int(-35)),
        (int(-1), int(2)),
        (int(-2), bytes(&[1; 48])),
        (int(-3), bytes(&[1; 48])),
    ]);
    let cross = client_data("webauthn.create", &ASKED, json!({"crossOrigin": true}));
    let malformed = "passkey_malformed";
    for (why, creation, code) in [
        (
            "an assertion's client data",
            Creation { client_data: client_data("webauthn.get", &ASKED, json!({})), ..honest.clone() },
            "passkey_other_type",
        ),
        ("another request", soft.create(&other), "passkey_other_request"),
        ("another page", soft.create(&elsewhere), "passkey_other_origin"),
        ("a frame", Creation { client_data: cross, ..honest.clone() }, "passkey_in_frame"),
        ("nobody was verified", made(0x01 | AT, b"id", &soft.key()), "passkey_not_verified"),
        ("nobody was there", made(0x04 | AT, b"id", &soft.key()), "passkey_not_present"),
        ("no credential", object(&head(RP_ID, UP_UV, 0)), malformed),
        (
            "another site",
            object(&[head("evil.example", UP_UV | AT, 0), credential(&soft)].concat()),
            "passkey_other_site",
        ),
        ("no id", made(UP_UV | AT, b"", &soft.key()), malformed),
        ("an id too long", made(UP_UV | AT, &[1; 1024], &soft.key()), malformed),
        ("another curve", made(UP_UV | AT, b"id", &es384), "passkey_key_kind"),
        ("no point of the curve", made(UP_UV | AT, b"id", &point(&[1; 32], &[1; 32])), malformed),
        ("half a point", made(UP_UV | AT, b"id", &point(&[1; 32], &[1; 31])), malformed),
        ("a short modulus", made(UP_UV | AT, b"id", &rsa(&[0xff; 128])), malformed),
        ("a modulus without end", made(UP_UV | AT, b"id", &rsa(&[0xff; 1025])), malformed),
        ("a key that is no map", made(UP_UV | AT, b"id", &int(1)), "passkey_key_kind"),
        ("an empty key", made(UP_UV | AT, b"id", &map(&[])), "passkey_key_kind"),
        ("something behind the key", made(UP_UV | AT, b"id", &[soft.key(), vec![0]].concat()), malformed),
        (
            "something behind the object",
            Creation {
                attestation_object: [honest.attestation_object.clone(), vec![0]].concat(),
                ..honest.clone()
            },
            malformed,
        ),
        ("no object", Creation { attestation_object: Vec::new(), ..honest.clone() }, malformed),
        (
            "an object without end",
            Creation { attestation_object: vec![0; MOST + 1], ..honest.clone() },
            malformed,
        ),
    ] {
        assert_eq!(refused(&creation).map(|_| ()), Err(code), "{why}");
    }
}

#[test]
fn a_list_of_models_wants_a_statement_about_the_model() {
    let soft = Soft::new(Algorithm::Es256, b"credential");
    let aaguid = "07070707-0707-0707-0707-070707070707".to_owned();
    let (vendor, stranger) = (authority("Vendor"), authority("Stranger"));
    let key = rcgen::KeyPair::generate().unwrap();
    let of_vendor = leaf(Some(MODEL)).signed_by(&key, &vendor).unwrap();
    let silent = leaf(None).signed_by(&key, &vendor).unwrap();
    let of_another = leaf(Some([8; 16])).signed_by(&key, &vendor).unwrap();
    let forged = leaf(Some(MODEL)).signed_by(&key, &stranger).unwrap();
    let other_key = rcgen::KeyPair::generate().unwrap();
    let listed = Terms { models: vec![aaguid.clone()], roots: Vec::new() };
    let rooted = Terms { roots: vec![vendor.der().to_vec()], ..listed.clone() };
    let pinned = Terms { roots: vec![of_vendor.der().to_vec()], ..listed.clone() };
    let with = |certificate: &rcgen::Certificate, key: &rcgen::KeyPair, algorithm: i64| {
        soft.create_with(&ASKED, |signed| {
            let signature = rcgen::SigningKey::sign(key, signed).unwrap();
            let statement = map(&[
                (text("alg"), int(algorithm)),
                (text("sig"), bytes(&signature)),
                (text("x5c"), array(&[bytes(certificate.der())])),
            ]);
            ("packed", statement)
        })
    };
    let judged = |creation: &Creation, terms: &Terms| {
        enrol(creation, &ASKED, terms, &alice())
            .map(|passkey| passkey.attestation)
            .map_err(|fault| fault.code())
    };
    let none = Terms::default();
    let elsewhere =
        Terms { models: vec!["08080808-0808-0808-0808-080808080808".to_owned()], roots: Vec::new() };
    let not = Err("passkey_not_attested");
    let own = soft.create_with(&ASKED, |signed| {
        ("packed", map(&[(text("alg"), int(-7)), (text("sig"), bytes(&soft.sign(signed)))]))
    });
    for (why, creation, terms, outcome) in [
        ("no list", with(&of_vendor, &key, -7), &none, Ok(Attestation::Claimed)),
        ("not on the list", with(&of_vendor, &key, -7), &elsewhere, Err("passkey_model")),
        ("on the list, without a statement", soft.create(&ASKED), &listed, not),
        ("its own word", own, &listed, not),
        ("a certificate of whomever", with(&forged, &key, -7), &listed, Ok(Attestation::SelfMade)),
        ("a certificate of whomever, where some are trusted", with(&forged, &key, -7), &rooted, not),
        ("the vendor's", with(&of_vendor, &key, -7), &rooted, Ok(Attestation::Vouched)),
        ("the vendor's, itself trusted", with(&of_vendor, &key, -7), &pinned, Ok(Attestation::Vouched)),
        ("the vendor's for no model by name", with(&silent, &key, -7), &rooted, Ok(Attestation::Vouched)),
        ("the vendor's for another model", with(&of_another, &key, -7), &rooted, not),
        ("signed by another than it names", with(&of_vendor, &other_key, -7), &rooted, not),
        ("an unknown algorithm", with(&of_vendor, &key, -65535), &rooted, not),
        ("another algorithm", with(&of_vendor, &key, -257), &rooted, not),
    ] {
        assert_eq!(judged(&creation, terms), outcome, "{why}");
    }
}

fn authority(name: &str) -> rcgen::CertifiedIssuer<'static, rcgen::KeyPair> {
    let mut asked = rcgen::CertificateParams::default();
    asked.distinguished_name.push(rcgen::DnType::CommonName, name);
    asked.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    rcgen::CertifiedIssuer::self_signed(asked, rcgen::KeyPair::generate().unwrap()).unwrap()
}

fn leaf(model: Option<[u8; 16]>) -> rcgen::CertificateParams {
    let mut asked = rcgen::CertificateParams::default();
    asked.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, "Authenticator Attestation");
    let name = &[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4];
    asked.custom_extensions.extend(model.map(|model| {
        rcgen::CustomExtension::from_oid_content(name, [vec![0x04, 0x10], model.to_vec()].concat())
    }));
    asked
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_panic(one in proptest::collection::vec(any::<u8>(), 0..160), two in proptest::collection::vec(any::<u8>(), 0..80)) {
        let soft = Soft::new(Algorithm::EdDsa, b"credential");
        let passkey = soft.enrolled(&ASKED, &alice());
        let honest = client_data("webauthn.get", &ASKED, json!({}));
        let of = |data: &[u8], client: &[u8], signature: &[u8]| Assertion {
            credential_id: b"credential".to_vec(), authenticator_data: data.to_vec(), client_data: client.to_vec(),
            signature: signature.to_vec(),
        };
        prop_assert!(passkey.verify(&of(&one, &two, &two), &ASKED, 0).is_err());
        prop_assert!(passkey.verify(&of(&[head(RP_ID, UP_UV | AT | ED, 1), one.clone()].concat(), &honest, &two), &ASKED, 0).is_err());
        let creation = |object: Vec<u8>| Creation { client_data: client_data("webauthn.create", &ASKED, json!({})), attestation_object: object };
        prop_assert!(enrol(&creation(one.clone()), &ASKED, &Terms::default(), &alice()).is_err());
        let object = map(&[(text("fmt"), text("none")), (text("attStmt"), map(&[])), (text("authData"), bytes(&[head(RP_ID, UP_UV | AT, 1), one].concat()))]);
        let _ = enrol(&creation(object), &ASKED, &Terms::default(), &alice());
    }
}
