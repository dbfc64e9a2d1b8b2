//! Attacks on who answers: what a client does that finds somebody else where the daemon should be.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

use e2e::arena::{Arena, Table};
use serde_json::json;

#[test]
fn a_client_says_nothing_to_them() {
    let mut arena = Arena::new();
    arena.world.stop_daemon();
    let mut table = Table::default();
    let root = rustix::process::geteuid().is_root();
    let squat = |arena: &Arena, directory: &str, prepare: &dyn Fn(&std::path::Path)| {
        let place = arena.place(directory);
        std::fs::create_dir(&place).unwrap();
        std::fs::set_permissions(&place, PermissionsExt::from_mode(0o700)).unwrap();
        let socket = place.join("agent.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        arena.own(&place);
        prepare(&place);
        let mut command = arena.world.command(&["status", "--json"]);
        command.env("AGENTAUTHD_SOCKET", &socket);
        let outcome = e2e::cli::run(command);
        let connected = listener.accept().is_ok();
        (outcome, connected)
    };
    let mut row = |what: &str, number: usize, says: &str, prepare: &dyn Fn(&std::path::Path)| {
        table.answered(what, 1, "connection ended", || {
            let (outcome, connected) = squat(&arena, &format!("squat{number}"), prepare);
            assert!(outcome.code != Some(0) && outcome.all().contains(says), "{what}: {outcome:?}");
            assert!(!connected, "{what}: it connected");
            json!({"io_error": outcome.all()})
        });
    };
    row("the socket's directory is open to others", 1, "0700", &|place| {
        std::fs::set_permissions(place, PermissionsExt::from_mode(0o755)).unwrap();
    });
    row("the socket's directory is a symbolic link", 2, "symbolic link", &|place| {
        let real = place.with_extension("real");
        std::fs::rename(place, &real).unwrap();
        std::os::unix::fs::symlink(&real, place).unwrap();
    });
    row("a plain file where the socket should be", 3, "not a socket", &|place| {
        std::fs::remove_file(place.join("agent.sock")).unwrap();
        std::fs::write(place.join("agent.sock"), "").unwrap();
    });
    if root {
        let chown = |path: &std::path::Path| {
            assert!(Command::new("chown").arg("12345").arg(path).status().unwrap().success());
        };
        row("the socket's directory is another user's", 4, "12345", &|place| {
            chown(place);
            std::fs::set_permissions(place, PermissionsExt::from_mode(0o711)).unwrap();
        });
        row("the socket is another user's", 5, "belongs to uid 12345", &|place| {
            chown(&place.join("agent.sock"))
        });
    } else {
        eprintln!("not tried, for want of root: other users' sockets and directories");
    }
    table.judge();
}
