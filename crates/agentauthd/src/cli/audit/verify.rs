//! `agentauthd audit verify`: whether the record is as it was written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agentauth_audit::{SignedCheckpoint, Trust, Verified, VerifyFailure, VerifyingKey, verify_trail};
use agentauth_core::Timestamp;
use agentauth_core::text::{display_safe, display_safe_within};
use clap::Args;
use serde_json::{Value, json};

use super::{Record, view};
use crate::cli::output::{self, BAD, FAINT, GOOD, WARN};
use crate::cli::{Exit, Failure, words};

/// The second place, next to the directory of the record.
const SECOND_PLACE: &str = "audit-checkpoint";
/// More than any key or checkpoint has.
const LONGEST: u64 = 64 * 1024;

/// Check that nothing in the record was changed, removed or inserted. Needs no daemon and no secret. Exits with 0 if it is as
/// it was written, with 1 if not, and names the first record that is not and what was done to it.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Let only checkpoints signed by the public keys in this file count, one a line, as in `audit-key.pub`. Without it the
    /// keys count that the record itself names.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Hold the record against this checkpoint, kept elsewhere: a signed note from the journal or a collector. Without it,
    /// against the `audit-checkpoint` next to the record's directory.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Print the outcome as JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self, record: &Record) -> Result<Exit, Failure> {
        let trust = Trust { keys: self.keys()?, kept: self.kept(record.directory())? };
        if !record.directory().is_dir() {
            return Err(record.missing());
        }
        let outcome = match verify_trail(record.directory(), &trust) {
            Ok(verified) => Ok(verified),
            Err(VerifyFailure::Damaged(damage)) => Err(damage),
            Err(error) => {
                return Err(Failure::caused(
                    "could not read the record; read it as the user whose daemon writes it",
                    error,
                ));
            }
        };
        let period = record.trail.period();
        let intact = outcome.as_ref().is_ok_and(Verified::is_whole);
        if self.json {
            let place = trust.kept.as_ref().map(|(path, kept)| {
                json!({ "path": path, "size": kept.unverified().at.seq, "hash": kept.unverified().at.hash })
            });
            output::json(&as_json(intact, &outcome, period, place))?;
        } else {
            let told = match &outcome {
                Ok(verified) => told(verified, period, &trust),
                Err(damage) => {
                    format!("{BAD}damaged{BAD:#}: {}", display_safe_within(&damage.to_string(), 4096))
                }
            };
            output::data(&told)?;
        }
        Ok(if intact { Exit::Done } else { Exit::Error })
    }

    fn keys(&self) -> Result<Vec<VerifyingKey>, Failure> {
        let Some(path) = &self.key else { return Ok(Vec::new()) };
        let text = read(path).map_err(|error| unread(path, "the public key", error))?;
        let keys: Result<Vec<VerifyingKey>, _> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::parse).collect();
        match keys {
            Ok(keys) if !keys.is_empty() => Ok(keys),
            Ok(_) => Err(unread(path, "the public key", io::Error::other("there is none in it"))),
            Err(error) => Err(unread(path, "the public key", error)),
        }
    }

    /// The checkpoint that was kept elsewhere. It is read before the record, which may grow meanwhile.
    fn kept(&self, directory: &Path) -> Result<Option<(PathBuf, SignedCheckpoint)>, Failure> {
        let path = match &self.checkpoint {
            Some(path) => path.clone(),
            None => {
                match directory.canonicalize().ok().and_then(|whole| Some(whole.parent()?.join(SECOND_PLACE)))
                {
                    Some(path) => path,
                    None => return Ok(None),
                }
            }
        };
        let text = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.checkpoint.is_none() => {
                return Ok(None);
            }
            other => other.map_err(|error| unread(&path, "the checkpoint", error))?,
        };
        let kept = text
            .parse()
            .map_err(|error: agentauth_audit::NoteError| unread(&path, "the checkpoint", error))?;
        Ok(Some((path, kept)))
    }
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > LONGEST {
        return Err(io::Error::other("it is too long"));
    }
    fs::read_to_string(path)
}

