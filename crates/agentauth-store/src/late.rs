//! An encrypted file that is opened when it is first used: turning the passphrase into a key takes about a second, on
//! purpose, and the daemon answers before that.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::OnceCell;

use crate::age_file::AgeFile;
use crate::name::SecretName;
use crate::port::{Health, Reply, SecretStore, StoreError};

/// An [`AgeFile`] that opens at its first use, off the thread, once.
pub struct LateAgeFile {
    directory: PathBuf,
    passphrase: SecretString,
    opened: OnceCell<Arc<AgeFile>>,
}

impl LateAgeFile {
    /// The store in `directory`; nothing is read yet. A wrong passphrase shows as an error of the first use.
    pub fn new(directory: &Path, passphrase: SecretString) -> LateAgeFile {
        LateAgeFile { directory: directory.to_owned(), passphrase, opened: OnceCell::new() }
    }

    async fn opened(&self) -> Result<&AgeFile, StoreError> {
        let open = async || {
            let (directory, passphrase) = (self.directory.clone(), self.passphrase.clone());
            match tokio::task::spawn_blocking(move || AgeFile::open(&directory, &passphrase)).await {
                Ok(outcome) => outcome.map(Arc::new),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        };
        self.opened.get_or_try_init(open).await.map(Arc::as_ref)
    }
}

impl SecretStore for LateAgeFile {
    fn get<'a>(&'a self, name: &'a SecretName) -> Reply<'a, Option<SecretString>> {
        Box::pin(async move { self.opened().await?.get(name).await })
    }

    fn set<'a>(&'a self, name: &'a SecretName, secret: &'a SecretString) -> Reply<'a, ()> {
        Box::pin(async move { self.opened().await?.set(name, secret).await })
    }

    fn remove<'a>(&'a self, name: &'a SecretName) -> Reply<'a, bool> {
        Box::pin(async move { self.opened().await?.remove(name).await })
    }

    fn describe(&self) -> &'static str {
        "age-file"
    }

    fn probe(&self) -> Pin<Box<dyn Future<Output = Health> + Send + '_>> {
        Box::pin(async move {
            match self.opened().await {
                Ok(store) => store.probe().await,
                Err(error) => Health::from_error(error),
            }
        })
    }
}
