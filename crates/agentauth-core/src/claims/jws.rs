//! The compact serialisation of a signed token (RFC 7515 section 7.1), taken apart strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::read::kind_of;
use super::refusal::{ClaimsFault, shown};
use super::strict::{StrictLimits, parse_strict};

/// The largest token that is looked at.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

const MAX_KEY_ID_BYTES: usize = 512;
const MAX_SHORT_BYTES: usize = 64;

/// What of a header is used. `jku`, `x5u`, `jwk` and `x5c` are ignored on purpose: a key never comes from the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwsHeader {
    /// Signature algorithm, as written (case matters).
    pub alg: String,
    /// Key identifier, an opaque string.
    pub kid: Option<String>,
    /// Media type, as written.
    pub typ: Option<String>,
}

impl JwsHeader {
    /// The media type in lower case and without a leading `application/` (RFC 7515 section 4.1.9).
    pub fn media_type(&self) -> Option<String> {
        let lower = self.typ.as_ref()?.to_ascii_lowercase();
        Some(lower.strip_prefix("application/").unwrap_or(&lower).to_owned())
    }

    /// Accepts an absent type, plain `JWT`, and the `accepted` ones (lower case, without `application/`); refuses the
    /// type of any other kind of token, so that no token serves in the place of another (RFC 8725 section 3.12).
    ///
    /// # Errors
    /// [`ClaimsFault::ForeignType`].
    pub fn check_type(&self, accepted: &[&str]) -> Result<(), ClaimsFault> {
        match self.media_type() {
            None => Ok(()),
            Some(seen) if seen == "jwt" || accepted.contains(&seen.as_str()) => Ok(()),
            Some(seen) => Err(ClaimsFault::ForeignType { seen: shown(&seen) }),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, ClaimsFault> {
        let members = match parse_strict(bytes, &StrictLimits::TOKEN)? {
            Value::Object(members) => members,
            other => return Err(ClaimsFault::NotAnObject { seen: kind_of(&other) }),
        };
        if members.contains_key("crit") {
            return Err(ClaimsFault::CriticalHeader);
        }
        let text = |name: &'static str, longest: usize| match members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && text.len() <= longest => Ok(Some(text.clone())),
            Some(_) => Err(ClaimsFault::HeaderParameter { name }),
        };
        Ok(Self {
            alg: text("alg", MAX_SHORT_BYTES)?.ok_or(ClaimsFault::HeaderParameter { name: "alg" })?,
            kid: text("kid", MAX_KEY_ID_BYTES)?,
            typ: text("typ", MAX_SHORT_BYTES)?,
        })
    }
}

/// Takes a compact token apart: its header, and the bytes of its payload. The signature is checked for form only.
///
/// # Errors
/// When it is larger than [`MAX_TOKEN_BYTES`], has not exactly three non-empty base64url parts, or its header cannot be
/// read, has duplicate members, or demands extensions.
pub fn split_jws(token: &str) -> Result<(JwsHeader, Vec<u8>), ClaimsFault> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(ClaimsFault::TooLarge { bytes: token.len(), limit: MAX_TOKEN_BYTES });
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(ClaimsFault::NotThreeParts { parts: token.split('.').count() });
    };
    let header = JwsHeader::parse(&part("header", header)?)?;
    let payload = part("payload", payload)?;
    part("signature", signature)?;
    Ok((header, payload))
}

