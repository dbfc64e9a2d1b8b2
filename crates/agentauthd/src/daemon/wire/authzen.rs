//! The AuthZEN Authorization API, on the socket and in the rules.

use std::collections::BTreeMap;
use std::path::Path;

use agentauth_api as api;
use agentauth_core::domain::{Page, PageAsk, Question, Sought, Thing};
use agentauth_core::scope::Scope;
use agentauth_core::text::display_safe_within;
use agentauth_core::{Decision, Reason, Timestamp};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::addressed;
use crate::daemon::record::Enforced;

/// The most questions of one request.
const MAX_EVALUATIONS: usize = 256;
/// The most characters of an error.
const LONGEST: usize = 400;

/// The answer to one question.
pub(crate) type Evaluated = api::EvaluationResponse;
/// The answer to a search.
pub(crate) type Found = api::SearchResponse;

/// What is wrong with a request: the status and the text of its answer.
#[derive(Clone, Debug)]
pub(crate) struct AuthzenFault {
    pub(crate) status: StatusCode,
    /// Safe to show.
    pub(crate) what: String,
}

/// What `/access/v1/evaluations` takes.
pub(crate) enum Batch {
    /// One question.
    One(Box<Question>),
    /// Several, each read by itself.
    Many { items: Vec<Result<Question, AuthzenFault>>, semantic: Semantic },
}

/// Until when several questions are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Semantic {
    All,
    UntilDeny,
    UntilPermit,
}

/// A search, and which part of its results is wanted.
pub(crate) struct Search {
    pub(crate) sought: Sought,
    pub(crate) question: Question,
    pub(crate) page: PageAsk,
    /// Whether pages were spoken of.
    paged: bool,
}

/// A part of a question: its name, its default, and what of that an item may leave out.
type Part<'d> = (&'d str, &'d Option<Map<String, Value>>, &'d [&'d str]);

/// A question that waits for the person: its id and its end.
pub(crate) type Waiting = (String, Timestamp);

impl AuthzenFault {
    pub(crate) fn new(status: StatusCode, what: &str) -> Self {
        Self { status, what: display_safe_within(what, LONGEST) }
    }

    fn invalid(what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what)
    }
}

/// The question in a request.
///
/// # Errors
/// A fault: not JSON, or not what the endpoint takes.
pub(crate) fn evaluation(body: &[u8]) -> Result<Question, AuthzenFault> {
    read(document(body)?).map(question)
}

/// The questions in a request. What is wrong with one of several is that one's answer.
///
/// # Errors
/// A fault: not JSON, not what the endpoint takes, or too many.
pub(crate) fn batch(body: &[u8]) -> Result<Batch, AuthzenFault> {
    let document = document(body)?;
    let mut request: api::EvaluationsRequest = read(document.clone())?;
    let items = request.evaluations.take().unwrap_or_default();
    if items.is_empty() {
        return read(document).map(|request| Batch::One(Box::new(question(request))));
    }
    if items.len() > MAX_EVALUATIONS {
        let what = format!("more than {MAX_EVALUATIONS} evaluations in one request: ask in several");
        return Err(AuthzenFault::invalid(&what));
    }
    let options = request.options.take().unwrap_or_default();
    let semantic = match options.evaluations_semantic.unwrap_or_default() {
        api::EvaluationsSemantic::ExecuteAll => Semantic::All,
        api::EvaluationsSemantic::DenyOnFirstDeny => Semantic::UntilDeny,
        api::EvaluationsSemantic::PermitOnFirstPermit => Semantic::UntilPermit,
    };
    Ok(Batch::Many { items: items.into_iter().map(|own| item(&request, own)).collect(), semantic })
}

/// One of several questions, over the defaults: what it says of an entity stands for the whole entity, and only what it
/// cannot do without (`type`, `id`, `name`) is taken from the default where it is left out.
fn item(defaults: &api::EvaluationsRequest, own: Value) -> Result<Question, AuthzenFault> {
    let Value::Object(mut own) = own else {
        return Err(AuthzenFault::invalid("each of `evaluations` must be an object"));
    };
    let parts: [Part<'_>; 4] = [
        ("subject", &defaults.subject, &["type", "id"]),
        ("action", &defaults.action, &["name"]),
        ("resource", &defaults.resource, &["type", "id"]),
        ("context", &defaults.context, &[]),
    ];
    for (name, default, needed) in parts {
        let Some(default) = default else { continue };
        match own.get_mut(name) {
            None | Some(Value::Null) => drop(own.insert(name.to_owned(), Value::Object(default.clone()))),
            Some(Value::Object(given)) => {
                for member in needed {
                    let missing = given.get(*member).is_none_or(Value::is_null);
                    if let Some(value) = default.get(*member).filter(|_| missing) {
                        given.insert((*member).to_owned(), value.clone());
                    }
                }
            }
            Some(_) => {}
        }
    }
    read(Value::Object(own)).map(question)
}

