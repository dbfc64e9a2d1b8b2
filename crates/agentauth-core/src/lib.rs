//! Every rule of agentauthd, pure and synchronous: scopes, manifests, grants, sessions, claims, recognition of
//! persons, policy, and [`decide`].
//!
//! Architecture invariant: nothing here reads a clock, a file, a socket or the environment, and nothing is
//! asynchronous. Facts come in as arguments; a decision with its reasons goes out.
#![forbid(unsafe_code)]

pub mod time;

pub use time::{Clock, SignedDuration, Timestamp};
