//! What must not come through, wherever it stands, and what must stay as it is.

use proptest::prelude::*;

use super::*;

fn clean(text: &str) -> String {
    String::from_utf8(redact(text.as_bytes()).into_owned()).unwrap()
}

/// `{"alg":"RS256"}` and `{"sub":"alice"}`, and a signature.
const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl-_c2lnbmF0dXJl";

#[test]
fn ordinary_text_stays() {
    for text in [
        "2026-11-22T10:00:00Z  INFO serving socket=\"/run/user/1000/agentauthd/agent.sock\" profile=\"default\"",
        "agent=\"payment-agent\" id=dec_0192f3a4b5c67d8e9f00112233445566 reason=\"not_in_manifest\"",
        "sha256=3a7bd3e2360a3d29eea436fcfb7e44c735d117c42d1c1835420b6b9942dd4f1b matches",
        "the refresh token is in the keychain; a session token: none, token=none, refresh_token: missing",
        "Bearer tokens are refused; Basic authentication. DPoP proof; bearer: JWT",
        "POST https://api.descope.com/oauth2/v1/token failed: HTTP 502 Bad Gateway",
        "token_endpoint=https://api.descope.com/oauth2/v1/token session_token_seconds=600",
        "/home/alice/Projects/VeryLongDirectoryName/another-directory/and_one_more/target/debug/deps/agentauthd-0a1b2c",
        "key id SK2abcdefghijklmnopqrstuvwx1 of project P2abcdefghijklmnopqrstuvwx12",
        "refresh_token: SecretBox<str>([REDACTED])",
        "code=\"invalid_grant\" state=active nonce: missing, code 0x1f, exit code=101",
        "KeyJsonSerializerFactoryBean eyJ and monkeyJar",
        "device:uuid:0192f3a4-b5c6-7d8e-9f00-112233445566",
        "",
    ] {
        assert_eq!(clean(text), text);
        assert!(matches!(redact(text.as_bytes()), Cow::Borrowed(_)));
    }
}

#[test]
fn what_looks_like_a_secret_goes_and_the_rest_stays() {
    for (text, expected) in [
        (format!("token {JWT} was refused"), "token [redacted] was refused"),
        (format!("x{JWT}."), "x[redacted]."),
        ("cut off: eyJhbGciOiJSUzI1NiIs".to_owned(), "cut off: [redacted]"),
        ("with blanks: eyAiYWxnIjogIlJTMjU2IiB9.e30.x".to_owned(), "with blanks: [redacted]"),
        (
            "Authorization: Bearer 2YotnFZFEjr1zCsicMWpAA\r\n".to_owned(),
            "Authorization: Bearer [redacted]\r\n",
        ),
        ("authorization=\"Basic YTpi\"".to_owned(), "authorization=\"Basic [redacted]\""),
        (
            "\"Authorization\": \"DPoP abc.def~1+/==\", x".to_owned(),
            "\"Authorization\": \"DPoP [redacted]\", x",
        ),
        ("bearer%20s3cr3t".to_owned(), "bearer%20[redacted]"),
        (
            "{\"refresh_token\":\"R-abcDEF123\",\"a\":1}".to_owned(),
            "{\"refresh_token\":\"[redacted]\",\"a\":1}",
        ),
        ("{\\\"access_token\\\": \\\"abc123\\\"}".to_owned(), "{\\\"access_token\\\": \\\"[redacted]\\\"}"),
        (
            "grant_type=refresh_token&token=abc%2Bdef123&x=1".to_owned(),
            "grant_type=refresh_token&token=[redacted]&x=1",
        ),
        ("client_secret = hunter2hunter2,".to_owned(), "client_secret = [redacted],"),
        (
            "?code=SplxlOBeZQQYbYS6WxSbIA&state=af0ifjsldkj12345678".to_owned(),
            "?code=[redacted]&state=[redacted]",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nMIGH\nAgEA\n-----END PRIVATE KEY----- rest".to_owned(),
            "[redacted] rest",
        ),
        ("\"-----BEGIN EC KEY-----\\nMIGH\" and \"more\"".to_owned(), "\"[redacted]\" and \"more\""),
        ("K2abCd9efGh1ijKl2mnOp3qrSt4uvWx5yzAb6cdEf7gh".to_owned(), "[redacted]"),
        ("AGE-SECRET-KEY-1QQPQYMTDXR7".to_owned(), "[redacted]"),
    ] {
        assert_eq!(clean(&text), expected, "{text}");
    }
}

#[test]
fn a_token_in_pieces_does_not_come_through_either() {
    let signature = "X9zQ3vB1nM7kL5jH2gF8dS4aP6oI0uYtReWqZxCvBnM1l2K3j4H5g6F7d8S9a0";
    let line = format!("header=\"eyJhbGciOiJSUzI1NiJ9\" payload=\"eyJzdWIiOiJhbGljZSJ9\" rest={signature}");
    assert_eq!(clean(&line), "header=\"[redacted]\" payload=\"[redacted]\" rest=[redacted]");
}

