//! Roles, permissions and tenants as the provider's users know them: who has the role may, who lacks it is told so; rights that were
//! given inside a tenant count in the tenant that is current and nowhere else.

use std::sync::Arc;

use agentauth_api::SessionPhase;
use descope_emulator::UserChange;
use e2e::{ALICE, BOB, CAROL, DANA, ERIN, Person, Provider, World, WorldOptions, wait};
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";
const SEE: &str = "payments.read";
const ADMIN: &str = "admin.manage";
const READ: &str = "files.read:/projects";

const NO_PAYER: &str = "`probe-agent` may not do `payments.execute:currency=EUR`: you lack the role `payment_processor`: \
                        Moving money needs the role `payment_processor`, which you do not have here; \
                        ask an administrator for the role";
const NO_ADMIN: &str = "`probe-agent` may not do `admin.manage`: you lack the role `admin`: \
                        Administration needs the role `admin`, which you do not have here; \
                        ask an administrator for the role";

/// What a person wrote before the first login: reading files takes a permission.
const BY_PERMISSION: &str = r#"
    @id("files-by-permission") @reason_user("Reading files needs the permission `payments.execute`.")
    forbid (principal, action == AgentAuth::Action::"files.read", resource)
    unless { principal in AgentAuth::Permission::"payments.execute" };
"#;
/// Reading files is for members of a tenant, whichever is current.
const BY_TENANT: &str = r#"
    @id("files-by-tenant") @reason_user("Files are for members of Acme Deutschland.")
    forbid (principal, action == AgentAuth::Action::"files.read", resource)
    unless { principal in AgentAuth::Tenant::"acme-de" };
"#;
/// Reading files is for who is there for this tenant just now.
const BY_CURRENT_TENANT: &str = r#"
    @id("files-by-current-tenant") @reason_user("Files are read for Acme Deutschland.")
    forbid (principal, action == AgentAuth::Action::"files.read", resource)
    unless { principal.user has current_tenant && principal.user.current_tenant == "acme-de" };
"#;

/// How a person's machine is set up.
#[derive(Clone, Copy, Default)]
struct Setup {
    /// What `provider.tenant` says.
    tenant: Option<&'static str>,
    /// The person's own policies.
    policies: Option<&'static str>,
}

impl Setup {
    fn acting_in(tenant: &'static str) -> Self {
        Self { tenant: Some(tenant), ..Self::default() }
    }

    fn with(policies: &'static str) -> Self {
        Self { policies: Some(policies), ..Self::default() }
    }

    /// The machine with this person logged in.
    #[track_caller]
    fn login(self, provider: &Arc<Provider>, person: Person) -> World {
        let world = self.world(provider);
        world.login(person);
        world
    }

    /// The machine before anybody logs in.
    #[track_caller]
    fn world(self, provider: &Arc<Provider>) -> World {
        let tenant = self.tenant.map(|tenant| ("AGENTAUTHD_PROVIDER_TENANT".to_owned(), tenant.to_owned()));
        let options = WorldOptions { environment: tenant.into_iter().collect(), ..WorldOptions::default() };
        let mut world = World::without_daemon(provider, options);
        if let Some(policies) = self.policies {
            let directory = world.config_dir().join("policies");
            e2e::world::private_directory(&directory);
            std::fs::write(directory.join("own.cedar"), policies).unwrap();
        }
        world.start_daemon();
        world.wait_for_phase(SessionPhase::LoggedOut);
        world
    }
}

/// Makes a person a member of exactly these tenants, with these roles there.
fn enrol(provider: &Provider, person: Person, tenants: &Value) {
    let tenants = Some(serde_json::from_value(tenants.clone()).unwrap());
    provider.control().change_user(person.email, UserChange { tenants, ..UserChange::default() }).unwrap();
}

#[track_caller]
fn allowed(world: &World, scope: &str) {
    let decision = world.check(scope);
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("allow"), &json!("granted")),
        "{decision}"
    );
}

/// Denied for want of a role, in words that name it.
#[track_caller]
fn lacks_role(world: &World, scope: &str, message: &str) {
    let decision = world.check(scope);
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("deny"), &json!("role_required")),
        "{decision}"
    );
    assert_eq!(decision["message"], message, "{decision}");
    assert!(decision["remedy"].is_null(), "nothing that the person could do helps: {decision}");
    let model = decision["model_message"].as_str().unwrap();
    assert!(model.contains("only an administrator can give it"), "{decision}");
}

/// Denied by a policy that says this.
#[track_caller]
fn forbidden(world: &World, scope: &str, said: &str) -> Value {
    let decision = world.check(scope);
    assert_eq!(decision["reason"], "policy_forbids", "{decision}");
    assert!(decision["message"].as_str().unwrap().contains(said), "{decision}");
    decision
}

