//! What the provider says of itself: OpenID Connect Discovery 1.0, judged before anything in it is used.

use agentauth_core::claims::parse_strict;
use serde_json::Value;
use url::Url;

use crate::config::ProviderConfig;
use crate::jwks::LIMITS;
use crate::problem::Problem;
use crate::text::shown;
use crate::transport::{Answer, Http, HttpError};

/// The part of the discovery document that is used. Every endpoint is on the configured origin.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// The issuer, equal to the configured one.
    pub issuer: String,
    /// Where the browser is sent.
    pub authorization_endpoint: Url,
    /// Where codes and refresh tokens are redeemed.
    pub token_endpoint: Url,
    /// The key set.
    pub jwks_uri: Url,
    /// Who the bearer of an access token is.
    pub userinfo_endpoint: Option<Url>,
    /// RFC 7009 revocation.
    pub revocation_endpoint: Option<Url>,
    /// RP-initiated logout.
    pub end_session_endpoint: Option<Url>,
    /// RFC 8628 device authorization.
    pub device_authorization_endpoint: Option<Url>,
    /// RFC 9207: whether an authorization response without `iss` is to be refused.
    pub iss_parameter_supported: bool,
}

/// Why the provider's description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// It could not be fetched.
    #[error("cannot fetch the provider's description")]
    Http(#[from] HttpError),
    /// It was answered with another status than 200.
    #[error(
        "the provider has no description for project `{project}` ({problem}); check project id, region and base url"
    )]
    Status {
        /// The configured project.
        project: String,
        /// What it answered.
        problem: Box<Problem>,
    },
    /// It is not a JSON object, or says something twice.
    #[error("the provider's description is not a JSON object without duplicates")]
    NotJson,
    /// A member is missing or is not what it should be.
    #[error("the provider's description has no usable `{0}`")]
    Member(&'static str),
    /// It speaks for somebody else.
    #[error(
        "the provider calls itself `{found}` instead of `{expected}`; check project id and base url (custom domain?)"
    )]
    Issuer {
        /// The configured issuer.
        expected: String,
        /// The issuer in the document.
        found: String,
    },
    /// An endpoint leaves the configured origin.
    #[error("`{member}` of the provider's description leaves the configured origin; refused")]
    Origin {
        /// The member at fault.
        member: String,
    },
    /// PKCE with S256 is not offered.
    #[error("the provider does not offer PKCE with S256, without which a login is not safe")]
    NoS256,
}

impl DiscoveryError {
    /// Whether waiting may help: the provider could not be reached, or is out of order.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Http(HttpError::NotSent { .. } | HttpError::NoAnswer { .. }) => true,
            Self::Status { problem, .. } => {
                problem.status >= 500 || matches!(problem.status, 408 | 429 | 403)
            }
            _ => false,
        }
    }
}

/// Fetches and judges the description of `config`'s project.
pub(crate) async fn fetch(http: &Http, config: &ProviderConfig) -> Result<Metadata, DiscoveryError> {
    read(&http.get(&address(config)).await?, config)
}

/// Where the description of `config`'s project is.
pub(crate) fn address(config: &ProviderConfig) -> String {
    config.at(&format!("{}/.well-known/openid-configuration", config.project_id()))
}

/// What an answer from there describes.
pub(crate) fn read(answer: &Answer, config: &ProviderConfig) -> Result<Metadata, DiscoveryError> {
    if answer.status != http::StatusCode::OK {
        return Err(DiscoveryError::Status {
            project: config.project_id().to_owned(),
            problem: Box::new(Problem::of(answer)),
        });
    }
    judge(&answer.body, config)
}

