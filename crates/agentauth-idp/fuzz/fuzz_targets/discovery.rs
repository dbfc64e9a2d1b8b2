//! The provider's description of itself.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| agentauth_idp::fuzz::discovery(input));
