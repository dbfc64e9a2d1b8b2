//! The examination behind `agentauthd doctor`: every check runs, whatever the others found, and each finding says what is
//! so, why it matters and what to do.
//!
//! Each file is one area: a pure judgement over facts, with its tests, and where facts must be got, a thin function that
//! gets them. Architecture invariants: nothing here changes anything, but for a throw-away entry in the keychain that is
//! removed again and dry runs that the daemon records; no finding holds a secret; every step has a time limit, and what
//! does not depend on each other is asked at once, so that an examination ends within some twenty seconds.

mod advice;
mod agents;
mod authorization;
mod configuration;
mod daemon;
mod files;
mod finding;
mod network;
mod ports;
mod provider;
mod secrets;
mod session;
mod trial;

use std::path::{Path, PathBuf};

use agentauth_api::{SessionPhase, Status};
use agentauth_client::Client;
use agentauth_core::Clock;
use agentauth_idp::{ConfigFaults, Preset, ProviderConfig};
use agentauth_store::Health;
use serde::Serialize;
use tokio::time::timeout;

pub use finding::{Area, Code, Finding, Severity};
pub use trial::Wishes;

use crate::config::{Config, ConfigFault, Loaded, StoreKind};
use crate::daemon::{RulesReport, provider_config, survey_rules};
use crate::environment::Environment;
use daemon::Reached;

/// What to examine.
pub struct Examination<'a> {
    /// The environment of this process.
    pub environment: &'a Environment,
    /// As much of the configuration as can be used.
    pub loaded: Option<&'a Loaded>,
    /// What is wrong with it.
    pub faults: &'a [ConfigFault],
    /// Leave the provider alone.
    pub offline: bool,
    /// What to try.
    pub wishes: &'a Wishes,
    /// The directory that this process works in.
    pub working_directory: Option<PathBuf>,
    /// The time.
    pub clock: &'a dyn Clock,
}

/// Everything that was found, in the order of the areas.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// This program's version.
    pub version: &'static str,
    /// The profile that was examined; empty where the configuration names none that can be used.
    pub profile: String,
    /// How many errors there are.
    pub errors: usize,
    /// How many warnings there are.
    pub warnings: usize,
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Report {
    fn of(profile: String, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.area);
        let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            profile,
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            findings,
        }
    }
}

