//! What widens rights beyond what a prompt is enough for: the request in one canonical form, and whether a fresh login
//! or a passkey proves that the person wants exactly this.
//!
//! The digest of the request is the `nonce` of the login. So the provider's signature over the ID token covers it: who
//! signed in did so for this operation, on this device, after the question was asked. A passkey signs the same digest as
//! its challenge.

mod words;

use serde_json::{Value, json};

use crate::agent::Registration;
use crate::canonical::canonical_digest;
use crate::catalogue::Strength;
use crate::claims::IdTokenClaims;
use crate::consent::Choice;
use crate::mandate::Draft;
use crate::own_rules::RuleChange;
use crate::passkey::{Assertion, Ceremony, Passkey, PasskeyFault, Used};
use crate::scope::Scope;
use crate::time::Timestamp;

/// An account at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The provider (`iss`).
    pub issuer: String,
    /// The user there (`sub`).
    pub subject: String,
}

/// An operation that widens rights.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Widening {
    /// This installation belongs to another account from now on.
    SwitchAccount {
        /// Whom it belongs to now.
        from: Party,
        /// Whom it is to belong to.
        to: Party,
    },
    /// An agent is registered, in place of what has its name.
    RegisterAgent {
        /// Whom the installation belongs to.
        account: Party,
        /// The agent as it is to be registered.
        registration: Box<Registration>,
        /// The digest of the registration that it replaces.
        replaces: Option<String>,
    },
    /// An agent is none any more, so that its programs count as the person's own.
    RemoveAgent {
        /// Whom the installation belongs to.
        account: Party,
        /// The agent's name.
        agent: String,
    },
    /// An agent may do what it asked for.
    Approve {
        /// Whom the installation belongs to.
        account: Party,
        /// The question that is answered.
        question: String,
        /// The agent.
        agent: String,
        /// The manifest that the person saw.
        manifest_digest: String,
        /// Whose rights it would use (`sub`).
        subject: String,
        /// What is allowed, and for how long.
        scopes: Vec<(Scope, Choice)>,
        /// The digest of the action that it is allowed for, if for one only.
        action: Option<String>,
        /// What it takes at least.
        needs: Strength,
    },
    /// An agent may do something in runs that nobody watches.
    GiveMandate {
        /// Whom the installation belongs to.
        account: Party,
        /// What the grants name as what they answer.
        mandate: String,
        /// The agent.
        agent: String,
        /// The manifest that it holds for.
        manifest_digest: String,
        /// Whose rights it would use (`sub`).
        subject: String,
        /// What is allowed, when, how often and until when.
        draft: Draft,
        /// What it takes at least.
        needs: Strength,
    },
    /// What was allowed for long counts on: the person is there.
    ConfirmGrants {
        /// Whom the installation belongs to.
        account: Party,
        /// The ids of what stands.
        grants: Vec<String>,
    },
    /// What the person's own files say takes effect.
    ApplyRules {
        /// Whom the installation belongs to.
        account: Party,
        /// The digest of all the person's rules as they are to be.
        rules: String,
        /// The digest of those that they replace.
        replaces: String,
        /// In what the two differ.
        changes: Vec<RuleChange>,
    },
    /// What was paused goes on.
    Unlock {
        /// Whom the installation belongs to.
        account: Party,
    },
    /// An agent's program is started so that it is proven to be that agent.
    Launch {
        /// Whom the installation belongs to.
        account: Party,
        /// What is started, and how.
        launch: Launched,
    },
    /// A passkey may confirm what is asked here from now on.
    AddPasskey {
        /// Whom the installation belongs to.
        account: Party,
        /// What the person calls it.
        name: String,
    },
}

/// A program that is to be started as an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The agent's name.
    pub agent: String,
    /// The digest of its manifest.
    pub manifest_digest: String,
    /// SHA-256 of the executable that would run, in lower-case hexadecimal.
    pub executable_sha256: String,
    /// SHA-256 of the script, where the executable is an interpreter.
    pub script_sha256: Option<String>,
    /// Whether it is confined.
    pub confined: bool,
}

/// A question to the person: may this be done, here, now? Asked by a login whose `nonce` is [`Question::digest`], or of
/// a passkey that signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    request: Value,
    digest: String,
    challenge: Vec<u8>,
    asked_of: Party,
    asked_at: Timestamp,
    least: Strength,
    /// Whether a prompt would do: then a login that falls short of showing more counts as one.
    prompt_will_do: bool,
}

/// What a person confirmed: for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The canonical request.
    pub request: Value,
    /// Its digest, which the provider or the passkey signed.
    pub digest: String,
    /// How the person confirmed it.
    pub by: Means,
}

/// How a person confirmed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// By a fresh login.
    Reauth {
        /// When the person signed in, by the provider's clock.
        auth_time: Timestamp,
        /// What the provider signed, where the record is to be verifiable later.
        proof: Option<Proof>,
    },
    /// With a passkey.
    Passkey {
        /// Its id.
        id: String,
        /// The digest of what is kept of its answer.
        evidence: String,
    },
    /// By a login for this at a provider that does not show that it was fresh. Worth no more than a prompt.
    SignIn {
        /// What is missing.
        lacks: NotConfirmed,
    },
}

