//! Configuration: what can be set, from where, and which setting wins.
//!
//! Layers, lowest to highest: defaults, the user's file of the profile, environment, flags, the administrator's files.
//! Each profile stands alone: nothing of one profile's file or variables reaches another. No secret is configuration.
//!
//! Architecture invariant: values enter only through the one list in `options.rs`, so a file, a variable and a flag are
//! parsed and bounded alike, and the administrator's file can pin every one of them.

mod applied;
mod fault;
mod kinds;
mod load;
#[cfg(test)]
mod machine;
mod options;
mod places;
mod profiles;
pub(crate) mod scopes;
mod sinks;
mod toml_file;
pub(crate) mod trust;
mod value;

use std::path::PathBuf;

use agentauth_core::SignedDuration;
use agentauth_core::consent::Choice;
use agentauth_core::signals::Limits;
use agentauth_idp::{AccessTokenForm, AccessTokenType, Loopback, NetworkSettings, Preset, RedirectConfig};
use url::Url;

pub use agentauth_ipc::location::DEFAULT_PROFILE;
pub use applied::Settings;
pub use fault::{ConfigFault, ConfigFaults};
pub use load::{
    ADMIN_DIRECTORY, FlagValue, Flags, Loaded, Origins, PASSPHRASE_CREDENTIAL, Setting, load, load_applied,
    survey,
};
pub use options::judge;
pub use places::{private_places, user_file};
pub use profiles::{Profile, addressed, free_ports, overlaps, profiles, sockets};
pub use scopes::ScopesFaults;
pub use sinks::{
    HttpBody, HttpSink, JournaldSend, JournaldSink, OtlpSink, RecordFormat, Sinks, SyslogAddress, SyslogSink,
};
pub use toml_file::Origin;

/// Everything that can be configured. Paths are absolute.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The profile served: it selects the files of the configuration, the state directory, the socket's name, the
    /// redirect path and the keychain entry.
    pub profile: String,
    /// Who says who the user is.
    pub provider: Provider,
    /// How a login comes back from the browser.
    pub login: Login,
    /// What is demanded of a session.
    pub session: Session,
    /// How the provider is reached.
    pub network: NetworkSettings,
    /// Where the refresh token is kept.
    pub secrets: Secrets,
    /// Bounds on decisions and on those who ask.
    pub checks: Checks,
    /// How the person is asked.
    pub consent: Consent,
    /// How long grants stand.
    pub grants: Grants,
    /// Which passkeys may be registered.
    pub passkeys: Passkeys,
    /// How `agentauthd exec` treats what it starts.
    pub launch: Launch,
    /// Where the record is copied to.
    pub sinks: Sinks,
    /// How the record is kept.
    pub audit: Audit,
    /// What counts as unusual about what agents do.
    pub signals: Limits,
    /// The daemon's log, on standard error.
    pub log: Log,
    /// Who may read the metrics.
    pub metrics: Metrics,
    /// Where traces go.
    pub traces: Traces,
    /// Where things are.
    pub paths: Paths,
}

/// Who says who the user is.
#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    /// What kind of provider it is.
    pub kind: ProviderKind,
    /// The issuer of any OpenID provider.
    pub issuer: Option<String>,
    /// The product that serves it.
    pub preset: Preset,
    /// Where its tokens have the roles, if not where the preset says.
    pub roles_claim: Option<String>,
    /// Where they have the permissions.
    pub permissions_claim: Option<String>,
    /// Where they have the tenant.
    pub tenant_claim: Option<String>,
    /// `audience` of the authorization request.
    pub audience: Option<String>,
    /// `resource` of all requests (RFC 8707).
    pub resource: Option<String>,
    /// What the access tokens are.
    pub access_token: AccessTokenForm,
    /// How JWT access tokens are typed, if not as the preset says.
    pub access_token_type: Option<AccessTokenType>,
    /// The Descope project. Without it nobody can log in to Descope.
    pub project_id: Option<String>,
    /// The provider's base URL; derived from the project if absent. HTTPS, or HTTP on a loopback host.
    pub base_url: Option<Url>,
    /// The OAuth client identifier; the project if absent.
    pub client_id: Option<String>,
    /// The sign-in flow to run.
    pub flow: Option<String>,
    /// The tenant to sign in to.
    pub tenant: Option<String>,
    /// Whom the sign-in page should expect.
    pub login_hint: Option<String>,
    /// OAuth scopes to ask for.
    pub scopes: Vec<String>,
    /// Issuers accepted beside those that follow from the project and the base URL.
    pub extra_issuers: Vec<String>,
    /// Audiences accepted in session tokens that carry any; the project always is.
    pub audiences: Vec<String>,
    /// Which of the provider's two ways refreshes a session.
    pub refresh: RefreshRoute,
}

