//! The service's own bearer form: project id, token, key, parted by colons (sheet 4.1).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};

use crate::errors::Refusal;
use crate::fixture::ProjectKeys;
use crate::state::{Shared, Site};

/// The header with which a client names the cookie that holds its refresh token.
const COOKIE_NAME_HEADER: &str = "x-descope-refresh-cookie-name";

/// The text after `Bearer `, any case.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

/// The token in `{P}`, `{P}:{token}` or `{P}:{token}:{key}`, none in the first form. Without one there, the refresh
/// cookie counts: that is how browsers send it.
pub(crate) fn project_token(shared: &Shared, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let (locked, keys, cookie) = {
        let world = shared.world();
        let rest = &world.settings.rest;
        (rest.locked, world.project_keys.clone(), rest.refresh_cookie.clone())
    };
    let token = read(&shared.site, headers, locked, &keys)?;
    let named = headers.get(COOKIE_NAME_HEADER).and_then(|value| value.to_str().ok());
    Ok(token.or_else(|| cookie_value(headers, named.unwrap_or(&cookie)).map(str::to_owned)))
}

/// The token, which must be there.
pub(crate) fn need_token(shared: &Shared, headers: &HeaderMap) -> Result<String, Refusal> {
    project_token(shared, headers)?.ok_or_else(|| Refusal::invalid_token("The bearer holds no token"))
}

/// A bearer that may use public endpoints, whatever token it holds.
pub(crate) fn open(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    project_token(shared, headers).map(drop)
}

/// Proof of a management key that may read.
pub(crate) struct Reader;

/// Proof of a management key that may change things.
pub(crate) struct Writer;

impl FromRequestParts<Arc<Shared>> for Reader {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        management(shared, &parts.headers).map(|_| Self)
    }
}

impl FromRequestParts<Arc<Shared>> for Writer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        if management(shared, &parts.headers)? {
            Ok(Self)
        } else {
            Err(Refusal::forbidden("The management key may only read"))
        }
    }
}

/// Whether the management key in the bearer may change things.
fn management(shared: &Shared, headers: &HeaderMap) -> Result<bool, Refusal> {
    let key = part_after_project(&shared.site, headers)?;
    let key = key.ok_or_else(|| Refusal::invalid_token("The management key is missing"))?;
    let keys = shared.world().project_keys.clone();
    match (keys.management.matches(&key), keys.read_only.matches(&key)) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(Refusal::invalid_token("The management key is not valid")),
    }
}

fn read(
    site: &Site,
    headers: &HeaderMap,
    locked: bool,
    keys: &ProjectKeys,
) -> Result<Option<String>, Refusal> {
    let rest = part_after_project(site, headers)?.unwrap_or_default();
    let wrong_key = || Refusal::invalid_token("The authentication key is not valid");
    // The last part is a key when it is one, or when there are two: a token has no colon.
    let (token, key) = match rest.rsplit_once(':') {
        Some((token, key)) => (token, Some(key)),
        None if keys.authentication.matches(&rest) => ("", Some(rest.as_str())),
        None => (rest.as_str(), None),
    };
    match key {
        Some(key) if !keys.authentication.matches(key) => return Err(wrong_key()),
        None if locked => {
            return Err(Refusal::invalid_token("The project's endpoints are locked: a key is needed"));
        }
        _ => {}
    }
    Ok(Some(token).filter(|token| !token.is_empty()).map(str::to_owned))
}

/// What follows the project id, which must be ours.
fn part_after_project(site: &Site, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let text =
        bearer(headers).ok_or_else(|| Refusal::invalid_token("The Authorization header is missing"))?;
    let (project, rest) = text.split_once(':').map_or((text, None), |(project, rest)| (project, Some(rest)));
    if project != site.project_id {
        return Err(Refusal::no_project());
    }
    Ok(rest.filter(|rest| !rest.is_empty()).map(str::to_owned))
}

/// The value of a cookie, if it has one.
pub(crate) fn cookie_value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::TestPassword;

    #[test]
    fn one_to_three_parts() {
        let site = Site { project_id: "P1".to_owned(), project_name: String::new(), base_url: String::new() };
        let keys = ProjectKeys { authentication: TestPassword::new("key"), ..ProjectKeys::default() };
        let with = |value: &str, locked| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            read(&site, &headers, locked, &keys).map_err(|refusal| refusal.code())
        };
        let token = Ok(Some("a.b.c".to_owned()));
        assert_eq!(with("Bearer P1", false), Ok(None));
        assert_eq!(with("bearer P1:a.b.c", false), token);
        assert_eq!(with("Bearer P1:a.b.c:key", false), token);
        assert_eq!(with("Bearer P1:key", false), Ok(None));
        assert_eq!(with("Bearer P1:a.b.c:nokey", false), Err("E061005"));
        assert_eq!(with("Bearer P2:a.b.c", false), Err("E011008"));
        assert_eq!(with("Basic P1", false), Err("E061005"));

        assert_eq!(with("Bearer P1", true), Err("E061005"));
        assert_eq!(with("Bearer P1:a.b.c", true), Err("E061005"));
        assert_eq!(with("Bearer P1:a.b.c:key", true), token);
        assert_eq!(with("Bearer P1:key", true), Ok(None));
    }

    #[test]
    fn a_cookie_by_its_name() {
        let headers = HeaderMap::from_iter([(header::COOKIE, "a=1; DSR=tok; b=".parse().unwrap())]);
        assert_eq!(cookie_value(&headers, "DSR"), Some("tok"));
        assert_eq!((cookie_value(&headers, "b"), cookie_value(&headers, "DS")), (None, None));
    }
}
