//! Laying the layers over each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agentauth_ipc::location::LONGEST_PATH;

use super::applied::{self, Set, Settings};
use super::fault::{ConfigFault, ConfigFaults, closest};
use super::options::{all, option};
use super::places::{self, PROFILES};
use super::profiles::Chosen;
use super::toml_file::{self, Entry, Origin};
use super::value::Value;
use super::{Config, DEFAULT_PROFILE, kinds, trust};
use crate::environment::Environment;

/// The administrator's directory. What `config.toml` there sets cannot be overridden by a user, in any profile; what
/// `profiles/NAME.toml` sets stands above that, for one profile.
pub const ADMIN_DIRECTORY: &str = "/etc/agentauthd";

/// The systemd credential (`LoadCredentialEncrypted=`) that holds the passphrase of the secrets file.
pub const PASSPHRASE_CREDENTIAL: &str = "agentauthd.passphrase";

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The file to read in place of the user's.
    pub config: Option<PathBuf>,
    /// Settings.
    pub values: Vec<FlagValue>,
}

impl Flags {
    /// Adds a setting, if there is one.
    #[must_use]
    pub fn with(mut self, flag: &'static str, key: &str, text: Option<String>) -> Self {
        self.values.extend(text.map(|text| FlagValue { flag, key: key.to_owned(), text }));
        self
    }
}

/// One setting on the command line.
#[derive(Clone, Debug)]
pub struct FlagValue {
    /// The flag, as it is typed.
    pub flag: &'static str,
    /// The option that it sets.
    pub key: String,
    /// To what.
    pub text: String,
}

/// A configuration, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values in force.
    pub config: Config,
    /// Where they came from.
    pub origins: Origins,
    /// The files that were read, lowest layer first.
    pub files: Vec<PathBuf>,
    /// The user's file of the profile, whether or not it exists.
    pub user_file: PathBuf,
    /// What everybody but the administrator set, as far as it takes effect only once it is applied.
    pub own: Settings,
    /// What is not wrong but worth saying.
    pub notes: Vec<String>,
}

/// For each option that is set at all: every place that sets it, the one in force last.
#[derive(Clone, Debug, Default)]
pub struct Origins(BTreeMap<&'static str, Vec<Origin>>);

/// An option as `config show` prints it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The option.
    pub key: &'static str,
    /// Its value as TOML would write it.
    pub text: String,
    /// Its value as JSON.
    pub json: serde_json::Value,
    /// Where the value came from.
    pub origin: Origin,
    /// Where it was set too, without effect.
    pub overridden: Vec<Origin>,
}

impl Origins {
    /// Where an option's value came from.
    #[must_use]
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).and_then(|origins| origins.last()).unwrap_or(&Origin::Default)
    }

    /// Whether anything in a section is set at all.
    pub(super) fn set_any_in(&self, section: &str) -> bool {
        self.0.keys().any(|key| key.split_once('.').is_some_and(|(of, _)| of == section))
    }
}

impl Loaded {
    /// Every option with its value and where that came from.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        all()
            .map(|option| {
                let value = (option.show)(&self.config);
                let mut overridden = self.origins.0.get(option.key).cloned().unwrap_or_default();
                Setting {
                    key: option.key,
                    text: value.to_string(),
                    json: (&value).into(),
                    origin: overridden.pop().unwrap_or(Origin::Default),
                    overridden,
                }
            })
            .collect()
    }
}

/// Loads the configuration.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(environment: &Environment, flags: &Flags) -> Result<Loaded, ConfigFaults> {
    load_with(environment, flags, Administrator::OF_THIS_MACHINE)
}

/// The same with what was applied in the place of what the files, variables and flags say.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load_applied(
    environment: &Environment,
    flags: &Flags,
    applied: &Settings,
) -> Result<Loaded, ConfigFaults> {
    whole(lay(environment, flags, Administrator::OF_THIS_MACHINE, Some(applied)))
}

/// As much of the configuration as can be used, with everything that is wrong with it; nothing without a home directory.
/// For looking at, never for running: what is at fault may have been meant to forbid something.
#[must_use]
pub fn survey(environment: &Environment, flags: &Flags) -> (Option<Loaded>, Vec<ConfigFault>) {
    lay(environment, flags, Administrator::OF_THIS_MACHINE, None)
}

