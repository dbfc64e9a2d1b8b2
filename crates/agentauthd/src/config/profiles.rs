//! Profiles: which one is meant, which there are, and where two of them would get into each other's way.
//!
//! Architecture invariant: a profile stands alone. Its file takes nothing from another's; a variable reaches only the
//! profile that `AGENTAUTHD_PROFILE` names, since whoever set it for one profile did not mean the others.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agentauth_core::text;
use agentauth_idp::DEFAULT_PORTS;
use agentauth_ipc::location;

use super::DEFAULT_PROFILE;
use super::fault::ConfigFaults;
use super::load::{Administrator, Flags, Loaded, load_with};
use super::options::OptionSpec;
use super::places::{self, PROFILES};
use crate::environment::Environment;

/// Which profile is meant.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    /// The profile: of `--profile`, else of `AGENTAUTHD_PROFILE`, else the default one. A file never chooses.
    pub(super) name: String,
    /// The profile that the environment's variables are of.
    environments: String,
}

impl Chosen {
    /// What flags and environment say. A name that is none counts as absent here; it is reported as a fault like any
    /// wrong value.
    pub(super) fn of(environment: &Environment, flags: &Flags) -> Self {
        let valid = |name: &str| Some(name.to_owned()).filter(|name| location::is_profile_name(name));
        let environments =
            environment.value("AGENTAUTHD_PROFILE").and_then(|name| name.to_str()).and_then(valid);
        let environments = environments.unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
        let asked = flags.values.iter().rev().find(|flag| flag.key == "profile");
        let name = match asked {
            Some(flag) => valid(&flag.text).unwrap_or_else(|| DEFAULT_PROFILE.to_owned()),
            None => environments.clone(),
        };
        Self { name, environments }
    }

    /// Whether the environment's variables are of this profile.
    pub(super) fn has_variables(&self) -> bool {
        self.name == self.environments
    }

    /// Whether a variable counts for this profile. How the log looks is nobody's secret and follows the shell; the names
    /// that Descope's own SDKs use know no profiles, so they are of the default one.
    pub(super) fn admits(&self, option: &OptionSpec, variable: &str) -> bool {
        match option.key {
            "profile" => true,
            key if key.starts_with("log.") => true,
            _ if variable.starts_with("DESCOPE_") => self.name == DEFAULT_PROFILE,
            _ => self.has_variables(),
        }
    }

    /// What is said of the variables that do not count.
    pub(super) fn notes(&self, ignored: &[&'static str], file: &Path) -> Vec<String> {
        let (sdks, ours): (Vec<&str>, Vec<&str>) =
            ignored.iter().copied().partition(|name| name.starts_with("DESCOPE_"));
        let of = [(sdks, DEFAULT_PROFILE), (ours, self.environments.as_str())];
        of.into_iter()
            .filter(|(names, _)| !names.is_empty())
            .map(|(names, whose)| {
                format!(
                    "not used, because variables like that are of the profile `{whose}` and this is `{}`: {}; put what is \
                     meant for it into `{}`",
                    self.name,
                    names.join(", "),
                    file.display()
                )
            })
            .collect()
    }
}

/// A configured profile.
#[derive(Debug)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Its configuration, or what is wrong with it.
    pub loaded: Result<Loaded, ConfigFaults>,
}

impl Profile {
    fn load(environment: &Environment, name: &str, administrator: Administrator<'_>) -> Self {
        let flags = Flags::default().with("--profile", "profile", Some(name.to_owned()));
        Self { name: name.to_owned(), loaded: load_with(environment, &flags, administrator) }
    }
}

/// Every configured profile, the default one first and the others by name. A profile is configured by a file of its own;
/// the default one also by whatever names its provider.
#[must_use]
pub fn profiles(environment: &Environment) -> Vec<Profile> {
    profiles_under(environment, Administrator::OF_THIS_MACHINE)
}

fn profiles_under(environment: &Environment, administrator: Administrator<'_>) -> Vec<Profile> {
    let load = |name: &str| Profile::load(environment, name, administrator);
    let is_configured = |loaded: &Loaded| names_provider(loaded) || loaded.user_file.is_file();
    let default =
        Some(load(DEFAULT_PROFILE)).filter(|profile| profile.loaded.as_ref().map_or(true, is_configured));
    let named = names(environment, Path::new(administrator.directory));
    default.into_iter().chain(named.iter().map(|name| load(name))).collect()
}

