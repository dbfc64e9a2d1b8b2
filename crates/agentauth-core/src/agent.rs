//! Registered agents: the registration file, and the selectors that recognise an agent's process.
//!
//! Selectors come from the registration, never from the workload.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::agents::Assurance;
use crate::canonical::{canonical_digest, sha256_hex};
use crate::catalogue::Catalogue;
use crate::domain::is_domain_name;
use crate::grant::{Grant, Lifetime};
use crate::manifest::{MAX_FILE_BYTES, Manifest, ManifestLint};
use crate::scope::Scope;
use crate::text::{display_safe_within, has_hidden};

/// The most grants of one registration file.
pub const MAX_FILE_GRANTS: usize = 256;

/// One registered agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The name, as in the manifest.
    pub name: Arc<str>,
    /// What the agent says of itself.
    pub manifest: Manifest,
    /// What recognises its process.
    pub selectors: Selectors,
    /// The digest of the manifest.
    pub manifest_digest: String,
    /// Who registered it.
    pub source: Source,
    /// Whether only a process that the daemon's own launcher started is taken for it.
    pub launch_only: bool,
    /// The domain by which it may ask about others; see [`crate::domain`].
    pub enforcer: Option<String>,
}

/// Who registered an agent. An administrator's word stands above a person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The person, for this profile.
    Person,
    /// The administrator, for everybody on this machine.
    Administrator,
}

/// One agent as it is registered: what it is, and what recognises it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// What the agent says of itself.
    pub manifest: Manifest,
    /// What recognises its process.
    pub selectors: Selectors,
    /// Whether only a process that the daemon's own launcher started is taken for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub launch_only: bool,
    /// The domain by which it may ask about others; see [`crate::domain`].
    #[serde(default, deserialize_with = "domain_name", skip_serializing_if = "Option::is_none")]
    pub enforcer: Option<String>,
}

/// One JSON file of the administrator's: it registers one agent for everybody on the machine, or forbids it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFile {
    /// What the agent says of itself.
    pub manifest: Manifest,
    /// What recognises its process.
    pub selectors: Selectors,
    /// Whether only a process that the daemon's own launcher started is taken for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub launch_only: bool,
    /// The domain by which it may ask about others; see [`crate::domain`].
    #[serde(default, deserialize_with = "domain_name", skip_serializing_if = "Option::is_none")]
    pub enforcer: Option<String>,
    /// Whether it gets nothing, whoever else registers it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forbidden: bool,
    /// What it is allowed or refused, whoever is logged in.
    #[serde(default)]
    pub grants: Vec<FileGrant>,
}

/// The facts that recognise an agent's process. All that are named must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Selectors {
    /// The absolute path of the executable, with links resolved: the path that the kernel reports.
    pub executable: String,
    /// SHA-256 of the executable, in lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The absolute path of the script, where the executable is an interpreter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// SHA-256 of the script, in lower-case hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script_sha256: Option<String>,
    /// The control group that the process is in or below: a system service's, or a container's. One that a user may
    /// fill is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
}

/// One grant of a registration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileGrant {
    /// What is allowed or refused.
    pub scope: Scope,
    /// For how long.
    pub lifetime: Lifetime,
    /// Whether it is refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
}

/// Why a registration file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentFileFault {
    /// Not the JSON that a registration is.
    #[error("the registration cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// Longer than [`MAX_FILE_BYTES`].
    #[error("the registration is {0} bytes long: at most {MAX_FILE_BYTES} are read")]
    TooLong(usize),
    /// More grants than [`MAX_FILE_GRANTS`].
    #[error("the registration has {0} grants: at most {MAX_FILE_GRANTS} are read")]
    TooManyGrants(usize),
}

impl AgentFile {
    /// Reads a registration file.
    ///
    /// # Errors
    /// An unknown or repeated member, a manifest that is refused, or a selector that could not recognise anything.
    pub fn parse(json: &[u8]) -> Result<Self, AgentFileFault> {
        if json.len() > MAX_FILE_BYTES {
            return Err(AgentFileFault::TooLong(json.len()));
        }
        let file: Self = serde_json::from_slice(json)?;
        if file.grants.len() > MAX_FILE_GRANTS {
            return Err(AgentFileFault::TooManyGrants(file.grants.len()));
        }
        Ok(file)
    }