impl Provider {
    /// Whether it is said which provider it is; else nobody can log in.
    #[must_use]
    pub fn is_named(&self) -> bool {
        match self.kind {
            ProviderKind::Descope => self.project_id.is_some(),
            ProviderKind::Oidc => self.issuer.is_some(),
        }
    }
}

/// What kind of provider says who the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Descope, by its project.
    Descope,
    /// Any OpenID provider, by its issuer.
    Oidc,
}

impl ProviderKind {
    const ALL: [Self; 2] = [Self::Descope, Self::Oidc];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Descope => "descope",
            Self::Oidc => "oidc",
        }
    }
}

/// Which of the provider's two ways refreshes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshRoute {
    /// Descope's own endpoint, `/v1/auth/refresh`.
    Descope,
    /// The OAuth token endpoint (RFC 6749, section 6).
    Oauth,
}

impl RefreshRoute {
    const ALL: [Self; 2] = [Self::Oauth, Self::Descope];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Descope => "descope",
            Self::Oauth => "oauth",
        }
    }
}

/// How a login comes back from the browser (RFC 8252, section 7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The loopback address to listen on.
    pub loopback: Loopback,
    /// Loopback ports to listen on, in order of preference. Each gives a redirect URL to register.
    pub ports: Vec<u16>,
    /// Whether to let the system choose a port when all of `ports` are taken.
    pub ephemeral_port: bool,
    /// The path of the redirect URL.
    pub redirect_path: String,
    /// How long a login may take.
    pub time_limit: SignedDuration,
    /// Whether `agentauthd login` opens the browser.
    pub open_browser: bool,
    /// Whether a login may be made on another device, with a code.
    pub allow_device: bool,
}

impl Login {
    /// The redirect URLs to register with the provider for logins on this machine, in order of preference. Looks
    /// whether the machine has `127.0.0.1`, unless the address is configured.
    #[must_use]
    pub fn redirect_uris(&self) -> Vec<String> {
        let fixed = RedirectConfig { ephemeral: false, ..self.redirect() };
        fixed.uris(self.loopback.address())
    }

    /// Where the browser comes back to, as the provider crate wants it.
    #[must_use]
    pub fn redirect(&self) -> RedirectConfig {
        RedirectConfig {
            ports: self.ports.clone(),
            ephemeral: self.ephemeral_port,
            path: self.redirect_path.clone(),
        }
    }
}

/// What is demanded of a session beyond what the provider says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// How long after the login the person has to log in again; absent, the provider decides.
    pub max_age: Option<SignedDuration>,
    /// How often the provider has to confirm the session; absent, as often as it is refreshed.
    pub revalidate_every: Option<SignedDuration>,
}

/// Where the refresh token is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// The kind of store.
    pub store: StoreKind,
    /// For the file store: a file with the passphrase, for machines where nobody can be asked.
    pub passphrase_file: Option<PathBuf>,
}

/// The kind of secret store. None stands in silently for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A file encrypted with a passphrase.
    File,
    /// The operating system's keychain.
    Keychain,
    /// Nothing survives the daemon.
    Memory,
}

