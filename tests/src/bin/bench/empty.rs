//! What the daemon is compared with: an empty axum JSON handler on a Unix socket, in a process of its own.

use std::path::{Path, PathBuf};

use axum::{Json, Router, routing::post};
use e2e::process::Owned;
use e2e::wait;
use serde_json::{Value, json};

/// The running comparison.
pub struct Empty {
    _process: Owned,
    _home: tempfile::TempDir,
    pub socket: PathBuf,
}

impl Empty {
    pub fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("empty.sock");
        let mut command = e2e::binaries::command(std::env::current_exe().unwrap());
        command.arg("--serve-empty").arg(&socket);
        let process = Owned::start(&mut command);
        wait::until_true("the empty handler to listen", || socket.exists());
        Self { _process: process, _home: home, socket }
    }
}

/// Serves until killed; on the same flavour of runtime as the daemon.
pub fn serve(socket: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let handler = |Json(_): Json<Value>| async { Json(json!({"decision": "allow"})) };
        let router = Router::new().route("/v1/check", post(handler));
        let listener = tokio::net::UnixListener::bind(socket).unwrap();
        axum::serve(listener, router).await.unwrap();
    });
}
