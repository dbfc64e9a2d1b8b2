//! The fixture: who exists in the emulated project, read from TOML.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::apps::{App, McpServer, Registry};
use crate::random::stable_id;
use crate::settings::Settings;

/// The fixture that ships with the crate: Alice, Bob, Carol and Dana of Acme.
pub const ACME: &str = include_str!("../fixtures/acme.toml");

/// A fixture as written in TOML.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// The project.
    #[serde(default)]
    pub project: FixtureProject,
    /// The project's settings at start.
    #[serde(default)]
    pub settings: Settings,
    /// Tenants by id.
    #[serde(default)]
    pub tenants: BTreeMap<String, Tenant>,
    /// Roles by name, each with its permissions.
    #[serde(default)]
    pub roles: BTreeMap<String, Vec<String>>,
    /// Applications by client id.
    #[serde(default)]
    pub apps: BTreeMap<String, App>,
    /// MCP servers by id.
    #[serde(default)]
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// The people.
    #[serde(default)]
    pub users: Vec<FixtureUser>,
}

/// The project of a fixture.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FixtureProject {
    /// `P` and 27 letters or digits; the emulator has a default.
    pub id: Option<String>,
    /// The name on the sign-in page.
    pub name: Option<String>,
    /// The keys of the management API and of locked endpoints. Test data.
    pub keys: ProjectKeys,
}

/// Keys that a project's administrator hands out; an empty one fits nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectKeys {
    /// Opens everything under `/v1/mgmt` and `/v2/mgmt`.
    pub management: TestPassword,
    /// Opens what only reads there.
    pub read_only: TestPassword,
    /// The last part of the bearer where public authentication endpoints are locked (sheet 4.1).
    pub authentication: TestPassword,
}

/// A tenant.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The name that people read.
    pub name: String,
}

/// A user as written in a fixture.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixtureUser {
    /// The Descope user id; by default made from the e-mail address, always the same.
    pub id: Option<String>,
    /// The e-mail address, which is also the login id.
    pub email: String,
    /// Further login ids.
    #[serde(default)]
    pub login_ids: Vec<String>,
    /// The full name.
    pub name: Option<String>,
    /// The password that the sign-in page accepts. Test data.
    pub password: TestPassword,
    /// Project-level roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Tenant memberships: tenant id to the roles held there.
    #[serde(default)]
    pub tenants: BTreeMap<String, Vec<String>>,
    /// A disabled user can neither sign in nor refresh.
    #[serde(default)]
    pub disabled: bool,
    /// `amr` of this user's sign-ins.
    #[serde(default = "default_factors")]
    pub factors: Vec<String>,
    /// Custom claims.
    #[serde(default)]
    pub claims: Map<String, Value>,
}

fn default_factors() -> Vec<String> {
    vec!["pwd".to_owned()]
}

/// A password of the fixture; it prints as nothing.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct TestPassword(String);

impl TestPassword {
    /// A password; an empty one fits nothing.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether there is one.
    pub(crate) fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether `attempt` is this password.
    pub(crate) fn matches(&self, attempt: &str) -> bool {
        self.is_set() && self.0 == attempt
    }
}

impl std::fmt::Debug for TestPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestPassword(..)")
    }
}

/// A user of the running emulator.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) login_ids: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) password: TestPassword,
    pub(crate) roles: Vec<String>,
    pub(crate) tenants: BTreeMap<String, Vec<String>>,
    pub(crate) disabled: bool,
    pub(crate) factors: Vec<String>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) phone: Option<String>,
    /// Nobody showed that the address is theirs.
    pub(crate) unverified: bool,
    /// Created by an administrator and never signed in since.
    pub(crate) invited: bool,
    /// A test user: codes and links can be asked for through the management API.
    pub(crate) test: bool,
    /// Custom attributes, which are no claims.
    pub(crate) attributes: Map<String, Value>,
}

impl User {
    /// Whether `login` (any case) is one of the user's login ids, or exactly the user id.
    pub(crate) fn answers_to(&self, login: &str) -> bool {
        self.id == login || self.login_ids.iter().any(|id| id.eq_ignore_ascii_case(login))
    }
}

/// Why a fixture was refused.
#[derive(Debug, thiserror::Error)]
pub enum FixtureFault {
    /// Not TOML, an unknown member, or a value of the wrong kind.
    #[error("cannot read the fixture as TOML; see fixtures/acme.toml for the members")]
    Toml(#[source] Box<toml::de::Error>),
    /// A user holds a role that is not defined.
    #[error("the fixture's user `{user}` has the role `{role}`, which the table [roles] does not define")]
    UnknownRole {
        /// E-mail address of the user.
        user: String,
        /// The role.
        role: String,
    },
    /// A user belongs to a tenant that is not defined.
    #[error(
        "the fixture's user `{user}` belongs to the tenant `{tenant}`, which the table [tenants] does not define"
    )]
    UnknownTenant {
        /// E-mail address of the user.
        user: String,
        /// The tenant.
        tenant: String,
    },
    /// Two users share a login id.
    #[error("the fixture has two users with the login id `{login}`; login ids must differ")]
    DuplicateLogin {
        /// The login id.
        login: String,
    },
    /// A client belongs to an MCP server that is not defined.
    #[error(
        "the fixture's app `{app}` belongs to the MCP server `{server}`, which the table [mcp_servers] does not define"
    )]
    UnknownServer {
        /// The client id.
        app: String,
        /// The server.
        server: String,
    },
    /// The project id has the wrong shape.
    #[error("`{id}` is not a project id: a `P` and 27 letters or digits (31 with a region code) are needed")]
    ProjectId {
        /// The id as given.
        id: String,
    },
}

