//! The real program, as a script meets it: exit codes, what goes to which stream, and what `setup` writes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const PROJECT: &str = "P2abcdefghijklmnopqrstuvwxyz";

/// A user with an empty home directory and nothing in the environment.
struct User {
    home: TempDir,
}

struct Ran {
    code: i32,
    out: String,
    talk: String,
}

impl User {
    fn new() -> Self {
        let home =
            tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        Self { home }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    #[allow(clippy::disallowed_methods, reason = "the program under test is started")]
    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_agentauthd"))
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            talk: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Runs it at a terminal of its own, and answers each question when it is asked; what the terminal showed. Nothing where
    /// no terminal can be made.
    #[allow(clippy::disallowed_methods, reason = "the program under test is started")]
    fn answer(&self, arguments: &[&str], answers: &[(&str, &str)]) -> Option<String> {
        let script = std::path::Path::new("/usr/bin/script");
        if !script.exists() {
            return None;
        }
        let command = format!("{} {}", env!("CARGO_BIN_EXE_agentauthd"), arguments.join(" "));
        let mut terminal = Command::new(script)
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut keyboard, mut screen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
        let mut shown = String::new();
        let mut seen = 0;
        for (question, answer) in answers {
            while !shown[seen..].contains(question) {
                let mut some = [0; 1024];
                let count = screen.read(&mut some).unwrap();
                assert_ne!(count, 0, "it ended before it asked {question:?}: {shown}");
                shown.push_str(&String::from_utf8_lossy(&some[..count]));
            }
            seen = shown.len();
            keyboard.write_all(format!("{answer}\r").as_bytes()).unwrap();
            keyboard.flush().unwrap();
        }
        screen.read_to_string(&mut shown).unwrap();
        assert!(terminal.wait().unwrap().success(), "{shown}");
        Some(shown)
    }

    fn config(&self) -> PathBuf {
        self.home.path().join(".config/agentauthd/config.toml")
    }

    fn write_config(&self, text: &str) {
        write_private(&self.config(), text);
    }

    fn write_profile(&self, name: &str, text: &str) {
        write_private(&self.config().with_file_name(format!("profiles/{name}.toml")), text);
    }
}

fn write_private(path: &std::path::Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn help_and_version_are_data() {
    let user = User::new();
    for arguments in [&["--help"][..], &["help", "check"], &["check", "--help"], &["--version"]] {
        let ran = user.run(arguments);
        assert_eq!((ran.code, ran.talk.as_str()), (0, ""), "{arguments:?}");
        assert!(!ran.out.is_empty() && !ran.out.contains('\u{1b}'), "{arguments:?}");
    }
    let help = user.run(&["--help"]).out;
    for word in
        ["setup", "run", "login", "logout", "status", "whoami", "check", "config", "completions", "man"]
    {
        assert!(help.contains(word), "{word} is missing in {help}");
    }
}

#[test]
fn wrong_usage_exits_with_64() {
    let user = User::new();
    for arguments in [
        &[][..],
        &["lgoin"],
        &["check"],
        &["check", "files.read", "--wait", "1h"],
        &["status", "--nonsense"],
        &["--set", "nonsense", "status"],
        &["config"],
        &["setup"],
    ] {
        let ran = user.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{arguments:?}: {}", ran.talk);
        assert!(!ran.talk.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_daemon_that_does_not_run_exits_with_3_and_says_what_to_do() {
    let user = User::new();
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["whoami"],
        &["check", "files.read:/x"],
        &["check", "files.read:/x", "--json"],
        &["login"],
        &["logout"],
        &["--profile", "staging", "status"],
    ] {
        let ran = user.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{arguments:?}: {}", ran.talk);
        let start = if arguments[0] == "--profile" {
            "`agentauthd --profile staging run`"
        } else {
            "`agentauthd run`"
        };
        assert!(ran.talk.contains("is not running") && ran.talk.contains(start), "{}", ran.talk);
    }
    let ran = user.run(&["--profile", "staging", "status"]);
    assert!(ran.talk.contains("agentauthd/agent-staging.sock"), "{}", ran.talk);
}

#[test]
fn a_socket_of_doubtful_origin_is_an_error_and_not_an_absence() {
    let user = User::new();
    let directory = user.home.path().join("agentauthd");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(directory.join("agent.sock")).unwrap();
    let ran = user.run(&["status"]);
    assert_eq!(ran.code, 1, "{}", ran.talk);
    assert!(ran.talk.contains("because: "), "the cause is told: {}", ran.talk);
}

#[test]
fn validate_tells_every_fault_at_once() {
    let user = User::new();
    let ran = user.run(&["config", "validate"]);
    assert_eq!(ran.code, 0, "{}", ran.talk);
    assert!(ran.out.contains("valid") && ran.talk.contains("agentauthd setup"), "{}{}", ran.out, ran.talk);

    user.write_config("[login]\nports = [80]\n[lgo]\nformat = \"json\"\n");
    let ran = user.run_with(&["config", "validate"], &[("AGENTAUTHD_SECRETS_STORE", "plain")]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    for part in ["3 faults", "config.toml:2", "config.toml:4", "`log.format`", "AGENTAUTHD_SECRETS_STORE"] {
        assert!(ran.talk.contains(part), "{part} is missing in {}", ran.talk);
    }
    // Nothing runs on a configuration that is at fault.
    assert_eq!(user.run(&["status"]).code, 1);
}

#[test]
fn validate_looks_at_policies_too() {
    let user = User::new();
    user.write_config("");
    let directory = user.config().parent().unwrap().to_owned();
    for (name, text) in [
        ("policies/unnamed.cedar", "forbid(principal, action, resource);"),
        ("policies/syntax.cedar", "permit("),
    ] {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let ran = user.run(&["config", "validate"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.talk);
    for part in ["unnamed.cedar", "syntax.cedar", "note: "] {
        assert!(ran.talk.contains(part), "{part} is missing in {}", ran.talk);
    }
    // The daemon says the same, and does not start.
    let ran = user.run_with(&["run"], &[("AGENTAUTHD_SECRETS_STORE", "memory")]);
    assert_eq!(ran.code, 1);
    for part in ["unnamed.cedar", "syntax.cedar", "config validate"] {
        assert!(ran.talk.contains(part), "{part} is missing in {}", ran.talk);
    }

    std::fs::remove_dir_all(directory.join("policies")).unwrap();
    let ran = user.run(&["config", "validate", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &told["valid"], told["faults"].as_array().unwrap().len()), (0, &true.into(), 0));
    let ran = user.run(&["config", "validate"]);
    assert_eq!(ran.code, 0, "{}", ran.talk);
    assert!(ran.out.contains("policies"), "{}", ran.out);

    user.write_config("[login]\nports = [80]\n");
    let ran = user.run(&["config", "validate", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &told["valid"], ran.talk.as_str()), (1, &false.into(), ""));
    assert!(told["faults"][0].as_str().unwrap().contains("config.toml:2"), "{told}");
}

#[test]
fn show_is_itself_a_configuration_file() {
    let user = User::new();
    user.write_config("[provider]\nflow = \"sign-in\"\n");
    let shown =
        user.run_with(&["--set", "log.filter=debug", "config", "show"], &[("DESCOPE_PROJECT_ID", PROJECT)]);
    assert_eq!(shown.code, 0, "{}", shown.talk);
    for part in ["config.toml:2", "# environment variable DESCOPE_PROJECT_ID", "# flag --set", "# default"] {
        assert!(shown.out.contains(part), "{part} is missing in {}", shown.out);
    }
    user.write_config(&shown.out);
    let again = user.run(&["config", "show", "--json"]);
    assert_eq!(again.code, 0, "{}", again.talk);
    let settings: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    let project = settings.as_array().unwrap().iter().find(|s| s["key"] == "provider.project_id").unwrap();
    assert_eq!(project["value"], PROJECT);
    assert!(project["origin"].as_str().unwrap().ends_with("config.toml:14"), "{project}");
}

#[test]
fn setup_writes_a_private_file_and_prints_what_to_register() {
    let user = User::new();
    let ran = user.run(&["setup", "--project-id", PROJECT, "--yes"]);
    assert_eq!(ran.code, 0, "{}", ran.talk);
    assert_eq!(
        ran.out,
        "http://127.0.0.1:47823/callback\nhttp://127.0.0.1:47824/callback\nhttp://127.0.0.1:47825/callback\n"
    );
    assert!(ran.talk.contains("agentauthd login"), "{}", ran.talk);
    assert_eq!(std::fs::metadata(user.config()).unwrap().mode() & 0o777, 0o600);
    assert_eq!(user.run(&["config", "validate"]).code, 0);
    assert!(user.run(&["config", "show"]).out.contains(PROJECT));
}

#[test]
fn setup_of_a_profile_takes_ports_and_a_path_of_its_own() {
    let user = User::new();
    assert_eq!(user.run(&["setup", "--project-id", PROJECT, "--yes"]).code, 0);
    let mut seen = std::collections::BTreeSet::new();
    for (profile, first) in [("dev", 47826), ("prod", 47829)] {
        let ran = user.run(&["--profile", profile, "setup", "--project-id", PROJECT, "--yes"]);
        assert_eq!(ran.code, 0, "{}", ran.talk);
        assert!(ran.talk.contains(&format!("agentauthd --profile {profile} login")), "{}", ran.talk);
        let expected: Vec<_> =
            (first..first + 3).map(|port| format!("http://127.0.0.1:{port}/callback/{profile}")).collect();
        assert_eq!(ran.out.lines().collect::<Vec<_>>(), expected);
        assert!(expected.into_iter().all(|uri| seen.insert(uri)));
        // A second time it is content with what it chose.
        assert_eq!(user.run(&["--profile", profile, "setup"]).out, ran.out);
        let file = user.config().with_file_name(format!("profiles/{profile}.toml"));
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        let ran = user.run(&["--profile", profile, "config", "validate"]);
        assert_eq!((ran.code, ran.talk.as_str()), (0, ""));
    }
    let ran = user.run_with(&["--profile", "prod", "config", "validate"], &[("DESCOPE_PROJECT_ID", PROJECT)]);
    assert!(ran.code == 0 && ran.talk.contains("DESCOPE_PROJECT_ID"), "{}", ran.talk);
}

#[test]
fn status_shows_all_profiles_where_there_are_more_than_the_default() {
    let user = User::new();
    // Asked for explicitly there is a line, and an array, for one too.
    user.write_config("");
    assert_eq!(user.run(&["status"]).out, "", "the default profile alone is looked at whole");
    let ran = user.run(&["status", "--all", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &told["profiles"][0]["state"]), (3, &"not_running".into()), "{}", ran.talk);

    user.write_profile("dev", &format!("[provider]\nproject_id = \"{PROJECT}\"\n"));
    let ran = user.run(&["status"]);
    assert_eq!((ran.code, ran.talk.as_str()), (3, ""), "{}", ran.out);
    let line = ran.out.lines().find(|line| line.starts_with("dev ")).unwrap();
    assert!(line.contains(PROJECT) && line.contains("not running"), "{line}");
    assert!(
        ran.out.contains("`agentauthd --profile dev run`") && ran.out.contains("`agentauthd run`"),
        "{}",
        ran.out
    );

    // One that is broken hides no other, and is an error.
    user.write_config("x = 1\n");
    let ran = user.run(&["status", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let states: Vec<_> = told["profiles"].as_array().unwrap().iter().map(|entry| &entry["state"]).collect();
    assert_eq!((ran.code, states), (1, vec![&"unusable".into(), &"not_running".into()]));
    assert!(told["profiles"][0]["problems"][0].as_str().unwrap().contains("config.toml:1"), "{told}");

    // Who names one is told of that one.
    let ran = user.run(&["--profile", "dev", "status"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(ran.talk.contains("`agentauthd --profile dev run`"), "{}", ran.talk);
    assert_eq!(user.run_with(&["status"], &[("AGENTAUTHD_PROFILE", "dev")]).out, "");
    assert_eq!(user.run(&["--profile", "dev", "status", "--all"]).code, 64);
}

#[test]
fn setup_keeps_what_is_there_unless_told_otherwise() {
    let other = PROJECT.replace('z', "y");
    let user = User::new();
    user.write_config(
        "# mine\n[login]\nports = [5000]\n[provider]\nproject_id = \"P2abcdefghijklmnopqrstuvwxyz\"\n",
    );
    let ran = user.run(&["setup", "--project-id", &other]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.talk.contains(PROJECT) && ran.talk.contains("--yes"), "{}", ran.talk);
    assert!(std::fs::read_to_string(user.config()).unwrap().contains(PROJECT));

    let ran =
        user.run(&["setup", "--project-id", &other, "--base-url", "https://login.example.com", "--yes"]);
    assert_eq!(ran.out, "http://127.0.0.1:5000/callback\n");
    let text = std::fs::read_to_string(user.config()).unwrap();
    assert!(text.starts_with("# mine\n[login]\nports = [5000]\n") && text.contains(&other), "{text}");
    assert!(text.contains("base_url = \"https://login.example.com\""), "{text}");
    // With nothing to ask and nothing to change it only repeats what to register.
    assert_eq!(user.run(&["setup"]).code, 0);

    let ran = user.run(&["setup", "--project-id", "nonsense", "--yes"]);
    assert_eq!(ran.code, 64, "{}", ran.talk);
    assert_eq!(std::fs::read_to_string(user.config()).unwrap(), text);
}

#[test]
fn setup_names_any_openid_provider() {
    let user = User::new();
    let (issuer, client) = ("https://id.example.com/realms/work", "agentauthd");
    // Both or none, where nobody can be asked.
    for lacking in [&["setup", "--issuer", issuer][..], &["setup", "--client-id", client]] {
        let ran = user.run(lacking);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{}", ran.talk);
        assert!(ran.talk.contains("--issuer URL --client-id ID"), "{}", ran.talk);
    }
    assert_eq!(user.run(&["setup", "--issuer", issuer, "--project-id", PROJECT]).code, 64);
    let named = ["setup", "--issuer", issuer, "--client-id", client, "--preset", "keycloak"];
    let ran = user.run(&named);
    assert_eq!(ran.code, 0, "{}", ran.talk);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    assert!(ran.talk.contains("public") && !ran.talk.contains("application"), "{}", ran.talk);
    let shown = user.run(&["config", "show"]).out;
    for part in ["kind = \"oidc\"", issuer, "client_id = \"agentauthd\"", "preset = \"keycloak\""] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(user.run(&["config", "validate"]).code, 0);
    // Without anything it repeats what to register; one thing alone can be changed.
    assert_eq!(user.run(&["setup"]).out, ran.out);
    assert_eq!(user.run(&["setup", "--preset", "authentik", "--yes"]).code, 0);
    assert!(user.run(&["config", "show"]).out.contains("preset = \"authentik\""));
    // Another issuer has other clients.
    let ran = user.run(&["setup", "--issuer", "https://id.example.com/realms/home", "--yes"]);
    assert!(ran.code == 64 && ran.talk.contains("--client-id"), "{}", ran.talk);
    let ran = user.run(&["setup", "--preset", "nonsense", "--yes"]);
    assert!(ran.code == 64 && ran.talk.contains("keycloak"), "{}", ran.talk);

    // To Descope and back: what names the other kind goes.
    assert_eq!(user.run(&["setup", "--project-id", PROJECT, "--yes"]).code, 0);
    let ran = user.run(&["config", "validate"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.talk);
    let mut back = named.to_vec();
    back.push("--yes");
    assert_eq!(user.run(&back).code, 0);
    let ran = user.run(&["config", "validate"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.talk);
}

#[test]
fn setup_asks_for_the_kind_of_provider_and_what_names_it() {
    let user = User::new();
    let issuer = "https://id.example.com/realms/work";
    let Some(shown) = user.answer(
        &["setup"],
        &[
            ("Kind of provider", "oidc"),
            ("Issuer", issuer),
            ("Client ID", "agentauthd"),
            ("Product behind the issuer", "keycloak"),
        ],
    ) else {
        eprintln!("skipped: there is no script(1) to make a terminal");
        return;
    };
    assert!(shown.contains("http://127.0.0.1:47823/callback"), "{shown}");
    let text = std::fs::read_to_string(user.config()).unwrap();
    for part in ["kind = \"oidc\"", issuer, "client_id = \"agentauthd\"", "preset = \"keycloak\""] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // What is set is offered; Descope is another kind, and what it replaces is asked about.
    let answers = [
        ("Kind of provider", "descope"),
        ("Descope project ID", PROJECT),
        ("Base URL", ""),
        ("Replace `kind` oidc by descope?", "yes"),
        ("Remove `issuer`", "yes"),
        ("Remove `client_id`", "yes"),
        ("Replace `preset` keycloak by generic?", "yes"),
    ];
    user.answer(&["setup"], &answers).unwrap();
    let text = std::fs::read_to_string(user.config()).unwrap();
    assert!(text.contains(PROJECT) && !text.contains(issuer), "{text}");
    assert_eq!(user.run(&["config", "validate"]).code, 0);
}

#[test]
fn completions_and_manual_need_nothing() {
    let user = User::new();
    user.write_config("this is not TOML");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = user.run(&["completions", shell]);
        assert_eq!(ran.code, 0, "{}", ran.talk);
        assert!(ran.out.contains("agentauthd"));
    }
    assert!(user.run(&["man"]).out.contains(".TH agentauthd 1"));
    let pages = user.home.path().join("man");
    assert_eq!(user.run(&["man", "--dir", pages.to_str().unwrap()]).code, 0);
    assert!(pages.join("agentauthd-check.1").is_file());
}

#[test]
fn colour_is_for_terminals_unless_asked_for() {
    let user = User::new();
    assert!(!user.run(&["status"]).talk.contains('\u{1b}'));
    assert!(user.run(&["--color", "always", "status"]).talk.contains('\u{1b}'));
}

/// What `policy import` does with a template, right and wrong.
#[test]
fn a_policy_template_becomes_policies() {
    let user = User::new();
    assert_eq!(user.run(&["setup", "--project-id", PROJECT, "--yes"]).code, 0);
    let templates = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/policies/templates");
    let (json, cedar) = (templates.join("baseline.json"), templates.join("baseline.cedar"));
    let (json, cedar) = (json.to_str().unwrap(), cedar.to_str().unwrap());
    let kept = std::fs::read_to_string(cedar).unwrap();

    let ran = user.run(&["policy", "import", json]);
    assert_eq!((ran.code, ran.out.as_str()), (0, kept.as_str()), "{}", ran.talk);
    let ran = user.run(&["policy", "import", json, "--check", "--output", cedar]);
    assert_eq!(ran.code, 0, "{}", ran.talk);
    assert!(ran.out.contains("which are those in"), "{}", ran.out);

    let own = user.home.path().join("own.cedar");
    let own = own.to_str().unwrap();
    let ran = user.run(&["policy", "import", json, "--output", own]);
    assert_eq!(ran.code, 0, "{}", ran.talk);
    assert_eq!(std::fs::read_to_string(own).unwrap(), kept);
    std::fs::write(own, "// by hand").unwrap();
    let ran = user.run(&["policy", "import", json, "--output", own]);
    assert_eq!(ran.code, 1);
    assert!(ran.talk.contains("is there already") && ran.talk.contains("`--force`"), "{}", ran.talk);
    assert_eq!(std::fs::read_to_string(own).unwrap(), "// by hand");
    let ran = user.run(&["policy", "import", json, "--output", own, "--check"]);
    assert!(ran.code == 1 && ran.talk.contains("it is not what"), "{}", ran.talk);
    assert_eq!(user.run(&["policy", "import", json, "--output", own, "--force"]).code, 0);
    assert_eq!(std::fs::read_to_string(own).unwrap(), kept);

    // What was written is taken by what loads policies.
    let ran = user.run(&["policy", "check", "--admin", own]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.talk);
}

/// A file of policies is whole or not there, readable for every daemon of the machine, and never in another's place.
#[test]
fn what_is_imported_is_written_whole_and_where_it_belongs() {
    let user = User::new();
    assert_eq!(user.run(&["setup", "--project-id", PROJECT, "--yes"]).code, 0);
    let templates = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../config/policies/templates");
    let json = user.home.path().join("baseline.json");
    std::fs::copy(templates.join("baseline.json"), &json).unwrap();
    let json = json.to_str().unwrap();
    let folder = user.home.path().join("out");
    std::fs::create_dir(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;

    let own = path("own.cedar");
    assert_eq!(user.run(&["policy", "import", json, "--output", &own]).code, 0);
    assert_eq!(mode(&own), 0o644);
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o640)).unwrap();
    // Who reads it while it is replaced reads the old one to its end.
    let mut reader = std::fs::File::open(&own).unwrap();
    assert_eq!(user.run(&["policy", "import", json, "--output", &own, "--force"]).code, 0);
    assert_eq!(mode(&own), 0o640);
    let (read, written) = (reader.metadata().unwrap().ino(), std::fs::metadata(&own).unwrap().ino());
    assert_ne!(read, written, "not written in place");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    assert_eq!(text, std::fs::read_to_string(&own).unwrap());

    // What a link leads to is somebody else's, and so is a device.
    std::fs::write(path("other"), "other").unwrap();
    std::os::unix::fs::symlink(path("other"), path("link.cedar")).unwrap();
    for output in [path("link.cedar"), "/dev/null".to_owned()] {
        let ran = user.run(&["policy", "import", json, "--output", &output, "--force"]);
        assert!(ran.code == 1 && ran.talk.contains("no plain file"), "{output}: {}", ran.talk);
    }
    assert_eq!(std::fs::read_to_string(path("other")).unwrap(), "other");

    let kept = std::fs::read_to_string(json).unwrap();
    let ran = user.run(&["policy", "import", json, "--output", json, "--force"]);
    assert!(ran.code == 1 && ran.talk.contains("the template itself"), "{}", ran.talk);
    assert_eq!(std::fs::read_to_string(json).unwrap(), kept);
    let mut names: Vec<_> =
        std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["link.cedar", "other", "own.cedar"], "nothing is left beside");
}

/// The template's policies stand where an administrator's stand: before a person's own.
#[test]
fn a_persons_own_policies_keep_no_template_out() {
    let user = User::new();
    assert_eq!(user.run(&["setup", "--project-id", PROJECT, "--yes"]).code, 0);
    let own = user.home.path().join(".config/agentauthd/policies");
    std::fs::create_dir_all(&own).unwrap();
    let text = "@id(\"t.r1\") forbid(principal, action, resource);";
    std::fs::write(own.join("t.cedar"), text).unwrap();
    let json = user.home.path().join("t.json");
    let rule = r#"{"if": {"requestedScope": "*"}, "then": {"deny": true}}"#;
    std::fs::write(&json, format!("{{\"policyId\": \"t\", \"rules\": [{rule}]}}")).unwrap();
    let ran = user.run(&["policy", "import", json.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.talk);
    // A fault of theirs stays one, though their file is called alike.
    std::fs::write(own.join("t.cedar"), "permit(").unwrap();
    let ran = user.run(&["policy", "import", json.to_str().unwrap()]);
    assert!(ran.code == 1 && ran.talk.contains("policies/t.cedar"), "{}", ran.talk);
    std::fs::write(own.join("t.cedar"), text).unwrap();
    std::fs::set_permissions(own.join("t.cedar"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let ran = user.run(&["policy", "import", json.to_str().unwrap()]);
    assert!(ran.code == 1 && ran.talk.contains("policies/t.cedar"), "{}", ran.talk);
}

#[test]
fn of_a_template_at_fault_everything_is_told_and_nothing_written() {
    let user = User::new();
    assert_eq!(user.run(&["setup", "--project-id", PROJECT, "--yes"]).code, 0);
    let write = |text: &str| {
        let path = user.home.path().join("t\u{202e}.json");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let output = user.home.path().join("t.cedar");
    let path = write(
        "{\"policyId\": \"t\",\n \"rules\": [{\"if\": {\"rsk\": 1}, \"then\": {\"deny\": \"\\u001b[2J\"}}]}",
    );
    let ran = user.run(&["policy", "import", &path, "--output", output.to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(ran.talk.contains(":2:20: `/rules/0/if/rsk` is not known"), "{}", ran.talk);
    assert!(
        ran.talk.contains(":2:48: `/rules/0/then/deny` is a text") && ran.talk.contains("^^^^^"),
        "{}",
        ran.talk
    );
    assert!(!ran.talk.contains(['\u{1b}', '\u{202e}']) && !output.exists(), "{}", ran.talk);

    // An action that nobody knows is found by what loads the policies, and told with its rule.
    let path = write(
        r#"{"policyId": "t", "rules": [{"if": {"requestedScope": "fils.read"}, "then": {"deny": true}}]}"#,
    );
    let ran = user.run(&["policy", "import", &path, "--json"]);
    assert_eq!(ran.code, 1);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["faults"][0]["path"], "/rules/0", "{}", ran.out);
    assert!(report["faults"][0]["what"].as_str().unwrap().contains("fils.read"), "{}", ran.out);

    // Neither what is no text nor what is too long is less of a fault.
    for (bytes, code) in
        [(b"{\"policyId\": \"\xff\"}".to_vec(), "not_json"), ("ä".repeat(140_000).into_bytes(), "too_long")]
    {
        std::fs::write(&path, bytes).unwrap();
        let ran = user.run(&["policy", "import", &path, "--json"]);
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.code, report["faults"][0]["code"].as_str()), (1, Some(code)), "{}", ran.talk);
    }

    let ran = user.run(&["policy", "import", "/nowhere.json"]);
    assert!(ran.code == 1 && ran.talk.contains("could not read the template"), "{}", ran.talk);
    assert_eq!(user.run(&["policy", "import"]).code, 64);
}
