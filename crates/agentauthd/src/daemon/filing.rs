//! The record, looked after beside everything else: its files are closed in time, carried over, compressed, and in the end
//! deleted but for a stub; checkpoints are signed; and when nothing could be written, it is seen when that is over.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentauth_audit::{Holdings, KeepError, Retention, SigningKey, Trail, VerifyError};
use agentauth_core::{Clock, Timestamp};
use agentauth_idp::Chain;
use agentauth_store::{SecretName, SecretStore, StateError};
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::recorder::{Checkpoint, Recorder};
use super::{kept, record, rights};
use crate::config;

/// How often it is looked whether something is due.
const EVERY: Duration = Duration::from_secs(5);
/// How many looks go by between two rounds in which all files are looked at, if none was closed.
const SELDOM: u32 = 720;
/// How often a ledger is read anew because a line was just being written.
const ATTEMPTS: usize = 5;

/// Tells the ids of the grants of which there is a copy.
pub(crate) type Copies = Box<dyn Fn() -> Result<HashSet<String>, StateError> + Send + Sync>;

/// What it is made of.
pub(crate) struct Parts {
    pub(crate) audit: Recorder,
    /// The ids of the grants of which the state database has a copy. Asks when no change is under way; blocking.
    pub(crate) copies: Copies,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: config::Audit,
    /// Where the newest checkpoint is kept too.
    pub(crate) state_directory: PathBuf,
    /// The log's name in checkpoints.
    pub(crate) origin: String,
    /// Where the key is that signs them; without one, nothing is signed.
    pub(crate) store: Option<Arc<dyn SecretStore>>,
    /// What the key is filed under.
    pub(crate) key_name: SecretName,
}

/// Looks after the record.
pub(crate) struct Filing {
    parts: Arc<Parts>,
    signing: Signing,
}

/// What is known of checkpoints.
#[derive(Default)]
struct Signing {
    key: Option<Arc<SigningKey>>,
    /// Why there is no key.
    problem: Option<String>,
    /// The file into which the key was written last, by its first record.
    named_in: u64,
    /// The newest checkpoint's record.
    newest: u64,
    at: Option<Timestamp>,
}

/// How the files stand, for `status`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filed {
    pub(crate) holdings: Holdings,
    /// What is not as it should be.
    pub(crate) problems: Vec<String>,
}

impl Filing {
    pub(crate) fn new(parts: Parts) -> Filing {
        Filing { parts: Arc::new(parts), signing: Signing::default() }
    }

    /// Runs until the daemon stops; gives itself back for [`Filing::last_checkpoint`].
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Filing {
        let mut looks = 0;
        loop {
            self.look(looks == 0).await;
            looks = (looks + 1) % SELDOM;
            let audit = &self.parts.audit;
            let records = self.parts.options.checkpoint_records;
            let many = async {
                match self.signing.key {
                    Some(_) => audit.news().beyond(self.signing.newest + records, || audit.newest()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return self,
                () = tokio::time::sleep(EVERY) => {}
                () = many => {}
            }
        }
    }

    async fn look(&mut self, thoroughly: bool) {
        let parts = self.parts.clone();
        parts.audit.probe(parts.clock.now());
        parts.audit.unfold(parts.clock.now(), false);
        if self.signing.key.is_none() {
            self.find_key().await;
        }
        let due = parts.is_due();
        if due || thoroughly {
            let (parts, key) = (parts.clone(), self.signing.key.clone());
            let problem = self.signing.problem.clone();
            off_thread(move || parts.round(due, key.as_deref(), problem)).await;
        }
        if self.is_checkpoint_due() || (due && self.signing.key.is_some()) {
            self.checkpoint().await;
        }
    }

    fn is_checkpoint_due(&self) -> bool {
        let (newest, now) = (self.parts.audit.newest(), self.parts.clock.now());
        let (signing, options) = (&self.signing, self.parts.options);
        let old = signing.at.is_none_or(|at| now.duration_since(at) >= options.checkpoint_interval);
        signing.key.is_some()
            && newest > signing.newest
            && (old || newest - signing.newest >= options.checkpoint_records)
    }

    /// Signs what is there, once it is on disk: with the daemon's last record in it, a cut shows at the next start.
    pub(crate) async fn last_checkpoint(mut self) {
        if self.signing.key.is_some() && self.parts.audit.newest() > self.signing.newest {
            self.checkpoint().await;
        }
    }

    async fn checkpoint(&mut self) {
        let Some(key) = self.signing.key.clone() else { return };
        let (parts, named_in) = (self.parts.clone(), self.signing.named_in);
        let signed = off_thread(move || parts.checkpoint(&key, named_in)).await;
        match signed {
            Some(Ok((newest, named_in))) => {
                let at = self.parts.clock.now();
                self.parts.audit.signed(Checkpoint { seq: newest, at });
                let key = self.signing.key.take();
                self.signing = Signing { newest, named_in, at: Some(at), key, problem: None };
            }
            Some(Err(why)) => {
                tracing::warn!(why, "no checkpoint of the audit log could be signed");
                self.signing.at = Some(self.parts.clock.now());
            }
            None => {}
        }
    }

    /// Takes the key from the store, or makes one.
    async fn find_key(&mut self) {
        let Some(store) = &self.parts.store else { return };
        match key(&**store, &self.parts.key_name, &self.parts.origin).await {
            Ok(key) => self.signing.key = Some(Arc::new(key)),
            Err(why) => {
                if self.signing.problem.as_ref() != Some(&why) {
                    tracing::warn!(why, "checkpoints of the audit log are not signed");
                }
                self.signing.problem = Some(why);
            }
        }
    }
}

/// The key as the store has it; a new one, if it has none.
async fn key(store: &dyn SecretStore, name: &SecretName, origin: &str) -> Result<SigningKey, String> {
    let failed = |error: &dyn std::error::Error| Chain(error).to_string();
    let stored = match store.get(name).await.map_err(|error| failed(&error))? {
        Some(stored) => stored,
        None => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *seed).map_err(|error| error.to_string())?;
            let text = SecretString::from(hex::encode(*seed));
            store.set(name, &text).await.map_err(|error| failed(&error))?;
            text
        }
    };
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(stored.expose_secret(), &mut *seed)
        .map_err(|_| "the key in the secret store is none; remove it, and another is made".to_owned())?;
    SigningKey::from_seed(origin, &seed).map_err(|error| failed(&error))
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work)
        .await
        .inspect_err(|error| tracing::error!(%error, "looking after the audit log broke down"))
        .ok()
}

