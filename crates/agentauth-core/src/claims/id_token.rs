//! The judgement of an ID token (OpenID Connect Core section 3.1.3.7, errata set 2), which says who logged in and
//! when, and nothing about what they may do.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::Claims;
use super::read::{ascii_subject, audiences, numeric_date, strings, subject, text, times};
use super::refusal::{TokenRefusal, shown};

/// Whose conventions apply beyond the standard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Descope's: `dsub` overrides `sub`, `drn` names the kind of a token.
    #[default]
    Descope,
    /// Nobody's: the claims of the standard, and a subject in ASCII.
    Oidc,
}

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
    /// `max_age` of the request, in seconds: `auth_time` is then required, and not older.
    pub max_age: Option<u32>,
    /// `acr_values` of the request: `acr` is then required, and one of them.
    pub acr: Vec<String>,
    /// How long ago the token may have been issued, for one that the provider has just handed out.
    pub issued_within: Option<SignedDuration>,
    /// The login that a refresh continues.
    pub original: Option<OriginalLogin>,
    /// Whose conventions apply.
    pub dialect: Dialect,
    /// How far clocks may disagree; counts for at most five minutes.
    pub leeway: SignedDuration,
}

/// What the ID token of a login said that those of its refreshes have to repeat (OpenID Connect Core section 12.2).
/// Nothing in it is secret.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct OriginalLogin {
    /// `aud`.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// `azp`.
    #[serde(default)]
    pub authorized_party: Option<String>,
    /// `auth_time`.
    #[serde(default)]
    pub auth_time: Option<Timestamp>,
    /// `nonce`.
    #[serde(default)]
    pub nonce: Option<String>,
}

impl IdTokenExpectation {
    /// The usual expectation: one issuer, our client identifier alone, no nonce, nobody pinned, five seconds, Descope's
    /// conventions.
    pub fn new(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            issuers: vec![issuer.into()],
            client_id: client_id.into(),
            extra_audiences: Vec::new(),
            nonce: None,
            subject: None,
            max_age: None,
            acr: Vec::new(),
            issued_within: None,
            original: None,
            dialect: Dialect::Descope,
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
    /// `aud`.
    pub audiences: Vec<String>,
    /// `azp`.
    pub authorized_party: Option<String>,
    /// `auth_time`: when the user last authenticated, which may be long before the token was made.
    pub auth_time: Option<Timestamp>,
    /// `nonce`, which equals the expected one if one was expected.
    pub nonce: Option<String>,
    /// `email`, unless the provider says that nobody verified it.
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
    /// What the refreshes of this login have to repeat.
    pub fn original(&self) -> OriginalLogin {
        OriginalLogin {
            audiences: self.audiences.clone(),
            authorized_party: self.authorized_party.clone(),
            auth_time: self.auth_time,
            nonce: self.nonce.clone(),
        }
    }

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
    let audiences = judge_audience(claims, expect)?;
    let subject = judge_subject(claims, expect.dialect)?;
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
    let issued_at = issued_at.ok_or(TokenRefusal::MissingClaim("iat"))?;
    let ago = now.duration_since(issued_at);
    if expect.issued_within.is_some_and(|limit| ago > limit.saturating_add(expect.leeway)) {
        return Err(TokenRefusal::NotFresh { at: issued_at, ago });
    }
    let auth_time = numeric_date(claims, "auth_time")?;
    judge_sign_in(claims, auth_time, expect, now)?;
    if let Some(original) = &expect.original {
        judge_continuation(claims, &audiences, auth_time, original)?;
    }
    let optional = |name: &'static str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(IdTokenClaims {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        issued_at,
        expires_at,
        audiences,
        authorized_party: optional("azp"),
        auth_time,
        nonce: nonce.map(str::to_owned),
        email: claims.email().map(str::to_owned),
        email_verified: claims.email_verified(),
        name: optional("name"),
        assurance: optional("acr"),
        factors: strings(claims.get("amr"), "amr", &mut Vec::new()),
        session_id: optional("sid"),
        access_token_hash: optional("at_hash"),
    })
}

