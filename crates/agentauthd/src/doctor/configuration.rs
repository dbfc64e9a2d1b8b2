//! The configuration: what is wrong with it, what it hides, and secrets that lie about.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use agentauth_idp::ConfigFaults;

use super::finding::{Code, Finding};
use crate::config::{ConfigFault, Loaded, Origin, Setting, StoreKind};

/// At most so much of a file is searched for secrets.
const SEARCHED_BYTES: usize = 256 * 1024;
/// At most so many files are searched.
const SEARCHED_FILES: usize = 256;

/// What is wrong with the configuration, and where it came from. `needless` are the credentials of which
/// [`judge_environment`] tells.
pub(super) fn judge(
    loaded: Option<&Loaded>,
    faults: &[ConfigFault],
    needless: &[&'static str],
) -> Vec<Finding> {
    let mut found: Vec<_> = faults
        .iter()
        .map(|fault| {
            let key = fault.key.as_ref().map(|key| format!("`{key}`: ")).unwrap_or_default();
            let what = format!("{}: {key}{}", fault.origin, fault.what);
            Finding::error(Code::ConfigurationFault, what, &fault.remedy)
        })
        .collect();
    let Some(loaded) = loaded else { return found };
    if faults.is_empty() {
        let files: Vec<_> = loaded.files.iter().map(|file| file.display().to_string()).collect();
        let read = if files.is_empty() {
            "no configuration file is read: defaults, environment and flags are in force".to_owned()
        } else {
            format!("read: {}", files.join(", "))
        };
        found.push(Finding::ok(
            Code::ConfigurationRead,
            format!("{read}; the profile is `{}`", loaded.config.profile),
        ));
    }
    let notes = loaded.notes.iter().filter(|note| !needless.iter().any(|name| note.starts_with(name)));
    found.extend(notes.map(|note| {
        Finding::note(
            Code::ConfigurationNote,
            note,
            "nothing, if that is meant; `agentauthd config show` says what is in force",
        )
    }));
    found.extend(loaded.settings().iter().filter(|setting| !setting.overridden.is_empty()).map(overridden));
    if !loaded.config.provider.scopes.iter().any(|scope| scope == "offline_access") {
        found.push(Finding::error(
            Code::OfflineAccessMissing,
            format!("`provider.scopes` ({}) lacks `offline_access`", loaded.origins.of("provider.scopes")),
            "add `offline_access` to `provider.scopes`",
        ));
    }
    found
}

/// Whether a fault keeps a whole file from being read.
pub(super) fn is_of_a_file(fault: &ConfigFault) -> bool {
    fault.key.is_none() && matches!(fault.origin, Origin::Admin { .. } | Origin::File { .. })
}

/// What no single option shows to be wrong with the provider's settings.
pub(super) fn judge_provider(faults: &ConfigFaults) -> Vec<Finding> {
    let told = |fault: &agentauth_idp::ConfigFault| {
        let todo = "correct it; `agentauthd config show` says where it is set";
        Finding::error(Code::ConfigurationFault, fault.to_string(), todo)
    };
    faults.0.iter().map(told).collect()
}

fn overridden(setting: &Setting) -> Finding {
    let lost: Vec<_> = setting.overridden.iter().map(Origin::to_string).collect();
    let (pinned, todo) = match setting.origin {
        Origin::Admin { .. } => (
            ", which the administrator has pinned",
            "nothing, if that is meant; else ask the administrator".to_owned(),
        ),
        _ => ("", format!("nothing, if that is meant; else unset it in {}", setting.origin)),
    };
    let what = format!(
        "`{}` is set by {}{pinned}; what {} says has no effect",
        setting.key,
        setting.origin,
        lost.join(" and ")
    );
    Finding::note(Code::ConfigurationOverridden, what, todo)
}

/// Credentials in our own environment, by name.
pub(super) fn judge_environment(needless: &[&'static str]) -> Vec<Finding> {
    let told = |name: &&str| {
        Finding::warning(
            Code::CredentialInEnvironment,
            format!("{name} is set in the environment of this shell"),
            format!(
                "unset it (`unset {name}`), and remove it from the profile, `.env` or unit file that sets it"
            ),
        )
    };
    needless.iter().map(told).collect()
}

/// A secret in a file, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlainSecret {
    pub(super) file: PathBuf,
    /// From 1.
    pub(super) line: usize,
    /// What it is, in words.
    pub(super) kind: String,
}

/// What lies in plain text.
pub(super) fn judge_secrets(secrets: &[PlainSecret]) -> Vec<Finding> {
    let told = |secret: &PlainSecret| {
        let place = format!("{}:{}", secret.file.display(), secret.line);
        Finding::error(
            Code::SecretInFile,
            format!("{place} holds {} in plain text", secret.kind),
            "take it out of the file, and make it invalid where it was issued: whoever read the file has it",
        )
    };
    secrets.iter().map(told).collect()
}

/// The mode of the file with the passphrase, if there is such a file.
pub(super) fn judge_passphrase(file: &Path, mode: u32) -> Option<Finding> {
    (mode & 0o077 != 0).then(|| {
        let shown = file.display();
        Finding::error(
            Code::PassphraseExposed,
            format!(
                "{shown}, which holds the passphrase of the secrets file, has mode {:04o}",
                mode & 0o7777
            ),
            format!("run `chmod 600 {shown}`"),
        )
    })
}

/// Looks at the file with the passphrase.
pub(super) fn passphrase_finding(loaded: &Loaded) -> Option<Finding> {
    let secrets = &loaded.config.secrets;
    let file = secrets.passphrase_file.as_deref().filter(|_| secrets.store == StoreKind::File)?;
    judge_passphrase(file, fs::metadata(file).ok()?.mode())
}

/// Searches the directories (two levels deep, links not followed) and files for secrets. Blocking.
pub(super) fn search(directories: &[&Path], files: &[PathBuf]) -> Vec<PlainSecret> {
    let mut queue = files.to_vec();
    for directory in directories {
        let below = entries(directory);
        queue.extend(below.iter().flat_map(|path| entries(path)));
        queue.extend(below);
    }
    queue.sort();
    queue.dedup();
    let regular = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    queue.into_iter().filter(regular).take(SEARCHED_FILES).flat_map(|path| search_file(&path)).collect()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let is_directory = fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_dir());
    let listed = is_directory.then(|| fs::read_dir(directory).ok()).flatten();
    listed.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn search_file(path: &Path) -> Vec<PlainSecret> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(SEARCHED_BYTES as u64).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let found = text.lines().enumerate().filter_map(|(index, line)| {
        let kind = secret_in(line)?;
        Some(PlainSecret { file: path.to_owned(), line: index + 1, kind })
    });
    found.collect()
}