#[test]
fn it_takes_as_long_as_the_text_is() {
    // Each of these would take hours if anything were looked at again and again.
    const MANY: usize = 20_000;
    for text in [
        "token=".repeat(MANY),
        "token=a(".repeat(MANY),
        "Bearer ".repeat(MANY),
        "eyJhbGci".repeat(MANY),
        "eyJhbGci.".repeat(MANY),
        "-----BEGIN ".repeat(MANY),
        "-----BEGIN a-----END ".repeat(MANY),
        "ey".repeat(MANY),
        "\"".repeat(MANY),
    ] {
        redact(text.as_bytes());
    }
}

/// Something that a secret may stand in.
fn surroundings() -> impl Strategy<Value = (String, String)> {
    let plain = "[ -~]{0,40}";
    prop_oneof![
        (plain, plain).prop_map(|(before, after)| (format!("{before} "), format!(" {after}"))),
        (plain, plain).prop_map(|(before, after)| (format!("{before}\""), format!("\"{after}"))),
        (plain, plain).prop_map(|(before, after)| (format!("{before}token="), format!("&{after}"))),
        (plain, plain).prop_map(|(before, after)| (format!("{before}\\\""), format!("\\\",{after}"))),
        (plain, plain).prop_map(|(before, after)| (format!("{before}("), format!("){after}"))),
        (plain, plain).prop_map(|(before, after)| (format!("{before}\u{202e}é"), format!("\n{after}"))),
    ]
}

/// Random text in base64url; a digit and both kinds of letters are in it.
fn random(least: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex(&format!("[A-Za-z0-9_-]{{{least},200}}"))
        .unwrap()
        .prop_filter("as random as random text is", |text| looks_random(text.as_bytes()))
}

fn jwt() -> impl Strategy<Value = String> {
    use base64::Engine as _;
    let encode = |text: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    ("[A-Z]{2}[0-9]{3}", "[ -!#-~]{0,60}", "[A-Za-z0-9_-]{1,350}").prop_map(
        move |(algorithm, subject, signature)| {
            let header = encode(format!("{{\"alg\":\"{algorithm}\"}}"));
            format!("{header}.{}.{signature}", encode(format!("{{\"sub\":\"{subject}\"}}")))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_token_comes_through(jwt in jwt(), (before, after) in surroundings()) {
        let clean = clean(&format!("{before}{jwt}{after}"));
        for part in jwt.split('.').filter(|part| part.len() >= 12) {
            prop_assert!(!clean.contains(part), "{clean}");
        }
    }

    #[test]
    fn no_random_secret_comes_through(secret in random(43), (before, after) in surroundings()) {
        let clean = clean(&format!("{before}{secret}{after}"));
        prop_assert!(!clean.contains(&secret), "{clean}");
    }

    #[test]
    fn no_credentials_of_a_header_come_through(
        scheme in "(Bearer|bearer|BEARER|Basic|basic|DPoP|dpop)",
        secret in "[A-Za-z0-9._~+/-]{0,8}[0-9][A-Za-z0-9._~+/-]{8,60}={0,2}",
        (before, after) in surroundings(),
    ) {
        let clean = clean(&format!("{before}{scheme} {secret}{after}"));
        prop_assert!(!clean.contains(&secret), "{clean}");
    }

    #[test]
    fn no_member_with_a_secret_comes_through(
        name in "(refresh_token|token|access_token|id_token|client_secret|passphrase|Cookie)",
        sign in prop_oneof![Just("="), Just(": "), Just("\":\""), Just("=\""), Just("\\\":\\\"")],
        secret in "[A-Za-z]{0,8}[0-9][A-Za-z0-9_-]{8,60}",
        before in "[ -~]{0,40}",
    ) {
        let clean = clean(&format!("{before} {name}{sign}{secret}\""));
        prop_assert!(!clean.contains(&secret), "{clean}");
    }

    #[test]
    fn no_key_comes_through(
        body in "[A-Za-z0-9+/]{16,64}(\n[A-Za-z0-9+/]{1,64}){0,4}",
        kind in "(RSA PRIVATE KEY|PRIVATE KEY|CERTIFICATE)",
        escaped: bool,
        (before, after) in surroundings(),
    ) {
        let block = format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n");
        let block = if escaped { block.replace('\n', "\\n") } else { block };
        let clean = clean(&format!("{before}{block}{after}"));
        for line in body.lines().filter(|line| line.len() >= 16) {
            prop_assert!(!clean.contains(line), "{clean}");
        }
    }

    #[test]
    fn prose_stays(text in "([a-z]{1,14}|[A-Z][a-z]{1,10}|[0-9]{1,5})( ([a-z]{1,14}|[0-9]{1,5}|[a-z]{1,8}=[a-z]{1,8})){0,30}[.]?") {
        prop_assert_eq!(clean(&text), text);
    }

    #[test]
    fn whatever_comes_in_is_survived_and_a_second_time_changes_nothing(text in any::<Vec<u8>>()) {
        let once = redact(&text).into_owned();
        let twice = redact(&once).into_owned();
        prop_assert_eq!(twice, once);
    }
}
