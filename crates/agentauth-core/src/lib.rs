//! Every rule of agentauthd, pure and synchronous: no clock, file, socket or runtime.
