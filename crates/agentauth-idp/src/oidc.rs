//! Verifying what any OpenID provider gives: the ID token to the letter, and the facts from wherever they are, a JWT
//! access token, the ID token, or the userinfo endpoint. The outcome is the same session that Descope's tokens make.

use agentauth_core::claims::{
    AccessTokenExpectation, Claims, Dialect, IdTokenClaims, IdTokenExpectation, OriginalLogin, SessionFrame,
    TokenRefusal, judge_access_token, judge_userinfo, split_jws,
};
use agentauth_core::session::User;
use agentauth_core::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use crate::config::{AccessTokenForm, AccessTokenType, Oidc};
use crate::jwks::Verified;
use crate::keys::Keys;
use crate::provider::Provider;
use crate::refresh::Refreshed;
use crate::token_fault::{TokenFault, TokenKind};
use crate::tokens::{Accepted, Carrier, TokenSet, VerifiedSession, judge_hash, read_signature, verify};
use crate::transport::describe;
use crate::userinfo::UserinfoFault;

/// How far clocks may disagree where a provider's are none of ours to know.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// How old an ID token may be that the provider has just handed out.
const ISSUED_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// The life of an opaque access token where the provider does not say it (`expires_in` is only recommended).
const DEFAULT_LIFE: SignedDuration = SignedDuration::from_mins(5);
/// The longest life of a session whose access token cannot be read.
const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(24);

/// What an authorization request asked for, and the ID token has to show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms<'t> {
    pub(crate) nonce: Option<&'t str>,
    pub(crate) max_age_seconds: Option<u32>,
    pub(crate) acr_values: &'t [String],
}

/// The login that a refresh continues.
#[derive(Clone, Copy, Debug)]
pub struct KnownLogin<'l> {
    /// The user.
    pub subject: &'l str,
    /// What the login's ID token said, where it was kept.
    pub original: Option<&'l OriginalLogin>,
    /// When the refresh was sent: `expires_in` counts from there at the latest.
    pub asked_at: Timestamp,
}

/// An ID token that was judged, as a source of facts.
pub(crate) struct JudgedId {
    pub(crate) id: IdTokenClaims,
    pub(crate) claims: Claims,
    pub(crate) key_id: String,
}

/// An access token and what came along with it.
pub(crate) struct Given<'g> {
    pub(crate) access_token: &'g SecretString,
    pub(crate) id: Option<&'g JudgedId>,
    pub(crate) expires_in: Option<u64>,
    pub(crate) asked_at: Timestamp,
}

impl Provider {
    /// Verifies what an exchange returned.
    pub(crate) async fn accept_oidc(
        &self,
        oidc: &Oidc,
        tokens: &TokenSet,
        keys: &Keys,
        (terms, pinned): (Terms<'_>, Option<&str>),
        asked_at: Timestamp,
        now: Timestamp,
    ) -> Result<Accepted, TokenFault> {
        let expect = IdTokenExpectation {
            nonce: terms.nonce.map(str::to_owned),
            subject: pinned.map(str::to_owned),
            max_age: terms.max_age_seconds,
            acr: terms.acr_values.to_vec(),
            ..self.expected_id(oidc)
        };
        let judged = self.judge_oidc_id(&tokens.id_token, &tokens.access_token, keys, &expect, now).await?;
        let given = Given {
            access_token: &tokens.access_token,
            id: Some(&judged),
            expires_in: tokens.expires_in,
            asked_at,
        };
        let session = self.session_of(oidc, &given, &judged.id.subject, keys, now).await?;
        let user = User {
            subject: judged.id.subject.clone(),
            name: judged.id.name.clone().filter(|name| !name.is_empty()),
            email: judged.id.email.clone(),
        };
        Ok(Accepted { session, id: judged.id, user })
    }

    /// Verifies what a refresh returned: the session token of Descope; of any other provider the new ID token, if there
    /// is one, against the login that it continues (OpenID Connect Core section 12.2), and the facts anew.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub async fn renew(
        &self,
        refreshed: &Refreshed,
        keys: &Keys,
        known: KnownLogin<'_>,
        now: Timestamp,
    ) -> Result<VerifiedSession, TokenFault> {
        let Some(oidc) = self.config.oidc() else {
            return self.verify_session(&refreshed.access_token, keys, Some(known.subject), now).await;
        };
        let judged = match &refreshed.id_token {
            None => None,
            Some(token) => {
                let expect = IdTokenExpectation {
                    subject: Some(known.subject.to_owned()),
                    original: known.original.cloned(),
                    ..self.expected_id(oidc)
                };
                Some(self.judge_oidc_id(token, &refreshed.access_token, keys, &expect, now).await?)
            }
        };
        let given = Given {
            access_token: &refreshed.access_token,
            id: judged.as_ref(),
            expires_in: refreshed.expires_in,
            asked_at: known.asked_at,
        };
        self.session_of(oidc, &given, known.subject, keys, now).await
    }

    fn expected_id(&self, oidc: &Oidc) -> IdTokenExpectation {
        IdTokenExpectation {
            extra_audiences: self.config.trusted_audiences().to_vec(),
            issued_within: Some(ISSUED_WITHIN),
            dialect: Dialect::Oidc,
            leeway: LEEWAY,
            ..IdTokenExpectation::new(oidc.issuer(), self.config.client_id())
        }
    }

