//! From the authorization code to a session that is believed: the exchange at the token endpoint, and the verification
//! of what it returns. Nothing is believed on the word of the connection alone.

use std::fmt;

use agentauth_core::claims::{
    Claims, IdTokenClaims, IdTokenExpectation, SessionClaims, SessionExpectation, access_token_hash,
    judge_id_token, judge_session,
};
use agentauth_core::session::User;
use agentauth_core::{Clock, Timestamp};
use oauth2::basic::BasicTokenType;
use oauth2::{AuthorizationCode, PkceCodeVerifier, TokenResponse as _};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use subtle::ConstantTimeEq;

use crate::discovery::DiscoveryError;
use crate::jwks::Verified;
use crate::keys::Keys;
use crate::login::CodeGrant;
use crate::oauth::{self, Adapter, TokenRequestError, TokenResponse};
use crate::oidc::Terms;
use crate::problem::Problem;
use crate::provider::Provider;
use crate::text::shown;
use crate::token_fault::{TokenFault, TokenKind};
use crate::transport::HttpError;

/// What the token endpoint gave for a code. Not believed yet.
pub struct TokenSet {
    /// The session token (sheet 5.3: Descope's `access_token` is its session JWT).
    pub access_token: SecretString,
    /// What keeps the session alive; goes to the keychain and nowhere else.
    pub refresh_token: SecretString,
    /// Who logged in.
    pub id_token: SecretString,
    /// The lifetime in seconds that the provider claims; the token's own `exp` is what counts.
    pub expires_in: Option<u64>,
}

/// Why a code brought no tokens.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The token endpoint is not known.
    #[error("cannot redeem the login's code")]
    Discovery(#[from] DiscoveryError),
    /// No answer.
    #[error("cannot redeem the login's code")]
    Http(#[from] HttpError),
    /// The provider refused the code.
    #[error("the provider refused the login's code ({0}); start again")]
    Refused(Box<Problem>),
    /// The answer is not a token response.
    #[error("the provider's answer to the login's code is no token response ({0})")]
    Malformed(String),
    /// The answer has another kind of token than a bearer token.
    #[error("the provider gave tokens of type `{0}`, which are not supported; configure bearer tokens there")]
    TokenType(String),
    /// There is no refresh token.
    #[error(
        "the provider gave no refresh token, so the session could not be kept; ask for the scope `offline_access` and allow refresh tokens for this application at the provider"
    )]
    NoRefreshToken,
    /// There is no ID token.
    #[error("the provider gave no id token, so it is not known who logged in; ask for the scope `openid`")]
    NoIdToken,
}

/// A verified and judged session.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedSession {
    /// What it says.
    pub claims: SessionClaims,
    /// The key that verified it; empty where no signed token carries it.
    pub key_id: String,
    /// What carries it.
    pub carrier: Carrier,
}

/// What carries the facts of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// The access token itself, as Descope's session token does.
    AccessToken,
    /// The ID token, along with userinfo; the access token is opaque.
    IdToken,
    /// The userinfo endpoint alone.
    Userinfo,
}

/// A verified login.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The session token's content.
    pub session: VerifiedSession,
    /// The ID token's content.
    pub id: IdTokenClaims,
    /// Who logged in, as far as the ID token says.
    pub user: User,
}

/// A completed login: the tokens and what they were found to say.
pub struct LoggedIn {
    /// The tokens; the refresh token goes to the keychain before anything else happens.
    pub tokens: TokenSet,
    /// What they say, verified.
    pub accepted: Accepted,
}

