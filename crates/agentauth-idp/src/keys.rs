//! The provider's public keys, kept fresh: fetched at most so often, by one task at a time, replaced as a whole,
//! remembered on disk for a start without network, and used no longer than a day without confirmation.
//!
//! How long a key works that the provider has withdrawn ("rotate and revoke", sheet 2.3): [`REVOCATION_BOUND`] at most
//! where the provider can be reached, [`STALE_LIMIT`] where it cannot; and in any case no longer than the token itself.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agentauth_core::claims::KeyRefusal;
use agentauth_core::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::discovery::{self, DiscoveryError};
use crate::jwks::{KeyNames, KeySet, KeySetFault, SignatureFault, Verified, hopeless};
use crate::problem::Problem;
use crate::provider::Provider;
use crate::text::shown;
use crate::transport::{Answer, HttpError, describe};

/// How long a set counts as current unless the provider says otherwise; what it says is clamped to
/// [`SHORTEST_LIFE`]..=[`LONGEST_LIFE`].
pub const DEFAULT_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// The shortest life that the provider can ask for.
pub const SHORTEST_LIFE: SignedDuration = SignedDuration::from_mins(5);
/// The longest life that the provider can ask for: a longer one would let a withdrawn key work for as long.
pub const LONGEST_LIFE: SignedDuration = SignedDuration::from_hours(1);
/// How long a token is believed whose key the provider has withdrawn, while the provider can be reached.
pub const REVOCATION_BOUND: SignedDuration = LONGEST_LIFE;
/// How long a set is used at all when it cannot be confirmed.
pub const STALE_LIMIT: SignedDuration = SignedDuration::from_hours(24);
/// The least time between two fetches that tokens with unknown keys cause.
pub const FETCH_INTERVAL: SignedDuration = SignedDuration::from_secs(60);
/// How long a key that the provider does not publish is remembered as unknown.
pub const UNKNOWN_LIFE: SignedDuration = SignedDuration::from_mins(5);

/// The least time between two fetches after one failed.
const RETRY_INTERVAL: SignedDuration = SignedDuration::from_secs(5);
/// How many unknown key identifiers are remembered.
const MAX_UNKNOWN: usize = 256;
/// How far in the future a moment may lie that another task has noted since this one looked at the clock.
const RACE: SignedDuration = SignedDuration::from_secs(10);
/// How far in the future a remembered fetch may lie before its time is not believed.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(5);

/// The key set of one provider. Cheap to clone; clones share the set.
#[derive(Clone)]
pub struct Keys {
    shared: Arc<Shared>,
}

struct Shared {
    source: Option<Source>,
    names: KeyNames,
    state: Mutex<State>,
    flight: tokio::sync::Mutex<()>,
}

struct Source {
    provider: Provider,
    /// What the set is called in the cache: the address that it comes from, or that leads to it.
    name: String,
    cache: Option<PathBuf>,
}

#[derive(Default)]
struct State {
    held: Option<Arc<Held>>,
    /// Counts the attempts, so that whoever waited for another's fetch knows it.
    attempts: u64,
    failed_at: Option<Timestamp>,
    /// The latest instant that was asked about since the set was fetched: a clock that is set back makes no set younger.
    latest: Option<Timestamp>,
    unknown: VecDeque<(String, Timestamp)>,
}

/// A set and since when it is known to be the provider's.
struct Held {
    set: KeySet,
    fetched_at: Timestamp,
    life: SignedDuration,
}

/// What [`Keys::refresh_if_due`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRefresh {
    /// Nothing: the set is young enough, or the last failure is too recent.
    NotDue,
    /// The set was fetched and has the same keys.
    Unchanged,
    /// The set was fetched and has other keys: sessions signed with one that is gone are to be looked at again.
    Changed,
}

