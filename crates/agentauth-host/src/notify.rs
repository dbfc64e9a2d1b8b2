//! Desktop notifications (Desktop Notifications Specification 1.2), over the session bus.

#[cfg(target_os = "linux")]
use std::collections::HashMap;
use std::time::Duration;

/// How long the desktop may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why nobody was notified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotifyError {
    /// There is no session bus, or no service on it that shows notifications.
    #[cfg(target_os = "linux")]
    #[error("the desktop shows no notifications here")]
    Bus(#[from] zbus::Error),
    /// The service did not answer in time.
    #[error("the desktop did not answer within {} s", PATIENCE.as_secs())]
    TooSlow,
    /// Not known how, on this system.
    #[error("notifications are not known on this system")]
    Unsupported,
}

/// Shows a notification: a short text, and a longer one. Neither is taken for markup.
///
/// # Errors
/// [`NotifyError`]; nothing depends on a notification.
pub async fn notify(summary: &str, body: &str) -> Result<(), NotifyError> {
    tokio::time::timeout(PATIENCE, show(summary, body)).await.map_err(|_| NotifyError::TooSlow)?
}

#[cfg(target_os = "linux")]
async fn show(summary: &str, body: &str) -> Result<(), NotifyError> {
    const NAME: &str = "org.freedesktop.Notifications";
    let bus = zbus::Connection::session().await?;
    // Urgency 2 stays until the person has seen it; the transient ones of others do not push it away.
    let hints = HashMap::from([("urgency", zbus::zvariant::Value::U8(2))]);
    let (replaces, icon, actions, timeout) = (0_u32, "dialog-password", &[] as &[&str], -1_i32);
    let arguments = ("agentauthd", replaces, icon, summary, &*plain(body), actions, hints, timeout);
    bus.call_method(Some(NAME), "/org/freedesktop/Notifications", Some(NAME), "Notify", &arguments).await?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
async fn show(_summary: &str, _body: &str) -> Result<(), NotifyError> {
    Err(NotifyError::Unsupported)
}

/// The body of a notification may be markup to the desktop: what could begin any is escaped.
#[cfg(target_os = "linux")]
fn plain(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn no_markup_reaches_the_desktop() {
        assert_eq!(plain("<a href='x'>&</a>"), "&lt;a href='x'&gt;&amp;&lt;/a&gt;");
    }
}
