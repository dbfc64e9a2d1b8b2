//! Who is calling: real processes that exec, exit, hide and are started in unusual ways.
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

use std::os::unix::fs::PermissionsExt;

use agentauth_ipc::{
    AncestryEnd, FakeIdentifier, Greeting, HashCache, Identify, IdentifyError, Identity, Nonce, Peer,
    PersonProbe, ProcIdentifier, ReproofError, executable_path,
};
use support::{House, Process, command, soon, until};
use tokio::io::AsyncReadExt as _;

/// Ready to look at: the process has connected and said so.
async fn caller(house: &House) -> (agentauth_ipc::CredStream, Peer) {
    let (mut stream, peer) = house.accept().await;
    soon(stream.read(&mut [0; 64])).await.unwrap();
    (stream, peer)
}

fn greet(peer: &Peer) -> Greeting {
    Greeting::new(peer, Nonce::new([1; 16])).unwrap()
}

/// What every identifier must do for a process that is there, and for one that is not.
async fn contract(identifier: &dyn Identify, peer: &Peer, process: &mut Process) {
    let identity = identifier.identify(peer).unwrap();
    assert_eq!(identity.process.pid, peer.pid());
    let family: Vec<_> = std::iter::once(&identity.process).chain(&identity.ancestors).collect();
    for pair in family.windows(2) {
        assert_eq!(pair[0].parent, pair[1].pid);
        assert!(pair[0].start_time >= pair[1].start_time);
    }
    assert_eq!(identifier.identify(peer).unwrap(), identity, "the same process has the same facts");
    let probe = identifier.probe_person(peer).unwrap();
    assert_eq!(probe.hops[0].pid, peer.pid());
    process.end();
    until("the process is gone", || !peer.alive()).await;
    assert!(matches!(identifier.identify(peer), Err(IdentifyError::Gone { pid }) if pid == peer.pid()));
    assert!(matches!(identifier.probe_person(peer), Err(IdentifyError::Gone { .. })));
}

#[tokio::test]
async fn the_real_identifier_keeps_the_contract() {
    let house = House::new();
    let mut python = house.python("s.sendall(b'x'); hold()");
    let (_stream, peer) = caller(&house).await;
    contract(&ProcIdentifier::new().unwrap(), &peer, &mut python).await;
}

#[tokio::test]
async fn the_fake_identifier_keeps_the_contract() {
    let house = House::new();
    let mut python = house.python("s.sendall(b'x'); hold()");
    let (_stream, peer) = caller(&house).await;
    let real = ProcIdentifier::new().unwrap();
    let fake = FakeIdentifier::default();
    assert!(
        matches!(fake.identify(&peer), Err(IdentifyError::Gone { .. })),
        "it knows only what it was told"
    );
    fake.set(real.identify(&peer).unwrap());
    fake.set_person(peer.pid(), real.probe_person(&peer).unwrap());
    contract(&fake, &peer, &mut python).await;
}

