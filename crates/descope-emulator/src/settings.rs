//! What a project's administrator could set, and what is not known about the real service and therefore selectable
//! here (sheet sections 3, 5, 7 and 11). Everything may be changed while the emulator runs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod rest;
mod sign_in;

pub use rest::{HistoryShape, RateLimit, RestSettings, ValidateShape};
pub use sign_in::{IssParameter, NonceForm, SignInSettings};

/// The project's settings. Every part has a default that follows Descope's documented one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// What happens to refresh tokens when they are used.
    pub refresh: RefreshSettings,
    /// What tokens look like.
    pub tokens: TokenShape,
    /// The OAuth endpoints.
    pub oauth: OauthSettings,
    /// Signing in with a code from another device.
    pub device: DeviceSettings,
    /// How users sign in, and what is told of it.
    pub sign_in: SignInSettings,
    /// Where the authorization endpoint may send the browser.
    pub redirects: RedirectSettings,
    /// The endpoints under `/v1`.
    pub rest: RestSettings,
    /// Who answers the sign-in question.
    pub approval: Approval,
}

/// Lifetimes in seconds (sheet section 7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lifetimes {
    /// Session JWT; 10 minutes.
    pub session: u32,
    /// Refresh JWT; 4 weeks.
    pub refresh: u32,
    /// ID token; 10 minutes.
    pub id_token: u32,
    /// How long `su` stays after a step-up; 10 minutes.
    pub step_up: u32,
    /// Authorization code; one minute.
    pub code: u32,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { session: 600, refresh: 4 * 7 * 24 * 3600, id_token: 600, step_up: 600, code: 60 }
    }
}

/// Refresh-token rotation and its corner cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefreshSettings {
    /// Each refresh returns a new refresh token and spends the old one. Off by default, as at Descope.
    pub rotate: bool,
    /// What a spent token gets.
    pub on_reuse: ReusePolicy,
    /// For [`ReusePolicy::Grace`]: seconds after the spending in which the old token still works.
    pub grace_seconds: u32,
    /// A rotated token lives the full lifetime from now (true), or ends when the first one would have (false).
    pub sliding: bool,
    /// How the refresh token appears in the answer when it was not rotated.
    pub unrotated: UnrotatedAnswer,
    /// The `nextRefreshSeconds` hint; 0 for none.
    pub next_refresh_seconds: u32,
    /// Body, or `Set-Cookie` (`DS`, `DSR`) with empty strings in the body.
    pub delivery: Delivery,
}

impl Default for RefreshSettings {
    fn default() -> Self {
        Self {
            rotate: false,
            on_reuse: ReusePolicy::Kill,
            grace_seconds: 10,
            sliding: true,
            unrotated: UnrotatedAnswer::Same,
            next_refresh_seconds: 0,
            delivery: Delivery::Body,
        }
    }
}

/// What happens when a refresh token comes a second time after it was rotated away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReusePolicy {
    /// It works as if it were not spent.
    Accept,
    /// 401; the family lives on.
    Refuse,
    /// 401, and the whole family is dead (RFC 9700, 4.14.2).
    Kill,
    /// It works within `grace_seconds`; later the family is killed.
    Grace,
}

/// How an unchanged refresh token is returned: all three occur, and all mean "keep the old one".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnrotatedAnswer {
    /// The same token again.
    Same,
    /// The member is missing.
    Omitted,
    /// An empty string.
    Empty,
}

/// Where `/v1/auth/…` puts tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// In the JSON body; Descope's default.
    Body,
    /// In cookies.
    Cookies,
}

