//! A published key set (RFC 7517): read strictly, unusable keys left out, and signatures verified with it. Which key
//! may verify which token is `agentauth-core`'s rule; the signature is the `jsonwebtoken` crate's.

use agentauth_core::claims::{
    ALLOWED_ALGORITHMS, Claims, ClaimsFault, JwsHeader, KeyFacts, KeyRefusal, StrictLimits, choose_key,
    choose_only_key, parse_strict, split_jws,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

/// Bounds on a document of the provider. Descope publishes about thirteen keys (sheet 2.2).
pub(crate) const LIMITS: StrictLimits = StrictLimits {
    bytes: 1024 * 1024,
    depth: 8,
    members: 4096,
    elements: 4096,
    name_bytes: 128,
    string_bytes: 16 * 1024,
};
/// The fewest bits of an RSA modulus (RFC 7518 section 3.3), and the most that the library computes with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
const MAX_KEY_ID_BYTES: usize = 512;

/// Whether keys and tokens must name the key. OpenID Connect Core section 10.1 asks for it where there is a choice;
/// Descope always does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyNames {
    /// A key without a name is no key, a token that names none is refused.
    Required,
    /// A token that names none is verified by the only key that fits it.
    Optional,
}

/// The usable keys of one document.
#[derive(Clone)]
pub(crate) struct KeySet {
    names: KeyNames,
    facts: Vec<KeyFacts>,
    keys: Vec<DecodingKey>,
    ignored: usize,
}

/// A token whose signature is good. What it says has still to be judged.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The header.
    pub header: JwsHeader,
    /// The key that verified it.
    pub key_id: String,
    /// The payload.
    pub claims: Claims,
}

/// Why a document is not a usable key set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    /// It breaks the rules of strict JSON.
    #[error("the key set cannot be read")]
    Json(#[from] ClaimsFault),
    /// It has no list of keys.
    #[error("the key set has no list `keys`")]
    Shape,
    /// None of its keys can be used.
    #[error("none of the {0} published keys can be used")]
    NoUsableKey(usize),
}

/// Why a token's signature is not good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// The token cannot be taken apart.
    #[error(transparent)]
    Token(#[from] ClaimsFault),
    /// No published key may verify it.
    #[error(transparent)]
    Key(#[from] KeyRefusal),
    /// The named key did not sign it.
    #[error("the signature is not that of key `{kid}`")]
    BadSignature {
        /// The key, shown safely.
        kid: String,
    },
}

impl SignatureFault {
    /// A stable code for logs and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(fault) => fault.code(),
            Self::Key(refusal) => refusal.code(),
            Self::BadSignature { .. } => "bad_signature",
        }
    }
}

impl KeySet {
    /// Reads a `{"keys":[…]}` document. Keys that cannot be used are ignored (RFC 7517 section 5).
    pub(crate) fn parse(document: &[u8], names: KeyNames) -> Result<Self, KeySetFault> {
        let Value::Object(document) = parse_strict(document, &LIMITS)? else {
            return Err(KeySetFault::Shape);
        };
        let Some(Value::Array(published)) = document.get("keys") else {
            return Err(KeySetFault::Shape);
        };
        let mut set = Self { names, facts: Vec::new(), keys: Vec::new(), ignored: 0 };
        for key in published {
            match key.as_object().and_then(|key| usable(key, names)) {
                Some((facts, key)) => {
                    set.facts.push(facts);
                    set.keys.push(key);
                }
                None => set.ignored += 1,
            }
        }
        if set.facts.is_empty() { Err(KeySetFault::NoUsableKey(published.len())) } else { Ok(set) }
    }

    pub(crate) fn contains(&self, kid: &str) -> bool {
        self.facts.iter().any(|facts| facts.kid == kid)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.facts.iter().map(|facts| facts.kid.as_str())
    }

    pub(crate) fn ignored(&self) -> usize {
        self.ignored
    }

    /// Verifies the signature of `token` and reads its payload.
    pub(crate) fn verify(&self, token: &str) -> Result<Verified, SignatureFault> {
        let (header, payload) = split_jws(token)?;
        let facts = match (&header.kid, self.names) {
            (None, KeyNames::Optional) => choose_only_key(&header, &self.facts)?,
            _ => choose_key(&header, &self.facts)?,
        };
        let key_id = facts.kid.clone();
        let bad = || SignatureFault::BadSignature { kid: crate::text::shown(&key_id, 120) };
        let algorithm = facts.bound_algorithm().and_then(algorithm).ok_or_else(bad)?;
        let key =
            self.facts.iter().zip(&self.keys).find(|(f, _)| std::ptr::eq(*f, facts)).map(|(_, key)| key);
        let (message, signature) = token.rsplit_once('.').ok_or_else(bad)?;
        let good = key.is_some_and(|key| {
            jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, algorithm).unwrap_or(false)
        });
        if !good {
            return Err(bad());
        }
        Ok(Verified { claims: Claims::parse(&payload)?, header, key_id })
    }
}

/// Refuses what no key could ever make good, so that such a token never causes a fetch.
pub(crate) fn hopeless(token: &str, names: KeyNames) -> Result<JwsHeader, SignatureFault> {
    let (header, _) = split_jws(token)?;
    let choice = match (&header.kid, names) {
        (None, KeyNames::Optional) => choose_only_key(&header, &[]),
        _ => choose_key(&header, &[]),
    };
    match choice {
        Err(KeyRefusal::UnknownKey { .. }) | Ok(_) => Ok(header),
        Err(refusal) => Err(refusal.into()),
    }
}