#[tokio::test]
async fn a_script_its_interpreter_and_its_parents() {
    let house = House::new();
    let script = house.directory.path().join("agent one.py");
    std::fs::write(
        &script,
        "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(b'x')\nsys.stdin.readline()\n",
    )
    .unwrap();
    let mut shell = command("sh");
    // The shell stays as the parent, and a relative name is resolved from where the process is.
    shell.args(["-c", "cd \"$1\"; python3 -u 'agent one.py' \"$2\" <&0; true", "sh"]);
    shell
        .arg(house.directory.path())
        .arg(house.socket())
        .env("NODE_OPTIONS", "--x")
        .env("PYTHONPATH", "/nowhere");
    let shell = Process::start(&mut shell);
    let (_stream, peer) = caller(&house).await;
    let identity: Identity = ProcIdentifier::new().unwrap().identify(&peer).unwrap();

    let process = &identity.process;
    assert_eq!(process.pid, peer.pid());
    assert_eq!(process.parent, shell.pid());
    let executable = process.executable.as_ref().unwrap();
    assert!(executable.path.file_name().unwrap().to_str().unwrap().starts_with("python3"));
    assert!(!executable.deleted && !executable.replaced);
    assert_eq!(process.arguments[1..3], ["-u", "agent one.py"]);
    assert_eq!(process.working_directory.as_deref(), Some(house.directory.path()));
    let found = process.script.as_ref().unwrap();
    assert_eq!(found.path, script.canonicalize().unwrap());
    assert_eq!(found.owner, support::me());
    assert_eq!(found.id.size, script.metadata().unwrap().len());
    assert!(!found.writable_by_others);
    assert_eq!(identity.code_variables.as_deref().unwrap(), ["PYTHONPATH"], "Node's do not concern Python");
    assert!(executable.interpreter);
    assert_eq!(identity.tracer, None);
    assert_eq!(
        (identity.same_user_namespace, identity.same_pid_namespace, identity.same_mount_namespace),
        (Some(true), Some(true), Some(true))
    );

    let pids: Vec<u32> = identity.ancestors.iter().map(|ancestor| ancestor.pid).collect();
    assert_eq!(pids[..2], [shell.pid(), std::process::id()]);
    assert!(identity.ancestry_end.is_complete(), "{:?}", identity.ancestry_end);
    if identity.ancestry_end == AncestryEnd::Init {
        assert_eq!(pids.last(), Some(&1));
    }

    let probe: PersonProbe = ProcIdentifier::new().unwrap().probe_person(&peer).unwrap();
    assert_eq!(probe.hops.iter().skip(1).map(|hop| hop.pid).collect::<Vec<_>>(), pids);
    assert_eq!(probe.hops[0].effective_uid, support::me());
    assert_eq!(
        probe.loader_variables.as_deref(),
        Some(&[][..]),
        "an interpreter's variables do not concern a person"
    );

    let digests = HashCache::new(4);
    #[allow(clippy::disallowed_methods, reason = "a test's present")]
    let now = std::time::SystemTime::now();
    let digest = digests.digest(&executable_path(peer.pid()), executable.id, now).await.unwrap();
    assert_eq!(digests.digest(&executable.path, executable.id, now).await.unwrap(), digest);
    digests.digest(&found.path, found.id, now).await.unwrap();
}

#[tokio::test]
async fn the_foreground_of_a_terminal() {
    let house = House::new();
    // A session leader with a terminal of its own: what a terminal program starts.
    let leader = house.python_bare(
        "import os, pty, socket, sys\npid, terminal = pty.fork()\nif pid == 0:\n    s = socket.socket(socket.AF_UNIX)\n    \
         s.connect(sys.argv[1])\n    s.sendall(b'x')\n    s.recv(1)\n    os._exit(0)\nsys.stdin.readline()",
    );
    let (_stream, peer) = caller(&house).await;
    let identifier = ProcIdentifier::new().unwrap();
    let probe = identifier.probe_person(&peer).unwrap();
    assert_ne!(probe.terminal, 0);
    assert!(probe.foreground);
    assert_eq!(probe.session_leader, Some(0));
    assert_eq!(probe.session_leaders_parent().map(|hop| hop.pid), Some(leader.pid()));
    assert_eq!(probe.hops_end, identifier.identify(&peer).unwrap().ancestry_end);
}

#[tokio::test]
async fn the_background_of_a_terminal() {
    let house = House::new();
    let _leader = house.python_bare(
        "import os, pty, socket, sys\npid, terminal = pty.fork()\nif pid == 0:\n    job = os.fork()\n    if job == 0:\n        \
         os.setpgid(0, 0)\n        s = socket.socket(socket.AF_UNIX)\n        s.connect(sys.argv[1])\n        s.sendall(b'x')\n        \
         s.recv(1)\n    os.wait()\n    os._exit(0)\nsys.stdin.readline()",
    );
    let (_stream, peer) = caller(&house).await;
    let probe = ProcIdentifier::new().unwrap().probe_person(&peer).unwrap();
    assert_ne!(probe.terminal, 0);
    assert!(!probe.foreground);
    assert_eq!(probe.session_leader, Some(1));
}