fn unread(path: &Path, what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    let shown = display_safe_within(&path.display().to_string(), 1024);
    Failure::caused(format!("could not read {what} in `{shown}`; name the right file, or restore it"), error)
}

fn told(verified: &Verified, period: Option<(Timestamp, Timestamp)>, trust: &Trust) -> String {
    let count = |number: u64, one: &str| words::count(usize::try_from(number).unwrap_or(usize::MAX), one);
    let mut lines = Vec::new();
    let held = format!("{} in {}", count(verified.records, "record"), words::count(verified.files, "file"));
    if verified.is_whole() {
        lines.push(format!("{GOOD}intact{GOOD:#}: {held}"));
    } else {
        lines.push(format!("{BAD}not whole{BAD:#}: {held}"));
    }
    for loss in &verified.losses {
        lines.push(format!(
            "  {WARN}lost{WARN:#} after record {}, as record {} says: {}",
            loss.after,
            loss.seq,
            display_safe_within(&loss.message, 1024)
        ));
    }
    if let Some((first, last)) = period {
        lines.push(format!("  from {} to {}", view::time(first), view::time(last)));
    }
    if let Some(head) = verified.head {
        lines.push(format!("  size {}, hash {}", head.seq, head.hash));
    }
    if verified.deleted > 0 {
        lines.push(format!("  {} deleted when their time was over", count(verified.deleted, "record")));
    }
    if verified.torn > 0 {
        lines.push(format!("  {} cut short by a crash and set aside", count(verified.torn, "line")));
    }
    match verified.signed_to {
        Some(to) => {
            let names: Vec<_> = verified.keys.iter().map(|key| display_safe(key.name())).collect();
            lines.push(format!("  signed up to record {to} by {}", names.join(", ")));
            if trust.keys.is_empty() {
                lines.push(format!(
                    "  {FAINT}the record itself names the key; name the one that you trust with `--key`{FAINT:#}"
                ));
            }
        }
        None => lines.push(format!("  {WARN}not signed{WARN:#}: there is no checkpoint in it yet")),
    }
    match &trust.kept {
        Some((path, kept)) => lines.push(format!(
            "  holds record {} as `{}` has it",
            kept.unverified().at.seq,
            display_safe_within(&path.display().to_string(), 1024)
        )),
        None => lines.push(format!(
            "  {WARN}no checkpoint kept elsewhere{WARN:#}: whether the end is missing cannot be seen"
        )),
    }
    lines.join("\n")
}

fn as_json(
    intact: bool,
    outcome: &Result<Verified, agentauth_audit::Damage>,
    period: Option<(Timestamp, Timestamp)>,
    second_place: Option<Value>,
) -> Value {
    match outcome {
        Ok(verified) => json!({
            "intact": intact,
            "records": verified.records,
            "bytes": verified.bytes,
            "files": verified.files,
            "deleted": verified.deleted,
            "size": verified.head.map(|head| head.seq),
            "hash": verified.head.map(|head| head.hash),
            "first": period.map(|(first, _)| first),
            "last": period.map(|(_, last)| last),
            "checkpoints": verified.checkpoints,
            "signed_to": verified.signed_to,
            "keys": verified.keys.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "second_place": second_place,
            "torn": verified.torn,
            "losses": verified.losses.iter().map(|loss| json!({
                "path": loss.path, "after": loss.after, "seq": loss.seq, "message": loss.message,
            })).collect::<Vec<_>>(),
            "damage": null,
        }),
        Err(damage) => json!({
            "intact": false,
            "second_place": second_place,
            "damage": {
                "kind": damage.kind.as_str(),
                "path": damage.path,
                "line": damage.line,
                "seq": damage.seq,
                "detail": damage.detail,
            },
        }),
    }
}
