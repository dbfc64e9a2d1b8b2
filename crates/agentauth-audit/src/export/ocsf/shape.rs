//! Which class and activity a record becomes.

use super::super::success;
use crate::{Event, Kind, Verdict};

/// A class of OCSF that records become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// What no other class describes.
    BaseEvent,
    /// Something was done to the record itself.
    EventLogActivity,
    /// Something that somebody should look at.
    DetectionFinding,
    /// Login, logout, refresh, and proofs that the person was there.
    Authentication,
    /// Agents, passkeys, keys and policies come, change and go.
    EntityManagement,
    /// Questions to the person, and grants.
    UserAccess,
    /// What changes how this installation is guarded.
    DeviceConfigStateChange,
    /// The daemon starts and stops.
    ApplicationLifecycle,
    /// Decisions, and what became of them.
    ApiActivity,
}

impl Class {
    /// Every class.
    pub const ALL: [Class; 9] = [
        Class::BaseEvent,
        Class::EventLogActivity,
        Class::DetectionFinding,
        Class::Authentication,
        Class::EntityManagement,
        Class::UserAccess,
        Class::DeviceConfigStateChange,
        Class::ApplicationLifecycle,
        Class::ApiActivity,
    ];

    /// `class_uid`.
    #[must_use]
    pub fn uid(self) -> u32 {
        match self {
            Class::BaseEvent => 0,
            Class::EventLogActivity => 1008,
            Class::DetectionFinding => 2004,
            Class::Authentication => 3002,
            Class::EntityManagement => 3004,
            Class::UserAccess => 3005,
            Class::DeviceConfigStateChange => 5019,
            Class::ApplicationLifecycle => 6002,
            Class::ApiActivity => 6003,
        }
    }

    /// `class_name`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::BaseEvent => "Base Event",
            Class::EventLogActivity => "Event Log Activity",
            Class::DetectionFinding => "Detection Finding",
            Class::Authentication => "Authentication",
            Class::EntityManagement => "Entity Management",
            Class::UserAccess => "User Access Management",
            Class::DeviceConfigStateChange => "Device Config State Change",
            Class::ApplicationLifecycle => "Application Lifecycle",
            Class::ApiActivity => "API Activity",
        }
    }

    /// `category_uid` and `category_name`.
    pub(super) fn category(self) -> (u32, &'static str) {
        let uid = self.uid() / 1000;
        let name = match uid {
            1 => "System Activity",
            2 => "Findings",
            3 => "Identity & Access Management",
            5 => "Discovery",
            6 => "Application Activity",
            _ => "Uncategorized",
        };
        (uid, name)
    }

    /// Whether events of the class say who acted. A finding says it in its evidence; the record looks after itself.
    pub(super) fn has_actor(self) -> bool {
        !matches!(self, Class::BaseEvent | Class::EventLogActivity | Class::DetectionFinding)
    }
}

/// What a record becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) class: Class,
    /// `activity_id` and `activity_name`.
    pub(super) activity: (u8, &'static str),
    /// Whether it came to what it was meant to.
    pub(super) success: Option<bool>,
    /// For a change of how the installation is guarded: whether something is in force from now on, or no more.
    pub(super) enables: Option<bool>,
}

const CREATE: (u8, &str) = (1, "Create");
const READ: (u8, &str) = (2, "Read");
const UPDATE: (u8, &str) = (3, "Update");
const DELETE: (u8, &str) = (4, "Delete");
const ENABLE: (u8, &str) = (8, "Enable");
const ACTIVATE: (u8, &str) = (10, "Activate");
const DEACTIVATE: (u8, &str) = (11, "Deactivate");
const LOGON: (u8, &str) = (1, "Logon");
const LOGOFF: (u8, &str) = (2, "Logoff");
const RENEW: (u8, &str) = (5, "Service Ticket Renew");
const PREAUTH: (u8, &str) = (6, "Preauth");
const SWITCH: (u8, &str) = (7, "Account Switch");
const ASSIGN: (u8, &str) = (1, "Assign Privileges");
const REVOKE: (u8, &str) = (2, "Revoke Privileges");
const LOG_DELETE: (u8, &str) = (2, "Delete");
const START: (u8, &str) = (3, "Start");
const STOP: (u8, &str) = (4, "Stop");
const LOG: (u8, &str) = (1, "Log");

/// An activity that the class has no number for.
const fn other(name: &'static str) -> (u8, &'static str) {
    (99, name)
}