/// Why a login was not completed after the browser came back.
#[derive(Debug, thiserror::Error)]
pub enum CompleteError {
    /// The code brought no tokens.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The tokens are not believed.
    #[error(transparent)]
    Token(#[from] TokenFault),
}

impl Provider {
    /// Redeems the code of a login (RFC 6749 section 4.1.3, with the PKCE verifier and the exact redirect URI). A code
    /// is good for one attempt; this never repeats it.
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub async fn exchange(&self, grant: &CodeGrant) -> Result<TokenSet, ExchangeError> {
        let metadata = self.metadata().await?;
        let client = oauth::client(&self.config, &metadata, Some(&grant.redirect_uri))
            .map_err(|_| ExchangeError::Malformed("unusable redirect uri".to_owned()))?;
        let resource = self.config.oidc().and_then(|oidc| oidc.resource.as_deref());
        let mut request = client
            .exchange_code(AuthorizationCode::new(grant.code.expose_secret().to_owned()))
            .set_pkce_verifier(PkceCodeVerifier::new(grant.verifier.expose_secret().to_owned()));
        if let Some(resource) = resource {
            request = request.add_extra_param("resource", resource);
        }
        let answer = request.request_async(&Adapter(&self.http)).await.map_err(TokenRequestError::from)?;
        TokenSet::of(&answer)
    }

    /// Verifies what an exchange returned: both signatures, both sets of claims, `nonce` where the request had one,
    /// `at_hash`, and that both tokens are of the same user, who is `pinned` if a user is.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub async fn accept(
        &self,
        tokens: &TokenSet,
        keys: &Keys,
        nonce: Option<&str>,
        pinned: Option<&str>,
        now: Timestamp,
    ) -> Result<Accepted, TokenFault> {
        self.accept_on(tokens, keys, (Terms { nonce, ..Terms::default() }, pinned), now, now).await
    }

