//! The running daemon: there or not, the right one, and what it says of itself.

use std::path::PathBuf;

use agentauth_api::Status;
use agentauth_client::{Client, ClientError};

use super::finding::{Code, Finding};

/// What came of asking the daemon how it is.
#[derive(Clone, Debug)]
pub(super) enum Reached {
    /// It answered.
    Answered(Box<Status>),
    /// Nothing serves the socket.
    Absent,
    /// Somebody else may be behind the socket.
    Untrusted(String),
    /// It gave no usable answer.
    Silent(String),
}

/// What is known from outside, to be held against what the daemon says.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) reached: Reached,
    pub(super) socket: PathBuf,
    /// Whether a socket stands there.
    pub(super) socket_exists: bool,
    /// The process that holds the record of the configured state directory.
    pub(super) record_holder: Option<u32>,
    pub(super) state_dir: PathBuf,
    pub(super) profile: String,
    /// Project, base URL and redirect URLs as they are configured now; absent without a project.
    pub(super) provider: Option<(String, String, Vec<String>)>,
    /// Whether the provider could not be asked from here either.
    pub(super) provider_fails: bool,
    /// Whether the configuration is without faults, so that the daemon's can be held against it.
    pub(super) comparable: bool,
}

/// Asks the daemon how it is.
pub(super) async fn ask(client: &mut Client) -> Reached {
    match client.status().await {
        Ok(status) => Reached::Answered(Box::new(status)),
        Err(ClientError::NotRunning { .. }) => Reached::Absent,
        Err(error @ ClientError::Untrusted { .. }) => Reached::Untrusted(agentauth_idp::describe(&error)),
        Err(error) => Reached::Silent(agentauth_idp::describe(&error)),
    }
}

/// Whether agents get their answers from the right daemon.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let socket = facts.socket.display();
    match &facts.reached {
        Reached::Answered(status) => judge_status(facts, status),
        Reached::Absent => judge_absence(facts),
        Reached::Untrusted(why) => vec![Finding::error(
            Code::DaemonUntrusted,
            why,
            format!("find out who serves {socket}; look at its owner and its directory's"),
        )],
        Reached::Silent(why) => vec![Finding::error(
            Code::DaemonSilent,
            format!("the daemon at {socket} gives no usable answer: {why}"),
            "look at its log, and restart it; after an upgrade, daemon and command line must be of one version",
        )],
    }
}

fn judge_absence(facts: &Facts) -> Vec<Finding> {
    let socket = facts.socket.display();
    let mut found = Vec::new();
    if let Some(pid) = facts.record_holder {
        found.push(Finding::error(
            Code::DaemonElsewhere,
            format!(
                "a daemon (pid {pid}) holds the record in {}, and does not serve {socket}",
                facts.state_dir.display()
            ),
            format!(
                "restart it (`kill {pid}`, then `agentauthd run`); if it was started with another XDG_RUNTIME_DIR or \
                 AGENTAUTHD_SOCKET, start it with the same as this shell"
            ),
        ));
        return found;
    }
    found.push(Finding::warning(
        Code::DaemonAbsent,
        format!("the daemon does not run: nothing serves {socket}"),
        "start it with `agentauthd run`",
    ));
    if facts.socket_exists {
        found.push(Finding::note(
            Code::SocketStale,
            format!("{socket} was left behind"),
            "nothing; starting the daemon replaces it",
        ));
    }
    found
}

