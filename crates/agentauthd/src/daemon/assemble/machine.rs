//! The machine that the daemon runs on, as it is recorded and as policies see it.

use std::path::Path;

use agentauth_core::{MachineSet, Window, Zone};
use agentauth_host::clock::zone_name;
use agentauth_host::machine::Machine;

use crate::config::{ADMIN_DIRECTORY, trust};

/// What is recorded of the machine, and seen of it by policies.
pub(crate) fn machine_set(machine: &Machine, device: &str, working_hours: &[Window]) -> MachineSet {
    // Where work is done; else where the machine is, as far as that has a name that is known here.
    let place = working_hours.first().map(|window| window.zone().name().to_owned());
    MachineSet {
        device: device.to_owned(),
        host: machine.host.clone(),
        os: machine.os.clone(),
        os_version: machine.os_version.clone(),
        address: machine.address,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        managed: trust::is_administered(Path::new(ADMIN_DIRECTORY), 0),
        attested: false,
        time_zone: place.or_else(|| known_zone(zone_name()?)),
    }
}

/// The one way in which this time zone is written; nothing where the rules that are compiled in do not know it.
fn known_zone(name: String) -> Option<String> {
    let zone = Zone::named(&name);
    if zone.is_none() {
        tracing::warn!(
            time_zone = name,
            "no rules are known for this machine's time zone: policies read the time of day in UTC"
        );
    }
    zone.map(|zone| zone.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_without_rules_is_not_said_to_be_in_force() {
        let known = |name: &str| known_zone(name.to_owned());
        assert_eq!(known("Europe/Berlin").as_deref(), Some("Europe/Berlin"));
        assert_eq!(known("europe/berlin").as_deref(), Some("Europe/Berlin"));
        assert_eq!(known("Europe/Atlantis"), None);
    }
}
