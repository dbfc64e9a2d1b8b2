//! The vocabulary of policies: a Cedar schema, generated from the catalogue and the registered manifests, so that a
//! misspelt action, role check or attribute is found when a policy is loaded.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::catalogue::{Catalogue, RiskClass};

/// The namespace of every type and action.
pub(super) const NAMESPACE: &str = "AgentAuth";

/// The group of all high-risk actions.
pub(super) const HIGH_RISK: &str = "risk:high";

/// What stands before the actions. Facts that the daemon knows are in `context.known`; what the caller merely says
/// is in `context.claimed`. What is unusual about what the agent does is in `context.signals`.
const TYPES: &str = r#"
  entity Role;
  entity Permission;
  entity Tenant;
  entity User in [Role, Permission, Tenant] = {
    "email"?: String,
    "factors": Set<String>,
    "stepped_up": Bool,
    "current_tenant"?: String,
  };
  entity Agent in [User] = {
    "user": User,
    "name": String,
    "version": String,
    "publisher"?: String,
    "registered_by": String,
  };
  entity Resource in [Resource] = {
    "kind": String,
    "path"?: String,
    "risk": String,
    "classification": Set<String>,
    "classification_within": Set<String>,
  } tags String;
  entity Device = {
    "id": String,
    "os": String,
    "os_version"?: String,
    "managed": Bool,
    "attested": Bool,
  };
  type Known = {
    "now": datetime,
    "local_minute": Long,
    "local_weekday": Long,
    "logged_in_at": datetime,
    "auth_age": Long,
    "acr"?: String,
    "amr": Set<String>,
    "session_confirmed_age": Long,
    "person_seen_at"?: datetime,
    "device": Device,
    "daemon_version": String,
    "grant": String,
    "grant_strength": String,
    "grant_strength_level": Long,
    "proof": Bool,
    "assurance": String,
    "assurance_level": Long,
    "greeted": Bool,
    "tampered": Bool,
    "caveats": Set<String>,
    "risk": String,
    "high_risk": Bool,
  };
  type Claimed = {
    "purpose"?: String,
    "action"?: String,
    "bytes"?: Long,
    "items"?: Long,
  };
"#;

/// Every action's name: those of the catalogue and the additional ones.
pub(super) fn action_names<'a>(
    catalogue: &'a Catalogue,
    additional: impl IntoIterator<Item = &'a str>,
) -> BTreeSet<&'a str> {
    catalogue.actions().map(|(name, _)| name).chain(additional).collect()
}

/// The schema's text. Every action is in the group of its resource (`payments.*`), of its risk (`risk:money`) and,
/// where that is high, of all high risks (`risk:high`).
pub(super) fn schema_text(catalogue: &Catalogue, actions: &BTreeSet<&str>) -> String {
    let resources: BTreeSet<&str> = actions.iter().map(|name| resource_of(name)).collect();
    let mut text = format!("namespace {NAMESPACE} {{{TYPES}");
    // Writing to a `String` does not fail, here and below.
    let _ = writeln!(text, "  action {};", quoted(HIGH_RISK));
    for risk in RiskClass::ALL {
        let _ = writeln!(text, "  action {};", quoted(&risk_group(risk)));
    }
    for resource in resources {
        let _ = writeln!(text, "  action {};", quoted(&resource_group(resource)));
    }
    for name in actions.iter().filter(|name| !is_group(name)) {
        let risk = catalogue.risk_of(name);
        let mut groups = vec![quoted(&resource_group(resource_of(name))), quoted(&risk_group(risk))];
        if risk.is_high() {
            groups.push(quoted(HIGH_RISK));
        }
        let _ = writeln!(
            text,
            "  action {} in [{}] appliesTo {{ principal: [Agent], resource: [Resource], \
             context: {{ \"known\": Known, \"claimed\": Claimed, \"signals\": Set<String> }} }};",
            quoted(name),
            groups.join(", ")
        );
    }
    text.push_str("}\n");
    text
}

/// Whether it is the group of all actions about one kind of resource (`files.*`).
pub(super) fn is_group(action: &str) -> bool {
    action.ends_with(".*")
}

/// The kind of resource (`files`) that an action (`files.read`), or a group of actions, is about.
pub(super) fn resource_of(action: &str) -> &str {
    action.split_once('.').map_or(action, |(resource, _)| resource)
}

fn resource_group(resource: &str) -> String {
    format!("{resource}.*")
}

fn risk_group(risk: RiskClass) -> String {
    format!("risk:{risk}")
}

/// Names of actions are lower-case letters, digits, `_` and one dot: nothing in them needs an escape.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}
