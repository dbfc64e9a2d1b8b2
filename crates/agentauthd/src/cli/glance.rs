//! How `status` looks: pure, from a status and the present instant to text.

use agentauth_api::{CallerStatus, SessionPhase, SessionStatus, SinkStatus, Status};
use agentauth_client::ClientError;
use agentauth_core::Timestamp;
use agentauth_core::text::{display_safe, display_safe_within};
use anstyle::Style;

use super::output::{BAD, FAINT, GOOD, STRONG, WARN};
use super::words::{account, age, count, joined, relative};
use crate::config::addressed;

/// The widest label.
const LABEL: usize = 12;

/// At most this many agents are listed.
const AGENTS: usize = 20;

/// The status for a person. Every line can be understood without its colour.
pub(super) fn render(status: &Status, now: Timestamp) -> String {
    let mut page = Page::default();
    let paused = if status.locked {
        format!("  {BAD}paused: everything is denied until `agentauthd unlock`{BAD:#}")
    } else {
        String::new()
    };
    page.lines.push(format!(
        "{STRONG}agentauthd {}{STRONG:#}  {FAINT}profile {}, up {}, pid {}{FAINT:#}{paused}",
        display_safe(&status.version),
        display_safe(&status.profile),
        age(now, status.started_at),
        status.pid
    ));
    page.lines.push(String::new());
    session(&mut page, &status.session, now);
    provider(&mut page, status, now);
    keys(&mut page, status, now);
    secret_store(&mut page, status);
    policy(&mut page, status);
    audit(&mut page, status);
    for sink in &status.sinks {
        self::sink(&mut page, sink, now);
    }
    agents(&mut page, status);
    standing(&mut page, status, now);
    page.fact("device", FAINT, &display_safe(&status.device));
    caller(&mut page, &status.caller);
    if !status.problems.is_empty() {
        page.lines.push(String::new());
        page.lines.push(format!("{BAD}{}{BAD:#}", count(status.problems.len(), "problem")));
        for problem in &status.problems {
            page.lines.push(format!("  {BAD}!{BAD:#} {}", display_safe_within(problem, 1024)));
        }
    }
    addressed(&status.profile, &page.lines.join("\n")).into_owned() + "\n"
}

/// What stands in the status's place while the daemon is away.
pub(super) fn unreachable(error: &ClientError) -> String {
    format!("{BAD}!{BAD:#} {}", display_safe_within(&error.to_string(), 1024))
}

/// How many faults of refused policies are shown.
const FAULTS: usize = 5;

#[derive(Default)]
struct Page {
    lines: Vec<String>,
}

impl Page {
    /// A labelled fact.
    fn fact(&mut self, label: &str, style: Style, text: &str) {
        self.lines.push(format!("{FAINT}{label:<LABEL$}{FAINT:#} {style}{text}{style:#}"));
    }

    /// A further line of the fact above.
    fn more(&mut self, text: &str) {
        self.lines.push(format!("{:LABEL$} {text}", ""));
    }
}

fn session(page: &mut Page, session: &SessionStatus, now: Timestamp) {
    let user = session.user.as_ref().map(account);
    let detail = session.detail.as_deref().map(display_safe);
    let because = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    let plain = Style::new();
    match session.phase {
        SessionPhase::Active => {
            page.fact("login", GOOD, &user.unwrap_or_else(|| "logged in".to_owned()));
            let mut times = Vec::new();
            times.extend(session.expires_at.map(|at| format!("session ends {}", relative(now, at))));
            times.extend(session.next_refresh_at.map(|at| format!("next refresh {}", relative(now, at))));
            times.extend(session.confirmed_at.map(|at| format!("confirmed {}", relative(now, at))));
            if !times.is_empty() {
                page.more(&times.join(", "));
            }
            let mut login = Vec::new();
            login.extend(session.logged_in_at.map(|at| format!("logged in {}", relative(now, at))));
            login.extend(session.login_ends_at.map(|at| format!("login ends {}", relative(now, at))));
            if !login.is_empty() {
                page.more(&login.join(", "));
            }
        }
        SessionPhase::Unverified => {
            let who =
                user.map(|user| format!("{user}, not verified yet")).unwrap_or("not verified yet".to_owned());
            page.fact("login", WARN, &format!("{who}{because}"));
            page.lines.extend(
                session
                    .next_refresh_at
                    .map(|at| format!("{:LABEL$} the provider is asked again {}", "", relative(now, at))),
            );
        }
        SessionPhase::Over => {
            let whose = user.map(|user| format!(" of {user}")).unwrap_or_default();
            page.fact("login", BAD, &format!("the login{whose} is over{because}"));
            page.more("log in again with `agentauthd login`");
        }
        SessionPhase::LoggedOut => {
            page.fact("login", WARN, &format!("nobody is logged in{because}"));
            page.more("log in with `agentauthd login`");
        }
    }
    if let Some(tenant) = &session.tenant {
        page.fact("tenant", plain, &display_safe(tenant));
    }
    if !session.roles.is_empty() {
        page.fact("roles", plain, &joined(&session.roles));
    }
    if !session.permissions.is_empty() {
        page.fact("permissions", plain, &joined(&session.permissions));
    }
}

