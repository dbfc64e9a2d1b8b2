//! The loopback ports for the browser to come back to.

use std::net::TcpListener;

use agentauth_host::ports::{Holder, holder};

use super::finding::{Code, Finding, Severity};
use crate::config::Login;

/// A port that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) port: u16,
    pub(super) by: By,
}

/// Who has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The daemon, which listens while somebody logs in.
    Daemon,
    /// Another program.
    Program(Holder),
    /// A program that cannot be looked into. The daemon is one, so if it runs, it may be the daemon.
    Unseen { daemon_runs: bool },
}

/// Whether a login finds a port. `unusable` is why nothing can listen on the loopback address at all, if so.
pub(super) fn judge(login: &Login, taken: &[Taken], unusable: Option<&str>) -> Vec<Finding> {
    let address = login.loopback.address();
    if let Some(why) = unusable {
        return vec![Finding::error(
            Code::LoopbackUnusable,
            format!("nothing can listen on {address}: {why}"),
            "bring the loopback interface up (`ip link set lo up`), and allow programs to listen there",
        )];
    }
    let others: Vec<_> = taken.iter().filter(|taken| taken.by != By::Daemon).collect();
    let all = others.len() == login.ports.len() && !login.ports.is_empty();
    let severity = match (all, login.ephemeral_port) {
        (true, false) => Severity::Error,
        (_, true) => Severity::Note,
        (false, false) => Severity::Warning,
    };
    let mut found: Vec<_> = others
        .iter()
        .map(|taken| {
            let (by, severity) = match &taken.by {
                By::Program(holder) => (format!("`{}` (pid {})", holder.program, holder.pid), severity),
                By::Unseen { daemon_runs: true } => (
                    "a program that cannot be looked into, such as the daemon while somebody logs in"
                        .to_owned(),
                    Severity::Note,
                ),
                By::Unseen { daemon_runs: false } | By::Daemon => ("another program".to_owned(), severity),
            };
            let what = format!("port {} is held by {by}", taken.port);
            let todo =
                "stop that program, or set `login.ports` to free ports and register their redirect URLs";
            Finding::new(Code::PortTaken, severity, &what, todo)
        })
        .collect();
    if !all {
        let free: Vec<_> = login
            .ports
            .iter()
            .filter(|port| !others.iter().any(|taken| taken.port == **port))
            .map(u16::to_string)
            .collect();
        let any = if login.ephemeral_port { ", or any other" } else { "" };
        let ports = if free.is_empty() { "any port".to_owned() } else { free.join(", ") };
        found.push(Finding::ok(Code::PortsFree, format!("free on {address}: {ports}{any}")));
    }
    found
}

/// Tries each port, and lets go of it at once. Blocking for a moment.
pub(super) fn examine(login: &Login, daemon: Option<u32>) -> Vec<Finding> {
    let address = login.loopback.address();
    let tried = |port| TcpListener::bind((address, port)).map(drop);
    let unusable = tried(0).err().map(|error| error.to_string());
    let taken: Vec<_> = login
        .ports
        .iter()
        .filter(|port| tried(**port).is_err())
        .map(|&port| {
            let by = match holder(port) {
                Some(holder) if Some(holder.pid) == daemon => By::Daemon,
                Some(holder) => By::Program(holder),
                None => By::Unseen { daemon_runs: daemon.is_some() },
            };
            Taken { port, by }
        })
        .collect();
    judge(login, &taken, unusable.as_deref())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use agentauth_core::SignedDuration;
    use agentauth_idp::Loopback;

    use super::*;

    fn login(ports: &[u16], ephemeral_port: bool) -> Login {
        Login {
            ports: ports.to_vec(),
            ephemeral_port,
            loopback: Loopback::V4,
            redirect_path: "/callback".to_owned(),
            time_limit: SignedDuration::from_mins(5),
            open_browser: true,
            allow_device: true,
        }
    }

    fn taken(port: u16) -> Taken {
        Taken { port, by: By::Program(Holder { pid: 7, program: "nginx".to_owned() }) }
    }

    fn seen(found: &[Finding]) -> Vec<(Code, Severity)> {
        found.iter().map(|finding| (finding.id, finding.severity)).collect()
    }

    #[test]
    fn a_taken_port_is_as_bad_as_what_is_left() {
        let free = (Code::PortsFree, Severity::Ok);
        let of = |severity| (Code::PortTaken, severity);
        assert_eq!(seen(&judge(&login(&[1, 2], false), &[], None)), [free]);
        let one = judge(&login(&[1, 2], false), &[taken(1)], None);
        assert_eq!(seen(&one), [of(Severity::Warning), free]);
        assert!(one[0].what.contains("`nginx` (pid 7)") && one[1].what.ends_with(": 2"), "{one:?}");
        let all = judge(&login(&[1], false), &[taken(1)], None);
        assert_eq!(seen(&all), [of(Severity::Error)]);
        let any = judge(&login(&[1], true), &[taken(1)], None);
        assert_eq!(seen(&any), [of(Severity::Note)]);
    }

    #[test]
    fn the_daemon_may_hold_its_own_port() {
        let by = |by| judge(&login(&[1], false), &[Taken { port: 1, by }], None);
        assert_eq!(seen(&by(By::Daemon)), [(Code::PortsFree, Severity::Ok)]);
        assert_eq!(seen(&by(By::Unseen { daemon_runs: true })), [(Code::PortTaken, Severity::Note)]);
        assert_eq!(seen(&by(By::Unseen { daemon_runs: false })), [(Code::PortTaken, Severity::Error)]);
    }

    #[test]
    fn without_a_loopback_nothing_else_matters() {
        let found = judge(&login(&[1], false), &[taken(1)], Some("address not available"));
        assert_eq!(seen(&found), [(Code::LoopbackUnusable, Severity::Error)]);
    }

    #[test]
    fn a_real_port_is_found_taken() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let found = examine(&login(&[port], false), None);
        assert_eq!(seen(&found), [(Code::PortTaken, Severity::Error)]);
        if cfg!(target_os = "linux") {
            assert!(found[0].what.contains(&format!("pid {}", std::process::id())), "{found:?}");
        }
        drop(held);
    }
}
