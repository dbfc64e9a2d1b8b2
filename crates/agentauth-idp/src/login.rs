//! Logging in: the authorization-code flow with PKCE through the browser (RFC 8252, RFC 7636), from the bound
//! listener to the code. What follows (exchange, verification) is in `tokens.rs`.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::{CsrfToken, PkceCodeChallenge, Scope};
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use url::Url;

use crate::callback::{CallbackRefusal, Expected};
use crate::discovery::DiscoveryError;
use crate::listener::{self, Event, Listener};
use crate::oauth;
use crate::page::Outcome;
use crate::provider::Provider;

/// The beginning of a login.
#[derive(Debug)]
pub struct Login;

/// What a login asks for beyond the configuration.
#[derive(Clone, Debug, Default)]
pub struct LoginOptions {
    /// The `nonce` to use instead of a random one: for `reauth`, the hash of what the person is to confirm.
    pub nonce: Option<String>,
    /// Make the provider ask again even if the browser has a session there (`prompt=login`).
    pub force: bool,
    /// How old the person's sign-in at the provider may be, in seconds (`max_age`).
    pub max_age_seconds: Option<u32>,
    /// How strongly the person must sign in: any of these, in the provider's words, best first (`acr_values`). Judged
    /// where the provider is not Descope.
    pub acr_values: Vec<String>,
    /// Overrides the configured login hint.
    pub login_hint: Option<String>,
    /// Overrides the configured flow.
    pub flow: Option<String>,
    /// Overrides the configured tenant.
    pub tenant: Option<String>,
    /// Overrides the configured time in which the person must have logged in.
    pub limit: Option<Duration>,
}

/// The address to open in the browser. It holds `state`, so it is shown to the person only; `Debug` hides its query.
#[derive(Clone)]
pub struct AuthorizationUrl(Url);

/// A login that waits for the browser. Dropping it closes its listener.
pub struct LoginAttempt {
    listener: Listener,
    deadline: Pin<Box<Sleep>>,
    limit: Duration,
    redirect_uri: String,
    issuer: String,
    nonce: String,
    max_age_seconds: Option<u32>,
    acr_values: Vec<String>,
    verifier: SecretString,
}

/// The browser's answer; its page waits for [`Callback::finish`].
pub struct Callback {
    /// What to hand to [`Provider::exchange`].
    pub grant: CodeGrant,
    outcome: oneshot::Sender<Outcome>,
    listener: Listener,
}

/// An authorization code and what it is bound to.
pub struct CodeGrant {
    /// The code; good for one exchange.
    pub code: SecretString,
    /// The PKCE verifier (RFC 7636 section 4.1).
    pub verifier: SecretString,
    /// The redirect URI that the code was issued for.
    pub redirect_uri: String,
    /// The `nonce` that the ID token must repeat.
    pub nonce: String,
    /// The `max_age` that `auth_time` must keep.
    pub max_age_seconds: Option<u32>,
    /// The `acr_values` of which `acr` must be one.
    pub acr_values: Vec<String>,
}

