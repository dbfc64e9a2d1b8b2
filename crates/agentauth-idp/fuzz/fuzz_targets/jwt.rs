//! Tokens, from the compact form to the judgement of their claims.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| agentauth_idp::fuzz::jwt(input));
