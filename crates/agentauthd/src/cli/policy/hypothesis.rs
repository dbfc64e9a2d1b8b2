//! Facts that are supposed, for questions that nobody asked.

use std::path::PathBuf;
use std::sync::Arc;

use agentauth_core::scenario::{Case, Expectation, Scenario, ScenarioFault, World, overlay};
use agentauth_core::{
    Catalogue, Decision, Manifest, Policy, Scope, Signal, Signals, SignedDuration, Strength,
};
use clap::Args;
use serde_json::{Map, Value, json};

use super::super::Failure;
use crate::daemon::rulebook::read_bounded;

/// The longest file of facts, in bytes.
const FACTS: usize = 256 * 1024;

/// For whom, and how. Without any of it: somebody is logged in, has no role, and the agent is known by its path.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Suppose")]
pub(super) struct Hypothesis {
    /// The user has this role. May be repeated.
    #[arg(long, value_name = "NAME")]
    role: Vec<String>,
    /// The user has this permission. May be repeated.
    #[arg(long, value_name = "NAME")]
    permission: Vec<String>,
    /// The tenant in which the user acts; roles and permissions are those there.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// How strongly the user logged in, in the provider's words.
    #[arg(long, value_name = "CLASS")]
    acr: Option<String>,
    /// How the user proved who they are, such as `pwd` or `mfa`. May be repeated.
    #[arg(long, value_name = "FACTOR")]
    amr: Vec<String>,
    /// The login was stepped up.
    #[arg(long)]
    stepped_up: bool,
    /// How long ago the user logged in, such as `20m`.
    #[arg(long, value_name = "DURATION", value_parser = age)]
    auth_age: Option<u32>,
    /// How well the agent is proven.
    #[arg(long, value_name = "LEVEL", value_parser = ["path", "pinned", "launched"])]
    assurance: Option<String>,
    /// This is unusual about the agent, such as `burst`. May be repeated.
    #[arg(long, value_name = "SIGNAL", value_parser = signal)]
    signal: Vec<Signal>,
    /// More, as a JSON file with members of a scenario: `session`, `device`, `now` and others.
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
}

/// A question that nobody asked.
pub(super) struct Question<'a> {
    /// What the agent says of itself.
    pub(super) manifest: &'a Manifest,
    /// How well it is proven where nothing else is supposed.
    pub(super) assurance: &'a str,
    /// What it asks for.
    pub(super) scopes: &'a [Scope],
    /// What it was allowed beforehand; see [`World::allow`].
    pub(super) grant: &'a str,
    /// How the person confirmed that.
    pub(super) strength: Option<Strength>,
}

impl Hypothesis {
    /// Whether anything is supposed.
    pub(super) fn is_given(&self) -> bool {
        let Self { role, permission, tenant, acr, amr, stepped_up, auth_age, assurance, signal, facts } =
            self;
        let lists = [role, permission, amr].into_iter().any(|list| !list.is_empty());
        let texts = [tenant, acr, assurance].into_iter().any(Option::is_some);
        lists || texts || *stepped_up || auth_age.is_some() || !signal.is_empty() || facts.is_some()
    }

