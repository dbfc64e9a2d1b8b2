//! What to do about a finding, in the words of the kind of provider: Descope's console has names for its settings, and of
//! any other provider it is only known what it must do.

use crate::config::ProviderKind;

/// One kind of provider's words. Each is what to do about the finding of that name, unless it says otherwise.
#[derive(Debug)]
pub(super) struct Advice {
    /// The option that leads to the provider.
    pub(super) option: &'static str,
    pub(super) issuer_mismatch: &'static str,
    /// What the provider serves is no description of a provider.
    pub(super) not_described: &'static str,
    /// What it describes cannot be used.
    pub(super) description_unusable: &'static str,
    pub(super) pkce_missing: &'static str,
    pub(super) keys_unusable: &'static str,
    /// Comes before the redirect URL.
    pub(super) redirect_rejected: &'static str,
    pub(super) redirects_unvalidated: &'static str,
    pub(super) client_rejected: &'static str,
    pub(super) scope_rejected: &'static str,
    pub(super) authorization_refused: &'static str,
    pub(super) rotation_off: &'static str,
    pub(super) session_token_long: &'static str,
    pub(super) refresh_token_long: &'static str,
    pub(super) session_inactivity: &'static str,
    pub(super) tenant_foreign: &'static str,
    pub(super) claims_odd: &'static str,
}

/// The words for this kind of provider.
pub(super) fn for_kind(kind: ProviderKind) -> &'static Advice {
    match kind {
        ProviderKind::Descope => &DESCOPE,
        ProviderKind::Oidc => &OIDC,
    }
}

pub(super) const DESCOPE: Advice = Advice {
    option: "provider.base_url",
    issuer_mismatch: "set `provider.base_url` to a custom domain if there is one, and check that the project id is that of \
                      this environment and profile",
    not_described: "check `provider.base_url`; a page in its place may be a network's own sign-in (captive portal) or a \
                    proxy's",
    description_unusable: "check that `provider.base_url` is the host that the provider itself uses",
    pkce_missing: "enable PKCE with S256 for the application at the provider",
    keys_unusable: "check project and base URL; Descope's keys are at `/v2/keys/{project}`",
    redirect_rejected: "in the console, add it to the application's approved redirect URLs (Applications), exactly as it \
                        stands",
    redirects_unvalidated: "in the console, fill in the approved redirect URLs of the application (Applications), or Project \
                            Settings > Approved Domains: an empty list switches the validation off. If both are filled in, \
                            the provider shows its refusal later, on the sign-in page: then try `agentauthd login`",
    client_rejected: "compare `provider.client_id` with the application in the console (Applications); without the setting, \
                      the project's default application is used",
    scope_rejected: "compare `provider.scopes` with the scopes of the application in the console (Applications)",
    authorization_refused: "check redirect URL, client, flow and scopes in the console (Applications), in this order",
    rotation_off: "in the console, Project Settings > Session Management: switch on refresh token rotation; then log in again",
    session_token_long: "in the console, Project Settings > Session Management: set the Session Token Timeout to 10 minutes \
                         (3 at least, 60 at most)",
    refresh_token_long: "in the console, Project Settings > Session Management: set the Refresh Token Timeout to 4 weeks at \
                         most; an inbound application has its own",
    session_inactivity: "if idle users must be logged out, do not rely on Project Settings > Session Management > Session \
                         Inactivity: shorten the Refresh Token Timeout",
    tenant_foreign: "correct `provider.tenant`, or add the user to the tenant in the console (Users)",
    claims_odd: "look at the project's JWT template in the console (Project Settings > JWT Templates)",
};

pub(super) const OIDC: Advice = Advice {
    option: "provider.issuer",
    issuer_mismatch: "set `provider.issuer` to the provider's own word, letter by letter, a final slash included",
    not_described: "check `provider.issuer`: its description is expected below it, at `/.well-known/openid-configuration`; a \
                    page in its place may be a network's own sign-in (captive portal) or a proxy's",
    description_unusable: "compare the document with what the provider's administrator means it to say",
    pkce_missing: "have PKCE with S256 enabled for the client at the provider; without it, this provider cannot be used",
    keys_unusable: "open the `jwks_uri` of the provider's description, and report to its administrator what is wrong with it",
    redirect_rejected: "register it with the client at the provider, exactly as it stands; a provider that ignores the port, \
                        as it should for a native client, needs it only once",
    redirects_unvalidated: "register the client's redirect URLs at the provider, and have it refuse all others",
    client_rejected: "compare `provider.client_id` with the client at the provider; it is a public (native) client with the \
                      authorization code grant, of this issuer and no other",
    scope_rejected: "compare `provider.scopes` with the scopes that the client may ask for at the provider; `openid` and \
                     `offline_access` are needed",
    authorization_refused: "check the client at the provider: its id, its redirect URLs, that it is public and may use the \
                            authorization code grant with PKCE, and its scopes, in this order",
    rotation_off: "have the provider rotate the refresh tokens of this client, and end a login of which a spent one comes \
                   again (RFC 9700, section 4.14.2); then log in again",
    session_token_long: "have the provider shorten the life of this client's access tokens: 10 minutes are plenty, since they \
                         are renewed without asking",
    refresh_token_long: "have the provider shorten the life of this client's refresh tokens to 4 weeks at most",
    session_inactivity: "if idle users must be logged out, do not rely on the provider's inactivity limit: shorten the life of \
                         the refresh tokens",
    tenant_foreign: "correct `provider.tenant`; or `provider.tenant_claim`, which says where the provider names the tenant",
    claims_odd: "look at what the provider puts into its tokens, and at `provider.preset`, `provider.roles_claim`, \
                 `provider.permissions_claim` and `provider.tenant_claim`, which say where it is expected",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_providers_words_are_put_to_another() {
        let oidc = format!("{OIDC:?}").to_lowercase();
        for foreign in ["descope", "console", "project", "region", "base_url", "flow"] {
            assert!(!oidc.contains(foreign), "{foreign}: {oidc}");
        }
        let descope = format!("{DESCOPE:?}");
        for foreign in ["provider.issuer", "provider.preset", "_claim"] {
            assert!(!descope.contains(foreign), "{foreign}: {descope}");
        }
    }
}
