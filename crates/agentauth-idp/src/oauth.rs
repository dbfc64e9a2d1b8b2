//! The `oauth2` crate, tied to our client: its requests leave through [`Http`], and error answers come back whole,
//! since Descope's are not RFC 6749's.

use std::fmt;
use std::pin::Pin;

use agentauth_core::claims::{ClaimsFault, check_strict};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthUrl, Client, ClientId, EndpointNotSet, EndpointSet, ExtraTokenFields, HttpRequest,
    HttpResponse, RedirectUrl, RequestTokenError, StandardRevocableToken, StandardTokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::ProviderConfig;
use crate::discovery::Metadata;
use crate::jwks::LIMITS;
use crate::text::shown;
use crate::transport::{Answer, Http, HttpError};

/// The token endpoint's answer with the ID token of OpenID Connect Core 3.1.3.3.
pub(crate) type TokenResponse = StandardTokenResponse<IdTokenField, BasicTokenType>;

/// The client, ready to authorize and to redeem.
pub(crate) type OAuthClient = Client<
    BasicErrorResponse,
    TokenResponse,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// The member that OpenID Connect adds.
#[derive(Deserialize, Serialize)]
pub(crate) struct IdTokenField {
    #[serde(default)]
    pub(crate) id_token: Option<String>,
}

/// Why a request to the token endpoint brought no tokens.
pub(crate) enum TokenRequestError {
    /// No answer.
    Http(HttpError),
    /// An answer with another status than 200.
    Refused(Answer),
    /// A 200 answer that is not a token response; where it stopped making sense.
    Malformed(String),
}

/// Our client, as the `oauth2` crate wants it.
pub(crate) struct Adapter<'h>(pub(crate) &'h Http);

/// What the adapter returns for everything that is not a 200 answer; never shown.
pub(crate) enum Adapted {
    Http(HttpError),
    Refused(Answer),
    Malformed(String),
}

impl ExtraTokenFields for IdTokenField {}

impl fmt::Debug for IdTokenField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdTokenField").finish_non_exhaustive()
    }
}

impl fmt::Debug for Adapted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Adapted")
    }
}

impl fmt::Display for Adapted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no tokens")
    }
}

impl std::error::Error for Adapted {}

/// A public client (RFC 8252 section 8.4: no secret) of the described provider.
pub(crate) fn client(
    config: &ProviderConfig,
    metadata: &Metadata,
    redirect_uri: Option<&str>,
) -> Result<OAuthClient, url::ParseError> {
    let client = Client::new(ClientId::new(config.client_id().to_owned()))
        .set_auth_uri(AuthUrl::from_url(metadata.authorization_endpoint.clone()))
        .set_token_uri(TokenUrl::from_url(metadata.token_endpoint.clone()))
        .set_auth_type(oauth2::AuthType::RequestBody);
    Ok(match redirect_uri {
        Some(uri) => client.set_redirect_uri(RedirectUrl::new(uri.to_owned())?),
        None => client,
    })
}

/// Reads a token response that did not come through the `oauth2` crate; else says where it stopped making sense.
pub(crate) fn token_response(body: &[u8]) -> Result<TokenResponse, String> {
    readable(body)?;
    // The parser's own words may hold tokens.
    serde_json::from_slice(body).map_err(|_| "not a token response".to_owned())
}

impl<'c> AsyncHttpClient<'c> for Adapter<'_> {
    type Error = Adapted;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Adapted>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.send(request, None).await.map_err(Adapted::Http)?;
            if answer.status != http::StatusCode::OK {
                return Err(Adapted::Refused(answer));
            }
            readable(&answer.body).map_err(Adapted::Malformed)?;
            let mut response = HttpResponse::new(answer.body.to_vec());
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}

impl From<RequestTokenError<Adapted, BasicErrorResponse>> for TokenRequestError {
    fn from(error: RequestTokenError<Adapted, BasicErrorResponse>) -> Self {
        match error {
            RequestTokenError::Request(Adapted::Http(error)) => Self::Http(error),
            RequestTokenError::Request(Adapted::Refused(answer)) => Self::Refused(answer),
            RequestTokenError::Request(Adapted::Malformed(place)) => Self::Malformed(place),
            // The parser's own words and the body may hold tokens: only the place is kept.
            RequestTokenError::Parse(error, body) => {
                drop(Zeroizing::new(body));
                Self::Malformed(place(&error.path().to_string()))
            }
            RequestTokenError::ServerResponse(_) | RequestTokenError::Other(_) => {
                Self::Malformed("not a JSON document".to_owned())
            }
        }
    }
}

/// Whether a body is one JSON document that says nothing twice; else what is wrong with it. The `oauth2` crate stops
/// reading where its document ends, and never looks at what follows.
pub(crate) fn readable(body: &[u8]) -> Result<(), String> {
    check_strict(body, &LIMITS).map_err(|fault| match fault {
        ClaimsFault::DuplicateMember { name } => format!("`{name}` is given twice"),
        _ => "not a JSON document".to_owned(),
    })
}

/// Where a token response stopped making sense, in words.
pub(crate) fn place(path: &str) -> String {
    if path == "." { "not a token response".to_owned() } else { format!("at `{}`", shown(path, 64)) }
}
