//! One refresh at a time, across processes.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::ProfileName;

/// How long to wait between two looks at a lock that somebody else holds.
const RETRY: Duration = Duration::from_millis(20);

/// Held while a profile's refresh token is being used: two uses of one rotating token end the session at the provider.
/// The lock is the kernel's (`flock`, `LockFileEx`) and ends with the process, however that ends. Dropping it releases it. The file
/// `refresh-<profile>.lock` stays: removing it would let two holders lock two files of one name.
#[derive(Debug)]
pub struct RefreshLock {
    _file: File,
}

impl RefreshLock {
    /// Waits up to `patience` for the lock of `profile` below `state_directory` (which must exist).
    ///
    /// # Errors
    /// [`RefreshLockError`]. Needs a tokio runtime with time enabled.
    pub async fn acquire(
        state_directory: &Path,
        profile: &ProfileName,
        patience: Duration,
    ) -> Result<RefreshLock, RefreshLockError> {
        let path = state_directory.join(format!("refresh-{profile}.lock"));
        let unusable = |cause| RefreshLockError::Unusable { path: path.clone(), cause };
        let opened = path.clone();
        let file = tokio::task::spawn_blocking(move || open(&opened))
            .await
            .map_err(|error| unusable(io::Error::other(error)))?
            .map_err(unusable)?;
        tokio::time::timeout(patience, async {
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(()),
                    Err(TryLockError::WouldBlock) => tokio::time::sleep(RETRY).await,
                    Err(TryLockError::Error(cause)) => return Err(unusable(cause)),
                }
            }
        })
        .await
        .map_err(|_| RefreshLockError::Busy { path: path.clone(), seconds: patience.as_secs() })??;
        Ok(RefreshLock { _file: file })
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    }
    options.open(path)
}

/// Why the lock was not got.
#[derive(Debug, thiserror::Error)]
pub enum RefreshLockError {
    /// Another process kept it all the time.
    #[error("another process kept refreshing for {seconds} s (lock `{}`): see whether a second daemon runs", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The lock file could not be opened or locked.
    #[error("the lock `{}` cannot be used: check that its directory is yours and writable", path.display())]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> ProfileName {
        name.parse().unwrap()
    }

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn one_holder_at_a_time_and_profiles_apart() {
        let dir = tempfile::tempdir().unwrap();
        let held = RefreshLock::acquire(dir.path(), &profile("dev"), LONG).await.unwrap();
        let _other = RefreshLock::acquire(dir.path(), &profile("prod"), LONG).await.unwrap();
        let refused = RefreshLock::acquire(dir.path(), &profile("dev"), Duration::from_millis(60)).await;
        assert!(matches!(refused, Err(RefreshLockError::Busy { .. })), "{refused:?}");
        drop(held);
        RefreshLock::acquire(dir.path(), &profile("dev"), LONG).await.unwrap();
    }

    #[tokio::test]
    async fn a_waiter_gets_it_when_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let held = RefreshLock::acquire(dir.path(), &profile("dev"), LONG).await.unwrap();
        let path = dir.path().to_owned();
        let waiter =
            tokio::spawn(async move { RefreshLock::acquire(&path, &profile("dev"), LONG).await.map(drop) });
        tokio::task::yield_now().await;
        drop(held);
        waiter.await.unwrap().unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_in_its_place_and_a_missing_directory_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("refresh-dev.lock"))
            .unwrap();
        let linked = RefreshLock::acquire(dir.path(), &profile("dev"), LONG).await;
        assert!(matches!(linked, Err(RefreshLockError::Unusable { .. })), "{linked:?}");
        let missing = RefreshLock::acquire(&dir.path().join("no"), &profile("dev"), LONG).await;
        assert!(matches!(missing, Err(RefreshLockError::Unusable { .. })), "{missing:?}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn it_holds_across_processes_and_ends_with_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        drop(RefreshLock::acquire(dir.path(), &profile("dev"), LONG).await.unwrap());
        #[allow(clippy::disallowed_methods, reason = "the other process of this test")]
        let mut holder = std::process::Command::new("flock")
            .arg("--no-fork")
            .arg(dir.path().join("refresh-dev.lock"))
            .args(["sh", "-c", "echo held; exec sleep 600"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = std::io::BufReader::new(holder.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut said).unwrap();
        assert_eq!(said, "held\n");
        let refused = RefreshLock::acquire(dir.path(), &profile("dev"), Duration::from_millis(60)).await;
        assert!(matches!(refused, Err(RefreshLockError::Busy { .. })), "{refused:?}");
        holder.kill().unwrap();
        holder.wait().unwrap();
        RefreshLock::acquire(dir.path(), &profile("dev"), LONG).await.unwrap();
    }
}