/// The search in a request.
///
/// # Errors
/// A fault: not JSON, or not what the endpoint takes.
pub(crate) fn search(sought: Sought, body: &[u8]) -> Result<Search, AuthzenFault> {
    let document = document(body)?;
    let mut rest = document.clone();
    if let Some(members) = rest.as_object_mut() {
        members.remove("page");
    }
    let any = |searched: api::Searched| Thing {
        kind: searched.kind,
        id: String::new(),
        properties: searched.properties.unwrap_or_default(),
    };
    let (question, page) = match sought {
        Sought::Subjects => {
            let api::SubjectSearchRequest { subject, action, resource, context, page } = read(document)?;
            (whole(any(subject), Some(action), thing(resource), context), page)
        }
        Sought::Resources => {
            let api::ResourceSearchRequest { subject, action, resource, context, page } = read(document)?;
            (whole(thing(subject), Some(action), any(resource), context), page)
        }
        Sought::Actions => {
            let api::ActionSearchRequest { subject, resource, context, page } = read(document)?;
            (whole(thing(subject), None, thing(resource), context), page)
        }
    };
    let paged = page.is_some();
    let api::PageRequest { token, limit } = page.unwrap_or_default();
    let page = PageAsk { token, limit, search: format!("{sought:?} {rest}") };
    Ok(Search { sought, question, page, paged })
}

/// The scope that an agent's own question is about: `action.name` with `resource.id` as its context.
///
/// # Errors
/// A fault: an action of another kind of resource, or no scope.
pub(crate) fn scope(question: &Question) -> Result<Scope, AuthzenFault> {
    let Question { action, resource, .. } = question;
    let text = if resource.id.is_empty() { action.clone() } else { format!("{action}:{}", resource.id) };
    let scope: Scope = text.parse().map_err(|fault: agentauth_core::ScopeFault| {
        AuthzenFault::invalid(&format!("`action.name` and `resource.id` make no scope: {fault}"))
    })?;
    // A name with a colon in it would bring a context of its own.
    if scope.action_name() != action || scope.resource() != resource.kind {
        return Err(AuthzenFault::invalid(
            "`action.name` must be `resource.action`, and `resource.type` the resource in it",
        ));
    }
    Ok(scope)
}

/// What a decision says. `enforced`: what it is about, where an enforcer asks.
pub(crate) fn evaluated(
    profile: &str,
    decision: &Decision,
    enforced: Option<&Enforced>,
    waiting: Option<&Waiting>,
) -> Evaluated {
    let code = decision.reason.as_str();
    let verdict = enforced.and_then(|enforced| enforced.verdict.as_ref());
    // Whether the domain had the last word.
    let verdict = verdict.filter(|_| decision.allow || decision.reason == Reason::DomainForbids);
    let policies = verdict.map_or(&decision.policies, |verdict| &verdict.policies).clone();
    let message = addressed(profile, &decision.message).into_owned();
    let keyed = |text: Option<String>| -> BTreeMap<String, String> {
        text.filter(|_| !decision.allow).map(|text| (code.to_owned(), text)).into_iter().collect()
    };
    let user = verdict.and_then(|verdict| verdict.reason_user.clone()).unwrap_or_else(|| message.clone());
    let administrator = verdict
        .and_then(|verdict| verdict.reason_admin.clone().or_else(|| verdict.unasked.clone()))
        .or_else(|| (!policies.is_empty()).then(|| format!("decided by {}", policies.join(", "))));
    let access_request = waiting.map(|(id, expires_at)| api::AccessRequest {
        expires_at: *expires_at,
        endpoint: format!("{}/{id}", api::paths::CONSENTS),
        display: message.clone(),
    });
    let reason = if access_request.is_some() { "approval_required" } else { code };
    api::EvaluationResponse {
        decision: decision.allow,
        context: Some(api::EvaluationContext {
            id: Some(decision.id.to_string()),
            code: Some(code.to_owned()),
            reason: Some(reason.to_owned()),
            remedy: decision.remedy.map(|remedy| remedy.as_str().to_owned()),
            reason_user: keyed(Some(user)),
            reason_admin: keyed(administrator),
            model_message: Some(addressed(profile, &decision.model_message).into_owned()),
            message: Some(message),
            policies,
            obligations: obligations(decision),
            expires_at: decision.allow.then_some(decision.expires_at),
            evaluation_id: access_request.is_some().then(|| decision.id.to_string()),
            access_request,
            error: None,
        }),
    }
}