    /// The agent that the file registers.
    #[must_use]
    pub fn agent(&self) -> Agent {
        Agent { source: Source::Administrator, ..self.registration().agent() }
    }

    /// What it registers, without what it allows.
    #[must_use]
    pub fn registration(&self) -> Registration {
        Registration {
            manifest: self.manifest.clone(),
            selectors: self.selectors.clone(),
            launch_only: self.launch_only,
            enforcer: self.enforcer.clone(),
        }
    }

    /// The grants of the file. A grant for a session counts in every session until the file changes.
    pub fn grants(&self) -> impl Iterator<Item = Grant> {
        self.grants.iter().map(|entry| {
            let grant = Grant::new(&self.manifest.name, entry.scope.clone(), entry.lifetime);
            if entry.denied { grant.refused() } else { grant }
        })
    }

    /// What a careful reader would say of manifest, selectors and grants.
    #[must_use]
    pub fn lint(&self, catalogue: &Catalogue) -> Vec<ManifestLint> {
        let mut lints = self.registration().lint(catalogue);
        let allowed = self.grants.iter().enumerate().filter(|(_, grant)| !grant.denied);
        for (position, grant) in allowed.filter(|(_, grant)| !self.manifest.covers(&grant.scope)) {
            lints.push(ManifestLint {
                code: "grant_outside_manifest",
                path: format!("/grants/{position}/scope"),
                message: format!(
                    "the grant of `{}` is wider than the manifest: only what both name counts",
                    grant.scope
                ),
            });
        }
        lints
    }
}

impl Registration {
    /// Reads what [`Registration::to_json`] wrote.
    ///
    /// # Errors
    /// An unknown or repeated member, a manifest that is refused, or a selector that could not recognise anything.
    pub fn parse(json: &[u8]) -> Result<Self, AgentFileFault> {
        if json.len() > MAX_FILE_BYTES {
            return Err(AgentFileFault::TooLong(json.len()));
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// The registration as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and flags always have a JSON text.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// SHA-256 over the canonical JSON (RFC 8785) of the manifest's digest, the selectors and the rest, in lower-case
    /// hexadecimal. Whoever edits a registration has another one.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut value = json!({
            "manifest": self.manifest.digest(), "selectors": self.selectors, "launch_only": self.launch_only,
        });
        if let (Some(domain), Some(members)) = (&self.enforcer, value.as_object_mut()) {
            members.insert("enforcer".to_owned(), domain.as_str().into());
        }
        // Without numbers, and two levels deep, the value always has a canonical text.
        canonical_digest(&value).unwrap_or_else(|_| sha256_hex(value.to_string().as_bytes()))
    }

    /// Whether somebody gets a right by it that `before` did not give: another process is recognised, or more may be
    /// asked for, about others too.
    #[must_use]
    pub fn widens(&self, before: &Self) -> bool {
        self.selectors != before.selectors
            || (self.enforcer.is_some() && self.enforcer != before.enforcer)
            || (before.launch_only && !self.launch_only)
            || !before.manifest.widened_by(&self.manifest).is_empty()
    }

    /// What a careful reader would say of manifest and selectors.
    #[must_use]
    pub fn lint(&self, catalogue: &Catalogue) -> Vec<ManifestLint> {
        let mut lints = self.manifest.lint(catalogue);
        for lint in &mut lints {
            lint.path.insert_str(0, "/manifest");
        }
        let executable = display_safe_within(&self.selectors.executable, 100);
        if self.selectors.script.is_none() && self.selectors.names_interpreter() {
            lints.push(ManifestLint {
                code: "interpreter_without_script",
                path: "/selectors/executable".to_owned(),
                message: format!(
                    "`{executable}` is an interpreter: without `script`, every program it runs is this agent"
                ),
            });
        } else if self.selectors.sha256.is_none() && !self.selectors.names_interpreter() {
            lints.push(ManifestLint {
                code: "unpinned_executable",
                path: "/selectors/executable".to_owned(),
                message: format!(
                    "`{executable}` has no `sha256`, so whatever stands at that path is this agent"
                ),
            });
        }
        lints
    }

    /// The agent that is registered so, by the person.
    #[must_use]
    pub fn agent(&self) -> Agent {
        Agent {
            name: self.manifest.name.as_str().into(),
            manifest_digest: self.manifest.digest(),
            manifest: self.manifest.clone(),
            selectors: self.selectors.clone(),
            source: Source::Person,
            launch_only: self.launch_only,
            enforcer: self.enforcer.clone(),
        }
    }
}

