//! One provider: its configuration, the client that talks to it, and what it said of itself.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::config::ProviderConfig;
use crate::discovery::{self, DiscoveryError, Metadata};
use crate::transport::{Http, HttpError};

/// One identity provider. Cheap to clone; clones share the discovery cache. The operations are beside their
/// subjects: `login.rs`, `tokens.rs`, `oidc.rs`, `refresh.rs`, `logout.rs`, `userinfo.rs`.
#[derive(Clone, Debug)]
pub struct Provider {
    pub(crate) config: Arc<ProviderConfig>,
    pub(crate) http: Http,
    metadata: Arc<Mutex<Option<Arc<Metadata>>>>,
}

impl Provider {
    /// A provider that has not been talked to yet.
    ///
    /// # Errors
    /// [`HttpError::Setup`], when TLS cannot be set up.
    pub fn new(config: ProviderConfig) -> Result<Self, HttpError> {
        let http = Http::new(&config)?;
        Ok(Self { config: Arc::new(config), http, metadata: Arc::default() })
    }

    /// The configuration.
    pub fn config(&self) -> &ProviderConfig {
        &self.config
    }

    /// The client, for [`Keys`](crate::Keys).
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// What the provider says of itself, fetched once and then remembered.
    ///
    /// # Errors
    /// See [`DiscoveryError`]; a failure is not remembered.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, DiscoveryError> {
        let mut slot = self.metadata.lock().await;
        if let Some(metadata) = slot.as_ref() {
            return Ok(metadata.clone());
        }
        let metadata = self.judged(discovery::fetch(&self.http, &self.config).await?, None)?;
        *slot = Some(metadata.clone());
        Ok(metadata)
    }

    /// Fetches anew what the provider says of itself; every login begins with it.
    ///
    /// # Errors
    /// See [`DiscoveryError`]; what was remembered stays. Any provider but Descope is held to the addresses that it named
    /// first, for as long as this process lives.
    pub async fn fetch_metadata(&self) -> Result<Arc<Metadata>, DiscoveryError> {
        let fetched = discovery::fetch(&self.http, &self.config).await?;
        let mut slot = self.metadata.lock().await;
        let metadata = self.judged(fetched, slot.as_deref())?;
        *slot = Some(metadata.clone());
        Ok(metadata)
    }

    fn judged(&self, metadata: Metadata, before: Option<&Metadata>) -> Result<Arc<Metadata>, DiscoveryError> {
        if let Some(before) = before.filter(|_| self.config.oidc().is_some()) {
            metadata.must_continue(before)?;
        }
        self.http.reach.admit(&metadata);
        Ok(Arc::new(metadata))
    }
}