/// Names under which secrets are written down.
const NAMES: [&str; 9] = [
    "descope_management_key",
    "descope_auth_management_key",
    "descope_access_key",
    "management_key",
    "anthropic_api_key",
    "openai_api_key",
    "client_secret",
    "refresh_token",
    "refreshjwt",
];

/// What kind of secret a line holds, if it looks like holding one.
fn secret_in(line: &str) -> Option<String> {
    let token = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    for word in line.split(|c: char| !token(c)) {
        let mut parts = word.split('.');
        let long = |part: Option<&str>| part.is_some_and(|part| part.len() >= 10);
        if word.starts_with("eyJ") && long(parts.next()) && long(parts.next()) && long(parts.next()) {
            return Some("a token".to_owned());
        }
        if word.strip_prefix("sk-ant-").is_some_and(|rest| rest.len() >= 16) {
            return Some("an Anthropic API key".to_owned());
        }
    }
    let lower = line.to_ascii_lowercase();
    let name = NAMES.iter().find(|name| assigned(&lower, name).is_some_and(is_secret))?;
    Some(format!("`{name}`"))
}

/// What `name` is set to in `line`, both in lower case.
fn assigned<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(name)?;
    let rest = rest.trim_start_matches(['"', '\'']).trim_start();
    let value = rest.strip_prefix(['=', ':'])?.trim_start();
    Some(value.trim_start_matches(['"', '\'']).split(['"', '\'', ' ', ',', '#']).next().unwrap_or_default())
}

/// Whether a value is more than a placeholder.
fn is_secret(value: &str) -> bool {
    value.len() >= 12
        && !value.starts_with(['$', '<', '{', '*'])
        && !value.starts_with("your")
        && value.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_from_talk_about_secrets() {
        for (line, kind) in [
            ("DESCOPE_MANAGEMENT_KEY=\"K2abcdefghijklmnop\"", Some("`descope_management_key`")),
            ("export DESCOPE_MANAGEMENT_KEY=K2abcdefghijklmnop # mine", Some("`descope_management_key`")),
            ("ANTHROPIC_API_KEY=sk-ant-api03-abcdefghijklmnop", Some("an Anthropic API key")),
            ("{\"refresh_token\": \"0123456789abcdef\"}", Some("`refresh_token`")),
            ("x eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJVMSJ9.c2lnbmF0dXJl", Some("a token")),
            ("DESCOPE_MANAGEMENT_KEY=\"YOUR_DESCOPE_MANAGEMENT_KEY\"", None),
            ("DESCOPE_MANAGEMENT_KEY=${KEY_FROM_VAULT}", None),
            ("DESCOPE_MANAGEMENT_KEY=", None),
            ("# the refresh_token stays in the keychain", None),
            ("client_secret: see the vault", None),
            ("eyJhbGciOiJSUzI1NiJ9", None),
        ] {
            assert_eq!(secret_in(line).as_deref(), kind, "{line}");
        }
    }

    #[test]
    fn a_secret_is_found_where_it_lies_and_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("agents/deep")).unwrap();
        let value = "K2abcdefghijklmnop";
        let line = format!("\nDESCOPE_MANAGEMENT_KEY={value}\n");
        for name in ["notes.txt", "agents/.env", "agents/deep/too-deep"] {
            fs::write(directory.path().join(name), &line).unwrap();
        }
        let env = directory.path().join(".env");
        fs::write(&env, &line).unwrap();
        let found = search(&[directory.path()], &[env, "/nowhere/.env".into()]);
        let files: Vec<_> = found.iter().map(|secret| secret.file.file_name().unwrap()).collect();
        assert_eq!(files, [".env", ".env", "notes.txt"]);
        let findings = judge_secrets(&found);
        assert!(findings.iter().all(|finding| finding.id == Code::SecretInFile));
        assert!(!format!("{findings:?}").contains(value));
        assert!(findings[0].what.contains(".env:2 "), "{}", findings[0].what);
    }

    #[test]
    fn a_passphrase_is_for_its_owner_alone() {
        let file = Path::new("/c/passphrase");
        assert_eq!(judge_passphrase(file, 0o100600), None);
        assert_eq!(judge_passphrase(file, 0o100400), None);
        let finding = judge_passphrase(file, 0o100640).unwrap();
        assert_eq!(finding.id, Code::PassphraseExposed);
        assert!(finding.what.contains("0640") && finding.todo.contains("chmod 600"), "{finding:?}");
    }

    #[test]
    fn a_credential_in_the_environment_is_named() {
        let found = judge_environment(&["DESCOPE_MANAGEMENT_KEY"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("DESCOPE_MANAGEMENT_KEY"));
    }
}
