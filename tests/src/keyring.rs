//! A real gnome-keyring on a private session bus.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use crate::process::Owned;
use crate::wait;

const SERVICE: &str = "org.freedesktop.secrets";
const COLLECTION: &str = "/org/freedesktop/secrets/collection/login";

/// A session bus that starts nothing by itself: else a question that comes before the keyring is there would start
/// another one, which nobody unlocks.
const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>LISTEN</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// A private bus and keyring; both end with the test.
#[derive(Debug)]
pub struct Keyring {
    daemon: Owned,
    _bus: Owned,
    address: String,
    home: tempfile::TempDir,
}

impl Keyring {
    /// Starts an unlocked one; nothing, after saying so, where the test runner did not provide for it.
    pub fn start() -> Option<Self> {
        if std::env::var_os("AGENTAUTHD_TEST_KEYRING").is_none() {
            eprintln!(
                "skipped: AGENTAUTHD_TEST_KEYRING is not set; tests/run sets it where gnome-keyring is installed"
            );
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        for directory in ["run", "data"] {
            crate::world::private_directory(&home.path().join(directory));
        }
        let listen = format!("unix:path={}/bus", home.path().display());
        std::fs::write(home.path().join("bus.conf"), BUS.replace("LISTEN", &listen)).unwrap();
        let mut bus = Owned::start(
            clean(&mut Command::new("dbus-daemon"), home.path())
                .args(["--nofork", "--print-address=1"])
                .arg(format!("--config-file={}", home.path().join("bus.conf").display()))
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let mut address = String::new();
        BufReader::new(bus.child().stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        let daemon = Self::daemon(home.path(), &address);
        let keyring = Self { daemon, _bus: bus, address, home };
        wait::until_true("gnome-keyring to own its name and be unlocked", || keyring.locked() == Some(false));
        Some(keyring)
    }

    fn daemon(home: &Path, address: &str) -> Owned {
        let mut daemon = Owned::start(
            clean(&mut Command::new("gnome-keyring-daemon"), home)
                .args(["--foreground", "--unlock", "--components=secrets"])
                .env("DBUS_SESSION_BUS_ADDRESS", address)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        daemon.child().stdin.take().unwrap().write_all(b"test-password").unwrap();
        daemon
    }

    /// The bus's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the collection is locked; nothing while the service cannot say.
    pub fn locked(&self) -> Option<bool> {
        let output = self.call(&[
            COLLECTION,
            "org.freedesktop.DBus.Properties.Get",
            "string:org.freedesktop.Secret.Collection",
            "string:Locked",
        ]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("boolean true") {
            Some(true)
        } else {
            text.contains("boolean false").then_some(false)
        }
    }

    /// Locks the collection. Nobody is there to unlock it.
    pub fn lock(&self) {
        let locked = format!("array:objpath:{COLLECTION}");
        let output = self.call(&["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock", &locked]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        wait::until_true("the keyring to be locked", || self.locked() == Some(true));
    }

    /// Unlocks it the only way there is without a display: a new daemon in place of the old one.
    pub fn unlock(&mut self) {
        self.daemon.kill();
        self.daemon = Self::daemon(self.home.path(), &self.address);
        wait::until_true("the keyring to be unlocked", || self.locked() == Some(false));
    }

    /// Makes every call to it hang.
    pub fn stop(&mut self) {
        self.daemon.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&mut self) {
        self.daemon.signal(Signal::CONT);
    }

    /// Everything that a search from outside shows, secrets included.
    pub fn search(&self, attribute: &str, value: &str) -> String {
        let output = clean(&mut Command::new("secret-tool"), self.home.path())
            .args(["search", "--all", attribute, value])
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .output()
            .unwrap();
        // Attributes are on standard error, the rest on standard output. A schema the keyring adds in its own time.
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        said.split_inclusive('\n').filter(|line| !line.starts_with("schema = ")).collect()
    }

    /// Puts a copy of one profile's refresh token into another's place, as somebody with `secret-tool` can.
    pub fn copy_refresh_token(&self, from: &str, to: &str) {
        let attributes = |profile| ["service", "agentauthd", "profile", profile, "kind", "refresh_token"];
        let tool = |words: &[&str], input: &[u8]| {
            let mut child = clean(&mut Command::new("secret-tool"), self.home.path())
                .args(words)
                .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(input).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "secret-tool {words:?}");
            output.stdout
        };
        let secret = tool(&[&["lookup"][..], &attributes(from)].concat(), b"");
        assert!(!secret.is_empty(), "there is no refresh token of {from}");
        tool(&[&["clear"][..], &attributes(to)].concat(), b"");
        let store = ["store", "--label=copy", "--collection=login"];
        tool(&[&store[..], &attributes(to)].concat(), &secret);
    }

    /// The file that the keyring is kept in.
    pub fn on_disk(&self) -> Vec<u8> {
        std::fs::read(self.home.path().join("data/keyrings/login.keyring")).unwrap_or_default()
    }

    fn call(&self, words: &[&str]) -> Output {
        clean(&mut Command::new("dbus-send"), self.home.path())
            .args(["--session", "--print-reply", "--reply-timeout=5000", &format!("--dest={SERVICE}")])
            .args(words)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .output()
            .unwrap()
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        self.go_on();
    }
}

/// An environment of its own: no display to ask on, nobody's home.
fn clean<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home.join("run"))
        .env("XDG_DATA_HOME", home.join("data"))
}
