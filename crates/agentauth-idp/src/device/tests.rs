//! What a provider may send, and what it means.

use http::HeaderMap;
use serde_json::json;
use zeroize::Zeroizing;

use super::*;

fn codes() -> Value {
    json!({"device_code": "a-long-device-code", "user_code": "WDJB-MJHT", "expires_in": 600,
        "verification_uri": "https://auth.example.com/device",
        "verification_uri_complete": "https://auth.example.com/device?user_code=WDJB-MJHT"})
}

fn with(name: &str, value: Value) -> Result<Codes, DeviceError> {
    let mut codes = codes();
    codes[name] = value;
    Codes::judge(codes.to_string().as_bytes())
}

#[test]
fn what_a_person_is_shown_is_judged() {
    let fine = Codes::judge(codes().to_string().as_bytes()).unwrap();
    assert_eq!((fine.user_code.as_str(), fine.interval), ("WDJB-MJHT", None));
    assert!(fine.verification_uri_complete.is_some());
    assert!(with("user_code", json!("1234 5678")).is_ok());
    assert!(with("verification_uri", json!("http://127.0.0.1:4000/device")).is_ok());

    for (name, value) in [
        ("user_code", json!("")),
        ("user_code", json!("x".repeat(65))),
        ("user_code", json!("\u{202e}TJHM")),
        ("user_code", json!("A\u{1b}[2J")),
        ("user_code", json!(" WDJB")),
        ("user_code", json!(12)),
        ("user_code", json!("a-long-device-code")),
        ("verification_uri", json!("http://auth.example.com/device")),
        ("verification_uri", json!("https://user:pw@auth.example.com/")),
        ("verification_uri", json!("javascript:alert(1)")),
        ("verification_uri", json!("/device")),
        ("verification_uri", json!(format!("https://a.example/{}", "x".repeat(2048)))),
        ("verification_uri", json!("https://auth.example.com/?c=a-long-device-code")),
        ("device_code", json!("")),
        ("device_code", json!("has a blank")),
        ("device_code", Value::Null),
        ("expires_in", json!(0)),
        ("expires_in", json!(-5)),
        ("expires_in", json!("600")),
    ] {
        match with(name, value.clone()) {
            Err(DeviceError::Unusable(at)) => assert_eq!(at, name, "{value}"),
            other => panic!("{name} {value}: {:?}", other.map(|_| ())),
        }
    }
    for complete in
        ["https://evil.example/device?user_code=WDJB-MJHT", "https://auth.example.com/?d=a-long-device-code"]
    {
        let left_out = with("verification_uri_complete", json!(complete)).unwrap();
        assert!(left_out.verification_uri_complete.is_none(), "{complete}");
    }
    assert!(Codes::judge(b"<html>").is_err());
    assert!(Codes::judge(b"[]").is_err());
    let twice = codes().to_string().replacen('{', r#"{"user_code":"AAAA-AAAA","#, 1);
    assert!(Codes::judge(twice.as_bytes()).is_err(), "two readers, two codes");
}

#[test]
fn answers_are_told_apart() {
    const HTML: &str = "<!DOCTYPE html><title>Just a moment...</title>";
    let rfc = |code: &str| json!({ "error": code }).to_string();
    let descope = |code: &str| json!({ "errorCode": code, "errorMessage": "no" }).to_string();
    for (status, body, expected) in [
        (400, rfc("authorization_pending"), "pending"),
        (403, rfc("authorization_pending"), "pending"),
        (428, rfc("authorization_pending"), "pending"),
        (400, rfc("slow_down"), "slow down"),
        (429, rfc("slow_down"), "slow down"),
        (400, rfc("access_denied"), "denied"),
        (400, rfc("expired_token"), "expired"),
        (400, rfc("invalid_grant"), "refused"),
        (401, rfc("invalid_client"), "refused"),
        (400, rfc("anything_else"), "refused"),
        (401, descope("E061005"), "refused"),
        (404, HTML.to_owned(), "refused"),
        (302, HTML.to_owned(), "refused"),
        (204, String::new(), "refused"),
        (429, descope("E130429"), "failed"),
        (503, rfc("temporarily_unavailable"), "failed"),
        (403, HTML.to_owned(), "failed"),
        (400, String::new(), "failed"),
        (408, String::new(), "failed"),
        (521, HTML.to_owned(), "failed"),
        (500, HTML.to_owned(), "failed, sent"),
        (502, HTML.to_owned(), "failed, sent"),
        (524, HTML.to_owned(), "failed, sent"),
        (200, "{}".to_owned(), "unusable"),
        (200, HTML.to_owned(), "unusable"),
        (200, json!({"access_token": "t", "token_type": "bearer"}).to_string(), "unusable"),
    ] {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: Zeroizing::new(body.clone().into_bytes()),
        };
        let seen = match judge(&answer) {
            Asked::Tokens(_) => "tokens",
            Asked::Unusable(_) => "unusable",
            Asked::Nothing { .. } => "nothing",
            Asked::Answer(PollAnswer::Pending, _) => "pending",
            Asked::Answer(PollAnswer::SlowDown, _) => "slow down",
            Asked::Answer(PollAnswer::Denied, _) => "denied",
            Asked::Answer(PollAnswer::Expired, _) => "expired",
            Asked::Answer(PollAnswer::Refused, _) => "refused",
            Asked::Answer(PollAnswer::Failed { sent: true, .. }, _) => "failed, sent",
            Asked::Answer(PollAnswer::Failed { .. }, _) => "failed",
        };
        assert_eq!(seen, expected, "{status} {body}");
    }
}
