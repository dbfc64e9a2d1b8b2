//! Secrets in age-encrypted files, for machines without a keychain; used by explicit choice only.
//!
//! `identity.age` holds an X25519 identity, encrypted under a passphrase (scrypt). Each secret is in
//! `<profile>-<kind>.age`, encrypted to that identity's recipient, so that a write needs no scrypt. The recipient is
//! written nowhere in clear, and a secret's own name is inside its ciphertext: a file of one name does not pass for
//! another. Formats: age v1 (C2SP `age`).

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use age::x25519;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::files::{private_directory, remove_durably, write_atomic, write_new};
use crate::port::Cause;
use crate::{Health, Reply, SecretName, SecretStore, StoreError};

const KIND: &str = "age-file";
const IDENTITY: &str = "identity.age";
/// The first line of what is inside a secret's file, before its name.
const HEADING: &str = "agentauthd secret v1 ";
/// No file of this store is larger: a larger one is not read.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Secrets as age-encrypted files in one directory (0700, files 0600).
#[derive(Clone)]
pub struct AgeFile {
    directory: PathBuf,
    identity: Arc<x25519::Identity>,
}

impl AgeFile {
    /// scrypt's work factor for a new identity: 2^18 rounds, about a second and 256 MiB. Fixed rather than
    /// measured, since a busy machine would measure itself weak.
    const WORK_FACTOR: u8 = 18;
    /// The most work that opening an identity may ask for.
    const MAX_WORK_FACTOR: u8 = 22;

    /// Opens the store in `directory` with `passphrase`, creating both directory and identity at first use. Blocking,
    /// for about a second of scrypt: call it from `spawn_blocking`.
    ///
    /// # Errors
    /// [`StoreError::WrongPassphrase`]; [`StoreError::Damaged`] if there are secrets without the identity that opens
    /// them; [`StoreError::Refused`] for an empty passphrase and for I/O errors.
    pub fn open(directory: &Path, passphrase: &SecretString) -> Result<AgeFile, StoreError> {
        AgeFile::open_with_work_factor(directory, passphrase, Self::WORK_FACTOR)
    }

    /// The same, with 2^`work_factor` scrypt rounds (10 to 22) should the identity be created now: for machines with
    /// little memory, and for tests.
    ///
    /// # Errors
    /// As [`AgeFile::open`].
    pub fn open_with_work_factor(
        directory: &Path,
        passphrase: &SecretString,
        work_factor: u8,
    ) -> Result<AgeFile, StoreError> {
        const ATTEMPT: &str = "open";
        if passphrase.expose_secret().is_empty() {
            return Err(refused(ATTEMPT, "give a passphrase that is not empty", None));
        }
        private_directory(directory).map_err(|cause| io_refused(ATTEMPT, directory, cause))?;
        let path = directory.join(IDENTITY);
        let sealed = match read_capped(&path) {
            Ok(Some(sealed)) => sealed,
            Ok(None) => {
                refuse_orphans(directory)?;
                let sealed = sealed_identity(passphrase, work_factor)?;
                match write_new(&path, &sealed, 0o600) {
                    Ok(()) => sealed,
                    // Another process was first: its identity is the one.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_capped(&path)
                        .map_err(|cause| io_refused(ATTEMPT, &path, cause))?
                        .ok_or_else(|| refused(ATTEMPT, "try again", None))?,
                    Err(cause) => return Err(io_refused("create its identity", &path, cause)),
                }
            }
            Err(cause) => return Err(io_refused(ATTEMPT, &path, cause)),
        };
        let identity = unsealed_identity(&path, &sealed, passphrase)?;
        Ok(AgeFile { directory: directory.to_owned(), identity: Arc::new(identity) })
    }

    /// Whether a store was created in `directory` before: then its passphrase is asked for, else a new one.
    pub fn exists(directory: &Path) -> bool {
        fs::symlink_metadata(directory.join(IDENTITY)).is_ok()
    }

    fn path(&self, name: &SecretName) -> PathBuf {
        self.directory.join(format!("{}-{}.age", name.profile(), name.kind()))
    }

    fn read(&self, name: &SecretName) -> Result<Option<SecretString>, StoreError> {
        let path = self.path(name);
        let damaged = |what, cause| StoreError::Damaged { store: KIND, name: name.to_string(), what, cause };
        let Some(sealed) = read_capped(&path).map_err(|cause| io_refused("read a secret", &path, cause))?
        else {
            return Ok(None);
        };
        let opened = age::decrypt(&*self.identity, &sealed)
            .map(Zeroizing::new)
            .map_err(|cause| damaged("it does not decrypt", Some(cause.into())))?;
        let text = std::str::from_utf8(&opened).map_err(|_| damaged("it is no text", None))?;
        let (named, secret) = text
            .strip_prefix(HEADING)
            .and_then(|rest| rest.split_once('\n'))
            .ok_or_else(|| damaged("it has no heading", None))?;
        if named != name.to_string() {
            return Err(damaged("it holds another secret", None));
        }
        Ok(Some(SecretString::from(secret)))
    }

