//! Who holds a port. Linux only; elsewhere nobody is named.

/// The program that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Its name as the kernel keeps it; the process may have chosen it.
    pub program: String,
}

/// Who listens on this TCP port of this machine, as far as this process may see: other users'
/// descriptors are not readable. Blocking for some milliseconds.
#[must_use]
pub fn holder(port: u16) -> Option<Holder> {
    #[cfg(target_os = "linux")]
    {
        ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().find_map(|path| {
            let table = std::fs::read_to_string(path).ok()?;
            owner_of(&format!("socket:[{}]", listening_inode(&table, port)?))
        })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = port;
        None
    }
}

/// The inode of the socket that listens on `port`, from a table such as `/proc/net/tcp` (proc_net_tcp in the kernel's documentation).
#[cfg(target_os = "linux")]
fn listening_inode(table: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        let (_, found) = local.rsplit_once(':')?;
        (state == LISTEN && u16::from_str_radix(found, 16) == Ok(port)).then_some(inode)
    })
}

/// The process that has this socket open.
#[cfg(target_os = "linux")]
fn owner_of(socket: &str) -> Option<Holder> {
    use std::fs;
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| target.as_os_str() == socket)
        });
        if holds {
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Holder { pid, program: program.trim_end().to_owned() });
        }
    }
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 0100007F:BACF 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0\n\
             \x20  1: 0100007F:BAD0 0100007F:0016 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0\n";
        assert_eq!(listening_inode(table, 0xBACF), Some("4711"));
        assert_eq!(listening_inode(table, 0xBAD0), None, "connected, not listening");

        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        assert_eq!(holder(port).map(|holder| holder.pid), Some(std::process::id()));
        drop(held);
        assert_eq!(holder(port), None);
    }
}
