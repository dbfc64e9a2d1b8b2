//! Asking whether a session still stands, without a new token where the provider has a way to.

use agentauth_core::session::RefreshFailure;
use secrecy::SecretString;

use crate::provider::Provider;

/// The provider's answer to whether a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// It does.
    Stands {
        /// Whose it is, by the provider's own identifier.
        subject: String,
    },
    /// This provider has no way to say so but a refresh.
    OnlyByRefresh,
}

impl Provider {
    /// Asks the provider whether the session of `refresh_token` stands. Descope says so at `GET /v1/auth/me`, which
    /// rotates nothing and fails once the session was logged out or its user disabled (sheet 4.2). A `session_token` is
    /// there for providers that are asked with one. The caller sees to it that no refresh of the same login is in flight.
    ///
    /// # Errors
    /// See [`RefreshFailure`]; as nothing is rotated, an answer that got lost is no loss: `sent` is never set.
    pub async fn confirm(
        &self,
        refresh_token: &SecretString,
        _session_token: Option<&SecretString>,
    ) -> Result<Confirmation, RefreshFailure> {
        if self.config().oidc().is_some() {
            return Ok(Confirmation::OnlyByRefresh);
        }
        let user = self.me(refresh_token).await.map_err(|failure| match failure {
            RefreshFailure::Unknown { retry_after, what, .. } => {
                RefreshFailure::Unknown { sent: false, retry_after, what }
            }
            other => other,
        })?;
        Ok(Confirmation::Stands { subject: user.subject })
    }
}
