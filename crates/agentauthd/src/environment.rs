//! The process environment: the one list of variables that agentauthd reads, and the one place that reads them.
//!
//! Everything else takes an [`Environment`] as an argument, so that tests bring their own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use agentauth_host::place::Facts;

/// A variable that agentauthd looks at.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Whether the value is read. Of a credential only the presence is noted, never the value.
    pub value_is_read: bool,
}

const fn read(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, meaning, value_is_read: true }
}

const fn noticed(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, meaning, value_is_read: false }
}

/// Every variable that agentauthd looks at. Libraries read further ones of their own: `NO_COLOR` and `CLICOLOR`
/// (colour), `NOTIFY_SOCKET` and `LISTEN_FDS` (systemd), `DBUS_SESSION_BUS_ADDRESS` (keychain), `BROWSER`,
/// `DISPLAY` and `WAYLAND_DISPLAY` (opening the browser), `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`
/// (the proxy to the provider), `SSL_CERT_FILE` and `SSL_CERT_DIR` (the authorities that vouch for it).
pub const VARIABLES: &[Variable] = &[
    // Where things are.
    read("HOME", "base of the default directories"),
    read("XDG_CONFIG_HOME", "where `agentauthd/config.toml` is looked for; ignored unless absolute"),
    read("XDG_STATE_HOME", "where the state directory is made; ignored unless absolute"),
    read("XDG_RUNTIME_DIR", "where the socket is made; ignored unless absolute"),
    read(
        "TMPDIR",
        "where `exec` makes a directory for the program's temporary files; on macOS, where the socket is made if there is no \
         XDG_RUNTIME_DIR",
    ),
    read(
        "CREDENTIALS_DIRECTORY",
        "systemd credentials; `agentauthd.passphrase` there unlocks the secrets file",
    ),
    read("AGENTAUTHD_CONFIG", "the configuration file to read, like `--config`"),
    read(
        "AGENTAUTHD_LAUNCHED",
        "set by `exec` for what it confines: the user's own files are not looked for",
    ),
    read("XDG_DATA_HOME", "where the keychain has its files, for `exec` to hide; ignored unless absolute"),
    // Where the person is, and what their terminal can show: for hints at `login` only.
    read("SSH_CONNECTION", "a login over SSH: how the browser of the other machine comes back is explained"),
    read("container", "set by container managers: the same for containers"),
    read("KUBERNETES_SERVICE_HOST", "the same"),
    read("WSL_DISTRO_NAME", "the same for the Windows Subsystem for Linux"),
    read("LC_ALL", "whether QR codes are drawn with half blocks (UTF-8) or plainly"),
    read("LC_CTYPE", "the same, where LC_ALL is not set"),
    read("LANG", "the same, where neither is set"),
    // The provider, by the names that Descope's own SDKs use.
    read("DESCOPE_PROJECT_ID", "`provider.project_id`"),
    read("DESCOPE_BASE_URI", "`provider.base_url`, as the Python SDK calls it"),
    read("DESCOPE_BASE_URL", "`provider.base_url`, as the Go SDK calls it"),
    noticed("DESCOPE_MANAGEMENT_KEY", "never needed; reported, because it should not lie in an environment"),
    noticed(
        "DESCOPE_AUTH_MANAGEMENT_KEY",
        "never needed; reported, because it should not lie in an environment",
    ),
    // One for each option of the configuration file.
    read("AGENTAUTHD_PROFILE", "`profile`"),
    read("AGENTAUTHD_PROVIDER_KIND", "`provider.kind`"),
    read("AGENTAUTHD_PROVIDER_ISSUER", "`provider.issuer`"),
    read("AGENTAUTHD_PROVIDER_PRESET", "`provider.preset`"),
    read("AGENTAUTHD_PROVIDER_ROLES_CLAIM", "`provider.roles_claim`"),
    read("AGENTAUTHD_PROVIDER_PERMISSIONS_CLAIM", "`provider.permissions_claim`"),
    read("AGENTAUTHD_PROVIDER_TENANT_CLAIM", "`provider.tenant_claim`"),
    read("AGENTAUTHD_PROVIDER_AUDIENCE", "`provider.audience`"),
    read("AGENTAUTHD_PROVIDER_RESOURCE", "`provider.resource`"),
    read("AGENTAUTHD_PROVIDER_ACCESS_TOKEN", "`provider.access_token`"),
    read("AGENTAUTHD_PROVIDER_ACCESS_TOKEN_TYPE", "`provider.access_token_type`"),
    read("AGENTAUTHD_PROVIDER_PROJECT_ID", "`provider.project_id`"),
    read("AGENTAUTHD_PROVIDER_BASE_URL", "`provider.base_url`"),
    read("AGENTAUTHD_PROVIDER_CLIENT_ID", "`provider.client_id`"),
    read("AGENTAUTHD_PROVIDER_FLOW", "`provider.flow`"),
    read("AGENTAUTHD_PROVIDER_TENANT", "`provider.tenant`"),
    read("AGENTAUTHD_PROVIDER_LOGIN_HINT", "`provider.login_hint`"),
    read("AGENTAUTHD_PROVIDER_SCOPES", "`provider.scopes`, separated by spaces or commas"),
    read("AGENTAUTHD_PROVIDER_EXTRA_ISSUERS", "`provider.extra_issuers`, separated by spaces or commas"),
    read("AGENTAUTHD_PROVIDER_AUDIENCES", "`provider.audiences`, separated by spaces or commas"),
    read("AGENTAUTHD_PROVIDER_REFRESH", "`provider.refresh`"),
    read("AGENTAUTHD_LOGIN_LOOPBACK", "`login.loopback`"),
    read("AGENTAUTHD_LOGIN_PORTS", "`login.ports`, separated by spaces or commas"),
    read("AGENTAUTHD_LOGIN_EPHEMERAL_PORT", "`login.ephemeral_port`"),
    read("AGENTAUTHD_LOGIN_REDIRECT_PATH", "`login.redirect_path`"),
    read("AGENTAUTHD_LOGIN_TIME_LIMIT", "`login.time_limit`"),
    read("AGENTAUTHD_LOGIN_OPEN_BROWSER", "`login.open_browser`"),
    read("AGENTAUTHD_LOGIN_ALLOW_DEVICE", "`login.allow_device`"),
    read("AGENTAUTHD_SESSION_MAX_AGE", "`session.max_age`"),
    read("AGENTAUTHD_SESSION_REVALIDATE_EVERY", "`session.revalidate_every`"),
    read("AGENTAUTHD_NETWORK_PROXY", "`network.proxy`"),
    read("AGENTAUTHD_NETWORK_CA_FILE", "`network.ca_file`"),
    read("AGENTAUTHD_SECRETS_STORE", "`secrets.store`"),
    read("AGENTAUTHD_SECRETS_PASSPHRASE_FILE", "`secrets.passphrase_file`"),
    read("AGENTAUTHD_CHECKS_MAX_CONFIRMATION_AGE", "`checks.max_confirmation_age`"),
    read("AGENTAUTHD_CHECKS_REQUESTS_PER_SECOND", "`checks.requests_per_second`"),
    read("AGENTAUTHD_CHECKS_BURST", "`checks.burst`"),
    read("AGENTAUTHD_CHECKS_MAX_CONNECTIONS", "`checks.max_connections`"),
    read("AGENTAUTHD_CHECKS_MAX_CONNECTIONS_PER_PROCESS", "`checks.max_connections_per_process`"),
    read("AGENTAUTHD_AUDIT_ROTATE_SIZE", "`audit.rotate_size`"),
    read("AGENTAUTHD_AUDIT_ROTATE_AFTER", "`audit.rotate_after`"),
    read("AGENTAUTHD_AUDIT_COMPRESS", "`audit.compress`"),
    read("AGENTAUTHD_AUDIT_KEEP_FOR", "`audit.keep_for`"),
    read("AGENTAUTHD_AUDIT_KEEP_SIZE", "`audit.keep_size`"),
    read("AGENTAUTHD_AUDIT_FOLD_AFTER", "`audit.fold_after`"),
    read("AGENTAUTHD_AUDIT_FOLD_WINDOW", "`audit.fold_window`"),
    read("AGENTAUTHD_AUDIT_CHECKPOINT_RECORDS", "`audit.checkpoint_records`"),
    read("AGENTAUTHD_AUDIT_CHECKPOINT_INTERVAL", "`audit.checkpoint_interval`"),
    read("AGENTAUTHD_CONSENT_LONGEST", "`consent.longest`"),
    read("AGENTAUTHD_CONSENT_EXPIRES_AFTER", "`consent.expires_after`"),
    read("AGENTAUTHD_CONSENT_COOL_DOWN", "`consent.cool_down`"),
    read("AGENTAUTHD_CONSENT_OPEN_BROWSER", "`consent.open_browser`"),
    read("AGENTAUTHD_CONSENT_NOTIFY", "`consent.notify`"),
    read("AGENTAUTHD_GRANTS_RECERTIFY_AFTER", "`grants.recertify_after`"),
    read("AGENTAUTHD_PASSKEYS_ALLOWED_AAGUIDS", "`passkeys.allowed_aaguids`, separated by spaces or commas"),
    read("AGENTAUTHD_PASSKEYS_ATTESTATION_ROOTS", "`passkeys.attestation_roots`"),
    read("AGENTAUTHD_LAUNCH_GRACE", "`launch.grace`"),
    read("AGENTAUTHD_LAUNCH_ENVIRONMENT", "`launch.environment`, separated by spaces or commas"),
    read("AGENTAUTHD_LAUNCH_HIDE", "`launch.hide`, separated by spaces or commas"),
    read("AGENTAUTHD_LAUNCH_HIDE_SOCKETS", "`launch.hide_sockets`"),
    read("AGENTAUTHD_LAUNCH_SOCKETS", "`launch.sockets`, separated by spaces or commas"),
    read("AGENTAUTHD_LOG_FILTER", "`log.filter`"),
    read("AGENTAUTHD_LOG_FORMAT", "`log.format`"),
    read("AGENTAUTHD_METRICS_SCRAPERS", "`metrics.scrapers`, separated by spaces or commas"),
    read("AGENTAUTHD_POLICIES_DIR", "`paths.policies_dir`"),
    read("AGENTAUTHD_STATE_DIR", "`paths.state_dir`"),
    read("AGENTAUTHD_SOCKET", "`paths.socket`"),
];

