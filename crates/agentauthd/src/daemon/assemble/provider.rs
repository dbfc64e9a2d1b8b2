//! The side of the daemon that talks to the provider: its configuration, the keeper, logins, and where secrets are kept.

use std::sync::Arc;

use agentauth_core::Clock as _;
use agentauth_core::session::SessionLimits;
use agentauth_host::clock::{SteadyClock, SystemClock};
use agentauth_idp::{ConfigFaults, OidcSettings, Provider, ProviderConfig, ProviderSettings, RefreshVia};
use agentauth_store::{LateAgeFile, Memory, ProfileName, SecretStore, StateDb};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::{RunError, jitter};
use crate::config::{Config, DEFAULT_PROFILE, ProviderKind, RefreshRoute, StoreKind};
use crate::daemon::app::ProviderSide;
use crate::daemon::keeper::{self, Keeper};
use crate::daemon::logins::{self, Logins};
use crate::daemon::metrics::Metrics;
use crate::daemon::passkeys::Passkeys;
use crate::daemon::recorder::Recorder;
use crate::daemon::rights::Rights;
use crate::daemon::state::State;

/// What both sides of the daemon work with.
pub(super) struct Common {
    pub(super) profile: ProfileName,
    pub(super) device: String,
    pub(super) audit: Recorder,
    pub(super) state: Arc<State>,
    pub(super) clock: Arc<SteadyClock>,
    pub(super) db: Arc<StateDb>,
    pub(super) rights: Arc<Rights>,
    pub(super) passkeys: Arc<Passkeys>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) store: Arc<dyn SecretStore>,
}

/// The side, and the task that owns its tokens.
///
/// # Errors
/// When the provider cannot be used as it is configured.
pub(super) fn provider_side(
    config: &Config,
    provider: Provider,
    common: Common,
    stop: CancellationToken,
) -> Result<(ProviderSide, Keeper), RunError> {
    let Common { profile, device, audit, state, clock, db, rights, passkeys, metrics, store } = common;
    let state_directory = &config.paths.state_dir;
    let store_kind = store.describe();
    let keys = Arc::new(provider.keys(Some(state_directory.join("jwks.json")), clock.now()));
    let settings = provider.config();
    let (project_id, base_url) = (settings.project_id().map(str::to_owned), settings.base_url().to_string());
    let (kind, issuer) = (config.provider.kind.as_str(), settings.issuer());
    let redirect_uris = settings.redirect_uris();
    let (keeper, handle) = Keeper::new(
        keeper::Parts {
            profile: profile.clone(),
            state_directory: state_directory.clone(),
            tenant: config.provider.tenant.clone(),
            provider: provider.clone(),
            keys: keys.clone(),
            store,
            db: db.clone(),
            audit: audit.clone(),
            state: state.clone(),
            clock,
            limits: SessionLimits {
                max_age: config.session.max_age,
                revalidate_every: config.session.revalidate_every,
            },
            jitter,
            settle: Arc::new(move || rights.settle()),
            metrics,
        },
        stop,
    );
    let logins = Logins::new(logins::Parts {
        provider,
        keys: keys.clone(),
        keeper: handle.clone(),
        audit,
        // What the provider has just issued is held against the wall clock, wherever that was before.
        clock: Arc::new(SystemClock),
        time_limit: config.login.time_limit,
        allow_device: config.login.allow_device,
        state,
        db,
        profile,
        device,
        passkeys,
    });
    Ok((
        ProviderSide {
            keeper: handle,
            logins,
            keys,
            kind,
            issuer,
            project_id,
            base_url,
            redirect_uris,
            store_kind,
        },
        keeper,
    ))
}

/// The provider as its crate wants it; `None` where none is configured.
pub(crate) fn provider_config(config: &Config) -> Result<Option<ProviderConfig>, ConfigFaults> {
    let provider = &config.provider;
    if !provider.is_named() {
        return Ok(None);
    }
    let oidc = (provider.kind == ProviderKind::Oidc).then(|| OidcSettings {
        issuer: provider.issuer.clone().unwrap_or_default(),
        preset: provider.preset,
        roles_claim: provider.roles_claim.clone(),
        permissions_claim: provider.permissions_claim.clone(),
        tenant_claim: provider.tenant_claim.clone(),
        audience: provider.audience.clone(),
        resource: provider.resource.clone(),
        access_token: provider.access_token,
        access_token_type: provider.access_token_type,
    });
    ProviderConfig::new(ProviderSettings {
        oidc,
        project_id: provider.project_id.clone().unwrap_or_default(),
        base_url: provider.base_url.as_ref().map(ToString::to_string),
        client_id: provider.client_id.clone(),
        scopes: Some(provider.scopes.clone()),
        flow: provider.flow.clone(),
        tenant: provider.tenant.clone(),
        login_hint: provider.login_hint.clone(),
        extra_issuers: provider.extra_issuers.clone(),
        audiences: provider.audiences.clone(),
        profile: Some(config.profile.clone()).filter(|profile| profile != DEFAULT_PROFILE),
        redirect: Some(config.login.redirect()),
        loopback: config.login.loopback,
        network: config.network.clone(),
        timeouts: None,
        refresh_via: match provider.refresh {
            RefreshRoute::Oauth => RefreshVia::TokenEndpoint,
            RefreshRoute::Descope => RefreshVia::SessionEndpoint,
        },
    })
    .map(Some)
}

/// Where secrets are kept. `given`: the passphrase that the person was asked for.
///
/// # Errors
/// When there has to be a passphrase, and there is none.
pub(super) fn secret_store(
    config: &Config,
    given: Option<SecretString>,
) -> Result<Arc<dyn SecretStore>, RunError> {
    Ok(match config.secrets.store {
        StoreKind::Memory => Arc::new(Memory::new()),
        StoreKind::File => {
            let passphrase = passphrase(config, given)?;
            Arc::new(LateAgeFile::new(&config.paths.state_dir.join("secrets"), passphrase))
        }
        StoreKind::Keychain => keychain(),
    })
}

#[cfg(target_os = "linux")]
fn keychain() -> Arc<dyn SecretStore> {
    Arc::new(agentauth_store::SecretService::new())
}

#[cfg(any(target_os = "macos", windows))]
fn keychain() -> Arc<dyn SecretStore> {
    Arc::new(agentauth_store::Native::new())
}

/// The one that the person was asked for, or the configured file's.
fn passphrase(config: &Config, given: Option<SecretString>) -> Result<SecretString, RunError> {
    if let Some(given) = given {
        return Ok(given);
    }
    let path = config.secrets.passphrase_file.as_ref().ok_or(RunError::NoPassphrase)?;
    let text =
        std::fs::read_to_string(path).map_err(|cause| RunError::Passphrase { path: path.clone(), cause })?;
    let text = zeroize::Zeroizing::new(text);
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}
