//! Where things are unless configured otherwise: the XDG base directories, and the socket.

use std::path::PathBuf;

use agentauth_core::SignedDuration;
use agentauth_core::consent::Choice;
use agentauth_core::presence::RECERTIFY_AFTER;
use agentauth_core::signals::Limits;
use agentauth_idp::{
    AccessTokenForm, DEFAULT_PORTS, DEFAULT_SCOPES, Loopback, NetworkSettings, Preset, RedirectConfig,
};
use agentauth_ipc::location::{self, Location, LocationError};

use super::{
    Audit, Checks, Config, Consent, DEFAULT_PROFILE, Grants, HideSockets, Launch, Log, LogFormat, Login,
    Metrics, Passkeys, Paths, Provider, ProviderKind, RefreshRoute, Secrets, Session, Sinks, StoreKind,
    Traces,
};
use crate::environment::Environment;

/// Where, below a base directory, each named profile has its own.
pub(super) const PROFILES: &str = "profiles";

/// The user's configuration file of a profile unless `--config` or `AGENTAUTHD_CONFIG` names another; nothing without
/// a home.
#[must_use]
pub fn user_file(environment: &Environment, profile: &str) -> Option<PathBuf> {
    config_dir(environment).map(|directory| match profile {
        DEFAULT_PROFILE => directory.join("config.toml"),
        named => directory.join(PROFILES).join(format!("{named}.toml")),
    })
}

/// What no agent has to see: agentauthd's own files, the keychain's, and the sockets of the login session.
#[must_use]
pub fn private_places(environment: &Environment, loaded: &super::Loaded) -> Vec<PathBuf> {
    let Config { paths, secrets, .. } = &loaded.config;
    let mut places = vec![
        loaded.user_file.clone(),
        paths.config_dir.clone(),
        paths.policies_dir.clone(),
        paths.state_dir.clone(),
    ];
    places.extend(secrets.passphrase_file.clone());
    places.extend(config_dir(environment));
    places.extend(state_dir(environment));
    let data = environment.absolute_path("XDG_DATA_HOME");
    let data = data.or_else(|| environment.home().map(|home| home.join(".local/share")));
    places.extend(data.into_iter().flat_map(|data| ["keyrings", "kwalletd"].map(|name| data.join(name))));
    // The session bus, the agents of SSH and GnuPG, the compositor: whatever the login session put there.
    let runtime = environment.absolute_path("XDG_RUNTIME_DIR");
    places.extend(runtime);
    places.push(PathBuf::from(format!("/run/user/{}", environment.uid())));
    places
}

pub(super) fn config_dir(environment: &Environment) -> Option<PathBuf> {
    environment
        .absolute_path("XDG_CONFIG_HOME")
        .or_else(|| environment.home().map(|home| home.join(".config")))
        .map(|base| base.join("agentauthd"))
}

fn state_dir(environment: &Environment) -> Option<PathBuf> {
    environment
        .absolute_path("XDG_STATE_HOME")
        .or_else(|| environment.home().map(|home| home.join(".local/state")))
        .map(|base| base.join("agentauthd"))
}

/// The configuration of somebody who configured nothing; nothing without a home directory.
pub(super) fn defaults(environment: &Environment, profile: &str) -> Option<Config> {
    let mut config_dir = config_dir(environment)?;
    let mut state_dir = state_dir(environment)?;
    let mut redirect_path = RedirectConfig::default().path;
    if profile != DEFAULT_PROFILE {
        config_dir = config_dir.join(PROFILES).join(profile);
        state_dir = state_dir.join(PROFILES).join(profile);
        // One redirect URL for each provider, so that an answer of one cannot be taken for another's (RFC 8252,
        // section 8.10).
        redirect_path = format!("{redirect_path}/{profile}");
    }
    Some(Config {
        profile: profile.to_owned(),
        provider: Provider {
            kind: ProviderKind::Descope,
            issuer: None,
            preset: Preset::Generic,
            roles_claim: None,
            permissions_claim: None,
            tenant_claim: None,
            audience: None,
            resource: None,
            access_token: AccessTokenForm::Auto,
            access_token_type: None,
            project_id: None,
            base_url: None,
            client_id: None,
            flow: None,
            tenant: None,
            login_hint: None,
            scopes: DEFAULT_SCOPES.map(str::to_owned).to_vec(),
            extra_issuers: Vec::new(),
            audiences: Vec::new(),
            refresh: RefreshRoute::Oauth,
        },
        login: Login {
            loopback: Loopback::Auto,
            ports: DEFAULT_PORTS.to_vec(),
            ephemeral_port: false,
            redirect_path,
            time_limit: SignedDuration::from_mins(5),
            open_browser: true,
            allow_device: true,
        },
        session: Session::default(),
        network: NetworkSettings::default(),
        secrets: Secrets { store: StoreKind::Keychain, passphrase_file: None },
        checks: Checks {
            max_confirmation_age: SignedDuration::from_mins(15),
            requests_per_second: 1_000,
            burst: 2_000,
            max_connections: 256,
            max_connections_per_process: 32,
        },
        consent: Consent {
            longest: Choice::Always,
            expires_after: SignedDuration::from_mins(10),
            cool_down: SignedDuration::from_mins(5),
            open_browser: true,
            notify: true,
        },
        grants: Grants { recertify_after: RECERTIFY_AFTER },
        passkeys: Passkeys::default(),
        launch: Launch {
            grace: SignedDuration::from_secs(10),
            environment: Vec::new(),
            hide: Vec::new(),
            hide_sockets: HideSockets::WherePossible,
            sockets: Vec::new(),
        },
        sinks: Sinks::default(),
        audit: Audit {
            rotate_size: 64 << 20,
            rotate_after: SignedDuration::from_hours(7 * 24),
            compress: true,
            keep_for: SignedDuration::from_hours(365 * 24),
            keep_size: 1 << 30,
            fold_after: 10,
            fold_window: SignedDuration::from_secs(10),
            checkpoint_records: 1000,
            checkpoint_interval: SignedDuration::from_mins(1),
        },
        signals: Limits::default(),
        log: Log { filter: "info".to_owned(), format: LogFormat::Text },
        metrics: Metrics::default(),
        traces: Traces::default(),
        paths: Paths {
            policies_dir: config_dir.join("policies"),
            config_dir,
            state_dir,
            socket: socket(environment, profile)?,
        },
    })
}

/// The socket of a profile unless configured otherwise; nothing without a place for one.
pub(super) fn socket(environment: &Environment, profile: &str) -> Option<PathBuf> {
    let place = Location {
        uid: environment.uid(),
        profile: Some(profile.to_owned()),
        socket: None,
        runtime_dir: environment.absolute_path("XDG_RUNTIME_DIR"),
        temporary_dir: environment.absolute_path("TMPDIR"),
        home: environment.home(),
    };
    match location::socket_path(&place) {
        // Too long is judged when all layers are known: one of them may name a shorter path.
        Ok(path) | Err(LocationError::TooLong { path, .. }) => Some(path),
        Err(_) => None,
    }
}
