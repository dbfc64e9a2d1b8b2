//! What is accepted as a provider, and what is said of what is not.

use super::*;

fn settings() -> ProviderSettings {
    ProviderSettings { project_id: format!("P{}", "a".repeat(27)), ..Default::default() }
}

fn faults(settings: ProviderSettings) -> Vec<ConfigFault> {
    ProviderConfig::new(settings).err().map(|f| f.0).unwrap_or_default()
}

#[test]
fn base_follows_the_region_of_the_project_id() {
    for (id, base) in [
        (format!("P{}", "2".repeat(27)), "https://api.descope.com/"),
        (format!("Puse1{}", "2".repeat(27)), "https://api.use1.descope.com/"),
        (format!("Peuc1{}", "2".repeat(27)), "https://api.euc1.descope.com/"),
    ] {
        let config =
            ProviderConfig::new(ProviderSettings { project_id: id.clone(), ..Default::default() }).unwrap();
        assert_eq!(config.base_url().as_str(), base);
        assert_eq!(config.issuer(), format!("{base}{id}"));
        assert_eq!(config.client_id(), id);
    }
}

#[test]
fn base_url_must_be_protected_and_bare() {
    for (base, ok) in [
        ("https://id.example.com", true),
        ("https://id.example.com/", true),
        ("https://id.example.com:8443", true),
        ("http://127.0.0.1:9000", true),
        ("http://[::1]:9000", true),
        ("http://localhost:9000", true),
        ("http://id.example.com", false),
        ("http://localhost.example.com", false),
        ("http://127.0.0.1.example.com", false),
        ("ftp://127.0.0.1", false),
        ("https://user@id.example.com", false),
        ("https://id.example.com/path", false),
        ("https://id.example.com?x=1", false),
        ("https://id.example.com#x", false),
        ("id.example.com", false),
        ("", false),
    ] {
        let result = ProviderConfig::new(ProviderSettings { base_url: Some(base.to_owned()), ..settings() });
        assert_eq!(result.is_ok(), ok, "{base}: {result:?}");
    }
}

#[test]
fn every_fault_is_reported_at_once() {
    let found = faults(ProviderSettings {
        project_id: "nope".to_owned(),
        base_url: Some("http://evil.example".to_owned()),
        client_id: Some(String::new()),
        scopes: Some(vec!["email".to_owned(), "a b".to_owned()]),
        flow: Some("x\u{7}".to_owned()),
        extra_issuers: vec!["http://issuer.example".to_owned()],
        audiences: vec![String::new()],
        redirect: Some(RedirectConfig { ports: vec![80], ephemeral: false, path: "/a/../b".to_owned() }),
        timeouts: Some(Timeouts { login: Duration::ZERO, ..Default::default() }),
        ..Default::default()
    });
    assert_eq!(found.len(), 11, "{found:?}");
}

#[test]
fn redirect_uris_list_what_to_register() {
    let config = ProviderConfig::new(settings()).unwrap();
    assert_eq!(
        config.redirect_uris(),
        [
            "http://127.0.0.1:47823/callback",
            "http://127.0.0.1:47824/callback",
            "http://127.0.0.1:47825/callback"
        ]
    );
    let redirect = RedirectConfig { ports: vec![], ephemeral: true, path: "/cb".to_owned() };
    let config = ProviderConfig::new(ProviderSettings { redirect: Some(redirect), ..settings() }).unwrap();
    assert_eq!(config.redirect_uris(), ["http://127.0.0.1:*/cb"]);
    assert_eq!(config.redirect().uris(Loopback::V6.address()), ["http://[::1]:*/cb"]);
    let config = ProviderConfig::new(ProviderSettings { loopback: Loopback::V6, ..settings() }).unwrap();
    assert_eq!(config.redirect_uris().first().unwrap(), "http://[::1]:47823/callback");
}

#[test]
fn odd_project_ids_are_refused() {
    for id in [
        "",
        "P",
        "p234567890123456789012345678",
        "P23456789012345678901234567/",
        "Pé3456789012345678901234567",
    ] {
        let found = faults(ProviderSettings { project_id: id.to_owned(), ..Default::default() });
        assert!(matches!(found.first(), Some(ConfigFault::ProjectId(_))), "{id}: {found:?}");
    }
}

fn oidc() -> OidcSettings {
    OidcSettings { issuer: "https://id.example/realms/acme".to_owned(), ..OidcSettings::default() }
}

fn any_provider(oidc: OidcSettings) -> ProviderSettings {
    ProviderSettings { oidc: Some(oidc), client_id: Some("cli.ent".to_owned()), ..Default::default() }
}