/// What tokens look like (JWT template switches, sheet 3.1 to 3.4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenShape {
    /// Form of `iss` in session and refresh tokens of the project's own client. Those of apps carry their issuer, ID
    /// tokens always carry the discovery issuer.
    pub issuer: IssuerForm,
    /// Tokens of MCP servers carry the issuer of inbound apps, whatever discovery says (sheet 3.2).
    pub mcp_tokens_say_inbound: bool,
    /// `aud` of session tokens.
    pub audience: AudienceForm,
    /// Where roles and permissions stand.
    pub authorization: AuthorizationSchema,
    /// Set `dct` when a user has exactly one tenant.
    pub auto_dct: bool,
    /// What becomes of empty `roles` and `permissions`.
    pub empty_claims: EmptyClaims,
    /// Keep custom claims out of refresh tokens (`omitCustomClaimsFromDSR`); `dcl` still names them.
    pub omit_custom_from_refresh: bool,
    /// Leave `permissions` out.
    pub exclude_permissions: bool,
    /// `sub` becomes the login id, `dsub` the Descope user id.
    pub override_subject: bool,
    /// Leave `drn` out of session tokens.
    pub omit_drn: bool,
    /// Add a `jti` to session tokens. Without one, two tokens of one second can be identical.
    pub session_jti: bool,
    /// Add a `jti` to refresh tokens, which keeps rotated tokens apart within one second.
    pub refresh_jti: bool,
    /// `scope` in session tokens.
    pub scope: ScopeForm,
    /// Claims to leave out of session tokens.
    pub omit: Vec<String>,
    /// Claims to put into session tokens, over everything else.
    pub extra: Map<String, Value>,
    /// The signature algorithm of keys generated from now on.
    pub algorithm: crate::keys::Algorithm,
}

impl Default for TokenShape {
    fn default() -> Self {
        Self {
            issuer: IssuerForm::Bare,
            mcp_tokens_say_inbound: false,
            audience: AudienceForm::Auto,
            authorization: AuthorizationSchema::Default,
            auto_dct: true,
            empty_claims: EmptyClaims::Keep,
            omit_custom_from_refresh: false,
            exclude_permissions: false,
            override_subject: false,
            omit_drn: false,
            session_jti: false,
            refresh_jti: true,
            scope: ScopeForm::Absent,
            omit: Vec::new(),
            extra: Map::new(),
            algorithm: crate::keys::Algorithm::Rs256,
        }
    }
}

/// The forms of `iss` (sheet 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerForm {
    /// `{P}`.
    Bare,
    /// `{base}/{P}`.
    Url,
    /// `{base}/{P}/{app}`: a federated app.
    App,
    /// `{base}/v1/apps/{P}`: inbound apps.
    Inbound,
    /// `{base}/v1/apps/agentic/{P}/{server}`: MCP servers.
    Agentic,
    /// `{base}/v1/apps/{P}/{tenant}`.
    Tenant,
}

/// The forms of `aud` (sheet 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudienceForm {
    /// On tokens from an OAuth endpoint the app's own (the project id by default) and the granted resources; none on
    /// those from `/v1/auth/…`.
    Auto,
    /// No `aud`.
    Absent,
    /// `"{P}"`.
    String,
    /// `["{P}", "{client_id}-resource"]`.
    List,
}

/// Where roles and permissions stand (`authSchema`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizationSchema {
    /// Project-level lists on top, tenants beside them.
    Default,
    /// The current tenant's lists on top, no `tenants`.
    TenantOnly,
    /// Nothing.
    None,
}

/// What becomes of empty lists (`emptyClaimPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyClaims {
    /// `[]`.
    Keep,
    /// `null`.
    Null,
    /// Left out.
    Delete,
}

/// The forms of `scope`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeForm {
    /// No `scope`.
    Absent,
    /// Separated by blanks.
    String,
    /// A list.
    Array,
}

/// The OAuth endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OauthSettings {
    /// Shape of errors at the token and revocation endpoints.
    pub errors: ErrorShape,
    /// Issue a refresh token only when `offline_access` was asked for.
    pub refresh_needs_offline_access: bool,
    /// Return an ID token on refresh, too.
    pub id_token_on_refresh: bool,
    /// Demand a client secret on refresh even from public clients (`E011002`), as integrators have met.
    pub secret_on_refresh: bool,
    /// Take the `refresh_token` grant at all (a per-app switch).
    pub refresh_grant: bool,
    /// Remember a signed-in browser by a cookie, so that a second login needs no password (unless `prompt=login`).
    pub remember_browser: bool,
    /// The `flow` whose sign-in counts as a step-up (`su`).
    pub step_up_flow: String,
    /// How `token_type` is written.
    pub token_type: String,
    /// What `/.well-known/project-configuration/{P}` says.
    pub allow_iframe_embedding: bool,
    /// The flows that exist. Empty: every one does.
    pub flows: Vec<String>,
    /// The scopes that may be asked for. Empty: every one may, as at the real project endpoint.
    pub scopes: Vec<String>,
    /// How the authorization endpoint refuses where it may not redirect.
    pub refusals: RefusalForm,
}

/// How the authorization endpoint refuses a client or a redirect address that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalForm {
    /// A page for the person.
    Page,
    /// The service's error JSON.
    Json,
}

