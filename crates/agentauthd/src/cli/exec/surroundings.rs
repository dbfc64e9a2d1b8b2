//! What a launched program is given and what is kept from it: its environment, and its walls.

use std::ffi::OsString;
use std::path::PathBuf;

use agentauth_client::{FileAccess, LaunchResponse};
use agentauth_host::launch::{Opening, Use, Walls};

use crate::config::{Config, DEFAULT_PROFILE, Loaded, private_places};
use crate::environment::{Environment, may_be_handed_on};

/// What programs may know of the person and the terminal.
const HANDED_ON: [&str; 24] = [
    "COLORTERM",
    "HOME",
    "LANG",
    "LANGUAGE",
    "LC_ADDRESS",
    "LC_ALL",
    "LC_COLLATE",
    "LC_CTYPE",
    "LC_IDENTIFICATION",
    "LC_MEASUREMENT",
    "LC_MESSAGES",
    "LC_MONETARY",
    "LC_NAME",
    "LC_NUMERIC",
    "LC_PAPER",
    "LC_TELEPHONE",
    "LC_TIME",
    "LOGNAME",
    "NO_COLOR",
    "SHELL",
    "TERM",
    "TERM_PROGRAM",
    "TZ",
    "USER",
];

/// Where programs are looked for, unless the person says otherwise: places that root alone fills.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A variable on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    name: String,
    /// Absent: what it is here.
    value: Option<OsString>,
}

/// Reads `NAME` or `NAME=VALUE`.
pub(super) fn given(text: &str) -> Result<Given, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.into())),
        None => (text, None),
    };
    may_be_handed_on(name)?;
    Ok(Given { name: name.to_owned(), value })
}

/// The whole environment of the program. `inherited` looks a variable of this process up.
///
/// # Errors
/// A variable that was asked for and is not set here.
pub(super) fn environment(
    config: &Config,
    given: &[Given],
    inherited: impl Fn(&str) -> Option<OsString>,
    confined: bool,
) -> Result<Vec<(OsString, OsString)>, String> {
    let mut environment: Vec<(OsString, OsString)> = vec![("PATH".into(), PATH.into())];
    let mut set = |name: &str, value: OsString| {
        environment.retain(|(known, _)| known != name);
        environment.push((name.into(), value));
    };
    for name in HANDED_ON.into_iter().chain(config.launch.environment.iter().map(String::as_str)) {
        if let Some(value) = inherited(name) {
            set(name, value);
        }
    }
    for Given { name, value } in given {
        let value = value.clone().or_else(|| inherited(name)).ok_or_else(|| {
            format!("`--env {name}` hands on a variable that is not set here: set it, or write `--env {name}=VALUE`")
        })?;
        set(name, value);
    }
    set("AGENTAUTHD_SOCKET", config.paths.socket.clone().into());
    if config.profile != DEFAULT_PROFILE {
        set("AGENTAUTHD_PROFILE", config.profile.clone().into());
    }
    if confined {
        set("AGENTAUTHD_LAUNCHED", "1".into());
    }
    Ok(environment)
}

/// What the program may not reach, and if asked for, where alone it may use files.
pub(super) fn walls(
    loaded: &Loaded,
    environment: &Environment,
    launch: &LaunchResponse,
    files_only: bool,
) -> Walls {
    let config = &loaded.config;
    let mut hidden = private_places(environment, loaded);
    hidden.extend(config.launch.hide.iter().cloned());
    Walls { hidden, only: files_only.then(|| openings(launch)), sockets: vec![config.paths.socket.clone()] }
}

