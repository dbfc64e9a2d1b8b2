//! `agentauthd grants` and `agentauthd grant give|confirm|revoke`: what agents were allowed, mandates, and the end of both.

use agentauth_client::{GiveRequest, GrantView};
use agentauth_core::text::{display_safe, display_safe_within};
use agentauth_core::window::Window;
use agentauth_core::{SignedDuration, Timestamp};
use clap::{Args, Subcommand};

use super::login::Confirmation;
use super::output::{self, BAD, FAINT, STRONG, WARN};
use super::{Context, Exit, Failure, words};

/// Say what agents were allowed, and until when.
#[derive(Debug, Args)]
pub(super) struct Grants {
    /// Only those of this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

impl Grants {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut list = context.client().grants().await?;
        if let Some(agent) = &self.agent {
            list.grants.retain(|grant| grant.agent == *agent);
        }
        if self.json {
            output::json(&list)?;
            return Ok(Exit::Done);
        }
        if list.grants.is_empty() {
            output::say("Nothing was granted.");
        }
        let mut agent = None;
        for grant in &list.grants {
            if agent != Some(&grant.agent) {
                output::data(&format!("{STRONG}{}{STRONG:#}", display_safe(&grant.agent)))?;
                agent = Some(&grant.agent);
            }
            output::data(&format!("  {}", told(context, grant)))?;
        }
        Ok(Exit::Done)
    }
}

/// Give mandates, confirm what stands, take grants away.
#[derive(Debug, Args)]
pub(super) struct GrantCommand {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Give a mandate, for runs that nobody watches: bounded by an end, and by a window, a number of uses or both.
    Give(Give),
    /// Let what you allowed for long count on: sign in anew.
    Confirm(Confirm),
    /// Take a grant away: the next check knows.
    Revoke(Revoke),
}

/// Give a mandate, for runs that nobody watches. Always confirmed by signing in anew.
#[derive(Debug, Args)]
struct Give {
    /// The registered agent.
    #[arg(value_name = "AGENT")]
    agent: String,
    /// What it may do: scopes that its manifest asks for, each with the context that it is for.
    #[arg(required = true, value_name = "SCOPE")]
    scopes: Vec<String>,
    /// The end: a date (its whole day counts), a time such as 2027-01-31T06:00:00Z, or a length such as 90d or 12h.
    #[arg(long, value_name = "WHEN", value_parser = end)]
    until: End,
    /// For how many checks of each scope.
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// When it may, as in "02:00-03:00 Europe/Berlin" or "mon-fri 22:00-01:30 +01:00".
    #[arg(long, value_name = "WINDOW")]
    window: Option<Window>,
    /// Only print the address to open.
    #[arg(long)]
    no_browser: bool,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

/// Let what you allowed for long count on: mandates, and grants until revoked.
#[derive(Debug, Args)]
struct Confirm {
    /// Only print the address to open.
    #[arg(long)]
    no_browser: bool,
    /// Print what counts on as JSON.
    #[arg(long)]
    json: bool,
}

/// When a mandate ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    At(Timestamp),
    After(SignedDuration),
}

impl Give {
    async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        if self.uses.is_none() && self.window.is_none() {
            return Err(Failure::Usage(
                "say how often with `--uses`, or when with `--window`: a mandate is for runs that nobody watches"
                    .to_owned(),
            ));
        }
        let until = match self.until {
            End::At(at) => Some(at),
            End::After(span) => context.now().checked_add(span).ok(),
        };
        let until = until.ok_or_else(|| Failure::Usage("`--until` is too far ahead".to_owned()))?;
        let request = GiveRequest {
            agent: self.agent,
            scopes: self.scopes,
            until,
            uses: self.uses,
            window: self.window.map(|window| window.to_string()),
        };
        let mut client = context.client();
        let answer = client.give(&request).await?;
        output::say(&format!(
            "{STRONG}{}{STRONG:#} is to be allowed, with nobody watching",
            display_safe(&request.agent)
        ));
        for grant in &answer.grants {
            output::say(&format!("  {}", told(context, grant)));
        }
        output::say("");
        let asked = Confirmation { what: "To allow this, sign in at", browser: !self.no_browser };
        if !asked.follow(context, &mut client, &answer.login, "nothing was allowed").await? {
            return Ok(Exit::Error);
        }
        if self.json {
            let list = client.grants().await?;
            let given =
                list.grants.into_iter().filter(|known| answer.grants.iter().any(|one| one.id == known.id));
            output::json(&given.collect::<Vec<_>>())?;
        } else {
            let scopes: Vec<_> = answer.grants.iter().map(|grant| grant.scope.clone()).collect();
            output::data(&format!(
                "Allowed: {} for {}.",
                words::joined(&scopes),
                display_safe(&request.agent)
            ))?;
        }
        Ok(Exit::Done)
    }
}

