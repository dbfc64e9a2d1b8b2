//! Which of the provider's keys may verify a token: the key decides the algorithm, never the token.

use thiserror::Error;

use super::jws::JwsHeader;
use super::refusal::shown;

/// The signature algorithms that are ever accepted (RFC 7518 section 3.1, RFC 8037). `none` and the HMAC family are
/// absent on purpose: with those, whoever knows the public key can sign.
pub const ALLOWED_ALGORITHMS: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// What is known of one published key (RFC 7517 section 4), without its key material.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFacts {
    /// Key identifier.
    pub kid: String,
    /// The one algorithm the key says it is for.
    pub alg: Option<String>,
    /// Key type: `RSA`, `EC`, `OKP`.
    pub kty: String,
    /// Curve, of `EC` and `OKP` keys.
    pub crv: Option<String>,
    /// `sig` or `enc`, if said.
    pub use_: Option<String>,
    /// Permitted operations, if said.
    pub key_ops: Option<Vec<String>>,
}

impl KeyFacts {
    /// The one algorithm this key is used with: its own `alg` where it says one and its type can do it; else what its
    /// curve implies, or `RS256` for an RSA key (the default of OpenID Connect Core section 3.1.3.7).
    pub fn bound_algorithm(&self) -> Option<&str> {
        let bound = match &self.alg {
            Some(alg) => alg.as_str(),
            None => match (self.kty.as_str(), self.crv.as_deref()) {
                ("RSA", _) => "RS256",
                ("EC", Some("P-256")) => "ES256",
                ("EC", Some("P-384")) => "ES384",
                ("OKP", Some("Ed25519")) => "EdDSA",
                _ => return None,
            },
        };
        let fits = match bound {
            "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => self.kty == "RSA",
            "ES256" => self.kty == "EC" && self.crv.as_deref().is_none_or(|curve| curve == "P-256"),
            "ES384" => self.kty == "EC" && self.crv.as_deref().is_none_or(|curve| curve == "P-384"),
            "EdDSA" => self.kty == "OKP" && self.crv.as_deref().is_none_or(|curve| curve == "Ed25519"),
            _ => false,
        };
        fits.then_some(bound)
    }

    fn may_verify(&self) -> bool {
        self.use_.as_deref().is_none_or(|purpose| purpose == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"))
    }
}

/// Why no key may verify this token.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyRefusal {
    /// The algorithm is none that is ever accepted.
    #[error("the token is signed with `{alg}`, which is never accepted")]
    AlgorithmNotAllowed {
        /// The algorithm, shown safely.
        alg: String,
    },
    /// The header names no key.
    #[error("the token does not say which key signed it (`kid`)")]
    MissingKeyId,
    /// No published key has that identifier; the signal to fetch the key set again.
    #[error("the provider publishes no key `{kid}`")]
    UnknownKey {
        /// The identifier, shown safely.
        kid: String,
    },
    /// More than one published key has that identifier.
    #[error("the provider publishes more than one key `{kid}`")]
    AmbiguousKey {
        /// The identifier, shown safely.
        kid: String,
    },
    /// The key is published for something else.
    #[error("the provider's key `{kid}` is not meant for verifying signatures")]
    NotForSignatures {
        /// The identifier, shown safely.
        kid: String,
    },
    /// The key is bound to another algorithm than the token's.
    #[error("the token is signed with `{seen}`, but its key `{kid}` is for `{bound}`")]
    AlgorithmMismatch {
        /// The identifier, shown safely.
        kid: String,
        /// The token's algorithm.
        seen: String,
        /// The key's algorithm, or `none that is known`.
        bound: String,
    },
}

impl KeyRefusal {
    /// A stable code for logs and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlgorithmNotAllowed { .. } => "algorithm_not_allowed",
            Self::MissingKeyId => "missing_key_id",
            Self::UnknownKey { .. } => "unknown_key",
            Self::AmbiguousKey { .. } => "ambiguous_key",
            Self::NotForSignatures { .. } => "not_for_signatures",
            Self::AlgorithmMismatch { .. } => "algorithm_mismatch",
        }
    }
}

