//! The user's machine: clock, browser, process hardening, starting agents, service notices.
//!
//! Invariants:
//! - Here, and nowhere else, the clocks are read.
//! - Nothing here decides anything: each module does one thing to the machine, or says what it found.
//! - Nothing here prints.

#![forbid(unsafe_code)]

pub mod browser;
pub mod clock;
pub mod device;
pub mod harden;
pub mod launch;
pub mod locks;
pub mod machine;
pub mod manager;
pub mod notify;
pub mod place;
pub mod ports;
pub mod service;
#[cfg(target_os = "linux")]
pub mod terminal;
pub mod usage;
