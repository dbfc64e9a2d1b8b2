//! The provider's own SDKs, unmodified and pinned, against the emulator: what they accept and refuse there, they accept
//! and refuse at the real service, as far as that is known.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use e2e::process::Owned;
use e2e::{binaries, peers, wait};
use serde::Deserialize;

/// How many cases each script has. A case that is dropped must be dropped here, too.
const PYTHON_CASES: usize = 91;
const NODE_CASES: usize = 70;

#[test]
fn the_official_python_sdk_is_at_home() {
    let emulator = RunningEmulator::start();
    let output = emulator.hold_against(peers::python(&peers::script("sdk_python.py")));
    judge(&output, PYTHON_CASES);
}

#[test]
fn the_official_node_sdk_is_at_home() {
    let emulator = RunningEmulator::start();
    let output = emulator.hold_against(peers::node(&peers::script("sdk_node.mjs")));
    judge(&output, NODE_CASES);
}

/// The emulator as a program of its own: the scripts change its clock and keys.
struct RunningEmulator {
    _process: Owned,
    _place: tempfile::TempDir,
    ready: Ready,
}

/// What the emulator writes once it answers.
#[derive(Deserialize)]
struct Ready {
    base_url: String,
    project_id: String,
}

impl RunningEmulator {
    fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("ready.json");
        let mut command = binaries::command(binaries::program("descope-emulator"));
        command.arg("--ready-file").arg(&file).stdout(std::process::Stdio::null());
        let process = Owned::start(&mut command);
        let ready = wait::until("the emulator to answer", || read(&file));
        Self { _process: process, _place: place, ready }
    }

    fn hold_against(&self, mut script: Command) -> Output {
        script.args([&self.ready.base_url, &self.ready.project_id]).output().unwrap()
    }
}

fn read(file: &Path) -> Option<Ready> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// One line of a script's answer.
#[derive(Deserialize)]
struct Case {
    case: String,
    ok: bool,
    error: String,
}

fn judge(output: &Output, expected: usize) {
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let cases: Vec<Case> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not a case: {line}\n{errors}")))
        .collect();
    let failed: Vec<String> =
        cases.iter().filter(|case| !case.ok).map(|case| format!("{}: {}", case.case, case.error)).collect();
    assert!(failed.is_empty(), "{} of {} cases failed\n{}", failed.len(), cases.len(), failed.join("\n"));
    let names: BTreeSet<&str> = cases.iter().map(|case| case.case.as_str()).collect();
    assert_eq!((names.len(), cases.len()), (expected, expected), "cases ran\n{errors}");
    assert!(output.status.success(), "{}\n{errors}", output.status);
}