    /// The world that is supposed. `below`: members of it that hold where the facts say nothing else.
    fn world(&self, below: &Map<String, Value>) -> Result<World, Failure> {
        let mut world = World::plain();
        overlay(&mut world, below);
        let unusable = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
            let file = self.facts.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            Failure::caused(
                format!("could not {what} `{file}`; docs/policy-tools.md says what stands in it"),
                error,
            )
        };
        if let Some(path) = &self.facts {
            let text = read_bounded(path, FACTS).map_err(|error| unusable("read", error.into()))?;
            let facts: Map<_, _> =
                serde_json::from_str(&text).map_err(|error| unusable("use", error.into()))?;
            if facts.contains_key("policies") {
                let why = "it names `policies`, which would stand in the place of those that are looked at";
                return Err(unusable("use", why.into()));
            }
            overlay(&mut world, &facts);
        }
        let session = self.session(world.get("session").unwrap_or(&Value::Null));
        overlay(&mut world, &[("session".to_owned(), session.into())].into_iter().collect());
        serde_json::from_value(world).map_err(|error| unusable("use", error.into()))
    }

    /// What is decided when an agent of this manifest asks for these scopes, and has such a grant.
    pub(super) fn decide(
        &self,
        question: &Question<'_>,
        below: &Map<String, Value>,
        catalogue: &Arc<Catalogue>,
        policy: &Arc<Policy>,
    ) -> Result<Decision, Failure> {
        let unusable = |fault: ScenarioFault| Failure::caused("could not ask the policies", fault);
        let mut world = self.world(below)?;
        let manifest = serde_json::to_value(question.manifest)
            .map_err(|error| Failure::caused("could not ask the policies", error))?;
        let name = &question.manifest.name;
        let assurance = self.assurance.as_deref().unwrap_or(question.assurance);
        world.register(name, &manifest, assurance).map_err(unusable)?;
        world.allow(name, question.scopes, question.grant, question.strength).map_err(unusable)?;
        let case = Case {
            name: "hypothetical".to_owned(),
            caller: None,
            dry_run: Some(name.clone()),
            agent: None,
            scopes: question.scopes.to_vec(),
            purpose: None,
            action: None,
            bytes: 0,
            items: 0,
            signals: self.signal.iter().fold(Signals::NONE, |all, one| all.with(*one)),
            audit: None,
            expect: Expectation::default(),
        };
        Scenario::new(world, case).and_then(|scenario| scenario.decide(catalogue, policy)).map_err(unusable)
    }

    /// What the flags say of the session. `supposed`: what stands below them.
    fn session(&self, supposed: &Value) -> Map<String, Value> {
        let mut session = Map::new();
        if let Some(tenant) = &self.tenant {
            session.insert("current_tenant".to_owned(), tenant.as_str().into());
            session.insert("acts_in".to_owned(), tenant.as_str().into());
        }
        let rights = [("roles", &self.role), ("permissions", &self.permission)];
        let rights = rights.into_iter().filter(|(_, names)| !names.is_empty());
        let rights: Map<_, _> = rights.map(|(member, names)| (member.to_owned(), json!(names))).collect();
        let acts_in = supposed.get("acts_in").and_then(Value::as_str).filter(|tenant| !tenant.is_empty());
        match self.tenant.as_deref().or(acts_in) {
            Some(tenant) if !rights.is_empty() => {
                let mut tenants =
                    supposed.get("tenants").and_then(Value::as_object).cloned().unwrap_or_default();
                let of_tenant =
                    tenants.entry(tenant).or_insert_with(|| json!({ "roles": [], "permissions": [] }));
                if let Value::Object(of_tenant) = of_tenant {
                    of_tenant.extend(rights);
                }
                session.insert("tenants".to_owned(), tenants.into());
            }
            _ => session.extend(rights),
        }
        if let Some(acr) = &self.acr {
            session.insert("acr".to_owned(), acr.as_str().into());
        }
        if !self.amr.is_empty() {
            session.insert("factors".to_owned(), json!(self.amr));
        }
        if self.stepped_up {
            session.insert("stepped_up".to_owned(), true.into());
        }
        if let Some(seconds) = self.auth_age {
            session.insert("auth_age_seconds".to_owned(), seconds.into());
            session.insert("logged_in_at".to_owned(), Value::Null);
        }
        session
    }
}

/// A length of time in whole seconds.
fn age(text: &str) -> Result<u32, String> {
    let age: SignedDuration = text.parse().map_err(|_| "write it like `20m`".to_owned())?;
    u32::try_from(age.as_secs()).map_err(|_| "must not be negative".to_owned())
}