impl Fixture {
    /// Reads and checks a fixture.
    ///
    /// # Errors
    /// When the text is not TOML of this shape, or names roles and tenants that it does not define.
    pub fn parse(text: &str) -> Result<Self, FixtureFault> {
        let fixture: Self = toml::from_str(text).map_err(|error| FixtureFault::Toml(Box::new(error)))?;
        if let Some(id) = &fixture.project.id {
            check_project_id(id)?;
        }
        let registry = Registry { apps: fixture.apps.clone(), servers: fixture.mcp_servers.clone() };
        if let Some((app, server)) = registry.astray() {
            return Err(FixtureFault::UnknownServer { app, server });
        }
        let mut logins: Vec<String> = Vec::new();
        for user in &fixture.users {
            let fault =
                |role: &String| FixtureFault::UnknownRole { user: user.email.clone(), role: role.clone() };
            for role in user.roles.iter().chain(user.tenants.values().flatten()) {
                if !fixture.roles.contains_key(role) {
                    return Err(fault(role));
                }
            }
            if let Some(tenant) = user.tenants.keys().find(|tenant| !fixture.tenants.contains_key(*tenant)) {
                return Err(FixtureFault::UnknownTenant { user: user.email.clone(), tenant: tenant.clone() });
            }
            for login in std::iter::once(&user.email).chain(&user.login_ids) {
                let login = login.to_ascii_lowercase();
                if logins.contains(&login) {
                    return Err(FixtureFault::DuplicateLogin { login });
                }
                logins.push(login);
            }
        }
        Ok(fixture)
    }

    /// The users as the emulator keeps them.
    pub(crate) fn people(&self) -> Vec<User> {
        self.users
            .iter()
            .cloned()
            .map(|user| User {
                id: user.id.unwrap_or_else(|| stable_id('U', &user.email)),
                login_ids: std::iter::once(user.email.clone()).chain(user.login_ids).collect(),
                email: user.email,
                name: user.name,
                password: user.password,
                roles: user.roles,
                tenants: user.tenants,
                disabled: user.disabled,
                factors: user.factors,
                claims: user.claims,
                phone: None,
                unverified: false,
                invited: false,
                test: false,
                attributes: Map::new(),
            })
            .collect()
    }
}

/// Checks the shape of a project id (sheet 1.1).
pub(crate) fn check_project_id(id: &str) -> Result<(), FixtureFault> {
    let tail = id.strip_prefix('P').unwrap_or_default();
    if matches!(tail.len(), 27 | 31) && tail.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(FixtureFault::ProjectId { id: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_fixture_holds_together() {
        let fixture = Fixture::parse(ACME).unwrap();
        let people = fixture.people();
        let named = |login: &str| people.iter().find(|user| user.answers_to(login)).unwrap();
        assert_eq!(named("alice@acme.test").roles, ["payment_processor"]);
        assert_eq!(named("ALICE@acme.test").name.as_deref(), Some("Alice Moreau"));
        assert!(!named("bob@acme.test").roles.contains(&"payment_processor".to_owned()));
        assert!(!named("carol@acme.test").tenants.is_empty());
        assert_eq!(named("dana@acme.test").roles, ["admin"]);
    }

    #[test]
    fn faults_are_named() {
        let said = |text: &str| Fixture::parse(text).unwrap_err().to_string();
        let user = "[[users]]\nemail = \"a@b.test\"\npassword = \"x\"\n";
        assert!(said(&format!("{user}roles = [\"boss\"]")).contains("`boss`"));
        assert!(said(&format!("{user}tenants = {{ T9 = [] }}")).contains("`T9`"));
        assert!(said(&format!("{user}{user}")).contains("`a@b.test`"));
        assert!(said("[project]\nid = \"X1\"").contains("`X1`"));
        assert!(said("[apps.C1]\nkind = { mcp = \"MS9\" }").contains("`MS9`"));
        assert!(Fixture::parse("surprise = 1").is_err());
    }

    #[test]
    fn passwords_do_not_print() {
        let fixture = Fixture::parse("[[users]]\nemail = \"a@b.test\"\npassword = \"open sesame\"").unwrap();
        assert!(!format!("{fixture:?}").contains("sesame"));
    }
}
