//! Which redirect addresses are approved (sheet 5.5, RFC 8252 7.3).

use url::{Host, Url};

use crate::settings::RedirectSettings;

/// Whether the authorization endpoint may send the browser to `address`.
pub(crate) fn approved(settings: &RedirectSettings, address: &str) -> bool {
    let Ok(url) = Url::parse(address) else { return false };
    if url.fragment().is_some() {
        return false;
    }
    if settings.approved.is_empty() {
        return true;
    }
    let without_port = settings.any_loopback_port.then(|| portless(address)).flatten();
    settings.approved.iter().any(|pattern| {
        matches(pattern, address)
            || match (&without_port, portless(pattern)) {
                (Some(address), Some(pattern)) => *address == pattern,
                _ => false,
            }
    })
}

/// `pattern` against `text`, where `*` stands for any run of characters.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).filter_map(|at| text.get(at..)).any(|tail| matches(rest, tail))
}

/// A loopback address without its port.
fn portless(address: &str) -> Option<String> {
    let mut url = Url::parse(address).ok()?;
    let loopback = match url.host()? {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    if !loopback || url.scheme() != "http" {
        return None;
    }
    url.set_port(None).ok()?;
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(approved: &[&str], any_loopback_port: bool) -> RedirectSettings {
        RedirectSettings {
            approved: approved.iter().map(|&text| text.to_owned()).collect(),
            any_loopback_port,
        }
    }

    #[test]
    fn an_empty_list_approves_everything_that_is_an_address() {
        assert!(approved(&settings(&[], false), "http://127.0.0.1:9/cb"));
        assert!(approved(&settings(&[], false), "electron://auth/"));
        assert!(!approved(&settings(&[], false), "not an address"));
        assert!(!approved(&settings(&[], false), "http://127.0.0.1:9/cb#fragment"));
    }

    #[test]
    fn exact_and_patterns() {
        let exact = settings(&["http://127.0.0.1:8088/callback"], false);
        assert!(approved(&exact, "http://127.0.0.1:8088/callback"));
        assert!(!approved(&exact, "http://127.0.0.1:8089/callback"));
        assert!(!approved(&exact, "http://127.0.0.1:8088/callback/"));
        let pattern = settings(&["http://127.0.0.1:*/callback"], false);
        assert!(approved(&pattern, "http://127.0.0.1:1/callback"));
        assert!(!approved(&pattern, "http://127.0.0.1:1/other"));
    }

    #[test]
    fn any_port_is_for_loopback_only() {
        let any = settings(&["http://127.0.0.1:8088/callback", "https://app.test:1/cb"], true);
        assert!(approved(&any, "http://127.0.0.1:40123/callback"));
        assert!(!approved(&any, "http://localhost:40123/callback"));
        assert!(!approved(&any, "https://app.test:2/cb"));
    }
}
