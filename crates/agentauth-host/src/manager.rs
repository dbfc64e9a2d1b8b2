//! The user's service manager, as the system's own manager names it.
//!
//! From systemd 254 on it has a capability (`CAP_WAKE_ALARM`) that an ordinary process has not, so the kernel hides from
//! us what it runs; and who hides could be anything. The system's manager, which started it, knows its process.

use std::time::Duration;

/// How long the system's manager may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why the manager's process is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// There is no system bus, or no systemd on it that runs such a manager.
    #[cfg(target_os = "linux")]
    #[error("the system's service manager does not name the user's")]
    Bus(#[from] zbus::Error),
    /// The answer is of another form than documented.
    #[cfg(target_os = "linux")]
    #[error("the system's service manager names the user's in an unknown form")]
    Form(#[from] zbus::zvariant::Error),
    /// No answer in time.
    #[error("the system's service manager did not answer within {} s", PATIENCE.as_secs())]
    TooSlow,
    /// Not known how, on this system.
    #[error("service managers are not known on this system")]
    Unsupported,
}

/// The process of the service manager of the user `uid` (`MainPID` of `user@UID.service`, org.freedesktop.systemd1(5)), as
/// it is now; `None` where it does not run.
///
/// # Errors
/// [`ManagerError`]: then nothing is known of it.
pub async fn of_user(uid: u32) -> Result<Option<u32>, ManagerError> {
    tokio::time::timeout(PATIENCE, ask(uid)).await.map_err(|_| ManagerError::TooSlow)?
}

#[cfg(target_os = "linux")]
async fn ask(uid: u32) -> Result<Option<u32>, ManagerError> {
    const SYSTEMD: &str = "org.freedesktop.systemd1";
    // The well-known place, which is root's, whatever a variable says: the answer makes a process trusted.
    let bus = zbus::connection::Builder::address("unix:path=/run/dbus/system_bus_socket")?.build().await?;
    let unit = format!("user@{uid}.service");
    let (place, interface) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
    let unit = bus.call_method(Some(SYSTEMD), place, Some(interface), "GetUnit", &(unit,)).await?;
    let unit: zbus::zvariant::OwnedObjectPath = unit.body().deserialize()?;
    let property = ("org.freedesktop.systemd1.Service", "MainPID");
    let interface = "org.freedesktop.DBus.Properties";
    let process = bus.call_method(Some(SYSTEMD), &unit, Some(interface), "Get", &property).await?;
    let process: zbus::zvariant::OwnedValue = process.body().deserialize()?;
    let process = u32::try_from(process)?;
    Ok((process > 1).then_some(process))
}

#[cfg(not(target_os = "linux"))]
async fn ask(_uid: u32) -> Result<Option<u32>, ManagerError> {
    Err(ManagerError::Unsupported)
}
