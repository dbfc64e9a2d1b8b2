//! The keychain of macOS and the Credential Manager of Windows.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use keyring::{Entry, Error};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::chunks::{self, ChunkFault, Entries};
use crate::{Health, Reply, SecretName, SecretStore, StoreError};

const SERVICE: &str = "agentauthd";
const KIND: &str = if cfg!(target_os = "macos") { "keychain" } else { "credential-manager" };

/// Secrets in the user's login keychain (macOS) or Credential Manager (Windows), as entries of the service `agentauthd`
/// with the user `profile/kind`. The system's calls block, so they run on the blocking pool, each with a time limit.
#[derive(Clone)]
pub struct Native {
    patience: Duration,
}

impl Native {
    /// How long a call may take unless told otherwise. macOS may ask the user whether the program may read an entry.
    pub const PATIENCE: Duration = Duration::from_secs(20);

    /// The store of the user who runs this process.
    pub fn new() -> Native {
        Native { patience: Self::PATIENCE }
    }

    /// The same, with another limit for each call.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Native {
        Native { patience }
    }

    async fn run<T: Send + 'static>(
        &self,
        attempt: &'static str,
        name: String,
        work: impl FnOnce(&str) -> Result<T, ChunkFault<Error>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let working = name.clone();
        let task = tokio::task::spawn_blocking(move || work(&working));
        match tokio::time::timeout(self.patience, task).await {
            Ok(Ok(done)) => done.map_err(|fault| store_error(fault, attempt, name)),
            Ok(Err(cause)) => {
                let remedy = "try again".to_owned();
                Err(StoreError::Refused { store: KIND, attempt, remedy, cause: Some(cause.into()) })
            }
            Err(elapsed) => Err(StoreError::TimedOut {
                store: KIND,
                attempt,
                seconds: self.patience.as_secs(),
                cause: Some(elapsed.into()),
            }),
        }
    }
}

impl Default for Native {
    fn default() -> Native {
        Native::new()
    }
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native").field("patience", &self.patience).finish()
    }
}

impl SecretStore for Native {
    fn get<'a>(&'a self, name: &'a SecretName) -> Reply<'a, Option<SecretString>> {
        Box::pin(self.run("read a secret", name.to_string(), |name| {
            chunks::read(&System, name)?
                .map(|bytes| {
                    let text =
                        std::str::from_utf8(&bytes).map_err(|_| ChunkFault::Damaged("it is no text"))?;
                    Ok(SecretString::from(text))
                })
                .transpose()
        }))
    }

    fn set<'a>(&'a self, name: &'a SecretName, secret: &'a SecretString) -> Reply<'a, ()> {
        let secret = secret.clone();
        Box::pin(self.run("write a secret", name.to_string(), move |name| {
            let bytes = secret.expose_secret().as_bytes();
            chunks::write(&System, name, bytes)?;
            match chunks::read(&System, name)? {
                Some(back) if back.as_slice() == bytes => Ok(()),
                _ => Err(ChunkFault::Damaged("what was read back is not what was written")),
            }
        }))
    }

    fn remove<'a>(&'a self, name: &'a SecretName) -> Reply<'a, bool> {
        Box::pin(self.run("remove a secret", name.to_string(), |name| chunks::erase(&System, name)))
    }

    fn describe(&self) -> &'static str {
        KIND
    }

    fn probe(&self) -> Pin<Box<dyn Future<Output = Health> + Send + '_>> {
        Box::pin(async {
            // No secret has this name: whether the store answers "none" is what is asked.
            let checked = self.run("check itself", "-/probe".to_owned(), |name| {
                System.read(name).map(drop).map_err(ChunkFault::Entry)
            });
            checked.await.map_or_else(Health::from_error, |()| Health::Usable)
        })
    }
}

/// The entries of the operating system.
struct System;

impl Entries for System {
    type Fault = Error;
    /// `CRED_MAX_CREDENTIAL_BLOB_SIZE` of Windows; macOS has no limit that a token reaches.
    const LIMIT: usize = if cfg!(windows) { 2560 } else { 1 << 20 };

    fn read(&self, entry: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        match Entry::new(SERVICE, entry)?.get_secret() {
            Ok(secret) => Ok(Some(Zeroizing::new(secret))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, entry: &str, bytes: &[u8]) -> Result<(), Error> {
        Entry::new(SERVICE, entry)?.set_secret(bytes)
    }

    fn erase(&self, entry: &str) -> Result<bool, Error> {
        match Entry::new(SERVICE, entry)?.delete_credential() {
            Ok(()) => Ok(true),
            Err(Error::NoEntry) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn store_error(fault: ChunkFault<Error>, attempt: &'static str, name: String) -> StoreError {
    let elsewhere = "or choose the age-file store";
    match fault {
        ChunkFault::Damaged(what) => StoreError::Damaged { store: KIND, name, what, cause: None },
        // These carry the entry's bytes in their `Debug`, so they do not travel on.
        ChunkFault::Entry(Error::BadEncoding(_) | Error::BadDataFormat(..)) => {
            StoreError::Damaged { store: KIND, name, what: "it is no text", cause: None }
        }
        ChunkFault::Entry(cause @ Error::NoStorageAccess(_)) => StoreError::Locked {
            store: KIND,
            remedy: format!("unlock it and allow agentauthd to use it, {elsewhere}"),
            cause: Some(cause.into()),
        },
        ChunkFault::Entry(cause @ (Error::NoDefaultStore | Error::NotSupportedByStore(_))) => {
            StoreError::Absent { store: KIND, remedy: elsewhere.to_owned(), cause: Some(cause.into()) }
        }
        ChunkFault::Entry(cause) => StoreError::Refused {
            store: KIND,
            attempt,
            remedy: format!("see whether the system's own tool can open it, {elsewhere}"),
            cause: Some(cause.into()),
        },
    }
}
