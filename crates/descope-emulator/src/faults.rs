//! Faults on purpose: delays, error answers, dropped connections, and requests that wait until they are released.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::redirects::matches;

/// A fault for the requests that it fits.
///
/// ```
/// use descope_emulator::{Fault, FaultAction};
/// let lost = Fault::on("/v1/auth/refresh", FaultAction::AnswerLost).once();
/// let busy = Fault::on("/oauth2/v1/token", FaultAction::too_many_requests(7)).grant("refresh_token");
/// # let _ = (lost, busy);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The path, in which `*` stands for any run of characters. `*` alone is every path but `/emulator/…`.
    pub path: String,
    /// Only requests with this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only token requests with this `grant_type`.
    #[serde(default)]
    pub grant_type: Option<String>,
    /// Fitting requests to let pass first.
    #[serde(default)]
    pub skip: u32,
    /// Fitting requests to hit; without it, every one until the fault is cleared.
    #[serde(default)]
    pub times: Option<u32>,
    /// What happens.
    pub action: FaultAction,
}

impl Fault {
    /// A fault for every request to `path`.
    pub fn on(path: &str, action: FaultAction) -> Self {
        Self { path: path.to_owned(), method: None, grant_type: None, skip: 0, times: None, action }
    }

    /// Hits one request.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Hits so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets so many requests pass first.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Hits only token requests with this grant type.
    #[must_use]
    pub fn grant(mut self, grant_type: &str) -> Self {
        self.grant_type = Some(grant_type.to_owned());
        self
    }

    /// Hits only requests with this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }
}

/// What a fault does. Several faults on one request add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum FaultAction {
    /// Waits before the request is processed.
    DelayBefore {
        /// Milliseconds.
        ms: u64,
    },
    /// Processes at once, and waits before it answers.
    DelayAfter {
        /// Milliseconds.
        ms: u64,
    },
    /// Answers with a status of its own.
    Status {
        /// The status, e.g. 429 or 503.
        status: u16,
        /// `Retry-After`, in seconds.
        #[serde(default)]
        retry_after: Option<u32>,
        /// What the body looks like.
        #[serde(default)]
        body: FaultBody,
        /// Whether the request takes effect all the same (a gateway that gave up on a slow origin).
        #[serde(default)]
        processed: bool,
    },
    /// Resets the connection; nothing is processed.
    Reset,
    /// Processes, then closes the connection without a byte of answer.
    AnswerLost,
    /// Processes, then closes the connection in the middle of the answer's body.
    AnswerTruncated,
    /// Answers, then sends the very same octets once more on the connection.
    AnswerTwice,
    /// Processes the request twice, as behind a proxy that repeats what it thinks got lost.
    ProcessedTwice {
        /// Whether the client gets the second answer instead of the first.
        second: bool,
    },
    /// Holds the request, read but not processed, until it is released.
    HoldBefore,
    /// Processes, and holds the answer until it is released.
    HoldAfter,
}

impl FaultAction {
    /// 429 with `Retry-After`, as the service's rate limit answers.
    pub fn too_many_requests(retry_after: u32) -> Self {
        Self::Status {
            status: 429,
            retry_after: Some(retry_after),
            body: FaultBody::Descope,
            processed: false,
        }
    }

    /// A 5xx in the service's JSON.
    pub fn unavailable(status: u16) -> Self {
        Self::Status { status, retry_after: None, body: FaultBody::Descope, processed: false }
    }

    /// A 5xx as the edge in front of the service words it: an HTML page.
    pub fn html(status: u16) -> Self {
        Self::Status { status, retry_after: None, body: FaultBody::Html, processed: false }
    }
}

/// What the body of an injected answer looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultBody {
    /// The service's error JSON.
    #[default]
    Descope,
    /// RFC 6749's error JSON.
    Rfc,
    /// An HTML page.
    Html,
    /// Nothing.
    Empty,
    /// Something that calls itself JSON and is not.
    Garbage,
}

/// When a held request waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldStage {
    /// Not processed yet.
    Before,
    /// Processed; the answer waits.
    After,
}

/// A request that waits to be released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRequest {
    /// Its number, for [`crate::Control::release`].
    pub id: u64,
    /// `POST`, …
    pub method: String,
    /// The path.
    pub path: String,
    /// `grant_type`, at the token endpoint.
    pub grant_type: Option<String>,
    /// Before or after processing.
    pub stage: HoldStage,
}

/// A registered fault, with what it did so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultView {
    /// Its number, for [`crate::Control::clear_fault`].
    pub id: u64,
    /// The fault.
    pub fault: Fault,
    /// Requests hit.
    pub hits: u32,
}

/// What is known of a request when faults are chosen.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) grant_type: Option<String>,
}

/// All faults of one request, in the order in which they take effect.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) delay_before: Duration,
    pub(crate) hold_before: bool,
    pub(crate) reset: bool,
    pub(crate) answer: Option<(FaultAction, bool)>,
    pub(crate) delay_after: Duration,
    pub(crate) hold_after: bool,
    pub(crate) lost: bool,
    pub(crate) truncated: bool,
    pub(crate) twice: bool,
    pub(crate) processed_twice: Option<Which>,
}

/// Which of two answers the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    First,
    Second,
}

/// What becomes of a held request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Continue,
    Drop,
}

/// The registered faults and the held requests.
#[derive(Debug)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    faults: Vec<Rule>,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Rule {
    view: FaultView,
    passed: u32,
}

