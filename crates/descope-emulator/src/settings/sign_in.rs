//! Settings of the sign-in: flows, strength, and what is told of it afterwards (sheet 5.2 and 5.10).

use serde::{Deserialize, Serialize};

/// How users sign in and what the answers say of it. What the service does with `acr_values`, `max_age`, `nonce` and
/// RFC 9207 was never seen: the switches play well-behaved and ill-behaved providers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignInSettings {
    /// The `flow` in which a mailed link takes the password's place.
    pub magic_link_flow: String,
    /// Seconds for which such a link is good.
    pub magic_link_seconds: u32,
    /// What a step-up adds to `amr`.
    pub step_up_factors: Vec<String>,
    /// `acr` of a sign-in with one factor; none without it.
    pub single_factor_acr: Option<String>,
    /// `acr` of a sign-in with more factors; none without it.
    pub multi_factor_acr: Option<String>,
    /// `acr_values` raise the sign-in, or end in `unmet_authentication_requirements`; otherwise they are ignored.
    pub honour_acr_values: bool,
    /// Sign a remembered browser in whatever `prompt=login` and `max_age` say.
    pub ignore_reauthentication: bool,
    /// `nonce` of ID tokens.
    pub nonce: NonceForm,
    /// Seconds by which `auth_time` of ID tokens is older than the truth.
    pub auth_time_age: u32,
    /// Leave `auth_time` out.
    pub omit_auth_time: bool,
    /// The parameter `iss` of authorization responses (RFC 9207).
    pub iss_parameter: IssParameter,
}

impl Default for SignInSettings {
    fn default() -> Self {
        Self {
            magic_link_flow: "magic-link".to_owned(),
            magic_link_seconds: 180,
            step_up_factors: vec!["mfa".to_owned()],
            single_factor_acr: None,
            multi_factor_acr: None,
            honour_acr_values: true,
            ignore_reauthentication: false,
            nonce: NonceForm::Echoed,
            auth_time_age: 0,
            omit_auth_time: false,
            iss_parameter: IssParameter::Absent,
        }
    }
}

/// What becomes of the `nonce` of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NonceForm {
    /// It stands in the ID token.
    Echoed,
    /// It is ignored.
    Absent,
    /// Another one stands there.
    Another,
}

/// `iss` in authorization responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssParameter {
    /// None; discovery does not announce it.
    Absent,
    /// The issuer; discovery announces it.
    Present,
    /// Another issuer, as in a mix-up attack; discovery announces it.
    Another,
}
