//! A stand-in Descope for tests and the demonstration.
