//! A typed client for the agentauthd socket.
