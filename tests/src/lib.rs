//! End-to-end tests: real binaries, socket, keychain and browser. This library is their harness.
//!
//! A [`World`] is one person's machine: directories, a configuration, the real daemon and its command line, and the
//! stand-in provider beside it. Nothing here waits for time to pass: see [`wait`].

pub mod agents;
pub mod arena;
pub mod binaries;
pub mod booted;
pub mod browser;
pub mod cli;
pub mod daemon;
pub mod descriptors;
pub mod doctor;
pub mod errand;
pub mod household;
pub mod keyring;
pub mod oidc;
pub mod page;
pub mod peers;
pub mod process;
pub mod provider;
pub mod raw;
pub mod receiver;
pub mod rights;
pub mod shop;
pub mod terminal;
pub mod trials;
pub mod wait;
pub mod world;

pub use agents::AgentSpec;
pub use cli::{LoginRun, Outcome};
pub use errand::Errand;
pub use provider::Provider;
pub use world::{Store, World, WorldOptions};

/// A member of the fixture with the role `payment_processor`.
pub const ALICE: Person =
    Person { email: "alice@acme.test", password: "alice-in-acme", name: "Alice Moreau" };
/// A member of the fixture without it.
pub const BOB: Person = Person { email: "bob@acme.test", password: "bob-in-acme", name: "Bob Tanaka" };
/// A member of the fixture whose only role is in a tenant.
pub const CAROL: Person =
    Person { email: "carol@acme.test", password: "carol-in-acme", name: "Carol Okafor" };
/// A member of the fixture with the role `admin`.
pub const DANA: Person = Person { email: "dana@acme.test", password: "dana-in-acme", name: "Dana Lindqvist" };
/// A member of the fixture with roles in two tenants.
pub const ERIN: Person =
    Person { email: "erin@acme.test", password: "erin-in-acme", name: "Erin Castellanos" };

/// Someone who can sign in.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// E-mail address, which is the login id.
    pub email: &'static str,
    /// Password. Test data.
    pub password: &'static str,
    /// Display name.
    pub name: &'static str,
}
