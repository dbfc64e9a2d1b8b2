//! The demonstration: the stand-in provider, the real daemon, two users and a payment agent.
//!
//! The parts that end-to-end tests need as well are public: finding and building programs, and signing in at the
//! provider's page without a browser.
#![forbid(unsafe_code)]

pub mod agent;
pub mod binaries;
mod child;
pub mod form;
pub mod person;
pub mod signin;
pub mod story;
pub mod talk;
