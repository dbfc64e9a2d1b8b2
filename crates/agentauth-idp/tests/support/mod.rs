//! What the integration tests share: a forge for tokens, and a provider that answers what it is told to.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod browser;
pub(crate) mod forge;
pub(crate) mod stub;
pub(crate) mod tls;

use std::time::Duration;

use agentauth_core::Timestamp;
use agentauth_idp::{ProviderConfig, ProviderSettings, RedirectConfig, Timeouts};

/// The project of these tests.
pub(crate) const PROJECT: &str = "P234567890123456789012345678";

/// The instant at which these tests happen: 2023-11-14T22:13:20Z.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

/// Settings for a provider at `base`, with any free redirect port and short waits.
pub(crate) fn settings(base: &str) -> ProviderSettings {
    ProviderSettings {
        project_id: PROJECT.to_owned(),
        base_url: Some(base.to_owned()),
        redirect: Some(RedirectConfig { ports: vec![], ephemeral: true, path: "/callback".to_owned() }),
        timeouts: Some(Timeouts { login: Duration::from_secs(60), ..Timeouts::default() }),
        ..ProviderSettings::default()
    }
}

/// A provider at `base`.
pub(crate) fn provider(base: &str) -> agentauth_idp::Provider {
    agentauth_idp::Provider::new(ProviderConfig::new(settings(base)).unwrap()).unwrap()
}

/// Waits until `condition` holds; the limit is generous, since a slow machine is no fault.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..6000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain: {what}");
}