/// Who stands above the user, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Administrator<'a> {
    pub(super) directory: &'a str,
    pub(super) uid: u32,
}

impl Administrator<'_> {
    pub(super) const OF_THIS_MACHINE: Self = Self { directory: ADMIN_DIRECTORY, uid: 0 };
}

/// [`load`] under another administrator, for tests.
pub(super) fn load_with(
    environment: &Environment,
    flags: &Flags,
    administrator: Administrator<'_>,
) -> Result<Loaded, ConfigFaults> {
    whole(lay(environment, flags, administrator, None))
}

fn whole(laid: (Option<Loaded>, Vec<ConfigFault>)) -> Result<Loaded, ConfigFaults> {
    match laid {
        (Some(loaded), faults) if faults.is_empty() => Ok(loaded),
        (_, faults) => Err(ConfigFaults(faults)),
    }
}

fn lay(
    environment: &Environment,
    flags: &Flags,
    administrator: Administrator<'_>,
    applied: Option<&Settings>,
) -> (Option<Loaded>, Vec<ConfigFault>) {
    let profile = Chosen::of(environment, flags);
    let mut layers = Layers::of(profile.name.clone());
    layers.add_credential(environment);
    let user_file = layers.add_user_file(environment, flags, &profile).unwrap_or_default();
    let ignored = layers.add_environment(environment, &profile);
    layers.add_flags(flags);
    layers.add_admin_files(administrator);
    let own = applied::own(&layers.settings);
    if let Some(Err(fault)) = applied.map(|applied| applied::put(&mut layers.settings, applied)) {
        layers.faults.push(fault);
    }

    let Some(defaults) = places::defaults(environment, &profile.name) else {
        layers.faults.push(ConfigFault {
            origin: Origin::Environment { name: "HOME".to_owned() },
            key: None,
            what: "the home directory is not known".to_owned(),
            remedy: "set HOME to an absolute path, or both XDG_CONFIG_HOME and XDG_STATE_HOME".to_owned(),
        });
        return (None, layers.faults);
    };
    let (mut config, origins, faults) = layers.apply(defaults);
    layers.faults.extend(faults);
    let passed_over = kinds::pass_over(&mut config, &origins);
    layers.faults.extend(contradictions(&config, &origins));
    layers.faults.extend(kinds::contradictions(&config.provider, &origins));
    let needless = environment.needless_credentials().iter().map(|name| {
        format!("{name} is set in the environment; agentauthd never needs it, so unset it where agentauthd is started")
    });
    let ignored = profile.notes(&ignored, &user_file);
    let notes =
        needless.chain(ignored).chain(passed_over).chain(layers.misplaced(environment, &origins)).collect();
    (Some(Loaded { config, origins, files: layers.files, user_file, own, notes }), layers.faults)
}

/// What no single value shows.
fn contradictions(config: &Config, origins: &Origins) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    let mut fault = |key: &str, what: &str, remedy: &str| {
        faults.push(ConfigFault {
            origin: origins.of(key).clone(),
            key: Some(key.to_owned()),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        });
    };
    if config.checks.max_connections_per_process > config.checks.max_connections {
        fault(
            "checks.max_connections_per_process",
            "is greater than `checks.max_connections`",
            "lower it, or raise the other",
        );
    }
    if config.checks.burst < config.checks.requests_per_second {
        fault(
            "checks.burst",
            "is less than `checks.requests_per_second`, which could then never be reached",
            "raise it, or lower the other",
        );
    }
    if config.paths.socket.as_os_str().len() > LONGEST_PATH {
        fault(
            "paths.socket",
            &format!("is longer than the {LONGEST_PATH} bytes that a socket's path may have"),
            "set it to a shorter path in a directory of your own",
        );
    }
    faults
}

/// What is set, lowest layer first.
struct Layers {
    profile: String,
    /// Whether a file of the profile's own was read, not only what holds for all.
    has_file: bool,
    settings: Vec<Set>,
    files: Vec<PathBuf>,
    faults: Vec<ConfigFault>,
}

