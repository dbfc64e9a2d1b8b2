//! The questions that wait for the person, and what becomes of them. Terminal, page and fresh login all answer through
//! [`Consents::answer`].
//!
//! A question is opened when a decision lacks a grant, and ends with its one answer, or when its time is over, or when
//! it is not about what it was any more: another user, another manifest.

mod evidence;
mod reauth;

pub(crate) use reauth::ReauthError;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentauth_core::caller::CallerFacts;
use agentauth_core::consent::{
    Answer, AnswerFault, Answered, Asking, Choice, Given, Lacking, Limits, Question, Questions, Terms,
};
use agentauth_core::grant::Grant;
use agentauth_core::recognise::Grade;
use agentauth_core::widening::{Confirmed, Means};
use agentauth_core::{CheckRequest, Clock, Decision, Effect, SignedDuration, Strength, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::events::{Events, Happening};
use super::record;
use super::recorder::Recorder;
use super::rights::{Rights, RightsError};
use super::state::State;
use crate::config;
use agentauth_idp::Chain;

/// Questions that wait at once.
const OPEN: usize = 20;
/// Questions of one agent that wait at once.
const OPEN_OF_AGENT: usize = 4;
/// Questions of one agent within ten minutes.
const ASKED: usize = 8;
/// The longest time for which everything may be refused to an agent.
pub(crate) const LONGEST_REFUSAL: SignedDuration = SignedDuration::from_hours(24);

/// What the questions work with.
pub(crate) struct Parts {
    pub(crate) state: Arc<State>,
    pub(crate) audit: Recorder,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rights: Arc<Rights>,
    pub(crate) events: Arc<Events>,
    pub(crate) options: config::Consent,
    pub(crate) device: String,
    /// Where what the provider signed for an answer is kept; see [`evidence`].
    pub(crate) evidence: PathBuf,
}

/// The questions of this daemon.
pub(crate) struct Consents {
    parts: Parts,
    questions: Mutex<Questions>,
    /// The questions whose answer is being carried out.
    in_hand: Mutex<Vec<Arc<str>>>,
    /// Counts the changes of the list.
    revision: watch::Sender<u64>,
}

/// Who answers, and what shows that it is the person.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) strength: Strength,
    /// Where the answer was given.
    pub(crate) way: Way,
    /// How well the answering process is shown to be the person's own.
    pub(crate) grade: Grade,
    /// The process that brought the answer; none for the page.
    pub(crate) by: Option<Arc<CallerFacts>>,
    /// The fresh login or the passkey, where there was one.
    pub(crate) confirmed: Option<Confirmed>,
}

/// Where an answer was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the command line, over the socket.
    Terminal,
    /// On the page in the browser.
    Page,
}

/// What came of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) given: Vec<(Given, Arc<str>)>,
    pub(crate) refused: Vec<String>,
    /// Until when everything is refused to the agent.
    pub(crate) denied_until: Option<Timestamp>,
}

