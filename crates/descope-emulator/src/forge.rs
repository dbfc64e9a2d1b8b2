//! Making tokens: the compact JWS form by hand, and the overrides that turn the next token into a hostile one.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;

use crate::keys::{Algorithm, KeyFault, KeyRing, SigningKey};

/// Which token is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// The session JWT, which is also the OAuth access token.
    Session,
    /// The refresh JWT.
    Refresh,
    /// The ID token.
    Id,
}

/// A change to the next token (or the next few) of a kind.
///
/// ```
/// use descope_emulator::{Signing, TokenOverride};
/// let stale = TokenOverride::session().expires_in(-60);
/// let other_audience = TokenOverride::id().claim("aud", "somebody-else");
/// let unsigned = TokenOverride::session().signing(Signing::Unsigned);
/// # let _ = (stale, other_audience, unsigned);
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenOverride {
    /// The kind of token.
    pub kind: TokenKind,
    /// How many tokens are changed; 1 unless given.
    #[serde(default = "once")]
    pub times: u32,
    /// Claims to set; `null` removes the claim.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// `exp`, in seconds from now.
    #[serde(default)]
    pub expires_in: Option<i64>,
    /// `iat`, in seconds from now.
    #[serde(default)]
    pub issued_in: Option<i64>,
    /// `nbf`, in seconds from now.
    #[serde(default)]
    pub not_before_in: Option<i64>,
    /// Members written a second time into the payload text, after the first: `{"aud":"a","aud":"b"}`.
    #[serde(default)]
    pub duplicates: Map<String, Value>,
    /// Header members to set; `null` removes one.
    #[serde(default)]
    pub header: Map<String, Value>,
    /// How the token is signed.
    #[serde(default)]
    pub signing: Signing,
    /// The whole token, as is; everything else is ignored.
    #[serde(default)]
    pub text: Option<String>,
}

fn once() -> u32 {
    1
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signing {
    /// By the present key, as it should be.
    #[default]
    Proper,
    /// `alg: none`, no signature. Other spellings of `none`: set the header member, too.
    Unsigned,
    /// HS256 with the present public key's PEM text as the secret.
    Hs256PublicPem,
    /// HS256 with the present key's JWK text as the secret.
    Hs256PublicJwk,
    /// By another project's key, which claims to be the present one (`kid`).
    ForeignKey,
    /// By a key that is not published, under its own `kid`.
    UnknownKid,
    /// By a key that is still published but signs no more: rotate the keys first. Such a token is good.
    RetiredKey,
    /// By the key that the last rotate-and-revoke dropped; do that first.
    RevokedKey,
    /// The present key, but RS384: a good signature under an algorithm that is not the key's.
    Rs384,
    /// The present key, but PS256.
    Ps256,
    /// Properly signed, then the payload is changed.
    Tampered,
    /// A signature of zeros.
    ZeroSignature,
    /// The signature is cut off, the second dot stays.
    Stripped,
}

impl Signing {
    pub(crate) fn needs_foreign_key(self) -> bool {
        matches!(self, Self::ForeignKey | Self::UnknownKid)
    }
}

impl TokenOverride {
    fn of(kind: TokenKind) -> Self {
        Self {
            kind,
            times: 1,
            claims: Map::new(),
            expires_in: None,
            issued_in: None,
            not_before_in: None,
            duplicates: Map::new(),
            header: Map::new(),
            signing: Signing::Proper,
            text: None,
        }
    }

    /// For the next session token.
    pub fn session() -> Self {
        Self::of(TokenKind::Session)
    }

    /// For the next refresh token.
    pub fn refresh() -> Self {
        Self::of(TokenKind::Refresh)
    }

    /// For the next ID token.
    pub fn id() -> Self {
        Self::of(TokenKind::Id)
    }

    /// For the next `times` tokens.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without(self, name: &str) -> Self {
        self.claim(name, Value::Null)
    }

    /// Writes a member a second time.
    #[must_use]
    pub fn duplicate(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.duplicates.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a header member (`null` removes it).
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// `exp` at `seconds` from now.
    #[must_use]
    pub fn expires_in(mut self, seconds: i64) -> Self {
        self.expires_in = Some(seconds);
        self
    }

    /// `iat` at `seconds` from now.
    #[must_use]
    pub fn issued_in(mut self, seconds: i64) -> Self {
        self.issued_in = Some(seconds);
        self
    }

    /// `nbf` at `seconds` from now.
    #[must_use]
    pub fn not_before_in(mut self, seconds: i64) -> Self {
        self.not_before_in = Some(seconds);
        self
    }

    /// Signs differently.
    #[must_use]
    pub fn signing(mut self, signing: Signing) -> Self {
        self.signing = signing;
        self
    }

    /// Uses `text` as the token.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }
}

/// The keys that a forger may need.
pub(crate) struct Keys<'a> {
    pub(crate) ring: &'a KeyRing,
    /// Another project's key; there when [`Signing::needs_foreign_key`].
    pub(crate) foreign: Option<&'a Arc<SigningKey>>,
}