fn part(name: &'static str, text: &str) -> Result<Vec<u8>, ClaimsFault> {
    match URL_SAFE_NO_PAD.decode(text) {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        _ => Err(ClaimsFault::NotBase64Url { part: name }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload),
            URL_SAFE_NO_PAD.encode("sig")
        )
    }

    fn header(text: &str) -> Result<JwsHeader, ClaimsFault> {
        split_jws(&token(text, "{}")).map(|(header, _)| header)
    }

    #[test]
    fn the_vectors_of_the_standards_come_apart() {
        // RFC 7515 appendix A.3 and RFC 8037 appendix A.4.
        let es256 = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let (header, payload) = split_jws(es256).unwrap();
        assert_eq!(header, JwsHeader { alg: "ES256".to_owned(), kid: None, typ: None });
        assert!(payload.starts_with(br#"{"iss":"joe""#));
        let eddsa = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(split_jws(eddsa).unwrap().1, b"Example of Ed25519 signing");
    }

    #[test]
    fn what_is_not_a_compact_token_is_refused() {
        let good = token(r#"{"alg":"RS256"}"#, "{}");
        assert!(split_jws(&good).is_ok());
        let (head, _) = good.rsplit_once('.').unwrap();
        for (text, code) in [
            (String::new(), "not_three_parts"),
            (head.to_owned(), "not_three_parts"),
            (format!("{good}.x"), "not_three_parts"),
            (format!("{head}."), "not_base64url"),
            (format!("{good}="), "not_base64url"),
            (format!("{head}.a+b/"), "not_base64url"),
            (format!(" {good}"), "not_base64url"),
            (format!("{good}\n"), "not_base64url"),
            (format!("{head}.c2lnX"), "not_base64url"),
            (format!(".{}", good.split_once('.').unwrap().1), "not_base64url"),
            (r#"{"payload":"e30","signatures":[]}"#.to_owned(), "not_three_parts"),
            ("a".repeat(MAX_TOKEN_BYTES + 1), "too_large"),
        ] {
            assert_eq!(split_jws(&text).unwrap_err().code(), code, "{text}");
        }
        // Trailing bits that are not zero: a second spelling of the same bytes.
        assert_eq!(split_jws(&format!("{head}.c2ln")).unwrap().1, b"{}");
        assert_eq!(split_jws(&format!("{head}.Zh")).unwrap_err().code(), "not_base64url");
    }

    #[test]
    fn headers_are_read_strictly() {
        assert_eq!(
            header(
                r#"{"alg":"RS256","kid":"k1","typ":"JWT","jku":"https://evil","jwk":{},"x5c":["a"],"x5u":1}"#
            ),
            Ok(JwsHeader {
                alg: "RS256".to_owned(),
                kid: Some("k1".to_owned()),
                typ: Some("JWT".to_owned())
            })
        );
        for (text, code) in [
            (r#"{"alg":"RS256","alg":"none"}"#, "duplicate_member"),
            (r#"{"alg":"RS256","crit":["b64"]}"#, "critical_header"),
            (r#"{"alg":"RS256","crit":[]}"#, "critical_header"),
            (r#"{"alg":"RS256","crit":null}"#, "critical_header"),
            (r#"{"kid":"k"}"#, "header_parameter"),
            (r#"{"alg":1}"#, "header_parameter"),
            (r#"{"alg":""}"#, "header_parameter"),
            (r#"{"alg":"RS256","kid":7}"#, "header_parameter"),
            (r#"{"alg":"RS256","typ":[]}"#, "header_parameter"),
            (r#"["RS256"]"#, "not_an_object"),
            ("RS256", "not_json"),
        ] {
            assert_eq!(header(text).unwrap_err().code(), code, "{text}");
        }
        let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(10_000));
        assert_eq!(header(&long).unwrap_err().code(), "string_too_long");
        let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(600));
        assert_eq!(header(&long).unwrap_err().code(), "header_parameter");
    }

    #[test]
    fn types_of_other_tokens_are_refused() {
        let typed = |typ: &str| JwsHeader { alg: "RS256".to_owned(), kid: None, typ: Some(typ.to_owned()) };
        assert_eq!(typed("JWT").check_type(&[]), Ok(()));
        assert_eq!(typed("jwt").check_type(&[]), Ok(()));
        assert_eq!(typed("application/at+jwt").check_type(&["at+jwt"]), Ok(()));
        for foreign in ["at+jwt", "dpop+jwt", "secevent+jwt", "application/logout+jwt", "x\u{202e}"] {
            assert_eq!(typed(foreign).check_type(&[]).unwrap_err().code(), "foreign_type", "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "\\PC{0,80}") {
            let _ = split_jws(&text);
        }
    }
}
