//! One process that asks in the words of AuthZEN: for itself, or about others by its domain.

use std::sync::Arc;

use agentauth_core::domain::{Domain, Question, Sought, Verdict};
use agentauth_core::{Agent, CheckRequest, Decision, Reason, Scope, decide};
use agentauth_host::clock::monotonic;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::super::check::{self, Counting};
use super::super::connection::{Caller, Connection};
use super::super::lock;
use super::Failure;
use crate::config::addressed;
use crate::daemon::app::App;
use crate::daemon::record::{self, Asked, Enforced};
use crate::daemon::wire::{self, AuthzenFault, Evaluated, Found, Search, Waiting};

/// What an agent is called in a question about itself.
const AGENT: &str = "agent";
/// The longest purpose, in bytes.
const MAX_PURPOSE: usize = 1024;

/// Who asks.
pub(super) struct Asking<'a> {
    app: &'a Arc<App>,
    connection: &'a Connection,
    caller: Caller,
    headers: &'a HeaderMap,
    /// The agent that it is proven to be; nothing where it is none.
    agent: Option<Arc<Agent>>,
}

/// The name of a domain that is asked by, and it, or why it cannot be.
type AskedBy = (String, Result<Arc<Domain>, String>);

impl<'a> Asking<'a> {
    /// Who asks, as far as this request proves it.
    pub(super) async fn new(
        app: &'a Arc<App>,
        connection: &'a Connection,
        headers: &'a HeaderMap,
    ) -> Result<Self, Failure> {
        let caller = connection.checker(app, headers).await?;
        let agent = decide::agents(&app.state.load(), &caller.facts).into_iter().next();
        Ok(Self { app, connection, caller, headers, agent })
    }

    /// Counts a question that came with others in one request.
    pub(super) fn may_go_on(&self) -> bool {
        let may = lock(&self.app.usage).request(self.connection.pid(), self.app.clock.now());
        if !may {
            self.app.metrics.rate_limited.add();
        }
        may
    }

    /// The answer to one question.
    pub(super) async fn answer(&self, question: Question) -> Result<Evaluated, Failure> {
        let Some((name, domain)) = self.domain() else { return self.own(&question).await };
        let digest = domain.as_ref().ok().map(|domain| domain.digest().to_owned());
        let (question, verdict) = match domain {
            Ok(domain) => {
                aside(move || {
                    let verdict = domain.judge(&question);
                    (question, verdict)
                })
                .await?
            }
            Err(why) => (question, Verdict { unasked: Some(why), ..Verdict::default() }),
        };
        let digest = digest.as_deref();
        let enforced = Enforced::question(&name, digest, &question, verdict);
        self.asked(&asks_by(&name)?, Some(enforced), None).await.map(|(_, answer)| answer)
    }

    /// The answer to one search. What is found is what was permitted just now: nobody decided, and nothing was spent.
    pub(super) async fn search(&self, search: Search) -> Result<Found, Failure> {
        let Some((name, domain)) = self.domain() else { return self.own_search(search) };
        let digest = domain.as_ref().ok().map(|domain| domain.digest());
        let fault = domain.as_ref().err().map(String::as_str);
        let enforced = Enforced::search(&name, digest, fault, search.sought, &search.question);
        let (decision, answer) = self.asked(&asks_by(&name)?, Some(enforced), None).await?;
        let Some(domain) = domain.ok().filter(|_| decision.allow) else { return Ok(wire::untold(answer)) };
        let (sought, question) = (search.sought, search.question.clone());
        let digest = domain.digest().to_owned();
        let results = aside(move || domain.search(sought, &question)).await?;
        self.still_the_same()?;
        page(search, results, &digest)
    }

    /// The domain that the caller asks by; nothing for one that asks for itself.
    fn domain(&self) -> Option<AskedBy> {
        let name = self.agent.as_ref()?.enforcer.clone()?;
        let domain = self.app.domains.get(&name);
        Some((name, domain))
    }

    /// What an agent asks for itself: the same as `POST /v1/check`.
    async fn own(&self, question: &Question) -> Result<Evaluated, Failure> {
        let purpose = question.context.get("purpose").and_then(Value::as_str);
        if purpose.is_some_and(|purpose| purpose.len() > MAX_PURPOSE) {
            let what = format!("`context.purpose` is longer than {MAX_PURPOSE} bytes: shorten it");
            return Err(AuthzenFault::new(StatusCode::BAD_REQUEST, &what).into());
        }
        let purpose = purpose.map(str::to_owned);
        if self.agent.is_none() {
            // It is on record what somebody asked for, and as whom.
            if let Ok(scope) = wire::scope(question) {
                self.asked(&scope, None, purpose).await?;
            }
            return Err(self.nobody());
        }
        self.is_itself(question)?;
        self.asked(&wire::scope(question)?, None, purpose).await.map(|(_, answer)| answer)
    }