/// What the environment said when the process started.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    uid: u32,
    values: BTreeMap<&'static str, OsString>,
    noticed: Vec<&'static str>,
    unknown: Vec<String>,
}

impl Environment {
    /// Reads the process environment, once.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        Self::new(rustix::process::getuid().as_raw(), std::env::vars_os())
    }

    /// An environment of these variables, for the user `uid`.
    #[must_use]
    pub fn new<N, V>(uid: u32, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        let mut environment = Self { uid, ..Self::default() };
        for (name, value) in variables {
            let (name, value) = (name.into(), value.into());
            // An empty variable is an unset one, as everywhere.
            if value.is_empty() {
                continue;
            }
            let Some(name) = name.to_str() else { continue };
            match VARIABLES.iter().find(|variable| variable.name == name) {
                Some(variable) if variable.value_is_read => {
                    environment.values.insert(variable.name, value);
                }
                Some(variable) => environment.noticed.push(variable.name),
                // Test harnesses wrap the program and speak to each other below this prefix.
                None if name.starts_with("AGENTAUTHD_TEST_") => {}
                None if name.starts_with("AGENTAUTHD_") => environment.unknown.push(name.to_owned()),
                None => {}
            }
        }
        environment.unknown.sort();
        environment
    }

    /// A look at any variable of the process itself, to hand it on to a program that is started. Nothing of it is kept.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn handed_on(&self) -> impl Fn(&str) -> Option<OsString> + use<> {
        |name| std::env::var_os(name).filter(|value| !value.is_empty())
    }

    /// The user the process runs as.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The value of a variable of [`VARIABLES`].
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&OsString> {
        self.values.get(name)
    }

    /// A variable that names a directory by an absolute path; others are ignored, as the XDG base directory
    /// specification asks.
    #[must_use]
    pub fn absolute_path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// The home directory, if it is an absolute path.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.absolute_path("HOME")
    }

    /// What the environment says about where the person's browser is.
    #[must_use]
    pub fn place(&self) -> Facts {
        let set = |names: &[&str]| names.iter().any(|name| self.value(name).is_some());
        Facts {
            ssh: set(&["SSH_CONNECTION"]),
            container: set(&["container", "KUBERNETES_SERVICE_HOST"]),
            wsl: set(&["WSL_DISTRO_NAME"]),
            browser: false,
        }
    }

    /// Whether the terminal is said to show UTF-8 (POSIX, 8.2: LC_ALL before LC_CTYPE before LANG).
    #[must_use]
    pub fn shows_unicode(&self) -> bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| self.value(name));
        locale.is_some_and(|locale| {
            let locale = locale.to_string_lossy().to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
    }

    /// A file among the service manager's credentials (systemd `LoadCredential=`), whether or not it exists.
    #[must_use]
    pub fn credential(&self, name: impl AsRef<Path>) -> Option<PathBuf> {
        self.absolute_path("CREDENTIALS_DIRECTORY").map(|directory| directory.join(name))
    }

    /// Credentials that lie in the environment without being needed; names only.
    #[must_use]
    pub fn needless_credentials(&self) -> &[&'static str] {
        &self.noticed
    }

    /// Variables that look like ours but are not: most likely misspelt.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }
}

