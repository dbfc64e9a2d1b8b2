//! The judgement of an ID token (OpenID Connect Core section 3.1.3.7, errata set 2), which says who logged in and
//! when, and nothing about what they may do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::Claims;
use super::read::{audiences, numeric_date, strings, subject, text, times};
use super::refusal::{TokenRefusal, shown};

/// What an ID token must say to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTokenExpectation {
    /// Issuers, compared byte by byte.
    pub issuers: Vec<String>,
    /// Our client identifier; `aud` must contain it.
    pub client_id: String,
    /// Audiences that may stand beside the client identifier; any other makes the token foreign.
    pub extra_audiences: Vec<String>,
    /// The nonce of the authorization request; `None` where the flow has none (device grant, refresh).
    pub nonce: Option<String>,
    /// The pinned user.
    pub subject: Option<String>,
    /// How far clocks may disagree; counts for at most five minutes.
    pub leeway: SignedDuration,
}

impl IdTokenExpectation {
    /// The usual expectation: one issuer, our client identifier alone, no nonce, nobody pinned, five seconds.
    pub fn new(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            issuers: vec![issuer.into()],
            client_id: client_id.into(),
            extra_audiences: Vec::new(),
            nonce: None,
            subject: None,
            leeway: SignedDuration::from_secs(5),
        }
    }
}

/// An ID token's claims after judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct IdTokenClaims {
    /// The user: `dsub` where a template overrides `sub`, else `sub`.
    pub subject: String,
    /// `iss`, as written.
    pub issuer: String,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `exp`.
    pub expires_at: Timestamp,
    /// `auth_time`: when the user last authenticated, which may be long before the token was made.
    pub auth_time: Option<Timestamp>,
    /// `nonce`, which equals the expected one if one was expected.
    pub nonce: Option<String>,
    /// `email`.
    pub email: Option<String>,
    /// `email_verified`.
    pub email_verified: Option<bool>,
    /// `name`.
    pub name: Option<String>,
    /// `acr`: how strongly the user authenticated, in the provider's words.
    pub assurance: Option<String>,
    /// `amr`: how the user proved who they are.
    pub factors: Vec<String>,
    /// `sid`: the provider's session.
    pub session_id: Option<String>,
    /// `at_hash`; compare it with [`access_token_hash`].
    pub access_token_hash: Option<String>,
}

impl IdTokenClaims {
    /// Whether the user authenticated for a question that was asked at `asked_at`, rather than some time before it:
    /// the nonce is echoed, and `auth_time`, which counts whole seconds, is not older than the question.
    pub fn proves_fresh_login(&self, nonce: &str, asked_at: Timestamp) -> bool {
        let echoed = !nonce.is_empty() && self.nonce.as_deref() == Some(nonce);
        echoed && self.auth_time.is_some_and(|at| at.as_second() >= asked_at.as_second())
    }
}

/// Judges the claims of an ID token whose signature was verified with a key of the provider.
///
/// # Errors
/// The first expectation that the token does not meet.
pub fn judge_id_token(
    claims: &Claims,
    expect: &IdTokenExpectation,
    now: Timestamp,
) -> Result<IdTokenClaims, TokenRefusal> {
    let issuer = text(claims, "iss")?.ok_or(TokenRefusal::MissingClaim("iss"))?;
    if issuer.is_empty() || !expect.issuers.iter().any(|accepted| accepted == issuer) {
        let accepted =
            expect.issuers.iter().map(|issuer| format!("`{}`", shown(issuer))).collect::<Vec<_>>().join(", ");
        return Err(TokenRefusal::WrongIssuer {
            seen: shown(issuer),
            what: "not the provider that was asked",
            accepted,
        });
    }
    if let Some(kind @ ("DSR" | "DTD")) = text(claims, "drn")? {
        return Err(TokenRefusal::WrongKind { seen: kind.to_owned(), expected: "an ID token" });
    }
    judge_audience(claims, expect)?;
    let plain_subject = subject(claims, "sub")?.ok_or(TokenRefusal::MissingClaim("sub"))?;
    let subject = subject(claims, "dsub")?.unwrap_or(plain_subject);
    if let Some(pinned) = &expect.subject
        && pinned != subject
    {
        return Err(TokenRefusal::WrongSubject { seen: shown(subject), expected: shown(pinned) });
    }
    let nonce = text(claims, "nonce")?;
    if let Some(sent) = &expect.nonce {
        match nonce {
            None => return Err(TokenRefusal::MissingClaim("nonce")),
            Some(seen) if seen.is_empty() || seen != sent => return Err(TokenRefusal::WrongNonce),
            Some(_) => {}
        }
    }
    let (expires_at, issued_at) = times(claims, expect.leeway, now)?;
    let optional = |name: &'static str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(IdTokenClaims {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        issued_at: issued_at.ok_or(TokenRefusal::MissingClaim("iat"))?,
        expires_at,
        auth_time: numeric_date(claims, "auth_time")?,
        nonce: nonce.map(str::to_owned),
        email: optional("email"),
        email_verified: claims.get("email_verified").and_then(Value::as_bool),
        name: optional("name"),
        assurance: optional("acr"),
        factors: strings(claims.get("amr"), "amr", &mut Vec::new()),
        session_id: optional("sid"),
        access_token_hash: optional("at_hash"),
    })
}

fn judge_audience(claims: &Claims, expect: &IdTokenExpectation) -> Result<(), TokenRefusal> {
    let seen = audiences(claims)?.ok_or(TokenRefusal::MissingClaim("aud"))?;
    let ours = !expect.client_id.is_empty() && seen.contains(&expect.client_id.as_str());
    let foreign = seen.iter().any(|audience| {
        *audience != expect.client_id && !expect.extra_audiences.iter().any(|extra| extra == audience)
    });
    let party = text(claims, "azp")?;
    if ours && !foreign && party.is_none_or(|party| party == expect.client_id) {
        return Ok(());
    }
    let seen = match party {
        Some(party) => format!("{} (authorized party {party})", seen.join(", ")),
        None => seen.join(", "),
    };
    Err(TokenRefusal::WrongAudience { seen: shown(&seen), expected: shown(&expect.client_id) })
}

/// The `at_hash` that an ID token signed with `alg` carries for this access token: the left half of its hash, in
/// base64url (OpenID Connect Core section 3.1.3.6). `None` for an algorithm that is not accepted anyway.
pub fn access_token_hash(alg: &str, access_token: &str) -> Option<String> {
    let hash = match alg {
        "RS256" | "PS256" | "ES256" => Sha256::digest(access_token).to_vec(),
        "RS384" | "PS384" | "ES384" => Sha384::digest(access_token).to_vec(),
        "RS512" | "PS512" | "EdDSA" => Sha512::digest(access_token).to_vec(),
        _ => return None,
    };
    hash.get(..hash.len() / 2).map(|half| URL_SAFE_NO_PAD.encode(half))
}
