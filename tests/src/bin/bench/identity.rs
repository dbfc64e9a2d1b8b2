//! What knowing the caller costs, by itself: for each connection, each greeting and each request. It looks at this very
//! program, whose parents are those of any agent that is started from a terminal.

use std::os::unix::net::UnixStream;
use std::time::Instant;

use agentauth_ipc::{Greeting, Identify, Nonce, Peer, ProcIdentifier};

use crate::table::{Row, median, time};
use crate::{Effort, say};

/// What stands above these rows.
pub const TITLE: &str = "identity, one processor core, without the socket";

/// The rows.
pub fn rows(effort: Effort) -> Vec<Row> {
    say("identity");
    let (near, _far) = UnixStream::pair().unwrap();
    let identifier = ProcIdentifier::new().unwrap();
    let peer = Peer::of(&near).unwrap();
    let greeting = Greeting::new(&peer, Nonce::new([0; 16])).unwrap();
    let parents = identifier.identify(&peer).unwrap().ancestors.len();

    let connection = middle(effort, || {
        Peer::of(&near).unwrap();
    });
    let noting = middle(effort, || {
        Greeting::new(&peer, Nonce::new([0; 16])).unwrap();
    });
    let looking = middle(effort, || {
        identifier.identify(&peer).unwrap();
    });
    let request = middle(effort, || greeting.reprove(&peer).unwrap());
    vec![
        Row::new("each connection: who connected, p50", time(connection)),
        Row::new("each greeting: noting program and command line, p50", time(noting)),
        Row::new(format!("each greeting: facts of the caller and {parents} parents, p50"), time(looking)),
        Row::new("each request: proving it again, p50", time(request)),
    ]
}

/// The median over rounds of each round's median, in nanoseconds.
fn middle(effort: Effort, mut once: impl FnMut()) -> f64 {
    median((0..effort.rounds).map(|_| {
        median((0..effort.slow_requests).map(|_| {
            let begun = Instant::now();
            once();
            begun.elapsed().as_nanos() as f64
        }))
    }))
}