impl Confirmed {
    /// How strongly it shows that the person wants it.
    #[must_use]
    pub fn strength(&self) -> Strength {
        match self.by {
            Means::Reauth { .. } => Strength::Reauth,
            Means::Passkey { .. } => Strength::Passkey,
            Means::SignIn { .. } => Strength::Prompt,
        }
    }
}

/// An ID token whose `nonce` is the digest of a request. It names a person, so it is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Proof(String);

impl Proof {
    /// The compact form of the token (RFC 7515 section 7.1).
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(token.to_owned())
    }

    /// The token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Proof")
    }
}

/// Why a login does not prove that the person wants this. Subjects may contain anything: escape for display.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConfirmed {
    /// Somebody else signed in.
    #[error(
        "`{seen}` signed in, but `{wanted}` was asked: sign in as the account that this installation belongs to"
    )]
    OtherAccount {
        /// Who signed in.
        seen: String,
        /// Who was asked.
        wanted: String,
    },
    /// The token answers another question, or none.
    #[error("the sign-in was not for this question: start again")]
    OtherQuestion,
    /// The provider does not say when the person signed in.
    #[error(
        "the provider does not say when you signed in (`auth_time`), so it does not show that you did so for this question"
    )]
    NoAuthTime,
    /// The sign-in is older than the question.
    #[error(
        "the sign-in is of {auth_time}, and the question was asked at {asked_at}: sign in anew when the page asks, and see \
         that this machine's clock is right"
    )]
    NotFresh {
        /// When the person signed in.
        auth_time: Timestamp,
        /// When the question was asked.
        asked_at: Timestamp,
    },
    /// A passkey answered what only a login does.
    #[error("a passkey does not confirm this: sign in for it")]
    NeedsLogin,
    /// The passkey is another account's.
    #[error(
        "the passkey belongs to another account than the one that was asked: use one that was registered for it"
    )]
    OtherOwner,
    /// The passkey's answer does not count.
    #[error(transparent)]
    Passkey(#[from] PasskeyFault),
}

impl Question {
    /// Asks the owner of the installation `device`, now. `id` makes the question unlike every other.
    ///
    /// # Errors
    /// None that a request of text can have; see [`canonical_digest`].
    pub fn new(
        operation: &Widening,
        device: &str,
        id: &str,
        asked_at: Timestamp,
    ) -> Result<Self, crate::canonical::NotCanonical> {
        let request = operation.request(device, id);
        let digest = canonical_digest(&request)?;
        let challenge = hex::decode(&digest).unwrap_or_default();
        let (asked_of, least) = (operation.asked_of().clone(), operation.least());
        let prompt_will_do = matches!(operation, Widening::Approve { needs: Strength::Prompt, .. });
        Ok(Self { request, digest, challenge, asked_of, asked_at, least, prompt_will_do })
    }

    /// SHA-256 over the canonical request (RFC 8785), in lower-case hexadecimal: the login's `nonce`.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The same as bytes: the challenge of a passkey.
    #[must_use]
    pub fn challenge(&self) -> &[u8] {
        &self.challenge
    }

    /// Whether a passkey of the one who is asked may confirm it.
    #[must_use]
    pub fn takes(&self, passkey: &Passkey) -> bool {
        self.least <= Strength::Passkey && passkey.is_of(&self.asked_of)
    }

    /// Whether `assertion`, given on a page of `origin`, is the answer of `passkey` to this question. `counted` is the
    /// signature counter that it showed last.
    ///
    /// # Errors
    /// What is missing.
    pub fn signed_by(
        &self,
        passkey: &Passkey,
        assertion: &Assertion,
        origin: &str,
        counted: u32,
    ) -> Result<Used, NotConfirmed> {
        if self.least > Strength::Passkey {
            return Err(NotConfirmed::NeedsLogin);
        }
        if !passkey.is_of(&self.asked_of) {
            return Err(NotConfirmed::OtherOwner);
        }
        let ceremony = Ceremony { challenge: &self.challenge, origin };
        Ok(passkey.verify(assertion, &ceremony, counted)?)
    }

    /// For the record: that it was confirmed so.
    #[must_use]
    pub fn confirmed(&self, by: Means) -> Confirmed {
        Confirmed { request: self.request.clone(), digest: self.digest.clone(), by }
    }

    /// Who is asked.
    #[must_use]
    pub fn asked_of(&self) -> &Party {
        &self.asked_of
    }

