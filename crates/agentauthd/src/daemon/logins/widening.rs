//! Logins that widen rights: the owner of the installation signs in anew, for one question only.
//!
//! What such a login brings is a proof and no session: it is ended at the provider as soon as it has been looked at.

use std::pin::Pin;
use std::sync::Arc;

use agentauth_core::Timestamp;
use agentauth_core::session::User;
use agentauth_core::widening::{Confirmed, Means, NotConfirmed, Party, Proof, Question, Widening};
use agentauth_idp::{Chain, LoggedIn, Login, LoginAttempt, LoginOptions, Outcome as Shown, Responder};
use agentauth_store::{Pin as Pinned, StateError};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Ask, ByPasskey, Failure, Logins, Parts, Progress, Running, StartError, Started, Way, answer, login_code,
    new_login,
};
use crate::daemon::keeper::{LoginMethod, Replacing};
use crate::daemon::page;
use crate::daemon::passkeys::{Asked, Given, Purpose, Waiting};
use crate::daemon::presence::{self, Sign};

/// Whom the installation belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The provider.
    pub(crate) issuer: String,
    /// The account, as far as it is known.
    pub(crate) user: User,
}

/// A handover that waits for the owner's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handover {
    /// Whom the installation belongs to.
    pub(crate) from: Owner,
    /// Who is to own it.
    pub(crate) to: Owner,
    /// Where the owner signs in to confirm it.
    pub(crate) url: String,
    pub(crate) redirect_uri: String,
    pub(crate) expires_at: Timestamp,
}

/// An operation that waits for the owner's word.
pub(crate) struct Confirming {
    question: Question,
    /// The passkey that may give it instead.
    passkey: Option<Waiting>,
    /// What the owner reads in the browser when it is done.
    done: String,
    carry_out: CarryOut,
}

/// What is to be done with the owner's word.
pub(crate) type CarryOut = Box<dyn FnOnce(Confirmed) -> Outcome + Send>;
type Outcome = Pin<Box<dyn Future<Output = Result<(), NotDone>> + Send>>;

/// Why it was not done although the owner confirmed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotDone {
    /// A stable word.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) message: String,
}

/// Why a login that confirms an operation could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfirmError {
    #[error(
        "nobody has logged in here yet, so there is no account to confirm it: log in with `agentauthd login` first"
    )]
    NoOwner,
    #[error("the question could not be written down: please report this")]
    Form,
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Logins {
    /// Starts the login by which the owner confirms an operation, which is then carried out. `done` is what the owner
    /// reads in the browser then. Where the owner has a passkey, a page shows the operation and takes either.
    pub(crate) async fn start_confirmation(
        &self,
        operation: impl FnOnce(Party) -> Widening,
        done: &str,
        carry_out: CarryOut,
    ) -> Result<Started, ConfirmError> {
        let (mut started, asked) = self.start_confirming(operation, done, carry_out).await?;
        if let (Some(asked), Way::Browser { url, .. }) = (asked, &started.way) {
            match page::operation::open(self.parts.passkeys.clone(), asked, Some(url.clone())).await {
                Ok(page) => started.passkey = Some(ByPasskey::Page(page)),
                Err(error) => tracing::info!(error = %Chain(&error), "no page asks for the passkey"),
            }
        }
        Ok(started)
    }

    /// The same for somebody who is on a page already.
    pub(crate) async fn start_confirmation_here(
        &self,
        operation: impl FnOnce(Party) -> Widening,
        done: &str,
        carry_out: CarryOut,
    ) -> Result<Started, ConfirmError> {
        let (started, asked) = self.start_confirming(operation, done, carry_out).await?;
        Ok(Started { passkey: asked.map(|asked| ByPasskey::Here(asked.id.clone())), ..started })
    }

    async fn start_confirming(
        &self,
        operation: impl FnOnce(Party) -> Widening,
        done: &str,
        carry_out: CarryOut,
    ) -> Result<(Started, Option<Arc<Asked>>), ConfirmError> {
        let (operation, question, owner) = self.question(operation).await?;
        let options = asking(&question, &owner.user);
        let mut asked = Asked::new(&random_id(), Purpose::Confirm, question.clone());
        asked.says = operation.says();
        asked.done = done.to_owned();
        asked.account = owner.user.label().to_owned();
        let passkey = self.parts.passkeys.ask(asked);
        let asked = passkey.as_ref().map(|waiting| waiting.asked.clone());
        let confirming = Confirming { question, passkey, done: done.to_owned(), carry_out };
        Ok((self.start(Ask::Confirm(options, Box::new(confirming))).await?, asked))
    }

    /// What the owner is to be asked.
    pub(super) async fn question(
        &self,
        operation: impl FnOnce(Party) -> Widening,
    ) -> Result<(Widening, Question, Owner), ConfirmError> {
        let (_, owner) = self.parts.owner().await?.ok_or(ConfirmError::NoOwner)?;
        let operation = operation(owner.party());
        let question = Question::new(&operation, &self.parts.device, &random_id(), self.parts.clock.now())
            .map_err(|_| ConfirmError::Form)?;
        Ok((operation, question, owner))
    }
}

