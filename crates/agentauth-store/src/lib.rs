//! What must survive: secret stores behind one port, and the state database.
//!
//! Invariants:
//! - A secret is in a [`secrecy::SecretString`] on every way in and out; no error, log line or `Debug` shows one.
//! - A store never falls back to another: which one is used is the caller's explicit choice.
//! - [`SecretStore::set`] has been read back (or is on disk) when it returns: a rotated token is durable before use.
//! - No call of a [`SecretStore`] waits for a person: a locked store answers [`StoreError::Locked`] at once.
//! - No clock and no environment is read here (the session bus address excepted, which the bus library finds).

#![forbid(unsafe_code)]

mod age_file;
#[cfg(any(target_os = "macos", windows, test))]
mod chunks;
mod claim;
mod files;
mod late;
mod lock;
mod memory;
mod name;
#[cfg(any(target_os = "macos", windows))]
mod native;
mod port;
#[cfg(target_os = "linux")]
mod secret_service;
mod state;

pub use age_file::AgeFile;
pub use claim::{ClaimError, claim_directory};
pub use files::{private_directory, write_atomic, write_new};
pub use late::LateAgeFile;
pub use lock::{RefreshLock, RefreshLockError};
pub use memory::{Fault, Memory};
pub use name::{NameError, ProfileName, SecretName};
#[cfg(any(target_os = "macos", windows))]
pub use native::Native;
pub use port::{Cause, Health, Reply, SecretStore, StoreError};
#[cfg(target_os = "linux")]
pub use secret_service::SecretService;
pub use state::{Pin, PinOutcome, RefreshRecord, RightsChange, StateDb, StateError};
