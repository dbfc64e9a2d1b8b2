//! `POST /v1/outcome`: what became of an allowed action.

use std::sync::Arc;

use agentauth_api::ErrorCode;
use agentauth_core::decide;
use agentauth_core::gate::Operation;
use agentauth_idp::Chain;
use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use http::HeaderMap;
use serde::Serialize;

use super::body;
use super::connection::Connection;
use super::refusal::Refusal;
use crate::daemon::app::App;
use crate::daemon::{record, wire};

/// Records what the agent says of a decision of its own.
pub(super) async fn report(
    State(app): State<Arc<App>>,
    Extension(connection): Extension<Arc<Connection>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<impl Serialize>, Refusal> {
    let caller = connection.may(&app, &headers, Operation::Outcome).await?;
    let (said, outcome) = wire::outcome(body::json(body).await?)?;
    let unproven = |detail: &str| Refusal::new(ErrorCode::CallerUnproven, detail);
    let agent = decide::agents(&app.state.load(), &caller.facts).into_iter().next().ok_or_else(|| {
        unproven("only an agent that is proven to be one may say what became of its action: greet first")
    })?;
    connection.reprove(&caller).map_err(|why| unproven(&why))?;
    let now = app.clock.now();
    let repeated = app.watching.knows(&agent.name, &said.decision, now).map_err(|_| {
        let detail = "this agent was not allowed anything under that id, or too long ago, or too much has been allowed \
                      since: report what became of an action as soon as it is known";
        Refusal::new(ErrorCode::DecisionUnknown, detail)
    })?;
    app.audit.append(&record::outcome(&agent.name, &said, &caller.facts, now)).map_err(|error| {
        let (decision, agent) = (&*said.decision, &*agent.name);
        tracing::error!(decision, agent, error = %Chain(&error), "an outcome cannot be recorded");
        Refusal::new(ErrorCode::AuditUnavailable, "the outcome cannot be recorded: report it again later")
    })?;
    app.watching.became(&agent.name, &said.decision, said.bytes, said.items, now);
    Ok(Json(wire::outcome_recorded(said, outcome, repeated)))
}