fn random_id() -> String {
    Uuid::new_v4().to_string()
}

impl Parts {
    /// Signs another account in, holds that login in memory, and hands the installation over once the owner has
    /// confirmed it. Whatever comes in between: nothing has changed, and the login that was held is ended.
    pub(super) async fn switch(
        &self,
        attempt: LoginAttempt,
        running: Running,
        logouts: u64,
    ) -> Result<User, Failure> {
        let Running { id, cancel, progress } = running;
        let (new, responder) = self.signed_in(attempt, &cancel).await?;
        let to = Owner { issuer: new.accepted.id.issuer.clone(), user: new.accepted.user.clone() };
        let token = new.tokens.refresh_token.clone();
        let owner = match self.owner().await {
            Ok(owner) => owner,
            Err(error) => {
                self.say_goodbye(&token).await;
                let failure = self.not_widened("state", Chain(&error).to_string());
                return answer(responder, Err(failure)).await;
            }
        };
        let Some((pin, from)) = owner.filter(|(_, owner)| owner.party() != to.party()) else {
            // It is the owner, or there is none yet: a login like any other.
            let kept = self.adopt(new, LoginMethod::Browser, logouts).await;
            return answer(responder, kept).await;
        };
        let next = format!(
            "Nothing has changed yet. Now {} has to confirm it: go on where you started the login.",
            from.user.label()
        );
        let (name, email) = (to.user.name.clone(), to.user.email.clone());
        // First, because it frees the port that the browser comes back to: there may be only one.
        responder.finish(Shown::SignedIn { name, email, next }).await;
        let (question, attempt, handover) = match self.ask_owner(&from, &to, &id).await {
            Ok(asked) => asked,
            Err(failure) => {
                self.say_goodbye(&token).await;
                return Err(failure);
            }
        };
        progress.send_replace(Progress::Confirm(Box::new(handover)));
        match self.confirmed(attempt, &cancel, &question).await {
            Ok((confirmed, responder)) => {
                let replacing = Replacing { pin, confirmed };
                let new = new_login(new, LoginMethod::Browser, logouts);
                let kept = self.keeper.hand_over(new, replacing).await;
                let kept = kept.map_err(|error| self.not_widened(error.code(), Chain(&error).to_string()));
                answer(responder, kept).await
            }
            Err(failure) => {
                self.say_goodbye(&token).await;
                Err(failure)
            }
        }
    }

    /// Carries an operation out once the owner has confirmed it, by signing in or with a passkey.
    pub(super) async fn confirm(
        &self,
        attempt: LoginAttempt,
        cancel: &CancellationToken,
        confirming: Confirming,
    ) -> Result<User, Failure> {
        let Confirming { question, mut passkey, done: next, carry_out } = confirming;
        let by_passkey = async {
            match &mut passkey {
                Some(waiting) => waiting.given().await,
                None => None,
            }
        };
        let (done, responder) = tokio::select! {
            biased;
            Some((Given::Confirmed(confirmed), reply)) = by_passkey => {
                let now = self.clock.now();
                presence::note(&self.state, &self.audit, now, Sign::Passkey, now);
                let done = carry_out(confirmed).await;
                // Whoever is on the page may have left it.
                let _ = reply.send(done.clone());
                return match done {
                    Ok(()) => Ok(self.owned_by(question.asked_of()).await),
                    Err(NotDone { code, message }) => Err(self.not_widened(code, message)),
                };
            }
            signed_in = self.signed_in(attempt, cancel) => signed_in?,
        };
        // From here on the login is the answer.
        drop(passkey);
        let user = done.accepted.user.clone();
        let confirmed = match self.judge(&question, &done).await {
            Ok(confirmed) => confirmed,
            Err(failure) => return answer(responder, Err(failure)).await,
        };
        if let Err(NotDone { code, message }) = carry_out(confirmed).await {
            let failure = self.not_widened(code, message);
            return answer(responder, Err(failure)).await;
        }
        let (name, email) = (user.name.clone(), user.email.clone());
        responder.finish(Shown::SignedIn { name, email, next }).await;
        Ok(user)
    }

    /// The owner, as far as is known.
    async fn owned_by(&self, party: &Party) -> User {
        let owner = self.owner().await.ok().flatten().filter(|(_, owner)| owner.party() == *party);
        owner.map_or_else(
            || User { subject: party.subject.clone(), name: None, email: None },
            |(_, owner)| owner.user,
        )
    }

