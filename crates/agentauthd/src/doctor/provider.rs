//! The provider: reached or not, the right one or not, its keys and its clock. Pure; `network.rs` asks.

use agentauth_core::SignedDuration;
use agentauth_core::claims::SessionExpectation;
use agentauth_idp::{DiscoveryError, HttpError, KeyFetchError, Obstacle, Problem, Shape};
use url::Url;

use super::finding::{Code, Finding, Severity};

/// More than this between the clocks is worth a word.
const NOTICED_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// More than this, and logins fail.
const UNBEARABLE_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Whether the address fits the project: its region is in its id.
pub(super) fn judge_region(project: &str, base: &Url) -> Option<Finding> {
    let host = base.host_str()?;
    let region = project.get(1..5).filter(|_| project.len() == 32);
    let own = region.map_or_else(
        || "api.descope.com".to_owned(),
        |region| format!("api.{}.descope.com", region.to_ascii_lowercase()),
    );
    let foreign = host.ends_with(".descope.com") && host.starts_with("api.") && host != own;
    foreign.then(|| {
        let of = region.map_or("no region (US)".to_owned(), |region| format!("the region `{region}`"));
        Finding::error(
            Code::RegionMismatch,
            format!("the project's id names {of}, and `provider.base_url` leads to {host}"),
            format!("remove `provider.base_url`, or set it to https://{own} (or to your custom domain)"),
        )
    })
}

/// What the request for the provider's description came to. `custom` is whether the address was configured.
pub(super) fn judge_description(
    described: Result<&str, &DiscoveryError>,
    base: &Url,
    custom: bool,
) -> Finding {
    let at = base.as_str().trim_end_matches('/');
    let error = match described {
        Ok(issuer) => {
            let custom = if custom { ", as configured" } else { "" };
            return Finding::ok(Code::ProviderDescribed, format!("{at}{custom} speaks for {issuer}"));
        }
        Err(error) => error,
    };
    match error {
        DiscoveryError::Http(error) => judge_obstacle(error),
        DiscoveryError::Status { problem, realm } => judge_status(problem, realm, at),
        DiscoveryError::Issuer { expected, found } => Finding::error(
            Code::IssuerMismatch,
            format!("the provider calls itself `{found}`, and `{expected}` is expected"),
            "write `provider.issuer` as the provider does; with Descope, set `provider.base_url` to a custom domain if there \
             is one, and check that the project id is that of this environment and profile",
        ),
        DiscoveryError::NoS256 => Finding::error(
            Code::PkceMissing,
            error.to_string(),
            "enable PKCE with S256 for the application at the provider",
        ),
        DiscoveryError::NotJson => Finding::error(
            Code::DescriptionUnusable,
            format!("what {at} answers is not a description of a provider"),
            "check `provider.base_url`; a page in its place may be a network's own sign-in (captive portal) or a proxy's",
        ),
        DiscoveryError::Member(_) | DiscoveryError::Origin { .. } => Finding::error(
            Code::DescriptionUnusable,
            error.to_string(),
            "check that `provider.base_url` is the host that the provider itself uses",
        ),
        DiscoveryError::Unprotected { .. } | DiscoveryError::Moved { .. } => Finding::error(
            Code::DescriptionUnusable,
            error.to_string(),
            "compare the document with what the provider's administrator means it to say",
        ),
    }
}

