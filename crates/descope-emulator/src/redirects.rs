//! Which redirect addresses are approved (sheet 5.5, RFC 8252 7.3).

use url::{Host, Url};

/// Whether `address` is on a list of exact addresses and patterns.
pub(crate) fn listed(list: &[String], any_loopback_port: bool, address: &str) -> bool {
    if !is_target(address) {
        return false;
    }
    let without_port = any_loopback_port.then(|| portless(address)).flatten();
    list.iter().any(|pattern| {
        matches(pattern, address)
            || match (&without_port, portless(pattern)) {
                (Some(address), Some(pattern)) => *address == pattern,
                _ => false,
            }
    })
}

/// Whether `address` is in one of the project's approved domains: a host name, `*.` before one for everything below it,
/// or the scheme of native apps. No domains at all: no validation.
pub(crate) fn in_domains(domains: &[String], address: &str) -> bool {
    if !is_target(address) {
        return false;
    }
    if domains.is_empty() {
        return true;
    }
    let Ok(url) = Url::parse(address) else { return false };
    let name = match url.scheme() {
        "http" | "https" => url.host_str().unwrap_or_default(),
        native => native,
    };
    domains.iter().any(|domain| match domain.strip_prefix("*.") {
        Some(parent) => name.strip_suffix(parent).is_some_and(|head| head.len() > 1 && head.ends_with('.')),
        None => name.eq_ignore_ascii_case(domain),
    })
}

/// `pattern` against `text`, where `*` stands for any run of characters.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).filter_map(|at| text.get(at..)).any(|tail| matches(rest, tail))
}

/// An absolute address without a fragment (RFC 6749, 3.1.2).
fn is_target(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| url.fragment().is_none())
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

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn exact_and_patterns() {
        let exact = texts(&["http://127.0.0.1:8088/callback"]);
        assert!(listed(&exact, false, "http://127.0.0.1:8088/callback"));
        assert!(!listed(&exact, false, "http://127.0.0.1:8089/callback"));
        assert!(!listed(&exact, false, "http://127.0.0.1:8088/callback/"));
        assert!(!listed(&[], false, "http://127.0.0.1:8088/callback"));
        let pattern = texts(&["http://127.0.0.1:*/callback"]);
        assert!(listed(&pattern, false, "http://127.0.0.1:1/callback"));
        assert!(!listed(&pattern, false, "http://127.0.0.1:1/other"));
        assert!(!listed(&texts(&["*"]), false, "http://127.0.0.1:9/cb#fragment"));
        assert!(!listed(&texts(&["*"]), false, "not an address"));
    }

    #[test]
    fn any_port_is_for_loopback_only() {
        let any = texts(&["http://127.0.0.1:8088/callback", "https://app.test:1/cb"]);
        assert!(listed(&any, true, "http://127.0.0.1:40123/callback"));
        assert!(!listed(&any, true, "http://localhost:40123/callback"));
        assert!(!listed(&any, true, "https://app.test:2/cb"));
    }

    #[test]
    fn domains_name_hosts_parents_and_native_schemes() {
        assert!(in_domains(&[], "http://127.0.0.1:9/cb") && in_domains(&[], "electron://auth/"));
        assert!(!in_domains(&[], "not an address") && !in_domains(&[], "http://127.0.0.1:9/cb#x"));
        let domains = texts(&["127.0.0.1", "app.test", "*.sub.test", "electron"]);
        for (address, good) in [
            ("http://127.0.0.1:9/any", true),
            ("https://app.test/cb", true),
            ("https://b.app.test/cb", false),
            ("https://a.sub.test/cb", true),
            ("https://sub.test/cb", false),
            ("https://evilsub.test/cb", false),
            ("electron://auth/", true),
            ("other://app.test/", false),
        ] {
            assert_eq!(in_domains(&domains, address), good, "{address}");
        }
    }
}
