//! Looking without logging in: what the provider answers to requests that change nothing, for `doctor`.
//!
//! How a provider refuses an authorization request is not specified: it may show a page, answer JSON, or send the
//! browser back with an error (RFC 6749 section 4.1.2.1). So an answer is only sorted here, and reduced to a
//! [`Sketch`] by which two refusals can be held against each other.

use agentauth_core::Timestamp;
use agentauth_core::time::http_date;
use http::{Request, header};
use oauth2::{CsrfToken, PkceCodeChallenge};
use url::Url;

use crate::discovery::{self, DiscoveryError, Metadata};
use crate::problem::{Problem, Shape};
use crate::provider::Provider;
use crate::text::shown;
use crate::transport::{Answer, HttpError};

/// At most so much of a refusal's body is sketched.
const SKETCHED_BYTES: usize = 64 * 1024;
/// What a browser says that it takes.
const BROWSER_ACCEPT: &str = "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8";

/// What the provider says of itself, and what its clock shows.
#[derive(Debug)]
pub struct Description {
    /// The judged document.
    pub metadata: Result<Metadata, DiscoveryError>,
    /// The answer's `Date` (RFC 9110 section 6.6.1), in whole seconds; whatever the answer was.
    pub server_time: Option<Timestamp>,
}

/// An authorization request to try, as a login would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationProbe {
    /// `client_id`.
    pub client_id: String,
    /// `redirect_uri`.
    pub redirect_uri: String,
    /// `scope`.
    pub scopes: Vec<String>,
    /// `flow`.
    pub flow: Option<String>,
    /// `tenant`.
    pub tenant: Option<String>,
    /// What the configuration of any OpenID provider adds, such as `audience`, `resource` and `prompt`.
    pub more: Vec<(&'static str, String)>,
}

/// What became of an [`AuthorizationProbe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizationAnswer {
    /// The sign-in goes on: a page, or a redirect to one.
    GoesOn,
    /// The browser is sent back with an error, which the provider only does where it trusts client and redirect URI.
    SentBack {
        /// `error`, escaped and capped.
        code: String,
        /// `error_description`, escaped and capped.
        description: Option<String>,
    },
    /// The request is refused and the browser stays at the provider.
    Refused {
        /// What the provider said.
        problem: Problem,
        /// How it said it.
        sketch: Sketch,
    },
    /// The endpoint does not work now (429, 5xx): this says nothing about the request.
    OutOfOrder(Problem),
}

/// The words of a refusal without what the request itself brought in: equal for two requests refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch(Vec<String>);

impl Provider {
    /// Fetches what the provider says of itself, with its clock. Nothing is remembered.
    ///
    /// # Errors
    /// None of its own: a request without an answer is in [`Description::metadata`].
    pub async fn describe_itself(&self) -> Description {
        match self.http.get(&discovery::address(&self.config)).await {
            Ok(answer) => {
                let metadata = discovery::read(&answer, &self.config);
                if let Ok(metadata) = &metadata {
                    self.http.reach.admit(metadata);
                }
                Description { server_time: answer.text(header::DATE.as_str()).and_then(http_date), metadata }
            }
            Err(error) => Description { metadata: Err(error.into()), server_time: None },
        }
    }

    /// The request that a login with this configuration sends for `redirect_uri`.
    pub fn authorization_probe(&self, redirect_uri: String) -> AuthorizationProbe {
        let more = self.config.oidc().map(|oidc| oidc.authorization_request(self.config.is_offline()));
        AuthorizationProbe {
            client_id: self.config.client_id().to_owned(),
            redirect_uri,
            scopes: self.config.scopes().to_vec(),
            flow: self.config.flow().map(str::to_owned),
            // Descope's parameter.
            tenant: self.config.tenant().filter(|_| self.config.oidc().is_none()).map(str::to_owned),
            more: more.unwrap_or_default(),
        }
    }