/// The key behind a JWK, if it has everything it needs and is strong enough.
fn usable(jwk: &Map<String, Value>, names: KeyNames) -> Option<(KeyFacts, DecodingKey)> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    // Absent is fine, another type than a string is not.
    let optional = |name: &str| match jwk.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone())),
        Some(_) => None,
    };
    // A private key that was published is nobody's key any more; a symmetric one never was one.
    if jwk.contains_key("d") || jwk.contains_key("k") {
        return None;
    }
    let kid = match (jwk.get("kid"), names) {
        // No header can name it: its `kid` is never empty.
        (None, KeyNames::Optional) => "",
        _ => text("kid").filter(|kid| !kid.is_empty() && kid.len() <= MAX_KEY_ID_BYTES)?,
    };
    let facts = KeyFacts {
        kid: kid.to_owned(),
        alg: optional("alg")?,
        kty: text("kty")?.to_owned(),
        crv: optional("crv")?,
        use_: optional("use")?,
        key_ops: match jwk.get("key_ops") {
            None => None,
            Some(Value::Array(list)) => {
                Some(list.iter().map(|op| op.as_str().map(str::to_owned)).collect::<Option<_>>()?)
            }
            Some(_) => return None,
        },
    };
    facts.bound_algorithm().filter(|bound| ALLOWED_ALGORITHMS.contains(bound)).and_then(algorithm)?;
    let octets = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let key = match (facts.kty.as_str(), facts.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (octets("n")?, octets("e")?);
            let odd_exponent = e.last().is_some_and(|last| last % 2 == 1) && e.len() <= 5 && e != [1];
            if !RSA_BITS.contains(&bits(&n)) || !odd_exponent {
                return None;
            }
            DecodingKey::from_rsa_raw_components(&n, &e)
        }
        ("EC", Some(curve @ ("P-256" | "P-384"))) => {
            let length = if curve == "P-256" { 32 } else { 48 };
            if octets("x")?.len() != length || octets("y")?.len() != length {
                return None;
            }
            DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?
        }
        ("OKP", Some("Ed25519")) => {
            if octets("x")?.len() != 32 {
                return None;
            }
            DecodingKey::from_ed_components(text("x")?).ok()?
        }
        _ => return None,
    };
    Some((facts, key))
}

/// The number of bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let significant = number.iter().skip_while(|&&octet| octet == 0);
    let mut rest = significant.clone();
    match rest.next() {
        Some(first) => rest.count() * 8 + (8 - first.leading_zeros() as usize),
        None => 0,
    }
}

fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ed(kid: &str) -> Value {
        json!({"kty":"OKP","crv":"Ed25519","kid":kid,"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    }

    fn parse(keys: Value) -> Result<KeySet, KeySetFault> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), KeyNames::Required)
    }

    #[test]
    fn the_vector_of_rfc_8037_verifies() {
        let set = parse(json!([ed("k")])).unwrap();
        let key = set.keys.first().unwrap();
        let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature =
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let good =
            |m: &str| jsonwebtoken::crypto::verify(signature, m.as_bytes(), key, Algorithm::EdDSA).unwrap();
        assert!(good(message));
        assert!(!good(&format!("{message}x")));
    }

    #[test]
    fn unusable_keys_are_left_out() {
        let short = URL_SAFE_NO_PAD.encode([0xff_u8; 128]);
        let long = URL_SAFE_NO_PAD.encode([0xff_u8; 256]);
        let padded = URL_SAFE_NO_PAD.encode([&[0_u8; 200][..], &[0xff_u8; 128][..]].concat());
        let rsa = |n: &str, e: &str| json!({"kty":"RSA","kid":"r","alg":"RS256","n":n,"e":e});
        assert_eq!(parse(json!([rsa(&long, "AQAB")])).unwrap().ids().collect::<Vec<_>>(), ["r"]);
        let mut published_secret = ed("d");
        published_secret["d"] = json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
        let mut no_kid = ed("x");
        no_kid["kid"] = json!("");
        for bad in [
            rsa(&short, "AQAB"),
            rsa(&padded, "AQAB"),
            rsa(&long, "AQ"),
            rsa(&long, "Ag"),
            rsa(&long, ""),
            json!({"kty":"RSA","kid":"r","alg":"HS256","n":long,"e":"AQAB"}),
            json!({"kty":"RSA","kid":"r","alg":5,"n":long,"e":"AQAB"}),
            json!({"kty":"RSA","kid":"r","n":format!("{long}="),"e":"AQAB"}),
            json!({"kty":"oct","kid":"o","k":"AAAA"}),
            json!({"kty":"EC","crv":"P-256","kid":"e","x":"AAAA","y":"AAAA"}),
            json!({"kty":"EC","crv":"secp256k1","kid":"e","x":"AAAA","y":"AAAA"}),
            json!({"kty":"quantum","kid":"q"}),
            published_secret,
            no_kid,
            json!(7),
        ] {
            let set = parse(json!([bad, ed("good")])).unwrap();
            assert_eq!(set.ids().collect::<Vec<_>>(), ["good"], "{bad}");
            assert_eq!(set.ignored(), 1);
        }
    }

    #[test]
    fn documents_without_usable_keys_are_refused() {
        assert_eq!(parse(json!([])).err(), Some(KeySetFault::NoUsableKey(0)));
        assert_eq!(KeySet::parse(b"[]", KeyNames::Required).err(), Some(KeySetFault::Shape));
        assert_eq!(KeySet::parse(br#"{"keys":{}}"#, KeyNames::Required).err(), Some(KeySetFault::Shape));
        assert!(matches!(KeySet::parse(b"<html>", KeyNames::Required).err(), Some(KeySetFault::Json(_))));
        assert!(matches!(
            KeySet::parse(br#"{"keys":[],"keys":[]}"#, KeyNames::Required).err(),
            Some(KeySetFault::Json(_))
        ));
    }
}
