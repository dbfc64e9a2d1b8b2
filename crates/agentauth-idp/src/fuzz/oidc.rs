//! What any OpenID provider says of a user: its ID tokens, access tokens that can be read and such that cannot, and
//! userinfo.

use std::sync::LazyLock;

use agentauth_core::SignedDuration;
use agentauth_core::claims::{
    AccessTokenExpectation, Claims, Dialect, FactPlaces, IdTokenExpectation, JwsHeader, SessionClaims,
    judge_access_token, judge_id_token, judge_userinfo,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::json::duplicates;
use super::{CLIENT, ISSUER, assert_presentable, now, oidc_config};
use crate::config::{Oidc, Preset};
use crate::oidc::{Given, JudgedId};
use crate::tokens::{Carrier, TokenSet};
use crate::transport::describe;

/// How far clocks may disagree.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
/// The user of every answer.
const SUBJECT: &str = "U1";
/// The longest life of a session whose access token cannot be read.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// One provider of every product.
static PRODUCTS: LazyLock<Vec<Oidc>> = LazyLock::new(|| {
    Preset::ALL.iter().filter_map(|&preset| oidc_config(ISSUER, preset).oidc().cloned()).collect()
});
static ID: LazyLock<IdTokenExpectation> = LazyLock::new(|| IdTokenExpectation {
    nonce: Some("n".to_owned()),
    extra_audiences: vec!["https://api.example".to_owned()],
    issued_within: Some(SignedDuration::from_mins(10)),
    dialect: Dialect::Oidc,
    leeway: LEEWAY,
    ..IdTokenExpectation::new(ISSUER, CLIENT)
});
/// What the ID token that came along with an opaque access token said.
static KNOWN: LazyLock<JudgedId> = LazyLock::new(|| {
    let payload = json!({
        "iss": ISSUER, "aud": CLIENT, "sub": SUBJECT, "nonce": "n", "iat": 1_700_000_000, "exp": 1_700_000_600,
        "roles": ["from-the-id-token"],
    });
    let claims = Claims::parse(payload.to_string().as_bytes()).expect("claims");
    let id = judge_id_token(&claims, &ID, now()).expect("a good ID token");
    JudgedId { id, claims, key_id: "k1".to_owned() }
});

/// The payload of an ID token, once its signature is known to be good.
pub(super) fn id_token(payload: &[u8]) {
    let Ok(claims) = Claims::parse(payload) else { return };
    let id = match judge_id_token(&claims, &ID, now()) {
        Ok(id) => id,
        Err(refusal) => return assert_presentable(&refusal.to_string()),
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    assert_eq!((text("iss"), text("nonce")), (Some(ISSUER), Some("n")));
    // What is Descope's alone means nothing here.
    assert_eq!(text("sub"), Some(id.subject.as_str()));
    assert!(!id.subject.is_empty() && id.subject.len() <= 255 && id.subject.is_ascii());
    assert!(id.audiences.iter().any(|one| one == CLIENT), "not for us");
    assert!(id.audiences.iter().all(|one| one == CLIENT || one == "https://api.example"), "for others, too");
    assert!(text("azp").is_none_or(|party| party == CLIENT));
    assert!(id.expires_at > now() - LEEWAY && id.issued_at <= now() + LEEWAY);
    // It continues the login that it began, and nobody else's.
    let refresh = IdTokenExpectation {
        nonce: None,
        subject: Some(id.subject.clone()),
        original: Some(id.original()),
        ..ID.clone()
    };
    assert_eq!(judge_id_token(&claims, &refresh, now()).as_ref(), Ok(&id));
    let another = IdTokenExpectation { subject: Some(format!("{}x", id.subject)), ..refresh };
    assert!(judge_id_token(&claims, &another, now()).is_err());
    let old_sign_in = IdTokenExpectation { max_age: Some(0), ..ID.clone() };
    if let Ok(fresh) = judge_id_token(&claims, &old_sign_in, now()) {
        assert!(fresh.auth_time.is_some_and(|at| at >= now() - LEEWAY && at <= now() + LEEWAY));
    }
}

/// An access token that says it is a JWT, once its signature is known to be good.
pub(super) fn access_token(token: &str, header: &JwsHeader, payload: &[u8]) {
    let Ok(claims) = Claims::parse(payload) else { return };
    for (plain_type, product) in
        [false, true].into_iter().flat_map(|plain| PRODUCTS.iter().map(move |p| (plain, p)))
    {
        let expect = AccessTokenExpectation {
            issuer: ISSUER.to_owned(),
            client_id: CLIENT.to_owned(),
            audiences: vec![CLIENT.to_owned(), "https://api.example".to_owned()],
            plain_type,
            subject: None,
            leeway: LEEWAY,
        };
        let session = match judge_access_token(header, &claims, &expect, product.places(), now()) {
            Ok(session) => session,
            Err(refusal) => {
                assert_presentable(&refusal.to_string());
                continue;
            }
        };
        assert!(expect.concerns(token), "believed, and not taken for one of ours");
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        assert_eq!(text("iss"), Some(ISSUER));
        assert_eq!(text("sub"), Some(session.subject.as_str()));
        let audience = claims.get("aud").expect("an audience");
        let ours = |one: &Value| one == CLIENT || one == "https://api.example";
        assert!(ours(audience) || audience.as_array().is_some_and(|list| list.iter().any(ours)));
        // An ID token is none, whatever its type says.
        assert!(claims.get("at_hash").is_none() && claims.get("c_hash").is_none());
        let kind = header.media_type();
        assert!(kind.as_deref() == Some("at+jwt") || plain_type && kind.is_none_or(|kind| kind == "jwt"));
        assert!(session.expires_at > now() - LEEWAY);
        assert_said(&session, &claims, product.places());
        let pinned = AccessTokenExpectation { subject: Some(format!("{}x", session.subject)), ..expect };
        assert!(judge_access_token(header, &claims, &pinned, product.places(), now()).is_err());
    }
}

/// The tokens of an answer whose access token is not for us to read.
pub(super) fn opaque(tokens: &TokenSet) {
    let given = Given {
        access_token: &tokens.access_token,
        id: Some(&KNOWN),
        expires_in: tokens.expires_in,
        asked_at: now(),
    };
    for product in PRODUCTS.iter() {
        let session = match given.session(product, SUBJECT, None) {
            Ok(session) => session,
            Err(fault) => {
                assert_eq!(tokens.expires_in, Some(0), "{}", describe(&fault));
                continue;
            }
        };
        assert_eq!((session.carrier, session.key_id.as_str()), (Carrier::IdToken, "k1"));
        assert!(session.claims.expires_at > now() && session.claims.expires_at <= now() + LONGEST);
        let shown = format!("{session:?}");
        let token = tokens.access_token.expose_secret();
        assert!(token.len() < 12 || !shown.contains(token), "a token in {shown}");
    }
}

/// An answer of the userinfo endpoint, with an ID token and without one.
pub(super) fn userinfo(body: &[u8]) {
    let Ok(info) = Claims::parse(body) else { return };
    assert!(!duplicates(body).expect("an answer that was read is JSON").anywhere, "duplicates");
    if let Err(refusal) = judge_userinfo(&info, SUBJECT) {
        return assert_presentable(&refusal.to_string());
    }
    assert_eq!(info.get("sub").and_then(Value::as_str), Some(SUBJECT));
    let access_token = SecretString::from("an-opaque-token-of-the-test");
    for (id, product) in
        [None, Some(&*KNOWN)].into_iter().flat_map(|id| PRODUCTS.iter().map(move |p| (id, p)))
    {
        let given = Given { access_token: &access_token, id, expires_in: Some(600), asked_at: now() };
        let session = given.session(product, SUBJECT, Some(&info)).expect("facts");
        assert_eq!(session.claims.subject, SUBJECT);
        assert_eq!(session.claims.expires_at, now() + SignedDuration::from_secs(600));
        match id {
            None => assert_said(&session.claims, &info, product.places()),
            // Where the ID token says something, userinfo adds nothing to it.
            Some(known) => {
                let says =
                    product.places().roles.as_ref().and_then(|place| place.look_up(&known.claims)).is_some();
                assert!(!says || session.claims.roles == ["from-the-id-token"]);
            }
        }
        for warning in &session.claims.warnings {
            assert_presentable(warning);
        }
    }
    // Nobody vouches for anything.
    let given = Given { access_token: &access_token, id: None, expires_in: None, asked_at: now() };
    assert!(PRODUCTS.iter().all(|product| given.session(product, SUBJECT, None).is_err()));
}

/// Every right stands in what the provider said, at its place.
fn assert_said(session: &SessionClaims, claims: &Claims, places: &FactPlaces) {
    let at = |place: &Option<_>| {
        let place: &agentauth_core::claims::ClaimPlace = place.as_ref()?;
        place.look_up(claims)
    };
    for role in &session.roles {
        let said = match at(&places.roles) {
            Some(Value::Array(list)) => list.iter().any(|one| one == role.as_str()),
            Some(Value::Object(members)) => places.roles_by_name && members.contains_key(role),
            _ => false,
        };
        assert!(said, "a role that nobody gave: {role}");
    }
    for permission in &session.permissions {
        let said = match at(&places.permissions) {
            Some(Value::Array(list)) => list.iter().any(|one| one == permission.as_str()),
            Some(Value::String(words)) => words.split(' ').any(|word| word == permission),
            _ => false,
        };
        assert!(said, "a permission that nobody gave: {permission}");
    }
    if let Some(tenant) = &session.current_tenant {
        assert_eq!(at(&places.tenant).and_then(Value::as_str), Some(tenant.as_str()));
    }
}
