//! Notices to the service manager (systemd's `sd_notify`). Elsewhere, and outside a unit, they do nothing.

use std::io;
use std::time::Duration;

/// Says that the socket answers: units that wait for us start now.
///
/// # Errors
/// The notice could not be sent. Log it and go on.
pub fn ready() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    #[cfg(not(target_os = "linux"))]
    Ok(())
}

/// Says that we are on the way down.
///
/// # Errors
/// As [`ready`].
pub fn stopping() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    #[cfg(not(target_os = "linux"))]
    Ok(())
}

/// The line that `systemctl status` shows. Only its first line is sent: the rest would be notices of its own.
///
/// # Errors
/// As [`ready`].
pub fn status(text: &str) -> io::Result<()> {
    let line = text.lines().next().unwrap_or_default();
    #[cfg(target_os = "linux")]
    return sd_notify::notify(&[sd_notify::NotifyState::Status(line)]);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = line;
        Ok(())
    }
}

/// How often [`watchdog_ping`] is to be called, if the service manager watches us: a third of its patience, so that
/// one late ping is no restart.
pub fn watchdog_interval() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return sd_notify::watchdog_enabled().map(|patience| patience / 3);
    #[cfg(not(target_os = "linux"))]
    None
}

/// Says that we are alive; from the loop whose standstill is to be noticed.
///
/// # Errors
/// As [`ready`].
pub fn watchdog_ping() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    #[cfg(not(target_os = "linux"))]
    Ok(())
}
