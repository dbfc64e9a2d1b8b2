//! Starting, stopping and unplugging the emulator.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::access_keys::AccessKeys;
use crate::apps::Registry;
use crate::consents::Consents;
use crate::control::Control;
use crate::devices::Devices;
use crate::doors::par::PushedRequests;
use crate::families::Families;
use crate::fixture::{ACME, Fixture, FixtureFault, check_project_id};
use crate::keys::{Algorithm, KeyFault, KeyRing, SigningKey};
use crate::ledger::Ledger;
use crate::one_time::OneTimeSecrets;
use crate::outbox::Outbox;
use crate::server::Server;
use crate::settings::{Approval, Settings};
use crate::state::{Shared, Site, World};
use crate::{admin, doors};

/// The project id when neither configuration nor fixture names one.
pub const DEFAULT_PROJECT_ID: &str = "P2EmulatedProjectOfAcme00001";

/// What to start. [`Config::default`] is the Acme fixture on a free loopback port.
#[derive(Debug, Clone)]
pub struct Config {
    /// The fixture's TOML text.
    pub fixture: String,
    /// Where to listen. Only loopback addresses are taken.
    pub listen: SocketAddr,
    /// Overrides the fixture's project id.
    pub project_id: Option<String>,
    /// Overrides the fixture's answer to "who signs in".
    pub approval: Option<Approval>,
    /// Replaces the fixture's settings.
    pub settings: Option<Settings>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fixture: ACME.to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            project_id: None,
            approval: None,
            settings: None,
        }
    }
}

/// Builds a [`Config`] step by step; see [`Emulator::builder`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder {
    config: Config,
}

impl Builder {
    /// Another fixture than Acme, as TOML text.
    pub fn fixture(mut self, toml: impl Into<String>) -> Self {
        self.config.fixture = toml.into();
        self
    }

    /// Another address than a free port of 127.0.0.1.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.config.listen = address;
        self
    }

    /// Another project id than the fixture's.
    pub fn project_id(mut self, id: impl Into<String>) -> Self {
        self.config.project_id = Some(id.into());
        self
    }

    /// Signs this user in without showing the page.
    pub fn auto_approve(mut self, login: impl Into<String>) -> Self {
        self.config.approval = Some(Approval::As(login.into()));
        self
    }

    /// Other settings than the fixture's.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.config.settings = Some(settings);
        self
    }

    /// The configuration so far.
    pub fn config(self) -> Config {
        self.config
    }

    /// Starts the emulator.
    ///
    /// # Errors
    /// As [`Emulator::start`].
    pub async fn start(self) -> Result<Emulator, StartFault> {
        Emulator::start(self.config).await
    }
}

/// Why the emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The fixture is at fault.
    #[error(transparent)]
    Fixture(#[from] FixtureFault),
    /// The address is not a loopback one.
    #[error("cannot listen on `{0}`: the emulator serves test accounts and takes loopback addresses only")]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on `{address}`; is something else using the port?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// No signing keys.
    #[error(transparent)]
    Keys(#[from] KeyFault),
    /// The user of the automatic approval does not exist.
    #[error("cannot approve sign-ins as `{0}`: the fixture has no such user")]
    UnknownUser(String),
}

/// A running stand-in for Descope. Dropping it stops it.
#[derive(Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    router: Router,
    server: Option<Server>,
}