/// What was allowed for long, where there is any.
fn standing(page: &mut Page, status: &Status, now: Timestamp) {
    let standing = &status.standing;
    if standing.grants == 0 {
        return;
    }
    let many = count(standing.grants, "grant");
    match standing.counts_until {
        Some(until) if until > now => {
            page.fact("standing", Style::new(), &format!("{many}, to be confirmed {}", relative(now, until)));
        }
        _ => page.fact("standing", BAD, &format!("{many}, none counts until `agentauthd grant confirm`")),
    }
}

fn provider(page: &mut Page, status: &Status, now: Timestamp) {
    let provider = &status.provider;
    let last = provider.last_reached_at.map(|at| format!(" {}", relative(now, at))).unwrap_or_default();
    match provider.reachable {
        _ if provider.issuer.is_none() => {
            page.fact("provider", BAD, "not configured");
            page.more("name it with `agentauthd setup`");
            return;
        }
        Some(true) => page.fact("provider", GOOD, &format!("reached{last}")),
        Some(false) => {
            let since = if last.is_empty() { String::new() } else { format!(", last reached{last}") };
            page.fact("provider", BAD, &format!("not reachable{since}"));
            if let Some(failure) = &provider.last_failure {
                page.more(&display_safe_within(failure, 1024));
            }
        }
        None => page.fact("provider", Style::new(), "not asked yet"),
    }
    let place = display_safe(provider.base_url.trim_end_matches('/'));
    page.more(&match (&provider.project_id, &provider.issuer) {
        (Some(project), _) => format!("{FAINT}{place}, project {}{FAINT:#}", display_safe(project)),
        (None, Some(issuer)) => format!("{FAINT}{}{FAINT:#}", display_safe(issuer)),
        (None, None) => format!("{FAINT}{place}{FAINT:#}"),
    });
}

fn keys(page: &mut Page, status: &Status, now: Timestamp) {
    let keys = &status.keys;
    let fetched = keys.fetched_at.map(|at| format!(", {} old", age(now, at))).unwrap_or_default();
    match keys.usable_until {
        _ if keys.count == 0 => page.fact("keys", WARN, "none yet"),
        Some(until) if until <= now => {
            page.fact("keys", BAD, &format!("{}{fetched}, too old to be used", count(keys.count, "key")));
        }
        Some(until) => {
            page.fact(
                "keys",
                GOOD,
                &format!("{}{fetched}, good {}", count(keys.count, "key"), until_words(now, until)),
            );
        }
        None => page.fact("keys", GOOD, &format!("{}{fetched}", count(keys.count, "key"))),
    }
}

fn until_words(now: Timestamp, until: Timestamp) -> String {
    format!("for {}", super::words::span(until.duration_since(now)))
}

fn secret_store(page: &mut Page, status: &Status) {
    let store = &status.secret_store;
    let kind = display_safe(&store.kind);
    if store.usable {
        page.fact("secrets", GOOD, &kind);
    } else {
        page.fact("secrets", BAD, &format!("{kind}: cannot be used"));
        if let Some(detail) = &store.detail {
            page.more(&display_safe_within(detail, 1024));
        }
    }
}

