//! Requests to the login's listener.

use http::{Request, request};
use secrecy::{ExposeSecret as _, SecretString};
use url::form_urlencoded;

use super::{ISSUER, ORIGIN, assert_presentable};
use crate::callback::{Expected, Verdict, judge};

const STATE: &str = "sTaTe";
const AUTHORITY: &str = "127.0.0.1:47823";
const PATH: &str = "/callback";

/// A request: a line with method and target, then a line per header. A target alone is a `GET` from the browser.
pub fn callback(input: &[u8]) {
    let Some(request) = parse(input) else { return };
    let project = format!("{ORIGIN}/P1");
    for issuer in [project.as_str(), ISSUER] {
        for iss_required in [false, true] {
            judged(&request, issuer, iss_required);
        }
    }
}

fn parse(input: &[u8]) -> Option<request::Parts> {
    let text = std::str::from_utf8(input).ok()?;
    let mut lines = text.split('\n');
    let first = lines.next()?;
    let builder = match first.split_once(' ') {
        Some((method, target)) => Request::builder().method(method).uri(target),
        None => Request::builder().uri(first).header("host", AUTHORITY),
    };
    let request = lines
        .filter_map(|line| line.split_once(':'))
        .fold(builder, |builder, (name, value)| builder.header(name, value.trim()));
    Some(request.body(()).ok()?.into_parts().0)
}

fn judged(request: &request::Parts, issuer: &str, iss_required: bool) {
    let expected = Expected {
        state: SecretString::from(STATE),
        authority: AUTHORITY.to_owned(),
        path: PATH.to_owned(),
        issuer: issuer.to_owned(),
        iss_required,
    };
    let verdict = judge(&expected, request);
    if let Verdict::Refused(refusal) = &verdict {
        assert_presentable(&refusal.to_string());
        assert!(refusal.status().is_client_error());
        return;
    }
    // Everything else is an answer to this login, so it came to the right place, in the right way, with our `state`.
    let hosts: Vec<_> = request.headers.get_all("host").iter().collect();
    assert!(hosts == [AUTHORITY], "{hosts:?}");
    assert_eq!((request.method.as_str(), request.uri.path()), ("GET", PATH));
    assert!(request.uri.authority().is_none());
    let query = request.uri.query().unwrap_or_default();
    let given = |name: &str| -> Vec<String> {
        let pairs = form_urlencoded::parse(query.as_bytes());
        pairs.filter(|(found, _)| found == name).map(|(_, value)| value.into_owned()).collect()
    };
    assert_eq!(given("state"), [STATE], "not one `state`, and ours");
    let issuers = given("iss");
    match verdict {
        Verdict::Code(code) => {
            assert_eq!(given("code"), [code.expose_secret()]);
            assert!(!code.expose_secret().is_empty());
            assert!(!code.expose_secret().chars().any(char::is_control), "a code that breaks lines");
            assert!(!request.headers.contains_key("origin"));
            assert!(given("error").iter().all(String::is_empty), "both a code and an error");
            assert!(issuers == [issuer] || issuers.is_empty() && !iss_required, "{issuers:?}");
        }
        Verdict::Error { code, description } => {
            assert!(given("code").iter().all(String::is_empty), "both a code and an error");
            assert!(issuers == [issuer] || issuers.is_empty() && !iss_required, "{issuers:?}");
            assert_presentable(&code);
            assert_presentable(&description.unwrap_or_default());
        }
        Verdict::IssuerMismatch { found } => {
            assert!(issuers != [issuer]);
            assert_presentable(&found.unwrap_or_default());
        }
        Verdict::Refused(_) => {}
    }
}
