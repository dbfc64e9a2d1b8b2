//! Bytes and peers: where the socket is, listen, connect, and who is calling, on each system.
//!
//! Two features keep clients small. `connect` finds the socket, connects, and verifies the server; `identify` listens,
//! says which process wrote each byte, and gathers what the kernel knows of a caller.
//!
//! Architecture invariants: this crate names no other crate of ours; it reads no environment variable and no clock; it
//! gathers facts and judges none of them, except one: a connection whose bytes do not all come from the process that
//! connected is dead. Whose process may connect is the parameter `owner_uid`, never the daemon's own uid.
//!
//! | system | listen, connect | who is calling |
//! |---|---|---|
//! | Linux | yes | pid, pidfd, `/proc` |
//! | macOS | yes | pid, uid, audit token, path, code signature; no ancestry and no writer of each byte |
//! | Windows | connect | pid, user, creation time, image path, signer |
//!
//! Only Linux has an identifier that the daemon can use; the others have their facts ready, checked by the compiler alone.
// The Windows interface has no safe form for what is asked of it there.
#![cfg_attr(not(windows), forbid(unsafe_code))]

pub mod location;

#[cfg(unix)]
pub mod directory;

#[cfg(all(unix, feature = "connect"))]
pub mod connect;

#[cfg(all(unix, feature = "identify"))]
pub mod listen;

#[cfg(all(target_os = "linux", feature = "identify"))]
pub mod greeting;
#[cfg(all(target_os = "linux", feature = "identify"))]
pub mod hashes;
#[cfg(all(target_os = "linux", feature = "identify"))]
pub mod identify;
#[cfg(all(target_os = "linux", feature = "identify"))]
pub mod peer;
#[cfg(all(target_os = "linux", feature = "identify"))]
pub mod stream;

#[cfg(all(any(target_os = "macos", windows), feature = "identify"))]
pub mod program;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(all(target_os = "macos", feature = "identify"))]
pub use macos::{peer, stream};

#[cfg(windows)]
mod windows;
#[cfg(all(windows, feature = "connect"))]
pub use windows::connect;
#[cfg(all(windows, feature = "identify"))]
pub use windows::listen;
#[cfg(windows)]
pub use windows::pipe_name;
#[cfg(all(windows, feature = "identify"))]
pub use windows::{Peer, PeerError};

pub use location::{Location, LocationError, socket_path};

#[cfg(feature = "connect")]
pub use connect::{ConnectError, connect};

#[cfg(feature = "identify")]
pub use listen::{AcceptError, ListenError, Listener, listen};

#[cfg(all(unix, feature = "identify"))]
pub use self::{
    peer::{Peer, PeerError},
    stream::{CredStream, Poison, PoisonReason},
};

#[cfg(all(target_os = "linux", feature = "identify"))]
pub use self::{
    greeting::{Greeting, NONCE_BYTES, Nonce, NoteError, Noted, ReproofError, reprove, reprove_script},
    hashes::{Digest, HashCache, HashError, executable_path},
    identify::{
        AncestryEnd, ControlGroup, ControlGroupLevel, ExecutableFacts, FakeIdentifier, FileId, Hop, Identify,
        IdentifyError, Identity, LogindRecord, PersonProbe, ProcIdentifier, ProcessFacts, ScriptFacts,
        loads_code,
    },
};
