//! The Secret Service of a Linux desktop (GNOME Keyring, KWallet, KeePassXC), without ever prompting or hanging.
//!
//! Secrets cross the bus encrypted (`dh-ietf1024-sha256-aes128-cbc-pkcs7`). Items carry the attributes
//! `service=agentauthd`, `profile` and `kind`, so that `secret-tool search service agentauthd` lists them.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use secret_service::{Collection, EncryptionType, Error, Item};
use zbus::DBusError;
use zeroize::Zeroizing;

use crate::port::Cause;
use crate::{Health, Reply, SecretName, SecretStore, StoreError};

const KIND: &str = "secret-service";
/// gnome-keyring's collection in memory: what it keeps is gone at logout.
const VOLATILE: &str = "/org/freedesktop/secrets/collection/session";
const ELSE: &str = "or choose the age-file store";

type Connected = secret_service::SecretService<'static>;

/// Secrets in the keyring of the user's session.
///
/// It is asked whether it is locked before anything else, so that no prompt opens by itself; every call has a time
/// limit; a keyring daemon that was restarted is connected to again, once per call.
pub struct SecretService {
    patience: Duration,
    bus: Option<String>,
    connected: Mutex<Option<Arc<Connected>>>,
}

impl SecretService {
    /// How long a call may take unless told otherwise: a real one takes milliseconds, starting a keyring by bus
    /// activation a second.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// The service on the session bus (`DBUS_SESSION_BUS_ADDRESS`, else `$XDG_RUNTIME_DIR/bus`). Connects at the
    /// first call.
    pub fn new() -> SecretService {
        SecretService { patience: Self::PATIENCE, bus: None, connected: Mutex::new(None) }
    }

    /// The service on the bus at `address` (a D-Bus address, such as `unix:path=/run/user/1000/bus`).
    pub fn on_bus(address: &str) -> SecretService {
        SecretService { bus: Some(address.to_owned()), ..SecretService::new() }
    }

    /// The same, with another limit for each call.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> SecretService {
        SecretService { patience, ..self }
    }

    /// Runs `work` on the kept connection, or on a new one; on a new one a second time if the kept one turned out
    /// to be lost. What `work` does must bear being done twice.
    async fn run<T, W>(
        &self,
        attempt: &'static str,
        name: &str,
        work: impl Fn(Arc<Connected>) -> W,
    ) -> Result<T, StoreError>
    where
        W: Future<Output = Result<T, Fault>> + Send,
    {
        let bounded = tokio::time::timeout(self.patience, async {
            let kept = self.kept().clone();
            if let Some(connected) = kept {
                match work(connected).await {
                    Err(fault) if fault.is_lost() => {
                        tracing::debug!(%fault, "connection to the keyring lost, connecting again");
                    }
                    other => return other,
                }
            }
            *self.kept() = None;
            let connected = Arc::new(self.connect().await?);
            *self.kept() = Some(connected.clone());
            work(connected).await
        });
        match bounded.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(fault)) => {
                if fault.is_lost() {
                    *self.kept() = None;
                }
                Err(fault.into_store_error(attempt, name))
            }
            Err(elapsed) => {
                *self.kept() = None;
                let seconds = self.patience.as_secs();
                Err(StoreError::TimedOut { store: KIND, attempt, seconds, cause: Some(elapsed.into()) })
            }
        }
    }

    async fn connect(&self) -> Result<Connected, Fault> {
        let bus = match &self.bus {
            None => zbus::Connection::session().await,
            Some(address) => match zbus::connection::Builder::address(address.as_str()) {
                Ok(builder) => builder.build().await,
                Err(error) => Err(error),
            },
        }
        .map_err(Fault::NoBus)?;
        Connected::connect_with_existing(EncryptionType::Dh, bus).await.map_err(Fault::Service)
    }

    /// Never held across an await.
    fn kept(&self) -> MutexGuard<'_, Option<Arc<Connected>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for SecretService {
    fn default() -> SecretService {
        SecretService::new()
    }
}

impl fmt::Debug for SecretService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretService")
            .field("patience", &self.patience)
            .field("bus", &self.bus)
            .finish_non_exhaustive()
    }
}

