//! `agentauthd check`: may this be done?

use agentauth_client::{CheckRequest, CheckResponse, Verdict};
use agentauth_core::text::display_safe_within;
use agentauth_core::{SignedDuration, Timestamp};
use clap::Args;

use super::output::{self, BAD, FAINT, GOOD};
use super::{Context, Exit, Failure, words};

/// The longest wait that the daemon grants.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(30);

/// May this be done? Exits with 0 for allow, 2 for deny; every other code means do not, too.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// What is to be done, such as `files.read:/projects/alpha`. Several are allowed together or not at all.
    #[arg(required = true, value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Try it as this registered agent. A dry run: nothing is spent.
    #[arg(long = "as", value_name = "AGENT")]
    dry_run_as: Option<String>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
    /// How long to wait if waiting could turn a deny into an allow, at most 30s.
    #[arg(long, value_name = "DURATION", value_parser = wait)]
    wait: Option<SignedDuration>,
    /// Print the decision as JSON.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) async fn run(mut self, context: &Context<'_>) -> Result<Exit, Failure> {
        let one = if self.scopes.len() == 1 { self.scopes.pop() } else { None };
        let request = CheckRequest {
            scope: one,
            scopes: self.scopes,
            purpose: self.purpose,
            dry_run_as: self.dry_run_as,
            wait_ms: self.wait.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
            ..CheckRequest::default()
        };
        let mut client = context.client();
        let decision = tokio::select! {
            decision = client.check(&request) => decision?,
            _ = tokio::signal::ctrl_c() => {
                return Err(Failure::Told("stopped waiting for the decision; take it for a deny".to_owned()));
            }
        };
        if self.json {
            output::json(&decision)?;
        } else {
            output::data(&render(&decision, context.now()))?;
            if decision.reason == "agent_unknown" && !decision.dry_run {
                output::say(&format!(
                    "{FAINT}hint:{FAINT:#} to try this as a registered agent, add `--as AGENT`"
                ));
            }
        }
        Ok(match decision.decision {
            Verdict::Allow => Exit::Done,
            Verdict::Deny => Exit::Deny,
        })
    }
}

fn wait(text: &str) -> Result<SignedDuration, String> {
    let wait: SignedDuration = text.parse().map_err(|_| "write it like `30s`".to_owned())?;
    if wait.is_negative() || wait > LONGEST_WAIT {
        Err("must be from 0s to 30s".to_owned())
    } else {
        Ok(wait)
    }
}

fn render(decision: &CheckResponse<'_>, now: Timestamp) -> String {
    let shown = |text: &str| display_safe_within(text, 1024);
    let (style, word) = match decision.decision {
        Verdict::Allow => (GOOD, "allow"),
        Verdict::Deny => (BAD, "deny"),
    };
    let dry_run = if decision.dry_run { " (dry run)" } else { "" };
    let mut lines = vec![
        format!("{style}{word}{style:#}  {}{dry_run}", shown(&decision.reason)),
        shown(&decision.message),
    ];
    let mut fact = |label: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{FAINT}{label:<10}{FAINT:#} {value}"));
        }
    };
    fact("scopes", words::joined(&decision.scopes));
    fact("agents", words::joined(&decision.agents));
    fact("assurance", shown(&decision.assurance));
    fact("caveats", words::joined(&decision.caveats));
    fact("remedy", decision.remedy.as_deref().map(shown).unwrap_or_default());
    fact("grants", words::joined(&decision.grants));
    fact("policies", words::joined(&decision.policies));
    if decision.decision == Verdict::Allow {
        fact("good for", words::span(decision.expires_at.duration_since(now).max(SignedDuration::ZERO)));
        let proof = if decision.obligations.require_proof { "bound to a key" } else { "" };
        fact("credential", proof.to_owned());
        let lifetime =
            decision.obligations.max_lifetime_seconds.and_then(|seconds| i64::try_from(seconds).ok());
        fact("lifetime", lifetime.map(|s| words::span(SignedDuration::from_secs(s))).unwrap_or_default());
    }
    fact("decision", shown(&decision.id));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use agentauth_client::{Account, CheckResponse};

    use super::*;

    fn deny() -> CheckResponse<'static> {
        serde_json::from_value(serde_json::json!({
            "id": "d-1", "decision": "deny", "reason": "consent_required", "remedy": "consent",
            "message": "payment\u{1b}-agent has no grant for it; ask the user", "model_message": "…",
            "agents": ["payment-agent"], "assurance": "path", "scopes": ["payments.execute:currency=EUR"],
            "expires_at": "2026-03-01T12:00:30Z"
        }))
        .unwrap()
    }

    #[test]
    fn a_deny_says_why_and_what_would_help() {
        let text = render(&deny(), "2026-03-01T12:00:00Z".parse().unwrap());
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            "deny  consent_required\n\
             payment\\u{1b}-agent has no grant for it; ask the user\n\
             scopes     payments.execute:currency=EUR\n\
             agents     payment-agent\n\
             assurance  path\n\
             remedy     consent\n\
             decision   d-1"
        );
    }

    #[test]
    fn an_allow_says_for_how_long() {
        let mut allow = deny();
        allow.decision = Verdict::Allow;
        allow.reason = "granted".into();
        allow.obligations.max_lifetime_seconds = Some(300);
        let text = render(&allow, "2026-03-01T12:00:00Z".parse().unwrap());
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.starts_with("allow  granted\n"));
        assert!(text.contains("good for   30 s\n") && text.contains("lifetime   5 min\n"), "{text}");
    }

    #[test]
    fn waits_are_bounded() {
        assert_eq!(wait("30s"), Ok(SignedDuration::from_secs(30)));
        for bad in ["31s", "-1s", "1", "soon"] {
            assert!(wait(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_person_is_named_by_what_is_known() {
        let user = Account { subject: "U1".to_owned(), name: None, email: Some("a@b".to_owned()) };
        assert_eq!(words::account(&user), "a@b");
    }
}