/// The one key that may verify a token with this header.
///
/// # Errors
/// When the algorithm is not in [`ALLOWED_ALGORITHMS`], the header names no key, or the named key is unknown,
/// published twice, not for signatures, or bound to another algorithm.
pub fn choose_key<'k>(header: &JwsHeader, keys: &'k [KeyFacts]) -> Result<&'k KeyFacts, KeyRefusal> {
    if !ALLOWED_ALGORITHMS.contains(&header.alg.as_str()) {
        return Err(KeyRefusal::AlgorithmNotAllowed { alg: shown(&header.alg) });
    }
    let wanted = header.kid.as_ref().ok_or(KeyRefusal::MissingKeyId)?;
    let kid = shown(wanted);
    let mut named = keys.iter().filter(|key| key.kid == *wanted);
    let Some(key) = named.next() else {
        return Err(KeyRefusal::UnknownKey { kid });
    };
    if named.next().is_some() {
        return Err(KeyRefusal::AmbiguousKey { kid });
    }
    if !key.may_verify() {
        return Err(KeyRefusal::NotForSignatures { kid });
    }
    match key.bound_algorithm() {
        Some(bound) if bound == header.alg => Ok(key),
        bound => Err(KeyRefusal::AlgorithmMismatch {
            kid,
            seen: header.alg.clone(),
            bound: shown(bound.unwrap_or("none that is known")),
        }),
    }
}

