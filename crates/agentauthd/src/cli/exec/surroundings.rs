//! What a launched program is given and what is kept from it: its environment, and its walls.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use agentauth_client::{FileAccess, LaunchResponse};
use agentauth_host::launch::{Covers, Opening, Use, Walls};

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

/// Where programs put temporary files.
const TEMPORARY: &str = "TMPDIR";

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
    temporary: Option<&Path>,
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
    if let Some(temporary) = temporary {
        set(TEMPORARY, temporary.into());
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

/// A directory for temporary files that is this launch's own, and gone with it. Nothing where the person names another.
///
/// # Errors
/// What the system says.
pub(super) fn temporary(
    environment: &Environment,
    given: &[Given],
    hidden: &[PathBuf],
) -> io::Result<Option<tempfile::TempDir>> {
    if given.iter().any(|given| given.name == TEMPORARY) {
        return Ok(None);
    }
    let usual = environment.absolute_path(TEMPORARY);
    let usual = usual.filter(|path| !hidden.iter().any(|hidden| path.starts_with(hidden)));
    let usual = usual.unwrap_or_else(|| PathBuf::from("/tmp"));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    // Nobody else's to enter, from the start.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.prefix("agentauthd-").tempdir_in(usual).map(Some)
}

/// What is kept from the program by name.
pub(super) fn hidden(loaded: &Loaded, environment: &Environment) -> Vec<PathBuf> {
    let mut hidden = private_places(environment, loaded);
    hidden.extend(loaded.config.launch.hide.iter().cloned());
    hidden
}

/// What is covered so that no socket there can be connected to: what is hidden, and where terminal multiplexers and
/// displays have theirs.
pub(super) fn covers(config: &Config, uid: u32, hidden: &[PathBuf]) -> Covers {
    let usual = [format!("/tmp/tmux-{uid}"), "/tmp/.X11-unix".to_owned(), "/tmp/.ICE-unix".to_owned()];
    let directories = hidden.iter().cloned().chain(usual.into_iter().map(PathBuf::from)).collect();
    // With its directory the socket is there again after a restart of the daemon.
    let socket = &config.paths.socket;
    let is_within = |path: &&Path| hidden.iter().any(|place| path.starts_with(place) && *path != place);
    let own = socket.parent().filter(is_within).unwrap_or(socket).to_owned();
    Covers { directories, kept: [own].into_iter().chain(config.launch.sockets.iter().cloned()).collect() }
}

/// What the program may not reach, and if asked for, where alone it may use files.
pub(super) fn walls(
    config: &Config,
    hidden: Vec<PathBuf>,
    launch: &LaunchResponse,
    files_only: bool,
    temporary: Option<&Path>,
    covers: Option<Covers>,
    home: Option<&Path>,
) -> Walls {
    let sockets = [&config.paths.socket].into_iter().chain(&config.launch.sockets).cloned().collect();
    Walls { hidden, only: files_only.then(|| openings(launch, temporary, home)), sockets, covers }
}

/// Where the manifest asks for files, the program's own, and its temporary ones.
fn openings(launch: &LaunchResponse, temporary: Option<&Path>, home: Option<&Path>) -> Vec<Opening> {
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
    // A script's own modules lie beside it, unless what lies there is everything.
    let script = launch.script.as_deref().map(Path::new);
    let is_own = |directory: &&Path| {
        !home.is_some_and(|home| home.starts_with(directory))
            && !["/tmp", "/var/tmp"].map(Path::new).contains(directory)
    };
    let beside = script.map(|script| script.parent().filter(is_own).unwrap_or(script));
    let beside = beside.map(|path| Opening { path: path.to_owned(), access: vec![Use::Read] });
    let temporary = temporary.map(|path| Opening { path: path.to_owned(), access: vec![Use::All] });
    asked.chain([executable]).chain(beside).chain(temporary).collect()
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
        let mut lines: Vec<String> = environment(config, given, here, Some(Path::new("/tmp/own")), confined)
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
            "TMPDIR=/tmp/own",
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
        let absent = environment(&loaded.config, &[given("ABSENT").unwrap()], here, None, true).unwrap_err();
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
    fn what_is_hidden_is_covered_but_for_the_way_to_the_daemon() {
        let mut config = loaded(None).config;
        let hidden = ["/run/user/1000", "/home/ada/.config/agentauthd"].map(PathBuf::from);
        let kept = |config: &Config| covers(config, 1000, &hidden).kept;
        config.paths.socket = "/run/user/1000/agentauthd/agent.sock".into();
        assert_eq!(kept(&config), [PathBuf::from("/run/user/1000/agentauthd")]);
        // Not a whole directory of others' sockets.
        for socket in ["/run/user/1000/agent.sock", "/home/ada/agent.sock"] {
            config.paths.socket = socket.into();
            assert_eq!(kept(&config), [PathBuf::from(socket)]);
        }
        config.launch.sockets = vec!["/home/ada/db/.s.PGSQL.5432".into()];
        assert_eq!(kept(&config).len(), 2);
        let covered = covers(&config, 1000, &hidden).directories;
        assert!(hidden.iter().all(|place| covered.contains(place)));
        assert!(covered.contains(&PathBuf::from("/tmp/tmux-1000")));
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
            settings: agentauth_client::LaunchSettings::default(),
            login: None,
        };
        let openings = |launch: &LaunchResponse| {
            openings(launch, Some(Path::new("/tmp/own")), Some(Path::new("/home/ada")))
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
            ("/tmp/own", vec![Use::All]),
        ];
        assert_eq!(found, expected.map(|(path, access)| (path.to_owned(), access)));
        // A home directory is not what belongs to a script.
        for script in ["/home/ada/main.py", "/home/main.py", "/tmp/main.py", "/main.py"] {
            let launch = LaunchResponse { script: Some(script.to_owned()), ..launch.clone() };
            let found = openings(&launch);
            assert!(found.iter().any(|opening| opening.path == Path::new(script)), "{found:?}");
            assert!(found.iter().all(|opening| opening.path != Path::new("/home/ada")), "{found:?}");
        }
    }
}
