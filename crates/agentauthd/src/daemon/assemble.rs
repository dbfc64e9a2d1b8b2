//! Building the daemon: every part made from the configuration, and handed to those that need it.

mod machine;
mod provider;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use agentauth_audit::export::Origin;
use agentauth_audit::{AuditError, AuditLog, Terms};
use agentauth_core::consent::Declined;
use agentauth_core::recognise::{FileIdentity, Recogniser, Terminals};
use agentauth_core::session::SessionState;
use agentauth_core::snapshot::Snapshot;
use agentauth_core::{Clock, Launches, Presence};
use agentauth_host::clock::{SteadyClock, SystemClock};
use agentauth_host::device::{DeviceError, DeviceId};
use agentauth_host::harden;
use agentauth_host::machine::Machine;
use agentauth_idp::{ConfigFaults, HttpError, Provider};
use agentauth_ipc::{HashCache, IdentifyError, ListenError, Listener, ProcIdentifier, listen};
use agentauth_store::{ClaimError, ProfileName, RightsChange, SecretName, StateDb, StateError};
use tokio_util::sync::CancellationToken;

use super::Start;
use super::app::{About, App};
use super::consents::{self, Consents};
use super::domains::{self, Domains};
use super::events::Events;
use super::filing::{self, Filing};
use super::grounds::Grounds;
use super::keeper::Keeper;
use super::kept;
use super::launches;
use super::limits::{Limits, Usage};
use super::load::{self, LoadError, OwnPolicies, Places};
use super::manager::Manager;
use super::metrics::Metrics;
use super::passkeys::{self, Passkeys, RootsError};
use super::pause::Pause;
use super::preapprovals::Preapprovals;
use super::record;
use super::recorder::Recorder;
use super::rights::{self, Basis, Rights, Sources, Wished};
use super::sinks::{self, Collector, Feeds, SinkSetupError};
use super::state::State;
use super::traces::{self, Exporter};
use super::watching::Watching;
use crate::config::{self, ADMIN_DIRECTORY, Config, load_applied};
pub(super) use machine::machine_set;
pub(crate) use provider::provider_config;
use provider::{Common, provider_side, secret_store};

/// Whose files count in the administrator's directory.
const ADMINISTRATOR: u32 = 0;
/// How many digests of executables are remembered.
const DIGESTS: usize = 1024;

/// The daemon, ready to run.
pub(super) struct Assembled {
    pub(super) app: Arc<App>,
    pub(super) keeper: Option<Keeper>,
    pub(super) feeds: Feeds,
    pub(super) exporter: Option<Exporter>,
    pub(super) listener: Listener,
    pub(super) filing: Filing,
    /// Where the record is, and its last one before the start, where agents' past is learned from it.
    pub(super) past: Option<(PathBuf, u64)>,
}