/// Where the manifest asks for files, and the program's own.
fn openings(launch: &LaunchResponse) -> Vec<Opening> {
    let asked = launch.files.iter().filter_map(|FileAccess { action, path }| {
        let usage = match action.as_str() {
            "read" => Use::Read,
            "write" => Use::Write,
            "delete" => Use::Remove,
            "execute" => Use::Run,
            _ => return None,
        };
        Some(Opening { path: path.as_deref().unwrap_or("/").into(), access: vec![usage] })
    });
    let executable = Opening { path: launch.executable.clone().into(), access: vec![Use::Read, Use::Run] };
    // A script's own modules lie beside it.
    let beside =
        launch.script.as_ref().map(PathBuf::from).and_then(|script| script.parent().map(PathBuf::from));
    let beside = beside.map(|path| Opening { path, access: vec![Use::Read] });
    asked.chain([executable]).chain(beside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, load};

    fn loaded(profile: Option<&str>) -> Loaded {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::new(1000, [("HOME", home.path())]);
        let flags = Flags::default().with("--profile", "profile", profile.map(str::to_owned));
        load(&environment, &flags).unwrap()
    }

    fn here(name: &str) -> Option<OsString> {
        let value = match name {
            "HOME" => "/home/ada",
            "LC_ALL" => "C.UTF-8",
            "PATH" => "/home/ada/bin",
            "LD_PRELOAD" | "SSH_AUTH_SOCK" | "DBUS_SESSION_BUS_ADDRESS" | "TMUX" => "/evil",
            "API_KEY" => "k",
            _ => return None,
        };
        Some(value.into())
    }

    fn lines(config: &Config, given: &[Given], confined: bool) -> Vec<String> {
        let mut lines: Vec<String> = environment(config, given, here, confined)
            .unwrap()
            .into_iter()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn only_what_is_listed_gets_through_and_what_is_asked_for() {
        let mut loaded = loaded(None);
        loaded.config.paths.socket = "/run/a.sock".into();
        let expected = [
            "AGENTAUTHD_LAUNCHED=1",
            "AGENTAUTHD_SOCKET=/run/a.sock",
            "HOME=/home/ada",
            "LC_ALL=C.UTF-8",
            &format!("PATH={PATH}"),
        ];
        assert_eq!(lines(&loaded.config, &[], true), expected);
        let asked =
            [given("API_KEY").unwrap(), given("PATH=/opt/bin:/bin").unwrap(), given("X=a=b").unwrap()];
        let found = lines(&loaded.config, &asked, false);
        for line in ["API_KEY=k", "PATH=/opt/bin:/bin", "X=a=b"] {
            assert!(found.iter().any(|found| found == line), "{found:?}");
        }
        assert_eq!(found.iter().filter(|line| line.starts_with("PATH=")).count(), 1);
        assert!(!found.iter().any(|line| line.starts_with("AGENTAUTHD_LAUNCHED")));
        loaded.config.launch.environment = vec!["API_KEY".to_owned(), "ABSENT".to_owned()];
        assert!(lines(&loaded.config, &[], true).iter().any(|line| line == "API_KEY=k"));
        let absent = environment(&loaded.config, &[given("ABSENT").unwrap()], here, true).unwrap_err();
        assert!(absent.contains("--env ABSENT=VALUE"), "{absent}");
    }

    #[test]
    fn another_profile_is_named_to_what_is_started() {
        let loaded = loaded(Some("staging"));
        let found = lines(&loaded.config, &[], true);
        assert!(found.iter().any(|line| line == "AGENTAUTHD_PROFILE=staging"), "{found:?}");
    }

    #[test]
    fn variables_that_load_code_are_refused_by_name() {
        for name in [
            "LD_PRELOAD=/x",
            "PYTHONPATH",
            "NODE_OPTIONS=--require=x",
            "BASH_ENV",
            "AGENTAUTHD_SOCKET=/x",
            "",
            "=x",
            "A B=1",
        ] {
            assert!(given(name).is_err(), "{name}");
        }
    }

    #[test]
    fn few_places_are_those_of_the_manifest_and_the_program() {
        let access = |action: &str, path: Option<&str>| FileAccess {
            action: action.to_owned(),
            path: path.map(str::to_owned),
        };
        let launch = LaunchResponse {
            id: "l".to_owned(),
            agent: "a".to_owned(),
            executable: "/usr/bin/python3".to_owned(),
            script: Some("/opt/agent/main.py".to_owned()),
            files: vec![
                access("read", Some("/projects")),
                access("delete", None),
                access("share", Some("/x")),
            ],
            login: None,
        };
        let found: Vec<(String, Vec<Use>)> = openings(&launch)
            .into_iter()
            .map(|opening| (opening.path.display().to_string(), opening.access))
            .collect();
        let expected = [
            ("/projects", vec![Use::Read]),
            ("/", vec![Use::Remove]),
            ("/usr/bin/python3", vec![Use::Read, Use::Run]),
            ("/opt/agent", vec![Use::Read]),
        ];
        assert_eq!(found, expected.map(|(path, access)| (path.to_owned(), access)));
    }
}