impl Layers {
    fn of(profile: String) -> Self {
        Self { profile, has_file: false, settings: Vec::new(), files: Vec::new(), faults: Vec::new() }
    }

    fn apply(&self, mut config: Config) -> (Config, Origins, Vec<ConfigFault>) {
        let mut origins = Origins::default();
        let mut faults = Vec::new();
        for (option, value, origin) in &self.settings {
            // A wrong value is a fault even where a higher layer overrides it: it would bite the day that one goes.
            match (option.set)(&mut config, value) {
                Ok(()) => origins.0.entry(option.key).or_default().push(origin.clone()),
                Err(wrong) => faults.push(ConfigFault {
                    origin: origin.clone(),
                    key: Some(option.key.to_owned()),
                    what: wrong,
                    remedy: "correct it or remove it".to_owned(),
                }),
            }
        }
        (config, origins, faults)
    }

    /// The service manager's credential stands below every file: whoever names a passphrase file means that one.
    fn add_credential(&mut self, environment: &Environment) {
        let path = environment.credential(PASSPHRASE_CREDENTIAL).filter(|path| path.is_file());
        if let (Some(path), Some(option)) = (path, option("secrets.passphrase_file")) {
            let origin = Origin::Environment { name: "CREDENTIALS_DIRECTORY".to_owned() };
            self.settings.push((option, Value::Text(path.to_string_lossy().into_owned()), origin));
        }
    }

    fn add_user_file(
        &mut self,
        environment: &Environment,
        flags: &Flags,
        profile: &Chosen,
    ) -> Option<PathBuf> {
        let variable = environment.value("AGENTAUTHD_CONFIG").filter(|_| profile.has_variables());
        let named = flags.config.clone().or_else(|| variable.map(PathBuf::from));
        let path = match &named {
            Some(path) => path.clone(),
            None => places::user_file(environment, &profile.name)?,
        };
        // Within the walls there is no way to it, and the variables say where the daemon is.
        if named.is_none() && environment.value("AGENTAUTHD_LAUNCHED").is_some() {
            return Some(path);
        }
        let origin = toml_file::user(&path);
        match trust::read_user_file(&path, environment.uid()) {
            Ok(Some(text)) => {
                self.has_file = true;
                self.add_text(&text, &path, origin);
            }
            Ok(None) if named.is_none() => {}
            Ok(None) => self.faults.push(ConfigFault {
                origin: origin(None),
                key: None,
                what: "there is no such file".to_owned(),
                remedy: "correct the path given by --config or AGENTAUTHD_CONFIG, or write the file with `agentauthd setup`"
                    .to_owned(),
            }),
            Err(untrusted) => self.refuse(&untrusted, &path, environment.uid(), origin(None)),
        }
        Some(path)
    }

    fn add_admin_files(&mut self, administrator: Administrator<'_>) {
        let directory = Path::new(administrator.directory);
        let of_the_profile = directory.join(PROFILES).join(format!("{}.toml", self.profile));
        for (path, is_own) in [(directory.join("config.toml"), false), (of_the_profile, true)] {
            let origin = toml_file::admin(&path);
            match trust::read_admin_file(&path, directory, administrator.uid) {
                Ok(Some(text)) => {
                    self.has_file |= is_own;
                    self.add_text(&text, &path, origin);
                }
                Ok(None) => {}
                // To pass over it would drop the organisation's floor; to obey it would obey whoever wrote it.
                Err(untrusted) => self.refuse(&untrusted, &path, administrator.uid, origin(None)),
            }
        }
    }

    /// What is said of a profile's file that nothing reads, or that is missing.
    fn misplaced(&self, environment: &Environment, origins: &Origins) -> Option<String> {
        let default = places::user_file(environment, DEFAULT_PROFILE)?;
        let directory = default.parent()?.join(PROFILES);
        if self.profile == DEFAULT_PROFILE {
            let unread = directory.join(format!("{DEFAULT_PROFILE}.toml"));
            return unread.exists().then(|| {
                format!(
                    "`{}` is not read: the default profile's file is `{}`",
                    unread.display(),
                    default.display()
                )
            });
        }
        (!self.has_file && !origins.set_any_in("provider")).then(|| {
            let file = directory.join(format!("{}.toml", self.profile));
            format!(
                "there is no file for the profile `{}`; if the name is right, write `{}`",
                self.profile,
                file.display()
            )
        })
    }

