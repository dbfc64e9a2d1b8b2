//! The network side of agentauthd: discovery, login, token endpoint, refresh and keys.
