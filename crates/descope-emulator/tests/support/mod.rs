//! A small client for the tests: no redirect is followed, every answer is looked at.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;

use descope_emulator::Emulator;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::Value;

/// RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// RFC 7636, appendix B.
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// Nobody listens there: the redirect is read, not followed.
pub(crate) const REDIRECT: &str = "http://127.0.0.1:9/callback";

pub(crate) struct Tester {
    pub(crate) http: Client,
    pub(crate) base: String,
    pub(crate) project: String,
}

pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) id: String,
}

impl Tester {
    pub(crate) fn new(emulator: &Emulator) -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Self { http, base: emulator.base_url().to_owned(), project: emulator.project_id().to_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    pub(crate) async fn form(&self, path: &str, form: &[(&str, &str)]) -> Response {
        self.try_form(path, form).await.unwrap()
    }

    pub(crate) async fn try_form(&self, path: &str, form: &[(&str, &str)]) -> reqwest::Result<Response> {
        self.http.post(format!("{}{path}", self.base)).form(form).send().await
    }

    /// `POST` with the service's own bearer.
    pub(crate) async fn bearer(&self, path: &str, token: &str) -> Response {
        let request = self.http.post(format!("{}{path}", self.base));
        request.bearer_auth(format!("{}:{token}", self.project)).body("{}").send().await.unwrap()
    }

    /// The authorization request with changes: an empty value leaves a parameter out.
    pub(crate) async fn authorize(&self, changes: &[(&str, &str)]) -> Response {
        self.authorize_at("/oauth2/v1/authorize", changes).await
    }

    /// The same at another door.
    pub(crate) async fn authorize_at(&self, door: &str, changes: &[(&str, &str)]) -> Response {
        self.authorize_with(door, changes, "").await
    }

    /// The same from a browser with a cookie.
    pub(crate) async fn authorize_with(
        &self,
        door: &str,
        changes: &[(&str, &str)],
        cookie: &str,
    ) -> Response {
        let project = self.project.clone();
        let mut query: BTreeMap<&str, &str> = BTreeMap::from([
            ("response_type", "code"),
            ("client_id", project.as_str()),
            ("redirect_uri", REDIRECT),
            ("scope", "openid profile email offline_access"),
            ("state", "the-state"),
            ("nonce", "the-nonce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        query.extend(changes.iter().copied());
        query.retain(|_, value| !value.is_empty());
        let request = self.http.get(format!("{}{door}", self.base)).query(&query);
        request.header("cookie", cookie).send().await.unwrap()
    }

    pub(crate) async fn code(&self, changes: &[(&str, &str)]) -> String {
        let answer = returned(&self.authorize(changes).await);
        answer.get("code").unwrap_or_else(|| panic!("no code in {answer:?}")).clone()
    }

    pub(crate) async fn exchange(&self, code: &str) -> Response {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", self.project.as_str()),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", VERIFIER),
        ];
        self.form("/oauth2/v1/token", &form).await
    }

    pub(crate) async fn login(&self) -> Tokens {
        self.login_with(&[]).await
    }

    pub(crate) async fn login_with(&self, changes: &[(&str, &str)]) -> Tokens {
        let response = self.exchange(&self.code(changes).await).await;
        assert_eq!(response.status(), StatusCode::OK);
        let body: Value = response.json().await.unwrap();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Tokens { access: text("access_token"), refresh: text("refresh_token"), id: text("id_token") }
    }

    pub(crate) async fn refresh_grant(&self, token: &str) -> Response {
        self.try_refresh_grant(token).await.unwrap()
    }

    pub(crate) async fn try_refresh_grant(&self, token: &str) -> reqwest::Result<Response> {
        let form =
            [("grant_type", "refresh_token"), ("client_id", self.project.as_str()), ("refresh_token", token)];
        self.try_form("/oauth2/v1/token", &form).await
    }

    /// Verifies a token against the published keys, as a client would.
    pub(crate) async fn verify(&self, token: &str) -> Result<Value, String> {
        let keys: JwkSet =
            serde_json::from_value(self.json(&format!("/v2/keys/{}", self.project)).await).unwrap();
        let header = decode_header(token).map_err(|error| error.to_string())?;
        let key = keys.find(header.kid.as_deref().ok_or("no kid")?).ok_or("unknown kid")?;
        let mut rules = Validation::new(Algorithm::RS256);
        rules.validate_aud = false;
        rules.leeway = 5;
        let key = DecodingKey::from_jwk(key).unwrap();
        decode::<Value>(token, &key, &rules).map(|data| data.claims).map_err(|error| error.to_string())
    }
}

/// The parameters with which the browser comes back.
pub(crate) fn returned(response: &Response) -> BTreeMap<String, String> {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let to = response.headers()["location"].to_str().unwrap();
    assert!(to.starts_with(REDIRECT), "{to}");
    url::Url::parse(to).unwrap().query_pairs().into_owned().collect()
}

/// The handle in a sign-in page.
pub(crate) async fn handle_in(response: Response) -> String {
    let page = response.text().await.unwrap();
    let (_, rest) =
        page.split_once("name=\"state_id\" value=\"").unwrap_or_else(|| panic!("no form in {page}"));
    rest.split_once('"').unwrap().0.to_owned()
}

pub(crate) async fn error_code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["errorCode"].as_str().unwrap_or_default().to_owned())
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
