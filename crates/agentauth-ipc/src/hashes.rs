//! SHA-256 of programs and scripts: computed once for each state of each file, off the runtime's threads.

use std::{
    collections::HashMap,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::{fd::AsFd as _, unix::fs::OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, Semaphore};

use crate::identify::{FileId, proc::file_id};

/// Largest file that is hashed, in bytes.
pub const LARGEST_FILE: u64 = 512 * 1024 * 1024;

/// Files hashed at the same time.
const WORKERS: usize = 2;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    /// Lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The digests of files, remembered by their state. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HashCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    entries: Mutex<Entries>,
    capacity: usize,
    largest: u64,
    workers: Semaphore,
}

#[derive(Debug, Default)]
struct Entries {
    by_file: HashMap<FileId, Entry>,
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    cell: Arc<OnceCell<Digest>>,
    last_use: u64,
    /// Whether the file had been left alone when it was hashed.
    settled: bool,
}

impl HashCache {
    /// A cache that remembers the digests of `capacity` files (at least one), those used last.
    pub fn new(capacity: usize) -> Self {
        Self::with_largest(capacity, LARGEST_FILE)
    }

    fn with_largest(capacity: usize, largest: u64) -> Self {
        let capacity = capacity.max(1);
        let workers = Semaphore::new(WORKERS);
        Self { inner: Arc::new(Inner { entries: Mutex::default(), capacity, largest, workers }) }
    }

    /// The digest as last computed. Ask [`digest`](Self::digest) first, which computes it anew where the file was
    /// touched too lately to be sure.
    pub fn known(&self, id: &FileId) -> Option<Digest> {
        self.inner.used(id)?.0.get().copied()
    }

    /// The digest of the file `id`, which `path` must lead to (for a program, use [`executable_path`]: it works even
    /// when the file was deleted). Whoever asks for the same file meanwhile waits for the same computation, which
    /// goes on when the asker gives up. `now` is only compared with the file's last change.
    ///
    /// # Errors
    /// See [`HashError`]; failures are not remembered.
    pub async fn digest(&self, path: &Path, id: FileId, now: SystemTime) -> Result<Digest, HashError> {
        let settled = id.is_settled(now);
        if settled
            && let Some((cell, true)) = self.inner.used(&id)
            && let Some(digest) = cell.get()
        {
            return Ok(*digest);
        }
        let cell = self.inner.cell(id, settled);
        let (inner, path) = (Arc::clone(&self.inner), path.to_owned());
        let task = tokio::spawn(async move {
            let outcome = cell.get_or_try_init(|| inner.compute(path, id)).await.copied();
            if outcome.is_err() {
                inner.forget(&id, &cell);
            }
            outcome
        });
        task.await.map_err(|source| HashError::Lost { source: Box::new(source) })?
    }
}

/// The path of a regular file, with links resolved, and the file that it leads to now. Blocking.
///
/// # Errors
/// What the system says; a path that leads to anything but a regular file.
pub fn regular_file(path: &Path) -> io::Result<(PathBuf, FileId)> {
    let resolved = path.canonicalize()?;
    let stat = rustix::fs::stat(&resolved)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok((resolved, file_id(&stat)))
}

/// The path by which the program of process `pid` can be opened, whatever became of its name.
pub fn executable_path(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/exe"))
}

impl Inner {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a file's digest and whether it is settled; counts as a use.
    fn used(&self, id: &FileId) -> Option<(Arc<OnceCell<Digest>>, bool)> {
        let mut entries = self.entries();
        entries.uses += 1;
        let uses = entries.uses;
        let entry = entries.by_file.get_mut(id)?;
        entry.last_use = uses;
        Some((Arc::clone(&entry.cell), entry.settled))
    }

    /// The place where the file's digest is or will be. Only a settled one is shared: the file may have been written
    /// since an unsettled computation began, and show the same state.
    fn cell(&self, id: FileId, settled: bool) -> Arc<OnceCell<Digest>> {
        if settled && let Some((cell, true)) = self.used(&id) {
            return cell;
        }
        let mut entries = self.entries();
        while entries.by_file.len() >= self.capacity && !entries.by_file.contains_key(&id) {
            let oldest = entries.by_file.iter().min_by_key(|(_, entry)| entry.last_use).map(|(id, _)| *id);
            let Some(oldest) = oldest else { break };
            entries.by_file.remove(&oldest);
        }
        entries.uses += 1;
        let last_use = entries.uses;
        let cell = Arc::new(OnceCell::new());
        entries.by_file.insert(id, Entry { cell: Arc::clone(&cell), last_use, settled });
        cell
    }

    fn forget(&self, id: &FileId, cell: &Arc<OnceCell<Digest>>) {
        let mut entries = self.entries();
        if entries.by_file.get(id).is_some_and(|entry| Arc::ptr_eq(&entry.cell, cell)) {
            entries.by_file.remove(id);
        }
    }

    async fn compute(&self, path: PathBuf, id: FileId) -> Result<Digest, HashError> {
        if id.size > self.largest {
            return Err(HashError::TooLarge { path, size: id.size, largest: self.largest });
        }
        let lost = |source: Box<dyn std::error::Error + Send + Sync>| HashError::Lost { source };
        let _permit = self.workers.acquire().await.map_err(|closed| lost(Box::new(closed)))?;
        tokio::task::spawn_blocking(move || hash(&path, &id))
            .await
            .map_err(|failed| lost(Box::new(failed)))?
    }
}

