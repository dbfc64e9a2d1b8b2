//! The device: this installation and the machine that it is on, as policies see them.

use crate::zone::Zone;

/// What is known of the device. Facts that nobody established are `false` or absent, never guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Device {
    /// Names the installation (`device:uuid:…`).
    pub id: String,
    /// The operating system: `linux`, `macos` or `windows`.
    pub os: String,
    /// Its version: on Linux the kernel's release. `None` where the system does not say.
    pub os_version: Option<String>,
    /// The version of the daemon.
    pub daemon_version: String,
    /// Whether an administrator's directory, which only root can write, is in force.
    pub managed: bool,
    /// Whether the device has proven to somebody else what it is. Nothing attests a device, so nothing sets this.
    pub attested: bool,
    /// Where policies read the time of day.
    pub zone: Zone,
}