    /// Whether the login behind an ID token that was verified and judged answers this question: the nonce is echoed,
    /// the account is the one that was asked, and it authenticated no earlier than the question was asked. A login of that
    /// account for this question that is not shown to be fresh is worth a prompt, where a prompt will do.
    ///
    /// # Errors
    /// What is missing.
    pub fn answered_by(&self, token: &IdTokenClaims) -> Result<Confirmed, NotConfirmed> {
        if token.issuer != self.asked_of.issuer || token.subject != self.asked_of.subject {
            return Err(NotConfirmed::OtherAccount {
                seen: token.subject.clone(),
                wanted: self.asked_of.subject.clone(),
            });
        }
        match self.shown_by(token) {
            Ok(auth_time) => Ok(self.confirmed(Means::Reauth { auth_time, proof: None })),
            // A token that answers something else, or nothing, is never an answer to this.
            Err(lacks) if self.prompt_will_do && lacks != NotConfirmed::OtherQuestion => {
                Ok(self.confirmed(Means::SignIn { lacks }))
            }
            Err(lacks) => Err(lacks),
        }
    }

    /// When the login happened, if it shows that it was for this question.
    fn shown_by(&self, token: &IdTokenClaims) -> Result<Timestamp, NotConfirmed> {
        if token.nonce.as_deref() != Some(self.digest.as_str()) {
            return Err(NotConfirmed::OtherQuestion);
        }
        let auth_time = token.auth_time.ok_or(NotConfirmed::NoAuthTime)?;
        if !token.proves_fresh_login(&self.digest, self.asked_at) {
            return Err(NotConfirmed::NotFresh { auth_time, asked_at: self.asked_at });
        }
        Ok(auth_time)
    }
}

impl Widening {
    /// Who has to confirm it.
    #[must_use]
    pub fn asked_of(&self) -> &Party {
        match self {
            Self::SwitchAccount { from, .. } => from,
            Self::Unlock { account }
            | Self::GiveMandate { account, .. }
            | Self::ConfirmGrants { account, .. }
            | Self::Launch { account, .. }
            | Self::RegisterAgent { account, .. }
            | Self::RemoveAgent { account, .. }
            | Self::ApplyRules { account, .. }
            | Self::Approve { account, .. }
            | Self::AddPasskey { account, .. } => account,
        }
    }

    /// What it takes at least. Who may hand the installation over, or say what may confirm, is who can sign in.
    #[must_use]
    pub fn least(&self) -> Strength {
        match self {
            Self::SwitchAccount { .. } | Self::AddPasskey { .. } => Strength::Reauth,
            Self::Approve { needs, .. } | Self::GiveMandate { needs, .. } => *needs,
            _ => Strength::Passkey,
        }
    }

    fn request(&self, device: &str, id: &str) -> Value {
        match self {
            Self::SwitchAccount { from, to } => json!({
                "operation": "login.switch", "from": from.json(), "to": to.json(), "device": device, "id": id,
            }),
            Self::RegisterAgent { account, registration, replaces } => json!({
                "operation": "agent.register", "account": account.json(), "agent": registration.manifest.name,
                "registration": registration.digest(), "manifest": registration.manifest.digest(),
                "selectors": registration.selectors, "replaces": replaces, "device": device, "id": id,
            }),
            Self::RemoveAgent { account, agent } => json!({
                "operation": "agent.remove", "account": account.json(), "agent": agent, "device": device, "id": id,
            }),
            Self::Approve { account, question, agent, manifest_digest, subject, scopes, action, .. } => {
                let scopes: Vec<Value> =
                    scopes.iter().map(|(scope, choice)| json!({ "scope": scope, "for": choice })).collect();
                json!({
                    "operation": "consent.approve", "account": account.json(), "question": question,
                    "agent": agent, "manifest": manifest_digest, "sub": subject, "scopes": scopes,
                    "action": action, "device": device, "id": id,
                })
            }
            Self::GiveMandate { account, mandate, agent, manifest_digest, subject, draft, .. } => json!({
                "operation": "grant.give", "account": account.json(), "mandate": mandate, "agent": agent,
                "manifest": manifest_digest, "sub": subject, "scopes": draft.scopes, "until": draft.until,
                "uses": draft.uses, "window": draft.window, "device": device, "id": id,
            }),
            Self::ConfirmGrants { account, grants } => json!({
                "operation": "grant.confirm", "account": account.json(), "grants": grants, "device": device,
                "id": id,
            }),
            Self::AddPasskey { account, name } => json!({
                "operation": "passkey.add", "account": account.json(), "name": name, "device": device, "id": id,
            }),
            Self::ApplyRules { account, rules, replaces, changes: _ } => json!({
                "operation": "rules.apply", "account": account.json(), "rules": rules, "replaces": replaces,
                "device": device, "id": id,
            }),
            Self::Unlock { account } => {
                json!({ "operation": "unlock", "account": account.json(), "device": device, "id": id })
            }
            Self::Launch { account, launch } => json!({
                "operation": "launch", "account": account.json(), "agent": launch.agent,
                "manifest_digest": launch.manifest_digest, "executable_sha256": launch.executable_sha256,
                "script_sha256": launch.script_sha256, "confined": launch.confined, "device": device, "id": id,
            }),
        }
    }
}

impl Party {
    fn json(&self) -> Value {
        json!({ "issuer": self.issuer, "sub": self.subject })
    }
}

#[cfg(test)]
mod tests;
