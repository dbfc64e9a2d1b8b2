//! One provider: its configuration, the client that talks to it, and what it said of itself.

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::config::ProviderConfig;
use crate::discovery::{self, DiscoveryError, Metadata};
use crate::transport::{Http, HttpError};

/// One identity provider. Cheap to clone; clones share the discovery cache. The operations are beside their
/// subjects: `login.rs`, `tokens.rs`, `refresh.rs`, `logout.rs`, `userinfo.rs`.
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
        let metadata = Arc::new(discovery::fetch(&self.http, &self.config).await?);
        *slot = Some(metadata.clone());
        Ok(metadata)
    }

    /// Fetches anew what the provider says of itself; every login begins with it.
    ///
    /// # Errors
    /// See [`DiscoveryError`]; what was remembered stays.
    pub async fn fetch_metadata(&self) -> Result<Arc<Metadata>, DiscoveryError> {
        let metadata = Arc::new(discovery::fetch(&self.http, &self.config).await?);
        *self.metadata.lock().await = Some(metadata.clone());
        Ok(metadata)
    }
}