#[test]
fn a_role_of_the_project_is_what_one_has_and_the_other_lacks() {
    let provider = Provider::start();
    let login = |person| Setup::default().login(&provider, person);
    let (alice, bob, dana) = (login(ALICE), login(BOB), login(DANA));
    allowed(&alice, PAY);
    lacks_role(&bob, PAY, NO_PAYER);
    lacks_role(&dana, PAY, NO_PAYER);
    allowed(&dana, ADMIN);
    lacks_role(&alice, ADMIN, NO_ADMIN);
    lacks_role(&bob, ADMIN, NO_ADMIN);
    // What no policy asks a role for, all may.
    for world in [&alice, &bob, &dana] {
        allowed(world, SEE);
        allowed(world, READ);
    }
    // The policy that decided is named, to the agent and in the record.
    let decision = bob.check(PAY);
    assert_eq!(decision["policies"], json!(["payments-need-role"]), "{decision}");
    let record = bob.record_of(&decision["id"]);
    assert_eq!(
        (&record["reason"], &record["policies"]),
        (&decision["reason"], &decision["policies"]),
        "{record}"
    );
}

#[test]
fn a_role_goes_with_the_login_and_comes_to_nobody_else() {
    let provider = Provider::start();
    let world = Setup::default().login(&provider, ALICE);
    allowed(&world, PAY);
    assert_eq!(world.cli(&["logout"]).code, Some(0));
    assert_eq!(world.check(PAY)["reason"], "not_logged_in");

    // The installation is Alice's: somebody else's login is not taken, with whatever roles.
    let login = world.begin_login();
    world.provider.sign_in(&login.url, DANA.email, DANA.password);
    let refused = login.finish();
    assert!(refused.code == Some(1) && refused.stderr.contains("agentauthd login --switch"), "{refused:?}");
    for scope in [PAY, ADMIN] {
        assert_eq!(world.check(scope)["reason"], "not_logged_in", "{scope}");
    }

    // Meanwhile Alice has become somebody else at the provider.
    world.provider.set_roles(ALICE.email, &["admin"]);
    world.login(ALICE);
    lacks_role(&world, PAY, NO_PAYER);
    allowed(&world, ADMIN);
}

#[test]
fn a_role_in_a_tenant_counts_where_that_tenant_is_selected() {
    let provider = Provider::start();
    // Carol pays for Acme France, and has no role of the project.
    let nowhere = Setup::default().login(&provider, CAROL);
    lacks_role(&nowhere, PAY, NO_PAYER);
    allowed(&nowhere, SEE);
    let france = Setup::acting_in("acme-fr").login(&provider, CAROL);
    assert_eq!(france.status().session.tenant.as_deref(), Some("acme-fr"));
    allowed(&france, PAY);
    lacks_role(&france, ADMIN, NO_ADMIN);
    // Roles of the project do not count where a tenant is selected.
    enrol(&provider, ALICE, &json!({"acme-fr": []}));
    let alice = Setup::acting_in("acme-fr").login(&provider, ALICE);
    lacks_role(&alice, PAY, NO_PAYER);
    // Who does not belong to it does not even come in.
    let stranger = Setup::acting_in("acme-de").world(&provider);
    let login = stranger.begin_login();
    assert_ne!(provider.sign_in(&login.url, CAROL.email, CAROL.password).status, 200);
    assert_eq!(stranger.check(PAY)["reason"], "not_logged_in");
}

#[test]
fn who_is_in_two_tenants_has_the_roles_of_the_one_selected() {
    let provider = Provider::start();
    // Erin looks at payments in France and makes them in Germany.
    let germany = Setup::acting_in("acme-de").login(&provider, ERIN);
    assert_eq!(germany.status().session.tenant.as_deref(), Some("acme-de"));
    allowed(&germany, PAY);
    let france = Setup::acting_in("acme-fr").login(&provider, ERIN);
    lacks_role(&france, PAY, NO_PAYER);
    allowed(&france, SEE);
    // With two there is none that is current by itself.
    let nowhere = Setup::default().login(&provider, ERIN);
    assert_eq!(nowhere.status().session.tenant, None);
    lacks_role(&nowhere, PAY, NO_PAYER);
}