/// Why a login came to no code. Nothing is stored in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The provider could not be asked where to log in.
    #[error("cannot start the login")]
    Discovery(#[from] DiscoveryError),
    /// No port for the browser to come back to.
    #[error(
        "cannot listen for the browser: {}; free one of these ports or configure others, and register their redirect uris",
        addresses(.0)
    )]
    Ports(Vec<(SocketAddr, String)>),
    /// The operating system gave no randomness.
    #[error("the operating system gave no random numbers")]
    Random,
    /// A URL of the provider cannot be used.
    #[error("the provider's `{0}` is not a usable url")]
    Url(&'static str),
    /// The caller gave up.
    #[error("the login was cancelled")]
    Cancelled,
    /// The person did not come back in time.
    #[error("nobody came back from the browser within {} s; if the provider showed an error there, check that the redirect uri `{redirect_uri}` is registered, and try again", .limit.as_secs())]
    TimedOut {
        /// The time that there was.
        limit: Duration,
        /// What has to be registered at the provider.
        redirect_uri: String,
    },
    /// Answers that did not belong to this login came in a row; somebody may be guessing.
    #[error(
        "gave up after {count} answers that did not belong to this login (the last one: {last}); start again"
    )]
    TooManyRefused {
        /// How many there were.
        count: u32,
        /// Why the last one was refused.
        last: CallbackRefusal,
    },
    /// The provider refused, or the person did.
    #[error("the provider refused the login: `{code}`{}", with_colon(.description.as_deref()))]
    Provider {
        /// `error` (RFC 6749 section 4.1.2.1, OpenID Connect Core 3.1.2.6), escaped and capped.
        code: String,
        /// `error_description`, escaped and capped.
        description: Option<String>,
    },
    /// Another issuer answered (RFC 9207).
    #[error("the answer came from {}, not from `{expected}`; the login is refused", found.as_deref().map_or_else(|| "an unnamed issuer".to_owned(), |f| format!("`{f}`")))]
    IssuerMismatch {
        /// The issuer that was asked.
        expected: String,
        /// The issuer that answered, if it said so.
        found: Option<String>,
    },
    /// The listener ended by itself.
    #[error("the listener for the browser broke down; start again")]
    Listener,
}

impl Login {
    /// Starts a login: asks the provider where to, binds the listener, and only then releases the address for the
    /// browser. The time limit runs from here.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn start(
        provider: &Provider,
        options: LoginOptions,
    ) -> Result<(LoginAttempt, AuthorizationUrl), LoginError> {
        let config = provider.config();
        let metadata = provider.fetch_metadata().await?;
        let (socket, address) =
            listener::bind(config.redirect(), config.loopback()).await.map_err(LoginError::Ports)?;
        let redirect_uri = config.redirect().uri(address);
        let nonce = options.nonce.map_or_else(random, Ok)?;
        let state = random()?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();

        let client =
            oauth::client(config, &metadata, Some(&redirect_uri)).map_err(|_| LoginError::Url("redirect"))?;
        let mut request = client
            .authorize_url(|| CsrfToken::new(state.clone()))
            .set_pkce_challenge(challenge)
            .add_scopes(config.scopes().iter().cloned().map(Scope::new))
            .add_extra_param("nonce", nonce.clone());
        let or = |given: Option<String>, configured: Option<&str>| given.or(configured.map(str::to_owned));
        let consents = config.oidc().is_some_and(|oidc| oidc.prompts_consent(config.is_offline()));
        let prompts = [options.force.then_some("login"), consents.then_some("consent")];
        let prompt = prompts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        // Flow and tenant are Descope's parameters.
        let descope = config.oidc().is_none();
        for (name, value) in [
            ("flow", or(options.flow, config.flow()).filter(|_| descope)),
            ("tenant", or(options.tenant, config.tenant()).filter(|_| descope)),
            ("login_hint", or(options.login_hint, config.login_hint())),
            ("prompt", Some(prompt).filter(|prompt| !prompt.is_empty())),
            ("max_age", options.max_age_seconds.map(|seconds| seconds.to_string())),
            ("acr_values", Some(options.acr_values.join(" ")).filter(|values| !values.is_empty())),
        ] {
            if let Some(value) = value {
                request = request.add_extra_param(name, value);
            }
        }
        for (name, value) in
            config.oidc().into_iter().flat_map(|oidc| oidc.authorization_parameters(config.is_offline()))
        {
            request = request.add_extra_param(name, value.to_owned());
        }
        let (url, _) = request.url();

        let limit = options.limit.unwrap_or(config.timeouts().login);
        let expected = Expected {
            state: SecretString::from(state),
            authority: address.to_string(),
            path: config.redirect().path.clone(),
            issuer: metadata.issuer.clone(),
            iss_required: metadata.iss_parameter_supported,
        };
        let attempt = LoginAttempt {
            listener: Listener::serve(socket, expected, config.profile().map(str::to_owned)),
            deadline: Box::pin(tokio::time::sleep(limit)),
            limit,
            redirect_uri,
            issuer: metadata.issuer.clone(),
            nonce,
            max_age_seconds: options.max_age_seconds,
            acr_values: options.acr_values,
            verifier: SecretString::from(verifier.into_secret()),
        };
        Ok((attempt, AuthorizationUrl(url)))
    }
}