    fn refuse(&mut self, untrusted: &trust::Untrusted, path: &Path, owner: u32, origin: Origin) {
        self.faults.push(ConfigFault {
            origin,
            key: None,
            what: format!("the file is not used, because {untrusted}{}", untrusted.cause()),
            remedy: untrusted.remedy(path, owner),
        });
    }

    fn add_text(&mut self, text: &str, path: &Path, origin: impl Fn(Option<usize>) -> Origin) {
        self.files.push(path.to_owned());
        let entries = match toml_file::entries(text, &origin) {
            Ok(entries) => entries,
            Err(faults) => return self.faults.extend(faults),
        };
        for Entry { key, value, line } in entries {
            match option(&key) {
                // A file says whose it is, and never chooses.
                Some(_) if key == "profile" && value != Value::Text(self.profile.clone()) => {
                    self.faults.push(of_another_profile(&value, &self.profile, origin(Some(line))));
                }
                Some(option) => self.settings.push((option, value, origin(Some(line)))),
                None => self.faults.push(unknown(&key, origin(Some(line)))),
            }
        }
    }

    /// The variables that are of the profile; the others are returned.
    fn add_environment(&mut self, environment: &Environment, profile: &Chosen) -> Vec<&'static str> {
        let mut ignored = Vec::new();
        for option in all() {
            for name in option.variables {
                let Some(value) = environment.value(name) else { continue };
                if !profile.admits(option, name) {
                    ignored.push(*name);
                    continue;
                }
                let origin = Origin::Environment { name: (*name).to_owned() };
                match value.to_str() {
                    Some(text) => self.settings.push((option, option.shape.read(text), origin)),
                    None => self.faults.push(ConfigFault {
                        origin,
                        key: Some(option.key.to_owned()),
                        what: "is not UTF-8 text".to_owned(),
                        remedy: "correct or unset the variable".to_owned(),
                    }),
                }
            }
        }
        for name in environment.unknown() {
            let known = crate::environment::VARIABLES.iter().map(|variable| variable.name);
            let remedy = closest(name, known).map_or_else(
                || "unset it".to_owned(),
                |known| format!("did you mean {known}? Else unset it"),
            );
            self.faults.push(ConfigFault {
                origin: Origin::Environment { name: name.clone() },
                key: None,
                what: "is not a variable of agentauthd".to_owned(),
                remedy,
            });
        }
        if environment.value("AGENTAUTHD_CONFIG").is_some() && !profile.has_variables() {
            ignored.push("AGENTAUTHD_CONFIG");
        }
        ignored
    }

    fn add_flags(&mut self, flags: &Flags) {
        for FlagValue { flag, key, text } in &flags.values {
            let origin = Origin::Flag { name: (*flag).to_owned() };
            match option(key) {
                Some(option) => self.settings.push((option, option.shape.read(text), origin)),
                None => self.faults.push(unknown(key, origin)),
            }
        }
    }
}

fn of_another_profile(says: &Value, profile: &str, origin: Origin) -> ConfigFault {
    ConfigFault {
        origin,
        key: Some("profile".to_owned()),
        what: format!("the file says that it is of the profile {says}, and this is `{profile}`"),
        remedy: "ask for that one with `--profile`, or correct the file; the settings of a profile stand in \
                 `profiles/NAME.toml`"
            .to_owned(),
    }
}

fn unknown(key: &str, origin: Origin) -> ConfigFault {
    let remedy = closest(key, all().map(|option| option.key)).map_or_else(
        || "remove it; `agentauthd config show` lists the options".to_owned(),
        |known| format!("did you mean `{known}`?"),
    );
    ConfigFault { origin, key: Some(key.to_owned()), what: "is not an option".to_owned(), remedy }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