impl Default for OauthSettings {
    fn default() -> Self {
        Self {
            errors: ErrorShape::Descope,
            refresh_needs_offline_access: false,
            id_token_on_refresh: true,
            secret_on_refresh: false,
            refresh_grant: true,
            remember_browser: false,
            step_up_flow: "step-up".to_owned(),
            token_type: "Bearer".to_owned(),
            allow_iframe_embedding: false,
            flows: Vec::new(),
            scopes: Vec::new(),
            refusals: RefusalForm::Page,
        }
    }
}

/// Shape of errors at the OAuth endpoints (sheet 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorShape {
    /// `{"errorCode", "errorDescription", "errorMessage", "message"}`: what the service does.
    Descope,
    /// `{"error", "error_description"}`: RFC 6749, 5.2.
    Rfc,
}

/// Signing in with a code from another device (sheet 5.7, RFC 8628). What the service answers where it is switched off was
/// never seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceSettings {
    /// Whether this application may do it at all (a switch in the console).
    pub enabled: bool,
    /// Whether discovery names the endpoint.
    pub announced: bool,
    /// Seconds for which a code lives.
    pub lifetime: u32,
    /// Seconds that a client has to wait between two questions.
    pub interval: u32,
    /// Whether the answer has a `verification_uri_complete`.
    pub complete_uri: bool,
    /// Wrong user codes in one minute, after which no code is looked at for the rest of it (RFC 8628, 5.1).
    pub wrong_codes: u32,
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            announced: true,
            lifetime: 600,
            interval: 5,
            complete_uri: true,
            wrong_codes: 5,
        }
    }
}

/// Approved redirect addresses (sheet 5.5).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedirectSettings {
    /// The project's own client: exact addresses, or patterns in which `*` stands for any run of characters. Empty: the
    /// domains decide.
    pub approved: Vec<String>,
    /// Where a browser of the project's own client may land after a logout, exact. Empty: where it may after a login.
    pub after_logout: Vec<String>,
    /// The project's approved domains, for it and for federated apps without a list: host names, `*.` before one for
    /// everything below it, schemes of native apps. Empty: no validation at all.
    pub domains: Vec<String>,
    /// Ignore the port of a loopback address (RFC 8252, 7.3).
    pub any_loopback_port: bool,
}

/// Who answers the sign-in question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mode", content = "user")]
pub enum Approval {
    /// The page asks for e-mail address and password.
    #[default]
    Page,
    /// This user (a login id) is signed in without a page.
    As(String),
    /// Every request is answered with `access_denied`.
    Deny,
}

/// Why a change of settings was refused.
#[derive(Debug, thiserror::Error)]
#[error("cannot apply the settings: {reason}; see `Settings` for the members and their values")]
pub struct SettingsFault {
    reason: String,
}

impl Settings {
    /// These settings with the members that `patch` names replaced, at any depth.
    ///
    /// # Errors
    /// When `patch` names an unknown member or a value of the wrong kind.
    pub fn patched(&self, patch: &Value) -> Result<Self, SettingsFault> {
        let fault = |error: serde_json::Error| SettingsFault { reason: error.to_string() };
        let mut whole = serde_json::to_value(self).map_err(fault)?;
        merge(&mut whole, patch);
        serde_json::from_value(whole).map_err(fault)
    }
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        // An enum with content is replaced as a whole: its members belong together.
        (Value::Object(into), Value::Object(patch)) if !patch.contains_key("mode") => {
            for (name, value) in patch {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_changes_what_it_names() {
        let settings = Settings::default();
        let patched = settings
            .patched(&json!({"lifetimes": {"session": 30}, "refresh": {"rotate": true, "on_reuse": "grace"},
                             "approval": {"mode": "as", "user": "alice@acme.test"}}))
            .unwrap();
        assert_eq!(patched.lifetimes.session, 30);
        assert_eq!(patched.lifetimes.refresh, settings.lifetimes.refresh);
        assert!(patched.refresh.rotate);
        assert_eq!(patched.approval, Approval::As("alice@acme.test".to_owned()));
        let back = patched.patched(&json!({"approval": {"mode": "page"}})).unwrap();
        assert_eq!(back.approval, Approval::Page);
    }

    #[test]
    fn an_unknown_member_is_refused() {
        let fault = Settings::default().patched(&json!({"lifetimes": {"sesion": 30}})).unwrap_err();
        assert!(fault.to_string().contains("sesion"), "{fault}");
    }
}