/// Whether a variable of this name may be handed on to a launched program.
///
/// # Errors
/// Why not, as the rest of a sentence: no name, one of ours, or one that makes programs load other code.
pub fn may_be_handed_on(name: &str) -> Result<(), String> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || !name.bytes().all(letters)
    {
        return Err("is no name of a variable: use letters, digits and `_`".to_owned());
    }
    if name.starts_with("AGENTAUTHD_") {
        return Err(format!("would set {name}, which agentauthd sets itself"));
    }
    if agentauth_ipc::loads_code(name.as_bytes()) {
        return Err(format!("would hand on {name}, which makes programs load other code: leave it out"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_variables_are_kept_and_misspelt_ones_noticed() {
        let environment = Environment::new(
            1000,
            [
                ("HOME", "/home/ada"),
                ("PATH", "/bin"),
                ("AGENTAUTHD_SOKET", "/x"),
                ("AGENTAUTHD_TEST_BUS", "1"),
                ("DESCOPE_MANAGEMENT_KEY", "K3secret"),
                ("XDG_STATE_HOME", "relative"),
                ("AGENTAUTHD_PROFILE", ""),
            ],
        );
        assert_eq!(environment.home(), Some(PathBuf::from("/home/ada")));
        assert_eq!(environment.value("PATH"), None);
        assert_eq!(environment.value("AGENTAUTHD_PROFILE"), None, "empty is unset");
        assert_eq!(environment.absolute_path("XDG_STATE_HOME"), None, "relative is ignored");
        assert_eq!(environment.unknown(), ["AGENTAUTHD_SOKET"]);
        assert_eq!(environment.needless_credentials(), ["DESCOPE_MANAGEMENT_KEY"]);
        assert!(!format!("{environment:?}").contains("K3secret"), "a credential's value is never kept");
    }

    #[test]
    fn place_and_locale_are_told() {
        let of =
            |variables: &[(&'static str, &'static str)]| Environment::new(1000, variables.iter().copied());
        let ssh = of(&[("SSH_CONNECTION", "192.0.2.7 50312 192.0.2.1 22"), ("LANG", "en_GB.UTF-8")]);
        assert_eq!(ssh.place(), Facts { ssh: true, ..Facts::default() });
        assert!(ssh.shows_unicode());
        assert!(of(&[("container", "podman")]).place().container);
        assert!(of(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]).place().container);
        assert!(of(&[("WSL_DISTRO_NAME", "Debian")]).place().wsl);
        assert!(of(&[("LC_CTYPE", "C.utf8")]).shows_unicode());
        assert!(!of(&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")]).shows_unicode());
        assert!(!of(&[]).shows_unicode());
    }

    #[test]
    fn each_variable_is_listed_once_and_explained() {
        let mut names: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), VARIABLES.len());
        assert!(VARIABLES.iter().all(|variable| !variable.meaning.is_empty()));
    }
}
