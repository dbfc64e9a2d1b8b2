//! The port behind which every secret store stands, and how a store says no.

use std::error::Error;
use std::pin::Pin;

use secrecy::SecretString;

use crate::SecretName;

/// A store's answer on its way; boxed so that `dyn SecretStore` is possible.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The error beneath a [`StoreError`], never with a secret in it.
pub type Cause = Box<dyn Error + Send + Sync + 'static>;

/// Keeps secrets across restarts. Implementations never wait for a person and never hang: each call ends by itself.
///
/// Calls need a tokio runtime with time enabled.
pub trait SecretStore: Send + Sync {
    /// The secret under `name`; `None` when the store is open and has none.
    ///
    /// # Errors
    /// [`StoreError`]; in particular `Locked` when the store cannot tell without being unlocked.
    fn get<'a>(&'a self, name: &'a SecretName) -> Reply<'a, Option<SecretString>>;

    /// Files `secret` under `name`, replacing what was there. When it returns, the secret has been read back from
    /// the store or is on disk. After `TimedOut` it is unknown whether the old or the new one is stored.
    ///
    /// # Errors
    /// [`StoreError`].
    fn set<'a>(&'a self, name: &'a SecretName, secret: &'a SecretString) -> Reply<'a, ()>;

    /// Removes what is under `name`; `true` if something was there.
    ///
    /// # Errors
    /// [`StoreError`].
    fn remove<'a>(&'a self, name: &'a SecretName) -> Reply<'a, bool>;

    /// The kind of store, for `status` and `doctor`: `secret-service`, `keychain`, `credential-manager`, `age-file`,
    /// `memory`.
    fn describe(&self) -> &'static str;

    /// Whether the store can be used now, found out without a prompt and without storing anything.
    fn probe(&self) -> Pin<Box<dyn Future<Output = Health> + Send + '_>>;
}

/// Whether a store can be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Secrets can be read and written.
    Usable,
    /// It is there, but a person must unlock it.
    Locked {
        /// What to do.
        remedy: String,
    },
    /// There is no such store here.
    Absent {
        /// What to do.
        remedy: String,
    },
    /// It is there and does not work.
    Failing {
        /// What went wrong.
        what: String,
        /// What to do.
        remedy: String,
    },
}

impl Health {
    /// What an error of the same store says about its health.
    pub(crate) fn from_error(error: StoreError) -> Health {
        match error {
            StoreError::Locked { remedy, .. } => Health::Locked { remedy },
            StoreError::Absent { remedy, .. } => Health::Absent { remedy },
            other => Health::Failing { what: other.to_string(), remedy: other.remedy().to_owned() },
        }
    }
}

/// Why a store did not do what was asked. `remedy` is a sentence for the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store must be unlocked by a person first.
    #[error("the {store} is locked: {remedy}")]
    Locked {
        /// The kind of store.
        store: &'static str,
        /// What to do.
        remedy: String,
        /// What the store said.
        #[source]
        cause: Option<Cause>,
    },
    /// There is no such store on this machine or in this session.
    #[error("there is no usable {store}: {remedy}")]
    Absent {
        /// The kind of store.
        store: &'static str,
        /// What to do.
        remedy: String,
        /// What was found out.
        #[source]
        cause: Option<Cause>,
    },
    /// The store did not answer in time. A `set` or `remove` may or may not have happened.
    #[error(
        "the {store} did not answer within {seconds} s while trying to {attempt}: look for an open prompt of the keychain, or restart it"
    )]
    TimedOut {
        /// The kind of store.
        store: &'static str,
        /// What was attempted, as a verb phrase.
        attempt: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// The elapsed timer.
        #[source]
        cause: Option<Cause>,
    },
    /// What is stored is not what was stored.
    #[error("the secret `{name}` in the {store} is damaged ({what}): log in again to replace it")]
    Damaged {
        /// The kind of store.
        store: &'static str,
        /// Which secret (`profile/kind`), or which file.
        name: String,
        /// What is wrong with it.
        what: &'static str,
        /// What the decoder said.
        #[source]
        cause: Option<Cause>,
    },
    /// The passphrase of an encrypted store does not open it.
    #[error(
        "the passphrase does not open `{path}`: give the one that it was created with, or remove its directory and log in again"
    )]
    WrongPassphrase {
        /// The encrypted identity.
        path: String,
        /// What the decryption said.
        #[source]
        cause: Option<Cause>,
    },
    /// The store said no, or failed in another way.
    #[error("the {store} failed to {attempt}: {remedy}")]
    Refused {
        /// The kind of store.
        store: &'static str,
        /// What was attempted, as a verb phrase.
        attempt: &'static str,
        /// What to do.
        remedy: String,
        /// What the store said.
        #[source]
        cause: Option<Cause>,
    },
}

impl StoreError {
    /// What the user can do.
    pub fn remedy(&self) -> &str {
        match self {
            StoreError::Locked { remedy, .. }
            | StoreError::Absent { remedy, .. }
            | StoreError::Refused { remedy, .. } => remedy,
            StoreError::TimedOut { .. } => "look for an open prompt of the keychain, or restart it",
            StoreError::Damaged { .. } => "log in again to replace it",
            StoreError::WrongPassphrase { .. } => {
                "give the passphrase that the store was created with, or remove its directory and log in again"
            }
        }
    }

    /// Whether the same call may succeed later without anybody changing the machine's set-up: locked or slow stores.
    pub fn is_passing(&self) -> bool {
        matches!(self, StoreError::Locked { .. } | StoreError::TimedOut { .. })
    }
}
