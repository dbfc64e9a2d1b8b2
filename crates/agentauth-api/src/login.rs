//! Starting and following a login, and logging out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `POST /v1/login`. Every member is optional and overrides the configuration for this login only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// In the browser of this machine unless said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<LoginMethod>,
    /// The provider's flow to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The tenant to sign in to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Whom the sign-in page should expect, usually an e-mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_hint: Option<String>,
    /// Hand the installation over to another account, which the account that it belongs to has to confirm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub switch: bool,
}

/// Where the person signs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginMethod {
    /// In the browser of this machine, which comes back to a listener on loopback (RFC 8252).
    Browser,
    /// In a browser anywhere, with a code (RFC 8628). Takes no `flow`, `tenant` or `login_hint`.
    Device,
}

/// A login has begun, and waits for the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginStarted {
    /// Follow it at `GET /v1/login/{id}`.
    pub id: String,
    /// The login is abandoned then.
    pub expires_at: Timestamp,
    /// What the person has to do.
    #[serde(flatten)]
    pub way: LoginWay,
}

/// What the person has to do; `method` says which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum LoginWay {
    /// Open an address; the listener is bound.
    Browser {
        /// What to open in the browser.
        url: String,
        /// Where the provider will send the browser back to; must be registered with the provider.
        redirect_uri: String,
        /// Whether this login could be made with [`LoginMethod::Device`] as well.
        #[serde(default)]
        device_offered: bool,
        /// A page of the daemon's own that shows what is to be confirmed, and takes a passkey or leads to `url`. Only
        /// where a registered passkey may confirm it. Good for one visit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page: Option<String>,
    },
    /// Open an address on any device, and enter the code there.
    Device {
        /// What to open.
        verification_uri: String,
        /// The same with the code in it, for a QR code; the person still has to compare the code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verification_uri_complete: Option<String>,
        /// What to enter.
        user_code: String,
    },
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

/// An account at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The provider's issuer.
    pub issuer: String,
    /// The account there.
    #[serde(flatten)]
    pub account: Account,
}

/// `GET /v1/login/{id}?wait_ms=N&seen=STATE`: where a login stands; waits at most N milliseconds (30,000) until it is in
/// another state than `seen` (`waiting` if not given).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LoginProgress {
    /// The person has not signed in yet.
    Waiting,
    /// Somebody else than the owner of this installation has signed in; nothing has changed yet. The owner confirms the
    /// handover by signing in at `url`.
    Confirm {
        /// Whom the installation belongs to.
        from: Party,
        /// Who signed in, and is to own it.
        to: Party,
        /// Where the owner signs in to confirm it.
        url: String,
        /// Where the provider will send the browser back to.
        redirect_uri: String,
        /// The handover is abandoned then.
        expires_at: Timestamp,
    },
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
    /// Where the person ends the sign-in that the browser may still have at the provider; absent where the provider ended
    /// it, or has no such thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_out_url: Option<String>,
}

/// `POST /v1/lock`: what it did. Everything is denied from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockResponse {
    /// Whether it was paused already.
    pub was_locked: bool,
    /// What could not be done, and what to do about it; the pause holds all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

/// `DELETE /v1/lock`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnlockRequest {
    /// Confirm it by a fresh login, where no terminal shows that a person asks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reauth: bool,
}

/// What an unlock did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlockResponse {
    /// Whether everything was paused.
    pub was_locked: bool,
    /// The login that has to confirm it; until then everything stays paused. Absent where nothing is paused any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginStarted>,
}