/// Why the key set could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum KeyFetchError {
    /// No answer.
    #[error("cannot fetch the provider's keys")]
    Http(#[from] HttpError),
    /// It is not known where they are.
    #[error("cannot find the provider's keys")]
    Discovery(#[from] DiscoveryError),
    /// Another status than 200.
    #[error("the provider has no keys there ({0}); check the provider's configuration")]
    Status(Box<Problem>),
    /// Not a key set.
    #[error("the provider's keys cannot be used")]
    Document(#[from] KeySetFault),
    /// These keys were given, not fetched.
    #[error("this key set has no source to be fetched from")]
    NoSource,
}

/// Why a token's signature was not found to be good.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The token itself is at fault.
    #[error(transparent)]
    Signature(#[from] SignatureFault),
    /// There are no keys, and none could be fetched.
    #[error("the provider's keys are not known, so no token can be verified: {why}")]
    NoKeys {
        /// Why not.
        why: String,
    },
    /// The keys were not confirmed for too long.
    #[error("the provider's keys were last confirmed at {fetched_at}, too long ago to trust them: {why}")]
    Stale {
        /// When they were.
        fetched_at: Timestamp,
        /// Why they were not confirmed since.
        why: String,
    },
}

impl KeyError {
    /// A stable code for logs and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature(fault) => fault.code(),
            Self::NoKeys { .. } => "no_keys",
            Self::Stale { .. } => "stale_keys",
        }
    }
}

/// The file that remembers a set. It holds nothing secret.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    version: u32,
    url: String,
    fetched_at: Timestamp,
    life_seconds: i64,
    jwks: serde_json::Value,
}

impl Provider {
    /// The keys of this provider: of a Descope project from `/v2/keys/{project}` (sheet 2.1), of any other from the
    /// `jwks_uri` that it names. With a `cache` file, the set that it
    /// remembers is used until the provider can be asked; a file that is missing, foreign or broken counts as absent.
    /// Blocks for the reading of that file only.
    pub fn keys(&self, cache: Option<PathBuf>, now: Timestamp) -> Keys {
        let (name, names) = match self.config.project_id() {
            Some(project) => (self.config.at(&format!("v2/keys/{project}")), KeyNames::Required),
            None => (discovery::address(&self.config), KeyNames::Optional),
        };
        let held = cache.as_deref().and_then(|path| recall(path, &name, names, now)).map(Arc::new);
        let source = Some(Source { provider: self.clone(), name, cache });
        Keys::with(source, names, State { held, latest: Some(now), ..State::default() })
    }
}

impl Keys {
    /// Keys given as a `{"keys":[…]}` document, known to be good since `fetched_at`; they are never fetched.
    ///
    /// # Errors
    /// See [`KeySetFault`].
    pub fn from_set(document: &[u8], fetched_at: Timestamp) -> Result<Self, KeySetFault> {
        let names = KeyNames::Required;
        let held = Held { set: KeySet::parse(document, names)?, fetched_at, life: DEFAULT_LIFE };
        Ok(Self::with(None, names, State { held: Some(Arc::new(held)), ..State::default() }))
    }

    fn with(source: Option<Source>, names: KeyNames, state: State) -> Self {
        Self {
            shared: Arc::new(Shared {
                source,
                names,
                state: Mutex::new(state),
                flight: tokio::sync::Mutex::new(()),
            }),
        }
    }

    /// Verifies the signature of `token`, fetching the keys first where there are none, where they are too old, or
    /// where the token names one that is not known (RFC 7517; OpenID Connect Core 10.1.1).
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, KeyError> {
        let kid = hopeless(token, self.shared.names)?.kid.unwrap_or_default();
        let seen = self.state().attempts;
        let held = match self.current(now) {
            Some(held) => held,
            None => self.renew(seen, now).await?,
        };
        match held.set.verify(token) {
            Err(SignatureFault::Key(KeyRefusal::UnknownKey { .. }))
                if self.worth_fetching(&kid, &held, now) =>
            {
                let _ = self.fetch_once(seen, now).await;
                let held = self.usable(now)?;
                let outcome = held.set.verify(token);
                if matches!(outcome, Err(SignatureFault::Key(KeyRefusal::UnknownKey { .. })))
                    && held.fetched_at == now
                {
                    self.remember_unknown(kid, now);
                }
                Ok(outcome?)
            }
            outcome => Ok(outcome?),
        }
    }