impl Confirm {
    async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let answer = client.confirm_grants().await?;
        output::say("What you allowed for long, and what counts on once you have signed in:");
        for grant in &answer.grants {
            output::say(&format!("  {}  {}", display_safe(&grant.agent), told(context, grant)));
        }
        match (answer.grants.is_empty(), answer.more) {
            (true, _) => output::say("  nothing"),
            (false, 0) => {}
            (false, more) => output::say(&format!("  and {more} more: see `agentauthd grants`")),
        }
        output::say("");
        let asked = Confirmation { what: "To confirm it, sign in at", browser: !self.no_browser };
        if !asked.follow(context, &mut client, &answer.login, "nothing was confirmed").await? {
            return Ok(Exit::Error);
        }
        if self.json {
            output::json(&client.status().await?.standing)?;
        } else {
            output::data("Confirmed.")?;
        }
        Ok(Exit::Done)
    }
}

/// Take a grant away: the next check knows.
#[derive(Debug, Args)]
struct Revoke {
    /// Its id, as `agentauthd grants` prints it.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// Print what was taken away as JSON.
    #[arg(long)]
    json: bool,
}

impl GrantCommand {
    pub(super) async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        match self.command {
            What::Give(command) => command.run(context).await,
            What::Confirm(command) => command.run(context).await,
            What::Revoke(command) => command.run(context).await,
        }
    }
}

impl Revoke {
    async fn run(self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut client = context.client();
        let mut exit = Exit::Done;
        for id in &self.ids {
            let answer = client.revoke_grant(id).await?;
            if self.json {
                output::json_line(&answer)?;
            } else {
                let GrantView { agent, scope, .. } = &answer.grant;
                output::data(&format!("Revoked: {} for {}.", display_safe(scope), display_safe(agent)))?;
            }
            for failure in &answer.failures {
                output::say(&format!("{WARN}warning:{WARN:#} {}", display_safe_within(failure, 2048)));
                exit = Exit::Error;
            }
        }
        Ok(exit)
    }
}

fn told(context: &Context<'_>, grant: &GrantView) -> String {
    let lifetime = match (grant.lifetime.as_str(), grant.until) {
        ("until", Some(end)) => format!("ends {}", words::relative(context.now(), end)),
        ("session", _) => "while the login lasts".to_owned(),
        _ => "until revoked".to_owned(),
    };
    let uses = grant
        .left
        .zip(grant.uses)
        .map_or_else(String::new, |(left, uses)| format!(", {left} of {uses} uses left"));
    let one = grant.action.as_deref().map_or("", |_| ", for one action only");
    let denied = if grant.denied { format!("{BAD}refused{BAD:#} ") } else { String::new() };
    let window =
        grant.window.as_deref().map_or_else(String::new, |window| format!(", {}", display_safe(window)));
    let over = match (grant.holds, grant.unconfirmed, grant.opens_at) {
        (true, ..) => String::new(),
        (false, true, _) => ", does not count until you confirm it: `agentauthd grant confirm`".to_owned(),
        (false, false, Some(opens)) => {
            format!(", does not hold now (opens {})", words::relative(context.now(), opens))
        }
        (false, false, None) => ", does not hold now".to_owned(),
    };
    format!(
        "{denied}{}  {FAINT}{lifetime}{window}{uses}{one}{over}  {}{FAINT:#}",
        display_safe(&grant.scope),
        display_safe(&grant.id)
    )
}

fn end(text: &str) -> Result<End, String> {
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u16>().ok()) {
        return Ok(End::After(SignedDuration::from_hours(24 * i64::from(days))));
    }
    // A time first: with an offset it would pass for its whole day.
    if let Some(end) = text.parse().ok().or_else(|| agentauth_host::clock::end_of_date(text)) {
        return Ok(End::At(end));
    }
    text.parse::<SignedDuration>().map(End::After)
        .map_err(|_| "write a date such as `2027-01-31`, a time such as `2027-01-31T06:00:00Z`, or a length such as `90d`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_date_a_time_or_a_length() {
        assert_eq!(end("90d"), Ok(End::After(SignedDuration::from_hours(90 * 24))));
        assert_eq!(end("12h"), Ok(End::After(SignedDuration::from_hours(12))));
        assert_eq!(end("2027-01-31T06:00:00Z"), Ok(End::At("2027-01-31T06:00:00Z".parse().unwrap())));
        let offset = end("2027-01-31T06:00:00+01:00");
        assert_eq!(offset, Ok(End::At("2027-01-31T05:00:00Z".parse().unwrap())), "not the end of that day");
        assert!(matches!(end("2027-01-31"), Ok(End::At(_))));
        for bad in ["", "d", "soon", "2027-13-01", "-d"] {
            assert!(end(bad).is_err(), "{bad}");
        }
    }
}
