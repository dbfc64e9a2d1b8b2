//! Who the user is, where the ID token does not say it: the userinfo endpoint (OpenID Connect Core 5.3), or Descope's
//! own `me`.

use agentauth_core::claims::Claims;
use agentauth_core::session::{RefreshFailure, User};
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Method, Request};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use crate::problem::Problem;
use crate::provider::Provider;
use crate::transport::HttpError;

/// The longest name or address that is kept.
const MAX_NAME_BYTES: usize = 320;

/// Why the userinfo endpoint said nothing that could be used.
pub(crate) enum UserinfoFault {
    /// No answer.
    Http(HttpError),
    /// A refusal.
    Refused(Box<Problem>),
    /// Another thing than a JSON object without duplicate members: a signed answer, a page.
    Unreadable,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Me {
    user_id: String,
    name: Option<String>,
    email: Option<String>,
    #[serde(default)]
    verified_email: Value,
}

impl Provider {
    /// `user` with name and address, as far as the provider tells them. The answer must be about the same subject
    /// (OpenID Connect Core 5.3.2). Failing to learn a name is no failure.
    pub async fn name_user(
        &self,
        access_token: &SecretString,
        refresh_token: &SecretString,
        user: User,
    ) -> User {
        let mut found = self.userinfo(access_token, &user.subject).await;
        if found.is_none() && self.config.oidc().is_none() {
            found = self.me(refresh_token).await.ok().filter(|me| me.subject == user.subject);
        }
        match found {
            Some(named) => User { name: user.name.or(named.name), email: user.email.or(named.email), ..user },
            None => {
                tracing::debug!("the provider did not say the user's name");
                user
            }
        }
    }

    /// The user of `refresh_token` by `GET /v1/auth/me`. As it asks the provider, it also notices a logout elsewhere.
    ///
    /// # Errors
    /// See [`RefreshFailure`]; `sent` means nothing here, since nothing is rotated.
    pub async fn me(&self, refresh_token: &SecretString) -> Result<User, RefreshFailure> {
        let answer = self.ask_session(Method::GET, "me", refresh_token).await?;
        let me: Me = serde_json::from_slice(&answer.body).map_err(|_| {
            RefreshFailure::network(true, "the provider's answer about the user cannot be read")
        })?;
        let email = me.email.filter(|_| matches!(me.verified_email, Value::Null | Value::Bool(true)));
        Ok(User { subject: me.user_id, name: kept(me.name), email: kept(email) })
    }

    async fn userinfo(&self, access_token: &SecretString, subject: &str) -> Option<User> {
        let endpoint = self.metadata().await.ok()?.userinfo_endpoint.clone()?;
        let claims = self.ask_userinfo(&endpoint, access_token).await.ok()?;
        let text = |name: &str| kept(claims.get(name)?.as_str().map(str::to_owned));
        let email = kept(claims.email().map(str::to_owned));
        let user = User { subject: text("sub")?, name: text("name"), email };
        (user.subject == subject && (user.name.is_some() || user.email.is_some())).then_some(user)
    }

    /// What the userinfo endpoint says of the bearer of `access_token`; about whom is for the caller to judge.
    pub(crate) async fn ask_userinfo(
        &self,
        endpoint: &Url,
        access_token: &SecretString,
    ) -> Result<Claims, UserinfoFault> {
        let bearer = Zeroizing::new(format!("Bearer {}", access_token.expose_secret()));
        let mut authorization = HeaderValue::from_str(&bearer).map_err(|_| UserinfoFault::Unreadable)?;
        authorization.set_sensitive(true);
        let request = Request::get(endpoint.as_str())
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| UserinfoFault::Unreadable)?;
        let answer = self.http.send(request, None).await.map_err(UserinfoFault::Http)?;
        if answer.status != http::StatusCode::OK {
            return Err(UserinfoFault::Refused(Box::new(Problem::of(&answer))));
        }
        Claims::parse(&answer.body).map_err(|_| UserinfoFault::Unreadable)
    }
}

fn kept(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty() && text.len() <= MAX_NAME_BYTES)
}
