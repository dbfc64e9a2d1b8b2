//! The second place: the newest checkpoint, kept beside the record, so that a record whose end was cut off shows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agentauth_audit::{Appended, SignedCheckpoint, Trail, VerifyingKey};

/// The newest checkpoint, in the state directory.
const CHECKPOINT: &str = "audit-checkpoint";
/// The keys that signed checkpoints, one a line, the newest last, in the state directory.
const KEYS: &str = "audit-key.pub";

/// What the second place says at the start.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Nothing was ever put there, or it was taken away.
    Nothing,
    /// Something that is no checkpoint of ours, and why.
    Unusable(String),
    /// This record was on disk once.
    Record(Appended),
}

/// What does not fit between the record and its second place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmet {
    /// What is said of it.
    pub(crate) why: String,
    /// The last record that is there.
    pub(crate) last: u64,
    /// The record that was kept, where it is known.
    pub(crate) kept: Option<Appended>,
}

/// Where the newest checkpoint is.
pub(crate) fn checkpoint_path(state_directory: &Path) -> PathBuf {
    state_directory.join(CHECKPOINT)
}

/// Reads what was kept.
pub(crate) fn read(state_directory: &Path) -> Kept {
    let note = match fs::read_to_string(checkpoint_path(state_directory)) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Kept::Nothing,
        Err(error) => return Kept::Unusable(error.to_string()),
    };
    let keys = match keys(state_directory) {
        Ok(keys) => keys,
        Err(error) => return Kept::Unusable(error.to_string()),
    };
    let checked = note.parse::<SignedCheckpoint>().and_then(|note| Ok(note.verify(&keys)?.at));
    checked.map_or_else(|error| Kept::Unusable(error.to_string()), Kept::Record)
}

/// What does not fit: `last` is the last record, `watched` that of the kept number where it was read, `checkpoints` how
/// many are in the record.
pub(crate) fn held_against(
    kept: &Kept,
    trail: &Trail,
    last: Option<Appended>,
    watched: Option<Appended>,
    checkpoints: u64,
) -> Option<Unmet> {
    let last = last.map_or(0, |last| last.seq);
    let unmet = |why: String, kept| Some(Unmet { why, last, kept });
    match kept {
        // The first checkpoint is in the record before it is in the second place.
        Kept::Nothing if checkpoints > 1 => {
            unmet("the checkpoint that was kept beside the record is gone".to_owned(), None)
        }
        Kept::Nothing => None,
        Kept::Unusable(why) => {
            unmet(format!("the checkpoint kept beside the record cannot be used: {why}"), None)
        }
        Kept::Record(record) if record.seq > last => unmet(
            format!(
                "the record ends with number {last}, and number {} was in it once: its end was cut off",
                record.seq
            ),
            Some(*record),
        ),
        Kept::Record(record) => {
            let found = watched.or_else(|| of_number(trail, record.seq));
            let same = found.is_none_or(|found| found == *record);
            if same {
                return None;
            }
            unmet(
                format!(
                    "record {} is another than it was once: the record was cut or written anew",
                    record.seq
                ),
                Some(*record),
            )
        }
    }
}

/// The record of this number, from an older file; nothing if it was deleted in order.
fn of_number(trail: &Trail, seq: u64) -> Option<Appended> {
    let entry = trail.entries_after(seq.checked_sub(1)?).ok()?.next()?.ok()?;
    (entry.seq == seq).then_some(Appended { seq, hash: entry.hash })
}

/// Puts the newest checkpoint there.
pub(crate) fn keep(state_directory: &Path, note: &str) -> io::Result<()> {
    agentauth_store::write_atomic(&checkpoint_path(state_directory), note.as_bytes(), 0o600)
}

/// Sets what was kept aside, for whoever looks into it: the next checkpoint takes its place.
pub(crate) fn set_aside(state_directory: &Path, last: u64) -> io::Result<()> {
    let aside = state_directory.join(format!("{CHECKPOINT}.unmet-{last}"));
    match fs::rename(checkpoint_path(state_directory), aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

/// Names `key` as the one that signs from now on.
pub(crate) fn publish(state_directory: &Path, key: &VerifyingKey) -> io::Result<()> {
    let path = state_directory.join(KEYS);
    let known = match fs::read_to_string(&path) {
        Ok(known) => known,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let line = key.to_string();
    if known.lines().last() == Some(&line) {
        return Ok(());
    }
    let others = known.lines().filter(|other| **other != line).map(|other| format!("{other}\n"));
    let text: String = others.chain([format!("{line}\n")]).collect();
    agentauth_store::write_atomic(&path, text.as_bytes(), 0o600)
}

/// The keys that signed checkpoints; what is none is passed over.
fn keys(state_directory: &Path) -> io::Result<Vec<VerifyingKey>> {
    let text = fs::read_to_string(state_directory.join(KEYS))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use agentauth_audit::{AuditLog, Event, Kind, SigningKey};
    use agentauth_core::Timestamp;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("agentauthd/test", &[seed; 32]).unwrap()
    }

    #[test]
    fn keys_are_named_once_and_the_newest_last() {
        let room = tempfile::tempdir().unwrap();
        for seed in [1, 1, 2, 1] {
            publish(room.path(), key(seed).public()).unwrap();
        }
        assert_eq!(keys(room.path()).unwrap(), [key(2).public().clone(), key(1).public().clone()]);
    }

    #[test]
    fn a_record_that_was_cut_or_altered_does_not_meet_what_was_kept() {
        let room = tempfile::tempdir().unwrap();
        let log = AuditLog::open(&room.path().join("audit"), Timestamp::UNIX_EPOCH).unwrap();
        let trail = Trail::new(log.directory());
        let event = Event::new(Kind::Decision, Timestamp::UNIX_EPOCH);
        let first = log.append(&event).unwrap();
        let second = log.append(&event).unwrap();
        assert!(matches!(read(room.path()), Kept::Nothing));
        publish(room.path(), key(1).public()).unwrap();
        keep(room.path(), &key(1).sign(second)).unwrap();
        let kept = read(room.path());
        assert!(matches!(&kept, Kept::Record(record) if *record == second));
        let held = |kept: &Kept, last, watched, checkpoints| {
            held_against(kept, &trail, Some(last), watched, checkpoints).is_some()
        };
        assert!(!held(&kept, second, Some(second), 1) && !held(&kept, second, None, 1));
        assert!(held(&kept, first, None, 1));
        let other = Appended { hash: first.hash, ..second };
        assert!(held(&kept, second, Some(other), 1));
        assert!(!held(&Kept::Nothing, second, None, 1) && held(&Kept::Nothing, second, None, 2));

        keep(room.path(), &key(2).sign(second)).unwrap();
        assert!(matches!(read(room.path()), Kept::Unusable(_)), "signed by an unknown key");
        set_aside(room.path(), 2).unwrap();
        assert!(matches!(read(room.path()), Kept::Nothing));
        assert!(room.path().join("audit-checkpoint.unmet-2").exists());
    }
}
