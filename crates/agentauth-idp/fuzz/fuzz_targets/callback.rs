//! Requests to the login's listener.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| agentauth_idp::fuzz::callback(input));