impl Parts {
    fn is_due(&self) -> bool {
        self.audit.log().is_due(self.options.rotate_size, self.options.rotate_after, self.clock.now())
    }

    /// Does with the files what there is to do. Blocking.
    fn round(&self, close: bool, key: Option<&SigningKey>, problem: Option<String>) {
        let filing = self.close_and_carry(close).and_then(|()| self.keep(key));
        if let Err(problem) = &filing {
            tracing::warn!(problem, "the audit log's files are not looked after as they should be");
        }
        let holdings = self.audit.log().holdings().unwrap_or_default();
        let unsigned = problem.map(|why| format!("checkpoints of the record are not signed: {why}"));
        let problems = filing.err().into_iter().chain(unsigned).collect();
        self.audit.filed(Filed { holdings, problems });
    }

    fn close_and_carry(&self, close: bool) -> Result<(), String> {
        let log = self.audit.log();
        if close && let Some(closed) = log.rotate(self.clock.now()).map_err(|error| chain(&error))? {
            tracing::info!(file = closed.name(), "a file of the audit log is full, and the next one begun");
            self.audit.news().tell();
        }
        if log.is_carried().map_err(|error| chain(&error))? {
            return Ok(());
        }
        let trail = Trail::new(log.directory());
        for _ in 0..ATTEMPTS {
            let mut told = rights::ledger(&trail, None).map_err(|error| chain(&error))?;
            match (told.replay.flaw, told.replay.last) {
                (None, Some(last)) => {
                    // Asked after the record was read: what it gives up to there has its copy, or will not have one.
                    let copies = (self.copies)().map_err(|error| chain(&error))?;
                    told.ledger.forget_without_copy(|id| copies.contains(id));
                    let carried = log.carry(rights::carried(&told.ledger), last.seq, self.clock.now());
                    self.audit.news().tell();
                    return carried.map_err(|error| chain(&error));
                }
                (None, None) => return Ok(()),
                // Somebody is writing that line right now.
                (Some(flaw), _) if is_torn(&flaw) => {}
                (Some(flaw), _) => {
                    return Err(format!(
                        "what stands cannot be carried over into a new file: {}",
                        Chain(&flaw)
                    ));
                }
            }
        }
        Err("what stands cannot be carried over into a new file: its last line is not finished".to_owned())
    }

    fn keep(&self, key: Option<&SigningKey>) -> Result<(), String> {
        let log = self.audit.log();
        let failed = |error: KeepError| chain(&error);
        while self.options.compress && log.compress_one().map_err(failed)? {}
        let retention = Retention { age: self.options.keep_for, size: self.options.keep_size };
        let now = self.clock.now();
        for stub in log.retain(retention, now, |last| key.map(|key| key.sign(last))).map_err(failed)? {
            tracing::info!(first = stub.first, last = stub.last, "old records of the audit log were deleted");
            self.audit.note_down(&record::shortened(&stub, now));
        }
        Ok(())
    }

