//! Reading single claims defensively: times, audiences, subjects and lists.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Claims;
use super::refusal::{TokenRefusal, shown};

/// The most that any leeway counts for, so that a configured year does not switch expiry off.
const MOST_LEEWAY: SignedDuration = SignedDuration::from_mins(5);

/// The longest subject (OpenID Connect Core section 2).
const MAX_SUBJECT_BYTES: usize = 255;

/// What kind of JSON value this is, with its article.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A claim that is a string or absent.
pub(super) fn text<'c>(claims: &'c Claims, claim: &'static str) -> Result<Option<&'c str>, TokenRefusal> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenRefusal::BadShape { claim, why: "not a string" }),
    }
}

/// `acr` as policies see it (RFC 9470): a text of at most 255 bytes, or none.
pub(super) fn context_class(claims: &Claims) -> Option<String> {
    let text = claims.get("acr").and_then(Value::as_str)?;
    (1..=MAX_SUBJECT_BYTES).contains(&text.len()).then(|| text.to_owned())
}

/// A user identifier: a string of 1 to 255 bytes without control characters.
pub(super) fn subject<'c>(claims: &'c Claims, claim: &'static str) -> Result<Option<&'c str>, TokenRefusal> {
    let subject = text(claims, claim)?;
    match subject {
        Some("") => Err(TokenRefusal::BadShape { claim, why: "empty" }),
        Some(text) if text.len() > MAX_SUBJECT_BYTES => {
            Err(TokenRefusal::BadShape { claim, why: "too long" })
        }
        Some(text) if text.chars().any(char::is_control) => {
            Err(TokenRefusal::BadShape { claim, why: "contains control characters" })
        }
        _ => Ok(subject),
    }
}

/// A user identifier as OpenID Connect Core section 2 has it: [`subject`], in ASCII.
pub(super) fn ascii_subject<'c>(
    claims: &'c Claims,
    claim: &'static str,
) -> Result<Option<&'c str>, TokenRefusal> {
    match subject(claims, claim)? {
        Some(text) if !text.is_ascii() => Err(TokenRefusal::BadShape { claim, why: "not ASCII" }),
        subject => Ok(subject),
    }
}

/// Seconds since 1970, possibly fractional (RFC 7519 section 2, NumericDate).
pub(super) fn numeric_date(claims: &Claims, claim: &'static str) -> Result<Option<Timestamp>, TokenRefusal> {
    let bad = |why| Err(TokenRefusal::BadShape { claim, why });
    let number = match claims.get(claim) {
        None => return Ok(None),
        Some(Value::Number(number)) => number,
        Some(_) => return bad("not a number"),
    };
    let instant = if let Some(whole) = number.as_u64() {
        i64::try_from(whole).ok().and_then(|seconds| Timestamp::from_second(seconds).ok())
    } else if let Some(fraction) = number.as_f64() {
        if !fraction.is_finite() || fraction < 0.0 {
            return bad("negative");
        }
        SignedDuration::try_from_secs_f64(fraction)
            .ok()
            .and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok())
    } else {
        None
    };
    match instant {
        Some(instant) => Ok(Some(instant)),
        None => bad("out of range"),
    }
}

/// The strings of `aud`: a string or a list of strings (RFC 7519 section 4.1.3).
pub(super) fn audiences(claims: &Claims) -> Result<Option<Vec<&str>>, TokenRefusal> {
    const BAD: TokenRefusal =
        TokenRefusal::BadShape { claim: "aud", why: "neither a string nor a list of strings" };
    match claims.get("aud") {
        None => Ok(None),
        Some(Value::String(one)) => Ok(Some(vec![one])),
        Some(Value::Array(list)) => {
            list.iter().map(|item| item.as_str().ok_or(BAD)).collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(BAD),
    }
}

/// Judges `exp`, `nbf` and `iat` at `now`: `exp` is required and exclusive, the others only count when present.
/// Returns `exp` and `iat`.
pub(super) fn times(
    claims: &Claims,
    leeway: SignedDuration,
    now: Timestamp,
) -> Result<(Timestamp, Option<Timestamp>), TokenRefusal> {
    let leeway = leeway.clamp(SignedDuration::ZERO, MOST_LEEWAY);
    let expires_at = numeric_date(claims, "exp")?.ok_or(TokenRefusal::MissingClaim("exp"))?;
    let not_before = numeric_date(claims, "nbf")?;
    let issued_at = numeric_date(claims, "iat")?;
    let late = now.duration_since(expires_at);
    if late >= leeway {
        return Err(TokenRefusal::Expired { at: expires_at, ago: late });
    }
    if let Some(at) = not_before.filter(|at| at.duration_since(now) > leeway) {
        return Err(TokenRefusal::NotYetValid { at });
    }
    if let Some(at) = issued_at.filter(|at| at.duration_since(now) > leeway) {
        return Err(TokenRefusal::IssuedInFuture { at });
    }
    Ok((expires_at, issued_at))
}

/// The strings of a list claim. Anything but a list counts as empty and anything but a string is left out, as the
/// provider's Go SDK reads it: a bare string is no list of one, and never a haystack for substrings.
pub(super) fn strings(value: Option<&Value>, name: &str, warnings: &mut Vec<String>) -> Vec<String> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => {
            let strings: Vec<String> =
                list.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
            if strings.len() < list.len() {
                warnings.push(format!(
                    "`{}` contains {} that are no strings; they are left out",
                    shown(name),
                    list.len() - strings.len()
                ));
            }
            strings
        }
        Some(other) => {
            warnings.push(format!(
                "`{}` is {} where a list is due; it counts as empty",
                shown(name),
                kind_of(other)
            ));
            Vec::new()
        }
    }
}
