//! End-to-end tests: real binaries, socket, keychain and browser.