fn judge_subject(claims: &Claims, dialect: Dialect) -> Result<&str, TokenRefusal> {
    let missing = TokenRefusal::MissingClaim("sub");
    match dialect {
        Dialect::Oidc => ascii_subject(claims, "sub")?.ok_or(missing),
        Dialect::Descope => {
            if let Some(kind @ ("DSR" | "DTD")) = text(claims, "drn")? {
                return Err(TokenRefusal::WrongKind { seen: kind.to_owned(), expected: "an ID token" });
            }
            let plain = subject(claims, "sub")?.ok_or(missing)?;
            Ok(subject(claims, "dsub")?.unwrap_or(plain))
        }
    }
}

/// When and how strongly the user authenticated, where the request asked for it (OpenID Connect Core section 3.1.3.7,
/// steps 12 and 13).
fn judge_sign_in(
    claims: &Claims,
    auth_time: Option<Timestamp>,
    expect: &IdTokenExpectation,
    now: Timestamp,
) -> Result<(), TokenRefusal> {
    if let Some(limit) = expect.max_age {
        let at = auth_time.ok_or(TokenRefusal::MissingClaim("auth_time"))?;
        let allowed = SignedDuration::from_secs(i64::from(limit)).saturating_add(expect.leeway);
        if now.duration_since(at) > allowed {
            return Err(TokenRefusal::OldSignIn { at, limit });
        }
    }
    let ahead = auth_time.filter(|at| at.duration_since(now) > expect.leeway);
    if let Some(at) = ahead.filter(|_| expect.dialect == Dialect::Oidc) {
        return Err(TokenRefusal::IssuedInFuture { at });
    }
    if !expect.acr.is_empty() {
        let seen = text(claims, "acr")?.ok_or(TokenRefusal::MissingClaim("acr"))?;
        if !expect.acr.iter().any(|wanted| wanted == seen) {
            return Err(TokenRefusal::WeakSignIn {
                seen: shown(seen),
                expected: shown(&expect.acr.join("`, `")),
            });
        }
    }
    Ok(())
}

/// OpenID Connect Core section 12.2: issuer and subject are judged like those of any ID token, `iat` is the new one's.
fn judge_continuation(
    claims: &Claims,
    audiences: &[String],
    auth_time: Option<Timestamp>,
    original: &OriginalLogin,
) -> Result<(), TokenRefusal> {
    let other = |claim| Err(TokenRefusal::OtherLogin { claim });
    if !original.audiences.iter().all(|audience| audiences.contains(audience)) {
        return other("aud");
    }
    if text(claims, "azp")? != original.authorized_party.as_deref() {
        return other("azp");
    }
    // A later one would be a sign-in that nobody here has seen.
    if let (Some(now), Some(then)) = (auth_time, original.auth_time)
        && now > then
    {
        return other("auth_time");
    }
    if let (Some(nonce), original) = (text(claims, "nonce")?, original.nonce.as_deref())
        && original != Some(nonce)
    {
        return other("nonce");
    }
    Ok(())
}

/// Judges an answer of the userinfo endpoint: it must be about the very user (OpenID Connect Core section 5.3.2).
///
/// # Errors
/// When it names nobody or somebody else.
pub fn judge_userinfo(claims: &Claims, expected: &str) -> Result<(), TokenRefusal> {
    let seen = ascii_subject(claims, "sub")?.ok_or(TokenRefusal::MissingClaim("sub"))?;
    if seen == expected {
        Ok(())
    } else {
        Err(TokenRefusal::WrongSubject { seen: shown(seen), expected: shown(expected) })
    }
}

fn judge_audience(claims: &Claims, expect: &IdTokenExpectation) -> Result<Vec<String>, TokenRefusal> {
    let seen = audiences(claims)?.ok_or(TokenRefusal::MissingClaim("aud"))?;
    let ours = !expect.client_id.is_empty() && seen.contains(&expect.client_id.as_str());
    let foreign = seen.iter().any(|audience| {
        *audience != expect.client_id && !expect.extra_audiences.iter().any(|extra| extra == audience)
    });
    let party = text(claims, "azp")?;
    if ours && !foreign && party.is_none_or(|party| party == expect.client_id) {
        return Ok(seen.into_iter().map(str::to_owned).collect());
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