    /// Verifies the signature of `token` with the keys at hand, without network.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn verify_at_hand(&self, token: &str, now: Timestamp) -> Result<Verified, KeyError> {
        Ok(self.usable(now)?.set.verify(token)?)
    }

    /// Fetches the set if most of its life is over; for a timer.
    ///
    /// # Errors
    /// See [`KeyFetchError`]; the old set stays.
    pub async fn refresh_if_due(&self, now: Timestamp) -> Result<KeyRefresh, KeyFetchError> {
        let seen = {
            let mut state = self.state();
            let (_, latest) = state.at(now);
            let due = state.held.as_ref().is_none_or(|held| latest >= held.due_at() || held.lies_ahead(now));
            if self.shared.source.is_none() || !due || recently(state.failed_at, RETRY_INTERVAL, now) {
                return Ok(KeyRefresh::NotDue);
            }
            state.attempts
        };
        self.fetch_once(seen, now).await
    }

    /// Fetches the set now, whatever its age: when the provider signals a change.
    ///
    /// # Errors
    /// See [`KeyFetchError`]; the old set stays.
    pub async fn fetch(&self, now: Timestamp) -> Result<KeyRefresh, KeyFetchError> {
        let seen = self.state().attempts;
        self.fetch_once(seen, now).await
    }

    /// Whether the provider publishes this key, as far as is known.
    pub fn contains(&self, kid: &str) -> bool {
        self.state().held.as_ref().is_some_and(|held| held.set.contains(kid))
    }

    /// The identifiers of the keys at hand.
    pub fn ids(&self) -> Vec<String> {
        let held = self.state().held.clone();
        held.map(|held| held.set.ids().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// When the set was last fetched.
    pub fn fetched_at(&self) -> Option<Timestamp> {
        self.state().held.as_ref().map(|held| held.fetched_at)
    }

    /// How long ago the set was last fetched.
    pub fn age(&self, now: Timestamp) -> Option<SignedDuration> {
        self.fetched_at().map(|at| now.duration_since(at))
    }

    /// Until when the set may be used without being confirmed.
    pub fn fresh_until(&self) -> Option<Timestamp> {
        self.fetched_at().and_then(|at| at.checked_add(STALE_LIMIT).ok())
    }

    /// When [`Keys::refresh_if_due`] will fetch; `None` means at once.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.state().held.as_ref().map(|held| held.due_at())
    }

    /// The set if it needs no fetch.
    fn current(&self, now: Timestamp) -> Option<Arc<Held>> {
        let (held, now) = self.state().at(now);
        let held = held?;
        let fixed = self.shared.source.is_none() && held.usable(now);
        (fixed || held.current(now)).then_some(held)
    }

    /// The set if it may be used at all.
    fn usable(&self, now: Timestamp) -> Result<Arc<Held>, KeyError> {
        let why = || "the provider could not be asked since".to_owned();
        let (held, now) = self.state().at(now);
        match held {
            Some(held) if held.usable(now) => Ok(held),
            Some(held) => Err(KeyError::Stale { fetched_at: held.fetched_at, why: why() }),
            None => Err(KeyError::NoKeys { why: "they were not fetched yet".to_owned() }),
        }
    }

    /// Fetches a set in place of one that is missing or old; an old one goes on for a while if that fails.
    async fn renew(&self, seen: u64, now: Timestamp) -> Result<Arc<Held>, KeyError> {
        let failed_at = self.state().failed_at;
        let why = if recently(failed_at, RETRY_INTERVAL, now) {
            "the last attempt failed a moment ago".to_owned()
        } else {
            match self.fetch_once(seen, now).await {
                Ok(_) => String::new(),
                Err(error) => describe(&error),
            }
        };
        self.usable(now).map_err(|error| match error {
            KeyError::NoKeys { .. } => KeyError::NoKeys { why },
            KeyError::Stale { fetched_at, .. } => KeyError::Stale { fetched_at, why },
            other @ KeyError::Signature(_) => other,
        })
    }

    /// Whether an unknown key is a reason to fetch: not if it was asked for lately, and not too often.
    fn worth_fetching(&self, kid: &str, held: &Held, now: Timestamp) -> bool {
        let state = self.state();
        self.shared.source.is_some()
            && !state.unknown.iter().any(|(known, at)| known == kid && within(*at, UNKNOWN_LIFE, now))
            && !within(held.fetched_at, FETCH_INTERVAL, now)
            && !recently(state.failed_at, FETCH_INTERVAL, now)
    }

    fn remember_unknown(&self, kid: String, now: Timestamp) {
        let mut state = self.state();
        state.unknown.retain(|(known, at)| *known != kid && within(*at, UNKNOWN_LIFE, now));
        while state.unknown.len() >= MAX_UNKNOWN {
            state.unknown.pop_front();
        }
        state.unknown.push_back((kid, now));
    }

    /// One fetch for all who want one: whoever comes while it runs waits for it and does not repeat it. `seen` is the
    /// number of attempts when the caller looked.
    async fn fetch_once(&self, seen: u64, now: Timestamp) -> Result<KeyRefresh, KeyFetchError> {
        let _flight = self.shared.flight.lock().await;
        if self.state().attempts != seen {
            return Ok(KeyRefresh::Unchanged);
        }
        let source = self.shared.source.as_ref().ok_or(KeyFetchError::NoSource)?;
        let outcome = download(source, self.shared.names).await;
        let (held, document) = {
            let mut state = self.state();
            state.attempts += 1;
            match outcome {
                Ok((set, life, document)) => {
                    let held = Arc::new(Held { set, fetched_at: now, life });
                    state.failed_at = None;
                    state.latest = None;
                    state.unknown.retain(|(kid, _)| !held.set.contains(kid));
                    let before = state.held.replace(held.clone());
                    let changed = before.is_none_or(|before| !before.set.ids().eq(held.set.ids()));
                    if held.set.ignored() > 0 {
                        tracing::debug!(ignored = held.set.ignored(), "some published keys cannot be used");
                    }
                    ((held, changed), document)
                }
                Err(error) => {
                    state.failed_at = Some(now);
                    tracing::debug!(error = describe(&error), "the provider's keys were not fetched");
                    return Err(error);
                }
            }
        };
        let (held, changed) = held;
        if let Some(path) = source.cache.clone() {
            let remembered = Remembered {
                version: 1,
                url: source.name.clone(),
                fetched_at: held.fetched_at,
                life_seconds: held.life.as_secs(),
                jwks: document,
            };
            let written = tokio::task::spawn_blocking(move || remember(&path, &remembered)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(kind = %error.kind(), "the provider's keys could not be written to their cache file");
            }
        }
        Ok(if changed { KeyRefresh::Changed } else { KeyRefresh::Unchanged })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and every state in between is a valid one.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("Keys")
            .field("ids", &state.held.as_ref().map(|held| held.set.ids().collect::<Vec<_>>()))
            .field("fetched_at", &state.held.as_ref().map(|held| held.fetched_at))
            .finish_non_exhaustive()
    }
}

