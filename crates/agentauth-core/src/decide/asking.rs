//! What the person is asked: one question for each agent, about everything that an answer may help with.

use std::sync::Arc;

use super::Case;
use crate::catalogue::Strength;
use crate::consent::Wanted;
use crate::decision::Effect;
use crate::grant::GrantAnswer;
use crate::scope::Scope;
use crate::session::Session;

impl Case<'_> {
    /// What the person is asked where a policy says that an answer helps: everything that there is no grant for, and what the
    /// policies want confirmed more strongly than it was. Nothing where something else stands in the way, too.
    pub(super) fn wanted(&self, session: &Arc<Session>) -> Option<Vec<Effect>> {
        let mut effects = Vec::new();
        for (scope, agent) in self.each() {
            if self.snapshot.declined.of(&agent.name, scope, self.now).is_some() {
                return None;
            }
            let verdict = self.verdict(session, scope, agent);
            let at_least = match (verdict.permitted, verdict.consent_helps()) {
                (true, _) => None,
                (false, true) => verdict.remedy_terms.strength,
                (false, false) => return None,
            };
            match self.grant(session, scope, agent) {
                // The policy is the grant, and a no would take it away.
                GrantAnswer::Missing | GrantAnswer::Expired(..) if verdict.preapproved.is_some() => {}
                GrantAnswer::Missing | GrantAnswer::Expired(..) => {
                    ask(&mut effects, &agent.name, scope, at_least);
                }
                GrantAnswer::Live(grant) => {
                    let weak = at_least.is_some_and(|least| grant.strength() < least.into());
                    if verdict.depends_on_strength && weak {
                        ask(&mut effects, &agent.name, scope, at_least);
                    }
                }
                GrantAnswer::Refused(_) => return None,
            }
        }
        Some(effects)
    }
}

/// Adds a scope to what an agent's person is asked.
pub(super) fn ask(effects: &mut Vec<Effect>, of: &str, scope: &Scope, at_least: Option<Strength>) {
    let wanted = || Wanted { scope: scope.clone(), at_least };
    for effect in effects.iter_mut() {
        if let Effect::AskConsent { agent, scopes } = effect
            && agent == of
        {
            if scopes.iter().all(|known| known.scope != *scope) {
                scopes.push(wanted());
            }
            return;
        }
    }
    effects.push(Effect::AskConsent { agent: of.to_owned(), scopes: vec![wanted()] });
}
