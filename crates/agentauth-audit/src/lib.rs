//! The hash-chained record of what agentauthd decided and did.
