//! The judgement of an access token that is a JWT and meant for us (RFC 9068). One that is not is opaque: whatever it
//! may contain, it is somebody else's to read.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Claims;
use super::facts::{FactPlaces, SessionFrame};
use super::jws::{JwsHeader, split_jws};
use super::read::{ascii_subject, audiences, context_class, strings, text, times};
use super::refusal::{TokenRefusal, shown};
use super::rights::SessionClaims;

/// The media type of RFC 9068 section 2.1.
const ACCESS_TOKEN: &str = "at+jwt";

/// What an access token must say to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessTokenExpectation {
    /// The provider, compared byte by byte.
    pub issuer: String,
    /// Our client identifier.
    pub client_id: String,
    /// Audiences of which one must be named.
    pub audiences: Vec<String>,
    /// Whether tokens without a type, or with plain `JWT`, are access tokens at this provider.
    pub plain_type: bool,
    /// The pinned user.
    pub subject: Option<String>,
    /// How far clocks may disagree; counts for at most five minutes.
    pub leeway: SignedDuration,
}

impl AccessTokenExpectation {
    /// Whether `token` is, by its own word, an access token for us. To choose how to treat it, never to believe it.
    pub fn concerns(&self, token: &str) -> bool {
        let Ok((header, payload)) = split_jws(token) else { return false };
        let Ok(claims) = Claims::parse(&payload) else { return false };
        self.accepts_type(&header) && self.is_audience(&claims).unwrap_or(false)
    }

    fn accepts_type(&self, header: &JwsHeader) -> bool {
        match header.media_type().as_deref() {
            Some(ACCESS_TOKEN) => true,
            None | Some("jwt") => self.plain_type,
            Some(_) => false,
        }
    }

    fn is_audience(&self, claims: &Claims) -> Result<bool, TokenRefusal> {
        let seen = audiences(claims)?.ok_or(TokenRefusal::MissingClaim("aud"))?;
        Ok(seen.iter().any(|audience| self.audiences.iter().any(|ours| ours == audience)))
    }
}

/// Judges an access token whose signature was verified with a key of the provider.
///
/// # Errors
/// The first expectation that the token does not meet.
pub fn judge_access_token(
    header: &JwsHeader,
    claims: &Claims,
    expect: &AccessTokenExpectation,
    places: &FactPlaces,
    now: Timestamp,
) -> Result<SessionClaims, TokenRefusal> {
    if !expect.accepts_type(header) {
        let seen = header.media_type().unwrap_or_else(|| "untyped".to_owned());
        return Err(TokenRefusal::WrongKind { seen: shown(&seen), expected: ACCESS_TOKEN });
    }
    let issuer = text(claims, "iss")?.ok_or(TokenRefusal::MissingClaim("iss"))?;
    if issuer != expect.issuer {
        return Err(TokenRefusal::WrongIssuer {
            seen: shown(issuer),
            what: "not the provider that was asked",
            accepted: format!("`{}`", shown(&expect.issuer)),
        });
    }
    // What only ID tokens have (OpenID Connect Core 3.1.3.6, 3.3.2.11).
    if ["at_hash", "c_hash"].into_iter().any(|name| claims.get(name).is_some()) {
        return Err(TokenRefusal::WrongKind { seen: "an ID token".to_owned(), expected: ACCESS_TOKEN });
    }
    if !expect.is_audience(claims)? {
        let seen = audiences(claims)?.unwrap_or_default().join(", ");
        let expected = expect.audiences.join(", ");
        return Err(TokenRefusal::WrongAudience { seen: shown(&seen), expected: shown(&expected) });
    }
    judge_client(header, claims, expect)?;
    let subject = ascii_subject(claims, "sub")?.ok_or(TokenRefusal::MissingClaim("sub"))?;
    if let Some(pinned) = &expect.subject
        && pinned != subject
    {
        return Err(TokenRefusal::WrongSubject { seen: shown(subject), expected: shown(pinned) });
    }
    let (expires_at, issued_at) = times(claims, expect.leeway, now)?;
    let frame = SessionFrame {
        subject: subject.to_owned(),
        issuer: issuer.to_owned(),
        issued_at,
        expires_at,
        factors: strings(claims.get("amr"), "amr", &mut Vec::new()),
        acr: context_class(claims),
    };
    Ok(places.session(frame, &[claims]))
}

