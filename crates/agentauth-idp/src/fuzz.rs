//! What the fuzzers feed and the corpus test replays: every reader of foreign bytes, and what must hold of its verdict
//! whatever the bytes are. Compiled only with the feature `fuzz`; nothing here is part of the product.
//!
//! Each function takes one input and panics where a property is violated. The oracles are written independently of the
//! code under test, and are slower and simpler than it.
#![allow(missing_docs, reason = "a fuzzer calls these by name; the properties are told inside")]
#![allow(clippy::expect_used, reason = "a violated property must panic")]

mod answers;
mod callback;
mod json;
mod oidc;
mod tokens;

use agentauth_core::Timestamp;
use agentauth_core::text::has_hidden;

use crate::config::{OidcSettings, Preset, ProviderConfig, ProviderSettings};

pub use answers::{discovery, token_response};
pub use callback::callback;
pub use tokens::{jwks, jwt};

/// The project that every input is judged for.
const PROJECT: &str = "P234567890123456789012345678";
/// The origin that every input is judged for.
const ORIGIN: &str = "https://api.descope.com";

/// The instant at which every input is judged: 2023-11-14T22:13:20Z.
fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("a valid instant")
}

fn config() -> ProviderConfig {
    let settings = ProviderSettings { project_id: PROJECT.to_owned(), ..ProviderSettings::default() };
    ProviderConfig::new(settings).expect("valid settings")
}

/// An issuer as other providers have them: with a port and a path.
const ISSUER: &str = "https://accounts.example:8443/realms/acme";
/// One on this machine, as in a test or behind a tunnel.
const LOCAL_ISSUER: &str = "http://127.0.0.1:9000/realms/acme";
/// Our client there.
const CLIENT: &str = "agentauthd";

/// A client of any OpenID provider.
fn oidc_config(issuer: &str, preset: Preset) -> ProviderConfig {
    let oidc = OidcSettings { issuer: issuer.to_owned(), preset, ..OidcSettings::default() };
    let settings = ProviderSettings {
        oidc: Some(oidc),
        client_id: Some(CLIENT.to_owned()),
        audiences: vec!["https://api.example".to_owned()],
        ..ProviderSettings::default()
    };
    ProviderConfig::new(settings).expect("valid settings")
}

/// Text for a person or a log: short, with nothing in it that hides or reorders, and no token.
fn assert_presentable(text: &str) {
    assert!(!has_hidden(text), "hidden characters: {text:?}");
    assert!(text.chars().count() < 4000, "an endless text: {text:?}");
    let token_like = |word: &str| word.find("eyJ").is_some_and(|at| word.len() - at > 16);
    let in_token = |c: char| c.is_ascii_alphanumeric() || "-_.=+".contains(c);
    assert!(!text.split(|c| !in_token(c)).any(token_like), "a token: {text:?}");
}
