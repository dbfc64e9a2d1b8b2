//! `POST /v1/launches`: the command line's launcher starts a registered agent, so that what it starts is proven to be it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::login::LoginStarted;

/// The calling process is to be the launcher of this agent. For agentauthd's own command line only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchRequest {
    /// The agent's name.
    pub agent: String,
    /// What the program will be given, for the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// How the program will be confined.
    #[serde(default)]
    pub confinement: Confinement,
    /// Confirm it by a fresh login, where no terminal shows that a person asks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reauth: bool,
}

/// How a launched program is confined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confinement {
    /// Away from agentauthd's own files, the keychain's, the session bus and other agents' sockets.
    #[default]
    Standard,
    /// That, and files only where the manifest asks for them.
    Files,
    /// Not at all.
    None,
}

/// What the launcher is to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchResponse {
    /// Identifies this launch in the audit log.
    pub id: String,
    /// The agent.
    pub agent: String,
    /// The program, by its absolute path.
    pub executable: String,
    /// Its first argument, where it is an interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Where the manifest asks for files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileAccess>,
    /// How it is started: what of the configuration counts, whatever the files say by now.
    pub settings: LaunchSettings,
    /// The login that has to confirm it; until it has, nothing below the launcher is the agent. Absent where nothing has
    /// to be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginStarted>,
}

/// What the configuration says of the surroundings of a launched program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSettings {
    /// Variables that are handed on.
    pub environment: Vec<String>,
    /// Files and directories that are hidden.
    pub hide: Vec<PathBuf>,
    /// Whether sockets are hidden: `where_possible`, `always` or `never`.
    pub hide_sockets: String,
    /// Sockets that stay within reach.
    pub sockets: Vec<PathBuf>,
}

/// One `files.*` scope of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAccess {
    /// What is done: `read`, `write`, `delete`, …
    pub action: String,
    /// Where; absent: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}
