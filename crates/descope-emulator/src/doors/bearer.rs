//! The service's own bearer form: project id, token, key, parted by colons (sheet 4.1).

use http::{HeaderMap, header};

use crate::errors::Refusal;
use crate::state::Site;

/// The text after `Bearer `, any case.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

/// The token in `{P}`, `{P}:{token}` or `{P}:{token}:{key}`; none in the first form.
pub(crate) fn project_token(site: &Site, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let text =
        bearer(headers).ok_or_else(|| Refusal::invalid_token("The Authorization header is missing"))?;
    let mut parts = text.splitn(3, ':');
    if parts.next() != Some(site.project_id.as_str()) {
        return Err(Refusal::no_project());
    }
    Ok(parts.next().filter(|token| !token.is_empty()).map(str::to_owned))
}

/// The token, which must be there.
pub(crate) fn need_token(site: &Site, headers: &HeaderMap) -> Result<String, Refusal> {
    project_token(site, headers)?.ok_or_else(|| Refusal::invalid_token("The bearer holds no token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_three_parts() {
        let site = Site { project_id: "P1".to_owned(), project_name: String::new(), base_url: String::new() };
        let read = |value: &str| {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            project_token(&site, &headers).map_err(|refusal| refusal.code())
        };
        assert_eq!(read("Bearer P1"), Ok(None));
        assert_eq!(read("bearer P1:a.b.c"), Ok(Some("a.b.c".to_owned())));
        assert_eq!(read("Bearer P1:a.b.c:key:x"), Ok(Some("a.b.c".to_owned())));
        assert_eq!(read("Bearer P2:a.b.c"), Err("E011008"));
        assert_eq!(read("Basic P1"), Err("E061005"));
    }
}