    async fn accept_on(
        &self,
        tokens: &TokenSet,
        keys: &Keys,
        (terms, pinned): (Terms<'_>, Option<&str>),
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<Accepted, TokenFault> {
        if let Some(oidc) = self.config.oidc() {
            return self.accept_oidc(oidc, tokens, keys, (terms, pinned), asked_at, now).await;
        }
        let (session, session_claims) = self.judge_session(&tokens.access_token, keys, pinned, now).await?;
        let (id, id_claims) =
            self.judge_id(&tokens.id_token, keys, terms.nonce, Some(&tokens.access_token), now).await?;
        if !same_subject(&session_claims, &id_claims) {
            return Err(TokenFault::SubjectMismatch {
                session: shown(&session.claims.subject, 64),
                id: shown(&id.subject, 64),
            });
        }
        let user = User {
            subject: session.claims.subject.clone(),
            name: id.name.clone().filter(|name| !name.is_empty()),
            email: id.email.clone(),
        };
        Ok(Accepted { session, id, user })
    }

    /// Exchange, verification and, where the ID token does not say it, the user's name: everything between
    /// [`LoginAttempt::wait`](crate::LoginAttempt::wait) and [`Callback::finish`](crate::Callback::finish).
    ///
    /// # Errors
    /// See [`CompleteError`]. Nothing is stored; a login whose tokens were refused is ended at the provider as well as
    /// that can be done.
    pub async fn complete(
        &self,
        grant: &CodeGrant,
        keys: &Keys,
        pinned: Option<&str>,
        clock: &dyn Clock,
    ) -> Result<LoggedIn, CompleteError> {
        let asked_at = clock.now();
        let tokens = self.exchange(grant).await?;
        let terms = Terms {
            nonce: Some(&grant.nonce),
            max_age_seconds: grant.max_age_seconds,
            acr_values: &grant.acr_values,
        };
        Ok(self.believe_on(tokens, keys, (terms, pinned), asked_at, clock).await?)
    }

    /// The part of it that follows the exchange; without a `nonce` where the request could not have one (RFC 8628).
    ///
    /// # Errors
    /// See [`TokenFault`]. Nothing is stored; the login is ended at the provider as well as that can be done.
    pub async fn believe(
        &self,
        tokens: TokenSet,
        keys: &Keys,
        nonce: Option<&str>,
        pinned: Option<&str>,
        clock: &dyn Clock,
    ) -> Result<LoggedIn, TokenFault> {
        let terms = Terms { nonce, ..Terms::default() };
        self.believe_on(tokens, keys, (terms, pinned), clock.now(), clock).await
    }

    async fn believe_on(
        &self,
        tokens: TokenSet,
        keys: &Keys,
        asked: (Terms<'_>, Option<&str>),
        asked_at: Timestamp,
        clock: &dyn Clock,
    ) -> Result<LoggedIn, TokenFault> {
        let mut accepted = match self.accept_on(&tokens, keys, asked, asked_at, clock.now()).await {
            Ok(accepted) => accepted,
            Err(fault) => {
                // A login that nobody will use is not left alive. Best effort: the refusal is what matters.
                let _ = self.logout(&tokens.refresh_token, false).await;
                return Err(fault);
            }
        };
        if accepted.user.name.is_none() && accepted.user.email.is_none() {
            accepted.user = self.name_user(&tokens.access_token, &tokens.refresh_token, accepted.user).await;
            if accepted.id.email_verified == Some(false) {
                accepted.user.email = None;
            }
        }
        Ok(LoggedIn { tokens, accepted })
    }

    /// Verifies a session token, from an exchange or a refresh; its user must be `pinned` if a user is.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub async fn verify_session(
        &self,
        token: &SecretString,
        keys: &Keys,
        pinned: Option<&str>,
        now: Timestamp,
    ) -> Result<VerifiedSession, TokenFault> {
        Ok(self.judge_session(token, keys, pinned, now).await?.0)
    }

    /// Verifies an ID token by itself; with `nonce` where the request had one, with the `access_token` that came along
    /// if one did.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub async fn verify_id_token(
        &self,
        token: &SecretString,
        keys: &Keys,
        nonce: Option<&str>,
        access_token: Option<&SecretString>,
        now: Timestamp,
    ) -> Result<IdTokenClaims, TokenFault> {
        Ok(self.judge_id(token, keys, nonce, access_token, now).await?.0)
    }

    async fn judge_session(
        &self,
        token: &SecretString,
        keys: &Keys,
        pinned: Option<&str>,
        now: Timestamp,
    ) -> Result<(VerifiedSession, Claims), TokenFault> {
        let verified = verify(TokenKind::Session, token, keys, &["at+jwt"], now).await?;
        let config = self.config();
        let expect = SessionExpectation {
            audiences: config.audiences(),
            extra_issuers: config.extra_issuers().to_vec(),
            subject: pinned.map(str::to_owned),
            ..SessionExpectation::new(config.project_id().unwrap_or_default(), config.base_url().clone())
        };
        let claims = judge_session(&verified.claims, &expect, now)
            .map_err(|source| TokenFault::Claims { kind: TokenKind::Session, source })?;
        for warning in &claims.warnings {
            tracing::debug!(%warning, "the session token has an odd claim");
        }
        let session = VerifiedSession { claims, key_id: verified.key_id, carrier: Carrier::AccessToken };
        Ok((session, verified.claims))
    }

    async fn judge_id(
        &self,
        token: &SecretString,
        keys: &Keys,
        nonce: Option<&str>,
        access_token: Option<&SecretString>,
        now: Timestamp,
    ) -> Result<(IdTokenClaims, Claims), TokenFault> {
        let verified = verify(TokenKind::Id, token, keys, &[], now).await?;
        let config = self.config();
        let expect = IdTokenExpectation {
            issuers: config.issuers(),
            // Descope applications may name the project beside the client (sheet 3.4).
            extra_audiences: config.audiences(),
            nonce: nonce.map(str::to_owned),
            ..IdTokenExpectation::new(config.issuer(), config.client_id())
        };
        let id = judge_id_token(&verified.claims, &expect, now)
            .map_err(|source| TokenFault::Claims { kind: TokenKind::Id, source })?;
        if let Some(access_token) = access_token {
            judge_hash(&verified.header.alg, &id, access_token)?;
        }
        Ok((id, verified.claims))
    }
}

impl TokenSet {
    /// What a token response is worth (pure): bearer tokens, all three of them.
    pub(crate) fn of(answer: &TokenResponse) -> Result<Self, ExchangeError> {
        if *answer.token_type() != BasicTokenType::Bearer {
            return Err(ExchangeError::TokenType(shown(answer.token_type().as_ref(), 32)));
        }
        let given = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(SecretString::from);
        let access_token = given(Some(answer.access_token().secret().as_str()))
            .ok_or_else(|| ExchangeError::Malformed("empty access token".to_owned()))?;
        let refresh_token = given(answer.refresh_token().map(|token| token.secret().as_str()))
            .ok_or(ExchangeError::NoRefreshToken)?;
        let id_token = given(answer.extra_fields().id_token.as_deref()).ok_or(ExchangeError::NoIdToken)?;
        let expires_in = answer.expires_in().map(|duration| duration.as_secs());
        Ok(Self { access_token, refresh_token, id_token, expires_in })
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

impl fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedIn").field("user", &self.accepted.user).finish_non_exhaustive()
    }
}

impl From<TokenRequestError> for ExchangeError {
    fn from(error: TokenRequestError) -> Self {
        match error {
            TokenRequestError::Http(error) => Self::Http(error),
            TokenRequestError::Refused(answer) => Self::Refused(Box::new(Problem::of(&answer))),
            TokenRequestError::Malformed(place) => Self::Malformed(place),
        }
    }
}

/// Compares `at_hash`, where the ID token has it, with the access token that came along.
pub(crate) fn judge_hash(
    alg: &str,
    id: &IdTokenClaims,
    access_token: &SecretString,
) -> Result<(), TokenFault> {
    let Some(said) = &id.access_token_hash else { return Ok(()) };
    let computed = access_token_hash(alg, access_token.expose_secret());
    let same = computed.is_some_and(|hash| bool::from(hash.as_bytes().ct_eq(said.as_bytes())));
    if same { Ok(()) } else { Err(TokenFault::OtherAccessToken) }
}

/// Verifies the signature; what the token is and says has still to be judged.
pub(crate) async fn read_signature(
    kind: TokenKind,
    token: &SecretString,
    keys: &Keys,
    now: Timestamp,
) -> Result<Verified, TokenFault> {
    keys.verify(token.expose_secret(), now).await.map_err(|source| TokenFault::Signature { kind, source })
}

/// Verifies the signature and the type.
pub(crate) async fn verify(
    kind: TokenKind,
    token: &SecretString,
    keys: &Keys,
    types: &[&str],
    now: Timestamp,
) -> Result<Verified, TokenFault> {
    let verified = read_signature(kind, token, keys, now).await?;
    verified.header.check_type(types).map_err(|source| TokenFault::Type { kind, source })?;
    Ok(verified)
}

/// Whether the tokens are of the same user. A template may move the real user of the session token from `sub` to
/// `dsub` (sheet 3.1) and leave the ID token with the `sub` alone: then the two `sub` are equal.
fn same_subject(session: &Claims, id: &Claims) -> bool {
    let text = |claims: &Claims, name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let meant = |claims: &Claims| text(claims, "dsub").or_else(|| text(claims, "sub"));
    let sub = |claims: &Claims| text(claims, "sub");
    let moved = text(session, "dsub").is_some() && text(id, "dsub").is_none();
    meant(session).is_some() && (meant(session) == meant(id) || moved && sub(session) == sub(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_compared_by_what_the_tokens_mean() {
        let claims = |text: &str| Claims::parse(text.as_bytes()).unwrap();
        for (session, id, same) in [
            (r#"{"sub":"U1"}"#, r#"{"sub":"U1"}"#, true),
            (r#"{"sub":"U1"}"#, r#"{"sub":"U2"}"#, false),
            (r#"{"sub":"x","dsub":"U1"}"#, r#"{"sub":"U1"}"#, true),
            (r#"{"sub":"U1"}"#, r#"{"sub":"x","dsub":"U1"}"#, true),
            (r#"{"sub":"x","dsub":"U1"}"#, r#"{"sub":"x"}"#, true),
            (r#"{"sub":"U1"}"#, r#"{"sub":"U1","dsub":"U2"}"#, false),
            (r#"{"sub":"x","dsub":"U1"}"#, r#"{"sub":"x","dsub":"U2"}"#, false),
            (r#"{"sub":"x","dsub":"U1"}"#, r#"{"sub":"y","dsub":"U1"}"#, true),
            (r#"{}"#, r#"{}"#, false),
        ] {
            assert_eq!(same_subject(&claims(session), &claims(id)), same, "{session} {id}");
        }
    }
}
