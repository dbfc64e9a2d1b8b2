//! Where the socket is: one answer for the daemon and for every client, from inputs that the caller has read.

use std::path::{Path, PathBuf};

/// Directory, below a runtime directory, that holds the socket.
pub const DIRECTORY_NAME: &str = "agentauthd";

/// File name of the default profile's socket.
pub const SOCKET_NAME: &str = "agent.sock";

/// The profile that is served and asked unless another is named.
pub const DEFAULT_PROFILE: &str = "default";

/// The directory below HOME for machines without a runtime directory (containers, cron).
pub const HOME_DIRECTORY: &str = ".local/state/agentauthd/run";

/// Longest socket path in bytes: `sun_path` less its final NUL (108 bytes on Linux, 104 on the BSDs and macOS).
pub const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// What the place of the socket depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The owner's user id; names `/run/user/<uid>`.
    pub uid: u32,
    /// `AGENTAUTHD_PROFILE`: whose daemon. Empty counts as not set, and means [`DEFAULT_PROFILE`].
    pub profile: Option<String>,
    /// `AGENTAUTHD_SOCKET`: the socket itself. Empty counts as not set.
    pub socket: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`; ignored unless absolute (XDG base directory specification).
    pub runtime_dir: Option<PathBuf>,
    /// The per-user temporary directory (`TMPDIR` as launchd sets it); looked at on macOS only.
    pub temporary_dir: Option<PathBuf>,
    /// HOME of the owner.
    pub home: Option<PathBuf>,
}

/// Whether a text names a profile: at most 32 of `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit. It becomes
/// part of file names, hence neither upper case (file systems that fold it) nor dots nor separators.
#[must_use]
pub fn is_profile_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    name.len() <= 32
        && name.bytes().all(fits)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// The file name of a profile's socket.
fn socket_name(profile: &str) -> String {
    if profile == DEFAULT_PROFILE { SOCKET_NAME.to_owned() } else { format!("agent-{profile}.sock") }
}

/// The profile whose socket has this file name, if one has; the reverse of what [`choose`] does.
#[must_use]
pub fn profile_of(file_name: &str) -> Option<&str> {
    if file_name == SOCKET_NAME {
        return Some(DEFAULT_PROFILE);
    }
    let name = file_name.strip_prefix("agent-")?.strip_suffix(".sock")?;
    (name != DEFAULT_PROFILE && is_profile_name(name)).then_some(name)
}

/// The path of the socket: the override, else the runtime directory, else `/run/user/<uid>` if that is a directory of
/// the owner's, else one fixed place below HOME. Never `/tmp`.
///
/// # Errors
/// See [`LocationError`].
pub fn socket_path(location: &Location) -> Result<PathBuf, LocationError> {
    let system = system_runtime_dir(location);
    choose(location, system.as_deref())
}

/// [`socket_path`] without the look at the file system: `system_runtime_dir` is the directory that the system made for
/// this user, if it did.
///
/// # Errors
/// See [`LocationError`].
pub fn choose(location: &Location, system_runtime_dir: Option<&Path>) -> Result<PathBuf, LocationError> {
    let profile = location.profile.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_PROFILE);
    if !is_profile_name(profile) {
        return Err(LocationError::NoProfile { name: profile.to_owned() });
    }
    let path = if let Some(path) = location.socket.as_deref().filter(|path| !path.as_os_str().is_empty()) {
        if !path.is_absolute() {
            return Err(LocationError::OverrideNotAbsolute { path: path.to_owned() });
        }
        path.to_owned()
    } else if let Some(directory) =
        location.runtime_dir.as_deref().filter(|path| path.is_absolute()).or(system_runtime_dir)
    {
        directory.join(DIRECTORY_NAME).join(socket_name(profile))
    } else {
        let home = location.home.as_deref().filter(|path| path.is_absolute());
        home.ok_or(LocationError::NoDirectory)?.join(HOME_DIRECTORY).join(socket_name(profile))
    };
    let length = path.as_os_str().as_encoded_bytes().len();
    if length > LONGEST_PATH {
        return Err(LocationError::TooLong { path, length });
    }
    Ok(path)
}

/// Why there is no place for the socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// The profile's name cannot be a profile's.
    #[error(
        "`{}` names no profile; use at most 32 of a-z, 0-9, - and _, beginning with a letter or digit", name.escape_default()
    )]
    NoProfile {
        /// What was given.
        name: String,
    },
    /// The override is not an absolute path.
    #[error(
        "the socket path `{path}` from AGENTAUTHD_SOCKET is not absolute; give the full path or unset it"
    )]
    OverrideNotAbsolute {
        /// What the override said.
        path: PathBuf,
    },
    /// Neither a runtime directory nor a home directory is known.
    #[error(
        "no place for the socket: there is no runtime directory for this user, and HOME is not set to an absolute path; set AGENTAUTHD_SOCKET"
    )]
    NoDirectory,
    /// The kernel cannot hold so long a socket path.
    #[error(
        "the socket path `{path}` has {length} bytes and the system takes at most {LONGEST_PATH}; set AGENTAUTHD_SOCKET to a shorter one"
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
}