#[tokio::test]
async fn a_process_that_left_its_tree() {
    let house = House::new();
    // What `setsid -f` does: another session, and a parent that is gone.
    let mut python = house.python_bare(
        "import os, socket, sys\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        s = socket.socket(socket.AF_UNIX)\n        s.connect(sys.argv[1])\n        \
         s.sendall(b'x')\n        s.recv(1)\n    os._exit(0)\nos.wait()\nsys.stdin.readline()",
    );
    let (_stream, peer) = caller(&house).await;
    let identifier = ProcIdentifier::new().unwrap();
    until("its parent is gone", || {
        let probe = identifier.probe_person(&peer).unwrap();
        probe.session_leader.is_none() && probe.terminal == 0 && !probe.foreground
    })
    .await;
    let identity = identifier.identify(&peer).unwrap();
    assert!(
        identity.ancestors.iter().all(|ancestor| ancestor.pid != python.pid()),
        "no sign of who started it"
    );
    python.go_on();
}

#[tokio::test]
async fn confinement_shows() {
    let house = House::new();
    let _python = house.python(
        "import ctypes\nassert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0\ns.sendall(b'x'); hold()",
    );
    let (_stream, peer) = caller(&house).await;
    let identifier = ProcIdentifier::new().unwrap();
    assert!(identifier.identify(&peer).unwrap().no_new_privs);
    assert!(identifier.probe_person(&peer).unwrap().no_new_privs);
}

#[tokio::test]
async fn a_name_full_of_parentheses_confuses_nobody() {
    let house = House::new();
    // PR_SET_NAME
    let _python = house
        .python("import ctypes\nctypes.CDLL(None).prctl(15, b') R 1 1 (', 0, 0, 0)\ns.sendall(b'x'); hold()");
    let (_stream, peer) = caller(&house).await;
    let identity = ProcIdentifier::new().unwrap().identify(&peer).unwrap();
    assert_eq!(identity.process.parent, std::process::id());
}

#[tokio::test]
async fn another_program_after_the_greeting_is_found_out() {
    let house = House::new();
    // The socket survives execve; sleep keeps it open.
    let mut python = house.python(
        "s.sendall(b'x'); os.set_inheritable(s.fileno(), True); hold(); os.execvp('sleep', ['sleep', '60'])",
    );
    let (_stream, peer) = caller(&house).await;
    let greeting = greet(&peer);
    greeting.reprove(&peer).unwrap();
    let before = ProcIdentifier::new().unwrap().identify(&peer).unwrap();
    python.go_on();
    until("another program runs", || greeting.reprove(&peer) == Err(ReproofError::ExecutableChanged)).await;
    let after = ProcIdentifier::new().unwrap().identify(&peer).unwrap();
    assert_eq!(before.process.pid, after.process.pid);
    assert_eq!(
        before.process.start_time, after.process.start_time,
        "neither pid nor start time gives it away"
    );
    assert_ne!(before.process.executable, after.process.executable);
}

#[tokio::test]
async fn another_script_in_the_same_interpreter_is_found_out() {
    let house = House::new();
    let mut python = house.python(
        "s.sendall(b'x'); os.set_inheritable(s.fileno(), True); hold()\n\
         os.execv(sys.executable, [sys.executable, '-c', 'input()'])",
    );
    let (_stream, peer) = caller(&house).await;
    let greeting = greet(&peer);
    greeting.reprove(&peer).unwrap();
    python.go_on();
    until("another script runs", || greeting.reprove(&peer) == Err(ReproofError::CommandLineChanged)).await;
}

#[tokio::test]
async fn a_long_command_line_is_proved_to_its_end() {
    let house = House::new();
    let padding = "x".repeat(30_000);
    let code = "import os, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(b'x')\nsys.stdin.readline()\n\
                os.set_inheritable(s.fileno(), True)\nos.execv(sys.executable, [sys.executable, '-c', 'input()', sys.argv[2], 'y'])";
    let mut other = command("python3");
    let mut python = Process::start(other.args(["-c", code]).arg(house.socket()).arg(&padding));
    let (_stream, peer) = caller(&house).await;
    let identity = ProcIdentifier::new().unwrap().identify(&peer).unwrap();
    assert_eq!(identity.process.arguments.last().map(String::len), Some(30_000));
    assert!(!identity.process.arguments_truncated);
    let greeting = greet(&peer);
    greeting.reprove(&peer).unwrap();
    python.go_on();
    until("the command line changed", || greeting.reprove(&peer).is_err()).await;
}

#[tokio::test]
async fn an_end_is_found_out() {
    let house = House::new();
    let mut python = house.python("s.sendall(b'x'); hold()");
    let (_stream, peer) = caller(&house).await;
    let greeting = greet(&peer);
    python.end();
    assert_eq!(greeting.reprove(&peer), Err(ReproofError::Gone));
    assert!(Greeting::new(&peer, Nonce::new([1; 16])).is_err());
}