    /// Sends an authorization request (with PKCE, `state` and `nonce` of its own) and follows no redirect: nobody is
    /// logged in, and a code that comes back is dropped.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn try_authorization(
        &self,
        metadata: &Metadata,
        probe: &AuthorizationProbe,
    ) -> Result<AuthorizationAnswer, HttpError> {
        let (challenge, _) = PkceCodeChallenge::new_random_sha256();
        let (state, nonce) = (CsrfToken::new_random(), CsrfToken::new_random());
        let scope = probe.scopes.join(" ");
        let mut url = metadata.authorization_endpoint.clone();
        let mut sent = vec![
            ("client_id", probe.client_id.as_str()),
            ("redirect_uri", probe.redirect_uri.as_str()),
            ("scope", scope.as_str()),
            ("state", state.secret().as_str()),
            ("nonce", nonce.secret().as_str()),
            ("code_challenge", challenge.as_str()),
        ];
        sent.extend(probe.flow.as_deref().map(|flow| ("flow", flow)));
        sent.extend(probe.tenant.as_deref().map(|tenant| ("tenant", tenant)));
        sent.extend(probe.more.iter().map(|(name, value)| (*name, value.as_str())));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(&sent);
        let request = Request::get(url.as_str())
            .header(header::ACCEPT, BROWSER_ACCEPT)
            .body(Vec::new())
            .map_err(|_| HttpError::Request { host: self.http.host().to_owned() })?;
        let answer = self.http.send(request, None).await?;
        let brought: Vec<&str> = sent.iter().map(|(_, value)| *value).collect();
        Ok(sort(&answer, &url, &probe.redirect_uri, &brought))
    }
}

/// Sorts an answer of the authorization endpoint (pure). `brought` are the values of the request.
fn sort(answer: &Answer, asked: &Url, redirect_uri: &str, brought: &[&str]) -> AuthorizationAnswer {
    let problem = Problem::of(answer);
    let status = answer.status;
    if status.is_redirection() {
        let to = answer.text(header::LOCATION.as_str()).and_then(|to| asked.join(to).ok());
        return match to {
            Some(to) => sort_redirect(&to, redirect_uri, brought, problem),
            None => AuthorizationAnswer::OutOfOrder(problem),
        };
    }
    if status.is_server_error() || matches!(status.as_u16(), 408 | 429) {
        return AuthorizationAnswer::OutOfOrder(problem);
    }
    // A page with status 200 is a sign-in page as far as anybody can tell; JSON with an error code is not.
    if status.is_success() && problem.shape == Shape::Unrecognised {
        return AuthorizationAnswer::GoesOn;
    }
    let text = String::from_utf8_lossy(answer.body.get(..SKETCHED_BYTES).unwrap_or(&answer.body));
    AuthorizationAnswer::Refused { problem, sketch: Sketch::of(&text, brought) }
}

fn sort_redirect(to: &Url, redirect_uri: &str, brought: &[&str], problem: Problem) -> AuthorizationAnswer {
    let parameter =
        |name: &str| to.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned());
    let Some(code) = parameter("error").or_else(|| parameter("errorCode")) else {
        return AuthorizationAnswer::GoesOn;
    };
    let description = parameter("error_description").or_else(|| parameter("errorDescription"));
    let back =
        Url::parse(redirect_uri).is_ok_and(|back| (back.origin(), back.path()) == (to.origin(), to.path()));
    let (code, told) = (shown(&code, 64), description.as_deref().map(|text| shown(text, 300)));
    if back {
        return AuthorizationAnswer::SentBack { code, description: told };
    }
    // An error page elsewhere.
    let sketch = Sketch::of(&format!("{code} {}", description.unwrap_or_default()), brought);
    AuthorizationAnswer::Refused {
        problem: Problem { shape: Shape::OAuth, code: Some(code), message: told, ..problem },
        sketch,
    }
}

