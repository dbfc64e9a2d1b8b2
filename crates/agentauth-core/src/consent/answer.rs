//! An answer, scope by scope: whether it fits its question, and what it gives. It never gives more than was asked.

use std::sync::Arc;

use super::choice::{Choice, Terms};
use super::question::{AskedScope, Question};
use crate::catalogue::Strength;
use crate::grant::{Binding, Grant, Lifetime};
use crate::scope::Scope;
use crate::time::Timestamp;

/// What a person answered. What it does not name is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Every scope that is allowed, and for how long.
    pub allowed: Vec<(Scope, Choice)>,
}

/// What comes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// What is given.
    pub given: Vec<Given>,
    /// What is refused.
    pub refused: Vec<Scope>,
    /// How strongly it was confirmed.
    pub strength: Strength,
}

/// A right that an answer gives to the agent of its question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What.
    pub scope: Scope,
    /// The yes.
    pub choice: Choice,
    /// For how long.
    pub lifetime: Lifetime,
    /// How often; `None` for any number of times.
    pub uses: Option<u32>,
}

/// Why an answer does not fit its question. Nothing is given then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerFault {
    /// The question is over.
    #[error("the question expired, so it cannot be answered any more: let the agent ask again")]
    Expired,
    /// It names a scope that the question does not.
    #[error("`{0}` was not asked for: answer what the question names")]
    NotAsked(Scope),
    /// It names a scope twice.
    #[error("`{0}` is answered twice: once is enough")]
    Twice(Scope),
    /// It is longer than this machine allows.
    #[error("`{scope}` cannot be allowed {} here: the longest is {}", choice.says(), longest.says())]
    NotOffered {
        /// The scope.
        scope: Scope,
        /// What was wanted.
        choice: Choice,
        /// The longest yes there is.
        longest: Choice,
    },
    /// It takes more than was shown.
    #[error("to allow `{scope}` {} takes {}", choice.says(), taking(*needs))]
    TooWeak {
        /// The scope.
        scope: Scope,
        /// What was wanted.
        choice: Choice,
        /// What that takes.
        needs: Strength,
    },
}

impl Answered {
    /// The grants: to the agent, under the manifest, for the user and the action of `question`, and for nothing else.
    /// `login` is when the login happened that [`Lifetime::Session`] means.
    #[must_use]
    pub fn grants(&self, question: &Question, login: Option<Timestamp>) -> Vec<Grant> {
        let action = question.action.as_ref().map(|action| action.digest().into());
        let one = |given: &Given| {
            let binding = Binding {
                manifest_digest: Some(question.manifest_digest.as_str().into()),
                user: Some(question.user.subject.as_str().into()),
                action: action.clone(),
                consent: Some(Arc::clone(&question.id)),
                strength: Some(self.strength),
            };
            let grant = Grant::new(&question.agent, given.scope.clone(), given.lifetime).bound(binding);
            let grant = match given.uses {
                Some(uses) => grant.for_uses(uses),
                None => grant,
            };
            match login {
                Some(login) if given.lifetime == Lifetime::Session => grant.during(login),
                _ => grant,
            }
        };
        self.given.iter().map(one).collect()
    }
}

impl Answer {
    /// A no to everything.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The strength that this answer takes: nothing for a no.
    ///
    /// # Errors
    /// Where it does not fit the question.
    pub fn needs(&self, question: &Question, terms: &Terms) -> Result<Option<Strength>, AnswerFault> {
        Ok(self.fitted(question, terms)?.into_iter().map(|(_, _, needs)| needs).max())
    }

    /// What comes of the answer, given with this strength.
    ///
    /// # Errors
    /// Where it does not fit the question, or is too weak for one of its scopes. Then it gives nothing.
    pub fn to(
        &self,
        question: &Question,
        strength: Strength,
        terms: &Terms,
    ) -> Result<Answered, AnswerFault> {
        let mut given = Vec::new();
        for (asked, choice, needs) in self.fitted(question, terms)? {
            let scope = asked.scope.clone();
            if strength < needs {
                return Err(AnswerFault::TooWeak { scope, choice, needs });
            }
            given.push(Given { scope, choice, lifetime: choice.lifetime(terms), uses: choice.uses() });
        }
        let is_given = |scope: &Scope| given.iter().any(|given| given.scope == *scope);
        let asked = question.scopes.iter().map(|asked| &asked.scope);
        let refused = asked.filter(|scope| !is_given(scope)).cloned().collect();
        Ok(Answered { given, refused, strength })
    }

    /// Every yes with the scope of the question that it answers, and what it takes.
    fn fitted<'q>(
        &self,
        question: &'q Question,
        terms: &Terms,
    ) -> Result<Vec<(&'q AskedScope, Choice, Strength)>, AnswerFault> {
        if terms.now >= question.expires_at {
            return Err(AnswerFault::Expired);
        }
        let mut fitted: Vec<(&AskedScope, Choice, Strength)> = Vec::new();
        for (scope, choice) in &self.allowed {
            let asked = question.scopes.iter().find(|asked| asked.scope == *scope);
            let asked = asked.ok_or_else(|| AnswerFault::NotAsked(scope.clone()))?;
            if fitted.iter().any(|(known, ..)| known.scope == *scope) {
                return Err(AnswerFault::Twice(scope.clone()));
            }
            let (choice, longest) = (*choice, terms.longest);
            let offer = asked.offers.iter().find(|offer| offer.choice == choice && choice <= longest);
            let offer =
                offer.ok_or_else(|| AnswerFault::NotOffered { scope: scope.clone(), choice, longest })?;
            fitted.push((asked, choice, offer.needs));
        }
        Ok(fitted)
    }
}

/// What an answer of this strength takes.
fn taking(needs: Strength) -> &'static str {
    match needs {
        Strength::Prompt => "an answer of yours, on the page or at a recognised terminal",
        Strength::Passkey => {
            "more than an answer: confirm it with a passkey or a fresh login, with `agentauthd approve --reauth` or on the page"
        }
        Strength::Reauth => {
            "more than an answer or a passkey: confirm it with a fresh login, with `agentauthd approve --reauth` or on the page"
        }
    }
}