impl State {
    /// The set, and the latest instant that was seen since it was fetched, which may be later than `now`.
    fn at(&mut self, now: Timestamp) -> (Option<Arc<Held>>, Timestamp) {
        let latest = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(latest);
        (self.held.clone(), latest)
    }
}

impl Held {
    fn age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.fetched_at)
    }

    /// The clock was set back: the age is not known, so it is not young.
    fn lies_ahead(&self, now: Timestamp) -> bool {
        self.age(now) < -CLOCK_SLACK
    }

    fn current(&self, now: Timestamp) -> bool {
        !self.lies_ahead(now) && self.age(now) < self.life
    }

    fn usable(&self, now: Timestamp) -> bool {
        !self.lies_ahead(now) && self.age(now) < STALE_LIMIT
    }

    /// After four fifths of its life.
    fn due_at(&self) -> Timestamp {
        self.fetched_at.checked_add(self.life * 4 / 5).unwrap_or(self.fetched_at)
    }
}

/// Whether `at` lies less than `span` before `now`. A moment further in the future than tasks can overtake each other
/// counts as long ago: the clock was set back.
fn within(at: Timestamp, span: SignedDuration, now: Timestamp) -> bool {
    let ago = now.duration_since(at);
    ago > -RACE && ago < span
}

fn recently(at: Option<Timestamp>, span: SignedDuration, now: Timestamp) -> bool {
    at.is_some_and(|at| within(at, span, now))
}