#[test]
fn any_provider_is_named_by_its_issuer_and_client() {
    let config = ProviderConfig::new(any_provider(oidc())).unwrap();
    assert_eq!(config.issuer(), "https://id.example/realms/acme");
    assert_eq!((config.project_id(), config.client_id()), (None, "cli.ent"));
    assert_eq!(config.audiences(), ["cli.ent"]);
    assert_eq!(config.realm().to_string(), "client cli.ent of https://id.example/realms/acme");
    for (issuer, ok) in [
        ("https://id.example", true),
        ("https://id.example/", true),
        ("https://id.example:8443/application/o/agent/", true),
        ("http://127.0.0.1:9000", true),
        ("http://[::1]:9000/op", true),
        ("http://id.example", false),
        ("https://id.example?x=1", false),
        ("https://id.example#x", false),
        ("https://user@id.example", false),
        ("https://id.example/a b", false),
        ("id.example", false),
        ("", false),
    ] {
        let result = ProviderConfig::new(any_provider(OidcSettings { issuer: issuer.to_owned(), ..oidc() }));
        assert_eq!(result.is_ok(), ok, "{issuer}: {result:?}");
        // Byte by byte: nothing is made of it but a comparison.
        assert!(result.is_err() || result.unwrap().issuer() == issuer);
    }
}

#[test]
fn every_fault_of_any_provider_is_reported_at_once() {
    let found = faults(ProviderSettings {
        oidc: Some(OidcSettings {
            issuer: "http://evil.example".to_owned(),
            roles_claim: Some("https://acme.example/roles".to_owned()),
            permissions_claim: Some("a..b".to_owned()),
            tenant_claim: Some("/a~x".to_owned()),
            audience: Some(String::new()),
            resource: Some("no uri".to_owned()),
            access_token: AccessTokenForm::Opaque,
            access_token_type: Some(AccessTokenType::Plain),
            ..OidcSettings::default()
        }),
        project_id: "P1".to_owned(),
        base_url: Some("https://id.example".to_owned()),
        flow: Some("sign-up-or-in".to_owned()),
        extra_issuers: vec!["https://id.example".to_owned()],
        refresh_via: RefreshVia::SessionEndpoint,
        ..Default::default()
    });
    assert_eq!(found.len(), 13, "{found:#?}");
}

#[test]
fn presets_fill_in_what_is_not_said() {
    let of = |preset, roles: Option<&str>| {
        let settings = OidcSettings { preset, roles_claim: roles.map(str::to_owned), ..oidc() };
        ProviderConfig::new(any_provider(settings)).unwrap()
    };
    let shown = |place: &Option<agentauth_core::claims::ClaimPlace>| {
        place.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    for (preset, roles, permissions, tenant) in [
        (Preset::Generic, "roles", "permissions", ""),
        (Preset::Keycloak, "realm_access.roles", "/resource_access/cli.ent/roles", ""),
        (Preset::Auth0, "", "permissions", "org_id"),
        (Preset::Okta, "groups", "scp", ""),
        (Preset::Entra, "roles", "scp", "tid"),
        (Preset::Google, "", "", "hd"),
        (Preset::Zitadel, "urn:zitadel:iam:org:project:roles", "", "urn:zitadel:iam:user:resourceowner:id"),
        (Preset::Authentik, "groups", "entitlements", ""),
    ] {
        let config = of(preset, None);
        let places = config.oidc().unwrap().places();
        let seen = (shown(&places.roles), shown(&places.permissions), shown(&places.tenant));
        assert_eq!(seen, (roles.to_owned(), permissions.to_owned(), tenant.to_owned()), "{preset:?}");
        let other = of(preset, Some("/https:~1~1acme.example~1roles"));
        assert_eq!(shown(&other.oidc().unwrap().places().roles), "/https:~1~1acme.example~1roles");
        assert_eq!(places.roles_by_name, preset == Preset::Zitadel);
    }
    let google = of(Preset::Google, None);
    assert_eq!(google.scopes(), ["openid", "profile", "email"]);
    assert!(google.is_offline());
    assert_eq!(google.oidc().unwrap().authorization_parameters(true), [("access_type", "offline")]);
    assert!(google.oidc().unwrap().prompts_consent(true) && !google.oidc().unwrap().prompts_consent(false));
    assert!(!of(Preset::Entra, None).oidc().unwrap().prompts_consent(true));
    assert_eq!(of(Preset::Keycloak, None).audiences(), ["cli.ent", "account"]);
}