/// Why a request brought no answer.
pub(super) fn judge_obstacle(error: &HttpError) -> Finding {
    let (code, todo) = match error {
        HttpError::NotSent { obstacle: Obstacle::Name, .. } => (
            Code::ProviderNameUnresolved,
            "check the network and the spelling of `provider.base_url`; in a container or VPN, check its DNS",
        ),
        HttpError::NotSent { obstacle: Obstacle::Tls, .. } | HttpError::Setup { .. } => (
            Code::ProviderTls,
            "check the machine's certificates and clock; if a proxy inspects TLS, its certificate authority must be trusted",
        ),
        HttpError::NotSent { obstacle: Obstacle::Proxy, .. } => (
            Code::ProviderProxy,
            "check HTTPS_PROXY and NO_PROXY, and that the proxy lets the provider's host through",
        ),
        HttpError::NotSent { obstacle: Obstacle::Connection, .. } => (
            Code::ProviderUnreachable,
            "check the network, a firewall, and whether a proxy is needed (HTTPS_PROXY)",
        ),
        HttpError::NotSent { obstacle: Obstacle::Time, .. } => return slow(&error.to_string()),
        HttpError::NoAnswer { .. } | HttpError::TooLarge { .. } => (
            Code::ProviderOutOfOrder,
            "try again; if it goes on, look for a proxy or firewall that breaks connections",
        ),
        HttpError::ForeignOrigin { .. } | HttpError::NoEndpoint { .. } | HttpError::Request { .. } => {
            (Code::DescriptionUnusable, "check `provider.base_url`")
        }
    };
    Finding::error(code, error.to_string(), todo)
}

/// No answer in time.
pub(super) fn slow(what: &str) -> Finding {
    Finding::error(
        Code::ProviderSlow,
        what,
        "check the network and the provider's status page, and try again; a firewall that drops packets looks like this, too",
    )
}

fn judge_status(problem: &Problem, realm: &str, at: &str) -> Finding {
    let unknown = problem.code.as_deref() == Some("E011008")
        || (problem.status == 404 && problem.shape != Shape::Unrecognised);
    if unknown || problem.status == 404 {
        return Finding::error(
            Code::ProjectUnknown,
            format!("{at} does not know the {realm} ({problem})"),
            "compare `provider.project_id` with the console under Project Settings > General, or `provider.issuer` with \
             the provider's own word; a project of another environment, or of another region, has another id and lives \
             elsewhere",
        );
    }
    Finding::error(
        Code::ProviderOutOfOrder,
        format!("{at} answers {problem}"),
        "try again in a while; look at the provider's status page, or for a proxy or firewall that answers in its place",
    )
}

/// What the request for the keys came to: how many there are.
pub(super) fn judge_keys(fetched: Result<usize, &KeyFetchError>) -> Finding {
    let todo = "check what names the provider; Descope's keys are at `/v2/keys/{project}`";
    match fetched {
        Ok(0) => Finding::error(Code::KeysUnusable, "none of the provider's keys can be used", todo),
        Ok(count) => {
            let keys = if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
            Finding::ok(Code::KeysUsable, format!("the provider publishes {keys} that can be used"))
        }
        Err(error) => Finding::error(Code::KeysUnusable, agentauth_idp::describe(error), todo),
    }
}

/// How far the provider's clock is ahead of ours, and how sure that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skew {
    pub(super) ahead: SignedDuration,
    pub(super) uncertain: SignedDuration,
}

