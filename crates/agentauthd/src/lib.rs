//! The agentauthd daemon and its command line.
