//! The registration of a passkey: the owner signs in for it, and then the page has the authenticator make it. The browser
//! that signed in goes on to that page by itself, and nobody else learns its address: whoever came first would register a
//! key of their own.

use std::sync::Arc;
use std::time::Duration;

use agentauth_core::caller::CallerFacts;
use agentauth_core::session::User;
use agentauth_core::widening::{Question, Widening};
use agentauth_idp::{Chain, LoginAttempt, Outcome};

use uuid::Uuid;

use super::widening::asking;
use super::{Ask, ConfirmError, Failure, Logins, NotDone, Parts, Running, Started, answer};
use crate::daemon::page;
use crate::daemon::passkeys::{Asked, Given, PasskeyError, Purpose};

/// A passkey that is to be registered.
pub(crate) struct Enrolling {
    question: Question,
    says: Vec<String>,
    name: String,
    by: Arc<CallerFacts>,
}

impl Logins {
    /// Starts the login by which the owner confirms that a passkey is registered, which then is.
    pub(crate) async fn start_enrolment(
        &self,
        name: String,
        by: Arc<CallerFacts>,
    ) -> Result<Started, ConfirmError> {
        let adding = |account| Widening::AddPasskey { account, name: name.clone() };
        let (operation, question, owner) = self.question(adding).await?;
        let options = asking(&question, &owner.user);
        let enrolling = Enrolling { says: operation.says(), question, name, by };
        Ok(self.start(Ask::Enrol(options, Box::new(enrolling))).await?)
    }
}

impl Parts {
    /// From the owner's sign-in to the registered passkey.
    pub(super) async fn enrol(
        &self,
        attempt: LoginAttempt,
        running: Running,
        enrolling: Enrolling,
    ) -> Result<User, Failure> {
        let cancel = running.cancel;
        let Enrolling { question, says, name, by } = enrolling;
        let (done, responder) = self.signed_in(attempt, &cancel).await?;
        let user = done.accepted.user.clone();
        let confirmed = match self.judge(&question, &done).await {
            Ok(confirmed) => confirmed,
            Err(failure) => return answer(responder, Err(failure)).await,
        };
        let mut asked = Asked::new(&Uuid::new_v4().to_string(), Purpose::Create, question.clone());
        asked.says = says;
        asked.done = "You can close this page. The passkey is registered.".to_owned();
        asked.name = name;
        asked.account = user.label().to_owned();
        let broken = || self.not_widened("internal", "the page could not be asked for".to_owned());
        let mut waiting = self.passkeys.ask(asked).ok_or_else(broken)?;
        let url = match page::operation::open(self.passkeys.clone(), waiting.asked.clone(), None).await {
            Ok(url) => url,
            Err(error) => {
                let failure = self.not_widened("internal", Chain(&error).to_string());
                return answer(responder, Err(failure)).await;
            }
        };
        let (shown, email) = (user.name.clone(), user.email.clone());
        responder.finish(Outcome::GoesOn { name: shown, email, url }).await;
        let limit = Duration::try_from(self.time_limit).unwrap_or_default();
        let given = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                return Err(self.not_widened("cancelled", "another login took its place".to_owned()));
            }
            given = tokio::time::timeout(limit, waiting.given()) => given,
        };
        let (passkey, reply) = match given {
            Ok(Some((Given::Created(passkey), reply))) => (passkey, reply),
            Ok(_) => {
                let NotDone { code, message } = PasskeyError::Over.not_done();
                return Err(self.not_widened(code, message));
            }
            Err(_) => {
                return Err(
                    self.not_widened("timed_out", "no passkey was made in time: start again".to_owned())
                );
            }
        };
        let added = self.passkeys.add(*passkey, &by, &confirmed).await;
        let added = added.map_err(|error| error.not_done());
        // Whoever is on the page may have left it.
        let _ = reply.send(added.clone());
        added.map(|()| user).map_err(|NotDone { code, message }| self.not_widened(code, message))
    }
}
