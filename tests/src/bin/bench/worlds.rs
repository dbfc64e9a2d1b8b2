//! The machines of persons that are measured: the plain one, and one with little beside one with very much in it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use e2e::keyring::Keyring;
use e2e::{ALICE, AgentSpec, Provider, Store, World, WorldOptions, world};

use crate::task::Target;

/// A scope that only reads.
pub const READ: &str = "files.read:/projects/alpha";
/// Many times more resources than the daemon remembers verdicts for.
pub const NEW_EACH_TIME: usize = 40_000;
/// A scope whose decisions must be on disk first.
pub const PAY: &str = "payments.execute:currency=EUR";

/// How many policies concern one action, however many there are.
const POLICIES_PER_ACTION: usize = 10;

/// Callers ask as fast as they can here. What they do is counted, and never too much.
const LIMITS: &str = "[checks]\nrequests_per_second = 1000000\nburst = 1000000\nmax_connections = 256\n\
                      max_connections_per_process = 64\n\
                      [signals]\nrate_limit = 1000000000000\nburst_limit = 1000000000000\n\
                      spread_limit = 1000000000000\n";

/// What all measurements share.
pub struct Bench {
    provider: Arc<Provider>,
    /// A private place.
    pub home: tempfile::TempDir,
    /// The agent's program.
    pub agent: PathBuf,
    /// The keychain, where there is one.
    keyring: Option<Keyring>,
}

/// How much there is in a world.
#[derive(Clone, Copy)]
pub struct Crowd {
    /// Registered agents.
    pub agents: usize,
    /// Grants of all agents together.
    pub grants: usize,
    /// Policies beside those that ship.
    pub policies: usize,
}

impl Bench {
    /// Starts the provider and puts the agent's program in its place.
    pub fn new() -> Self {
        let home = tempfile::Builder::new().prefix("aad-bench").tempdir().unwrap();
        let agent = home.path().canonicalize().unwrap().join("bench-agent");
        std::fs::copy(std::env::current_exe().unwrap(), &agent).unwrap();
        let keyring = std::env::var_os("AGENTAUTHD_TEST_KEYRING").is_some().then(Keyring::start).flatten();
        Self { provider: Provider::start(), home, agent, keyring }
    }

    /// A world with this one agent, somebody logged in. The login is kept where persons keep it.
    pub fn plain(&self) -> World {
        self.configured("")
    }

    /// The same with this at the end of its configuration.
    pub fn configured(&self, more: &str) -> World {
        let scopes = [READ, PAY];
        let options = WorldOptions {
            agents: vec![self.itself(&scopes, &scopes)],
            store: if self.keyring.is_some() { Store::Keychain } else { Store::File },
            bus: self.keyring.as_ref().map(|keyring| keyring.address().to_owned()),
            more_configuration: format!("{LIMITS}{more}"),
            ..options()
        };
        let world = World::with(&self.provider, options);
        world.login(ALICE);
        world
    }

    /// Where [`Bench::plain`] keeps the login.
    pub fn store(&self) -> &'static str {
        if self.keyring.is_some() { "keychain" } else { "encrypted file" }
    }

    /// A world with this much in it, somebody logged in. Whatever the agent asks for, the same number of policies
    /// concerns it; all others are about something else.
    pub fn crowded(&self, crowd: Crowd) -> World {
        let areas = crowd.policies / POLICIES_PER_ACTION - 1;
        let own = crowd.grants / crowd.agents;
        let mut grants = vec![READ.to_owned()];
        grants.extend((1..own).map(|number| format!("files.read:/projects/beta/{number}")));
        let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
        let others = crowd.agents - 1;
        let mut agents = vec![self.itself(&["files.read:/projects"], &grants)];
        agents.extend((0..others).map(|number| other(number, own, areas)));

        let mut world = World::without_daemon(&self.provider, WorldOptions { agents, ..options() });
        let policies = world.config_dir().join("policies");
        world::private_directory(&policies);
        std::fs::write(policies.join("crowd.cedar"), cedar(areas)).unwrap();
        world.start_daemon();
        world.login(ALICE);
        world
    }

    fn itself(&self, scopes: &[&str], grants: &[&str]) -> AgentSpec {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        AgentSpec {
            name: "bench-agent".to_owned(),
            executable: self.agent.clone(),
            pinned: true,
            script: None,
            cgroup: None,
            scopes: owned(scopes),
            grants: owned(grants),
        }
    }
}

/// The daemon of a world as a target.
pub fn daemon(world: &World, scope: &str) -> Target {
    Target { socket: world.socket(), scope: scope.to_owned(), variants: 0, daemon: true, fresh: false }
}

fn options() -> WorldOptions {
    WorldOptions {
        store: Store::Memory,
        bus: None,
        agents: Vec::new(),
        profile: None,
        uid: None,
        more_configuration: LIMITS.to_owned(),
        log_filter: "info".to_owned(),
        environment: Vec::new(),
    }
}

/// An agent that only takes room.
fn other(number: usize, grants: usize, areas: usize) -> AgentSpec {
    let mut scopes = vec!["files.read:/projects".to_owned()];
    if areas > 0 {
        scopes.push(format!("area{}.read", number % areas));
    }
    AgentSpec {
        name: format!("agent-{number}"),
        executable: format!("/opt/agents/agent-{number}").into(),
        pinned: false,
        script: None,
        cgroup: None,
        scopes,
        grants: (0..grants).map(|grant| format!("files.read:/projects/alpha/{number}/{grant}")).collect(),
    }
}

/// Policies about the action that is asked for, and about areas that nobody asks for.
fn cedar(areas: usize) -> String {
    let mut text = String::new();
    let mut forbid = |action: &str, number: usize, condition: String| {
        writeln!(
            text,
            "@id(\"{action}-{number}\")\nforbid (principal, action == AgentAuth::Action::\"{action}\", resource)\n\
             when {{ {condition} }};\n"
        )
        .unwrap();
    };
    for number in 0..POLICIES_PER_ACTION {
        let path = format!("resource has path && resource.path like \"/secret/{number}/*\"");
        forbid("files.read", number, path.clone());
        for area in 0..areas {
            forbid(&format!("area{area}.read"), number, path.clone());
        }
    }
    text
}