    /// Writes a checkpoint, and keeps it in the second place once it is on disk. Returns its number, and the file in which
    /// the key is named. Blocking.
    fn checkpoint(&self, key: &SigningKey, named_in: u64) -> Result<(u64, u64), String> {
        let (log, now) = (self.audit.log(), self.clock.now());
        let file = log.first();
        if named_in != file {
            kept::publish(&self.state_directory, key.public()).map_err(|error| error.to_string())?;
            self.audit.append(&record::checkpoint_key(key.public(), now)).map_err(|error| chain(&error))?;
        }
        let mut note = String::new();
        let signed = log
            .append_signed(now, |head| {
                note = key.sign(head);
                note.clone()
            })
            .map_err(|error| chain(&error))?;
        self.audit.news().tell();
        log.sync_to(signed.seq).map_err(|error| chain(&error))?;
        kept::keep(&self.state_directory, &note).map_err(|error| error.to_string())?;
        Ok((signed.seq, file))
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    Chain(error).to_string()
}

fn is_torn(flaw: &VerifyError) -> bool {
    matches!(flaw, VerifyError::Broken { flaw: agentauth_audit::Flaw::Torn, .. })
}

#[cfg(test)]
mod tests {
    use agentauth_audit::{AuditLog, Event, Kind};
    use agentauth_core::SignedDuration;
    use agentauth_core::ledger::Entry;
    use agentauth_host::clock::SystemClock;

    use super::*;

    fn parts(directory: &std::path::Path, copies: &[&str]) -> Arc<Parts> {
        let copies: HashSet<String> = copies.iter().map(|id| (*id).to_owned()).collect();
        let hour = SignedDuration::from_hours(1);
        let log = AuditLog::open(&directory.join("audit"), SystemClock.now()).unwrap();
        Arc::new(Parts {
            audit: Recorder::new(log),
            copies: Box::new(move || Ok(copies.clone())),
            clock: Arc::new(SystemClock),
            options: config::Audit {
                rotate_size: 1,
                rotate_after: hour,
                compress: true,
                keep_for: hour,
                keep_size: 1 << 30,
                fold_after: 1,
                fold_window: hour,
                checkpoint_records: 1000,
                checkpoint_interval: hour,
            },
            state_directory: directory.to_owned(),
            origin: "agentauthd/test".to_owned(),
            store: None,
            key_name: SecretName::checkpoint_key("test".parse().unwrap()),
        })
    }

    fn grants(kind: Kind, id: &str) -> Event<'static> {
        Event { grants: vec![id.to_owned().into()], ..Event::new(kind, SystemClock.now()) }
    }

    #[test]
    fn what_is_carried_over_does_not_grow_with_what_has_ended() {
        let room = tempfile::tempdir().unwrap();
        let parts = parts(room.path(), &["stands", "left_over"]);
        let add = |kind, id: &str| parts.audit.append(&grants(kind, id)).unwrap();
        let trail = Trail::new(parts.audit.log().directory());
        for round in 0..3 {
            for number in 0..100 {
                // Used up, or taken away: both leave nothing behind.
                let id = format!("{round}-{number}");
                add(Kind::GrantAdded, &id);
                if number % 2 == 0 {
                    add(Kind::GrantRevoked, &id);
                }
            }
            if round == 0 {
                add(Kind::GrantAdded, "stands");
                add(Kind::GrantAdded, "left_over");
                add(Kind::GrantRevoked, "left_over");
            }
            assert!(parts.is_due());
            parts.round(true, None, None);
            assert_eq!(parts.audit.files().problems, Vec::<String>::new());
            let told = rights::ledger(&trail, None).unwrap();
            let carried: Vec<Entry<'_>> = told.ledger.entries().collect();
            assert_eq!(carried, [Entry::Revoked("left_over"), Entry::Given("stands")]);
        }
    }

    #[tokio::test]
    async fn who_reads_along_is_woken_by_a_new_file() {
        let room = tempfile::tempdir().unwrap();
        let parts = parts(room.path(), &[]);
        for _ in 0..2 {
            parts.audit.append(&Event::new(Kind::Decision, SystemClock.now())).unwrap();
        }
        let audit = parts.audit.clone();
        let newest = audit.newest();
        let mut woken = tokio::spawn(async move { audit.news().beyond(newest, || audit.newest()).await });
        let early = tokio::time::timeout(Duration::from_millis(20), &mut woken).await;
        assert!(early.is_err(), "nothing is new yet");
        tokio::task::spawn_blocking(move || parts.round(true, None, None)).await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), woken).await.expect("woken").unwrap();
    }
}