fn policy(page: &mut Page, status: &Status) {
    let sources = joined(&status.policy.sources);
    let from = if sources.is_empty() { String::new() } else { format!(" from {sources}") };
    let policies = match status.policy.count {
        0 => "no policies".to_owned(),
        1 => "1 policy".to_owned(),
        many => format!("{many} policies"),
    };
    page.fact("policy", Style::new(), &format!("{policies}{from}"));
    let Some(refused) = &status.policy.refused else { return };
    page.more(&format!("{BAD}changed policies are refused; these stay in force{BAD:#}"));
    for fault in refused.faults.iter().take(FAULTS) {
        let place = [fault.line, fault.column].into_iter().flatten().map(|number| format!(":{number}"));
        let policy = fault.policy.as_ref().map(|id| format!(": `{id}`")).unwrap_or_default();
        let told = format!("{}{}{policy}: {}", fault.file, place.collect::<String>(), fault.what);
        page.more(&display_safe_within(&told, 1024));
        fault.excerpt.iter().for_each(|line| page.more(&format!("  {}", display_safe_within(line, 200))));
    }
}

fn audit(page: &mut Page, status: &Status) {
    if status.audit.writable {
        let records = usize::try_from(status.audit.records).unwrap_or(usize::MAX);
        page.fact("record", GOOD, &format!("writable, {}", count(records, "record")));
    } else {
        page.fact("record", BAD, "cannot be written, so everything is denied");
        if let Some(detail) = &status.audit.detail {
            page.more(&display_safe_within(detail, 1024));
        }
    }
}

/// A place that copies of the record go to.
fn sink(page: &mut Page, sink: &SinkStatus, now: Timestamp) {
    let waiting = usize::try_from(sink.behind).unwrap_or(usize::MAX);
    let mut said = format!("{} ({})", display_safe(&sink.name), display_safe(&sink.to));
    let style = if sink.up {
        GOOD
    } else {
        said.push_str(&format!(", away for {}", age(now, sink.since)));
        BAD
    };
    if waiting > 0 {
        said.push_str(&format!(", {waiting} waiting"));
    }
    if sink.dropped > 0 {
        said.push_str(&format!(", {} not handed over", sink.dropped));
    }
    page.fact("copied to", style, &said);
    if let Some(error) = &sink.error {
        page.more(&display_safe_within(error, 1024));
    }
}

fn agents(page: &mut Page, status: &Status) {
    if status.agents.is_empty() {
        page.fact("agents", Style::new(), "none registered");
        return;
    }
    page.fact("agents", Style::new(), &count(status.agents.len(), "agent"));
    for agent in status.agents.iter().take(AGENTS) {
        let script =
            agent.script.as_deref().map(|script| format!(" {}", display_safe(script))).unwrap_or_default();
        page.more(&format!(
            "{STRONG}{}{STRONG:#} {}, {}, {FAINT}{}{script}{FAINT:#}",
            display_safe(&agent.name),
            display_safe(&agent.version),
            count(agent.grants, "grant"),
            display_safe(&agent.executable)
        ));
    }
    if let Some(rest) = status.agents.len().checked_sub(AGENTS).filter(|rest| *rest > 0) {
        page.more(&format!("{FAINT}and {rest} more{FAINT:#}"));
    }
}

fn caller(page: &mut Page, caller: &CallerStatus) {
    let executable =
        caller.executable.as_deref().map(display_safe).unwrap_or_else(|| "unreadable executable".to_owned());
    page.fact("you", Style::new(), &format!("pid {}, {executable}", caller.pid));
    let who = match &caller.agent {
        Some(agent) => {
            let caveats = if caller.caveats.is_empty() {
                String::new()
            } else {
                format!(" ({})", joined(&caller.caveats))
            };
            format!("agent {}, assurance {}{caveats}", display_safe(agent), display_safe(&caller.assurance))
        }
        None => format!("no registered agent; shown to be a person's own: {}", display_safe(&caller.grade)),
    };
    page.more(&format!("{FAINT}{who}{FAINT:#}"));
}

#[cfg(test)]
#[path = "glance_tests.rs"]
mod tests;