fn hash(path: &Path, id: &FileId) -> Result<Digest, HashError> {
    let failed = |source| HashError::Read { path: path.to_owned(), source };
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)
        .map_err(failed)?;
    let unchanged = |file: &File| {
        let stat = rustix::fs::fstat(file.as_fd()).map_err(|errno| failed(errno.into()))?;
        if file_id(&stat) == *id { Ok(()) } else { Err(HashError::Changed { path: path.to_owned() }) }
    };
    unchanged(&file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    // A file that grows is caught below; until then it must not keep us here.
    let mut left = id.size.saturating_add(1);
    while left > 0 {
        let read = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        hash.update(buffer.get(..read).unwrap_or_default());
        left = left.saturating_sub(u64::try_from(read).unwrap_or(left));
    }
    unchanged(&file)?;
    Ok(Digest(hash.finalize().into()))
}

/// Why there is no digest.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The path leads to another file, or the file changed meanwhile.
    #[error("`{path}` changed while it was being hashed; try again")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than we are ready to hash.
    #[error(
        "`{path}` has {size} bytes, and at most {largest} are hashed; select this program by its path instead"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        largest: u64,
    },
    /// The file cannot be read.
    #[error("cannot read `{path}` for hashing")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The runtime is shutting down.
    #[error("the hashing was cut short")]
    Lost {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LATER: Duration = Duration::from_secs(4_000_000_000);

    fn id(path: &Path) -> FileId {
        file_id(&rustix::fs::stat(path).unwrap())
    }

    fn later() -> SystemTime {
        SystemTime::UNIX_EPOCH + LATER
    }

    #[tokio::test]
    async fn the_digest_of_a_known_text_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        let cache = HashCache::new(4);
        assert_eq!(cache.known(&id(&path)), None);
        let digest = cache.digest(&path, id(&path), later()).await.unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(cache.known(&id(&path)), Some(digest));
    }

    #[tokio::test]
    async fn a_file_that_changed_has_another_key_and_the_old_key_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        std::fs::write(&path, "one").unwrap();
        let before = id(&path);
        std::fs::write(&path, "four").unwrap();
        let cache = HashCache::new(4);
        let error = cache.digest(&path, before, later()).await.unwrap_err();
        assert!(matches!(error, HashError::Changed { .. }), "{error}");
        assert_eq!(cache.known(&before), None);
        cache.digest(&path, id(&path), later()).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_touched_just_now_is_hashed_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        std::fs::write(&path, "one").unwrap();
        let changed = u64::try_from(id(&path).changed_ns).unwrap();
        let cache = HashCache::new(4);
        let cell = |id| Arc::clone(&cache.inner.entries().by_file.get(id).unwrap().cell);
        let id = id(&path);
        let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(changed) + Duration::from_millis(4);
        let digest = cache.digest(&path, id, now).await.unwrap();
        assert_eq!(cache.known(&id), Some(digest), "for whoever has just asked");
        let first = cell(&id);
        cache.digest(&path, id, now).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &cell(&id)), "still young");
        let settled = now + Duration::from_secs(2);
        let young = cell(&id);
        cache.digest(&path, id, settled).await.unwrap();
        let old = cell(&id);
        assert!(!Arc::ptr_eq(&young, &old), "what was computed while it was young is not believed later");
        cache.digest(&path, id, settled).await.unwrap();
        assert!(Arc::ptr_eq(&old, &cell(&id)));
    }

    #[tokio::test]
    async fn the_least_recently_used_is_forgotten_first() {
        let directory = tempfile::tempdir().unwrap();
        let cache = HashCache::new(2);
        let mut files = Vec::new();
        for name in ["a", "b", "c"] {
            let path = directory.path().join(name);
            std::fs::write(&path, name).unwrap();
            files.push((id(&path), path));
        }
        for (id, path) in &files {
            if let Some((first, _)) = files.first() {
                cache.known(first);
            }
            cache.digest(path, *id, later()).await.unwrap();
        }
        let known: Vec<bool> = files.iter().map(|(id, _)| cache.known(id).is_some()).collect();
        assert_eq!(known, [true, false, true]);
    }

    #[tokio::test]
    async fn many_askers_share_one_computation_even_when_the_first_gives_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("big");
        std::fs::write(&path, vec![1; 4 * 1024 * 1024]).unwrap();
        let cache = HashCache::new(4);
        let id = id(&path);
        let cell = {
            let first = cache.digest(&path, id, later());
            tokio::select! { biased; _ = first => panic!("that cannot be ready at once"), () = std::future::ready(()) => {} }
            Arc::clone(&cache.inner.entries().by_file.get(&id).unwrap().cell)
        };
        let askers: Vec<_> = (0..8)
            .map(|_| {
                let (cache, path) = (cache.clone(), path.clone());
                tokio::spawn(async move { cache.digest(&path, id, later()).await.unwrap() })
            })
            .collect();
        let mut digests = Vec::new();
        for asker in askers {
            digests.push(asker.await.unwrap());
        }
        assert!(digests.windows(2).all(|pair| pair.first() == pair.last()));
        assert_eq!(cell.get().copied(), digests.first().copied(), "the first computation served all");
    }

    #[tokio::test]
    async fn too_large_missing_and_no_plain_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        std::fs::write(&path, "12345").unwrap();
        let small = HashCache::with_largest(1, 4);
        assert!(matches!(
            small.digest(&path, id(&path), later()).await,
            Err(HashError::TooLarge { size: 5, .. })
        ));
        let cache = HashCache::new(1);
        let gone = id(&path);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(cache.digest(&path, gone, later()).await, Err(HashError::Read { .. })));
        let pipe = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(cache.digest(&pipe, gone, later()).await.is_err());
    }

    #[tokio::test]
    async fn our_own_program() {
        let path = executable_path(std::process::id());
        let digest = HashCache::new(1).digest(&path, id(&path), later()).await.unwrap();
        let expected: [u8; 32] = Sha256::digest(std::fs::read("/proc/self/exe").unwrap()).into();
        assert_eq!(digest.bytes(), &expected);
    }
}