#[derive(Debug)]
struct Held {
    request: HeldRequest,
    release: oneshot::Sender<Verdict>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn inject(&self, fault: Fault) -> u64 {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        state.faults.push(Rule { view: FaultView { id, fault, hits: 0 }, passed: 0 });
        id
    }

    pub(crate) fn faults(&self) -> Vec<FaultView> {
        self.state().faults.iter().map(|rule| rule.view.clone()).collect()
    }

    /// Removes one fault, or all of them. Held requests stay held.
    pub(crate) fn clear(&self, id: Option<u64>) {
        self.state().faults.retain(|rule| id.is_some_and(|id| rule.view.id != id));
    }

    /// The faults of this request; their counts go down.
    pub(crate) fn plan(&self, facts: &Facts) -> Plan {
        let mut plan = Plan::default();
        for rule in &mut self.state().faults {
            let fault = &rule.view.fault;
            let fits = matches(&fault.path, &facts.path)
                && fault.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(&facts.method))
                && (fault.grant_type.is_none() || fault.grant_type == facts.grant_type);
            if !fits {
                continue;
            }
            if rule.passed < fault.skip {
                rule.passed += 1;
                continue;
            }
            if fault.times.is_some_and(|times| rule.view.hits >= times) {
                continue;
            }
            rule.view.hits += 1;
            match &rule.view.fault.action {
                FaultAction::DelayBefore { ms } => plan.delay_before += Duration::from_millis(*ms),
                FaultAction::DelayAfter { ms } => plan.delay_after += Duration::from_millis(*ms),
                action @ FaultAction::Status { processed, .. } => {
                    plan.answer = Some((action.clone(), *processed))
                }
                FaultAction::Reset => plan.reset = true,
                FaultAction::AnswerLost => plan.lost = true,
                FaultAction::AnswerTruncated => plan.truncated = true,
                FaultAction::AnswerTwice => plan.twice = true,
                FaultAction::ProcessedTwice { second } => {
                    plan.processed_twice = Some(if *second { Which::Second } else { Which::First });
                }
                FaultAction::HoldBefore => plan.hold_before = true,
                FaultAction::HoldAfter => plan.hold_after = true,
            }
        }
        plan
    }

    /// Waits until somebody releases this request.
    pub(crate) async fn hold(&self, facts: &Facts, stage: HoldStage) -> Verdict {
        let (release, released) = oneshot::channel();
        {
            let mut state = self.state();
            state.last_id += 1;
            let request = HeldRequest {
                id: state.last_id,
                method: facts.method.clone(),
                path: facts.path.clone(),
                grant_type: facts.grant_type.clone(),
                stage,
            };
            state.held.push(Held { request, release });
        }
        self.changed.send_modify(|generation| *generation += 1);
        released.await.unwrap_or(Verdict::Drop)
    }

    pub(crate) fn held(&self) -> Vec<HeldRequest> {
        self.state().held.iter().map(|held| held.request.clone()).collect()
    }

    /// Waits until a request whose path fits `pattern` is held.
    pub(crate) async fn wait_for_hold(&self, pattern: &str) -> HeldRequest {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(held) = self.held().into_iter().find(|held| matches(pattern, &held.path)) {
                return held;
            }
            // The sender lives as long as `self`: an error cannot come.
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Lets one held request go on (or all of them); returns how many.
    pub(crate) fn release(&self, id: Option<u64>, verdict: Verdict) -> usize {
        let mut state = self.state();
        let (go, stay) = std::mem::take(&mut state.held)
            .into_iter()
            .partition(|held: &Held| id.is_none_or(|id| held.request.id == id));
        state.held = stay;
        let go: Vec<Held> = go;
        go.into_iter().filter_map(|held| held.release.send(verdict).ok()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(path: &str, grant_type: Option<&str>) -> Facts {
        Facts { method: "POST".to_owned(), path: path.to_owned(), grant_type: grant_type.map(str::to_owned) }
    }

    #[test]
    fn faults_count_skip_and_fit() {
        let gate = Gate::default();
        let id = gate.inject(Fault::on("/a*", FaultAction::Reset).after(1).times(2).grant("refresh_token"));
        let hit = |path, grant| gate.plan(&facts(path, grant)).reset;
        assert!(!hit("/ab", Some("authorization_code")));
        assert!(!hit("/b", Some("refresh_token")));
        let hits: Vec<bool> = (0..4).map(|_| hit("/ab", Some("refresh_token"))).collect();
        assert_eq!(hits, [false, true, true, false]);
        assert_eq!(gate.faults().first().unwrap().hits, 2);
        gate.clear(Some(id));
        assert!(gate.faults().is_empty());
    }

    #[test]
    fn faults_add_up() {
        let gate = Gate::default();
        gate.inject(Fault::on("*", FaultAction::DelayBefore { ms: 5 }));
        gate.inject(Fault::on("*", FaultAction::DelayBefore { ms: 7 }));
        gate.inject(Fault::on("*", FaultAction::html(502)));
        let plan = gate.plan(&facts("/x", None));
        assert_eq!(plan.delay_before, Duration::from_millis(12));
        assert!(plan.answer.is_some());
    }

    #[test]
    fn faults_read_as_json() {
        let text =
            r#"{"path":"/v1/auth/refresh","times":1,"action":{"kind":"status","status":503,"body":"html"}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        assert_eq!(fault, Fault::on("/v1/auth/refresh", FaultAction::html(503)).once());
        assert!(serde_json::from_str::<Fault>(r#"{"path":"/","tims":1,"action":{"kind":"reset"}}"#).is_err());
    }
}
