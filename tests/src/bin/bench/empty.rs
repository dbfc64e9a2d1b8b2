//! What everything is compared with: an empty axum handler on the same kind of socket, on the same kind of runtime, with
//! the daemon's own settings for HTTP. It takes JSON and answers JSON.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use axum::Json;
use axum::routing::post;
use e2e::process::Owned;
use e2e::{binaries, wait};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};

use crate::machine;

/// The argument that makes this program the empty server.
pub const MODE: &str = "--empty-server";

#[derive(Deserialize)]
struct Question {
    scope: String,
    purpose: String,
}

#[derive(Serialize)]
struct Answer {
    decision: &'static str,
}

/// Starts one in a process of its own and waits until it listens.
pub fn start(socket: &Path) -> Owned {
    let mut command = binaries::command(std::env::current_exe().unwrap());
    let server = Owned::start(command.arg(MODE).arg(socket));
    wait::until_true("the empty server", || std::os::unix::net::UnixStream::connect(socket).is_ok());
    server
}

/// Serves until killed.
pub fn serve(socket: &Path) -> ExitCode {
    machine::end_with_parent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let router = axum::Router::new().route(agentauth_api::paths::CHECK, post(answer));
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_mins(5))
                .max_buf_size(16 * 1024)
                .max_headers(64)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
            tokio::spawn(serving);
        }
    })
}

async fn answer(Json(question): Json<Question>) -> Json<Answer> {
    std::hint::black_box((question.scope, question.purpose));
    Json(Answer { decision: "none" })
}
