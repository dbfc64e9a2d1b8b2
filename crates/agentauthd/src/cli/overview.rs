//! How every profile stands: one line each, or an array of them for a script.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use agentauth_api::{SessionPhase, Status};
use agentauth_client::{Client, ClientError};
use agentauth_core::Timestamp;
use agentauth_core::text::display_safe_within;
use anstyle::Style;
use serde::Serialize;
use tokio::task::JoinSet;

use super::Exit;
use super::output::{BAD, FAINT, GOOD, STRONG, WARN};
use super::words::{account, relative};
use crate::config::{DEFAULT_PROFILE, Profile, addressed, profiles, sockets};
use crate::environment::Environment;

/// How long a daemon may take: a glance at all must not wait long for one that hangs.
const PATIENCE: Duration = Duration::from_secs(3);

/// The widest column, in characters.
const WIDEST: usize = 44;

/// Every profile, as JSON shows it.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    profiles: Vec<Entry>,
}

/// One profile.
#[derive(Debug, Serialize)]
struct Entry {
    profile: String,
    /// Whether it has a configuration of its own; else it only has a daemon that runs.
    configured: bool,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
    /// The provider: its project or its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// What its daemon says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Box<Status>>,
    /// What is wrong, and what to do about it.
    problems: Vec<String>,
}

/// What became of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Its daemon answered.
    Running,
    /// Nothing serves its socket.
    NotRunning,
    /// Its configuration is at fault, or what serves its socket gave no answer that can be used.
    Unusable,
}

/// Whether there is any profile beside the default one, configured or running.
pub(super) fn has_more_than_the_default(environment: &Environment) -> bool {
    let configured = profiles(environment).into_iter().map(|profile| profile.name);
    let found = sockets(environment).into_iter().map(|(name, _)| name);
    configured.chain(found).any(|name| name != DEFAULT_PROFILE)
}

impl Overview {
    /// Asks every daemon, all at once.
    pub(super) async fn look(environment: &Environment) -> Self {
        let mut asking = JoinSet::new();
        let configured = profiles(environment);
        let sockets: Vec<_> = sockets(environment);
        let uid = environment.uid();
        let unconfigured =
            sockets.iter().filter(|(name, _)| configured.iter().all(|profile| profile.name != *name));
        for (name, socket) in unconfigured.cloned() {
            asking.spawn(Entry::found(name, socket, uid));
        }
        for profile in configured {
            let usual = sockets.iter().find(|(name, _)| *name == profile.name).map(|(_, path)| path.clone());
            asking.spawn(Entry::configured(profile, usual, uid));
        }
        let mut profiles: Vec<Entry> = asking.join_all().await.into_iter().flatten().collect();
        profiles.sort_by(|a, b| {
            let key = |entry: &Entry| (entry.profile != DEFAULT_PROFILE, entry.profile.clone());
            key(a).cmp(&key(b))
        });
        Self { profiles }
    }

    /// 1 if a profile is unusable, else 3 if no daemon runs, else 0.
    pub(super) fn exit(&self) -> Exit {
        let any = |state: State| self.profiles.iter().any(|entry| entry.state == state);
        if any(State::Unusable) {
            Exit::Error
        } else if any(State::Running) {
            Exit::Done
        } else {
            Exit::Unreachable
        }
    }

    /// One line a profile, and what is wrong below.
    pub(super) fn render(&self, now: Timestamp) -> String {
        if self.profiles.is_empty() {
            return "No profile is configured, and no daemon runs; begin with `agentauthd setup`.\n"
                .to_owned();
        }
        let rows: Vec<[Cell; 5]> = self.profiles.iter().map(|entry| entry.cells(now)).collect();
        let heads = ["PROFILE", "PROVIDER", "LOGIN", "NEXT REFRESH", "PROBLEMS"];
        let mut widths = heads.map(str::len);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        let mut text = String::new();
        let line = |text: &mut String, cells: [(&str, Style); 5]| {
            let mut written = String::new();
            for ((cell, style), width) in cells.into_iter().zip(widths) {
                // Writing to a `String` does not fail.
                let _ = write!(written, "{style}{cell}{style:#}{:1$}  ", "", width - cell.chars().count());
            }
            text.push_str(written.trim_end());
            text.push('\n');
        };
        line(&mut text, heads.map(|head| (head, FAINT)));
        for row in &rows {
            line(&mut text, row.each_ref().map(|cell| (cell.text.as_str(), cell.style)));
        }
        for entry in self.profiles.iter().filter(|entry| !entry.problems.is_empty()) {
            let _ = writeln!(text, "\n{STRONG}{}{STRONG:#}", display_safe_within(&entry.profile, WIDEST));
            for problem in &entry.problems {
                let _ = writeln!(text, "  {BAD}!{BAD:#} {}", display_safe_within(problem, 1024));
            }
        }
        text
    }
}

impl Entry {
    /// A profile that is only a socket; nothing if nobody serves it, since a socket outlives a daemon that was killed.
    async fn found(name: String, socket: PathBuf, uid: u32) -> Option<Self> {
        let entry = Self::new(name, false);
        Some(entry.ask(socket, uid).await).filter(|entry| entry.state != State::NotRunning)
    }

