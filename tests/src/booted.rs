//! A whole system to log in to: systemd, logind and D-Bus in a container over this machine's own files, with a network of
//! its own. What a test changes in it is gone afterwards.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::Owned;
use crate::{binaries, cli, wait};

/// How long a test may take in there, in seconds.
const PATIENCE: u32 = 300;
/// What `boot.sh` exits with where no system came up.
const DID_NOT_BOOT: i32 = 125;

/// Runs an ignored test of the calling test's own file in a booted system, and prints what it printed. Where none can be
/// booted, says so and returns.
///
/// # Panics
/// When the test in there fails.
#[track_caller]
pub fn run(test: &str) {
    if let Err(why) = run_or_say_why(test) {
        eprintln!("==== NOT RUN: {test}: {why} ====");
        println!("==== NOT RUN: {test}: {why} ====");
    }
}

#[track_caller]
fn run_or_say_why(test: &str) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("booting a system takes root".to_owned());
    }
    for (program, package) in
        [("/usr/bin/systemd-nspawn", "systemd-container"), ("/usr/sbin/sshd", "openssh-server")]
    {
        if !Path::new(program).exists() {
            return Err(format!("{program} is missing: tests/run installs {package}"));
        }
    }
    let mut script = tempfile::NamedTempFile::new().unwrap();
    script.write_all(include_bytes!("programs/boot.sh")).unwrap();
    let itself = std::env::current_exe().unwrap();
    let mut command = binaries::command("bash");
    command.arg(script.path()).arg(PATIENCE.to_string());
    command.args([binaries::target(), binaries::root()]).arg("--");
    command.args([
        "env".to_owned(),
        format!("PATH={}", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ]);
    if let Ok(programs) = std::env::var("E2E_PROGRAMS") {
        command.arg(format!("E2E_PROGRAMS={programs}"));
    }
    command.arg(itself).args(["--exact", test, "--ignored", "--nocapture"]);
    let mut running = cli::Running::start(command);
    let patience = std::time::Duration::from_secs(u64::from(PATIENCE) + 30);
    wait::within(patience, || running.process().exited()).expect("the system to end");
    let outcome = running.so_far();
    if outcome.code == Some(DID_NOT_BOOT) {
        return Err(format!("no system could be booted here:\n{}", outcome.stderr));
    }
    println!("{}", outcome.stdout);
    assert!(
        outcome.code == Some(0) && outcome.stdout.contains("1 passed"),
        "in the booted system, `{test}` ended with {:?}:\n{}\n{}",
        outcome.code,
        outcome.stdout,
        outcome.stderr
    );
    Ok(())
}

/// A person who can log in to the booted system.
pub struct Account {
    /// Their user id.
    pub uid: u32,
    home: PathBuf,
    port: u16,
    _sshd: Owned,
}

