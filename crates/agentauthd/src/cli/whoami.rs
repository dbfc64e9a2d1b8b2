//! `agentauthd whoami`: who is logged in.

use agentauth_api::{SessionPhase, SessionStatus};
use agentauth_core::text::display_safe;
use clap::Args;

use super::output::{self, FAINT, STRONG};
use super::{Context, Exit, Failure, words};

/// Who is logged in. Exits with 1 unless somebody is, verified.
#[derive(Debug, Args)]
pub(super) struct Whoami {
    /// Print the session as JSON.
    #[arg(long)]
    json: bool,
}

impl Whoami {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let session = context.client().status().await?.session;
        if self.json {
            output::json(&session)?;
        } else if session.user.is_some() && session.phase != SessionPhase::LoggedOut {
            output::data(&render(&session))?;
        }
        if session.phase == SessionPhase::Active {
            return Ok(Exit::Done);
        }
        let detail = session
            .detail
            .as_deref()
            .map(|detail| format!(" ({})", display_safe(detail)))
            .unwrap_or_default();
        output::say(&context.addressed(&match session.phase {
            SessionPhase::Unverified => {
                format!("The login is stored but not verified yet{detail}; wait until the provider answers.")
            }
            SessionPhase::Over => format!("The login is over{detail}; run `agentauthd login`."),
            _ => format!("Nobody is logged in{detail}; run `agentauthd login`."),
        }));
        Ok(Exit::Error)
    }
}

fn render(session: &SessionStatus) -> String {
    let mut lines = Vec::new();
    if let Some(user) = &session.user {
        lines.push(format!("{STRONG}{}{STRONG:#}", words::account(user)));
        lines.push(line("subject", &display_safe(&user.subject)));
    }
    if let Some(tenant) = &session.tenant {
        lines.push(line("tenant", &display_safe(tenant)));
    }
    for (label, items) in [("roles", &session.roles), ("permissions", &session.permissions)] {
        if !items.is_empty() {
            lines.push(line(label, &words::joined(items)));
        }
    }
    lines.join("\n")
}

fn line(label: &str, value: &str) -> String {
    format!("{FAINT}{label:<12}{FAINT:#} {value}")
}