    /// Whom the installation belongs to, with what is known of them. Nothing before the first login.
    pub(super) async fn owner(&self) -> Result<Option<(Pinned, Owner)>, StateError> {
        let (db, profile) = (self.db.clone(), self.profile.clone());
        let pin = match tokio::task::spawn_blocking(move || db.pin(&profile)).await {
            Ok(pin) => pin?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        Ok(pin.map(|pin| {
            let known = self.state.load().session.user().filter(|user| user.subject == pin.subject).cloned();
            let user = known.unwrap_or_else(|| {
                let shown = pin.display_name.clone();
                let (email, name) = shown.map_or((None, None), |shown| {
                    if shown.contains('@') { (Some(shown), None) } else { (None, Some(shown)) }
                });
                User { subject: pin.subject.clone(), name, email }
            });
            let owner = Owner { issuer: pin.issuer.clone(), user };
            (pin, owner)
        }))
    }

    /// Binds the listener for the owner's answer, and says what it is about.
    async fn ask_owner(
        &self,
        from: &Owner,
        to: &Owner,
        id: &str,
    ) -> Result<(Question, LoginAttempt, Handover), Failure> {
        let operation = Widening::SwitchAccount { from: from.party(), to: to.party() };
        let question = Question::new(&operation, &self.device, id, self.clock.now())
            .map_err(|error| self.not_widened("internal", error.to_string()))?;
        let options = self.limited(asking(&question, &from.user));
        let (attempt, url) = Login::start(&self.provider, options)
            .await
            .map_err(|error| self.not_widened(login_code(&error), Chain(&error).to_string()))?;
        let handover = Handover {
            from: from.clone(),
            to: to.clone(),
            url: url.as_str().to_owned(),
            redirect_uri: attempt.redirect_uri().to_owned(),
            expires_at: self.clock.now() + self.time_limit,
        };
        Ok((question, attempt, handover))
    }

    /// Waits for the owner's answer and judges it.
    async fn confirmed(
        &self,
        attempt: LoginAttempt,
        cancel: &CancellationToken,
        question: &Question,
    ) -> Result<(Confirmed, Responder), Failure> {
        let (done, responder) = self.signed_in(attempt, cancel).await?;
        match self.judge(question, &done).await {
            Ok(confirmed) => Ok((confirmed, responder)),
            Err(failure) => {
                super::finish_failed(responder, &failure).await;
                Err(failure)
            }
        }
    }

    /// Whether a login answers the question. The login itself is of no further use.
    pub(super) async fn judge(&self, question: &Question, done: &LoggedIn) -> Result<Confirmed, Failure> {
        let judged = question.answered_by(&done.accepted.id);
        self.say_goodbye(&done.tokens.refresh_token).await;
        let confirmed = judged.map_err(|fault| self.not_widened(code(&fault), fault.to_string()))?;
        let Means::Reauth { auth_time, .. } = confirmed.by else { return Ok(confirmed) };
        presence::note(&self.state, &self.audit, auth_time, Sign::Reauth, self.clock.now());
        let proof = Some(Proof::new(done.tokens.id_token.expose_secret()));
        Ok(Confirmed { by: Means::Reauth { auth_time, proof }, ..confirmed })
    }

    /// Writes down that a login that was to widen rights came to nothing.
    pub(super) fn not_widened(&self, code: &'static str, message: String) -> Failure {
        self.refused(LoginMethod::Browser, code, message)
    }

    /// Ends a login at the provider that nothing here knows of any more.
    async fn say_goodbye(&self, refresh_token: &SecretString) {
        if let Err(error) = self.provider.logout(refresh_token, false).await {
            tracing::info!(error = %Chain(&error), "a login that is not kept could not be ended at the provider");
        }
    }
}

impl Owner {
    fn party(&self) -> Party {
        Party { issuer: self.issuer.clone(), subject: self.user.subject.clone() }
    }
}

/// A login of `owner` that answers `question`: anew, whoever the browser remembers.
pub(super) fn asking(question: &Question, owner: &User) -> LoginOptions {
    LoginOptions {
        nonce: Some(question.digest().to_owned()),
        force: true,
        max_age_seconds: Some(0),
        login_hint: owner.email.clone(),
        ..LoginOptions::default()
    }
}

/// The stable code of an answer that is none.
pub(crate) fn code(fault: &NotConfirmed) -> &'static str {
    match fault {
        NotConfirmed::OtherAccount { .. } => "confirmed_by_other_account",
        NotConfirmed::OtherQuestion => "confirmed_other_question",
        NotConfirmed::NoAuthTime => "no_auth_time",
        NotConfirmed::NotFresh { .. } => "not_fresh",
        NotConfirmed::NeedsLogin => "needs_login",
        NotConfirmed::OtherOwner => "passkey_of_other_account",
        NotConfirmed::Passkey(fault) => fault.code(),
    }
}