/// Why the daemon could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The profile's name cannot be used.
    #[error("the profile `{profile}` cannot be used")]
    Profile {
        /// The name.
        profile: String,
        /// Why.
        #[source]
        cause: agentauth_store::NameError,
    },
    /// The state directory cannot be used.
    #[error("cannot use the state directory `{}`: check that it is yours and writable", path.display())]
    StateDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The state directory is another profile's.
    #[error("cannot use the state directory")]
    OtherProfile(#[from] ClaimError),
    /// The installation's identifier cannot be read or made.
    #[error("cannot tell which installation this is")]
    Device(#[from] DeviceError),
    /// The audit log cannot be opened; without it nothing would be allowed.
    #[error("cannot open the audit log")]
    Audit(#[from] AuditError),
    /// The state database cannot be opened.
    #[error("cannot open the state database")]
    State(#[from] StateError),
    /// Agents, catalogue or policies cannot be read.
    #[error("cannot load the rules")]
    Load(#[from] LoadError),
    /// What was applied of the configuration cannot be used any more.
    #[error("what you applied of the configuration cannot be used")]
    Applied(#[from] config::ConfigFaults),
    /// The provider's configuration is not valid.
    #[error("the provider's configuration is not valid")]
    Provider(#[from] ConfigFaults),
    /// TLS cannot be set up.
    #[error("cannot set up the connection to the provider")]
    Http(#[from] HttpError),
    /// The passphrase of the encrypted file is not to be had.
    #[error("cannot read the passphrase from `{}`: give `secrets.passphrase_file` a readable file", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The encrypted file needs a passphrase.
    #[error(
        "the store `file` needs a passphrase: set `secrets.passphrase_file`, or start the daemon on a terminal to be asked"
    )]
    NoPassphrase,
    /// The certificates of those who vouch for authenticators cannot be used.
    #[error("cannot use `passkeys.attestation_roots`")]
    Roots(#[from] RootsError),
    /// A place for copies of the record cannot be set up.
    #[error("cannot copy the record")]
    Sinks(#[from] SinkSetupError),
    /// Callers cannot be identified.
    #[error("cannot identify callers")]
    Identify(#[from] IdentifyError),
    /// The socket cannot be served.
    #[error("cannot serve the socket")]
    Listen(#[from] ListenError),
    /// A part ended that must not end; the service manager starts the daemon again.
    #[error("stopped because {0}: see the log; please report this")]
    Broken(&'static str),
    /// Signals cannot be received.
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
}

/// Makes every part. Blocking, and short: the keychain and the network are left to the keeper.
pub(super) fn assemble(start: Start, stop: &CancellationToken) -> Result<Assembled, RunError> {
    let Start { loaded, environment, flags, notes, needless_credentials, passphrase, log } = start;
    let config = &loaded.config;
    let hardening = harden::all();
    for step in &hardening {
        match &step.outcome {
            Ok(()) => tracing::debug!(step = step.what, "hardened"),
            Err(error) => tracing::warn!(step = step.what, %error, "not hardened"),
        }
    }
    let profile: ProfileName = config
        .profile
        .parse()
        .map_err(|cause| RunError::Profile { profile: config.profile.clone(), cause })?;
    let state_directory = &config.paths.state_dir;
    let unusable = |cause| RunError::StateDirectory { path: state_directory.clone(), cause };
    agentauth_store::private_directory(state_directory).map_err(unusable)?;
    agentauth_store::claim_directory(state_directory, &profile)?;
    let db = Arc::new(StateDb::open(&state_directory.join("state.db"))?);
    // What ended before a restart stays ended, whatever the wall clock says now.
    let clock = Arc::new(SteadyClock::new(Arc::new(SystemClock), db.last_seen(&profile)?));
    let now = clock.now();
    let locked = db.locked_since(&profile)?.is_some();
    let device = DeviceId::of_installation(state_directory)?.to_string();
    // The owner is whoever the daemon runs as; every part gets it as a parameter.
    let owner_uid = rustix::process::geteuid().as_raw();

    // The socket first: a second daemon is told so before it touches the log or the login.
    let listener = listener(config, owner_uid)?;
    let audit = Recorder::new(AuditLog::open(&state_directory.join("audit"), now)?);
    let before = audit.newest();
    let mut rights = rights::standings(&db, &profile, state_directory)?;
    if let Some(unmet) = &rights.unmet {
        tracing::error!(why = unmet.why, "the audit log does not fit what was kept of it");
        audit.append(&record::record_cut(unmet, now))?;
        audit.to_disk_here()?;
        kept::set_aside(state_directory, unmet.last).map_err(unusable)?;
    }
    let wished = Wished::read(&loaded, owner_uid);
    let own_rules = wished.against(std::mem::take(&mut rights.rules));
    let last_run = std::mem::take(&mut rights.last_run);
    let applied = match own_rules.basis {
        Basis::Files => None,
        Basis::Applied | Basis::Lost => Some(load_applied(&environment, &flags, &own_rules.rules.settings)?),
    };
    // From here on the configuration is the one that was applied.
    let config = applied.as_ref().map_or(config, |applied| &applied.config);
    let settings = applied.as_ref().unwrap_or(&loaded).settings();
    let (catalogue_fault, policy_faults) = match own_rules.basis {
        Basis::Files => (wished.catalogue_fault, wished.policy_faults),
        Basis::Applied | Basis::Lost => (None, Vec::new()),
    };
    // Whoever the administrator names as provider: without what was applied nobody is logged in.
    let provider = match own_rules.basis {
        Basis::Files | Basis::Applied => provider_config(config)?,
        Basis::Lost => None,
    };
    let own = OwnPolicies { texts: own_rules.rules.policies.clone(), faults: policy_faults };
    let catalogue = load::catalogue(config, own_rules.rules.catalogue.as_deref(), catalogue_fault)
        .map_err(LoadError::from)?;
    let passkeys = Arc::new(Passkeys::new(
        passkeys::Parts {
            db: db.clone(),
            profile: profile.clone(),
            audit: audit.clone(),
            clock: clock.clone(),
            terms: passkeys::terms(&config.passkeys)?,
            evidence: state_directory.join("evidence"),
        },
        std::mem::take(&mut rights.passkeys),
    ));
    if !rights.past.is_empty() {
        let past = RightsChange { grants_out: rights.past.clone(), ..RightsChange::default() };
        db.change_rights(&profile, &past)?;
    }
    // A record of a time that has not come yet shows nobody.
    let mut presence = Presence { seen: None, recertify_after: config.grants.recertify_after };
    if let Some(seen) = rights.seen {
        presence.note(seen, now);
    }
    let places = Places::of(config);
    let loaded = load::load(catalogue, &places, own, own_rules.basis, rights)?;
    let domains = Domains::new(
        &Path::new(ADMIN_DIRECTORY).join(domains::DIRECTORY),
        ADMINISTRATOR,
        &own_rules.rules.domains,
    );
    let policy_sources = loaded.policy_files.iter().map(|file| file.name.clone());
    let policy_sources: Vec<String> = policy_sources.chain(domains.names()).collect();
    let domains = Arc::new(domains);
    audit.begin_folding(Terms { in_full: config.audit.fold_after, window: config.audit.fold_window });
    let machine = Machine::this();
    let machine_set = machine_set(&machine, &device, &config.signals.working_hours);
    let about =
        record::Start { profile: &config.profile, device: &device, machine: &machine, last_run: &last_run };
    audit.append(&record::service_start(&about, now))?;
    audit.append(&record::configuration_loaded(&settings, now))?;
    audit.append(&record::policy_loaded(&policy_sources, &loaded.policy, "start", now))?;
    for (name, path) in &loaded.agent_files {
        if let Some(agent) = loaded.agents.get(name) {
            let source = path.display().to_string();
            audit.append(&record::agent_loaded(name, &agent.manifest_digest, &source, now))?;
        }
    }
    for agent in &loaded.forbidden {
        audit.append(&record::quarantine(agent, now))?;
    }
    for problem in &loaded.problems {
        tracing::error!(problem, "an agent was not registered");
    }
    for problem in &own_rules.problems {
        tracing::warn!(problem, "files do not say what is in force");
    }
    let state = Arc::new(State::new(Snapshot {
        generation: 0,
        locked,
        quarantined_device: false,
        quarantined_agents: loaded.forbidden.into_iter().collect(),
        session: if provider.is_some() {
            let why = "the keychain has not been read yet";
            SessionState::Unverified { user: None, since: now, why: why.to_owned() }
        } else {
            SessionState::LoggedOut
        },
        keys_fresh_until: None,
        agents: loaded.agents,
        grants: loaded.grants,
        declined: Declined::default(),
        presence,
        launches: Launches::new(),
        policy: loaded.policy.clone(),
        catalogue: loaded.catalogue,
        max_confirmation_age: config.checks.max_confirmation_age,
        device: Arc::new(machine_set.device()),
    }));

    let sink_parts = sinks::Parts {
        config,
        environment: &environment,
        owner: owner_uid,
        origin: Origin {
            host: machine.host.clone().unwrap_or_default(),
            address: machine.address.map(|address| address.to_string()),
            device: Some(device.clone()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile: Some(config.profile.clone()),
        },
        state_directory,
        recorder: audit.clone(),
        clock: clock.clone(),
        jitter,
    };
    let (sinks, feeds) = sinks::sinks(&sink_parts)?;
    let events = Events::new();
    let metrics = Arc::new(Metrics::default());
    let (traces, exporter) = match &config.traces.url {
        Some(url) => {
            let collector = Collector::new(&sink_parts, url, config.traces.token_file.as_deref())?;
            let (traces, exporter) = traces::traces(collector, metrics.clone(), device.clone());
            (Some(traces), Some(exporter))
        }
        None => (None, None),
    };
    let rights = Arc::new(Rights {
        state: state.clone(),
        db: db.clone(),
        profile: profile.clone(),
        audit: audit.clone(),
        clock: clock.clone(),
        policies: RwLock::new(loaded.policy_files),
        admin_policies: places.admin_policies,
        administrators: RwLock::new(Arc::new(loaded.admin_policies)),
        refused_policies: Mutex::default(),
        events: events.clone(),
        policies_dir: config.paths.policies_dir.clone(),
        domains: domains.clone(),
        own_rules: Mutex::new(own_rules),
        sources: Sources { environment, flags },
        owner: owner_uid,
        turn: tokio::sync::Mutex::default(),
    });
    let (provider, keeper, store) = match provider {
        Some(provider) => {
            let store = secret_store(config, passphrase)?;
            let provider = Provider::new(provider)?;
            let common = Common {
                profile: profile.clone(),
                device: device.clone(),
                audit: audit.clone(),
                state: state.clone(),
                clock: clock.clone(),
                db: db.clone(),
                rights: rights.clone(),
                passkeys: passkeys.clone(),
                metrics: metrics.clone(),
                store: store.clone(),
            };
            let (side, keeper) = provider_side(config, provider, common, stop.clone())?;
            (Some(side), Some(keeper), Some(store))
        }
        None => (None, None, None),
    };
    let pause = Arc::new(Pause {
        state: state.clone(),
        db: db.clone(),
        profile: profile.clone(),
        audit: audit.clone(),
        clock: clock.clone(),
        keeper: provider.as_ref().map(|side| side.keeper.clone()),
        turn: tokio::sync::Mutex::default(),
    });
    let consents = Arc::new(Consents::new(consents::Parts {
        state: state.clone(),
        audit: audit.clone(),
        clock: clock.clone(),
        rights: rights.clone(),
        events: events.clone(),
        options: config.consent,
        device: device.clone(),
        evidence: state_directory.join("evidence"),
    }));
    let launches = launches::Launches::new(state.clone(), audit.clone(), clock.clone(), stop.clone());
    let filing = Filing::new(filing::Parts {
        audit: audit.clone(),
        copies: {
            let rights = rights.clone();
            Box::new(move || rights.copies())
        },
        clock: clock.clone(),
        options: config.audit,
        state_directory: state_directory.clone(),
        origin: format!("agentauthd/{device}"),
        store,
        key_name: SecretName::checkpoint_key(profile.clone()),
    });
    let watching =
        Watching::new(config.signals.clone(), seed(), audit.clone(), events.clone(), metrics.clone());
    let grounds = Grounds::new(&machine_set);
    let app = App {
        about: About {
            owner_uid,
            started_at: now,
            profile: config.profile.clone(),
            device,
            problems: notes.into_iter().chain(loaded.problems).collect(),
            needless_credentials,
            hardening,
            tenant: config.provider.tenant.clone(),
            socket: config.paths.socket.clone(),
        },
        state,
        clock,
        audit,
        sinks,
        grounds,
        pause,
        rights,
        domains,
        consents,
        preapprovals: Preapprovals::default(),
        events,
        watching,
        longest: config.consent.longest,
        passkeys,
        open_browser: config.consent.open_browser,
        notify: config.consent.notify,
        launches,
        launching: config.launch.clone(),
        stop: stop.clone(),
        identifier: Arc::new(ProcIdentifier::new()?),
        hashes: HashCache::new(DIGESTS),
        manager: Manager::default(),
        recogniser: recogniser(owner_uid),
        usage: Mutex::new(Usage::new(Limits {
            requests_per_second: config.checks.requests_per_second,
            burst: config.checks.burst,
            connections: config.checks.max_connections.min(room_for_connections()),
            connections_per_process: config.checks.max_connections_per_process,
        })),
        log,
        metrics,
        traces,
        scrapers: config.metrics.scrapers.clone(),
        provider,
    };
    let past = (config.signals.enabled && before > 0).then(|| (state_directory.join("audit"), before));
    Ok(Assembled { app: Arc::new(app), keeper, feeds, exporter, listener, filing, past })
}

/// The socket that systemd handed over, or our own.
fn listener(config: &Config, owner_uid: u32) -> Result<Listener, ListenError> {
    match listenfd::ListenFd::from_env().take_unix_listener(0) {
        Ok(Some(handed)) => Listener::from_activated(handed, owner_uid),
        Ok(None) => listen(&config.paths.socket, owner_uid),
        Err(error) => {
            tracing::warn!(%error, "what the service manager handed over is no listening Unix socket");
            listen(&config.paths.socket, owner_uid)
        }
    }
}

/// How many connections the descriptors of this process are enough for: a greeted one takes up to five.
fn room_for_connections() -> usize {
    let room = usize::try_from(harden::descriptors().saturating_sub(64) / 5).unwrap_or(usize::MAX).max(1);
    tracing::debug!(room, "room for connections");
    room
}

/// Our own executable is the only one that is taken for the person's command line.
fn recogniser(owner_uid: u32) -> Recogniser {
    let own = std::fs::metadata("/proc/self/exe").ok().zip(std::env::current_exe().ok());
    let own_executables = own
        .map(|(metadata, path)| {
            use std::os::unix::fs::MetadataExt as _;
            let path = path.display().to_string();
            FileIdentity { path, device: metadata.dev(), inode: metadata.ino() }
        })
        .into_iter()
        .collect();
    Recogniser { owner_uid, own_executables, terminals: Terminals::builtin() }
}

/// Unguessable, or it is easier to hide a resource behind others that agents use.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        tracing::warn!("the system gives no randomness: what agents use is counted less well");
    }
    u64::from_le_bytes(bytes)
}

/// Spreads refreshes of many machines; need not be unguessable.
fn jitter() -> f64 {
    let mut bytes = [0; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
