//! The fuzzers' corpus, replayed on every run: each input that ever reached a new corner goes through the same readers
//! and the same properties as under the fuzzer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use agentauth_idp::fuzz;

/// Below this many inputs a corpus was lost, not tidied.
const FEWEST: usize = 25;
/// What a corpus may take up in the repository.
const MOST_FILES: usize = 260;
const MOST_BYTES: u64 = 300 * 1024;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()).collect();
    inputs.sort();
    assert!((FEWEST..=MOST_FILES).contains(&inputs.len()), "{target}: {} inputs", inputs.len());
    let bytes: u64 = inputs.iter().map(|input| input.metadata().unwrap().len()).sum();
    assert!(bytes <= MOST_BYTES, "{target}: {bytes} bytes");
    for input in inputs {
        let content = std::fs::read(&input).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&content)));
        assert!(outcome.is_ok(), "{target}: {} violates a property", input.display());
    }
}

#[test]
fn tokens() {
    replay("jwt", fuzz::jwt);
}

#[test]
fn discovery_documents() {
    replay("discovery", fuzz::discovery);
}

#[test]
fn key_sets() {
    replay("jwks", fuzz::jwks);
}

#[test]
fn callbacks() {
    replay("callback", fuzz::callback);
}

#[test]
fn token_responses() {
    replay("token_response", fuzz::token_response);
}