    async fn judge_oidc_id(
        &self,
        token: &SecretString,
        access_token: &SecretString,
        keys: &Keys,
        expect: &IdTokenExpectation,
        now: Timestamp,
    ) -> Result<JudgedId, TokenFault> {
        let Verified { header, key_id, claims } = verify(TokenKind::Id, token, keys, &[], now).await?;
        let id = agentauth_core::claims::judge_id_token(&claims, expect, now)
            .map_err(|source| TokenFault::Claims { kind: TokenKind::Id, source })?;
        judge_hash(&header.alg, &id, access_token)?;
        Ok(JudgedId { id, claims, key_id })
    }

    /// The session behind an access token: what it says itself if it is for us to read, else what ID token and userinfo
    /// say, for as long as the provider says that it lives.
    async fn session_of(
        &self,
        oidc: &Oidc,
        given: &Given<'_>,
        subject: &str,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<VerifiedSession, TokenFault> {
        let expect = AccessTokenExpectation {
            issuer: oidc.issuer.clone(),
            client_id: self.config.client_id().to_owned(),
            audiences: self.config.audiences(),
            plain_type: oidc.access_token_type == AccessTokenType::Plain,
            subject: Some(subject.to_owned()),
            leeway: LEEWAY,
        };
        let token = given.access_token.expose_secret();
        let session = match oidc.access_token {
            AccessTokenForm::Jwt if split_jws(token).is_err() => return Err(TokenFault::Opaque),
            AccessTokenForm::Auto if !expect.concerns(token) => None,
            AccessTokenForm::Opaque => None,
            AccessTokenForm::Auto | AccessTokenForm::Jwt => {
                let verified = read_signature(TokenKind::Access, given.access_token, keys, now).await?;
                let claims =
                    judge_access_token(&verified.header, &verified.claims, &expect, &oidc.places, now)
                        .map_err(|source| TokenFault::Claims { kind: TokenKind::Access, source })?;
                Some(VerifiedSession { claims, key_id: verified.key_id, carrier: Carrier::AccessToken })
            }
        };
        let session = match session {
            Some(session) => session,
            None => self.session_of_answers(oidc, given, subject).await?,
        };
        for warning in &session.claims.warnings {
            tracing::debug!(%warning, "a fact about the user is not as it should be");
        }
        Ok(session)
    }

    async fn session_of_answers(
        &self,
        oidc: &Oidc,
        given: &Given<'_>,
        subject: &str,
    ) -> Result<VerifiedSession, TokenFault> {
        let lacking = given.id.is_none_or(|judged| oidc.places.lack_in(&judged.claims));
        let info = if lacking { self.facts(given.access_token, subject).await? } else { None };
        given.session(oidc, subject, info.as_ref())
    }

    /// What the userinfo endpoint says; nothing where the provider has none.
    async fn facts(&self, access_token: &SecretString, subject: &str) -> Result<Option<Claims>, TokenFault> {
        let fault = |transient, what: String| TokenFault::Userinfo { transient, what };
        let metadata =
            self.metadata().await.map_err(|error| fault(error.is_transient(), describe(&error)))?;
        let Some(endpoint) = &metadata.userinfo_endpoint else { return Ok(None) };
        let claims = self.ask_userinfo(endpoint, access_token).await.map_err(|error| match error {
            UserinfoFault::Http(error) => fault(true, error.to_string()),
            UserinfoFault::Refused(problem) => {
                fault(problem.status >= 500 || problem.status == 429, problem.to_string())
            }
            UserinfoFault::Unreadable => fault(
                false,
                TokenRefusal::BadShape { claim: "userinfo", why: "not a JSON object" }.to_string(),
            ),
        })?;
        judge_userinfo(&claims, subject)
            .map_err(|source| TokenFault::Claims { kind: TokenKind::Userinfo, source })?;
        Ok(Some(claims))
    }
}

impl Given<'_> {
    /// The session behind a token that is not for us to read, from the ID token and what userinfo answered (pure).
    pub(crate) fn session(
        &self,
        oidc: &Oidc,
        subject: &str,
        info: Option<&Claims>,
    ) -> Result<VerifiedSession, TokenFault> {
        if self.id.is_none() && info.is_none() {
            return Err(TokenFault::NoFacts);
        }
        let life = match self.expires_in {
            None => DEFAULT_LIFE,
            Some(0) => return Err(TokenFault::NoLife),
            Some(seconds) => {
                SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)).min(LONGEST_LIFE)
            }
        };
        let frame = SessionFrame {
            subject: subject.to_owned(),
            issuer: oidc.issuer.clone(),
            issued_at: self.id.map(|judged| judged.id.issued_at),
            expires_at: self.asked_at.checked_add(life).unwrap_or(self.asked_at),
            factors: self.id.map(|judged| judged.id.factors.clone()).unwrap_or_default(),
            acr: self.id.and_then(|judged| judged.id.assurance.clone()),
        };
        let sources: Vec<&Claims> = self.id.map(|judged| &judged.claims).into_iter().chain(info).collect();
        Ok(VerifiedSession {
            claims: oidc.places.session(frame, &sources),
            key_id: self.id.map(|judged| judged.key_id.clone()).unwrap_or_default(),
            carrier: if self.id.is_some() { Carrier::IdToken } else { Carrier::Userinfo },
        })
    }
}