impl SecretStore for SecretService {
    fn get<'a>(&'a self, name: &'a SecretName) -> Reply<'a, Option<SecretString>> {
        Box::pin(async move {
            self.run("read a secret", &name.to_string(), |service| async move {
                let home = unlocked_home(&service).await?;
                match items(&service, &home, name).await?.first() {
                    Some(item) => read(item).await.map(Some),
                    None => Ok(None),
                }
            })
            .await
        })
    }

    fn set<'a>(&'a self, name: &'a SecretName, secret: &'a SecretString) -> Reply<'a, ()> {
        Box::pin(async move {
            self.run("write a secret", &name.to_string(), |service| async move {
                let home = unlocked_home(&service).await?;
                let label = format!("agentauthd: {name}");
                let bytes = secret.expose_secret().as_bytes();
                let written = home.create_item(&label, attributes(name), bytes, true, "text/plain").await?;
                // A new connection's view would be the same: the service answers from what it keeps, so this
                // tells a service that drops or alters what it is given.
                let found = home.search_items(attributes(name)).await?;
                let back = found.iter().find(|item| **item == written).ok_or(Fault::NotKept)?;
                if read(back).await?.expose_secret() != secret.expose_secret() {
                    return Err(Fault::NotKept);
                }
                for stale in items(&service, &home, name).await?.iter().filter(|item| **item != written) {
                    if let Err(error) = stale.delete().await {
                        tracing::debug!(%error, "an older copy of a secret stays in the keyring");
                    }
                }
                Ok(())
            })
            .await
        })
    }

    fn remove<'a>(&'a self, name: &'a SecretName) -> Reply<'a, bool> {
        Box::pin(async move {
            self.run("remove a secret", &name.to_string(), |service| async move {
                let home = unlocked_home(&service).await?;
                let found = items(&service, &home, name).await?;
                for item in &found {
                    item.delete().await?;
                }
                Ok(!found.is_empty())
            })
            .await
        })
    }

    fn describe(&self) -> &'static str {
        KIND
    }

    fn probe(&self) -> Pin<Box<dyn Future<Output = Health> + Send + '_>> {
        Box::pin(async {
            let checked = self.run("tell whether it is unlocked", "", |service| async move {
                unlocked_home(&service).await.map(drop)
            });
            checked.await.map_or_else(Health::from_error, |()| Health::Usable)
        })
    }
}

/// The collection that new secrets go to: the default one, else the first that lasts. Asked for its lock first.
async fn unlocked_home(service: &Connected) -> Result<Collection<'_>, Fault> {
    let home = match service.get_default_collection().await {
        Ok(collection) => collection,
        Err(Error::NoResult) => service
            .get_all_collections()
            .await?
            .into_iter()
            .find(|collection| collection.collection_path.as_str() != VOLATILE)
            .ok_or(Fault::NoCollection)?,
        Err(error) => return Err(error.into()),
    };
    if home.is_locked().await? { Err(Fault::Locked) } else { Ok(home) }
}

/// The readable items of `name` in all collections, those of `home` first. Locked if there are only locked ones.
async fn items<'s>(
    service: &'s Connected,
    home: &Collection<'_>,
    name: &SecretName,
) -> Result<Vec<Item<'s>>, Fault> {
    let mut found = service.search_items(attributes(name)).await?;
    if found.unlocked.is_empty() && !found.locked.is_empty() {
        return Err(Fault::Locked);
    }
    let prefix = format!("{}/", home.collection_path.as_str());
    found.unlocked.sort_by_key(|item| !item.item_path.as_str().starts_with(&prefix));
    Ok(found.unlocked)
}

async fn read(item: &Item<'_>) -> Result<SecretString, Fault> {
    let bytes = Zeroizing::new(item.get_secret().await?);
    let text = std::str::from_utf8(&bytes).map_err(|_| Fault::NoText)?;
    Ok(SecretString::from(text))
}

fn attributes(name: &SecretName) -> HashMap<&str, &str> {
    HashMap::from([("service", "agentauthd"), ("profile", name.profile().as_str()), ("kind", name.kind())])
}

