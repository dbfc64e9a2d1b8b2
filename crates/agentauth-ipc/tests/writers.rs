//! Who writes on a connection: real processes that inherit, pass on and misuse each other's descriptors.
#![cfg(target_os = "linux")]
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

use std::io::ErrorKind;

use agentauth_ipc::PoisonReason;
use support::{House, soon, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn the_process_that_connected_is_read() {
    let house = House::new();
    let mut python =
        house.python("s.sendall(b'hello'); assert s.recv(9) == b'welcome'; s.sendall(b'bye'); hold()");
    let (mut stream, peer) = house.accept().await;
    assert_eq!(peer.pid(), python.pid());
    assert_eq!(peer.uid(), support::me());
    assert!(peer.is_pinned() && peer.alive());
    let mut buffer = [0; 64];
    assert_eq!(soon(stream.read(&mut buffer)).await.unwrap(), 5);
    stream.write_all(b"welcome").await.unwrap();
    assert_eq!(soon(stream.read(&mut buffer)).await.unwrap(), 3);
    assert_eq!(&buffer[..3], b"bye");
    python.go_on();
    assert_eq!(soon(stream.read(&mut buffer)).await.unwrap(), 0);
    assert_eq!(stream.poisoned(), None);
}

#[tokio::test]
async fn a_child_that_inherited_the_connection_poisons_it() {
    let house = House::new();
    let _python = house.python("if os.fork() == 0:\n    s.sendall(b'forged')\nhold()");
    let (mut stream, _peer) = house.accept().await;
    let poison = stream.poison();
    let error = soon(stream.read(&mut [0; 64])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(poison.reason(), Some(PoisonReason::WrongWriter));
}

#[tokio::test]
async fn bytes_of_two_writers_are_never_joined() {
    let house = House::new();
    // Both writes stand in the queue before anything is read, and before the connection is accepted.
    let mut python = house.python(
        "s.sendall(b'GET / HTTP/1.1\\r\\n')\nif os.fork() == 0:\n    s.sendall(b'forged: yes\\r\\n'); os._exit(0)\n\
         os.wait()\nopen(sys.argv[1] + '.done', 'w')\nhold()",
    );
    let done = house.directory.path().join("agentauthd/agent.sock.done");
    until("both have written", || done.exists()).await;
    let (mut stream, _peer) = house.accept().await;
    let mut text = Vec::new();
    let error = soon(stream.read_to_end(&mut text)).await.unwrap_err();
    assert_eq!(text, b"GET / HTTP/1.1\r\n", "the rightful part, and not a byte more");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(stream.poisoned(), Some(PoisonReason::WrongWriter));
    python.go_on();
}

#[tokio::test]
async fn a_connection_that_was_passed_to_another_process_is_poisoned() {
    let house = House::new();
    // The first process connects and hands the connection over, as an agent might lend it to a tool.
    let _python = house.python(
        "near, far = socket.socketpair()\nif os.fork() == 0:\n    s.close()\n    _, fds, _, _ = socket.recv_fds(far, 1, 1)\n    \
         socket.socket(fileno=fds[0]).sendall(b'forged'); hold(); os._exit(0)\nsocket.send_fds(near, [b'x'], [s.fileno()])\nhold()",
    );
    let (mut stream, _peer) = house.accept().await;
    assert!(soon(stream.read(&mut [0; 64])).await.is_err());
    assert_eq!(stream.poisoned(), Some(PoisonReason::WrongWriter));
}

#[tokio::test]
async fn passed_descriptors_poison_and_never_reach_our_table() {
    for count in [1, 200] {
        let house = House::new();
        let secret = house.directory.path().join("passed-in");
        std::fs::write(&secret, "x").unwrap();
        let mut code = format!("f = os.open({:?}, os.O_RDONLY)\n", secret.to_str().unwrap());
        code += &format!("socket.send_fds(s, [b'hello'], [f] * {count})\nhold()");
        let _python = house.python(&code);
        let (mut stream, _peer) = house.accept().await;
        let error = soon(stream.read(&mut [0; 64])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(stream.poisoned(), Some(PoisonReason::PassedDescriptors));
        let ours = std::fs::read_dir("/proc/self/fd").unwrap();
        let found =
            ours.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).any(|to| to == secret);
        assert!(!found, "{count} descriptors");
    }
}

#[tokio::test]
async fn a_peer_that_is_gone_is_known_to_be_gone_while_its_child_holds_the_connection() {
    let house = House::new();
    let mut python =
        house.python("r = os.fork()\nif r == 0:\n    hold()\n    os._exit(0)\ns.sendall(b'x')\nhold()");
    let (mut stream, peer) = house.accept().await;
    soon(stream.read(&mut [0; 8])).await.unwrap();
    assert!(peer.alive());
    let childs_line = python.0.stdin.take();
    python.0.kill().unwrap();
    until("the pidfd says so", || !peer.alive()).await;
    python.0.wait().unwrap();
    assert!(!peer.alive());
    assert_eq!(peer.pid(), python.pid(), "the kernel still names the pid that connected");
    // Its child still holds the connection: no end of stream yet.
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(20), stream.read(&mut [0; 8])).await.is_err()
    );
    drop(childs_line);
    assert_eq!(soon(stream.read(&mut [0; 8])).await.unwrap(), 0);
}
