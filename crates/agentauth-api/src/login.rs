//! Starting and following a login, and logging out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `POST /v1/login`. Every member is optional and overrides the configuration for this login only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The provider's flow to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The tenant to sign in to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whom the sign-in page should expect, usually an e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
}

/// A login has begun: the listener is bound, the person may open the URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStarted {
    /// Follow it at `GET /v1/login/{id}`.
    pub id: String,
    /// What to open in the browser.
    pub url: String,
    /// Where the provider will send the browser back to; must be registered with the provider.
    pub redirect_uri: String,
    /// The login is abandoned then.
    pub expires_at: Timestamp,
}

/// Who signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The provider's subject identifier.
    pub subject: String,
    /// Display name, if the provider gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// E-mail address, if the provider gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// `GET /v1/login/{id}?wait_ms=N`: where a login stands; waits at most N milliseconds (30,000) for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LoginProgress {
    /// The person has not come back from the browser yet.
    Waiting,
    /// Logged in.
    Done {
        /// Who.
        user: Account,
    },
    /// Nothing was stored.
    Failed {
        /// A stable code.
        code: String,
        /// What was tried, why it failed, what to do.
        message: String,
    },
}

/// `DELETE /v1/session`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogoutRequest {
    /// End every session of this user at the provider, on all machines.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everywhere: bool,
}

/// What a logout did and could not do. Memory and keychain are wiped first; `failures` names what remains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutResponse {
    /// Whether there was a session.
    pub was_logged_in: bool,
    /// Whether the provider confirmed the end of the session.
    pub revoked_at_provider: bool,
    /// Whether the stored refresh token is gone.
    pub secret_removed: bool,
    /// What could not be done, and what to do about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}
