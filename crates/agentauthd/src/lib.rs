//! The agentauthd daemon and its command line.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod environment;
mod log;