#[test]
fn lists_on_top_belong_to_the_tenant_that_is_current_where_there_are_no_others() {
    let provider = Provider::start();
    provider.patch(json!({"tokens": {"authorization": "tenant_only"}}));
    // Such tokens name the current tenant (`dct`) and have no `tenants`.
    let by_itself = Setup::default().login(&provider, CAROL);
    allowed(&by_itself, PAY);
    let selected = Setup::acting_in("acme-fr").login(&provider, CAROL);
    allowed(&selected, PAY);
    let germany = Setup::acting_in("acme-de").login(&provider, ERIN);
    allowed(&germany, PAY);
    let france = Setup::acting_in("acme-fr").login(&provider, ERIN);
    lacks_role(&france, PAY, NO_PAYER);

    // Without `dct` nobody knows whose the lists on top are: a tenant has none of them.
    provider.patch(json!({"tokens": {"authorization": "tenant_only", "omit": ["dct"]}}));
    let unknown = Setup::acting_in("acme-fr").login(&provider, CAROL);
    lacks_role(&unknown, PAY, NO_PAYER);
    // Where each tenant has lists of its own, it takes none.
    provider.patch(json!({"tokens": {"authorization": "default", "omit": ["dct"]}}));
    let named = Setup::acting_in("acme-fr").login(&provider, CAROL);
    allowed(&named, PAY);
}

#[test]
fn a_policy_can_ask_for_a_permission() {
    const SAID: &str = "Reading files needs the permission `payments.execute`";
    let provider = Provider::start();
    let gated = Setup::with(BY_PERMISSION);
    allowed(&gated.login(&provider, ALICE), READ);
    let bob = gated.login(&provider, BOB);
    let decision = forbidden(&bob, READ, SAID);
    assert_eq!(decision["policies"], json!(["files-by-permission"]), "{decision}");
    allowed(&bob, SEE);
    // Permissions that come with a tenant's role count in that tenant.
    forbidden(&gated.login(&provider, CAROL), READ, SAID);
    let in_france = Setup { tenant: Some("acme-fr"), ..gated };
    allowed(&in_france.login(&provider, CAROL), READ);
    forbidden(&in_france.login(&provider, ERIN), READ, SAID);
    // A role is no permission: tokens may leave these out.
    provider.patch(json!({"tokens": {"exclude_permissions": true}}));
    let alice = gated.login(&provider, ALICE);
    forbidden(&alice, READ, SAID);
    allowed(&alice, PAY);
}

#[test]
fn a_policy_can_ask_for_a_tenant() {
    let provider = Provider::start();
    let members = Setup::with(BY_TENANT);
    allowed(&members.login(&provider, ERIN), READ);
    forbidden(&members.login(&provider, CAROL), READ, "members of Acme Deutschland");
    forbidden(&members.login(&provider, ALICE), READ, "members of Acme Deutschland");

    let there = Setup::with(BY_CURRENT_TENANT);
    let erin = |tenant| Setup { tenant, ..there }.login(&provider, ERIN);
    allowed(&erin(Some("acme-de")), READ);
    forbidden(&erin(Some("acme-fr")), READ, "for Acme Deutschland");
    forbidden(&erin(None), READ, "for Acme Deutschland");
    // Where there is one tenant, that one is current by itself: here it is the other.
    forbidden(&there.login(&provider, CAROL), READ, "for Acme Deutschland");
}

#[test]
fn what_changes_at_the_provider_counts_from_the_next_refresh_on() {
    let provider = Provider::start();
    provider.patch(json!({"lifetimes": {"session": 4}}));
    let bob = Setup::with(BY_PERMISSION).login(&provider, BOB);
    let carol = Setup::acting_in("acme-fr").login(&provider, CAROL);
    lacks_role(&bob, PAY, NO_PAYER);
    allowed(&carol, PAY);

    provider.set_roles(BOB.email, &["viewer", "payment_processor"]);
    wait::until_true("Bob's new role", || bob.check(PAY)["decision"] == "allow");
    allowed(&bob, READ);
    let move_carol = |tenants: Value| enrol(&provider, CAROL, &tenants);
    // Out of the tenant, in it without a role, and back.
    move_carol(json!({}));
    wait::until_true("Carol to be out of the tenant", || carol.check(PAY)["reason"] == "role_required");
    lacks_role(&carol, PAY, NO_PAYER);
    move_carol(json!({"acme-fr": ["payment_processor"]}));
    wait::until_true("Carol to be back", || carol.check(PAY)["decision"] == "allow");
    move_carol(json!({"acme-fr": ["viewer"], "acme-de": ["payment_processor"]}));
    wait::until_true("Carol to pay elsewhere", || carol.check(PAY)["reason"] == "role_required");

    provider.set_roles(BOB.email, &["viewer"]);
    wait::until_true("Bob's role to be gone", || bob.check(PAY)["reason"] == "role_required");
    forbidden(&bob, READ, "the permission `payments.execute`");
    // Nobody had to log in again.
    for person in [BOB, CAROL] {
        assert_eq!(provider.live_families(person.email), 1, "{}", person.email);
    }
}
