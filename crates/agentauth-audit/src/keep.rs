//! What becomes of closed files: they are compressed, and in the end deleted but for a stub.
//!
//! Wherever the process or the machine ends on the way, what is in a file is in it or in its successor: the new form is
//! written under a name of its own, synced, read back, put in its place and synced there; only then the old form is
//! removed. Of two forms the one that says more counts, and the next round removes the other.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use crate::chain::{Flaw, Frame};
use crate::files::{Closed, Form, Stub, all_forms, open_path};
use crate::place::{open_file, remove_if_there, sync_directory};
use crate::read::{Reader, VerifyError, content};
use crate::source::Source;
use crate::{Appended, AuditLog, Trail};

/// How long records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// A closed file whose last record is older is deleted.
    pub age: SignedDuration,
    /// When all closed files together are longer, in bytes, the oldest are deleted.
    pub size: u64,
}

/// What is there of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// How many files have records in them.
    pub files: usize,
    /// How much room all files take, in bytes.
    pub bytes: u64,
    /// The number of the oldest record that is there.
    pub first: Option<u64>,
    /// Its time.
    pub oldest: Option<Timestamp>,
}

/// Why a closed file stays as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// It is not as it was written; it is left alone, as evidence.
    #[error("a closed file of the audit log is damaged, and left as it is: run `agentauthd audit verify`")]
    Damaged(#[source] VerifyError),
    /// It cannot be read or written.
    #[error("a closed file of the audit log, `{}`, cannot be {attempt}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was attempted, as a participle.
        attempt: &'static str,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
}

/// What reading a whole file shows.
struct Account {
    /// The number of the first record, and the hash before it.
    before: Appended,
    last: Appended,
    records: u64,
    bytes: u64,
    from: Timestamp,
    to: Timestamp,
    digest: [u8; 32],
}

impl AuditLog {
    /// Compresses the oldest closed file that is not compressed yet, and removes what an interrupted round left. Returns
    /// whether there was one. Blocking; off the way of appends.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn compress_one(&self) -> Result<bool, KeepError> {
        let directory = &self.directory;
        remove_leftovers(directory).map_err(|cause| failed(directory, "tidied up", cause))?;
        let files = self.forms()?;
        match files.iter().find(|file| file.form == Form::Plain) {
            Some(plain) => compress(plain).map(|_| true),
            None => Ok(false),
        }
    }

    /// Deletes the oldest closed files that `retention` does not keep, down to their stubs, unless somebody still needs
    /// them: a reader ([`AuditLog::keep_from`]), or the next start. `sign` signs a checkpoint of a stub's last record.
    /// Returns the stubs. Blocking; off the way of appends.
    ///
    /// # Errors
    /// [`KeepError`]; files before it are deleted.
    pub fn retain(
        &self,
        retention: Retention,
        now: Timestamp,
        sign: impl Fn(Appended) -> Option<String>,
    ) -> Result<Vec<Stub>, KeepError> {
        let mut files = self.forms()?;
        files.retain(|file| file.form != Form::Stub);
        files.dedup_by(|next, before| next.first == before.first);
        let mut total = 0;
        let mut sized = Vec::new();
        for file in files {
            let size =
                fs::metadata(&file.path).map_err(|cause| failed(&file.path, "looked at", cause))?.len();
            total += size;
            sized.push((file, size));
        }
        let mut needed_from = None;
        let mut stubs = Vec::new();
        for (file, size) in sized {
            let oversized = total > retention.size;
            if !oversized && now.duration_since(last_time(&file)?) <= retention.age {
                break;
            }
            let needed = match needed_from {
                Some(needed) => needed,
                None => *needed_from.insert(self.needed_from()?),
            };
            if file.last >= needed.min(self.kept_from()) {
                break;
            }
            stubs.push(delete(&file, now, &sign)?);
            total -= size;
        }
        Ok(stubs)
    }

    /// What is there.
    ///
    /// # Errors
    /// [`KeepError::File`].
    pub fn holdings(&self) -> Result<Holdings, KeepError> {
        let mut holdings = Holdings::default();
        let open = open_path(&self.directory);
        let closed = self.forms()?;
        for path in closed.iter().map(|file| &file.path).chain([&open]) {
            match fs::metadata(path) {
                Ok(metadata) => holdings.bytes += metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(cause) => return Err(failed(path, "looked at", cause)),
            }
        }
        let mut with_records: Vec<_> = closed.iter().filter(|file| file.form != Form::Stub).collect();
        with_records.dedup_by_key(|file| file.first);
        holdings.files = with_records.len() + usize::from(open.exists());
        let mut entries = Trail::new(&self.directory).entries().ok();
        if let Some(Ok(oldest)) = entries.as_mut().and_then(Iterator::next) {
            (holdings.first, holdings.oldest) = (Some(oldest.seq), Some(oldest.event.time));
        }
        Ok(holdings)
    }

    /// The first record that the next start reads.
    fn needed_from(&self) -> Result<u64, KeepError> {
        let start = Trail::new(&self.directory).start().map_err(KeepError::Damaged)?;
        Ok(start.unwrap_or(u64::MAX))
    }

    fn forms(&self) -> Result<Vec<Closed>, KeepError> {
        all_forms(&self.directory).map_err(|cause| failed(&self.directory, "listed", cause))
    }
}

/// Puts the file's compressed form in its place.
pub(crate) fn compress(plain: &Closed) -> Result<Closed, KeepError> {
    let packed = plain.in_form(Form::Packed);
    let part = part_of(&packed.path);
    let written = account(plain, Some(&part)).inspect_err(|_| {
        // If it stays, the next round removes it.
        _ = remove_if_there(&part);
    })?;
    // Read back as it will be read later, before there is nothing else to read.
    let read_back = account(&Closed { path: part.clone(), ..packed.clone() }, None)?;
    if (read_back.digest, read_back.bytes) != (written.digest, written.bytes) {
        let cause = io::Error::new(io::ErrorKind::InvalidData, "it reads back otherwise than it was written");
        return Err(failed(&part, "compressed", cause));
    }
    put(&part, &packed.path)?;
    remove_old(plain)?;
    Ok(packed)
}