/// The token with these claims, changed as `change` says.
pub(crate) fn forge(
    keys: &Keys<'_>,
    mut claims: Map<String, Value>,
    change: Option<&TokenOverride>,
    now: Timestamp,
) -> Result<String, KeyFault> {
    let proper = TokenOverride::session();
    let change = change.unwrap_or(&proper);
    if let Some(text) = &change.text {
        return Ok(text.clone());
    }
    let offsets = [("exp", change.expires_in), ("iat", change.issued_in), ("nbf", change.not_before_in)];
    for (name, seconds) in offsets {
        if let Some(seconds) = seconds {
            claims.insert(name.to_owned(), json!(now.as_second().saturating_add(seconds)));
        }
    }
    overlay(&mut claims, &change.claims);
    let key = match change.signing {
        Signing::ForeignKey | Signing::UnknownKid => keys.foreign,
        Signing::RetiredKey => keys.ring.retired(),
        Signing::RevokedKey => keys.ring.revoked(),
        _ => Some(keys.ring.present()),
    };
    let key = key.ok_or(KeyFault::NoSuchKey(change.signing))?;
    let kid = if change.signing == Signing::ForeignKey { keys.ring.present().kid() } else { key.kid() };
    let algorithm = match change.signing {
        Signing::Rs384 => Algorithm::Rs384,
        Signing::Ps256 => Algorithm::Ps256,
        _ => key.algorithm(),
    };
    let name = match change.signing {
        Signing::Unsigned => "none",
        Signing::Hs256PublicPem | Signing::Hs256PublicJwk => "HS256",
        _ => algorithm.name(),
    };
    let mut header = Map::from_iter([
        ("alg".to_owned(), json!(name)),
        ("kid".to_owned(), json!(kid)),
        ("typ".to_owned(), json!("JWT")),
    ]);
    overlay(&mut header, &change.header);

    let header = URL_SAFE_NO_PAD.encode(Value::Object(header).to_string());
    let payload = with_duplicates(&Value::Object(claims).to_string(), &change.duplicates);
    let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(&payload));
    let hs256 = |secret: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), input.as_bytes()).as_ref().to_vec()
    };
    let signature = match change.signing {
        Signing::Unsigned | Signing::Stripped => Vec::new(),
        Signing::Hs256PublicPem => hs256(key.public_pem()),
        Signing::Hs256PublicJwk => hs256(&key.jwk().to_string()),
        Signing::ZeroSignature => vec![0; key.sign(algorithm, input.as_bytes())?.len()],
        _ => key.sign(algorithm, input.as_bytes())?,
    };
    let signature = URL_SAFE_NO_PAD.encode(signature);
    if change.signing == Signing::Tampered {
        let payload = with_duplicates(&payload, &Map::from_iter([("tampered".to_owned(), json!(true))]));
        return Ok(format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(payload)));
    }
    Ok(format!("{input}.{signature}"))
}

fn overlay(into: &mut Map<String, Value>, change: &Map<String, Value>) {
    for (name, value) in change {
        if value.is_null() {
            into.remove(name);
        } else {
            into.insert(name.clone(), value.clone());
        }
    }
}

/// Appends members to the text of an object, whether or not it has them already.
fn with_duplicates(object: &str, members: &Map<String, Value>) -> String {
    let mut text = object.strip_suffix('}').unwrap_or(object).to_owned();
    for (name, value) in members {
        if !text.ends_with('{') {
            text.push(',');
        }
        text.push_str(&format!("{}:{value}", json!(name)));
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(token: &str) -> (Value, String, String) {
        let mut parts = token.split('.');
        let mut decoded = || URL_SAFE_NO_PAD.decode(parts.next().unwrap()).unwrap();
        let header = serde_json::from_slice(&decoded()).unwrap();
        let payload = String::from_utf8(decoded()).unwrap();
        (header, payload, parts.next().unwrap().to_owned())
    }

    #[test]
    fn overrides_reach_header_payload_and_signature() {
        let ring = KeyRing::new(SigningKey::generate(Algorithm::Rs256).unwrap());
        let foreign = Arc::new(SigningKey::generate(Algorithm::Es256).unwrap());
        let keys = Keys { ring: &ring, foreign: Some(&foreign) };
        // In order of name, since serde_json may keep the order or sort.
        let claims = || Map::from_iter([("aud".to_owned(), json!("a")), ("iss".to_owned(), json!("P1"))]);
        let now = Timestamp::UNIX_EPOCH;
        let make = |change: &TokenOverride| parts(&forge(&keys, claims(), Some(change), now).unwrap());

        let (header, payload, signature) = parts(&forge(&keys, claims(), None, now).unwrap());
        assert_eq!(header["kid"], ring.present().kid());
        assert_eq!(payload, r#"{"aud":"a","iss":"P1"}"#);
        assert_eq!(signature.len(), 342);

        let (header, _, signature) =
            make(&TokenOverride::session().signing(Signing::Unsigned).header("alg", "nOnE"));
        assert_eq!((header["alg"].as_str(), signature.as_str()), (Some("nOnE"), ""));

        let (_, payload, _) =
            make(&TokenOverride::session().duplicate("aud", "b").without("iss").expires_in(60));
        assert_eq!(payload, r#"{"aud":"a","exp":60,"aud":"b"}"#);

        let (header, _, _) = make(&TokenOverride::session().signing(Signing::ForeignKey));
        assert_eq!(header["kid"], ring.present().kid());
        let (header, _, _) = make(&TokenOverride::session().signing(Signing::UnknownKid));
        assert_eq!(header["kid"], foreign.kid());
        let (header, _, _) = make(&TokenOverride::session().signing(Signing::Hs256PublicPem));
        assert_eq!(header["alg"], "HS256");
        let (_, payload, _) = make(&TokenOverride::session().signing(Signing::Tampered));
        assert!(payload.contains("tampered"));
        assert_eq!(forge(&keys, claims(), Some(&TokenOverride::id().text("junk")), now).unwrap(), "junk");
    }
}
