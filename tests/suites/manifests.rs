//! Manifests without a daemon: the linter, the difference, the catalogue of an organisation, and the gate in a real git
//! repository.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::binaries;
use e2e::cli::{self, Outcome};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Somebody's machine, with a repository.
struct Desk {
    home: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { home: tempfile::tempdir().unwrap() };
        fs::create_dir_all(desk.path(".config/agentauthd")).unwrap();
        fs::create_dir_all(desk.path("repo/agents")).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = binaries::command(program);
        let programs = binaries::program("agentauthd").parent().unwrap().display().to_string();
        command
            .current_dir(self.path("repo"))
            .env("HOME", self.home.path())
            .env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("TMPDIR", self.home.path());
        command
    }

    fn agentauthd(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command(binaries::program("agentauthd"));
        command.args(arguments);
        cli::run(command)
    }

    fn git(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command("git");
        command.args([
            "-c",
            "user.name=Ada",
            "-c",
            "user.email=ada@example.com",
            "-c",
            "commit.gpgsign=false",
        ]);
        command.args(arguments);
        cli::run(command)
    }

    #[track_caller]
    fn commit(&self, more: &[&str]) -> Outcome {
        assert_eq!(self.git(&["add", "-A"]).code, Some(0));
        self.git(&[&["commit", "-q", "-m", "change"], more].concat())
    }

    /// A repository whose hook is the gate.
    fn repository() -> Self {
        let desk = Self::new();
        assert_eq!(desk.git(&["init", "-q", "-b", "main"]).code, Some(0));
        let gate = desk.path("repo/.git/hooks/pre-commit");
        fs::create_dir_all(gate.parent().unwrap()).unwrap();
        fs::copy(gate_script(), &gate).unwrap();
        desk
    }

    fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).stdout
    }
}

fn gate_script() -> PathBuf {
    binaries::root().join("docs/examples/manifest-gate")
}

fn manifest(scopes: &[&str]) -> String {
    let scopes: Vec<_> = scopes
        .iter()
        .map(|scope| json!({"scope": scope, "purpose": "answer questions about the project"}))
        .collect();
    serde_json::to_string_pretty(&json!({"name": "notes", "version": "1", "scopes": scopes})).unwrap()
}

