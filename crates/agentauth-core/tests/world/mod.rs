//! The world of the tests: what every scenario starts from, as the product reads it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::Arc;

use agentauth_core::{Catalogue, Policy, Snapshot, scenario};
use serde::Deserialize;
use serde_json::Value;

/// What a case decides in, with the shipped catalogue.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct World(scenario::World);

impl World {
    /// The snapshot in which it is decided, with the shipped policies where the world names none.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let catalogue = Arc::new(Catalogue::shipped().unwrap());
        let policy = Arc::new(
            Policy::load(Policy::shipped(), &catalogue, self.0.actions().unwrap())
                .unwrap_or_else(|faults| panic!("{faults}")),
        );
        self.0.snapshot(&catalogue, &policy).unwrap_or_else(|fault| panic!("{fault}"))
    }
}

impl Deref for World {
    type Target = scenario::World;

    fn deref(&self) -> &scenario::World {
        &self.0
    }
}

impl DerefMut for World {
    fn deref_mut(&mut self) -> &mut scenario::World {
        &mut self.0
    }
}

pub(crate) fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

pub(crate) fn read_json(path: &PathBuf) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The world that every scenario starts from.
pub(crate) fn base() -> Value {
    read_json(&testdata().join("world.json"))
}
