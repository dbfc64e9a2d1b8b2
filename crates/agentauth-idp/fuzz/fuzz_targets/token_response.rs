//! Answers of the token endpoint and of the session endpoints.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| agentauth_idp::fuzz::token_response(input));
