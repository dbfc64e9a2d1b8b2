//! What the provider says of itself: OpenID Connect Discovery 1.0, judged before anything in it is used.

use agentauth_core::claims::parse_strict;
use serde_json::{Map, Value};
use url::Url;

use crate::config::{ProviderConfig, protected};
use crate::jwks::LIMITS;
use crate::problem::Problem;
use crate::text::shown;
use crate::transport::{Answer, Http, HttpError};

/// The part of the discovery document that is used. Descope's endpoints are all on the configured origin.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    #[error("the provider has no description of {realm} ({problem}); check the provider's configuration")]
    Status {
        /// Whom it was asked about.
        realm: String,
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
        "the provider calls itself `{found}` instead of `{expected}`; check the provider's configuration (custom domain?)"
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
    /// An endpoint of an OpenID provider is not protected.
    #[error("`{member}` of the provider's description is no usable https url; refused")]
    Unprotected {
        /// The member at fault.
        member: &'static str,
    },
    /// It names other addresses than before.
    #[error(
        "the provider's description names another `{member}` than it did when agentauthd started; if that is meant, start agentauthd again"
    )]
    Moved {
        /// The member that changed.
        member: &'static str,
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

/// Where `config`'s provider describes itself: the well-known path appended to the issuer without its final slash
/// (Discovery 1.0 section 4.1).
pub(crate) fn address(config: &ProviderConfig) -> String {
    let issuer = config.issuer();
    format!("{}/.well-known/openid-configuration", issuer.strip_suffix('/').unwrap_or(&issuer))
}

/// What an answer from there describes.
pub(crate) fn read(answer: &Answer, config: &ProviderConfig) -> Result<Metadata, DiscoveryError> {
    if answer.status != http::StatusCode::OK {
        return Err(DiscoveryError::Status {
            realm: config.realm().to_string(),
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
    // Discovery 1.0 section 4.3: identical. Descope ends it with a slash or not.
    let same = match config.oidc() {
        Some(_) => issuer == expected,
        None => issuer.strip_suffix('/').unwrap_or(issuer) == expected,
    };
    if !same {
        return Err(DiscoveryError::Issuer { expected, found: shown(issuer, 200) });
    }
    match config.oidc() {
        Some(_) => judge_protection(&document, config)?,
        None => judge_origins(&document, config)?,
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

/// Descope serves everything from one origin; nothing leaves it.
fn judge_origins(document: &Map<String, Value>, config: &ProviderConfig) -> Result<(), DiscoveryError> {
    let origin = config.base_url().origin();
    for (member, value) in document {
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
    Ok(())
}

/// The members whose addresses are used.
const ENDPOINTS: [&str; 7] = [
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "userinfo_endpoint",
    "revocation_endpoint",
    "end_session_endpoint",
    "device_authorization_endpoint",
];

/// Any other provider may spread over origins, but every address is https; plain http only among loopback addresses.
fn judge_protection(document: &Map<String, Value>, config: &ProviderConfig) -> Result<(), DiscoveryError> {
    let scheme = config.base_url().scheme();
    for member in ENDPOINTS {
        let fine = match document.get(member) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => Url::parse(text).is_ok_and(|url| {
                url.scheme() == scheme
                    && protected(&url)
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.fragment().is_none()
            }),
            Some(_) => false,
        };
        if !fine {
            return Err(DiscoveryError::Unprotected { member });
        }
    }
    Ok(())
}

impl Metadata {
    /// Refuses a description that names other addresses than the one before.
    pub(crate) fn must_continue(&self, before: &Self) -> Result<(), DiscoveryError> {
        let same = [
            ("authorization_endpoint", self.authorization_endpoint == before.authorization_endpoint),
            ("token_endpoint", self.token_endpoint == before.token_endpoint),
            ("jwks_uri", self.jwks_uri == before.jwks_uri),
            ("userinfo_endpoint", self.userinfo_endpoint == before.userinfo_endpoint),
            ("revocation_endpoint", self.revocation_endpoint == before.revocation_endpoint),
            ("end_session_endpoint", self.end_session_endpoint == before.end_session_endpoint),
            (
                "device_authorization_endpoint",
                self.device_authorization_endpoint == before.device_authorization_endpoint,
            ),
        ];
        match same.into_iter().find(|(_, same)| !same) {
            Some((member, _)) => Err(DiscoveryError::Moved { member }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::{OidcSettings, ProviderSettings};

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

    const ISSUER: &str = "https://accounts.example/";

    fn any_provider(issuer: &str) -> ProviderConfig {
        let oidc = OidcSettings { issuer: issuer.to_owned(), ..Default::default() };
        let client_id = Some("client".to_owned());
        ProviderConfig::new(ProviderSettings { oidc: Some(oidc), client_id, ..Default::default() }).unwrap()
    }

    /// A description that spreads over origins, as Google's does.
    fn spread() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://accounts.example/o/auth?x=1",
            "token_endpoint": "https://oauth.example/token",
            "jwks_uri": "https://keys.example/certs",
            "userinfo_endpoint": "https://openid.example/userinfo",
            "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example/token"},
            "check_session_iframe": "https://elsewhere.example/iframe",
        })
    }

    #[test]
    fn another_provider_may_spread_over_origins_that_are_protected() {
        let config = any_provider(ISSUER);
        assert_eq!(address(&config), "https://accounts.example/.well-known/openid-configuration");
        let judged = |document: &Value| judge(document.to_string().as_bytes(), &config);
        let first = judged(&spread()).unwrap();
        assert_eq!(first.token_endpoint.as_str(), "https://oauth.example/token");
        for (member, value) in [
            ("token_endpoint", json!("http://oauth.example/token")),
            ("token_endpoint", json!("http://127.0.0.1:9000/token")),
            ("token_endpoint", json!("https://user@oauth.example/token")),
            ("token_endpoint", json!("https://oauth.example/token#x")),
            ("jwks_uri", json!("file:///etc/passwd")),
            ("revocation_endpoint", json!("/revoke")),
            ("userinfo_endpoint", json!(["https://openid.example/userinfo"])),
        ] {
            let mut document = spread();
            document[member] = value;
            assert!(matches!(judged(&document), Err(DiscoveryError::Unprotected { .. })), "{document}");
        }
        for issuer in ["https://accounts.example", "https://accounts.example//", "https://ACCOUNTS.example/"]
        {
            let mut document = spread();
            document["issuer"] = json!(issuer);
            assert!(matches!(judged(&document), Err(DiscoveryError::Issuer { .. })), "{issuer}");
        }
    }

    #[test]
    fn another_description_than_the_first_is_refused() {
        let config = any_provider(ISSUER);
        let judged = |document: &Value| judge(document.to_string().as_bytes(), &config).unwrap();
        let first = judged(&spread());
        assert!(judged(&spread()).must_continue(&first).is_ok());
        for member in ENDPOINTS {
            let mut document = spread();
            document[member] = json!("https://evil.example/");
            let moved = judged(&document).must_continue(&first);
            assert!(
                matches!(moved, Err(DiscoveryError::Moved { member: seen }) if seen == member),
                "{member}"
            );
        }
    }

    #[test]
    fn plain_http_stays_on_the_machine() {
        let config = any_provider("http://127.0.0.1:9000");
        let document = |token: &str| {
            json!({
                "issuer": "http://127.0.0.1:9000",
                "authorization_endpoint": "http://127.0.0.1:9000/auth",
                "token_endpoint": token,
                "jwks_uri": "http://127.0.0.1:9000/jwks",
            })
        };
        for (token, fine) in [
            ("http://127.0.0.1:9000/token", true),
            ("http://127.0.0.1:9001/token", true),
            ("http://id.example/token", false),
            ("http://localhost.example/token", false),
        ] {
            let judged = judge(document(token).to_string().as_bytes(), &config);
            assert_eq!(judged.is_ok(), fine, "{token}");
        }
    }
}
