//! The audit trail (sheet 8.3).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::json;

use super::Answer;
use crate::audit::AuditEvent;
use crate::body::Body;
use crate::doors::bearer::{Reader, Writer};
use crate::state::Shared;

/// `POST /v1/mgmt/audit/search`
pub(crate) async fn search(State(shared): State<Arc<Shared>>, _: Reader, body: Body) -> Answer {
    Ok(Json(shared.world().search_events(&shared.site, &body)))
}

/// `POST /v1/mgmt/audit/event`
pub(crate) async fn event(State(shared): State<Arc<Shared>>, _: Writer, body: Body) -> Answer {
    let event = AuditEvent {
        at: shared.clock.now(),
        action: body.need("action")?.to_owned(),
        user_id: body.text("userId").unwrap_or_default().to_owned(),
        login_ids: Vec::new(),
        tenants: body.text("tenantId").map(str::to_owned).into_iter().collect(),
        method: body.text("type").unwrap_or_default().to_owned(),
        data: body.object("data").members().clone(),
    };
    shared.world().audit.push(event);
    Ok(Json(json!({})))
}