fn obligations(decision: &Decision) -> Vec<api::EvaluationObligation> {
    let obligation = |id: &str, properties: Map<String, Value>| api::EvaluationObligation {
        id: id.to_owned(),
        kind: "custom".to_owned(),
        properties,
    };
    let lifetime = decision.obligations.max_lifetime.map(|most| {
        obligation("max_lifetime", Map::from_iter([("seconds".to_owned(), most.as_secs().into())]))
    });
    let proof = decision.obligations.require_proof.then(|| obligation("require_proof", Map::new()));
    lifetime.into_iter().chain(proof).collect()
}

/// One of several questions that could not be asked.
pub(crate) fn failed(fault: &AuthzenFault) -> Evaluated {
    let error = api::EvaluationError { status: fault.status.as_u16(), message: fault.what.clone() };
    let context = api::EvaluationContext { error: Some(error), ..api::EvaluationContext::default() };
    api::EvaluationResponse { decision: false, context: Some(context) }
}

/// The answers to several questions.
pub(crate) fn evaluations(evaluations: Vec<Evaluated>) -> api::EvaluationsResponse {
    api::EvaluationsResponse { evaluations }
}

/// A page of what was found.
pub(crate) fn found(search: &Search, page: Page) -> Found {
    let Page { results, next_token, total } = page;
    let told = search.paged || !next_token.is_empty();
    let page =
        told.then_some(api::PageResponse { count: results.len() as u64, total: total as u64, next_token });
    let entity = |kind: &str, id| api::SearchResult::Entity { kind: kind.to_owned(), id };
    let question = &search.question;
    let results = results
        .into_iter()
        .map(|found| match search.sought {
            Sought::Subjects => entity(&question.subject.kind, found),
            Sought::Resources => entity(&question.resource.kind, found),
            Sought::Actions => api::SearchResult::Action { name: found },
        })
        .collect();
    api::SearchResponse { page, context: None, results }
}

/// That nothing is told, because the asker may not ask.
pub(crate) fn untold(answer: Evaluated) -> Found {
    api::SearchResponse { page: None, context: answer.context, results: Vec::new() }
}

/// Where everything is. There is no URL scheme for sockets that is registered: this is the customary one, with the socket's
/// path as the authority.
pub(crate) fn configuration(socket: &Path) -> api::AuthzenConfiguration {
    use std::fmt::Write as _;
    let mut base = "http+unix://".to_owned();
    for byte in socket.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            base.push(char::from(*byte));
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(base, "%{byte:02X}");
        }
    }
    let at = |path: &str| format!("{base}{path}");
    api::AuthzenConfiguration {
        access_evaluation_endpoint: at(api::paths::ACCESS_EVALUATION),
        access_evaluations_endpoint: at(api::paths::ACCESS_EVALUATIONS),
        search_subject_endpoint: at(api::paths::SEARCH_SUBJECT),
        search_resource_endpoint: at(api::paths::SEARCH_RESOURCE),
        search_action_endpoint: at(api::paths::SEARCH_ACTION),
        policy_decision_point: base,
    }
}

fn document(body: &[u8]) -> Result<Value, AuthzenFault> {
    if body.is_empty() {
        return Err(AuthzenFault::invalid("the body is empty: send a JSON object; see docs/authzen.md"));
    }
    serde_json::from_slice(body)
        .map(|api::Document(value)| value)
        .map_err(|error| AuthzenFault::invalid(&format!("the body is no JSON that can be read: {error}")))
}

fn read<T: DeserializeOwned>(document: Value) -> Result<T, AuthzenFault> {
    serde_json::from_value(document).map_err(|error| {
        AuthzenFault::invalid(&format!(
            "the body is not what this endpoint takes: {error}; see docs/authzen.md"
        ))
    })
}

fn question(request: api::EvaluationRequest) -> Question {
    let api::EvaluationRequest { subject, action, resource, context } = request;
    whole(thing(subject), Some(action), thing(resource), context)
}