impl Agent {
    /// How it is registered.
    #[must_use]
    pub fn registration(&self) -> Registration {
        Registration {
            manifest: self.manifest.clone(),
            selectors: self.selectors.clone(),
            launch_only: self.launch_only,
            enforcer: self.enforcer.clone(),
        }
    }

    /// How well a process of its own is proven where nothing speaks against it: what a trial assumes.
    #[must_use]
    pub fn at_best(&self) -> Assurance {
        if self.launch_only {
            Assurance::Launched
        } else if self.selectors.sha256.is_some() && !self.selectors.names_interpreter() {
            Assurance::Pinned
        } else {
            Assurance::Path
        }
    }
}

impl Source {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Administrator => "administrator",
        }
    }
}

impl Selectors {
    /// Whether the executable is known to run programs that others wrote, so that its own hash proves little.
    #[must_use]
    pub fn names_interpreter(&self) -> bool {
        const INTERPRETERS: &[&str] = &[
            "ash",
            "bash",
            "bun",
            "busybox",
            "dash",
            "deno",
            "dotnet",
            "env",
            "fish",
            "gjs",
            "guile",
            "java",
            "julia",
            "ksh",
            "lua",
            "luajit",
            "mksh",
            "node",
            "nodejs",
            "npx",
            "osascript",
            "perl",
            "php",
            "pwsh",
            "python",
            "pypy",
            "qjs",
            "R",
            "Rscript",
            "ruby",
            "sh",
            "tclsh",
            "wish",
            "zsh",
        ];
        let file = self.executable.rsplit('/').next().unwrap_or_default();
        let stem = file.strip_suffix(".exe").unwrap_or(file);
        let name = stem.trim_end_matches(|last: char| last.is_ascii_digit() || matches!(last, '.' | '-'));
        self.script.is_some() || INTERPRETERS.contains(&name)
    }

    /// The same, if they could recognise anything.
    ///
    /// # Errors
    /// Which one could not, and why.
    pub fn checked(self) -> Result<Self, String> {
        let Self { executable, sha256, script, script_sha256, cgroup } = self;
        Written { executable, sha256, script, script_sha256, cgroup }.check()
    }

    /// Whether they name a hash, so that the digests of a process's files make a difference.
    pub(crate) fn names_hash(&self) -> bool {
        self.sha256.is_some() || self.script_sha256.is_some()
    }

    /// How many things these selectors ask for, the script above all: of two that fit, the more specific one is
    /// meant.
    pub(crate) fn specificity(&self) -> u8 {
        u8::from(self.script.is_some()) * 8
            + u8::from(self.cgroup.is_some()) * 4
            + u8::from(self.sha256.is_some())
            + u8::from(self.script_sha256.is_some())
    }
}

/// The selectors as they are written, before they are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    executable: String,
    #[serde(default)]
    sha256: Option<String>,
    #[serde(default)]
    script: Option<String>,
    #[serde(default)]
    script_sha256: Option<String>,
    #[serde(default)]
    cgroup: Option<String>,
}

impl<'de> Deserialize<'de> for Selectors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.check().map_err(serde::de::Error::custom)
    }
}

impl Written {
    fn check(self) -> Result<Selectors, String> {
        check_path("executable", &self.executable)?;
        if let Some(script) = &self.script {
            check_path("script", script)?;
        }
        if self.script_sha256.is_some() && self.script.is_none() {
            return Err("`script_sha256` needs `script`: name the script that has this hash".to_owned());
        }
        if let Some(group) = &self.cgroup {
            check_cgroup(group)?;
        }
        Ok(Selectors {
            executable: self.executable,
            sha256: self.sha256.map(|hash| check_hash("sha256", &hash)).transpose()?,
            script: self.script,
            script_sha256: self.script_sha256.map(|hash| check_hash("script_sha256", &hash)).transpose()?,
            cgroup: self.cgroup,
        })
    }
}