fn codes(outcome: &Outcome, file: usize, list: &str) -> Vec<String> {
    let json = outcome.json();
    let found = json[file][list].as_array().unwrap();
    found.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_linter_tells_clean_from_doubtful_from_broken() {
    let desk = Desk::new();
    desk.write("repo/clean.json", &manifest(&["files.read:/project"]));
    desk.write(
        "repo/broad.json",
        &manifest(&["files.read:/", "files.delete", "files.delete:/a", "warp.engage:x=1"]),
    );
    desk.write(
        "repo/broken.json",
        r#"{"name":"no good","version":"\u001b[2J","scopes":[{"scope":"read:all"}],"x":1}"#,
    );

    let clean = desk.agentauthd(&["agent", "lint", "clean.json"]);
    assert_eq!(clean.code, Some(0), "{clean:?}");
    assert!(clean.stdout.starts_with("clean.json: clean notes 1 "), "{clean:?}");
    assert!(clean.stderr.is_empty(), "{clean:?}");

    let broad = desk.agentauthd(&["agent", "lint", "--json", "clean.json", "broad.json"]);
    assert_eq!(broad.code, Some(2), "{broad:?}");
    assert!(codes(&broad, 0, "findings").is_empty());
    assert_eq!(
        codes(&broad, 1, "findings"),
        ["broad_scope", "missing_context", "covered_twice", "unknown_resource"]
    );
    assert_eq!(broad.json()[1]["findings"][1]["path"], "/scopes/1/scope");
    assert_eq!(broad.json()[0]["manifest"]["digest"].as_str().unwrap().len(), 64);
    let told = desk.agentauthd(&["agent", "lint", "broad.json"]);
    assert!(told.code == Some(2) && told.stdout.lines().count() == 4, "{told:?}");

    let broken = desk.agentauthd(&["agent", "lint", "--json", "broken.json", "broad.json"]);
    assert_eq!(broken.code, Some(1), "a broken one outweighs a doubtful one: {broken:?}");
    assert_eq!(
        codes(&broken, 0, "faults"),
        ["unknown_member", "bad_name", "hidden", "bad_scope", "missing"],
        "{broken:?}"
    );
    let told = desk.agentauthd(&["agent", "lint", "broken.json", "absent.json", "/dev/null"]);
    assert_eq!(told.code, Some(1));
    assert!(!told.all().contains('\u{1b}') && told.stderr.contains("`/name` is `no good`"), "{told:?}");
    assert!(told.stderr.contains("absent.json: the file cannot be read"), "{told:?}");
    assert_eq!(desk.agentauthd(&["agent", "lint"]).code, Some(64));
}

#[test]
fn the_difference_says_what_widens_and_what_it_needs() {
    let desk = Desk::new();
    let agentauthd = |old: &str, new: &str| desk.agentauthd(&["agent", "diff", "--json", old, new]);
    desk.write(
        "repo/old.json",
        &manifest(&["files.read:/project/a", "files.write:/project", "email.read:mailbox=me"]),
    );
    desk.write(
        "repo/new.json",
        &manifest(&["files.read:/project", "files.write:/project/a", "payments.execute:payee=x"]),
    );
    desk.write("repo/less.json", &manifest(&["files.write:/project"]));

    let same = agentauthd("old.json", "old.json");
    assert_eq!((same.code, &same.json()["scopes"]), (Some(0), &json!([])));
    let less = agentauthd("old.json", "less.json");
    assert_eq!(less.code, Some(0), "{less:?}");
    assert_eq!(less.json()["notes"].as_array().unwrap().len(), 1, "the version is the same: {less:?}");

    let wider = agentauthd("old.json", "new.json");
    assert_eq!(wider.code, Some(2), "{wider:?}");
    let report = wider.json();
    let changes: Vec<_> =
        report["scopes"].as_array().unwrap().iter().map(|one| (&one["change"], &one["scope"])).collect();
    let told = |change: &str, scope: &str| (Value::from(change), Value::from(scope));
    let expected = [
        told("widened", "files.read:/project"),
        told("narrowed", "files.write:/project/a"),
        told("added", "payments.execute:payee=x"),
        told("removed", "email.read:mailbox=me"),
    ];
    assert_eq!(changes, expected.iter().map(|(change, scope)| (change, scope)).collect::<Vec<_>>());
    let payment = &report["scopes"][2];
    assert_eq!((&payment["risk"], &payment["strength"]), (&json!("money"), &json!("reauth")), "{payment}");
    let told = desk.agentauthd(&["agent", "diff", "old.json", "new.json"]);
    assert!(told.stdout.contains("pay money; risk money, needs a fresh login"), "{told:?}");
    assert!(told.stdout.ends_with("2 scopes are widened.\n"), "{told:?}");

    let all = agentauthd("/dev/null", "old.json");
    assert_eq!((all.code, all.json()["scopes"].as_array().unwrap().len()), (Some(2), 3));
    desk.write("repo/renamed.json", &manifest(&["files.write:/project"]).replace("notes", "other"));
    let renamed = agentauthd("old.json", "renamed.json");
    assert!(renamed.code == Some(2) && renamed.json()["renamed"] == true, "{renamed:?}");
    for (old, new) in [("absent.json", "old.json"), ("old.json", "/dev/null"), ("/dev/null", "absent.json")] {
        assert_eq!(agentauthd(old, new).code, Some(1), "{old} {new}");
    }
}

#[test]
fn a_catalogue_of_ones_own_is_heard_and_never_milder() {
    let desk = Desk::new();
    let entry = |action: &str, risk: &str| {
        format!(
            "[resources.ledger.actions.{action}]\nsays = \"post to the ledger\"\nrisk = \"{risk}\"\nkeys = [\"book\"]\n\
             lifetime = \"once\"\nstrength = \"reauth\"\n"
        )
    };
    desk.write("repo/ledger.json", &manifest(&["ledger.post:book=main"]));
    let lint = |more: &[&str]| desk.agentauthd(&[&["agent", "lint", "--json", "ledger.json"], more].concat());
    assert_eq!(codes(&lint(&[]), 0, "findings"), ["unknown_resource"]);
    // For a pipeline, named; on this machine, in its place.
    desk.write("repo/scopes.toml", &entry("post", "money"));
    assert_eq!(lint(&["--catalogue", "scopes.toml"]).code, Some(0));
    desk.write(".config/agentauthd/scopes.toml", &entry("post", "money"));
    assert_eq!(lint(&[]).code, Some(0));
    let valid = desk.agentauthd(&["config", "validate"]);
    assert_eq!(valid.code, Some(0), "{valid:?}");

    let milder = "[resources.payments.actions.execute]\nsays = \"look at the weather\"\nrisk = \"read\"\n\
                  keys = [\"account\", \"currency\", \"payee\"]\nlifetime = \"until_revoked\"\nstrength = \"prompt\"\n";
    desk.write(".config/agentauthd/scopes.toml", &format!("{milder}\n{}", entry("Post", "awful")));
    let faults = desk.agentauthd(&["config", "validate", "--json"]);
    assert_eq!(faults.code, Some(1));
    assert_eq!(faults.json()["faults"].as_array().unwrap().len(), 2, "{faults:?}");
    desk.write(".config/agentauthd/scopes.toml", milder);
    let faults = desk.agentauthd(&["config", "validate", "--json"]);
    let told = faults.json()["faults"].to_string();
    assert_eq!(faults.json()["faults"].as_array().unwrap().len(), 4, "{faults:?}");
    for what in [
        "`risk` is `read`",
        "`strength` is `prompt`",
        "`lifetime` is `until_revoked`",
        "`says` has to stay `pay money`",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
    assert_eq!(lint(&[]).code, Some(1), "no examination by a catalogue that cannot be used");
    fs::create_dir(desk.path("socket")).unwrap();
    fs::set_permissions(desk.path("socket"), fs::Permissions::from_mode(0o700)).unwrap();
    let run = desk.agentauthd(&["--socket", &desk.path("socket/agent.sock").display().to_string(), "run"]);
    assert!(run.code == Some(1) && run.stderr.contains("scopes.toml"), "{run:?}");
}

#[test]
fn the_gate_refuses_what_widens_and_lets_pass_what_narrows() {
    let desk = Desk::repository();
    desk.write("repo/README.md", "no manifest");
    assert_eq!(desk.commit(&[]).code, Some(0), "what is no manifest passes");
    let digest = |outcome: &Outcome| -> String {
        let line = outcome
            .stderr
            .lines()
            .find(|line| line.len() == 64 && line.chars().all(|c| c.is_ascii_hexdigit()));
        line.unwrap_or_else(|| panic!("no digest: {outcome:?}")).to_owned()
    };

    // A new manifest asks for something; somebody has to say yes to exactly that.
    desk.write("repo/agents/notes.json", &manifest(&["files.read:/project", "files.write:/project/notes"]));
    let before = desk.head();
    let new = desk.commit(&[]);
    assert!(new.code != Some(0) && desk.head() == before, "{new:?}");
    desk.write("repo/.manifest-approvals", &format!("{}  the notes agent, Ada\n", digest(&new)));
    let approved = desk.commit(&[]);
    assert_eq!(approved.code, Some(0), "{approved:?}");

    // Narrower passes.
    desk.write(
        "repo/agents/notes.json",
        &manifest(&["files.read:/project/notes", "files.write:/project/notes"]),
    );
    let narrowed = desk.commit(&[]);
    assert_eq!(narrowed.code, Some(0), "{narrowed:?}");

    // Wider does not, however it comes.
    let before = desk.head();
    let wide = manifest(&["files.read:/project/notes", "files.write:/project"]);
    desk.write("repo/agents/notes.json", &wide);
    let widened = desk.commit(&[]);
    assert!(widened.code != Some(0) && desk.head() == before, "{widened:?}");
    assert!(
        widened.all().contains("widened   files.write:/project (was `files.write:/project/notes`)"),
        "{widened:?}"
    );
    // What counts is what is staged.
    desk.write("repo/agents/notes.json", &manifest(&["files.read:/project/notes"]));
    let staged = desk.git(&["commit", "-q", "-m", "sly"]);
    assert!(staged.code != Some(0) && desk.head() == before, "{staged:?}");
    // An approval of another content is none.
    desk.write("repo/agents/notes.json", &wide.replace("questions", "every question"));
    desk.write("repo/.manifest-approvals", &format!("{} x\n", digest(&widened)));
    let other = desk.commit(&[]);
    assert!(other.code != Some(0) && desk.head() == before, "{other:?}");
    // Under another name it is new.
    desk.write("repo/.manifest-approvals", "");
    fs::remove_file(desk.path("repo/agents/notes.json")).unwrap();
    desk.write("repo/agents/-n \u{e9}\"'.json", &manifest(&["files.read:/project/notes"]));
    let moved = desk.commit(&[]);
    assert!(moved.code != Some(0) && desk.head() == before, "{moved:?}");
    fs::remove_file(desk.path("repo/agents/-n \u{e9}\"'.json")).unwrap();
    assert_eq!(desk.commit(&[]).code, Some(0), "what takes a manifest away passes");
}

#[test]
fn the_gate_refuses_what_it_cannot_judge() {
    let desk = Desk::repository();
    desk.write("repo/agents/a.json", r#"{"name":"a","version":"1","scopes":[],"scopes":[],"colour":1}"#);
    let broken = desk.commit(&[]);
    assert_ne!(broken.code, Some(0), "{broken:?}");
    assert!(
        broken.all().contains("stands twice") && broken.all().contains("/colour"),
        "every fault: {broken:?}"
    );
    desk.write("repo/agents/a.json", &manifest(&[]));
    std::os::unix::fs::symlink("a.json", desk.path("repo/agents/link.json")).unwrap();
    let link = desk.commit(&[]);
    assert!(link.code != Some(0) && link.all().contains("link.json"), "{link:?}");
    fs::remove_file(desk.path("repo/agents/link.json")).unwrap();
    // Without the program there is no judgement.
    let mut commit = desk.command("git");
    commit.env("PATH", "/usr/local/bin:/usr/bin:/bin");
    commit.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-q", "-m", "x"]);
    desk.git(&["add", "-A"]);
    let blind = cli::run(commit);
    assert!(blind.code != Some(0) && blind.all().contains("is not there"), "{blind:?}");
    assert_eq!(desk.commit(&[]).code, Some(0), "an agent that asks for nothing is nobody's business");
    // With a broken manifest before, everything after it is new.
    desk.write("repo/agents/a.json", "{}");
    assert_eq!(desk.commit(&["--no-verify"]).code, Some(0));
    desk.write("repo/agents/a.json", &manifest(&["files.read:/a"]));
    assert_ne!(desk.commit(&[]).code, Some(0));
}

/// The shell of a published pipeline, run as the pipeline would.
fn pipeline(file: &str, marker: &str, item: &str) -> String {
    let text = fs::read_to_string(binaries::root().join("docs/examples").join(file)).unwrap();
    let (_, after) = text.split_once(marker).unwrap_or_else(|| panic!("{file} has no `{marker}`"));
    let lines = after.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#'));
    lines.map(|line| line.strip_prefix(item).unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_published_pipelines_gate_what_went_around_the_hook() {
    let desk = Desk::repository();
    desk.write("repo/tools/manifest-gate", &fs::read_to_string(gate_script()).unwrap());
    desk.write("repo/tools/scopes.toml", "closed = true\n");
    desk.write("repo/agents/notes.json", &manifest(&["files.read:/project"]));
    assert_eq!(desk.commit(&["--no-verify"]).code, Some(0));
    let target = desk.head().trim().to_owned();
    let gated = |file: &str| -> Vec<Option<i32>> {
        let runs = [
            ("manifest-gate.github.yml", "run: |", "\u{0}"),
            ("manifest-gate.gitlab-ci.yml", "script:", "- "),
        ];
        // Each change on a branch of its own, merged as the forge does it.
        let merge = |branch: &str, text: &str| {
            desk.git(&["checkout", "-q", "-B", branch, &target]);
            desk.write("repo/agents/notes.json", text);
            // A request that would switch its own gate off.
            desk.write("repo/tools/manifest-gate", "#!/bin/sh\nexit 0\n");
            assert_eq!(desk.commit(&["--no-verify"]).code, Some(0));
            desk.git(&["checkout", "-q", "-B", "merged", &target]);
            let merged = desk.git(&["merge", "-q", "--no-ff", "--no-verify", "-m", "merge", branch]);
            assert_eq!(merged.code, Some(0), "{merged:?}");
        };
        merge("change", file);
        runs.iter()
            .map(|(name, marker, item)| {
                let script = pipeline(name, marker, item);
                let mut command = desk.command("bash");
                command.args(["-e", "-c", &script]).env("RUNNER_TEMP", desk.home.path());
                command.env("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", &target);
                cli::run(command).code
            })
            .collect()
    };
    assert_eq!(gated(&manifest(&["files.read"])), [Some(1), Some(1)]);
    assert_eq!(gated(&manifest(&["files.read:/project/notes"])), [Some(0), Some(0)]);
    assert_eq!(gated("{"), [Some(1), Some(1)]);
}

#[test]
fn the_gate_is_sound_shell() {
    let checked = cli::run({
        let mut command = binaries::command("bash");
        command.arg("-n").arg(gate_script());
        command
    });
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let mode = fs::metadata(gate_script()).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "it is to be run");
    assert!(Path::new("/usr/bin/git").exists() || Path::new("/usr/local/bin/git").exists());
}
