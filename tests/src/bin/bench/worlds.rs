//! Daemons with little and with much to know.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use e2e::{AgentSpec, Provider, Store, World, WorldOptions};

/// The name of the measuring agent.
const AGENT: &str = "bench-agent";

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub policies: usize,
    pub agents: usize,
    pub grants: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} policies, {} agents, {} grants", self.policies, self.agents, self.grants)
    }
}

/// What all daemons share.
pub struct Setting {
    pub provider: Arc<Provider>,
    /// A copy of this program, registered everywhere. This program itself is none: an agent may not log in.
    pub agent: PathBuf,
    _home: tempfile::TempDir,
}

impl Setting {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let agent = home.path().join(AGENT);
        std::fs::copy(std::env::current_exe().unwrap(), &agent).unwrap();
        Self { provider: Provider::start(), agent, _home: home }
    }
}

/// A world of this size; its daemon runs.
pub fn world(setting: &Setting, size: Size, store: Store) -> World {
    let options = WorldOptions {
        store,
        agents: Vec::new(),
        log_filter: "warn".to_owned(),
        more_configuration: "[checks]\nrequests_per_second = 1000000\nburst = 1000000\n".to_owned(),
        ..WorldOptions::default()
    };
    let mut world = World::without_daemon(&setting.provider, options);
    let each = (size.grants / size.agents).max(1);
    let agents = world.config_dir().join("agents");
    let wanted = ["files.read:/projects", "payments.execute:currency=EUR"].map(str::to_owned);
    let mut grants = wanted.to_vec();
    grants.extend(
        (0..each.saturating_sub(2)).map(|number| format!("files.read:/projects/of-its-own/{number}")),
    );
    AgentSpec {
        name: AGENT.to_owned(),
        executable: setting.agent.clone(),
        pinned: true,
        script: None,
        scopes: wanted.to_vec(),
        grants,
    }
    .write_to(&agents);
    for number in 1..size.agents {
        AgentSpec {
            name: format!("agent-{number}"),
            executable: PathBuf::from(format!("/opt/agents/agent-{number}")),
            pinned: false,
            script: None,
            scopes: vec![format!("work{number}.read"), "files.read:/projects".to_owned()],
            grants: (0..each).map(|grant| format!("work{number}.read:/projects/{grant}")).collect(),
        }
        .write_to(&agents);
    }

    // Nine in ten name an action of one agent's; one in ten names the action that is measured.
    let policies = world.config_dir().join("policies");
    e2e::world::private_directory(&policies);
    let mut text = String::new();
    for number in 0..size.policies {
        let other = 1 + number % (size.agents - 1);
        let action = if number % 10 == 0 { "files.read".to_owned() } else { format!("work{other}.read") };
        text += &format!(
            "@id(\"bench-{number}\")\nforbid (principal in AgentAuth::Role::\"suspended-{number}\", \
             action == AgentAuth::Action::\"{action}\", resource);\n\n"
        );
    }
    std::fs::write(policies.join("bench.cedar"), text).unwrap();
    world.start_daemon();
    let status = world.wait_for_phase(agentauth_api::SessionPhase::LoggedOut);
    assert!(status.problems.is_empty(), "{:?}", status.problems);
    assert_eq!(status.agents.len(), size.agents);
    assert!(status.policy.count >= size.policies, "{:?}", status.policy);
    world
}