/// The named profiles that have a file, the user's or the administrator's.
fn names(environment: &Environment, admin_directory: &Path) -> BTreeSet<String> {
    let users = places::config_dir(environment);
    let directories = users.iter().map(|base| base.join(PROFILES)).chain([admin_directory.join(PROFILES)]);
    let entries = directories.filter_map(|directory| std::fs::read_dir(directory).ok()).flatten().flatten();
    entries
        .filter_map(|entry| {
            let file = entry.file_name();
            let name = file.to_str()?.strip_suffix(".toml")?;
            (name != DEFAULT_PROFILE && location::is_profile_name(name)).then(|| name.to_owned())
        })
        .collect()
}

/// Sockets of profiles in the place where they are unless configured otherwise; whether anybody serves them is another
/// question.
#[must_use]
pub fn sockets(environment: &Environment) -> Vec<(String, PathBuf)> {
    let default = places::socket(environment, DEFAULT_PROFILE);
    let Some(entries) =
        default.as_deref().and_then(Path::parent).and_then(|path| std::fs::read_dir(path).ok())
    else {
        return Vec::new();
    };
    let mut found: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name();
            location::profile_of(file.to_str()?).map(|name| (name.to_owned(), entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// Where another profile is configured to the same as this one: ports that a login of the other may have taken, and
/// places that are not to be shared.
#[must_use]
pub fn overlaps(environment: &Environment, loaded: &Loaded) -> Vec<String> {
    overlaps_under(environment, loaded, Administrator::OF_THIS_MACHINE)
}

fn overlaps_under(
    environment: &Environment,
    loaded: &Loaded,
    administrator: Administrator<'_>,
) -> Vec<String> {
    let own = &loaded.config.profile;
    let others = profiles_under(environment, administrator).into_iter().filter(|other| other.name != *own);
    let others = others.filter_map(|other| other.loaded.ok());
    others.flat_map(|other| overlaps_with(loaded, &other)).collect()
}

fn overlaps_with(loaded: &Loaded, other: &Loaded) -> Vec<String> {
    let (own, theirs) = (&loaded.config, &other.config);
    let name = &theirs.profile;
    let mut notes = Vec::new();
    if names_provider(loaded) && names_provider(other) {
        let shared: Vec<_> = own
            .login
            .ports
            .iter()
            .filter(|port| theirs.login.ports.contains(port))
            .map(u16::to_string)
            .collect();
        if !shared.is_empty() {
            notes.push(format!(
                "`login.ports` has {} in common with the profile `{name}`, so a login of one may find them taken by \
                 the other: give one of them other ports, and register its new redirect URLs",
                shared.join(", ")
            ));
        }
    }
    let (ours, others) = (&own.paths, &theirs.paths);
    let (no_start, rules) = ("the second daemon to come does not start", "what is there for one is for both");
    for (key, place, other_place, effect) in [
        ("paths.state_dir", &ours.state_dir, &others.state_dir, no_start),
        ("paths.socket", &ours.socket, &others.socket, no_start),
        ("paths.policies_dir", &ours.policies_dir, &others.policies_dir, rules),
    ] {
        if place == other_place {
            notes.push(format!(
                "`{key}` is that of the profile `{name}` too, so {effect}: give each profile its own"
            ));
        }
    }
    notes
}

/// As many login ports as there are by default, none of which is another profile's; nothing if there are no such.
#[must_use]
pub fn free_ports(environment: &Environment, profile: &str) -> Option<Vec<u16>> {
    free_ports_under(environment, profile, Administrator::OF_THIS_MACHINE)
}

fn free_ports_under(
    environment: &Environment,
    profile: &str,
    administrator: Administrator<'_>,
) -> Option<Vec<u16>> {
    let others = profiles_under(environment, administrator).into_iter().filter(|other| other.name != profile);
    let mut taken: BTreeSet<u16> =
        others.filter_map(|other| other.loaded.ok()).flat_map(|other| other.config.login.ports).collect();
    // Reserved for the default profile, which may be configured later.
    taken.extend(DEFAULT_PORTS);
    let size = u16::try_from(DEFAULT_PORTS.len()).ok()?;
    let first = DEFAULT_PORTS.iter().min().copied()?;
    let mut bases = (first..=u16::MAX - size).step_by(size.into());
    let base = bases.find(|base| (*base..base + size).all(|port| !taken.contains(&port)))?;
    Some((base..base + size).collect())
}

/// A text whose commands are those of this profile, as [`text::addressed`] writes them; the default one's say nothing.
#[must_use]
pub fn addressed<'a>(profile: &str, text: &'a str) -> Cow<'a, str> {
    if profile == DEFAULT_PROFILE { Cow::Borrowed(text) } else { text::addressed(profile, text) }
}

/// Whether anything but the defaults says who the provider is.
fn names_provider(loaded: &Loaded) -> bool {
    loaded.origins.set_any_in("provider")
}

#[cfg(test)]
#[path = "profiles_tests.rs"]
mod tests;
