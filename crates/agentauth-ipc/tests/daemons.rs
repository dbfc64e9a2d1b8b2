//! One daemon per socket, only its owner's callers, and clients that know whom they talk to.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests"
)]

mod support;

use std::{
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt, symlink},
        net::{UnixListener, UnixStream},
    },
    path::Path,
};

use agentauth_ipc::{
    AcceptError, ConnectError, ListenError, Listener, connect, directory::DirectoryError, listen,
};
use support::{House, me, socket_below, soon};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn directory_socket_and_lock_are_private() {
    let house = House::new();
    assert_eq!(mode(house.socket().parent().unwrap()), 0o700);
    assert_eq!(mode(house.socket()), 0o600);
    assert_eq!(mode(&house.socket().with_extension("sock.lock")), 0o600);
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let house = House::new();
    let error = listen(house.socket(), me()).unwrap_err();
    assert!(matches!(error, ListenError::AlreadyRunning { .. }), "{error}");
    let (client, served) = tokio::join!(connect(house.socket(), me()), house.accept());
    client.unwrap();
    drop(served);
}

#[tokio::test]
async fn of_many_daemons_started_at_once_one_serves() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_below(&directory);
    let runtime = tokio::runtime::Handle::current();
    let outcomes: Vec<Result<Listener, ListenError>> = std::thread::scope(|scope| {
        let start = || {
            let _guard = runtime.enter();
            listen(&path, me())
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let refused =
        outcomes.iter().filter(|outcome| matches!(outcome, Err(ListenError::AlreadyRunning { .. }))).count();
    assert_eq!(refused, 15, "{outcomes:?}");
    connect(&path, me()).await.unwrap();
}

#[tokio::test]
async fn a_socket_left_by_a_dead_daemon_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_below(&directory);
    drop(listen(&path, me()).unwrap());
    assert!(!path.exists(), "removed by the daemon that made it");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _listener = listen(&path, me()).unwrap();
    assert!(path.metadata().unwrap().file_type().is_socket());
    assert_eq!(mode(&path), 0o600);
    connect(&path, me()).await.unwrap();
}

#[tokio::test]
async fn a_socket_that_somebody_serves_without_our_lock_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_below(&directory);
    drop(listen(&path, me()).unwrap());
    let other = UnixListener::bind(&path).unwrap();
    assert!(matches!(listen(&path, me()), Err(ListenError::AlreadyRunning { .. })));
    // A full queue is a sign of life too.
    let waiting = fill(&path);
    assert!(matches!(listen(&path, me()), Err(ListenError::AlreadyRunning { .. })));
    drop((waiting, other));
    listen(&path, me()).unwrap();
}