fn domain_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    match name.as_ref().filter(|name| !is_domain_name(name)) {
        None => Ok(name),
        Some(other) => Err(serde::de::Error::custom(format!(
            "`enforcer` is `{}`: name a domain, with lower-case letters, digits, `_` and `-`",
            display_safe_within(other, 64)
        ))),
    }
}

/// The kernel reports absolute paths without `.` and `..`; another spelling would never match.
fn check_path(what: &str, path: &str) -> Result<(), String> {
    let shown = || display_safe_within(path, 100);
    let windows = path.as_bytes().get(1..3) == Some(b":\\");
    if !(path.starts_with('/') || windows) || path.len() > 4096 || has_hidden(path) {
        return Err(format!("`{what}` is `{}`: give the absolute path, with links resolved", shown()));
    }
    if !windows && path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(format!("`{what}` is `{}`: write it without `.`, `..` and double slashes", shown()));
    }
    Ok(())
}

/// Below a user's part of the tree, users put whatever they like into groups of whatever name they like. What lies
/// elsewhere is looked at when a process is in it: see [`crate::caller::ControlGroup::proves`].
fn check_cgroup(group: &str) -> Result<(), String> {
    let shown = || display_safe_within(group, 100);
    let named = group.strip_prefix('/').unwrap_or_default();
    if group.len() > 4096
        || has_hidden(group)
        || named.split('/').any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err(format!(
            "`cgroup` is `{}`: give the path of one control group as `/proc/PID/cgroup` shows it, such as `/system.slice/backup.service`",
            shown()
        ));
    }
    let of_a_user = |segment: &str| {
        segment == "user.slice"
            || (segment.starts_with("user-") && segment.ends_with(".slice"))
            || (segment.starts_with("user@") && segment.ends_with(".service"))
    };
    if named.split('/').any(of_a_user) {
        return Err(format!(
            "`cgroup` is `{}`, which is in a user's part of the tree, where any program of the user can put itself: name a system service or a container that root started, or leave it out",
            shown()
        ));
    }
    Ok(())
}

