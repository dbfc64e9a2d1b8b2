//! Where things are unless configured otherwise: the XDG base directories, and the socket.

use std::path::PathBuf;

use agentauth_core::SignedDuration;
use agentauth_idp::{DEFAULT_PORTS, DEFAULT_SCOPES, RedirectConfig};
use agentauth_ipc::location::{self, Location, LocationError};

use super::{
    Checks, Config, DEFAULT_PROFILE, Log, LogFormat, Login, Paths, Provider, RefreshRoute, Secrets, StoreKind,
};
use crate::environment::Environment;

/// The user's configuration file unless `--config` or `AGENTAUTHD_CONFIG` names another; nothing without a home.
#[must_use]
pub fn user_file(environment: &Environment) -> Option<PathBuf> {
    config_dir(environment).map(|directory| directory.join("config.toml"))
}

fn config_dir(environment: &Environment) -> Option<PathBuf> {
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
    let config_dir = config_dir(environment)?;
    let mut state_dir = state_dir(environment)?;
    if profile != DEFAULT_PROFILE {
        state_dir = state_dir.join("profiles").join(profile);
    }
    Some(Config {
        profile: profile.to_owned(),
        provider: Provider {
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
            ports: DEFAULT_PORTS.to_vec(),
            ephemeral_port: false,
            redirect_path: RedirectConfig::default().path,
            time_limit: SignedDuration::from_mins(5),
            open_browser: true,
            allow_device: true,
        },
        secrets: Secrets { store: StoreKind::Keychain, passphrase_file: None },
        checks: Checks {
            max_confirmation_age: SignedDuration::from_mins(15),
            requests_per_second: 1_000,
            burst: 2_000,
            max_connections: 256,
            max_connections_per_process: 32,
        },
        log: Log { filter: "info".to_owned(), format: LogFormat::Text },
        paths: Paths {
            agents_dir: config_dir.join("agents"),
            policies_dir: config_dir.join("policies"),
            config_dir,
            state_dir,
            socket: socket(environment, profile)?,
        },
    })
}

fn socket(environment: &Environment, profile: &str) -> Option<PathBuf> {
    let place = Location {
        uid: environment.uid(),
        socket: None,
        runtime_dir: environment.absolute_path("XDG_RUNTIME_DIR"),
        temporary_dir: environment.absolute_path("TMPDIR"),
        home: environment.home(),
    };
    let path = match location::socket_path(&place) {
        // Too long is judged when all layers are known: one of them may name a shorter path.
        Ok(path) | Err(LocationError::TooLong { path, .. }) => path,
        Err(_) => return None,
    };
    Some(if profile == DEFAULT_PROFILE { path } else { path.with_file_name(format!("agent-{profile}.sock")) })
}