fn whole(
    subject: Thing,
    action: Option<api::AuthzenAction>,
    resource: Thing,
    context: Option<Map<String, Value>>,
) -> Question {
    let (action, action_properties) = match action {
        Some(action) => (action.name, action.properties.unwrap_or_default()),
        None => (String::new(), Map::new()),
    };
    Question { subject, action, action_properties, resource, context: context.unwrap_or_default() }
}

fn thing(entity: api::AuthzenEntity) -> Thing {
    Thing { kind: entity.kind, id: entity.id, properties: entity.properties.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn many(body: Value) -> Vec<Result<Question, AuthzenFault>> {
        match batch(body.to_string().as_bytes()).unwrap() {
            Batch::Many { items, .. } => items,
            Batch::One(question) => vec![Ok(*question)],
        }
    }

    #[test]
    fn what_an_item_says_of_an_entity_stands_for_the_whole() {
        let items = many(json!({
            "subject": {"type": "user", "id": "alice", "properties": {"role": "admin"}},
            "action": {"name": "read"}, "resource": {"type": "record"}, "context": {"a": 1},
            "evaluations": [
                {"resource": {"id": "1"}},
                {"resource": {"type": "file", "id": "2"}, "subject": {"type": "user", "id": "bob"}, "context": {}},
                {"resource": {"id": "3"}, "subject": null},
                {}, 5, {"resource": "x"}
            ]
        }));
        let asked: Vec<_> = items.iter().filter_map(|item| item.as_ref().ok()).collect();
        assert_eq!((asked.len(), items.len()), (3, 6));
        assert_eq!((&*asked[0].resource.kind, &*asked[0].resource.id), ("record", "1"));
        assert_eq!(asked[0].subject.properties["role"], "admin");
        assert_eq!(asked[0].context["a"], 1);
        assert_eq!((&*asked[1].subject.id, asked[1].subject.properties.len()), ("bob", 0));
        assert!(asked[1].resource.kind == "file" && asked[1].context.is_empty());
        assert_eq!(asked[2].subject.id, "alice");
        let plain = json!({"subject": {"type": "user", "id": "a"}, "action": {"name": "b"},
            "resource": {"type": "c", "id": "d"}, "evaluations": []});
        assert_eq!(many(plain).len(), 1);
        let too_many = json!({"evaluations": vec![json!({}); MAX_EVALUATIONS + 1]}).to_string();
        assert!(batch(too_many.as_bytes()).is_err());
    }

    #[test]
    fn an_agents_own_question_is_a_scope() {
        let of = |action: &str, kind: &str, id: &str| {
            let resource = Thing { kind: kind.to_owned(), id: id.to_owned(), ..Thing::default() };
            scope(&Question { action: action.to_owned(), resource, ..Question::default() })
                .map(|scope| scope.to_string())
                .ok()
        };
        assert_eq!(of("files.read", "files", "/projects").as_deref(), Some("files.read:/projects"));
        assert_eq!(of("files.read", "files", "").as_deref(), Some("files.read"));
        for (action, kind, id) in [
            ("files.read", "sheets", "/projects"),
            ("files.read:/etc", "files", ""),
            ("files.read:/etc", "files", "/projects"),
            ("read", "files", "/projects"),
            ("files.read", "files", "../x"),
        ] {
            assert_eq!(of(action, kind, id), None, "{action} {kind} {id}");
        }
    }

    #[test]
    fn a_search_is_bound_without_its_page() {
        let of = |body: Value| search(Sought::Subjects, body.to_string().as_bytes()).unwrap();
        let plain = json!({"subject": {"type": "user", "id": 5}, "action": {"name": "read"},
            "resource": {"type": "record", "id": "1"}});
        let mut paged = plain.clone();
        paged["page"] = json!({"token": "x", "limit": 2});
        let (plain, paged) = (of(plain), of(paged));
        assert_eq!(plain.page.search, paged.page.search);
        assert!(paged.paged && !plain.paged && plain.question.subject.id.is_empty());
    }

    #[test]
    fn the_sockets_path_is_the_authority() {
        let found = configuration(Path::new("/run/user/1000/agentauthd/agent.sock"));
        let base = "http+unix://%2Frun%2Fuser%2F1000%2Fagentauthd%2Fagent.sock";
        assert_eq!(found.policy_decision_point, base);
        assert_eq!(found.access_evaluation_endpoint, format!("{base}/access/v1/evaluation"));
    }
}