/// Why an answer was not carried out. Nothing was given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error(
        "no such question waits: it was answered, or it is over; `agentauthd consents` shows those that wait"
    )]
    Gone,
    #[error("everything is paused, so nothing can be allowed: end the pause with `agentauthd unlock` first")]
    Paused,
    #[error(
        "nobody is logged in whose login it could last as long as: log in first, or allow it for a fixed time"
    )]
    NoLogin,
    #[error(transparent)]
    Fault(#[from] AnswerFault),
    #[error(
        "what the provider signed could not be kept, so nothing is allowed: make room in the state directory"
    )]
    Evidence(#[source] std::io::Error),
    #[error("the answer could not be carried out")]
    Rights(#[from] RightsError),
}

impl Consents {
    /// No questions yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let limits = Limits {
            open: OPEN,
            open_of_agent: OPEN_OF_AGENT,
            asked: ASKED,
            within: SignedDuration::from_mins(10),
        };
        Self {
            parts,
            questions: Mutex::new(Questions::new(limits)),
            in_hand: Mutex::default(),
            revision: watch::channel(0).0,
        }
    }

    /// Puts to the person what a decision lacks. The ids of the questions that wait for it, old or new.
    pub(crate) fn open(
        &self,
        decision: &Decision,
        request: &CheckRequest,
        caller: &CallerFacts,
    ) -> Vec<Arc<str>> {
        if decision.dry_run || decision.effects.is_empty() {
            return Vec::new();
        }
        let now = self.parts.clock.now();
        let snapshot = self.parts.state.load();
        let mut waiting = Vec::new();
        for effect in &decision.effects {
            let Effect::AskConsent { agent, scopes } = effect else { continue };
            let lacking = Lacking {
                agent,
                scopes,
                action: request.action.as_ref(),
                purpose: request.purpose.as_deref(),
                caller,
                assurance: decision.assurance,
            };
            let id = format!("ask_{}", Uuid::new_v4().simple());
            let times = (now, later(now, self.parts.options.expires_after));
            let question = Question::new(&id, &lacking, &snapshot, self.parts.options.longest, times);
            let Some(question) = question else { continue };
            let asking = self.lock().ask(question, now);
            match asking {
                Asking::Opened(question) => {
                    tracing::info!(id = %question.id, agent = %question.agent, "a question waits for the person");
                    self.parts.audit.note_down(&record::consent_asked(&question, decision.id.as_str(), now));
                    waiting.push(Arc::clone(&question.id));
                    self.parts.events.tell(|| Happening::Asked(Arc::clone(&question)));
                    self.changed();
                }
                Asking::Joined(question) => waiting.push(Arc::clone(&question.id)),
                Asking::NotPut(why) => tracing::info!(agent, %why, "a question is not put to the person"),
            }
        }
        waiting
    }

    /// The questions that wait, the oldest first, and which change of the list this is.
    pub(crate) fn list(&self) -> (u64, Vec<Arc<Question>>) {
        let revision = *self.revision.borrow();
        (revision, self.lock().iter().cloned().collect())
    }

    /// The question of this id, if it waits.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Question>> {
        self.lock().get(id).cloned()
    }

    /// Whether one of these questions waits, or its answer is just being carried out.
    pub(crate) fn any_waits(&self, ids: &[Arc<str>]) -> bool {
        let in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        let questions = self.lock();
        ids.iter().any(|id| questions.get(id).is_some() || in_hand.contains(id))
    }

    /// Tells when the list has changed.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// What the answer takes, where it fits the question; nothing for a no.
    pub(crate) fn needs(&self, id: &str, answer: &Answer) -> Result<Option<Strength>, AnswerError> {
        let question = self.standing(id)?;
        Ok(answer.needs(&question, &self.terms())?)
    }

    /// Carries an answer out, once. To be run in a task of its own: a question that was taken has to be answered,
    /// whether or not anybody waits for the outcome.
    pub(crate) async fn answer(
        &self,
        id: &str,
        answer: &Answer,
        everything_for: Option<SignedDuration>,
        word: &Word,
    ) -> Result<Done, AnswerError> {
        let question = self.standing(id)?;
        let terms = self.terms();
        let answered = answer.to(&question, word.strength, &terms)?;
        let grants = self.grants(&question, &answered)?;
        let evidence = match word.confirmed.as_ref().filter(|_| !grants.is_empty()) {
            Some(confirmed) => self.keep_evidence(confirmed).await?,
            None => None,
        };
        let _in_hand = InHand::new(self, &question.id);
        // From here on no other answer can be given.
        let question = self.lock().take(id).ok_or(AnswerError::Gone)?;
        let event = record::consent_answered(
            &question,
            &answered,
            &grants,
            (word, evidence.as_deref()),
            &self.parts.device,
            terms.now,
        );
        if grants.is_empty() {
            // A no holds first, and is written down after.
            let denied_until = self.refuse(&question, &answered, everything_for, terms.now);
            self.parts.audit.note_down(&event);
            self.tell_answered(&question, &answered, &grants);
            return Ok(Done { refused: texts(&answered), denied_until, ..Done::default() });
        }
        if let Err(error) = self.parts.rights.give(grants.clone(), &event).await {
            tracing::error!(error = %Chain(&error), "an answer could not be carried out");
            self.lock().put_back(question);
            return Err(error.into());
        }
        self.refuse(&question, &answered, None, terms.now);
        self.tell_answered(&question, &answered, &grants);
        let refused = texts(&answered);
        let ids = grants.iter().map(|grant| Arc::clone(&grant.id));
        Ok(Done { given: answered.given.into_iter().zip(ids).collect(), refused, denied_until: None })
    }

    /// Ends what has had its time, or is not about what it was, until told to stop.
    pub(crate) async fn keep(&self, stop: CancellationToken) {
        let (mut listed, mut changed) = (self.revision.subscribe(), self.parts.state.watch());
        loop {
            let next = self.lock().next_expiry();
            let expiry = async {
                match next {
                    Some(at) => {
                        let left = at.duration_since(self.parts.clock.now());
                        tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = expiry => {}
                _ = listed.changed() => {}
                _ = changed.changed() => {}
            }
            self.clear();
        }
    }

    fn clear(&self) {
        let now = self.parts.clock.now();
        let snapshot = self.parts.state.load();
        let cleared = self.lock().clear(now, |question| question.still_stands(&snapshot));
        for question in &cleared {
            let why = if question.still_stands(&snapshot) { "expired" } else { "overtaken" };
            self.parts.audit.note_down(&record::consent_ended(question, why, now));
            self.parts.events.tell(|| Happening::Ended { question: Arc::clone(question), why });
        }
        if !cleared.is_empty() {
            self.changed();
        }
    }

    /// The question, if it waits and is still about what it was.
    fn standing(&self, id: &str) -> Result<Arc<Question>, AnswerError> {
        let question = self.get(id).ok_or(AnswerError::Gone)?;
        if question.still_stands(&self.parts.state.load()) { Ok(question) } else { Err(AnswerError::Gone) }
    }

    fn terms(&self) -> Terms {
        let now = self.parts.clock.now();
        Terms { now, today_ends: agentauth_host::clock::end_of_day(now), longest: self.parts.options.longest }
    }

    /// The grants that an answer gives, to the agent, manifest, user and action of its question alone.
    fn grants(&self, question: &Question, answered: &Answered) -> Result<Vec<Grant>, AnswerError> {
        if answered.given.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.parts.state.load();
        if snapshot.locked {
            return Err(AnswerError::Paused);
        }
        let login =
            snapshot.session.usable_at(self.parts.clock.now()).ok().map(|session| session.logged_in_at);
        if login.is_none() && answered.given.iter().any(|given| given.choice == Choice::Session) {
            return Err(AnswerError::NoLogin);
        }
        Ok(answered.grants(question, login))
    }

    /// Remembers what was refused. Until when everything is refused, if that was said.
    fn refuse(
        &self,
        question: &Question,
        answered: &Answered,
        everything_for: Option<SignedDuration>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let until = later(now, self.parts.options.cool_down);
        let everything_until = everything_for.map(|span| later(now, span.min(LONGEST_REFUSAL)));
        if answered.refused.is_empty() && everything_until.is_none() {
            return None;
        }
        self.parts.state.change(|snapshot| {
            snapshot.declined.forget(now);
            for scope in &answered.refused {
                snapshot.declined.decline(&question.agent, scope.clone(), now, until);
            }
            if let Some(until) = everything_until {
                snapshot.declined.decline_everything(&question.agent, now, until);
            }
        });
        if everything_until.is_some() {
            // Whatever else it asked is answered with that.
            let others = self.lock().clear(now, |other| other.agent != question.agent);
            for other in &others {
                self.parts.audit.note_down(&record::consent_ended(other, "denied", now));
                self.parts.events.tell(|| Happening::Ended { question: Arc::clone(other), why: "denied" });
            }
        }
        everything_until
    }

    fn tell_answered(&self, question: &Arc<Question>, answered: &Answered, grants: &[Grant]) {
        self.parts.events.tell(|| Happening::Answered {
            question: Arc::clone(question),
            given: grants.iter().map(|grant| Arc::clone(&grant.id)).collect(),
            refused: texts(answered),
        });
    }

    fn changed(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks a question as being answered; at the end, those who wait for it look again.
struct InHand<'c> {
    consents: &'c Consents,
    id: Arc<str>,
}

impl<'c> InHand<'c> {
    fn new(consents: &'c Consents, id: &Arc<str>) -> Self {
        consents.in_hand.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(id));
        Self { consents, id: Arc::clone(id) }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut in_hand = self.consents.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = in_hand.iter().position(|known| *known == self.id) {
            in_hand.remove(position);
        }
        drop(in_hand);
        self.consents.changed();
    }
}

impl Word {
    /// What shows that the answer is the person's, in a word: who signed for the question, or only where it was given.
    pub(crate) fn binding(&self) -> &'static str {
        match (self.confirmed.as_ref().map(|confirmed| &confirmed.by), self.way) {
            (Some(Means::Reauth { .. }), _) => "nonce",
            (Some(Means::Passkey { .. }), _) => "challenge",
            (Some(Means::SignIn { .. }), _) => "sign_in",
            (None, Way::Terminal) => "terminal",
            (None, Way::Page) => "page",
        }
    }
}

fn texts(answered: &Answered) -> Vec<String> {
    answered.refused.iter().map(ToString::to_string).collect()
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}