/// Connects until the queue is full.
fn fill(path: &Path) -> Vec<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
    let address = SocketAddrUnix::new(path).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::io::ioctl_fionbio(&socket, true).unwrap();
        match connect(&socket, &address) {
            Ok(()) => waiting.push(UnixStream::from(socket)),
            Err(rustix::io::Errno::AGAIN) => return waiting,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_socket_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_below(&directory);
    drop(listen(&path, me()).unwrap());
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(listen(&path, me()), Err(ListenError::NotASocket { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();
    symlink("elsewhere", &path).unwrap();
    assert!(matches!(listen(&path, me()), Err(ListenError::NotASocket { .. })));
}

#[tokio::test]
async fn a_lock_that_is_a_link_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_below(&directory);
    drop(listen(&path, me()).unwrap());
    let lock = path.with_extension("sock.lock");
    std::fs::remove_file(&lock).unwrap();
    let target = directory.path().join("target");
    symlink(&target, &lock).unwrap();
    assert!(matches!(listen(&path, me()), Err(ListenError::Lock { .. })));
    assert!(!target.exists());
}

#[tokio::test]
async fn a_socket_of_somebody_else_survives_our_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_below(&directory);
    let listener = listen(&path, me()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    drop(listener);
    assert!(path.exists());
}

#[tokio::test]
async fn an_open_directory_or_path_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_below(&directory);
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    set_mode(path.parent().unwrap(), 0o755);
    let error = listen(&path, me()).unwrap_err();
    assert!(
        matches!(error, ListenError::Directory { source: DirectoryError::Mode { mode: 0o755, .. } }),
        "{error}"
    );
    set_mode(path.parent().unwrap(), 0o700);
    assert!(matches!(listen(Path::new("agent.sock"), me()), Err(ListenError::NotAbsolute { .. })));
    let long = directory.path().join("x".repeat(200));
    assert!(matches!(listen(&long, me()), Err(ListenError::TooLong { .. })));
    let error = listen(&path, me() + 1).unwrap_err();
    assert!(
        matches!(error, ListenError::Directory { source: DirectoryError::ForeignOwner { .. } }),
        "{error}"
    );
}

#[tokio::test]
async fn a_socket_from_the_service_manager_is_served_and_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    set_mode(directory.path(), 0o700);
    let handed = UnixListener::bind(&path).unwrap();
    set_mode(&path, 0o666);
    let error = Listener::from_activated(handed.try_clone().unwrap(), me()).unwrap_err();
    assert!(matches!(error, ListenError::OpenSocket { .. }), "{error}");
    set_mode(&path, 0o600);
    let listener = Listener::from_activated(handed.try_clone().unwrap(), me()).unwrap();
    assert_eq!(listener.path(), path);
    let (client, served) = tokio::join!(connect(&path, me()), soon(listener.accept()));
    client.unwrap();
    assert_eq!(served.unwrap().1.pid(), std::process::id());
    drop(listener);
    assert!(path.exists());
    assert!(
        matches!(listen(&path, me()), Err(ListenError::AlreadyRunning { .. })),
        "the manager still serves it"
    );

    set_mode(directory.path(), 0o755);
    assert!(matches!(Listener::from_activated(handed, me()), Err(ListenError::Directory { .. })));
    let (stream, _) = UnixStream::pair().unwrap();
    let no_listener = UnixListener::from(std::os::fd::OwnedFd::from(stream));
    assert!(matches!(Listener::from_activated(no_listener, me()), Err(ListenError::NotAListener)));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn another_user_is_turned_away_and_root_is_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_below(&directory);
    let listener = listen(&path, me()).unwrap();
    // Only root can start a process of another user; the rule itself is tested beside it for every user.
    if me() == 0 {
        set_mode(directory.path(), 0o711);
        set_mode(path.parent().unwrap(), 0o711);
        set_mode(&path, 0o666);
        let mut python = support::command("python3");
        let code = "import os, socket, sys\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.recv(1)";
        let python = support::Process::start(python.arg("-c").arg(code).arg(&path));
        let error = soon(listener.accept()).await.unwrap_err();
        let pid = python.pid();
        assert!(matches!(error, AcceptError::Foreign { uid: 65534, pid: found } if found == pid), "{error}");
    }
    let (client, served) = tokio::join!(tokio::net::UnixStream::connect(&path), soon(listener.accept()));
    client.unwrap();
    assert_eq!(served.unwrap().1.is_root(), me() == 0);
}

#[tokio::test]
async fn a_client_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = socket_below(&directory);
    let error = connect(&path, me()).await.unwrap_err();
    assert!(error.is_not_running() && !error.is_untrusted(), "{error}");

    let listener = listen(&path, me()).unwrap();
    let error = connect(&path, me() + 1).await.unwrap_err();
    assert!(error.is_untrusted(), "{error}");
    set_mode(path.parent().unwrap(), 0o750);
    let error = connect(&path, me()).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Directory { source: DirectoryError::Mode { .. }, .. }), "{error}");
    set_mode(path.parent().unwrap(), 0o700);
    let link = directory.path().join("link");
    symlink(path.parent().unwrap(), &link).unwrap();
    let error = connect(&link.join("agent.sock"), me()).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Directory { source: DirectoryError::Symlink { .. }, .. }),
        "{error}"
    );
    connect(&path, me()).await.unwrap();

    drop(listener);
    assert!(connect(&path, me()).await.unwrap_err().is_not_running());
    drop(UnixListener::bind(&path).unwrap());
    assert!(connect(&path, me()).await.unwrap_err().is_not_running(), "a socket that nobody serves");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    assert!(matches!(connect(&path, me()).await, Err(ConnectError::NotASocket { .. })));
}