impl StoreKind {
    const ALL: [Self; 3] = [Self::Keychain, Self::File, Self::Memory];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Keychain => "keychain",
            Self::Memory => "memory",
        }
    }
}

/// Bounds on decisions and on those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// How old the provider's last confirmation of the session may be for a high-risk scope.
    pub max_confirmation_age: SignedDuration,
    /// Requests per second that one process may make for long.
    pub requests_per_second: u32,
    /// Requests that one process may make at once.
    pub burst: u32,
    /// Connections in all.
    pub max_connections: usize,
    /// Connections from one process.
    pub max_connections_per_process: usize,
}

/// How the person is asked whether an agent may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The longest yes that may be given.
    pub longest: Choice,
    /// How long a question waits for its answer.
    pub expires_after: SignedDuration,
    /// How long after a no there is no further question about the same.
    pub cool_down: SignedDuration,
    /// Whether the daemon opens the page with the question in the browser.
    pub open_browser: bool,
    /// Whether a desktop notification says that a question waits.
    pub notify: bool,
}

/// How long grants stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    /// After this long without the person, mandates and grants until revoked do not count until the person signs in.
    pub recertify_after: SignedDuration,
}

/// Which passkeys may be registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passkeys {
    /// The models of authenticators, by AAGUID; any where there are none.
    pub allowed_aaguids: Vec<String>,
    /// A file with the certificates, in PEM, of those who vouch for models.
    pub attestation_roots: Option<PathBuf>,
}

/// How `agentauthd exec` treats what it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// How long what runs may take to end by itself, when it has to.
    pub grace: SignedDuration,
    /// Variables that are handed on beside those that always are.
    pub environment: Vec<String>,
    /// Files and directories that are hidden beside those that always are.
    pub hide: Vec<PathBuf>,
    /// Whether sockets with a path are hidden by namespaces, where Landlock does not see connections.
    pub hide_sockets: HideSockets,
    /// Sockets of the user's that stay within reach.
    pub sockets: Vec<PathBuf>,
}

/// Whether sockets with a path are kept from what `agentauthd exec` starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HideSockets {
    /// As far as the system allows; what it does not is said.
    WherePossible,
    /// Or nothing is started.
    Always,
    /// Only where Landlock does it.
    Never,
}

impl HideSockets {
    pub(crate) const ALL: [Self; 3] = [Self::WherePossible, Self::Always, Self::Never];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WherePossible => "where_possible",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// How the record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// At which length, in bytes, a file is closed and the next begun.
    pub rotate_size: u64,
    /// At which age.
    pub rotate_after: SignedDuration,
    /// Whether closed files are compressed.
    pub compress: bool,
    /// How long records are kept after their file was closed.
    pub keep_for: SignedDuration,
    /// How much room closed files may take, in bytes.
    pub keep_size: u64,
    /// How many equal denials within a window are recorded in full; those that follow are counted.
    pub fold_after: u32,
    /// How long such a window is.
    pub fold_window: SignedDuration,
    /// After how many records a checkpoint is signed.
    pub checkpoint_records: u64,
    /// After how long one is signed, if there is anything new.
    pub checkpoint_interval: SignedDuration,
}

/// The daemon's log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// What is logged, as `tracing`'s filter directives.
    pub filter: String,
    /// How it is written.
    pub format: LogFormat,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// Who may read the metrics, beside the person's own processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The names of registered agents.
    pub scrapers: Vec<String>,
}

/// Where traces go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// The whole address of the collector, path included; absent, there are no traces.
    pub url: Option<Url>,
    /// A file with the token that it asks for.
    pub token_file: Option<PathBuf>,
}

/// Where things are. Absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// The directory of the user's configuration of this profile.
    pub config_dir: PathBuf,
    /// Policies, `*.cedar`.
    pub policies_dir: PathBuf,
    /// What the daemon keeps: the state database and the audit log.
    pub state_dir: PathBuf,
    /// The socket.
    pub socket: PathBuf,
}
