//! Logging out at the provider: best effort, since the local end of a session never waits for the network.
//!
//! Descope ends a session by its own endpoint. Any other provider revokes the refresh token (RFC 7009); that the browser
//! is still signed in there is another matter, which only the browser can be sure to end (RP-Initiated Logout 1.0).

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use url::form_urlencoded::Serializer;

use crate::discovery::DiscoveryError;
use crate::problem::{Problem, Shape};
use crate::provider::Provider;
use crate::transport::{Answer, HttpError};

/// Descope's code for a token whose session was logged out already (sheet 4.5).
const LOGGED_OUT: &str = "E064001";

/// Why the provider did not confirm a logout. The local session is wiped all the same, and the person is told.
#[derive(Debug, thiserror::Error)]
pub enum LogoutFailure {
    /// No answer.
    #[error("the provider was not told of the logout; its session ends by itself or in its console")]
    Http(#[from] HttpError),
    /// The provider refused.
    #[error("the provider did not accept the logout ({0}); its session ends by itself or in its console")]
    Refused(Box<Problem>),
    /// It is not known where to revoke.
    #[error("the provider could not be asked where to revoke the login; it ends by itself or in its console")]
    Discovery(#[from] DiscoveryError),
    /// The provider has no revocation.
    #[error("the provider offers no revocation; the login ends by itself or in its console")]
    NotOffered,
    /// The provider has no way to end other logins.
    #[error("the provider has no way to end this user's logins on other machines; end them in its console")]
    NotEverywhere,
    /// The refresh token cannot be sent.
    #[error("the stored refresh token is damaged, so the provider was not told of the logout")]
    Damaged,
}

impl LogoutFailure {
    /// Whether telling the provider again would change nothing: it knows no such session any more.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Http(_) | Self::Discovery(_) => false,
            Self::Refused(problem) => {
                matches!(problem.status, 400 | 401 | 403) && problem.shape != Shape::Unrecognised
            }
            Self::Damaged | Self::NotOffered | Self::NotEverywhere => true,
        }
    }
}

/// What became of the sign-in that the browser may still have at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignOut {
    /// The provider knows no such thing as signing out there.
    NotOffered,
    /// The provider ended it.
    Done,
    /// Only the browser can: this is the address to open. Nothing in it is secret.
    Browser(Url),
}

impl Provider {
    /// Ends the session of `refresh_token` at the provider, or with `everywhere` all sessions of its user. Session
    /// tokens already out live on until they expire (sheet 8.2).
    ///
    /// # Errors
    /// See [`LogoutFailure`]. That the session was over already is no error, unless it was to end `everywhere`.
    pub async fn logout(&self, refresh_token: &SecretString, everywhere: bool) -> Result<(), LogoutFailure> {
        if self.config.oidc().is_some() {
            self.revoke(refresh_token).await?;
            return if everywhere { Err(LogoutFailure::NotEverywhere) } else { Ok(()) };
        }
        let operation = if everywhere { "logoutall" } else { "logout" };
        let request =
            self.session_request(Method::POST, operation, refresh_token).ok_or(LogoutFailure::Damaged)?;
        let answer = self.http.send(request, Some(self.config.timeouts().logout)).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        let problem = Problem::of(&answer);
        if !everywhere && problem.code.as_deref() == Some(LOGGED_OUT) {
            return Ok(());
        }
        Err(LogoutFailure::Refused(Box::new(problem)))
    }

    /// Revokes the refresh token (RFC 7009 section 2.1), and with it all that was issued for it.
    async fn revoke(&self, refresh_token: &SecretString) -> Result<(), LogoutFailure> {
        let metadata = self.metadata().await?;
        let endpoint = metadata.revocation_endpoint.as_ref().ok_or(LogoutFailure::NotOffered)?;
        let form = [
            ("token", refresh_token.expose_secret()),
            ("token_type_hint", "refresh_token"),
            ("client_id", self.config.client_id()),
        ];
        let answer = self.post_form(endpoint, &form).await?;
        // A token that was invalid already is no error (section 2.2).
        if answer.status == StatusCode::OK {
            return Ok(());
        }
        Err(LogoutFailure::Refused(Box::new(Problem::of(&answer))))
    }

    /// Asks the provider to end the browser's sign-in there, with the ID token as a hint if there is one. Without the
    /// browser's cookie many a provider cannot, or wants to ask the person first; and what its page says is no answer for
    /// a program, so only an empty one counts. Asks for no redirect: `http` addresses are for confidential clients only.
    pub async fn sign_out(&self, id_token: Option<&SecretString>) -> SignOut {
        if self.config.oidc().is_none() {
            return SignOut::NotOffered;
        }
        let Ok(metadata) = self.metadata().await else { return SignOut::NotOffered };
        let Some(endpoint) = &metadata.end_session_endpoint else { return SignOut::NotOffered };
        if let Some(hint) = id_token {
            let form = [("id_token_hint", hint.expose_secret()), ("client_id", self.config.client_id())];
            let answer = self.post_form(endpoint, &form).await;
            if answer.is_ok_and(|answer| answer.status == StatusCode::NO_CONTENT) {
                return SignOut::Done;
            }
        }
        let mut address = endpoint.clone();
        address.query_pairs_mut().append_pair("client_id", self.config.client_id());
        SignOut::Browser(address)
    }

    async fn post_form(&self, to: &Url, form: &[(&str, &str)]) -> Result<Answer, HttpError> {
        let body = Serializer::new(String::new()).extend_pairs(form).finish().into_bytes();
        let request = Request::post(to.as_str())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(body)
            .map_err(|_| HttpError::Request { host: self.http.host().to_owned() })?;
        self.http.send(request, Some(self.config.timeouts().logout)).await
    }
}