fn judge_status(facts: &Facts, status: &Status) -> Vec<Finding> {
    let mut found = Vec::new();
    let own = env!("CARGO_PKG_VERSION");
    if let Some(pid) = facts.record_holder.filter(|pid| *pid != status.pid) {
        found.push(Finding::error(
            Code::DaemonTwice,
            format!(
                "process {pid} holds the record in {}, and process {} answers on the socket",
                facts.state_dir.display(),
                status.pid
            ),
            format!("stop both (`kill {pid} {}`), and start one", status.pid),
        ));
    }
    if status.version != own {
        found.push(Finding::warning(
            Code::DaemonOtherVersion,
            format!("the daemon is version {}, and this program is {own}", status.version),
            "restart the daemon",
        ));
    }
    found.extend(other_configuration(facts, status));
    if status.locked {
        found.push(Finding::note(
            Code::DaemonPaused,
            "everything is paused",
            "end the pause with `agentauthd unlock`",
        ));
    }
    for name in &status.needless_credentials {
        found.push(Finding::warning(
            Code::CredentialInDaemon,
            format!("{name} is set in the daemon's environment"),
            "remove it where the daemon is started (unit file, shell profile, `.env`), and restart the daemon",
        ));
    }
    for step in &status.hardening {
        if let Some(failure) = &step.failure {
            found.push(Finding::warning(
                Code::HardeningMissing,
                format!("not in force: {} ({failure})", step.what),
                "look for a sandbox or a limit that keeps the daemon from it, and restart the daemon",
            ));
        }
    }
    if !status.audit.writable {
        let detail = status.audit.detail.as_deref().unwrap_or("no reason given");
        found.push(Finding::error(
            Code::RecordUnwritable,
            format!("the daemon cannot write the record: {detail}"),
            "free space on its disk, or mend what is named",
        ));
    }
    let problems = status.problems.iter().filter(|problem| !told_elsewhere(facts, status, problem));
    found.extend(problems.map(|problem| {
        Finding::warning(
            Code::DaemonProblem,
            problem,
            "do what it says; `agentauthd status` shows whether it is over",
        )
    }));
    if found.iter().all(|finding| finding.severity < super::Severity::Error) {
        found.push(Finding::ok(
            Code::DaemonRuns,
            format!("the daemon runs (pid {}, version {})", status.pid, status.version),
        ));
    }
    found
}

fn other_configuration(facts: &Facts, status: &Status) -> Option<Finding> {
    let mut differs = Vec::new();
    let mut compare = |what: &str, theirs: &str, ours: &str| {
        if theirs != ours {
            differs.push(format!("{what} `{theirs}`, configured is `{ours}`"));
        }
    };
    compare("profile", &status.profile, &facts.profile);
    let (issuer, base_url, redirect_uris) = facts.provider.clone().unwrap_or_default();
    let theirs = status.provider.issuer.as_deref().unwrap_or_default();
    compare("provider", theirs, &issuer);
    if theirs == issuer {
        compare("base URL", &status.provider.base_url, &base_url);
        compare("redirect URLs", &status.provider.redirect_uris.join(" "), &redirect_uris.join(" "));
    }
    (facts.comparable && !differs.is_empty()).then(|| {
        Finding::warning(
            Code::DaemonOtherConfiguration,
            format!("the daemon works with {}", differs.join("; with ")),
            "if you changed the configuration, apply it with `agentauthd config apply`, then restart the daemon; if it gets \
             flags or variables that this shell has not, give them here, too",
        )
    })
}

/// Whether another finding says the same, and more.
fn told_elsewhere(facts: &Facts, status: &Status, problem: &str) -> bool {
    let of_credential = status.needless_credentials.iter().any(|name| problem.starts_with(name.as_str()));
    let of_session = status.session.detail.as_deref() == Some(problem);
    let of_record = status.audit.detail.as_ref().is_some_and(|detail| problem.contains(detail.as_str()));
    let of_store =
        status.secret_store.detail.as_ref().is_some_and(|detail| problem.contains(detail.as_str()));
    of_credential
        || of_session
        || of_record
        || of_store
        || problem.contains("registers nobody")
        || problem.contains("a second time")
        || problem.starts_with("no provider is configured")
        || (facts.provider_fails && problem.starts_with("the provider could not be asked"))
}

#[cfg(test)]
#[path = "daemon_tests.rs"]
mod tests;