impl Emulator {
    /// Starts from parts.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Binds the address, makes the signing keys and serves.
    ///
    /// # Errors
    /// When the fixture is at fault, the address is not loopback or taken, or keys cannot be made.
    pub async fn start(config: Config) -> Result<Self, StartFault> {
        let fixture = Fixture::parse(&config.fixture)?;
        if let Some(id) = &config.project_id {
            check_project_id(id)?;
        }
        if !config.listen.ip().is_loopback() {
            return Err(StartFault::NotLoopback(config.listen));
        }
        let (listener, address) = bind(config.listen).await?;
        let site = Site {
            project_id: config
                .project_id
                .or_else(|| fixture.project.id.clone())
                .unwrap_or_else(|| DEFAULT_PROJECT_ID.to_owned()),
            project_name: fixture.project.name.clone().unwrap_or_else(|| "the emulated project".to_owned()),
            base_url: format!("http://{address}"),
        };
        let mut settings = config.settings.unwrap_or_else(|| fixture.settings.clone());
        if let Some(approval) = config.approval {
            settings.approval = approval;
        }
        let world = world(&fixture, settings).await?;
        if let Approval::As(login) = &world.settings.approval
            && world.user(login).is_none()
        {
            return Err(StartFault::UnknownUser(login.clone()));
        }
        let shared = Arc::new(Shared::new(site, world));
        let router = doors::router().merge(admin::router()).with_state(shared.clone());
        let server = Server::start(listener, shared.clone(), router.clone());
        Ok(Self { shared, address, router, server: Some(server) })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn base_url(&self) -> &str {
        &self.shared.site.base_url
    }

    /// The project id, which is also the client id.
    pub fn project_id(&self) -> &str {
        &self.shared.site.project_id
    }

    /// The issuer of discovery and ID tokens: `{base_url}/{project_id}`.
    pub fn issuer(&self) -> String {
        self.shared.site.issuer()
    }

    /// Everything that a test may look at or change.
    pub fn control(&self) -> Control {
        Control::new(self.shared.clone())
    }

    /// Unplugs the emulator: no listener, every connection and every held request dropped. The state stays.
    pub async fn go_offline(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Plugs it in again, at the same address.
    ///
    /// # Errors
    /// When the port was taken meanwhile.
    pub async fn go_online(&mut self) -> Result<(), StartFault> {
        if self.server.is_none() {
            let (listener, _) = bind(self.address).await?;
            self.server = Some(Server::start(listener, self.shared.clone(), self.router.clone()));
        }
        Ok(())
    }

    /// Stops for good and waits until every connection is over.
    pub async fn shutdown(mut self) {
        self.go_offline().await;
    }
}

async fn bind(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), StartFault> {
    let fault = |source| StartFault::Bind { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok((listener, address))
}

async fn world(fixture: &Fixture, settings: Settings) -> Result<World, StartFault> {
    let algorithm = settings.tokens.algorithm;
    let key = made(make_key(algorithm)).await?;
    let mut ledger = Ledger::default();
    ledger.note_key(key.private_pem());
    Ok(World {
        settings,
        users: fixture.people(),
        tenants: fixture.tenants.clone(),
        roles: fixture.roles.clone(),
        registry: Registry { apps: fixture.apps.clone(), servers: fixture.mcp_servers.clone() },
        consents: Consents::default(),
        permissions: fixture.roles.values().flatten().cloned().collect(),
        descriptions: BTreeMap::new(),
        project_keys: fixture.project.keys.clone(),
        access_keys: AccessKeys::default(),
        one_time: OneTimeSecrets::default(),
        audit: Vec::new(),
        ring: KeyRing::new(key),
        foreign: None,
        families: Families::default(),
        sessions: HashMap::new(),
        revoked: HashSet::new(),
        id_tokens: HashMap::new(),
        codes: HashMap::new(),
        pushed: PushedRequests::default(),
        outbox: Outbox::default(),
        devices: Devices::default(),
        pages: HashMap::new(),
        browsers: HashMap::new(),
        overrides: Vec::new(),
        ledger,
    })
}

/// Makes a key on a thread of its own: it takes a while.
pub(crate) fn make_key(algorithm: Algorithm) -> JoinHandle<Result<SigningKey, KeyFault>> {
    tokio::task::spawn_blocking(move || SigningKey::generate(algorithm))
}

pub(crate) async fn made(key: JoinHandle<Result<SigningKey, KeyFault>>) -> Result<SigningKey, KeyFault> {
    key.await.unwrap_or(Err(KeyFault::Generate(Algorithm::Rs256)))
}
