//! Manifests: one, or an old and a new one with a NUL between them.
#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::manifest(input));
