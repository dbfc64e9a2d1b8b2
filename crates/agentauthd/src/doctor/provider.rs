//! The provider: reached or not, the right one or not, its keys and its clock. Pure; `network.rs` asks.

use agentauth_core::SignedDuration;
use agentauth_core::claims::SessionExpectation;
use agentauth_idp::{DiscoveryError, HttpError, KeyFetchError, Obstacle, Problem};
use url::Url;

use super::advice::{self, Advice};
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

/// Who is asked: a Descope project at an address, or an issuer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked<'a> {
    /// `custom` is whether the address was configured.
    Project {
        base: &'a Url,
        custom: bool,
    },
    Issuer(&'a str),
}

impl Asked<'_> {
    fn advice(self) -> &'static Advice {
        match self {
            Self::Project { .. } => &advice::DESCOPE,
            Self::Issuer(_) => &advice::OIDC,
        }
    }

    fn address(&self) -> &str {
        match self {
            Self::Project { base, .. } => base.as_str().trim_end_matches('/'),
            Self::Issuer(issuer) => issuer,
        }
    }
}

/// What the request for the provider's description came to.
pub(super) fn judge_description(described: Result<&str, &DiscoveryError>, asked: Asked<'_>) -> Finding {
    let (at, advice) = (asked.address(), asked.advice());
    let error = match (described, asked) {
        (Ok(issuer), Asked::Project { custom, .. }) => {
            let custom = if custom { ", as configured" } else { "" };
            return Finding::ok(Code::ProviderDescribed, format!("{at}{custom} speaks for {issuer}"));
        }
        (Ok(issuer), Asked::Issuer(_)) => {
            return Finding::ok(
                Code::ProviderDescribed,
                format!("{issuer} describes itself, and offers what is needed"),
            );
        }
        (Err(error), _) => error,
    };
    match error {
        DiscoveryError::Http(error) => judge_obstacle(error, advice),
        DiscoveryError::Status { problem, .. } => judge_status(problem, asked),
        DiscoveryError::Issuer { expected, found } => Finding::error(
            Code::IssuerMismatch,
            format!("the provider calls itself `{found}`, and `{expected}` is expected"),
            advice.issuer_mismatch,
        ),
        DiscoveryError::NoS256 => Finding::error(Code::PkceMissing, error.to_string(), advice.pkce_missing),
        DiscoveryError::NotJson => Finding::error(
            Code::DescriptionUnusable,
            format!("what {at} answers is not a description of a provider"),
            advice.not_described,
        ),
        DiscoveryError::Member(_)
        | DiscoveryError::Origin { .. }
        | DiscoveryError::Unprotected { .. }
        | DiscoveryError::Moved { .. } => {
            Finding::error(Code::DescriptionUnusable, error.to_string(), advice.description_unusable)
        }
    }
}

/// Why a request brought no answer.
pub(super) fn judge_obstacle(error: &HttpError, advice: &Advice) -> Finding {
    let option = advice.option;
    let (code, todo) = match error {
        HttpError::NotSent { obstacle: Obstacle::Name, .. } => {
            let todo = format!(
                "check the network and the spelling of `{option}`; in a container or VPN, check its DNS"
            );
            return Finding::error(Code::ProviderNameUnresolved, error.to_string(), todo);
        }
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
            let todo = format!("check `{option}`");
            return Finding::error(Code::DescriptionUnusable, error.to_string(), todo);
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

fn judge_status(problem: &Problem, asked: Asked<'_>) -> Finding {
    let at = asked.address();
    match asked {
        Asked::Project { .. } if problem.status == 404 || problem.code.as_deref() == Some("E011008") => {
            Finding::error(
                Code::ProjectUnknown,
                format!("{at} does not know the project ({problem})"),
                "compare `provider.project_id` with the console under Project Settings > General; a project of another \
                 environment, or of another region, has another id and lives elsewhere",
            )
        }
        Asked::Issuer(_) if matches!(problem.status, 404 | 410) => Finding::error(
            Code::IssuerUnknown,
            format!("{at} does not describe itself ({problem})"),
            "compare `provider.issuer` with the `issuer` in the provider's discovery document, which stands below it at \
             `/.well-known/openid-configuration`; a path in it, such as a realm's or a tenant's, belongs to it",
        ),
        _ => Finding::error(
            Code::ProviderOutOfOrder,
            format!("{at} answers {problem}"),
            "try again in a while; look at the provider's status page, or for a proxy or firewall that answers in its place",
        ),
    }
}

/// What the request for the keys came to: how many there are.
pub(super) fn judge_keys(fetched: Result<usize, &KeyFetchError>, advice: &Advice) -> Finding {
    let todo = advice.keys_unusable;
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
    use agentauth_idp::Shape;

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
            let base = base("https://api.descope.com");
            let found = judge_description(Err(&error), Asked::Project { base: &base, custom: false });
            assert_eq!((found.id, found.severity), (code, Severity::Error), "{error}");
            assert!(!found.todo.is_empty());

            // The same of any other provider, whose advice names what is configured of it.
            let code = if code == Code::ProjectUnknown { Code::IssuerUnknown } else { code };
            let found = judge_description(Err(&error), Asked::Issuer("https://accounts.example"));
            // The number of Descope's own for a project that is not there means nothing elsewhere.
            let code = if matches!(&error, DiscoveryError::Status { problem, .. } if problem.status == 400) {
                Code::ProviderOutOfOrder
            } else {
                code
            };
            assert_eq!((found.id, found.severity), (code, Severity::Error), "{error}");
            let todo = found.todo.to_lowercase();
            assert!(
                ["descope", "console", "project", "base_url"].iter().all(|word| !todo.contains(word)),
                "{todo}"
            );
        }
        let base = base("https://api.descope.com");
        for asked in [Asked::Project { base: &base, custom: true }, Asked::Issuer("https://accounts.example")]
        {
            let found = judge_description(Ok("https://accounts.example"), asked);
            assert_eq!((found.id, found.severity), (Code::ProviderDescribed, Severity::Ok));
        }
    }

    #[test]
    fn keys_are_counted() {
        for advice in [&advice::DESCOPE, &advice::OIDC] {
            assert_eq!(judge_keys(Ok(3), advice).id, Code::KeysUsable);
            assert_eq!(judge_keys(Ok(0), advice).id, Code::KeysUnusable);
            assert_eq!(judge_keys(Err(&KeyFetchError::NoSource), advice).id, Code::KeysUnusable);
        }
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