/// The one key that may verify a token whose header names none, which a provider may leave out where no two of its keys
/// fit (OpenID Connect Core section 10.1).
///
/// # Errors
/// When the algorithm is not in [`ALLOWED_ALGORITHMS`], or not exactly one key is bound to it.
pub fn choose_only_key<'k>(header: &JwsHeader, keys: &'k [KeyFacts]) -> Result<&'k KeyFacts, KeyRefusal> {
    if !ALLOWED_ALGORITHMS.contains(&header.alg.as_str()) {
        return Err(KeyRefusal::AlgorithmNotAllowed { alg: shown(&header.alg) });
    }
    let mut fitting =
        keys.iter().filter(|key| key.may_verify() && key.bound_algorithm() == Some(header.alg.as_str()));
    let kid = || "(none named)".to_owned();
    match (fitting.next(), fitting.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => Err(KeyRefusal::UnknownKey { kid: kid() }),
        (Some(_), Some(_)) => Err(KeyRefusal::AmbiguousKey { kid: kid() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kid: &str, alg: Option<&str>, kty: &str, crv: Option<&str>) -> KeyFacts {
        KeyFacts {
            kid: kid.to_owned(),
            alg: alg.map(str::to_owned),
            kty: kty.to_owned(),
            crv: crv.map(str::to_owned),
            use_: Some("sig".to_owned()),
            key_ops: None,
        }
    }

    fn choose(alg: &str, kid: Option<&str>, keys: &[KeyFacts]) -> Result<String, &'static str> {
        let header = JwsHeader { alg: alg.to_owned(), kid: kid.map(str::to_owned), typ: None };
        choose_key(&header, keys).map(|key| key.kid.clone()).map_err(|refusal| refusal.code())
    }

    #[test]
    fn the_key_decides_the_algorithm() {
        let keys = [
            key("rsa", Some("RS256"), "RSA", None),
            key("pss", Some("PS384"), "RSA", None),
            key("ec", Some("ES256"), "EC", Some("P-256")),
            key("ed", Some("EdDSA"), "OKP", Some("Ed25519")),
            key("bare-rsa", None, "RSA", None),
            key("bare-ec", None, "EC", Some("P-384")),
            key("bare-k1", None, "EC", Some("secp256k1")),
            key("liar", Some("ES256"), "RSA", None),
            key("wrong-curve", Some("ES256"), "EC", Some("P-384")),
            key("hmac", Some("HS256"), "oct", None),
        ];
        let table: &[(&str, Option<&str>, Result<&str, &str>)] = &[
            ("RS256", Some("rsa"), Ok("rsa")),
            ("PS384", Some("pss"), Ok("pss")),
            ("ES256", Some("ec"), Ok("ec")),
            ("EdDSA", Some("ed"), Ok("ed")),
            ("RS256", Some("bare-rsa"), Ok("bare-rsa")),
            ("ES384", Some("bare-ec"), Ok("bare-ec")),
            ("RS384", Some("rsa"), Err("algorithm_mismatch")),
            ("PS256", Some("rsa"), Err("algorithm_mismatch")),
            ("RS512", Some("bare-rsa"), Err("algorithm_mismatch")),
            ("ES256", Some("bare-k1"), Err("algorithm_mismatch")),
            ("ES256", Some("liar"), Err("algorithm_mismatch")),
            ("RS256", Some("liar"), Err("algorithm_mismatch")),
            ("ES256", Some("wrong-curve"), Err("algorithm_mismatch")),
            ("ES256", Some("rsa"), Err("algorithm_mismatch")),
            ("none", Some("rsa"), Err("algorithm_not_allowed")),
            ("None", Some("rsa"), Err("algorithm_not_allowed")),
            ("nOnE", None, Err("algorithm_not_allowed")),
            ("HS256", Some("hmac"), Err("algorithm_not_allowed")),
            ("HS512", Some("rsa"), Err("algorithm_not_allowed")),
            ("rs256", Some("rsa"), Err("algorithm_not_allowed")),
            ("RS256", None, Err("missing_key_id")),
            ("RS256", Some("../rsa"), Err("unknown_key")),
            ("RS256", Some("RSA"), Err("unknown_key")),
        ];
        for (alg, kid, expected) in table {
            let expected = expected.map(str::to_owned);
            assert_eq!(choose(alg, *kid, &keys), expected, "{alg} {kid:?}");
        }
    }

    #[test]
    fn keys_for_other_purposes_and_twins_are_refused() {
        let twin = [key("a", Some("RS256"), "RSA", None), key("a", Some("ES256"), "EC", None)];
        assert_eq!(choose("RS256", Some("a"), &twin), Err("ambiguous_key"));
        let mut encrypting = key("a", Some("RS256"), "RSA", None);
        encrypting.use_ = Some("enc".to_owned());
        assert_eq!(choose("RS256", Some("a"), &[encrypting]), Err("not_for_signatures"));
        let mut operations = key("a", Some("RS256"), "RSA", None);
        operations.use_ = None;
        operations.key_ops = Some(vec!["encrypt".to_owned()]);
        assert_eq!(choose("RS256", Some("a"), &[operations.clone()]), Err("not_for_signatures"));
        operations.key_ops = Some(vec!["verify".to_owned()]);
        assert_eq!(choose("RS256", Some("a"), &[operations]), Ok("a".to_owned()));
        assert_eq!(choose("RS256", Some("a"), &[]), Err("unknown_key"));
    }

    #[test]
    fn a_token_that_names_no_key_needs_the_only_one_that_fits() {
        let only = |alg: &str, keys: &[KeyFacts]| {
            let header = JwsHeader { alg: alg.to_owned(), kid: None, typ: None };
            choose_only_key(&header, keys).map(|key| key.kid.clone()).map_err(|refusal| refusal.code())
        };
        let keys = [key("a", Some("RS256"), "RSA", None), key("b", Some("ES256"), "EC", Some("P-256"))];
        assert_eq!(only("RS256", &keys), Ok("a".to_owned()));
        assert_eq!(only("ES256", &keys), Ok("b".to_owned()));
        assert_eq!(only("PS256", &keys), Err("unknown_key"));
        assert_eq!(only("none", &keys), Err("algorithm_not_allowed"));
        assert_eq!(only("HS256", &keys), Err("algorithm_not_allowed"));
        let twins = [key("a", Some("RS256"), "RSA", None), key("c", None, "RSA", None)];
        assert_eq!(only("RS256", &twins), Err("ambiguous_key"));
        let mut encrypting = key("c", Some("RS256"), "RSA", None);
        encrypting.use_ = Some("enc".to_owned());
        assert_eq!(only("RS256", &[key("a", None, "RSA", None), encrypting]), Ok("a".to_owned()));
    }

    #[test]
    fn no_allowed_algorithm_is_symmetric() {
        assert!(ALLOWED_ALGORITHMS.iter().all(|alg| *alg != "none" && !alg.starts_with("HS")));
    }
}
