//! What widens rights beyond what a prompt is enough for: the request in one canonical form, and whether a fresh login
//! or a passkey proves that the person wants exactly this.
//!
//! The digest of the request is the `nonce` of the login. So the provider's signature over the ID token covers it: who
//! signed in did so for this operation, on this device, after the question was asked. A passkey signs the same digest as
//! its challenge.

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
use crate::text::{display_safe, display_safe_within};
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

    /// What is to be done, in plain words, a line each. Safe to show.
    #[must_use]
    pub fn says(&self) -> Vec<String> {
        let safe = |text: &str| display_safe_within(text, 64);
        match self {
            Self::SwitchAccount { from, to } => vec![
                "Hand this installation over to another account".to_owned(),
                format!("From: {} at {}", safe(&from.subject), display_safe(&from.issuer)),
                format!("To: {} at {}", safe(&to.subject), display_safe(&to.issuer)),
            ],
            Self::RegisterAgent { registration, replaces, .. } => {
                let (manifest, selectors) = (&registration.manifest, &registration.selectors);
                let mut lines = vec![
                    format!("Register the agent {} {}", safe(&manifest.name), safe(&manifest.version)),
                    format!("Program: {}", display_safe(&selectors.executable)),
                ];
                lines.extend(selectors.script.as_deref().map(|it| format!("Script: {}", display_safe(it))));
                lines.extend(
                    manifest
                        .scopes
                        .iter()
                        .map(|it| format!("May ask for: {}", display_safe(it.scope.as_str()))),
                );
                lines.extend(
                    replaces.as_ref().map(|_| "It takes the place of its registration so far".to_owned()),
                );
                lines
            }
            Self::GiveMandate { agent, draft, .. } => {
                let mut lines =
                    vec![format!("Allow something to the agent {}, with nobody watching", safe(agent))];
                lines.extend(draft.scopes.iter().map(|it| format!("Allow: {}", display_safe(it.as_str()))));
                lines.extend(draft.window.as_ref().map(|window| format!("When: {window}")));
                lines.extend(draft.uses.map(|uses| format!("How often: {uses} times")));
                lines.push(format!("Until: {}", draft.until));
                lines
            }
            Self::ConfirmGrants { grants, .. } => vec![
                "Confirm that what you allowed for long counts on".to_owned(),
                format!("Grants: {}", grants.len()),
            ],
            Self::RemoveAgent { agent, .. } => vec![
                format!("Remove the agent {}", safe(agent)),
                "Its programs count as your own from then on".to_owned(),
            ],
            Self::Approve { agent, scopes, action, .. } => {
                let mut lines = vec![format!("Allow something to the agent {}", safe(agent))];
                lines.extend(scopes.iter().map(|(scope, choice)| {
                    format!("Allow {}: {}", choice.says(), display_safe_within(scope.as_str(), usize::MAX))
                }));
                lines.extend(
                    action.as_ref().map(|_| "Only for the action that the question shows".to_owned()),
                );
                lines
            }
            Self::ApplyRules { changes, .. } => {
                let mut lines = vec!["Let your own files count as they are now".to_owned()];
                lines.extend(changes.iter().map(RuleChange::says));
                lines
            }
            Self::Unlock { .. } => {
                vec!["End the pause: agents may do again what they were allowed before".to_owned()]
            }
            Self::Launch { launch, .. } => vec![
                format!("Start the agent {}", safe(&launch.agent)),
                format!("Its program has the SHA-256 {}", safe(&launch.executable_sha256)),
                if launch.confined { "Confined" } else { "Without confinement" }.to_owned(),
            ],
            Self::AddPasskey { name, .. } => vec![
                format!("Add the passkey \u{201c}{}\u{201d}", safe(name)),
                "It can confirm from then on what agents ask for, in place of a sign-in".to_owned(),
            ],
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::passkey::Algorithm;
    use crate::passkey::soft::Soft;

    fn party(subject: &str) -> Party {
        Party { issuer: "https://id.example".to_owned(), subject: subject.to_owned() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn switch(from: &str, to: &str, device: &str, id: &str) -> Question {
        let operation = Widening::SwitchAccount { from: party(from), to: party(to) };
        Question::new(&operation, device, id, at(1000)).unwrap()
    }

    fn token(subject: &str, nonce: Option<&str>, auth_time: Option<i64>) -> IdTokenClaims {
        IdTokenClaims {
            subject: subject.to_owned(),
            issuer: "https://id.example".to_owned(),
            audiences: Vec::new(),
            authorized_party: None,
            issued_at: at(1001),
            expires_at: at(2000),
            auth_time: auth_time.map(at),
            nonce: nonce.map(str::to_owned),
            email: None,
            email_verified: None,
            name: None,
            assurance: None,
            factors: Vec::new(),
            session_id: None,
            access_token_hash: None,
        }
    }

    #[test]
    fn the_digest_is_that_of_the_canonical_request() {
        let canonical = r#"{"device":"device:uuid:1","from":{"issuer":"https://id.example","sub":"U1"},"id":"q1","operation":"login.switch","to":{"issuer":"https://id.example","sub":"U2"}}"#;
        let question = switch("U1", "U2", "device:uuid:1", "q1");
        assert_eq!(question.digest(), crate::canonical::sha256_hex(canonical.as_bytes()));
    }

    #[test]
    fn a_login_that_shows_too_little_is_a_prompt_where_that_will_do_and_nothing_elsewhere() {
        let question = |needs| {
            let operation = Widening::Approve {
                account: party("U1"),
                question: "q".to_owned(),
                agent: "a".to_owned(),
                manifest_digest: "m".to_owned(),
                subject: "U1".to_owned(),
                scopes: vec![("files.read:/a".parse().unwrap(), Choice::HalfHour)],
                action: None,
                needs,
            };
            Question::new(&operation, "d", "q1", at(1000)).unwrap()
        };
        let prompt = question(Strength::Prompt);
        let digest = prompt.digest().to_owned();
        let short = [token("U1", Some(&digest), None), token("U1", Some(&digest), Some(1))];
        for token in &short {
            assert_eq!(prompt.answered_by(token).unwrap().strength(), Strength::Prompt);
            for more in [Strength::Passkey, Strength::Reauth] {
                assert!(question(more).answered_by(token).is_err(), "{more:?}");
            }
        }
        assert_eq!(
            prompt.answered_by(&token("U1", Some(&digest), Some(1000))).unwrap().strength(),
            Strength::Reauth
        );
        assert!(prompt.answered_by(&token("U1", Some("another"), Some(1000))).is_err());
        assert!(prompt.answered_by(&token("U1", None, Some(1000))).is_err());
        assert!(prompt.answered_by(&token("U2", Some(&digest), Some(1000))).is_err());
        let unlock = Question::new(&Widening::Unlock { account: party("U1") }, "d", "q1", at(1000)).unwrap();
        assert!(unlock.answered_by(&token("U1", Some(unlock.digest()), None)).is_err());
    }

    #[test]
    fn only_a_fresh_login_of_the_asked_account_for_this_question_counts() {
        let question = switch("U1", "U2", "d", "q1");
        let digest = question.digest().to_owned();
        let other = switch("U1", "U2", "d", "q2").digest().to_owned();
        let answered = |token: &IdTokenClaims| question.answered_by(token);
        let confirmed = answered(&token("U1", Some(&digest), Some(1000))).unwrap();
        assert_eq!(confirmed.digest, digest);
        assert_eq!(confirmed.by, Means::Reauth { auth_time: at(1000), proof: None });
        assert_eq!(confirmed.strength(), Strength::Reauth);
        assert!(matches!(
            answered(&token("U2", Some(&digest), Some(1001))),
            Err(NotConfirmed::OtherAccount { .. })
        ));
        let mut foreign = token("U1", Some(&digest), Some(1001));
        foreign.issuer = "https://evil.example".to_owned();
        assert!(matches!(answered(&foreign), Err(NotConfirmed::OtherAccount { .. })));
        for nonce in [None, Some(""), Some(other.as_str())] {
            assert_eq!(answered(&token("U1", nonce, Some(1001))), Err(NotConfirmed::OtherQuestion));
        }
        assert_eq!(answered(&token("U1", Some(&digest), None)), Err(NotConfirmed::NoAuthTime));
        assert!(matches!(
            answered(&token("U1", Some(&digest), Some(999))),
            Err(NotConfirmed::NotFresh { .. })
        ));
    }

    #[test]
    fn a_passkey_confirms_its_owners_question_and_no_other_and_no_passkey() {
        let origin = "http://localhost:4711";
        let soft = Soft::new(Algorithm::Es256, b"credential");
        let creation = Ceremony { challenge: &[1; 32], origin };
        let passkey = soft.enrolled(&creation, &party("U1"));
        let asked = |operation: &Widening| Question::new(operation, "d", "q1", at(0)).unwrap();
        let approve = |scope: &str| Widening::Approve {
            account: party("U1"),
            question: "ask_1".to_owned(),
            agent: "a".to_owned(),
            manifest_digest: "m".to_owned(),
            subject: "U1".to_owned(),
            scopes: vec![(scope.parse().unwrap(), Choice::Always)],
            action: None,
            needs: Strength::Passkey,
        };
        let question = asked(&approve("files.read:/a"));
        let answer = soft.get(&Ceremony { challenge: question.challenge(), origin }, 1);
        assert!(question.takes(&passkey) && question.signed_by(&passkey, &answer, origin, 0).is_ok());
        // Another scope is another question, and so is everything else.
        for other in [approve("files.read:/"), Widening::Unlock { account: party("U1") }] {
            let refused = asked(&other).signed_by(&passkey, &answer, origin, 0);
            assert_eq!(refused, Err(NotConfirmed::Passkey(PasskeyFault::OtherChallenge)));
        }
        let elsewhere = question.signed_by(&passkey, &answer, "http://localhost:4712", 0);
        assert!(matches!(elsewhere, Err(NotConfirmed::Passkey(PasskeyFault::OtherOrigin { .. }))));
        let foreign = asked(&Widening::Unlock { account: party("U2") });
        assert!(!foreign.takes(&passkey));
        assert_eq!(foreign.signed_by(&passkey, &answer, origin, 0), Err(NotConfirmed::OtherOwner));
        // What may confirm is not widened by what was confirmed so.
        for only_login in [
            Widening::AddPasskey { account: party("U1"), name: "n".to_owned() },
            Widening::SwitchAccount { from: party("U1"), to: party("U2") },
        ] {
            let question = asked(&only_login);
            let answer = soft.get(&Ceremony { challenge: question.challenge(), origin }, 1);
            assert!(!question.takes(&passkey));
            let refused = question.signed_by(&passkey, &answer, origin, 0);
            assert_eq!(refused, Err(NotConfirmed::NeedsLogin));
        }
    }

    #[test]
    fn another_program_or_no_confinement_is_another_question() {
        let launch = Launched {
            agent: "a".to_owned(),
            manifest_digest: "m".to_owned(),
            executable_sha256: "e".to_owned(),
            script_sha256: None,
            confined: true,
        };
        let digest = |launch: &Launched| {
            let operation = Widening::Launch { account: party("U1"), launch: launch.clone() };
            assert_eq!(operation.asked_of(), &party("U1"));
            Question::new(&operation, "d", "q1", at(0)).unwrap().digest().to_owned()
        };
        let mut digests = vec![digest(&launch)];
        for other in [
            Launched { agent: "b".to_owned(), ..launch.clone() },
            Launched { manifest_digest: "n".to_owned(), ..launch.clone() },
            Launched { executable_sha256: "f".to_owned(), ..launch.clone() },
            Launched { script_sha256: Some("s".to_owned()), ..launch.clone() },
            Launched { confined: false, ..launch },
        ] {
            digests.push(digest(&other));
        }
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 6);
    }

    #[test]
    fn another_bound_is_another_mandate() {
        let draft = Draft {
            scopes: vec!["files.read:/a".parse().unwrap()],
            until: at(9),
            uses: Some(1),
            window: "02:00-03:00 Europe/Berlin".parse().ok(),
        };
        let digest = |draft: &Draft| {
            let operation = Widening::GiveMandate {
                account: party("U1"),
                mandate: "m".to_owned(),
                agent: "a".to_owned(),
                manifest_digest: "d".to_owned(),
                subject: "U1".to_owned(),
                draft: draft.clone(),
                needs: Strength::Passkey,
            };
            assert_eq!(operation.asked_of(), &party("U1"));
            Question::new(&operation, "d", "q1", at(0)).unwrap().digest().to_owned()
        };
        let mut digests = vec![digest(&draft)];
        for other in [
            Draft { scopes: vec!["files.read:/b".parse().unwrap()], ..draft.clone() },
            Draft { until: at(10), ..draft.clone() },
            Draft { uses: None, ..draft.clone() },
            Draft { window: None, ..draft.clone() },
            Draft { window: "02:00-03:00 UTC".parse().ok(), ..draft },
        ] {
            digests.push(digest(&other));
        }
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 6);
    }

    proptest! {
        #[test]
        fn two_questions_share_a_digest_only_if_they_are_the_same(
            a in proptest::array::uniform4("[a-z\"\\\\{}:,]{0,6}"), b in proptest::array::uniform4("[a-z\"\\\\{}:,]{0,6}"),
        ) {
            let of = |parts: &[String; 4]| switch(&parts[0], &parts[1], &parts[2], &parts[3]).digest().to_owned();
            prop_assert_eq!(of(&a) == of(&b), a == b);
            let unlock = Question::new(&Widening::Unlock { account: party(&a[0]) }, &a[2], &a[3], at(0)).unwrap();
            prop_assert_ne!(unlock.digest().to_owned(), of(&b));
        }
    }
}
