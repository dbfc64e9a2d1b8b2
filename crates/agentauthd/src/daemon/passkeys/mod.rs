//! The passkeys of the person, and what they confirm.
//!
//! A passkey is registered under a fresh login only, and removed by any process of the person's. As with every right,
//! the database holds copies: at the start only what the record bears out counts. Each answer of a passkey is kept and
//! recorded with its counter before anything is done with it.

mod desk;
mod terms;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentauth_audit::AuditError;
use agentauth_core::Clock;
use agentauth_core::caller::CallerFacts;
use agentauth_core::passkey::{Assertion, Ceremony, Creation, Passkey, Terms};
use agentauth_core::text::display_safe_within;
use agentauth_core::widening::{Confirmed, Means, NotConfirmed, Question};
use agentauth_idp::Chain;
use agentauth_store::{ProfileName, RightsChange, StateDb, StateError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::logins::NotDone;
use super::recorder::Recorder;
use super::{evidence, record};
use desk::Desk;
pub(crate) use desk::{Asked, Given, Purpose, Waiting};
pub use terms::RootsError;
pub(crate) use terms::terms;

/// So many passkeys at most; a person has a few.
const MOST: usize = 32;

/// What passkeys work with.
pub(crate) struct Parts {
    pub(crate) db: Arc<StateDb>,
    pub(crate) profile: ProfileName,
    pub(crate) audit: Recorder,
    pub(crate) clock: Arc<dyn Clock>,
    /// What is asked of a new one.
    pub(crate) terms: Terms,
    /// Where what a passkey signed is kept.
    pub(crate) evidence: PathBuf,
}

/// The passkeys of this daemon.
pub(crate) struct Passkeys {
    parts: Parts,
    known: Mutex<Vec<Known>>,
    desk: Desk,
    /// Changes take turns, so that record, database and memory tell one story.
    turn: tokio::sync::Mutex<()>,
}

/// A registered passkey.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) id: Arc<str>,
    pub(crate) passkey: Arc<Passkey>,
    /// The highest signature counter that it has shown.
    pub(crate) counted: u32,
}

