//! Logging out at the provider: best effort, since the local end of a session never waits for the network.

use http::Method;
use secrecy::SecretString;

use crate::problem::{Problem, Shape};
use crate::provider::Provider;
use crate::transport::HttpError;

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
    /// The refresh token cannot be sent.
    #[error("the stored refresh token is damaged, so the provider was not told of the logout")]
    Damaged,
}

impl LogoutFailure {
    /// Whether telling the provider again would change nothing: it knows no such session any more.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Http(_) => false,
            Self::Refused(problem) => {
                matches!(problem.status, 400 | 401 | 403) && problem.shape != Shape::Unrecognised
            }
            Self::Damaged => true,
        }
    }
}

impl Provider {
    /// Ends the session of `refresh_token` at the provider, or with `everywhere` all sessions of its user. Session
    /// tokens already out live on until they expire (sheet 8.2).
    ///
    /// # Errors
    /// See [`LogoutFailure`]. That the session was over already is no error, unless it was to end `everywhere`.
    pub async fn logout(&self, refresh_token: &SecretString, everywhere: bool) -> Result<(), LogoutFailure> {
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
}
