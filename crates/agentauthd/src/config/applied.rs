//! Which options of a person take effect as they were applied, and which as soon as a file says so.

use std::collections::BTreeMap;

use super::fault::ConfigFault;
use super::options::{OptionSpec, option};
use super::toml_file::Origin;
use super::value::Value;

/// Options by key, with what they are set to.
pub type Settings = BTreeMap<String, serde_json::Value>;

/// Options that give nobody a right, however they are set: what is heard and seen, where things are, how much is taken
/// on at once. Without them the daemon could not even be asked to apply the others.
const AT_ONCE: &[&str] = &[
    "profile",
    "login.loopback",
    "login.ports",
    "login.ephemeral_port",
    "login.redirect_path",
    "login.time_limit",
    "login.open_browser",
    // Authorities are another matter: whoever names one can answer in the provider's place.
    "network.proxy",
    "secrets.store",
    "secrets.passphrase_file",
    "checks.requests_per_second",
    "checks.burst",
    "checks.max_connections",
    "checks.max_connections_per_process",
    "consent.open_browser",
    "consent.notify",
    "launch.grace",
    "log.filter",
    "log.format",
    "paths.policies_dir",
    "paths.state_dir",
    "paths.socket",
];

/// One setting of a layer.
pub(super) type Set = (&'static OptionSpec, Value, Origin);

/// What all layers but the administrator's set that waits until it is applied.
pub(super) fn own(settings: &[Set]) -> Settings {
    let own = settings.iter().filter(|(option, _, origin)| awaits(option, origin));
    own.map(|(option, value, _)| (option.key.to_owned(), value.into())).collect()
}

/// Puts what was applied in the place of what all layers but the administrator's say.
pub(super) fn put(settings: &mut Vec<Set>, applied: &Settings) -> Result<(), ConfigFault> {
    settings.retain(|(option, _, origin)| !awaits(option, origin));
    let mut before = Vec::new();
    for (key, value) in applied {
        let known = option(key).filter(|known| !AT_ONCE.contains(&known.key));
        let (known, value) = known.zip(Value::of_json(value)).ok_or_else(|| ConfigFault {
            origin: Origin::Applied,
            key: Some(key.clone()),
            what: "is not an option of this version that is applied".to_owned(),
            remedy: "apply the configuration anew with `agentauthd config apply`".to_owned(),
        })?;
        before.push((known, value, Origin::Applied));
    }
    settings.splice(0..0, before);
    Ok(())
}

fn awaits(option: &OptionSpec, origin: &Origin) -> bool {
    !matches!(origin, Origin::Admin { .. }) && !AT_ONCE.contains(&option.key)
}

#[cfg(test)]
mod tests {
    use super::super::options::all;
    use super::*;

    #[test]
    fn every_exception_is_an_option() {
        for key in AT_ONCE {
            assert!(all().any(|option| option.key == *key), "{key}");
        }
    }
}