/// Why a passkey was not registered or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasskeyError {
    #[error("there is no passkey `{}`: see `agentauthd passkey list`", display_safe_within(.0, 64))]
    None(String),
    #[error("{MOST} passkeys are registered already: remove one with `agentauthd passkey remove` first")]
    TooMany,
    #[error("this passkey is registered already: see `agentauthd passkey list`")]
    Twice,
    #[error("this was confirmed already, or its time is over: start again")]
    Over,
    #[error("it could not be recorded, so it does not count")]
    Audit(#[source] AuditError),
    #[error("it could not be written to the state database")]
    State(#[source] StateError),
}

/// What removing a passkey did.
pub(crate) struct Removed {
    pub(crate) passkey: Known,
    /// What could not be done; the passkey confirms nothing any more all the same.
    pub(crate) failures: Vec<String>,
}

impl Passkeys {
    /// With those that the record bears out.
    pub(crate) fn new(parts: Parts, standing: Vec<(Passkey, u32)>) -> Self {
        let known = standing.into_iter().map(|(passkey, counted)| Known::new(passkey, counted)).collect();
        Self { parts, known: Mutex::new(known), desk: Desk::default(), turn: tokio::sync::Mutex::default() }
    }

    /// All of them, the oldest first.
    pub(crate) fn list(&self) -> Vec<Known> {
        let mut known = self.lock().clone();
        known.sort_by(|one, two| (one.passkey.created_at, &one.id).cmp(&(two.passkey.created_at, &two.id)));
        known
    }

    /// Whether models are restricted: then a new passkey has to show which it is.
    pub(crate) fn wants_attestation(&self) -> bool {
        !self.parts.terms.models.is_empty()
    }

    /// The credentials that may answer a question.
    pub(crate) fn credentials(&self, question: &Question) -> Vec<String> {
        let known = self.lock();
        let fitting = known.iter().filter(|known| question.takes(&known.passkey));
        fitting.map(|known| known.passkey.credential_id.clone()).collect()
    }

    /// The credentials of whoever is asked: what has one of them is not registered twice.
    pub(crate) fn registered(&self, question: &Question) -> Vec<String> {
        let known = self.lock();
        let theirs = known.iter().filter(|known| known.passkey.is_of(question.asked_of()));
        theirs.map(|known| known.passkey.credential_id.clone()).collect()
    }

    /// Has a page ask the question, where a passkey may answer it.
    pub(crate) fn ask(&self, asked: Asked) -> Option<Waiting> {
        let asks = asked.purpose == Purpose::Create || !self.credentials(&asked.question).is_empty();
        asks.then(|| self.desk.put(asked))
    }

    /// What a page asks under this id, if it still does.
    pub(crate) fn asked(&self, id: &str) -> Option<Arc<Asked>> {
        self.desk.get(id)
    }

    /// A passkey's answer, given on a page of `origin`: verified, kept, recorded, and handed to who waits for it.
    pub(crate) async fn answer(&self, id: &str, assertion: &Assertion, origin: &str) -> Result<(), NotDone> {
        let asked = self.asked(id).filter(|asked| asked.purpose == Purpose::Confirm).ok_or_else(over)?;
        let (known, used) =
            self.verified(&asked.question, assertion, origin).map_err(|fault| self.refuse(&asked, &fault))?;
        let kept = json!({
            "passkey": &*known.passkey,
            "origin": origin,
            "authenticator_data": URL_SAFE_NO_PAD.encode(&assertion.authenticator_data),
            "client_data": URL_SAFE_NO_PAD.encode(&assertion.client_data),
            "signature": URL_SAFE_NO_PAD.encode(&assertion.signature),
        });
        let give = asked.take().ok_or_else(over)?;
        let kept = evidence::keep(&self.parts.evidence, asked.question.digest(), kept).await;
        let evidence = kept.map_err(|error| failed("state", &error))?;
        let means = Means::Passkey { id: known.id.to_string(), evidence };
        let confirmed = asked.question.confirmed(means);
        let event = record::passkey_used(&known, &confirmed, used, self.parts.clock.now());
        self.parts.audit.append(&event).map_err(|error| failed("audit_unavailable", &error))?;
        self.parts.audit.to_disk().await.map_err(|error| failed("audit_unavailable", &error))?;
        give.give(Given::Confirmed(confirmed)).await
    }

    /// A new passkey, made on a page of `origin`: handed to who waits for it.
    pub(crate) async fn create(&self, id: &str, creation: &Creation, origin: &str) -> Result<(), NotDone> {
        let asked = self.asked(id).filter(|asked| asked.purpose == Purpose::Create).ok_or_else(over)?;
        let question = &asked.question;
        let ceremony = Ceremony { challenge: question.challenge(), origin };
        let (terms, now) = (&self.parts.terms, self.parts.clock.now());
        let made = Passkey::enrolled(creation, &ceremony, terms, question.asked_of(), &asked.name, now);
        let passkey = made.map_err(|fault| self.refuse(&asked, &fault.into()))?;
        asked.take().ok_or_else(over)?.give(Given::Created(Box::new(passkey))).await
    }

    /// Registers a passkey, which its owner confirmed by a fresh login.
    pub(crate) async fn add(
        &self,
        passkey: Passkey,
        by: &CallerFacts,
        confirmed: &Confirmed,
    ) -> Result<(), PasskeyError> {
        let _turn = self.turn.lock().await;
        let known = Known::new(passkey, 0);
        {
            let others = self.lock();
            if others.iter().any(|other| other.passkey.credential_id == known.passkey.credential_id) {
                return Err(PasskeyError::Twice);
            }
            if others.len() >= MOST {
                return Err(PasskeyError::TooMany);
            }
        }
        let event = record::passkey_added(&known, by, confirmed, self.parts.clock.now());
        self.parts.audit.append(&event).map_err(PasskeyError::Audit)?;
        self.parts.audit.to_disk().await.map_err(PasskeyError::Audit)?;
        let row = (known.id.to_string(), known.passkey.to_json());
        self.write(RightsChange { passkeys_in: vec![row], ..RightsChange::default() })
            .await
            .map_err(PasskeyError::State)?;
        let counted = known.passkey.sign_count;
        self.lock().push(Known { counted, ..known });
        Ok(())
    }

    /// Removes a passkey. It confirms nothing from here on, whatever fails.
    pub(crate) async fn remove(&self, id: &str, by: &CallerFacts) -> Result<Removed, PasskeyError> {
        let taken = {
            let mut known = self.lock();
            let at = known.iter().position(|known| *known.id == *id);
            at.map(|at| known.remove(at))
        };
        let passkey = taken.ok_or_else(|| PasskeyError::None(id.to_owned()))?;
        let _turn = self.turn.lock().await;
        let mut failures = Vec::new();
        let change = RightsChange { passkeys_out: vec![id.to_owned()], ..RightsChange::default() };
        if let Err(error) = self.write(change).await {
            failures
                .push(format!("the passkey would be back after a restart of agentauthd: {}", Chain(&error)));
        }
        let event = record::passkey_removed(&passkey, by, self.parts.clock.now());
        if let Err(error) = self.parts.audit.append(&event) {
            failures.push(Chain(&error).to_string());
        }
        Ok(Removed { passkey, failures })
    }

    /// Which passkey gave the answer, and how far it has counted by now. Two answers at once are counted one after the
    /// other.
    fn verified(
        &self,
        question: &Question,
        assertion: &Assertion,
        origin: &str,
    ) -> Result<(Known, agentauth_core::passkey::Used), NotConfirmed> {
        let id = URL_SAFE_NO_PAD.encode(&assertion.credential_id);
        let mut all = self.lock();
        let known = all.iter_mut().find(|known| known.passkey.credential_id == id);
        let known = known.ok_or(agentauth_core::passkey::PasskeyFault::OtherCredential)?;
        let used = question.signed_by(&known.passkey, assertion, origin, known.counted)?;
        known.counted = used.sign_count;
        Ok((known.clone(), used))
    }

    /// Writes down that an answer counted for nothing.
    fn refuse(&self, asked: &Asked, fault: &NotConfirmed) -> NotDone {
        let (code, message) = (super::logins::code(fault), fault.to_string());
        tracing::warn!(code, error = message, "a passkey confirmed nothing");
        let event = record::passkey_refused(code, &message, asked.question.digest(), self.parts.clock.now());
        self.parts.audit.note_down(&event);
        asked.wrong();
        NotDone { code, message }
    }

    async fn write(&self, change: RightsChange) -> Result<(), StateError> {
        let (db, profile) = (self.parts.db.clone(), self.parts.profile.clone());
        match tokio::task::spawn_blocking(move || db.change_rights(&profile, &change)).await {
            Ok(outcome) => outcome,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn new(passkey: Passkey, counted: u32) -> Self {
        Self { id: passkey.id().into(), passkey: Arc::new(passkey), counted }
    }
}

impl PasskeyError {
    /// A stable word for those who wait.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::None(_) => "passkey_unknown",
            Self::TooMany | Self::Twice => "passkey_not_added",
            Self::Over => "passkey_over",
            Self::Audit(_) => "audit_unavailable",
            Self::State(_) => "state",
        }
    }

    /// For those who wait.
    pub(crate) fn not_done(&self) -> NotDone {
        NotDone { code: self.code(), message: Chain(self).to_string() }
    }
}

/// What a page asked is answered, or its time is over.
fn over() -> NotDone {
    PasskeyError::Over.not_done()
}

fn failed(code: &'static str, error: &(dyn std::error::Error + 'static)) -> NotDone {
    NotDone {
        code,
        message: format!("nothing was done, because it could not be written down: {}", Chain(error)),
    }
}