#[tokio::test]
async fn a_program_that_was_removed_or_replaced_says_so() {
    let house = House::new();
    let copy = house.directory.path().join("shell");
    let original = std::fs::canonicalize("/bin/sh").unwrap();
    std::fs::copy(&original, &copy).unwrap();
    // A shell cannot connect, but a program that it becomes keeps the connection: python execs the copy.
    let mut python = house.python(&format!(
        "s.sendall(b'x'); os.set_inheritable(s.fileno(), True); hold(); os.execv({copy:?}, ['shell', '-c', 'read x; true'])"
    ));
    let (_stream, peer) = caller(&house).await;
    let identifier = ProcIdentifier::new().unwrap();
    let program =
        |peer: &Peer| identifier.identify(peer).ok().and_then(|identity| identity.process.executable);
    python.go_on();
    until("the copy runs", || program(&peer).is_some_and(|found| found.path == copy)).await;
    let greeting = greet(&peer);
    let found = program(&peer).unwrap();
    assert!(!found.replaced && !found.deleted && !found.writable_by_others);

    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o757)).unwrap();
    assert!(program(&peer).unwrap().writable_by_others);
    assert_eq!(
        greeting.reprove(&peer),
        Err(ReproofError::ExecutableChanged),
        "its file is not as it was noted"
    );

    // Another file under the same name: what is at the path is not what runs.
    std::fs::copy(&original, house.directory.path().join("new")).unwrap();
    std::fs::rename(house.directory.path().join("new"), &copy).unwrap();
    let found = program(&peer).unwrap();
    assert_eq!(found.path, copy);
    assert!(found.replaced && found.deleted);
    std::fs::remove_file(&copy).unwrap();
    assert!(program(&peer).unwrap().replaced);
}

#[tokio::test]
async fn a_program_mounted_over_another_does_not_pass_for_it() {
    let house = House::new();
    // In a mount namespace of their own, anybody can put their program where a registered one is.
    let registered = house.directory.path().join("registered");
    std::fs::copy(std::fs::canonicalize("/bin/true").unwrap(), &registered).unwrap();
    let script = house.directory.path().join("agent.py");
    std::fs::write(&script, "").unwrap();
    let mut allowed = command("unshare");
    let allowed = allowed.args(["-rm", "true"]).status().is_ok_and(|status| status.success());
    assert!(allowed, "this test needs `unshare -rm` (user namespaces) on this machine");
    let mut unshare = command("unshare");
    unshare.args([
        "-rm",
        "sh",
        "-c",
        "p=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))'); mount --bind \"$p\" \"$1\"; exec \"$1\" -c \"$2\" \"$3\"",
        "sh",
    ]);
    let code = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(b'x')\nsys.stdin.readline()";
    let _unshare = Process::start(unshare.arg(&registered).arg(code).arg(house.socket()));
    let (_stream, peer) = caller(&house).await;
    let identity = ProcIdentifier::new().unwrap().identify(&peer).unwrap();
    let executable = identity.process.executable.unwrap();
    assert_eq!(executable.path, registered, "so the kernel says");
    assert!(executable.replaced, "but that path leads us to another file");
    assert_eq!(identity.same_mount_namespace, Some(false));
    assert_eq!(identity.same_user_namespace, Some(false));
    assert_eq!(identity.same_pid_namespace, Some(true));
}

#[tokio::test]
async fn a_process_that_hides_is_not_guessed_at() {
    let house = House::new();
    // PR_SET_DUMPABLE 0; root sees through it, and other users are turned away, so only the shape is checked as root.
    let _python =
        house.python("import ctypes\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\ns.sendall(b'x'); hold()");
    let (_stream, peer) = caller(&house).await;
    let identity = ProcIdentifier::new().unwrap().identify(&peer).unwrap();
    assert_eq!(identity.process.uid, support::me(), "that much cannot be hidden");
    let hidden = support::me() != 0;
    assert_eq!(identity.process.executable.is_none(), hidden);
    assert_eq!(identity.code_variables.is_none(), hidden);
    assert_eq!(Greeting::new(&peer, Nonce::new([1; 16])).is_err(), hidden);
}