    /// The agent's own manifest and grants, as far as they hold now.
    fn own_search(&self, search: Search) -> Result<Found, Failure> {
        let agent = self.agent.as_ref().ok_or_else(|| self.nobody())?;
        let question = &search.question;
        let snapshot = self.app.state.load_full();
        let allowed = |scope: Scope| {
            let request = CheckRequest { scopes: vec![scope], ..CheckRequest::default() };
            let (app, asked) = (self.app, Asked::default());
            check::decided(app, &snapshot, &self.caller, &request, &asked, Counting::No).0.allow
        };
        let wanted = agent.manifest.scopes.iter().map(|entry| &entry.scope);
        let mut results: Vec<String> = match search.sought {
            Sought::Subjects => {
                let found = question.subject.kind == AGENT && wire::scope(question).is_ok_and(allowed);
                found.then(|| agent.name.to_string()).into_iter().collect()
            }
            Sought::Resources => {
                self.is_itself(question)?;
                let granted = snapshot.grants.of_agent(&agent.name).map(|grant| &grant.scope);
                wanted
                    .chain(granted)
                    .filter(|scope| scope.action_name() == question.action)
                    .filter(|scope| scope.resource() == question.resource.kind)
                    .filter(|scope| allowed((*scope).clone()))
                    .map(|scope| scope.context_text().to_owned())
                    .collect()
            }
            Sought::Actions => {
                self.is_itself(question)?;
                let of = |action: &str| Question { action: action.to_owned(), ..question.clone() };
                wanted
                    .map(Scope::action_name)
                    .filter(|action| wire::scope(&of(action)).is_ok_and(allowed))
                    .map(str::to_owned)
                    .collect()
            }
        };
        results.sort();
        results.dedup();
        self.still_the_same()?;
        page(search, results, &agent.manifest_digest)
    }

    /// One decision, made and recorded as any other, and put to the person where it lacks a grant.
    async fn asked(
        &self,
        scope: &Scope,
        enforced: Option<Enforced>,
        purpose: Option<String>,
    ) -> Result<(Decision, Evaluated), Failure> {
        let (app, caller) = (self.app, &self.caller);
        let begun = monotonic();
        let trace = check::trace(self.headers);
        let asked = Asked { trace, purpose: purpose.clone(), enforced, ..Asked::default() };
        let request = CheckRequest { scopes: vec![scope.clone()], purpose, ..CheckRequest::default() };
        let (decision, waiting) = check::put(app, self.connection, caller, &request, &asked, begun).await?;
        if let Some(traces) = &app.traces {
            let took = monotonic().duration_since(begun);
            traces.checked(&decision, self.headers, app.clock.now(), took);
        }
        if matches!(decision.reason, Reason::AgentUnknown | Reason::AgentChanged | Reason::CallerUnproven) {
            return Err(self.unauthenticated(&decision.message));
        }
        let waiting: Option<Waiting> = waiting
            .iter()
            .find_map(|id| app.consents.get(id).map(|question| (id.to_string(), question.expires_at)));
        let answer =
            wire::evaluated(&app.about.profile, &decision, asked.enforced.as_ref(), waiting.as_ref());
        Ok((decision, answer))
    }

    /// Refuses a question about somebody else.
    fn is_itself(&self, question: &Question) -> Result<(), Failure> {
        let name = self.agent.as_ref().map_or("", |agent| &agent.name);
        if question.subject.kind == AGENT && question.subject.id == *name {
            return Ok(());
        }
        let what = format!(
            "`subject` is not who asks, which is `{{\"type\": \"{AGENT}\", \"id\": \"{name}\"}}`: only an agent that is \
             registered as an enforcer may ask about others; see docs/authzen.md"
        );
        let now = self.app.clock.now();
        self.app.audit.note_down(&record::operation_refused(&self.caller.facts, &what, now));
        Err(AuthzenFault::new(StatusCode::FORBIDDEN, &what).into())
    }

    /// Before something leaves that no decision says.
    fn still_the_same(&self) -> Result<(), Failure> {
        self.connection.reprove(&self.caller).map_err(|why| {
            self.unauthenticated(&format!("the caller changed between question and answer: {why}"))
        })
    }

    fn nobody(&self) -> Failure {
        let what = "who asks is not proven to be a registered agent: greet first (`GET /v1/hello`, and its nonce with \
                    each request), and see `agentauthd agent list`";
        self.unauthenticated(what)
    }

    fn unauthenticated(&self, what: &str) -> Failure {
        AuthzenFault::new(StatusCode::UNAUTHORIZED, &addressed(&self.app.about.profile, what)).into()
    }
}

/// Does something elsewhere that may take a while, where many entities are known: nobody else's check waits for it.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        let what = "it broke down half-way: look at the log, and please report this";
        AuthzenFault::new(StatusCode::INTERNAL_SERVER_ERROR, what).into()
    })
}

fn page(search: Search, results: Vec<String>, rules: &str) -> Result<Found, Failure> {
    let page = search.page.of(results, rules);
    let page = page.map_err(|fault| AuthzenFault::new(StatusCode::BAD_REQUEST, &fault.to_string()))?;
    Ok(wire::found(&search, page))
}

/// What an enforcer itself is allowed or not.
fn asks_by(domain: &str) -> Result<Scope, Failure> {
    format!("enforcer.ask:domain={domain}").parse().map_err(|fault: agentauth_core::ScopeFault| {
        AuthzenFault::new(StatusCode::INTERNAL_SERVER_ERROR, &fault.to_string()).into()
    })
}