/// The token was issued to us: `client_id`, or what providers call it that type their tokens plainly. RFC 9068 section
/// 2.2 requires `client_id`, `iat` and `jti` of a token that says it follows it.
fn judge_client(
    header: &JwsHeader,
    claims: &Claims,
    expect: &AccessTokenExpectation,
) -> Result<(), TokenRefusal> {
    if header.media_type().as_deref() == Some(ACCESS_TOKEN) {
        for name in ["client_id", "iat", "jti"] {
            if claims.get(name).is_none_or(Value::is_null) {
                return Err(TokenRefusal::MissingClaim(name));
            }
        }
    }
    for name in ["client_id", "azp", "cid", "appid"] {
        if let Some(seen) = text(claims, name)?
            && seen != expect.client_id
        {
            return Err(TokenRefusal::WrongAudience {
                seen: format!("the client {}", shown(seen)),
                expected: shown(&expect.client_id),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://issuer.example";

    fn expectation() -> AccessTokenExpectation {
        AccessTokenExpectation {
            issuer: ISSUER.to_owned(),
            client_id: "client".to_owned(),
            audiences: vec!["client".to_owned(), "urn:agentauthd".to_owned()],
            plain_type: false,
            subject: Some("u".to_owned()),
            leeway: SignedDuration::from_secs(5),
        }
    }

    fn header(typ: Option<&str>) -> JwsHeader {
        JwsHeader { alg: "RS256".to_owned(), kid: Some("k".to_owned()), typ: typ.map(str::to_owned) }
    }

    fn good() -> Value {
        json!({
            "iss": ISSUER, "aud": "urn:agentauthd", "sub": "u", "client_id": "client", "jti": "j",
            "iat": 1000, "exp": 2000, "roles": ["payment_processor"], "scope": "openid pay",
        })
    }

    fn judged(
        typ: Option<&str>,
        claims: &Value,
        expect: &AccessTokenExpectation,
    ) -> Result<SessionClaims, &'static str> {
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        let places = FactPlaces {
            roles: Some("roles".parse().unwrap()),
            permissions: Some("scope".parse().unwrap()),
            ..FactPlaces::default()
        };
        judge_access_token(&header(typ), &claims, expect, &places, Timestamp::from_second(1500).unwrap())
            .map_err(|refusal| refusal.code())
    }

    #[test]
    fn a_token_for_us_carries_the_facts() {
        for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
            let session = judged(Some(typ), &good(), &expectation()).unwrap();
            assert_eq!(session.subject, "u");
            assert_eq!(session.roles, ["payment_processor"]);
            assert_eq!(session.permissions, ["openid", "pay"]);
            assert_eq!(session.expires_at.as_second(), 2000);
        }
    }

    #[test]
    fn each_deviation_is_refused_for_its_own_reason() {
        let with = |name: &str, value: Value| {
            let mut token = good();
            token[name] = value;
            token
        };
        let without = |name: &str| {
            let mut token = good();
            token.as_object_mut().unwrap().remove(name);
            token
        };
        for (token, code) in [
            (with("iss", json!("https://issuer.example/")), "wrong_issuer"),
            (without("iss"), "missing_claim"),
            (with("aud", json!("other")), "wrong_audience"),
            (with("aud", json!(["other", "URN:agentauthd"])), "wrong_audience"),
            (with("aud", json!([])), "wrong_audience"),
            (with("aud", json!(7)), "bad_shape"),
            (without("aud"), "missing_claim"),
            (with("client_id", json!("other")), "wrong_audience"),
            (with("client_id", json!(["client"])), "bad_shape"),
            (without("client_id"), "missing_claim"),
            (with("azp", json!("other")), "wrong_audience"),
            (without("jti"), "missing_claim"),
            (without("iat"), "missing_claim"),
            (with("iat", json!(1600)), "issued_in_future"),
            (with("nbf", json!(1600)), "not_yet_valid"),
            (with("exp", json!(1500)), "expired"),
            (with("exp", json!(1490)), "expired"),
            (without("exp"), "missing_claim"),
            (without("sub"), "missing_claim"),
            (with("sub", json!("someone")), "wrong_subject"),
            (with("sub", json!("ü")), "bad_shape"),
            (with("sub", json!("x".repeat(256))), "bad_shape"),
            (with("at_hash", json!("x")), "wrong_kind"),
        ] {
            // `exp` has five seconds of leeway; the session itself has none.
            let refused = judged(Some("at+jwt"), &token, &expectation());
            if token["exp"] == json!(1500) {
                assert!(refused.is_ok());
            } else {
                assert_eq!(refused, Err(code), "{token}");
            }
        }
    }

    #[test]
    fn a_type_is_required_unless_the_provider_is_known_to_leave_it_out() {
        let mut plain = expectation();
        plain.plain_type = true;
        for typ in [None, Some("JWT"), Some("jwt")] {
            assert_eq!(judged(typ, &good(), &expectation()), Err("wrong_kind"), "{typ:?}");
            assert!(judged(typ, &good(), &plain).is_ok(), "{typ:?}");
        }
        for typ in ["dpop+jwt", "secevent+jwt", "logout+jwt", "id+jwt"] {
            assert_eq!(judged(Some(typ), &good(), &plain), Err("wrong_kind"), "{typ}");
        }
        // Providers that type plainly leave out other things too.
        let bare = json!({"iss": ISSUER, "aud": ["client"], "sub": "u", "exp": 2000, "azp": "client"});
        assert!(judged(None, &bare, &plain).is_ok());
        assert_eq!(judged(Some("at+jwt"), &bare, &plain), Err("missing_claim"));
    }

    #[test]
    fn what_does_not_concern_us_is_opaque() {
        let token = |typ: Option<&str>, claims: &Value| {
            let mut header = json!({"alg": "RS256", "kid": "k"});
            if let Some(typ) = typ {
                header["typ"] = json!(typ);
            }
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.{}", part(&header), part(claims), URL_SAFE_NO_PAD.encode("sig"))
        };
        let mut foreign = good();
        foreign["aud"] = json!("https://graph.example");
        let mut nobodys = good();
        nobodys.as_object_mut().unwrap().remove("aud");
        assert!(expectation().concerns(&token(Some("at+jwt"), &good())));
        for opaque in [
            token(None, &good()),
            token(Some("JWT"), &good()),
            token(Some("at+jwt"), &foreign),
            token(Some("at+jwt"), &nobodys),
            "opaque".to_owned(),
            "a.b.c".to_owned(),
            String::new(),
            "a.b.c.d.e".to_owned(),
        ] {
            assert!(!expectation().concerns(&opaque), "{opaque}");
        }
        let plain = AccessTokenExpectation { plain_type: true, ..expectation() };
        assert!(plain.concerns(&token(None, &good())));
    }
}
