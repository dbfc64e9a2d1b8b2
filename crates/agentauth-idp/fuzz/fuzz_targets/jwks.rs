//! Published key sets.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| agentauth_idp::fuzz::jwks(input));
