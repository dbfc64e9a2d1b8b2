//! The audit trail that `/v1/mgmt/audit/search` looks through (sheet 8.3).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::state::{Site, World};

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) struct AuditEvent {
    pub(crate) at: Timestamp,
    pub(crate) action: String,
    pub(crate) user_id: String,
    pub(crate) login_ids: Vec<String>,
    pub(crate) tenants: Vec<String>,
    pub(crate) method: String,
    pub(crate) data: Map<String, Value>,
}

impl World {
    /// Writes down what happened to a user.
    pub(crate) fn note_event(&mut self, action: &str, user_id: &str, method: &str, at: Timestamp) {
        let user = self.users.iter().find(|user| user.id == user_id);
        let event = AuditEvent {
            at,
            action: action.to_owned(),
            user_id: user_id.to_owned(),
            login_ids: user.map(|user| user.login_ids.clone()).unwrap_or_default(),
            tenants: user.map(|user| user.tenants.keys().cloned().collect()).unwrap_or_default(),
            method: method.to_owned(),
            data: Map::new(),
        };
        self.audit.push(event);
    }

    /// The events that a search asks for, newest first, as the service words them.
    pub(crate) fn search_events(&self, site: &Site, query: &Body) -> Value {
        let among = |name: &str, values: &[&str]| {
            let wanted = query.texts(name);
            wanted.is_empty() || wanted.iter().any(|wanted| values.contains(&wanted.as_str()))
        };
        let excluded = query.texts("excludedActions");
        let text = query.text("text").map(str::to_ascii_lowercase);
        let fits = |event: &&AuditEvent| {
            let ids: Vec<&str> = event.login_ids.iter().map(String::as_str).collect();
            let tenants: Vec<&str> = event.tenants.iter().map(String::as_str).collect();
            let occurred = event.at.as_millisecond();
            among("actions", &[&event.action])
                && !excluded.contains(&event.action)
                && among("userIds", &[&event.user_id])
                && among("methods", &[&event.method])
                && among("externalIds", &ids)
                && among("tenants", &tenants)
                && query.number("from").is_none_or(|from| from <= occurred)
                && query.number("to").is_none_or(|to| occurred <= to)
                && text.as_ref().is_none_or(|text| {
                    format!("{} {} {}", event.action, event.user_id, ids.join(" "))
                        .to_ascii_lowercase()
                        .contains(text)
                })
        };
        let found: Vec<Value> =
            self.audit.iter().rev().filter(fits).map(|event| event.describe(&site.project_id)).collect();
        json!({"total": found.len(), "audits": found})
    }
}

impl AuditEvent {
    /// `occurred` is milliseconds in a string: both SDKs turn it into a number themselves.
    fn describe(&self, project_id: &str) -> Value {
        json!({"projectId": project_id, "userId": self.user_id, "action": self.action,
               "occurred": self.at.as_millisecond().to_string(), "device": "", "method": self.method, "geo": "",
               "remoteAddress": "127.0.0.1", "externalIds": self.login_ids, "tenants": self.tenants,
               "data": self.data})
    }
}
