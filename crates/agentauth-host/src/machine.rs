//! Which machine this is, for the record.

use std::net::IpAddr;
#[cfg(unix)]
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The machine as the record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name, where the system says one.
    pub host: Option<String>,
    /// The operating system, with its version where the system says one.
    pub os: String,
    /// Its version alone: on Linux the kernel's release.
    pub os_version: Option<String>,
    /// The address by which it would reach others; `None` without a network.
    pub address: Option<IpAddr>,
}

impl Machine {
    /// This machine as it is now. Sends nothing.
    #[must_use]
    pub fn this() -> Machine {
        let os_version = system_text("osrelease");
        let os = match &os_version {
            Some(version) => format!("{} {version}", std::env::consts::OS),
            None => std::env::consts::OS.to_owned(),
        };
        Machine { host: system_text("hostname"), os, os_version, address: address() }
    }
}

/// What Linux says of itself; nothing elsewhere.
fn system_text(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The source address of the route to addresses that are reserved for documentation (RFC 5737, RFC 3849). A datagram
/// socket that is connected has looked up its route, and has sent nothing; and it is bound to nothing but that.
#[cfg(unix)]
fn address() -> Option<IpAddr> {
    use rustix::net::{AddressFamily, SocketType, connect, socket};

    let routes: [(AddressFamily, IpAddr); 2] = [
        (AddressFamily::INET, Ipv4Addr::new(192, 0, 2, 1).into()),
        (AddressFamily::INET6, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    routes.into_iter().find_map(|(family, far)| {
        let socket = socket(family, SocketType::DGRAM, None).ok()?;
        connect(&socket, &SocketAddr::new(far, 9)).ok()?;
        let address = UdpSocket::from(socket).local_addr().ok()?.ip();
        Some(address).filter(|address| !address.is_unspecified())
    })
}

#[cfg(not(unix))]
fn address() -> Option<IpAddr> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_told_without_line_breaks() {
        let machine = Machine::this();
        assert!(machine.os.starts_with(std::env::consts::OS) && !machine.os.contains('\n'));
        assert!(machine.host.is_none_or(|host| !host.is_empty() && !host.contains('\n')));
    }
}
