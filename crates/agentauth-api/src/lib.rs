//! The words that cross the agentauthd socket: requests, responses, error codes.