impl Sketch {
    /// The plain words of `text`, without the values that the request brought in, however those are escaped.
    #[must_use]
    pub fn of(text: &str, brought: &[&str]) -> Self {
        let mut text = text.to_owned();
        for value in brought.iter().filter(|value| !value.is_empty()) {
            let encoded: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            let escaped = value.replace('&', "&amp;").replace('"', "&quot;");
            for form in [*value, &encoded, &encoded.replace('+', "%20"), &escaped] {
                text = text.replace(form, " ");
            }
        }
        // Words with digits in them are trace ids and the like.
        let words = text.split(|c: char| !c.is_alphanumeric());
        let plain = |word: &&str| !word.is_empty() && word.chars().all(char::is_alphabetic);
        Self(words.filter(plain).map(str::to_lowercase).collect())
    }

    /// Whether one of the words is `part`, in lower case, or contains it.
    #[must_use]
    pub fn mentions(&self, part: &str) -> bool {
        self.0.iter().any(|word| word.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use zeroize::Zeroizing;

    use super::*;

    const BACK: &str = "http://127.0.0.1:47823/callback";

    fn sorted(status: u16, location: Option<&str>, body: &str) -> AuthorizationAnswer {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(header::LOCATION, location.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers, body: Zeroizing::new(body.as_bytes().to_vec()) };
        let asked = Url::parse("https://api.descope.com/oauth2/v1/authorize").unwrap();
        sort(&answer, &asked, BACK, &["P1", BACK])
    }

    #[test]
    fn pages_and_redirects_to_them_go_on() {
        for answer in [
            sorted(200, None, "<html>sign in</html>"),
            sorted(302, Some("https://auth.descope.io/P1?state_id=x"), ""),
            sorted(303, Some("/login/P1"), ""),
            // The browser had a session; the code is not looked at.
            sorted(303, Some("http://127.0.0.1:47823/callback?code=c&state=s"), ""),
        ] {
            assert_eq!(answer, AuthorizationAnswer::GoesOn);
        }
    }

    #[test]
    fn errors_sent_back_are_told_from_errors_shown() {
        let location = "http://127.0.0.1:47823/callback?error=invalid_scope&error_description=no%20such";
        let AuthorizationAnswer::SentBack { code, description } = sorted(302, Some(location), "") else {
            panic!("sent back");
        };
        assert_eq!((code.as_str(), description.as_deref()), ("invalid_scope", Some("no such")));

        for answer in [
            sorted(302, Some("https://auth.descope.io/error?error=bad_redirect"), ""),
            sorted(400, None, "<html>The redirect address is not approved</html>"),
            sorted(404, None, r#"{"errorCode":"E011008","errorDescription":"Project not found"}"#),
            sorted(200, None, r#"{"errorCode":"E011004","errorDescription":"d"}"#),
            sorted(403, None, ""),
        ] {
            assert!(matches!(answer, AuthorizationAnswer::Refused { .. }), "{answer:?}");
        }
    }

    #[test]
    fn an_endpoint_that_is_down_says_nothing() {
        for (status, location) in [(503, None), (429, None), (302, None)] {
            let answer = sorted(status, location, "<html>try later</html>");
            assert!(matches!(answer, AuthorizationAnswer::OutOfOrder(_)), "{answer:?}");
        }
    }

    #[test]
    fn a_sketch_forgets_what_the_request_brought() {
        let one = Sketch::of(
            "Client <b>P1</b> is unknown (ray 8af3c01, http%3A%2F%2F127.0.0.1%3A1%2Fa)",
            &["P1", "http://127.0.0.1:1/a"],
        );
        let other = Sketch::of(
            "client <b>P2x</b> is unknown (ray 91bb002, http%3A%2F%2F127.0.0.1%3A2%2Fa)",
            &["P2x", "http://127.0.0.1:2/a"],
        );
        assert_eq!(one, other);
        assert_ne!(one, Sketch::of("redirect is unknown", &[]));
        assert!(one.mentions("client") && !one.mentions("redirect"));
    }
}