impl Shape {
    /// `None` for what is not exported.
    pub(super) fn of(event: &Event<'_>) -> Option<Shape> {
        use Class::{
            ApiActivity, ApplicationLifecycle, Authentication, BaseEvent, DetectionFinding,
            DeviceConfigStateChange, EntityManagement, EventLogActivity, UserAccess,
        };
        let mut enables = None;
        let mut guards = |on: bool| {
            enables = Some(on);
            (DeviceConfigStateChange, LOG)
        };
        let (class, activity) = match event.kind {
            Kind::ChainCarried | Kind::ChainContinued | Kind::Checkpoint | Kind::Facts => return None,

            Kind::ChainShortened => (EventLogActivity, LOG_DELETE),

            Kind::Decision | Kind::DecisionsFolded | Kind::Outcome => (ApiActivity, done_by(event)),
            Kind::OperationRefused => (ApiActivity, other("Refused Operation")),

            Kind::Login | Kind::LoginRefused => (Authentication, LOGON),
            Kind::LoginStarted => (Authentication, PREAUTH),
            Kind::LoginSwitched => (Authentication, SWITCH),
            Kind::Logout | Kind::LoginNotEnded | Kind::SessionOver => (Authentication, LOGOFF),
            Kind::Refresh | Kind::RefreshFailed => (Authentication, RENEW),
            Kind::SessionConfirmed => (Authentication, other("Session Confirmed")),
            Kind::SessionResumed => (Authentication, other("Session Resumed")),
            Kind::PersonSeen => (Authentication, other("Person Seen")),
            Kind::PasskeyUsed | Kind::PasskeyRefused => (Authentication, other("Passkey")),

            Kind::AgentRegistered | Kind::PasskeyAdded | Kind::CheckpointKey => (EntityManagement, CREATE),
            Kind::AgentRemoved | Kind::PasskeyRemoved => (EntityManagement, DELETE),
            Kind::AgentLoaded => (EntityManagement, ENABLE),
            Kind::AgentLaunched => (EntityManagement, ACTIVATE),
            Kind::AgentLaunchEnded => (EntityManagement, DEACTIVATE),
            Kind::KeysLoaded | Kind::KeysRefused | Kind::PolicyLoaded | Kind::PolicyRefused => {
                (EntityManagement, UPDATE)
            }

            Kind::ConsentAsked => (UserAccess, other("Consent Asked")),
            Kind::ConsentEnded => (UserAccess, other("Consent Ended")),
            Kind::ConsentAnswered if event.decision == Some(Verdict::Allow) => (UserAccess, ASSIGN),
            Kind::ConsentAnswered => (UserAccess, other("Consent Refused")),
            Kind::GrantAdded | Kind::ConsentPreapproved => (UserAccess, ASSIGN),
            Kind::GrantExpired | Kind::GrantRevoked => (UserAccess, REVOKE),

            Kind::ConfigurationLoaded | Kind::RulesApplied | Kind::LogFilterChanged | Kind::Unlock => {
                guards(true)
            }
            Kind::ConfigurationRefused | Kind::Lock | Kind::Quarantine => guards(false),
            Kind::SinkState => {
                guards(event.details.get("state").and_then(|state| state.as_str()) == Some("up"))
            }

            Kind::ServiceStart => (ApplicationLifecycle, START),
            Kind::ServiceStop => (ApplicationLifecycle, STOP),

            Kind::AuditGap | Kind::ChainRecovered | Kind::Signal | Kind::SinkDropped => {
                (DetectionFinding, CREATE)
            }

            Kind::Unknown => (BaseEvent, other("Unknown")),
        };
        Some(Shape { class, activity, success: success(event), enables })
    }
}

/// The activity that scopes ask for, by the words that they most often use for their actions.
fn done_by(event: &Event<'_>) -> (u8, &'static str) {
    let mut found = None;
    for scope in &event.scopes {
        let name = scope.as_str().split_once(':').map_or(scope.as_str(), |(name, _)| name);
        let activity = match name.rsplit_once('.').map_or("", |(_, action)| action) {
            "create" | "add" | "send" | "post" | "insert" | "upload" | "pay" => CREATE,
            "read" | "list" | "get" | "search" | "download" | "view" => READ,
            "write" | "update" | "edit" | "modify" | "move" | "rename" => UPDATE,
            "delete" | "remove" | "purge" => DELETE,
            _ => other("Other"),
        };
        match found {
            None => found = Some(activity),
            Some(same) if same == activity => {}
            Some(_) => return other("Other"),
        }
    }
    found.unwrap_or(other("Other"))
}

/// What came of a request: `disposition_id` and its caption.
pub(super) fn disposition(event: &Event<'_>, verdict: Verdict) -> (u8, &'static str) {
    if event.dry_run {
        return (17, "Logged");
    }
    if verdict == Verdict::Allow {
        return (1, "Allowed");
    }
    match event.reason.as_ref().map_or("", |reason| reason.as_str()) {
        "quarantined" => (3, "Quarantined"),
        "consent_required" => (23, "Challenge"),
        "session_revoked" => (24, "Access Revoked"),
        "agent_unknown" | "agent_changed" | "caller_unproven" | "not_logged_in" | "session_expired"
        | "session_unverified" => (26, "Unauthorized"),
        "" if event.kind == Kind::OperationRefused => (26, "Unauthorized"),
        "audit_unavailable" => (27, "Error"),
        _ => (2, "Blocked"),
    }
}