impl LoginAttempt {
    /// Where the browser comes back to.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// The `nonce` of this login.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Waits for the browser. Requests that do not belong to this login (a tampered or missing `state`, another
    /// host, path or method) are refused with a page and the wait goes on, so that no other page can end a login
    /// by guessing; after five wrong answers it does end. The listener closes with the answer.
    ///
    /// # Errors
    /// See [`LoginError`]; [`LoginError::Cancelled`] as soon as `cancel` completes.
    pub async fn wait(mut self, cancel: impl Future<Output = ()>) -> Result<Callback, LoginError> {
        let event = tokio::select! {
            biased;
            () = cancel => return Err(LoginError::Cancelled),
            event = self.listener.event() => event,
            () = self.deadline.as_mut() => {
                return Err(LoginError::TimedOut { limit: self.limit, redirect_uri: self.redirect_uri });
            }
        };
        let error = match event {
            Some(Event::Code { code, outcome }) => {
                let grant = CodeGrant {
                    code,
                    verifier: self.verifier,
                    redirect_uri: self.redirect_uri,
                    nonce: self.nonce,
                    max_age_seconds: self.max_age_seconds,
                    acr_values: self.acr_values,
                };
                return Ok(Callback { grant, outcome, listener: self.listener });
            }
            Some(Event::Error { code, description }) => LoginError::Provider { code, description },
            Some(Event::IssuerMismatch { found }) => {
                LoginError::IssuerMismatch { expected: self.issuer, found }
            }
            Some(Event::TooManyRefused { count, last }) => LoginError::TooManyRefused { count, last },
            None => LoginError::Listener,
        };
        self.listener.close().await;
        Err(error)
    }
}

impl Callback {
    /// Shows the person what became of the login and closes the listener. Without it (on drop), the page says that
    /// the login was not completed.
    pub async fn finish(self, outcome: Outcome) {
        // The browser may have gone away; then there is nobody to tell.
        let _ = self.outcome.send(outcome);
        self.listener.close().await;
    }

    /// The same, when the grant is needed by itself first.
    pub fn split(self) -> (CodeGrant, Responder) {
        (self.grant, Responder { outcome: self.outcome, listener: self.listener })
    }
}

/// The browser's page that still waits for an outcome; see [`Callback::finish`].
pub struct Responder {
    outcome: oneshot::Sender<Outcome>,
    listener: Listener,
}

impl Responder {
    /// Shows the person what became of the login and closes the listener.
    pub async fn finish(self, outcome: Outcome) {
        let _ = self.outcome.send(outcome);
        self.listener.close().await;
    }
}

impl AuthorizationUrl {
    /// The address, for the browser or to show to the person. Not for logs.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The parsed address.
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for AuthorizationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorizationUrl({}{}?…)", self.0.origin().ascii_serialization(), self.0.path())
    }
}

impl fmt::Debug for LoginAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginAttempt").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("grant", &self.grant).finish_non_exhaustive()
    }
}

impl fmt::Debug for CodeGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeGrant").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}

/// 32 random octets as base64url: `state` and `nonce`.
fn random() -> Result<String, LoginError> {
    let mut octets = [0_u8; 32];
    getrandom::fill(&mut octets).map_err(|_| LoginError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(octets))
}

fn addresses(tried: &[(SocketAddr, String)]) -> String {
    tried.iter().map(|(address, why)| format!("{address}: {why}")).collect::<Vec<_>>().join(", ")
}

fn with_colon(text: Option<&str>) -> String {
    text.map(|text| format!(": {text}")).unwrap_or_default()
}