    fn write(&self, name: &SecretName, secret: &SecretString) -> Result<(), StoreError> {
        const ATTEMPT: &str = "write a secret";
        let plain = Zeroizing::new(format!("{HEADING}{name}\n{}", secret.expose_secret()));
        let sealed = age::encrypt(&self.identity.to_public(), plain.as_bytes())
            .map_err(|cause| refused(ATTEMPT, "report this", Some(cause.into())))?;
        if sealed.len() as u64 > MAX_FILE {
            return Err(refused(ATTEMPT, "the secret is larger than 4 MiB", None));
        }
        let path = self.path(name);
        write_atomic(&path, &sealed, 0o600).map_err(|cause| io_refused(ATTEMPT, &path, cause))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        attempt: &'static str,
        work: impl FnOnce(&AgeFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || work(&store))
            .await
            .unwrap_or_else(|cause| Err(refused(attempt, "try again", Some(cause.into()))))
    }
}

impl SecretStore for AgeFile {
    fn get<'a>(&'a self, name: &'a SecretName) -> Reply<'a, Option<SecretString>> {
        let name = name.clone();
        Box::pin(self.blocking("read a secret", move |store| store.read(&name)))
    }

    fn set<'a>(&'a self, name: &'a SecretName, secret: &'a SecretString) -> Reply<'a, ()> {
        let (name, secret) = (name.clone(), secret.clone());
        Box::pin(self.blocking("write a secret", move |store| store.write(&name, &secret)))
    }

    fn remove<'a>(&'a self, name: &'a SecretName) -> Reply<'a, bool> {
        const ATTEMPT: &str = "remove a secret";
        let path = self.path(name);
        Box::pin(self.blocking(ATTEMPT, move |_| {
            remove_durably(&path).map_err(|cause| io_refused(ATTEMPT, &path, cause))
        }))
    }

    fn describe(&self) -> &'static str {
        KIND
    }

    fn probe(&self) -> Pin<Box<dyn Future<Output = Health> + Send + '_>> {
        Box::pin(async {
            let checked = self.blocking("check itself", |store| {
                let path = store.directory.join(IDENTITY);
                fs::symlink_metadata(&path).map_err(|cause| io_refused("find its identity", &path, cause))?;
                tempfile::tempfile_in(&store.directory)
                    .map_err(|cause| io_refused("write to its directory", &store.directory, cause))
            });
            checked.await.map_or_else(Health::from_error, |_| Health::Usable)
        })
    }
}

impl fmt::Debug for AgeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeFile").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn sealed_identity(passphrase: &SecretString, work_factor: u8) -> Result<Vec<u8>, StoreError> {
    let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
    recipient.set_work_factor(work_factor.clamp(10, AgeFile::MAX_WORK_FACTOR));
    let identity = x25519::Identity::generate().to_string();
    age::encrypt(&recipient, identity.expose_secret().as_bytes())
        .map_err(|cause| refused("create its identity", "report this", Some(cause.into())))
}

fn unsealed_identity(
    path: &Path,
    sealed: &[u8],
    passphrase: &SecretString,
) -> Result<x25519::Identity, StoreError> {
    let damaged =
        |what, cause| StoreError::Damaged { store: KIND, name: path.display().to_string(), what, cause };
    let mut key = age::scrypt::Identity::new(passphrase.clone());
    key.set_max_work_factor(AgeFile::MAX_WORK_FACTOR);
    let text = age::decrypt(&key, sealed).map(Zeroizing::new).map_err(|cause| match cause {
        age::DecryptError::DecryptionFailed | age::DecryptError::KeyDecryptionFailed => {
            StoreError::WrongPassphrase { path: path.display().to_string(), cause: Some(cause.into()) }
        }
        other => damaged("its identity does not decrypt", Some(other.into())),
    })?;
    std::str::from_utf8(&text)
        .ok()
        .and_then(|text| x25519::Identity::from_str(text.trim()).ok())
        .ok_or_else(|| damaged("its identity is no age identity", None))
}

/// Secrets without their identity cannot be read again; a new identity beside them would hide that.
fn refuse_orphans(directory: &Path) -> Result<(), StoreError> {
    let listing = fs::read_dir(directory).map_err(|cause| io_refused("open", directory, cause))?;
    let orphaned = listing
        .flatten()
        .any(|entry| Path::new(&entry.file_name()).extension().is_some_and(|extension| extension == "age"));
    if orphaned {
        return Err(StoreError::Damaged {
            store: KIND,
            name: directory.join(IDENTITY).display().to_string(),
            what: "there are secrets but the identity that opens them is gone",
            cause: None,
        });
    }
    Ok(())
}

fn read_capped(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_FILE => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn refused(attempt: &'static str, remedy: &str, cause: Option<Cause>) -> StoreError {
    StoreError::Refused { store: KIND, attempt, remedy: remedy.to_owned(), cause }
}

fn io_refused(attempt: &'static str, path: &Path, cause: io::Error) -> StoreError {
    let remedy = format!("check that `{}` is yours, writable and on a disk with free space", path.display());
    refused(attempt, &remedy, Some(cause.into()))
}