#[cfg(target_os = "linux")]
fn system_runtime_dir(location: &Location) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let path = PathBuf::from(format!("/run/user/{}", location.uid));
    let metadata = std::fs::symlink_metadata(&path).ok()?;
    (metadata.is_dir() && metadata.uid() == location.uid).then_some(path)
}

#[cfg(target_os = "macos")]
fn system_runtime_dir(location: &Location) -> Option<PathBuf> {
    location.temporary_dir.clone().filter(|path| path.is_absolute())
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn system_runtime_dir(_: &Location) -> Option<PathBuf> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn location() -> Location {
        Location {
            uid: 1000,
            profile: None,
            socket: None,
            runtime_dir: Some("/run/user/1000".into()),
            temporary_dir: None,
            home: Some("/home/u".into()),
        }
    }

    #[test]
    fn the_order_of_places() {
        let all = Location { socket: Some("/x/y.sock".into()), ..location() };
        assert_eq!(choose(&all, None), Ok("/x/y.sock".into()));
        let xdg = Location { runtime_dir: Some("/xdg".into()), ..location() };
        assert_eq!(choose(&xdg, Some(Path::new("/run/user/1000"))), Ok("/xdg/agentauthd/agent.sock".into()));
        let plain = Location { runtime_dir: None, ..location() };
        assert_eq!(
            choose(&plain, Some(Path::new("/run/user/1000"))),
            Ok("/run/user/1000/agentauthd/agent.sock".into())
        );
        assert_eq!(choose(&plain, None), Ok("/home/u/.local/state/agentauthd/run/agent.sock".into()));
    }

    #[test]
    fn empty_and_relative_values() {
        let empty = Location { socket: Some("".into()), ..location() };
        assert_eq!(choose(&empty, None), Ok("/run/user/1000/agentauthd/agent.sock".into()));
        let relative = Location { runtime_dir: Some("run".into()), ..location() };
        assert_eq!(choose(&relative, None), Ok("/home/u/.local/state/agentauthd/run/agent.sock".into()));
        let relative = Location { socket: Some("agent.sock".into()), ..location() };
        assert!(matches!(choose(&relative, None), Err(LocationError::OverrideNotAbsolute { .. })));
        assert_eq!(choose(&Location::default(), None), Err(LocationError::NoDirectory));
    }

    #[test]
    fn each_profile_has_a_socket_of_its_own() {
        let of = |profile: &str, home_only: bool| {
            let runtime_dir = location().runtime_dir.filter(|_| !home_only);
            choose(&Location { profile: Some(profile.to_owned()), runtime_dir, ..location() }, None)
        };
        assert_eq!(of("", false), Ok("/run/user/1000/agentauthd/agent.sock".into()));
        assert_eq!(of("default", false), Ok("/run/user/1000/agentauthd/agent.sock".into()));
        assert_eq!(of("dev", false), Ok("/run/user/1000/agentauthd/agent-dev.sock".into()));
        assert_eq!(of("dev", true), Ok("/home/u/.local/state/agentauthd/run/agent-dev.sock".into()));
        for bad in ["..", "a/b", "A", "-a", "_a", "a b", "ä", &"a".repeat(33)] {
            assert!(matches!(of(bad, false), Err(LocationError::NoProfile { .. })), "{bad}");
        }
    }

    #[test]
    fn a_sockets_name_says_whose_it_is() {
        for (file, profile) in [
            ("agent.sock", Some("default")),
            ("agent-dev.sock", Some("dev")),
            ("agent-prod-eu.sock", Some("prod-eu")),
            ("agent-default.sock", None),
            ("agent-.sock", None),
            ("agent-A.sock", None),
            ("agent-dev.sock.lock", None),
            ("other.sock", None),
        ] {
            assert_eq!(profile_of(file), profile, "{file}");
        }
    }

    #[test]
    fn a_path_too_long_for_the_kernel_is_named() {
        let longest = format!("/{}", "a".repeat(LONGEST_PATH - 1));
        let fits = Location { socket: Some(longest.clone().into()), ..location() };
        assert_eq!(choose(&fits, None), Ok(longest.clone().into()));
        let long = Location { socket: Some((longest + "a").into()), ..location() };
        let error = choose(&long, None).unwrap_err();
        assert!(error.to_string().contains(&format!("has {} bytes", LONGEST_PATH + 1)), "{error}");
    }
}