fn signal(text: &str) -> Result<Signal, String> {
    let found = Signal::ALL.into_iter().find(|signal| signal.as_str() == text);
    found.ok_or_else(|| {
        let known = Signal::ALL.map(Signal::as_str);
        format!("must be one of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use agentauth_core::Timestamp;
    use agentauth_core::claims::EffectiveRights;
    use agentauth_core::session::SessionState;

    use super::*;

    fn at(now: &str) -> Map<String, Value> {
        [("now".to_owned(), now.into())].into_iter().collect()
    }

    fn rights(hypothesis: &Hypothesis) -> EffectiveRights {
        let world = hypothesis.world(&Map::new()).unwrap();
        let SessionState::Active(session) = world.session.state(world.now).unwrap() else { panic!() };
        session.rights.clone()
    }

    #[test]
    fn flags_make_the_session_that_policies_see() {
        let now = "2026-03-01T12:00:00Z";
        let hypothesis = Hypothesis {
            role: vec!["clerk".to_owned()],
            tenant: Some("T1".to_owned()),
            acr: Some("phr".to_owned()),
            stepped_up: true,
            auth_age: Some(age("20m").unwrap()),
            ..Hypothesis::default()
        };
        let world = hypothesis.world(&at(now)).unwrap();
        let now: Timestamp = now.parse().unwrap();
        let SessionState::Active(session) = world.session.state(world.now).unwrap() else { panic!() };
        assert_eq!(
            (&*session.rights.roles, &*session.rights.tenants),
            (&["clerk".to_owned()][..], &["T1".to_owned()][..])
        );
        assert_eq!(session.rights.current_tenant.as_deref(), Some("T1"));
        assert_eq!(session.claims.acr.as_deref(), Some("phr"));
        assert!(session.claims.stepped_up);
        assert_eq!(now.duration_since(session.logged_in_at), SignedDuration::from_mins(20));
        let plain = rights(&Hypothesis::default());
        assert!(plain.roles.is_empty() && plain.tenants.is_empty());
        assert!(hypothesis.is_given() && !Hypothesis::default().is_given());
    }

    #[test]
    fn rights_are_those_in_the_tenant_in_which_the_user_acts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let supposing = |session: &str, tenant: Option<&str>, role: &[&str]| {
            std::fs::write(file.path(), format!(r#"{{"session": {session}}}"#)).unwrap();
            let found = rights(&Hypothesis {
                facts: Some(file.path().to_owned()),
                tenant: tenant.map(str::to_owned),
                role: role.iter().map(|&role| role.to_owned()).collect(),
                ..Hypothesis::default()
            });
            (found.roles, found.permissions, found.tenants)
        };
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let tenants = r#""tenants": {"T1": {"roles": ["clerk"], "permissions": ["p"]}, "T2": {"roles": [], "permissions": []}}"#;
        let both = owned(&["T1", "T2"]);
        let facts = format!("{{{tenants}}}");
        assert_eq!(
            supposing(&facts, Some("T1"), &[]),
            (owned(&["clerk"]), owned(&["p"]), both.clone()),
            "the flag names no right, so those of the facts hold"
        );
        assert_eq!(
            supposing(&facts, Some("T1"), &["hr"]),
            (owned(&["hr"]), owned(&["p"]), both.clone()),
            "only what a flag names is another one"
        );
        let facts = format!(r#"{{{tenants}, "acts_in": "T2"}}"#);
        assert_eq!(supposing(&facts, None, &["clerk"]), (owned(&["clerk"]), Vec::new(), both));
        let facts = r#"{"roles": ["clerk"], "current_tenant": "T1"}"#;
        assert_eq!(supposing(facts, Some("T1"), &[]), (owned(&["clerk"]), Vec::new(), owned(&["T1"])));
    }

    #[test]
    fn facts_of_a_file_stand_below_the_flags() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let facts = r#"{"now": "2026-03-01T08:00:00Z", "session": {"roles": ["a"], "acr": "x", "logged_in_at": "2026-03-01T07:00:00Z"}, "device": {"os": "linux"}}"#;
        std::fs::write(file.path(), facts).unwrap();
        let mut hypothesis = Hypothesis {
            facts: Some(file.path().to_owned()),
            role: vec!["b".to_owned()],
            auth_age: Some(60),
            ..Hypothesis::default()
        };
        let world = hypothesis.world(&at("2026-03-01T12:00:00Z")).unwrap();
        assert_eq!(world.now.to_string(), "2026-03-01T08:00:00Z");
        let (roles, acr) = (&world.session.roles, &world.session.acr);
        assert_eq!((&**roles, acr.as_deref()), (&["b".to_owned()][..], Some("x")));
        assert_eq!(world.device.os, "linux");
        let SessionState::Active(session) = world.session.state(world.now).unwrap() else { panic!() };
        assert_eq!(session.logged_in_at.to_string(), "2026-03-01T07:59:00Z", "the flag stands above");
        std::fs::write(file.path(), r#"{"policies": {"a.cedar": ""}}"#).unwrap();
        assert!(hypothesis.world(&Map::new()).unwrap_err().report().contains("it names `policies`"));
        std::fs::write(file.path(), r#"{"sessions": {}}"#).unwrap();
        assert!(hypothesis.world(&Map::new()).unwrap_err().report().contains("unknown field `sessions`"));
        hypothesis.facts = Some("/none".into());
        assert!(hypothesis.world(&Map::new()).is_err());
    }
}