/// Puts the file's stub in its place.
pub(crate) fn delete(
    file: &Closed,
    now: Timestamp,
    sign: &impl Fn(Appended) -> Option<String>,
) -> Result<Stub, KeepError> {
    let account = account(file, None)?;
    let stub = Stub {
        first: file.first,
        last: file.last,
        prev: account.before.hash,
        hash: account.last.hash,
        records: account.records,
        bytes: account.bytes,
        from: account.from,
        to: account.to,
        deleted: now,
        checkpoint: sign(account.last),
    };
    let place = file.in_form(Form::Stub).path;
    let part = part_of(&place);
    let write = || -> io::Result<()> {
        remove_if_there(&part)?;
        let mut written = open_file(&part, true)?;
        written.write_all(&serde_json::to_vec(&stub).map_err(io::Error::other)?)?;
        written.write_all(b"\n")?;
        written.sync_all()
    };
    write().map_err(|cause| failed(&part, "written", cause))?;
    put(&part, &place)?;
    for form in [Form::Packed, Form::Plain] {
        remove_old(&file.in_form(form))?;
    }
    Ok(stub)
}

/// Reads a whole closed file and checks it; writes it compressed to `packed` as it goes.
fn account(file: &Closed, packed: Option<&Path>) -> Result<Account, KeepError> {
    let unreadable = |cause| failed(&file.path, "read", cause);
    let mut output = match packed {
        Some(part) => Some(gzip(part, last_time(file)?)?),
        None => None,
    };
    let source = Source::closed(file).map_err(unreadable)?;
    // The file is judged by itself here; how it goes together with others is for those who verify.
    let mut reader = Reader::new(source, &file.path);
    let mut hasher = Sha256::new();
    let mut found: Option<Account> = None;
    let mut last_line = Vec::new();
    while let Some(line) = reader.line().map_err(KeepError::Damaged)? {
        let flaw = |flaw| KeepError::Damaged(reader.broken(flaw, None));
        let frame = Frame::parse(&line).map_err(flaw)?;
        let now = Appended { seq: frame.seq, hash: frame.hash };
        let bytes = line.len() as u64 + 1;
        match &mut found {
            None => {
                let from = content(&line).ok_or_else(|| flaw(Flaw::Content))?.time;
                let before = Appended { seq: frame.seq - 1, hash: frame.prev };
                let (records, digest) = (1, [0; 32]);
                found = Some(Account { before, last: now, records, bytes, from, to: from, digest });
            }
            Some(found) if frame.prev != found.last.hash || frame.seq != found.last.seq + 1 => {
                return Err(flaw(Flaw::Link));
            }
            Some(found) => {
                found.last = now;
                found.records += 1;
                found.bytes += bytes;
            }
        }
        hasher.update(&line);
        hasher.update(b"\n");
        if let Some(output) = &mut output {
            let written = output.write_all(&line).and_then(|()| output.write_all(b"\n"));
            written.map_err(|cause| failed(&file.path, "compressed", cause))?;
        }
        last_line = line;
    }
    if let Some(output) = output {
        let finish = || output.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all();
        finish().map_err(|cause| failed(&file.path, "compressed", cause))?;
    }
    let fits = |found: &Account| (found.before.seq + 1, found.last.seq) == (file.first, file.last);
    let Some(mut found) = found.filter(fits) else {
        return Err(KeepError::Damaged(reader.broken(Flaw::Number, None)));
    };
    found.to = content(&last_line).map_or(found.from, |event| event.time);
    found.digest = hasher.finalize().into();
    Ok(found)
}

type Gzip = flate2::write::GzEncoder<BufWriter<File>>;

/// A new compressed file. Its header says when the last record in it was written.
fn gzip(part: &Path, last: Timestamp) -> Result<Gzip, KeepError> {
    remove_if_there(part).map_err(|cause| failed(part, "made", cause))?;
    let file = open_file(part, true).map_err(|cause| failed(part, "made", cause))?;
    let seconds = u32::try_from(last.as_second()).unwrap_or(0);
    Ok(GzBuilder::new().mtime(seconds).write(BufWriter::new(file), Compression::default()))
}

/// When the last record of a closed file was written.
fn last_time(file: &Closed) -> Result<Timestamp, KeepError> {
    let found =
        crate::tail::last_time(&file.path, file.form).map_err(|cause| failed(&file.path, "read", cause))?;
    found.ok_or_else(|| {
        let (path, flaw) = (file.path.clone(), Flaw::Content);
        KeepError::Damaged(VerifyError::Broken { path, line: 0, seq: None, flaw })
    })
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// What an interrupted round has begun to write.
fn remove_leftovers(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("audit.") && name.ends_with(".part") {
            remove_if_there(&path)?;
        }
    }
    Ok(())
}

fn put(part: &Path, place: &Path) -> Result<(), KeepError> {
    let directory = place.parent().unwrap_or(Path::new("."));
    let put = fs::rename(part, place).and_then(|()| sync_directory(directory));
    put.map_err(|cause| failed(place, "put in its place", cause))
}

fn remove_old(file: &Closed) -> Result<(), KeepError> {
    remove_if_there(&file.path).map_err(|cause| failed(&file.path, "removed", cause))
}

fn failed(path: &Path, attempt: &'static str, cause: io::Error) -> KeepError {
    KeepError::File { path: path.to_owned(), attempt, cause }
}