fn check_hash(what: &str, hash: &str) -> Result<String, String> {
    if hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        Ok(hash.to_ascii_lowercase())
    } else {
        Err(format!(
            "`{what}` is `{}`: give 64 hexadecimal digits, as `sha256sum` prints them",
            display_safe_within(hash, 80)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "manifest":{"name":"payment-agent","version":"1.0.0",
            "scopes":[{"scope":"payments.execute:currency=EUR","purpose":"pay supplier invoices"}]},
        "selectors":{"executable":"/usr/bin/python3.11","script":"/opt/payment_agent.py"},
        "grants":[{"scope":"payments.execute:currency=EUR","lifetime":"until_revoked"},
            {"scope":"payments.execute:currency=EUR","lifetime":{"until":"2026-12-01T00:00:00Z"}},
            {"scope":"payments.execute:payee=x","lifetime":"session","denied":true}]}"#;

    #[test]
    fn a_registration_reads_and_writes() {
        let file = AgentFile::parse(FILE.as_bytes()).unwrap();
        assert_eq!(&*file.agent().name, "payment-agent");
        let grants: Vec<_> = file.grants().collect();
        assert_eq!(grants.len(), 3);
        assert_eq!(grants.iter().filter(|grant| grant.denied).count(), 1);
        assert_eq!(AgentFile::parse(&serde_json::to_vec(&file).unwrap()).unwrap(), file);
    }

    #[test]
    fn what_could_not_recognise_anything_is_refused() {
        for (from, to) in [
            ("/usr/bin/python3.11", "python3.11"),
            ("/usr/bin/python3.11", "/usr/bin/../bin/python3.11"),
            ("/usr/bin/python3.11", "/usr//bin/python3.11"),
            ("/usr/bin/python3.11", ""),
            ("/opt/payment_agent.py", "./payment_agent.py"),
            ("\"script\":\"/opt/payment_agent.py\"", "\"script_sha256\":\"00\""),
            ("\"script\":", "\"sha256\":\"xyz\",\"script\":"),
            ("\"script\":", "\"scripts\":"),
            ("\"until\":", "\"till\":"),
            ("until_revoked", "for_ever"),
            ("\"denied\":true", "\"denied\":\"yes\""),
            ("\"grants\"", "\"grant\""),
        ] {
            let json = FILE.replacen(from, to, 1);
            assert_ne!(json, FILE);
            assert!(AgentFile::parse(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn control_groups_that_a_user_fills_are_refused() {
        let with = |group: &str| {
            let json = FILE.replace("\"script\":", &format!("\"cgroup\":\"{group}\",\"script\":"));
            AgentFile::parse(json.as_bytes()).map(|file| file.selectors.cgroup.unwrap_or_default())
        };
        for group in [
            "/system.slice/backup.service",
            "/system.slice/docker-0123abcd.scope",
            "/machine.slice/machine-build.scope/payload",
            "/docker/0123abcd",
            "/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope",
        ] {
            assert_eq!(with(group).unwrap(), group);
        }
        for group in [
            "/user.slice",
            "/user.slice/user-1000.slice/session-3.scope",
            "/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service",
            "/x/user@1000.service/agent.service",
        ] {
            assert!(with(group).unwrap_err().to_string().contains("can put itself"), "{group}");
        }
        for group in ["", "/", "system.slice/a.service", "/a/", "/a//b", "/a/../b", "/../a", "/a\u{200b}"] {
            assert!(with(group).unwrap_err().to_string().contains("/proc/PID/cgroup"), "{group}");
        }
    }

    #[test]
    fn an_enforcer_is_registered_for_one_domain() {
        let with = |enforcer: &str| {
            let json = FILE.replace("\"grants\":", &format!("\"enforcer\":{enforcer},\"grants\":"));
            AgentFile::parse(json.as_bytes())
        };
        let todo = with("\"todo\"").unwrap();
        assert_eq!(todo.agent().enforcer.as_deref(), Some("todo"));
        let (plain, todo) = (with("null").unwrap().registration(), todo.registration());
        assert_eq!(Registration::parse(todo.to_json().as_bytes()).unwrap(), todo);
        assert!(!plain.to_json().contains("enforcer"));
        assert_ne!(plain.digest(), todo.digest());
        assert!(todo.widens(&plain) && !plain.widens(&todo));
        let other = Registration { enforcer: Some("records".to_owned()), ..todo.clone() };
        assert!(other.widens(&todo) && other.digest() != todo.digest());
        for refused in ["\"\"", "\"../x\"", "\"Todo\"", "5"] {
            assert!(with(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn hashes_are_compared_in_one_case() {
        let json = FILE.replace("\"script\":", &format!("\"sha256\":\"{}\",\"script\":", "AB".repeat(32)));
        assert_eq!(AgentFile::parse(json.as_bytes()).unwrap().selectors.sha256, Some("ab".repeat(32)));
    }

    #[test]
    fn interpreters_are_known_by_name() {
        let names = |executable: &str| {
            serde_json::from_value::<Selectors>(serde_json::json!({ "executable": executable }))
                .unwrap()
                .names_interpreter()
        };
        for interpreter in [
            "/usr/bin/python3.11",
            "/usr/bin/python",
            "/usr/bin/node",
            "/bin/bash",
            "/usr/bin/lua5.4",
            "/usr/bin/perl5.36",
        ] {
            assert!(names(interpreter), "{interpreter}");
        }
        for program in ["/usr/bin/curl", "/opt/python-agent/bin/agent", "/usr/bin/shred", "/opt/nodeagent"] {
            assert!(!names(program), "{program}");
        }
    }

    #[test]
    fn the_linter_reads_selectors_and_grants_too() {
        let codes = |json: &str| -> Vec<&str> {
            let file = AgentFile::parse(json.as_bytes()).unwrap();
            file.lint(&Catalogue::shipped().unwrap()).into_iter().map(|lint| lint.code).collect()
        };
        assert_eq!(codes(FILE), [""; 0]);
        assert_eq!(
            codes(&FILE.replace(",\"script\":\"/opt/payment_agent.py\"", "")),
            ["interpreter_without_script"]
        );
        let program = FILE.replace("/usr/bin/python3.11\",\"script\":\"/opt/payment_agent.py", "/opt/pay");
        assert_eq!(codes(&program), ["unpinned_executable"]);
        let wide = FILE.replace(
            "\"grants\":[",
            "\"grants\":[{\"scope\":\"payments.execute\",\"lifetime\":\"session\"},",
        );
        assert_eq!(codes(&wide), ["grant_outside_manifest"]);
    }
}