async fn download(
    source: &Source,
    names: KeyNames,
) -> Result<(KeySet, SignedDuration, serde_json::Value), KeyFetchError> {
    let provider = &source.provider;
    let answer = match provider.config.oidc() {
        None => provider.http.get(&source.name).await?,
        Some(_) => provider.http.get(provider.metadata().await?.jwks_uri.as_str()).await?,
    };
    if answer.status != http::StatusCode::OK {
        return Err(KeyFetchError::Status(Box::new(Problem::of(&answer))));
    }
    let set = KeySet::parse(&answer.body, names)?;
    let document = serde_json::from_slice(&answer.body).map_err(|_| KeySetFault::Shape)?;
    Ok((set, life(&answer), document))
}

/// `max-age`, clamped. Descope says `no-store`, which would mean a fetch per token; it counts as saying nothing.
fn life(answer: &Answer) -> SignedDuration {
    let directives = answer.text(http::header::CACHE_CONTROL.as_str()).unwrap_or_default();
    let said = directives
        .split(',')
        .filter_map(|directive| directive.trim().strip_prefix("max-age="))
        .find_map(|seconds| seconds.parse::<i64>().ok())
        .filter(|&seconds| seconds > 0);
    match said {
        Some(seconds) => SignedDuration::from_secs(seconds).clamp(SHORTEST_LIFE, LONGEST_LIFE),
        None => DEFAULT_LIFE,
    }
}

/// Writes the file whole or not at all: beside it first, then in its place.
fn remember(path: &Path, remembered: &Remembered) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec(remembered)?)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Reads what [`remember`] wrote, if it is of this source and not too old to be of use.
fn recall(path: &Path, name: &str, names: KeyNames, now: Timestamp) -> Option<Held> {
    let mut text = Vec::new();
    let limit = 2 * crate::transport::MAX_ANSWER_BYTES as u64;
    std::fs::File::open(path).ok()?.take(limit).read_to_end(&mut text).ok()?;
    let remembered: Remembered = serde_json::from_slice(&text)
        .map_err(|error| {
            tracing::warn!(
                line = error.line(),
                "the cache file of the provider's keys is broken; it is ignored"
            );
        })
        .ok()?;
    if remembered.version != 1 || remembered.url != name {
        tracing::info!(url = %shown(&remembered.url, 200), "the cache file of keys is of another provider; it is ignored");
        return None;
    }
    let set = KeySet::parse(&serde_json::to_vec(&remembered.jwks).ok()?, names).ok()?;
    let life = SignedDuration::from_secs(remembered.life_seconds).clamp(SHORTEST_LIFE, LONGEST_LIFE);
    let held = Held { set, fetched_at: remembered.fetched_at, life };
    held.usable(now).then_some(held)
}