/// What went wrong with one call, before it is put in the port's words.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("no session bus answers")]
    NoBus(#[source] zbus::Error),
    #[error("the service failed")]
    Service(#[from] Error),
    #[error("the collection is locked")]
    Locked,
    #[error("the service has no lasting collection")]
    NoCollection,
    #[error("what was read back is not what was written")]
    NotKept,
    #[error("the stored bytes are no text")]
    NoText,
}

impl Fault {
    /// The error's name on the bus, such as `org.freedesktop.Secret.Error.IsLocked`.
    fn bus_name(&self) -> Option<String> {
        match self {
            Fault::Service(Error::Zbus(zbus::Error::MethodError(name, ..))) => Some(name.to_string()),
            Fault::Service(Error::Zbus(zbus::Error::FDO(error))) => Some(error.name().to_string()),
            Fault::Service(Error::ZbusFdo(error)) => Some(error.name().to_string()),
            _ => None,
        }
    }

    /// Whether a new connection may mend it: the bus, the keyring daemon or our session with it is gone.
    fn is_lost(&self) -> bool {
        match self {
            Fault::Service(Error::Zbus(zbus::Error::InputOutput(_))) | Fault::Service(Error::Crypto(_)) => {
                true
            }
            other => other.bus_name().is_some_and(|name| {
                matches!(
                    name.as_str(),
                    "org.freedesktop.Secret.Error.NoSession"
                        | "org.freedesktop.Secret.Error.NoSuchObject"
                        | "org.freedesktop.DBus.Error.Disconnected"
                        | "org.freedesktop.DBus.Error.NameHasNoOwner"
                        | "org.freedesktop.DBus.Error.NoReply"
                        | "org.freedesktop.DBus.Error.ServiceUnknown"
                        | "org.freedesktop.DBus.Error.UnknownMethod"
                        | "org.freedesktop.DBus.Error.UnknownObject"
                )
            }),
        }
    }

    fn is_absent(&self) -> bool {
        match self {
            Fault::NoBus(_) | Fault::Service(Error::Unavailable) => true,
            other => other.bus_name().is_some_and(|name| {
                name == "org.freedesktop.DBus.Error.ServiceUnknown"
                    || name == "org.freedesktop.DBus.Error.NameHasNoOwner"
                    || name.starts_with("org.freedesktop.DBus.Error.Spawn")
            }),
        }
    }

    fn is_locked(&self) -> bool {
        matches!(self, Fault::Locked | Fault::Service(Error::Locked))
            || self.bus_name().is_some_and(|name| name == "org.freedesktop.Secret.Error.IsLocked")
    }

    fn into_store_error(self, attempt: &'static str, name: &str) -> StoreError {
        let damaged = |what, cause: Fault| StoreError::Damaged {
            store: KIND,
            name: name.to_owned(),
            what,
            cause: Some(cause.into()),
        };
        let remedy = match &self {
            _ if self.is_locked() => {
                let remedy =
                    format!("unlock the keyring of your session (it opens with the desktop login), {ELSE}");
                return StoreError::Locked { store: KIND, remedy, cause: Some(self.into()) };
            }
            Fault::NoCollection => {
                let remedy = format!(
                    "the keyring service runs but has no keyring: create a default keyring in your desktop's password manager, {ELSE}"
                );
                return StoreError::Absent { store: KIND, remedy, cause: Some(self.into()) };
            }
            _ if self.is_absent() => {
                let remedy = format!("start a keyring service such as gnome-keyring in this session, {ELSE}");
                return StoreError::Absent { store: KIND, remedy, cause: Some(self.into()) };
            }
            Fault::NoText => return damaged("it is no text", self),
            Fault::Service(Error::Crypto(_)) => return damaged("it does not decrypt", self),
            Fault::Service(Error::Prompt | Error::PromptDisconnected) => {
                "the keyring asked and the question was dismissed; try again and answer it".to_owned()
            }
            Fault::NotKept => format!("the keyring did not keep what was written; check its disk, {ELSE}"),
            _ => format!("restart the keyring service, {ELSE}"),
        };
        StoreError::Refused { store: KIND, attempt, remedy, cause: Some(Cause::from(self)) }
    }
}