impl Account {
    /// Makes the account, lets it have a service manager of its own, and starts the system's sshd, which takes its key.
    ///
    /// # Panics
    /// Outside of a booted system, where that would stay.
    pub fn make() -> Self {
        assert!(Path::new("/booted/began").exists(), "only in a booted system");
        let home = PathBuf::from("/home/ada");
        // From version 254 on the user's manager has a capability, by which the kernel hides its program; so does a program
        // that its user cannot read.
        std::fs::set_permissions("/lib/systemd/systemd", PermissionsExt::from_mode(0o711)).unwrap();
        // Of root's and known by its name, it stands for a terminal with a window.
        std::fs::copy("/usr/bin/script", "/usr/bin/xterm").unwrap();
        done("useradd", &["--create-home", "--shell", "/bin/bash", "--home-dir", "/home/ada", "ada"]);
        let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&home).unwrap());
        done("loginctl", &["enable-linger", "ada"]);
        let keys = home.join(".ssh");
        std::fs::create_dir(&keys).unwrap();
        std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o700)).unwrap();
        let key = keys.join("id");
        done("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        std::fs::copy(key.with_extension("pub"), keys.join("authorized_keys")).unwrap();
        done("chown", &["-R", "ada:ada", keys.to_str().unwrap()]);
        for (directory, mode) in [("/run/sshd", 0o755), ("/run/screen", 0o1777)] {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::set_permissions(directory, PermissionsExt::from_mode(mode)).unwrap();
        }
        let port = 2222;
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-p", &port.to_string()]);
        for option in ["ListenAddress=127.0.0.1", "UsePAM=yes", "PasswordAuthentication=no"] {
            sshd.args(["-o", option]);
        }
        sshd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let sshd = Owned::start(&mut sshd);
        wait::until_true("sshd to listen", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        let bus = PathBuf::from(format!("/run/user/{uid}/bus"));
        wait::until_true("the account's service manager", || bus.exists());
        Self { uid, home, port, _sshd: sshd }
    }

    /// The words by which a process of the account's logs in to it, with a terminal.
    pub fn ssh(&self) -> Vec<String> {
        self.ssh_to(self.port)
    }

    /// The same to another server of this machine.
    pub fn ssh_to(&self, port: u16) -> Vec<String> {
        let key = self.home.join(".ssh/id").display().to_string();
        let mut words = vec!["ssh".to_owned(), "-tt".to_owned(), "-q".to_owned()];
        words.extend(["-p".to_owned(), port.to_string(), "-i".to_owned(), key]);
        for option in ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"] {
            words.extend(["-o".to_owned(), option.to_owned()]);
        }
        words.push("ada@127.0.0.1".to_owned());
        words
    }

    /// Where the account's service manager is found.
    pub fn runtime_dir(&self) -> String {
        format!("XDG_RUNTIME_DIR=/run/user/{}", self.uid)
    }

    /// Whether the account's service manager hides what it runs from the account's other processes.
    ///
    /// # Panics
    /// Where there is none.
    pub fn manager_hides(&self) -> bool {
        let found = cli::run({
            let mut command = binaries::command("pgrep");
            command.args(["--exact", "--uid", &self.uid.to_string(), "systemd"]);
            command
        });
        let exe = format!("/proc/{}/exe", found.stdout.trim());
        assert!(Path::new(&exe).is_symlink(), "{found:?}");
        let mut looking = binaries::command("setpriv");
        looking.args([&format!("--reuid={}", self.uid), &format!("--regid={}", self.uid), "--clear-groups"]);
        looking.args(["readlink", &exe]);
        cli::run(looking).code != Some(0)
    }

    /// Starts a login session of the account over SSH, with a terminal, that carries this line out; without one, a shell that
    /// is typed to.
    pub fn log_in(&self, line: &str) -> Owned {
        let words = self.ssh();
        let mut command = binaries::command("setpriv");
        command.args([&format!("--reuid={}", self.uid), &format!("--regid={}", self.uid), "--clear-groups"]);
        command.args(words).args(Some(line).filter(|line| !line.is_empty()));
        command.env("HOME", &self.home).env("TERM", "vt100").current_dir(&self.home);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Owned::start(&mut command)
    }

    /// Starts a login session of the account on a console, as getty does, and types this line.
    pub fn log_in_at_a_console(&self, line: &str) -> Owned {
        let mut command = binaries::command("script");
        command.args(["--quiet", "--command", "exec login -f ada", "/dev/null"]).env("TERM", "vt100");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut console = Owned::start(&mut command);
        type_line(&mut console, line);
        console
    }
}

/// Types a line into a terminal.
#[track_caller]
pub fn type_line(terminal: &mut Owned, line: &str) {
    let mut keyboard = terminal.child().stdin.as_ref().expect("a keyboard");
    keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
}

#[track_caller]
fn done(program: &str, arguments: &[&str]) {
    let outcome = cli::run({
        let mut command = Command::new(program);
        command.args(arguments);
        command
    });
    assert_eq!(outcome.code, Some(0), "{program} {arguments:?}: {outcome:?}");
}
