//! The network side of agentauthd: discovery, login, token endpoint, refresh and keys.
//!
//! Architecture invariant: this crate talks to one provider at a time, on its own origins, follows no redirect and reads
//! no clock. What it receives is judged by the pure rules of `agentauth-core`; what it returns never shows a token
//! in `Debug`, `Display` or an error.
//!
//! The way of a login: [`Login::start`] binds the listener and releases an [`AuthorizationUrl`];
//! [`LoginAttempt::wait`] returns a [`Callback`]; [`Provider::exchange`] redeems its grant; the tokens are verified
//! against [`Keys`]; [`Callback::finish`] tells the person in the browser. On another device: [`DeviceLogin::start`] releases
//! a [`DevicePrompt`], [`DeviceAttempt::wait`] returns tokens, [`Provider::believe`] verifies them.
#![forbid(unsafe_code)]

mod callback;
mod config;
mod confirm;
mod device;
mod discovery;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod jwks;
mod keys;
mod listener;
mod login;
mod logout;
mod oauth;
mod oidc;
mod page;
mod probe;
mod problem;
mod provider;
mod reach;
mod refresh;
mod session_api;
mod text;
mod token_fault;
mod tokens;
mod transport;
mod userinfo;

pub use callback::CallbackRefusal;
pub use config::{
    AccessTokenForm, AccessTokenType, ConfigFault, ConfigFaults, DEFAULT_PORTS, DEFAULT_SCOPES, Loopback,
    NetworkSettings, Oidc, OidcSettings, Preset, ProviderConfig, ProviderSettings, Proxy, Realm,
    RedirectConfig, RefreshVia, Timeouts,
};
pub use confirm::Confirmation;
pub use device::{DeviceAttempt, DeviceError, DeviceLogin, DevicePrompt};
pub use discovery::{DiscoveryError, Metadata};
pub use jwks::{KeySetFault, SignatureFault, Verified};
pub use keys::{
    DEFAULT_LIFE, FETCH_INTERVAL, KeyError, KeyFetchError, KeyRefresh, Keys, LONGEST_LIFE, REVOCATION_BOUND,
    SHORTEST_LIFE, STALE_LIMIT, UNKNOWN_LIFE,
};
pub use login::{
    AuthorizationUrl, Callback, CodeGrant, Login, LoginAttempt, LoginError, LoginOptions, Responder,
};
pub use logout::{LogoutFailure, SignOut};
pub use oidc::KnownLogin;
pub use page::Outcome;
pub use probe::{AuthorizationAnswer, AuthorizationProbe, Description, Sketch};
pub use problem::{Problem, Shape};
pub use provider::Provider;
pub use refresh::Refreshed;
pub use token_fault::{TokenFault, TokenKind};
pub use tokens::{Accepted, Carrier, CompleteError, ExchangeError, LoggedIn, TokenSet, VerifiedSession};
pub use transport::{
    Chain, Http, HttpError, MAX_ANSWER_BYTES, Obstacle, Outlet, Reply, connect_tls, describe,
};