/// Looks at everything.
pub async fn examine(subject: Examination<'_>) -> Report {
    let needless = subject.environment.needless_credentials();
    let mut found = configuration::judge(subject.loaded, subject.faults, needless);
    found.extend(configuration::judge_environment(needless));
    let Some(loaded) = subject.loaded else {
        return Report::of(String::new(), found);
    };
    let config = &loaded.config;
    // Of a file that is not read, not even what it is about is known.
    let whole = !subject.faults.iter().any(configuration::is_of_a_file);
    let provider = if whole { provider_config(config) } else { Ok(None) };
    let owner = subject.environment.uid();
    let mut client = Client::new(&config.paths.socket, owner).with_patience(network::STEP);

    let on_disk = {
        let (loaded, working_directory) = (loaded.clone(), subject.working_directory.clone());
        tokio::task::spawn_blocking(move || look_at_disk(&loaded, working_directory.as_deref(), owner))
    };
    let (on_network, reached, tried, on_disk) = tokio::join!(
        ask_provider(&provider, config, subject.offline, subject.clock),
        daemon::ask(&mut client),
        async { if whole { try_keychain(config).await } else { None } },
        on_disk,
    );
    let provider_fails = on_network
        .iter()
        .any(|finding| finding.area == Area::Provider && finding.severity == Severity::Error);
    found.extend(on_network);
    found.extend(judge_project(&provider, subject.faults));
    found.extend(configuration::passphrase_finding(loaded));
    let OnDisk { findings, rules, record_holder } = match on_disk {
        Ok(on_disk) => on_disk,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    found.extend(findings);

    let status = match &reached {
        Reached::Answered(status) => Some(status.as_ref().clone()),
        _ => None,
    };
    if whole {
        found.extend(ports::examine(&config.login, status.as_ref().map(|status| status.pid)));
        let facts = secrets::Facts {
            place: agentauth_host::place::here(subject.environment.place()),
            tried,
            daemon: status.as_ref().map(|status| status.secret_store.clone()),
        };
        found.extend(secrets::judge(&config.secrets, &facts));
    } else {
        found.push(Finding::note(
            Code::ConfigurationPartial,
            "provider, ports and secret store were not examined",
            "mend the file that is named, and run this again",
        ));
    }
    found.extend(daemon::judge(&daemon::Facts {
        reached,
        socket: config.paths.socket.clone(),
        socket_exists: config.paths.socket.exists(),
        record_holder,
        state_dir: config.paths.state_dir.clone(),
        profile: config.profile.clone(),
        provider: provider
            .as_ref()
            .ok()
            .and_then(Option::as_ref)
            .map(|provider| (provider.issuer(), provider.base_url().to_string(), provider.redirect_uris())),
        provider_fails,
        comparable: subject.faults.is_empty(),
    }));
    if let Some(status) = &status {
        found.extend(judge_login(status, config, subject.clock));
        // Of another profile's daemon nothing is asked.
        if status.session.phase == SessionPhase::Active && status.profile == config.profile {
            found.extend(trial::examine(&mut client, subject.wishes, &rules).await);
        }
    }
    Report::of(config.profile.clone(), found)
}

fn judge_login(status: &Status, config: &Config, clock: &dyn Clock) -> Vec<Finding> {
    if status.provider.issuer.is_none() {
        return Vec::new();
    }
    let setup = session::Setup {
        advice: advice::for_kind(config.provider.kind),
        tenant: config.provider.tenant.as_deref(),
        // Google's refresh tokens stay what they are.
        can_rotate: config.provider.preset != Preset::Google,
    };
    session::judge(&status.session, status.failed_login.as_ref(), setup, clock.now())
}

/// A project that is missing or not usable, unless the configuration's own faults explain that.
fn judge_project(
    provider: &Result<Option<ProviderConfig>, ConfigFaults>,
    faults: &[ConfigFault],
) -> Vec<Finding> {
    let explains = |fault: &ConfigFault| {
        let key = fault.key.as_deref().unwrap_or_default();
        configuration::is_of_a_file(fault) || key.starts_with("provider.") || key.starts_with("login.")
    };
    match provider {
        Ok(Some(_)) => Vec::new(),
        _ if faults.iter().any(explains) => Vec::new(),
        Ok(None) => vec![Finding::error(
            Code::ProjectMissing,
            "no provider is configured",
            "run `agentauthd setup`; or set `provider.project_id` for Descope, or `provider.kind = \"oidc\"` with \
             `provider.issuer` and `provider.client_id` for any other provider",
        )],
        Err(faults) => configuration::judge_provider(faults),
    }
}

async fn ask_provider(
    provider: &Result<Option<ProviderConfig>, ConfigFaults>,
    config: &Config,
    offline: bool,
    clock: &dyn Clock,
) -> Vec<Finding> {
    let Ok(Some(provider)) = provider else { return Vec::new() };
    let region =
        provider.project_id().and_then(|project| provider::judge_region(project, provider.base_url()));
    let mut found: Vec<_> = region.into_iter().collect();
    if offline {
        let todo = "run this without `--offline`";
        found.push(Finding::note(Code::ProviderSkipped, "the provider was not asked", todo));
    } else {
        let custom = config.provider.base_url.is_some();
        found.extend(network::examine(provider, custom, clock).await);
    }
    found
}

/// Tries the keychain, where the login is kept in one.
async fn try_keychain(config: &Config) -> Option<(&'static str, Health)> {
    if config.secrets.store != StoreKind::Keychain {
        return None;
    }
    #[cfg(target_os = "linux")]
    let store = agentauth_store::SecretService::new().with_patience(network::STEP);
    #[cfg(any(target_os = "macos", windows))]
    let store = agentauth_store::Native::new();
    let tried = timeout(network::STEP * 2, secrets::try_out(&store)).await;
    let health = tried.unwrap_or_else(|_| Health::Failing {
        what: "it did not answer in time".to_owned(),
        remedy: "look for an open prompt of the keychain, or restart it".to_owned(),
    });
    Some((agentauth_store::SecretStore::describe(&store), health))
}

/// What was found on disk.
struct OnDisk {
    findings: Vec<Finding>,
    rules: RulesReport,
    /// The process that holds the record.
    record_holder: Option<u32>,
}

/// Everything that reads files. Blocking.
fn look_at_disk(loaded: &Loaded, working_directory: Option<&Path>, owner: u32) -> OnDisk {
    let (config, paths) = (&loaded.config, &loaded.config.paths);
    let mut findings = files::examine(paths, owner);
    let directories = [&*paths.config_dir, &*paths.policies_dir, &*paths.state_dir];
    let env_files: Vec<_> = working_directory.map(|directory| directory.join(".env")).into_iter().collect();
    findings.extend(configuration::judge_secrets(&configuration::search(&directories, &env_files)));
    let mut rules = survey_rules(loaded, owner);
    // Those of the provider's settings are told under the configuration.
    if let Err(ConfigFaults(faults)) = provider_config(config) {
        rules.faults.retain(|told| !faults.iter().any(|fault| fault.to_string() == *told));
    }
    findings.extend(agents::examine(&rules));
    let record_holder = agentauth_host::locks::holder(&paths.state_dir.join("audit/audit.lock"));
    OnDisk { findings, rules, record_holder }
}
