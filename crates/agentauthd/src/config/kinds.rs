//! What holds between the options of `[provider]`: which of them belong to which kind of provider.

use agentauth_idp::{AccessTokenForm, Preset};

use super::load::Origins;
use super::toml_file::Origin;
use super::{Config, ConfigFault, Provider, ProviderKind, RefreshRoute};

/// Drops what the environment says to Descope's own tools, where the provider is another, and says so.
pub(super) fn pass_over(config: &mut Config, origins: &Origins) -> Vec<String> {
    let provider = &mut config.provider;
    if provider.kind != ProviderKind::Oidc {
        return Vec::new();
    }
    let mut notes = Vec::new();
    let mut drop = |key: &str, set: bool| {
        let Origin::Environment { name } = origins.of(key) else { return false };
        let meant_for_others = set && name.starts_with("DESCOPE_");
        if meant_for_others {
            notes.push(format!(
                "{name} is set in the environment; it has no effect, since `provider.kind` is \"oidc\""
            ));
        }
        meant_for_others
    };
    if drop("provider.project_id", provider.project_id.is_some()) {
        provider.project_id = None;
    }
    if drop("provider.base_url", provider.base_url.is_some()) {
        provider.base_url = None;
    }
    notes
}

/// What is set for one kind of provider and means nothing to the other, and what the other needs.
pub(super) fn contradictions(provider: &Provider, origins: &Origins) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, what: &str, remedy: &str| {
        faults.push(ConfigFault {
            origin: origins.of(key).clone(),
            key: Some(key.to_owned()),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        });
    };
    match provider.kind {
        ProviderKind::Descope => {
            for (key, set) in of_oidc(provider) {
                if set {
                    fault(
                        key,
                        "means nothing to Descope",
                        "set `provider.kind` to \"oidc\" if the provider is another, or remove it",
                    );
                }
            }
        }
        ProviderKind::Oidc => {
            for (key, set) in of_descope(provider) {
                if set {
                    fault(key, "is Descope's, and `provider.kind` is \"oidc\"", "remove it");
                }
            }
            if provider.issuer.is_none() {
                fault(
                    "provider.kind",
                    "is \"oidc\", and `provider.issuer` is not set",
                    "set it to the `issuer` of the provider's discovery document, as it stands there",
                );
            }
            if provider.client_id.is_none() {
                fault(
                    "provider.kind",
                    "is \"oidc\", and `provider.client_id` is not set",
                    "register a public (native) client with the provider, and set it to that client's id",
                );
            }
            if provider.access_token == AccessTokenForm::Opaque && provider.access_token_type.is_some() {
                fault(
                    "provider.access_token_type",
                    "is set, but `provider.access_token` is \"opaque\", so that no access token is ever read",
                    "remove one of the two",
                );
            }
        }
    }
    faults
}

fn of_oidc(provider: &Provider) -> [(&'static str, bool); 9] {
    [
        ("provider.issuer", provider.issuer.is_some()),
        ("provider.preset", provider.preset != Preset::Generic),
        ("provider.roles_claim", provider.roles_claim.is_some()),
        ("provider.permissions_claim", provider.permissions_claim.is_some()),
        ("provider.tenant_claim", provider.tenant_claim.is_some()),
        ("provider.audience", provider.audience.is_some()),
        ("provider.resource", provider.resource.is_some()),
        ("provider.access_token", provider.access_token != AccessTokenForm::Auto),
        ("provider.access_token_type", provider.access_token_type.is_some()),
    ]
}

fn of_descope(provider: &Provider) -> [(&'static str, bool); 5] {
    [
        ("provider.project_id", provider.project_id.is_some()),
        ("provider.base_url", provider.base_url.is_some()),
        ("provider.flow", provider.flow.is_some()),
        ("provider.extra_issuers", !provider.extra_issuers.is_empty()),
        ("provider.refresh", provider.refresh != RefreshRoute::Oauth),
    ]
}
