//! A typed client for the agentauthd socket.
//!
//! [`Client`] keeps one connection. It greets once per connection and sends the greeting's nonce with every later
//! request, so that the daemon can prove that the process which asks is the one that connected. When the daemon has
//! closed an idle connection, the next request connects and greets anew.
//!
//! ```no_run
//! # async fn example(uid: u32, socket: std::path::PathBuf) -> Result<(), agentauth_client::ClientError> {
//! use agentauth_client::{CheckRequest, Client, Verdict};
//!
//! let mut client = Client::new(socket, uid);
//! let request = CheckRequest { scope: Some("payments.execute:currency=EUR".to_owned()), ..CheckRequest::default() };
//! let decision = client.check(&request).await?;
//! if decision.decision != Verdict::Allow {
//!     eprintln!("{}", decision.message);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Each profile has a daemon of its own. [`Location`] takes a profile's name to find its socket, and
//! [`Client::for_profile`] makes sure that the daemon which answers serves that one.
//!
//! An error is never an allow: whatever [`Client::check`] returns except [`Verdict::Allow`] means do not.
//!
//! Runs on any tokio runtime with the I/O and time drivers, the current-thread one included, and spawns nothing.
//! Architecture invariant: this crate reads no environment variable and starts no daemon.
#![forbid(unsafe_code)]

mod asking;
mod client;
mod connection;
mod error;
mod events;

pub use agentauth_api::{
    Account, AgentList, AgentView, ApplyRequest, ApplyResponse, CheckRequest, CheckResponse, Confinement,
    Consent, ConsentAllowed, ConsentAnswer, ConsentAnswered, ConsentEvent, ConsentList, ErrorCode, Event,
    FileAccess, GiveRequest, GiveResponse, GrantList, GrantView, Health, Hello, LaunchRequest,
    LaunchResponse, LaunchSettings, LockResponse, LogRequest, LogResponse, LoginMethod, LoginProgress,
    LoginRequest, LoginStarted, LoginWay, LogoutRequest, LogoutResponse, OutcomeKind, OutcomeRequest,
    OutcomeResponse, Party, PasskeyAdding, PasskeyList, PasskeyRemoved, PasskeyRequest, PasskeyView, Problem,
    RegisterRequest, RegisterResponse, RemoveRequest, RemoveResponse, RevokeResponse, RulePart, Status,
    UnlockRequest, UnlockResponse, Verdict,
};
pub use agentauth_ipc::location::{DEFAULT_PROFILE, Location, LocationError, socket_path};
pub use client::Client;
pub use error::ClientError;
pub use events::Events;
