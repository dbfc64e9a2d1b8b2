//! Which machine this is, for the record.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// The machine as the record names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its name, where the system says one.
    pub host: Option<String>,
    /// The operating system, with its version where the system says one.
    pub os: String,
    /// The address by which it would reach others; `None` without a network.
    pub address: Option<IpAddr>,
}

impl Machine {
    /// This machine as it is now. Sends nothing.
    #[must_use]
    pub fn this() -> Machine {
        Machine { host: system_text("hostname"), os: os(), address: address() }
    }
}

fn os() -> String {
    match system_text("osrelease") {
        Some(release) => format!("{} {release}", std::env::consts::OS),
        None => std::env::consts::OS.to_owned(),
    }
}

/// What Linux says of itself; nothing elsewhere.
fn system_text(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The source address of the route to addresses that are reserved for documentation (RFC 5737, RFC 3849). A datagram
/// socket that is connected has looked up its route, and has sent nothing.
fn address() -> Option<IpAddr> {
    let routes: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    routes.into_iter().find_map(|(any, far)| {
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect((far, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
    })
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
