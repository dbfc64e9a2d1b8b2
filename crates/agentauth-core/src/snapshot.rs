//! The snapshot: everything that one decision may look at, at one moment. A change builds the next one.

use std::sync::Arc;

use crate::agent::Agent;
use crate::agents::Agents;
use crate::catalogue::{Catalogue, Strength};
use crate::consent::{Choice, Declined, needs};
use crate::device::Device;
use crate::gate::Widening;
use crate::grant::{Grant, Grants, Lifetime};
use crate::launches::Launches;
use crate::policy::Policy;
use crate::presence::Presence;
use crate::session::SessionState;
use crate::time::{SignedDuration, Timestamp};

/// Everything that a decision may look at. Cloning is cheap: its large parts are persistent or shared.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Counts the snapshots.
    pub generation: u64,
    /// Whether a person paused everything.
    pub locked: bool,
    /// Whether an administrator locked this device.
    pub quarantined_device: bool,
    /// The agents that an administrator locked, by name.
    pub quarantined_agents: imbl::HashSet<String>,
    /// Who is logged in.
    pub session: SessionState,
    /// Until when the provider's keys count as fresh; `None` when there are none.
    pub keys_fresh_until: Option<Timestamp>,
    /// The registered agents.
    pub agents: Agents,
    /// What they were allowed and refused.
    pub grants: Grants,
    /// When the person was seen last, by which what was allowed for long stands or falls.
    pub presence: Presence,
    /// What the person declined a while ago, and is not asked again so soon.
    pub declined: Declined,
    /// Those that the daemon's own launcher started, and that still run.
    pub launches: Launches,
    /// The organisation's policies, with what was remembered of their verdicts.
    pub policy: Arc<Policy>,
    /// What is known of each action.
    pub catalogue: Arc<Catalogue>,
    /// For high-risk scopes: how old the provider's last confirmation of the session may be.
    pub max_confirmation_age: SignedDuration,
    /// The machine, and the daemon on it.
    pub device: Arc<Device>,
}

impl Snapshot {
    /// How much takes effect again when a pause ends.
    #[must_use]
    pub fn paused(&self) -> Widening {
        let preapproved = self.agents.iter().any(|agent| self.is_preapproved(agent));
        if preapproved { Widening::Standing } else { self.most(self.grants.iter()) }
    }

    /// How much an agent can do that is started.
    #[must_use]
    pub fn granted_to(&self, agent: &str) -> Widening {
        let preapproved = self.agents.get(agent).is_some_and(|agent| self.is_preapproved(agent));
        if preapproved { Widening::Standing } else { self.most(self.grants.of_agent(agent)) }
    }

    /// Whether policies grant the agent something that nobody is asked about: for as long as they stand.
    fn is_preapproved(&self, agent: &Agent) -> bool {
        agent.manifest.scopes.iter().any(|entry| self.policy.may_preapprove(&agent.name, &entry.scope))
    }

    /// Whether an answer at a terminal could have given all of it. Whether a grant still holds is not looked at.
    fn most<'a>(&self, grants: impl Iterator<Item = &'a Arc<Grant>>) -> Widening {
        let standing = |grant: &Arc<Grant>| {
            // A mandate ends, but no terminal could have given it.
            let ends = matches!(grant.lifetime, Lifetime::Until(_)) && grant.mandate.is_none();
            !grant.denied && (!ends || needs(&self.catalogue, &grant.scope, Choice::Once) > Strength::Prompt)
        };
        if grants.into_iter().any(standing) { Widening::Standing } else { Widening::Expiring }
    }
}