/// Whether the clocks agree.
pub(super) fn judge_clock(skew: Skew) -> Finding {
    let seconds = skew.ahead.as_secs();
    let certain = skew.ahead.abs() - skew.uncertain;
    let severity = match certain {
        _ if certain > UNBEARABLE_SKEW => Severity::Error,
        _ if certain > SessionExpectation::LEEWAY => Severity::Warning,
        _ if certain > NOTICED_SKEW => Severity::Note,
        _ => return Finding::ok(Code::ClockAgrees, "this machine's clock and the provider's agree"),
    };
    let (span, way) = (seconds.unsigned_abs(), if seconds > 0 { "behind" } else { "ahead of" });
    Finding::new(
        Code::ClockSkew,
        severity,
        &format!("this machine's clock is {span} s {way} the provider's"),
        "set the clock by network time (`timedatectl set-ntp true`; in a virtual machine or WSL, that of the host)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: &str = "P234567890123456789012345678";
    const EU: &str = "Peuc12345678901234567890123456789";

    fn base(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_region_is_that_of_the_project() {
        let eu = EU.get(..32).unwrap();
        for (project, at, fine) in [
            (US, "https://api.descope.com", true),
            (eu, "https://api.euc1.descope.com", true),
            (US, "https://auth.example.com", true),
            (US, "http://127.0.0.1:8080", true),
            (eu, "https://auth.example.com", true),
            (eu, "https://api.descope.com", false),
            (eu, "https://api.use1.descope.com", false),
            (US, "https://api.euc1.descope.com", false),
        ] {
            let found = judge_region(project, &base(at));
            assert_eq!(found.is_none(), fine, "{project} {at}: {found:?}");
        }
        let found = judge_region(eu, &base("https://api.descope.com")).unwrap();
        assert!(found.todo.contains("https://api.euc1.descope.com"), "{found:?}");
    }

    #[test]
    fn each_way_of_not_being_described_has_its_own_name() {
        let host = || "api.descope.com".to_owned();
        let not_sent = |obstacle| {
            DiscoveryError::Http(HttpError::NotSent { host: host(), why: "w".to_owned(), obstacle })
        };
        let status = |status, shape, code: Option<&str>| DiscoveryError::Status {
            realm: format!("project {US} at https://api.descope.com/"),
            problem: Box::new(Problem {
                status,
                shape,
                code: code.map(str::to_owned),
                message: None,
                ray: None,
            }),
        };
        let issuer = DiscoveryError::Issuer { expected: "a".to_owned(), found: "b".to_owned() };
        for (error, code) in [
            (not_sent(Obstacle::Name), Code::ProviderNameUnresolved),
            (not_sent(Obstacle::Connection), Code::ProviderUnreachable),
            (not_sent(Obstacle::Tls), Code::ProviderTls),
            (not_sent(Obstacle::Proxy), Code::ProviderProxy),
            (not_sent(Obstacle::Time), Code::ProviderSlow),
            (
                DiscoveryError::Http(HttpError::NoAnswer { host: host(), why: "reset".to_owned() }),
                Code::ProviderOutOfOrder,
            ),
            (status(404, Shape::Descope, Some("E011008")), Code::ProjectUnknown),
            (status(400, Shape::Descope, Some("E011008")), Code::ProjectUnknown),
            (status(404, Shape::Unrecognised, None), Code::ProjectUnknown),
            (status(503, Shape::Unrecognised, None), Code::ProviderOutOfOrder),
            (status(429, Shape::Descope, Some("E130429")), Code::ProviderOutOfOrder),
            (issuer, Code::IssuerMismatch),
            (DiscoveryError::NoS256, Code::PkceMissing),
            (DiscoveryError::NotJson, Code::DescriptionUnusable),
            (DiscoveryError::Member("token_endpoint"), Code::DescriptionUnusable),
        ] {
            let found = judge_description(Err(&error), &base("https://api.descope.com"), false);
            assert_eq!((found.id, found.severity), (code, Severity::Error), "{error}");
            assert!(!found.todo.is_empty());
        }
        let found =
            judge_description(Ok("https://api.descope.com/P"), &base("https://api.descope.com"), true);
        assert_eq!((found.id, found.severity), (Code::ProviderDescribed, Severity::Ok));
    }

    #[test]
    fn keys_are_counted() {
        assert_eq!(judge_keys(Ok(3)).id, Code::KeysUsable);
        assert_eq!(judge_keys(Ok(0)).id, Code::KeysUnusable);
        assert_eq!(judge_keys(Err(&KeyFetchError::NoSource)).id, Code::KeysUnusable);
    }

    #[test]
    fn clocks_are_judged_by_what_is_certain() {
        let judged = |ahead, uncertain| {
            let (ahead, uncertain) = (SignedDuration::from_secs(ahead), SignedDuration::from_secs(uncertain));
            judge_clock(Skew { ahead, uncertain })
        };
        for (ahead, uncertain, severity) in [
            (0, 1, Severity::Ok),
            (-3, 1, Severity::Ok),
            (4, 1, Severity::Note),
            (-8, 1, Severity::Warning),
            (8, 5, Severity::Note),
            (60, 1, Severity::Warning),
            (-3600, 1, Severity::Error),
        ] {
            assert_eq!(judged(ahead, uncertain).severity, severity, "{ahead} ± {uncertain}");
        }
        assert!(judged(90, 1).what.contains("90 s behind"));
        assert!(judged(-90, 1).what.contains("90 s ahead of"));
    }
}