/// Judges a discovery document (pure).
pub(crate) fn judge(body: &[u8], config: &ProviderConfig) -> Result<Metadata, DiscoveryError> {
    let Ok(Value::Object(document)) = parse_strict(body, &LIMITS) else {
        return Err(DiscoveryError::NotJson);
    };
    let text = |member: &'static str| {
        document.get(member).and_then(Value::as_str).ok_or(DiscoveryError::Member(member))
    };
    let expected = config.issuer();
    let issuer = text("issuer")?;
    // Discovery 1.0 section 4.3: identical. One terminating slash is no part of the identifier (section 4.1).
    if issuer.strip_suffix('/').unwrap_or(issuer) != expected {
        return Err(DiscoveryError::Issuer { expected, found: shown(issuer, 200) });
    }
    let origin = config.base_url().origin();
    for (member, value) in &document {
        if member != "jwks_uri" && !member.ends_with("_endpoint") {
            continue;
        }
        let here = match value {
            Value::Null => true,
            Value::String(text) => Url::parse(text).is_ok_and(|url| {
                url.origin() == origin
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.fragment().is_none()
            }),
            _ => false,
        };
        if !here {
            return Err(DiscoveryError::Origin { member: shown(member, 64) });
        }
    }
    let optional =
        |member: &str| document.get(member).and_then(Value::as_str).and_then(|t| Url::parse(t).ok());
    let required = |member: &'static str| optional(member).ok_or(DiscoveryError::Member(member));
    if let Some(methods) = document.get("code_challenge_methods_supported").and_then(Value::as_array)
        && !methods.iter().any(|method| method == "S256")
    {
        return Err(DiscoveryError::NoS256);
    }
    Ok(Metadata {
        issuer: issuer.to_owned(),
        authorization_endpoint: required("authorization_endpoint")?,
        token_endpoint: required("token_endpoint")?,
        jwks_uri: required("jwks_uri")?,
        userinfo_endpoint: optional("userinfo_endpoint"),
        revocation_endpoint: optional("revocation_endpoint"),
        end_session_endpoint: optional("end_session_endpoint"),
        device_authorization_endpoint: optional("device_authorization_endpoint"),
        iss_parameter_supported: document.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::ProviderSettings;

    const PROJECT: &str = "P234567890123456789012345678";

    fn config() -> ProviderConfig {
        ProviderConfig::new(ProviderSettings { project_id: PROJECT.into(), ..Default::default() }).unwrap()
    }

    fn document() -> Value {
        let base = "https://api.descope.com";
        json!({
            "issuer": format!("{base}/{PROJECT}"),
            "authorization_endpoint": format!("{base}/oauth2/v1/authorize"),
            "token_endpoint": format!("{base}/oauth2/v1/token"),
            "jwks_uri": format!("{base}/{PROJECT}/.well-known/jwks.json"),
            "code_challenge_methods_supported": ["S256"],
        })
    }

    fn with(member: &str, value: Value) -> Result<Metadata, DiscoveryError> {
        let mut d = document();
        d[member] = value;
        judge(d.to_string().as_bytes(), &config())
    }

    #[test]
    fn a_plain_document_is_accepted() {
        let metadata = judge(document().to_string().as_bytes(), &config()).unwrap();
        assert_eq!(metadata.token_endpoint.path(), "/oauth2/v1/token");
        assert!(!metadata.iss_parameter_supported);
        assert!(with("issuer", json!(format!("https://api.descope.com/{PROJECT}/"))).is_ok());
        assert!(with("userinfo_endpoint", Value::Null).is_ok());
    }

    #[test]
    fn endpoints_may_not_leave_the_origin() {
        for (member, value) in [
            ("token_endpoint", json!("https://evil.example/token")),
            ("token_endpoint", json!("http://api.descope.com/oauth2/v1/token")),
            ("token_endpoint", json!("https://api.descope.com:444/oauth2/v1/token")),
            ("token_endpoint", json!("https://api.descope.com@evil.example/")),
            ("token_endpoint", json!("https://user@api.descope.com/oauth2/v1/token")),
            ("jwks_uri", json!("https://api.descope.com.evil.example/keys")),
            ("some_future_endpoint", json!("https://evil.example/")),
            ("userinfo_endpoint", json!(5)),
            ("jwks_uri", json!("/relative")),
        ] {
            assert!(
                matches!(with(member, value.clone()), Err(DiscoveryError::Origin { .. })),
                "{member} {value}"
            );
        }
    }

    #[test]
    fn another_issuer_is_refused() {
        for issuer in [
            "https://api.descope.com/P234567890123456789012345679".to_owned(),
            format!("https://api.descope.com/{PROJECT}//"),
            format!("https://api.euc1.descope.com/{PROJECT}"),
            format!("https://API.descope.com/{PROJECT}"),
            PROJECT.to_owned(),
        ] {
            assert!(matches!(with("issuer", json!(issuer)), Err(DiscoveryError::Issuer { .. })), "{issuer}");
        }
    }

    #[test]
    fn missing_members_and_missing_s256_are_named() {
        assert!(matches!(with("token_endpoint", Value::Null), Err(DiscoveryError::Member("token_endpoint"))));
        assert!(matches!(
            with("code_challenge_methods_supported", json!(["plain"])),
            Err(DiscoveryError::NoS256)
        ));
        assert!(matches!(judge(b"<html>", &config()), Err(DiscoveryError::NotJson)));
        assert!(matches!(judge(b"[]", &config()), Err(DiscoveryError::NotJson)));
        let twice = document().to_string().replacen('{', r#"{"token_endpoint":"https://evil.example","#, 1);
        assert!(matches!(judge(twice.as_bytes(), &config()), Err(DiscoveryError::NotJson)));
    }
}