    /// A configured profile. `usual` is its socket in the usual place: a daemon that was started before the
    /// configuration broke is still there.
    async fn configured(profile: Profile, usual: Option<PathBuf>, uid: u32) -> Option<Self> {
        let mut entry = Self::new(profile.name, true);
        match profile.loaded {
            Ok(loaded) => {
                let provider = &loaded.config.provider;
                let base_url = provider.base_url.as_ref().map(|url| url.to_string());
                entry.provider = provider.issuer.clone().or(provider.project_id.clone()).or(base_url);
                Some(entry.ask(loaded.config.paths.socket, uid).await)
            }
            Err(faults) => {
                if let Some(socket) = usual {
                    entry = entry.ask(socket, uid).await;
                }
                entry.state = State::Unusable;
                entry.problems.insert(0, faults.to_string().replace('\n', ";"));
                Some(entry)
            }
        }
    }

    fn new(profile: String, configured: bool) -> Self {
        let problems = Vec::new();
        Self {
            profile,
            configured,
            state: State::NotRunning,
            socket: None,
            provider: None,
            status: None,
            problems,
        }
    }

    async fn ask(mut self, socket: PathBuf, uid: u32) -> Self {
        let mut client = Client::new(&socket, uid).for_profile(&self.profile).with_patience(PATIENCE);
        self.socket = Some(socket);
        match client.status().await {
            Ok(status) => {
                self.state = State::Running;
                self.provider = status.provider.project_id.clone().or(status.provider.issuer.clone());
                self.problems.extend(status.problems.iter().cloned());
                self.status = Some(Box::new(status));
            }
            Err(error) => {
                self.state = if matches!(error, ClientError::NotRunning { .. }) {
                    State::NotRunning
                } else {
                    State::Unusable
                };
                self.problems.push(addressed(&self.profile, &error.to_string()).into_owned());
            }
        }
        self
    }

    fn cells(&self, now: Timestamp) -> [Cell; 5] {
        let provider = self.provider.as_deref().map_or_else(|| "not configured".to_owned(), shown);
        let problems = match self.problems.len() {
            0 => Cell::new("none", Style::new()),
            many => Cell::new(many.to_string(), BAD),
        };
        let (login, next) = match (&self.status, self.state) {
            (Some(status), _) => {
                let next = status.session.next_refresh_at.map(|at| relative(now, at));
                (login(status), Cell::new(next.unwrap_or_else(|| "-".to_owned()), Style::new()))
            }
            (None, State::Unusable) => (Cell::new("unusable", BAD), Cell::new("-", Style::new())),
            (None, _) => (Cell::new("not running", WARN), Cell::new("-", Style::new())),
        };
        [Cell::new(shown(&self.profile), STRONG), Cell::new(provider, Style::new()), login, next, problems]
    }
}

fn login(status: &Status) -> Cell {
    let user = status.session.user.as_ref().map(|user| shown(&account(user)));
    let of = user.clone().map(|user| format!(": {user}")).unwrap_or_default();
    match status.session.phase {
        _ if status.locked => Cell::new("paused", BAD),
        SessionPhase::Active => Cell::new(user.unwrap_or_else(|| "logged in".to_owned()), GOOD),
        SessionPhase::Unverified => Cell::new(format!("not verified yet{of}"), WARN),
        SessionPhase::Over => Cell::new(format!("over{of}"), BAD),
        SessionPhase::LoggedOut => Cell::new("logged out", WARN),
    }
}

fn shown(text: &str) -> String {
    display_safe_within(text, WIDEST)
}

/// A cell of the table.
struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(profile: &str, state: State) -> Entry {
        Entry { state, ..Entry::new(profile.to_owned(), true) }
    }

    fn text(overview: &Overview) -> String {
        anstream::adapter::strip_str(&overview.render(Timestamp::UNIX_EPOCH)).to_string()
    }

    #[test]
    fn the_exit_code_tells_broken_from_absent() {
        for (states, exit) in [
            (&[State::Running, State::NotRunning][..], Exit::Done),
            (&[State::NotRunning], Exit::Unreachable),
            (&[], Exit::Unreachable),
            (&[State::Running, State::Unusable], Exit::Error),
        ] {
            let profiles = states.iter().map(|state| entry("dev", *state)).collect();
            assert_eq!(Overview { profiles }.exit(), exit, "{states:?}");
        }
    }

    #[test]
    fn a_line_a_profile_and_its_problems_below() {
        let mut broken = entry("prod", State::NotRunning);
        broken.problems.push("it is\u{1b}[2J gone".to_owned());
        broken.provider = Some("P2".to_owned());
        let overview = Overview { profiles: vec![entry("default", State::NotRunning), broken] };
        let expected = "\
            PROFILE  PROVIDER        LOGIN        NEXT REFRESH  PROBLEMS\n\
            default  not configured  not running  -             none\n\
            prod     P2              not running  -             1\n\
            \nprod\n  ! it is\\u{1b}[2J gone\n";
        assert_eq!(text(&overview), expected);
        assert!(text(&Overview { profiles: vec![] }).contains("agentauthd setup"));
    }
}
