//! Mandates: what a person allows for runs that nobody watches, by a fresh sign-in or a passkey and in no other way.

use std::sync::Arc;

use agentauth_core::caller::CallerFacts;
use agentauth_core::consent::Choice;
use agentauth_core::grant::Grant;
use agentauth_core::mandate::Draft;
use agentauth_core::widening::Confirmed;

use super::{Rights, RightsError};
use crate::daemon::record;

impl Rights {
    /// What a mandate for `agent` comes to now. Changes nothing. `id` tells it apart from all others.
    pub(crate) fn drafted(
        &self,
        agent: &str,
        draft: &Draft,
        id: &str,
        longest: Choice,
    ) -> Result<Vec<Grant>, RightsError> {
        let snapshot = self.state.load();
        if snapshot.locked {
            return Err(RightsError::Paused);
        }
        let agent = snapshot.agents.get(agent).ok_or_else(|| RightsError::NoAgent(agent.to_owned()))?;
        let user = snapshot.session.user().ok_or(RightsError::NoLogin)?;
        let terms = (self.clock.now(), longest);
        Ok(draft.grants(agent, &snapshot.catalogue, &user.subject, id, terms)?)
    }

    /// Gives a mandate that the person has confirmed; `evidence` is the digest of what the provider signed for it.
    pub(crate) async fn give_mandate(
        &self,
        grants: Vec<Grant>,
        by: &CallerFacts,
        confirmed: &Confirmed,
        evidence: Option<&str>,
    ) -> Result<(), RightsError> {
        if self.state.load().locked {
            return Err(RightsError::Paused);
        }
        let given = grants.clone();
        self.give(grants, &record::mandate_given(&given, by, confirmed, evidence, self.clock.now())).await
    }

    /// What stands, and counts only as long as the person is seen from time to time.
    pub(crate) fn standing(&self) -> Vec<Arc<Grant>> {
        let snapshot = self.state.load();
        let mut standing: Vec<_> =
            snapshot.grants.iter().filter(|grant| grant.is_standing()).cloned().collect();
        standing.sort_by(|one, two| one.id.cmp(&two.id));
        standing
    }
}
