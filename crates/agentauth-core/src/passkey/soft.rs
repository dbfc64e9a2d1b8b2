//! An authenticator for tests, which also does what none should.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Algorithm, Assertion, Ceremony, Creation, Passkey, PasskeyFault, RP_ID, Terms, signed};
use crate::time::Timestamp;
use crate::widening::Party;

/// Somebody was there and was verified.
pub(crate) const UP_UV: u8 = 0x05;
/// A credential follows.
pub(crate) const AT: u8 = 0x40;
pub(crate) const MODEL: [u8; 16] = [7; 16];

enum Key {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

pub(crate) struct Soft {
    key: Key,
    pub(crate) id: Vec<u8>,
    pub(crate) flags: u8,
}

impl Soft {
    pub(crate) fn new(algorithm: Algorithm, id: &[u8]) -> Self {
        let key = match algorithm {
            Algorithm::Es256 => Key::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()),
            Algorithm::EdDsa => Key::EdDsa(Ed25519KeyPair::generate().unwrap()),
            Algorithm::Rs256 => Key::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        };
        Self { key, id: id.to_vec(), flags: UP_UV }
    }

    /// The COSE key.
    pub(crate) fn key(&self) -> Vec<u8> {
        match &self.key {
            Key::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                map(&[
                    (int(1), int(2)),
                    (int(3), int(-7)),
                    (int(-1), int(1)),
                    (int(-2), bytes(x)),
                    (int(-3), bytes(y)),
                ])
            }
            Key::EdDsa(pair) => map(&[
                (int(1), int(1)),
                (int(3), int(-8)),
                (int(-1), int(6)),
                (int(-2), bytes(pair.public_key().as_ref())),
            ]),
            Key::Rs256(pair) => {
                let public = pair.public_key();
                let trimmed = |part: &[u8]| bytes(&part[part.iter().position(|&b| b != 0).unwrap()..]);
                map(&[
                    (int(1), int(3)),
                    (int(3), int(-257)),
                    (int(-1), trimmed(public.modulus().big_endian_without_leading_zero())),
                    (int(-2), trimmed(public.exponent().big_endian_without_leading_zero())),
                ])
            }
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Es256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// Makes a credential, with this statement.
    pub(crate) fn create_with(
        &self,
        ceremony: &Ceremony<'_>,
        statement: impl Fn(&[u8]) -> (&'static str, Vec<u8>),
    ) -> Creation {
        let client_data = client_data("webauthn.create", ceremony, json!({}));
        let mut data = head(RP_ID, self.flags | AT, 0);
        data.extend(MODEL);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        data.extend(self.key());
        let (format, statement) = statement(&signed(&data, &client_data));
        let attestation_object = map(&[
            (text("fmt"), text(format)),
            (text("attStmt"), statement),
            (text("authData"), bytes(&data)),
        ]);
        Creation { client_data, attestation_object }
    }

    /// Makes a credential.
    pub(crate) fn create(&self, ceremony: &Ceremony<'_>) -> Creation {
        self.create_with(ceremony, |_| ("none", map(&[])))
    }

    /// Answers honestly.
    pub(crate) fn get(&self, ceremony: &Ceremony<'_>, count: u32) -> Assertion {
        self.get_of(&head(RP_ID, self.flags, count), &client_data("webauthn.get", ceremony, json!({})))
    }

    /// Signs whatever it is given.
    pub(crate) fn get_of(&self, data: &[u8], client_data: &[u8]) -> Assertion {
        Assertion {
            credential_id: self.id.clone(),
            authenticator_data: data.to_vec(),
            client_data: client_data.to_vec(),
            signature: self.sign(&signed(data, client_data)),
        }
    }

    /// Its registration for `account`.
    pub(crate) fn enrolled(&self, ceremony: &Ceremony<'_>, account: &Party) -> Passkey {
        enrol(&self.create(ceremony), ceremony, &Terms::default(), account).unwrap()
    }
}

pub(crate) fn enrol(
    creation: &Creation,
    ceremony: &Ceremony<'_>,
    terms: &Terms,
    account: &Party,
) -> Result<Passkey, PasskeyFault> {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    Passkey::enrolled(creation, ceremony, terms, account, "key", now)
}

/// The authenticator's data up to the counter.
pub(crate) fn head(site: &str, flags: u8, count: u32) -> Vec<u8> {
    let mut data = Sha256::digest(site).to_vec();
    data.push(flags);
    data.extend(count.to_be_bytes());
    data
}

/// What a browser writes, with these members in place of its own.
pub(crate) fn client_data(kind: &str, ceremony: &Ceremony<'_>, other: Value) -> Vec<u8> {
    let mut said = json!({
        "type": kind, "challenge": URL_SAFE_NO_PAD.encode(ceremony.challenge), "origin": ceremony.origin,
        "crossOrigin": false,
    });
    said.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    said.to_string().into_bytes()
}

pub(crate) fn int(number: i64) -> Vec<u8> {
    match number {
        0.. => lead(0, u64::try_from(number).unwrap()),
        _ => lead(1, u64::try_from(-1 - number).unwrap()),
    }
}

pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
    [lead(2, bytes.len() as u64), bytes.to_vec()].concat()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [lead(3, text.len() as u64), text.as_bytes().to_vec()].concat()
}

pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [lead(4, items.len() as u64), items.concat()].concat()
}

pub(crate) fn map(members: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let pairs: Vec<u8> =
        members.iter().flat_map(|(key, value)| [key.clone(), value.clone()].concat()).collect();
    [lead(5, members.len() as u64), pairs].concat()
}

fn lead(major: u8, number: u64) -> Vec<u8> {
    let major = major << 5;
    match number {
        0..=23 => vec![major | u8::try_from(number).unwrap()],
        24..=0xff => vec![major | 24, u8::try_from(number).unwrap()],
        0x100..=0xffff => [vec![major | 25], u16::try_from(number).unwrap().to_be_bytes().to_vec()].concat(),
        _ => [vec![major | 26], u32::try_from(number).unwrap().to_be_bytes().to_vec()].concat(),
    }
}
