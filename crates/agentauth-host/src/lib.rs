//! The user's machine: clock, browser, process hardening, service notices.
