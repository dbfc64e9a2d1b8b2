//! Tests of the layers: which wins, what is refused, and that the example file says what the defaults are.

use std::os::unix::fs::PermissionsExt;

use super::super::machine::{Machine, write};
use super::super::options::all;
use super::*;

const PROJECT: &str = "P2abcdefghijklmnopqrstuvwxyz";
const OTHER: &str = "Peuc12abcdefghijklmnopqrstuvwxyz";

fn flow_and_origin(machine: &Machine) -> (Option<String>, String) {
    let loaded = machine.load().unwrap();
    let origin = loaded.origins.of("provider.flow").to_string();
    let root = machine.root.path().display().to_string();
    (loaded.config.provider.flow, origin.replace(&root, ""))
}

#[test]
fn each_layer_wins_over_the_ones_below() {
    let check = |machine: &Machine, value: Option<&str>, origin: &str| {
        assert_eq!(flow_and_origin(machine), (value.map(str::to_owned), origin.to_owned()));
    };
    let machine = Machine::new();
    check(&machine, None, "default");
    let machine = machine.user("[provider]\nflow = \"file\"\n");
    check(&machine, Some("file"), "/home/.config/agentauthd/config.toml:2");
    let machine = machine.variable("AGENTAUTHD_PROVIDER_FLOW", "variable");
    check(&machine, Some("variable"), "environment variable AGENTAUTHD_PROVIDER_FLOW");
    let machine = machine.flag("provider.flow", "flag");
    check(&machine, Some("flag"), "flag --set");
    let machine = machine.admin("[provider]\nflow = \"admin\"\n");
    check(&machine, Some("admin"), "/etc/config.toml:2");
    let machine = machine.admin("[provider]\nflow = \"\"\n");
    check(&machine, None, "/etc/config.toml:2");

    let settings = machine.load().unwrap().settings();
    let flow = settings.iter().find(|setting| setting.key == "provider.flow").unwrap();
    assert_eq!(flow.overridden.len(), 3, "what lost is shown too");
}

#[test]
fn what_is_not_at_fault_can_be_looked_at_all_the_same() {
    let machine = Machine::new().user("[provider]\nflow = \"file\"\n[login]\nports = [80]\nprots = []\n");
    let environment = machine.environment();
    let (loaded, faults) =
        machine.administered(|administrator| lay(&environment, &machine.flags, administrator, None));
    assert_eq!(faults, machine.load().unwrap_err().0, "nothing is loaded with a fault");
    assert_eq!(faults.len(), 2);
    let config = loaded.unwrap().config;
    assert_eq!(config.provider.flow.as_deref(), Some("file"));
    assert_eq!(config.login.ports, agentauth_idp::DEFAULT_PORTS);
}

#[test]
fn the_names_of_descopes_own_sdks_are_understood_and_ours_win() {
    let machine = Machine::new()
        .variable("DESCOPE_PROJECT_ID", PROJECT)
        .variable("DESCOPE_BASE_URI", "https://python.example.com")
        .variable("DESCOPE_BASE_URL", "https://go.example.com");
    let provider = machine.load().unwrap().config.provider;
    assert_eq!(provider.project_id.as_deref(), Some(PROJECT));
    assert_eq!(provider.base_url.unwrap().as_str(), "https://go.example.com/");
    let machine = machine.variable("AGENTAUTHD_PROVIDER_PROJECT_ID", OTHER);
    assert_eq!(machine.load().unwrap().config.provider.project_id.as_deref(), Some(OTHER));
}

#[test]
fn every_fault_is_reported_at_once_with_its_place() {
    let machine = Machine::new()
        .user(
            "profil = \"x\"\n[login]\nports = [80]\ntime_limit = \"5 years\"\n[secrets]\nstore = \"plain\"\n",
        )
        .variable("AGENTAUTHD_LOG_FORMAT", "xml")
        .variable("AGENTAUTHD_LOG_FROMAT", "json")
        .variable("AGENTAUTHD_SOCKET", "relative.sock")
        .flag("checks.burst", "many")
        .flag("colour", "red")
        .admin("[provider]\nbase_url = \"http://evil.example.com\"\n");
    let faults = machine.faults();
    let expected = [
        "/home/.config/agentauthd/config.toml:1: `profil`: is not an option; did you mean `profile`?",
        "/home/.config/agentauthd/config.toml:3: `login.ports`: redirect port 80",
        "/home/.config/agentauthd/config.toml:4: `login.time_limit`: must be a duration",
        "/home/.config/agentauthd/config.toml:6: `secrets.store`: must be one of \"keychain\", \"file\", \"memory\"",
        "environment variable AGENTAUTHD_LOG_FORMAT: `log.format`: must be one of \"text\", \"json\", not \"xml\"",
        "environment variable AGENTAUTHD_LOG_FROMAT: is not a variable of agentauthd; did you mean AGENTAUTHD_LOG_FORMAT?",
        "environment variable AGENTAUTHD_SOCKET: `paths.socket`: must be an absolute path",
        "flag --set: `checks.burst`: must be a whole number",
        "flag --set: `colour`: is not an option",
        "/etc/config.toml:2: `provider.base_url`: base url `http://evil.example.com` is not https",
    ];
    for start in expected {
        assert!(faults.iter().any(|fault| fault.starts_with(start)), "missing: {start}\nin {faults:#?}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    assert!(machine.load().unwrap_err().to_string().contains("10 faults"));
}

#[test]
fn a_wrong_value_is_a_fault_even_where_it_is_overridden() {
    let machine = Machine::new().user("[log]\nformat = \"xml\"\n").flag("log.format", "json");
    assert_eq!(machine.faults().len(), 1);
}

#[test]
fn secrets_are_no_options() {
    for key in ["provider.client_secret", "provider.management_key", "secrets.passphrase"] {
        let faults = Machine::new().flag(key, "x").faults();
        assert!(faults.iter().any(|fault| fault.contains("is not an option")), "{key}: {faults:?}");
    }
}

#[test]
fn files_that_others_can_write_are_refused_not_passed_over() {
    let machine = Machine::new().admin("[provider]\nflow = \"admin\"\n");
    std::fs::set_permissions(machine.admin_file(), std::fs::Permissions::from_mode(0o666)).unwrap();
    let faults = machine.faults();
    assert!(
        faults.iter().any(|f| f.contains("can be written by others") && f.contains("chmod go-w")),
        "{faults:?}"
    );

    let machine = Machine::new().user("");
    std::fs::set_permissions(machine.user_file(), std::fs::Permissions::from_mode(0o602)).unwrap();
    assert_eq!(machine.faults().len(), 1);
}

#[test]
fn a_named_file_must_exist_and_replaces_the_users() {
    let mut machine = Machine::new().user("[provider]\nflow = \"user\"\n");
    let named = machine.root.path().join("other.toml");
    machine.flags.config = Some(named.clone());
    assert!(machine.faults().iter().any(|fault| fault.contains("no such file")));
    write(&named, "[provider]\ntenant = \"T2\"\n");
    let loaded = machine.load().unwrap();
    assert_eq!((loaded.config.provider.flow, loaded.config.provider.tenant), (None, Some("T2".to_owned())));
    assert_eq!(loaded.files, [named]);
}

#[test]
fn relative_base_directories_are_ignored() {
    let machine = Machine::new().variable("XDG_CONFIG_HOME", "conf").variable("XDG_STATE_HOME", "./state");
    let paths = machine.load().unwrap().config.paths;
    assert_eq!(paths.config_dir, machine.root.path().join("home/.config/agentauthd"));
    assert!(paths.state_dir.is_absolute());
}

#[test]
fn without_a_home_there_is_a_fault_and_not_a_guess() {
    let mut machine = Machine::new();
    machine.variables.clear();
    assert!(machine.faults().iter().any(|fault| fault.contains("home directory is not known")));
}

#[test]
fn a_service_managers_credential_unlocks_the_secrets_file_unless_another_is_named() {
    let machine = Machine::new();
    let credentials = machine.root.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    let machine = machine.variable("CREDENTIALS_DIRECTORY", credentials.to_str().unwrap());
    let passphrase_file = |machine: &Machine| machine.load().unwrap().config.secrets.passphrase_file;
    assert_eq!(passphrase_file(&machine), None);
    write(&credentials.join(PASSPHRASE_CREDENTIAL), "x");
    assert_eq!(passphrase_file(&machine), Some(credentials.join(PASSPHRASE_CREDENTIAL)));
    let machine = machine.user("[secrets]\npassphrase_file = \"/mine\"\n");
    assert_eq!(passphrase_file(&machine), Some(PathBuf::from("/mine")));
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let machine = Machine::new()
        .user("[checks]\nmax_connections = 4\nmax_connections_per_process = 5\nburst = 1\n")
        .flag("paths.socket", &format!("/{}", "a".repeat(120)));
    let faults = machine.faults();
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(
        faults.iter().any(|fault| fault.starts_with("/home/.config/agentauthd/config.toml:3: ")),
        "{faults:#?}"
    );
}

#[test]
fn a_credential_in_the_environment_is_mentioned_without_its_value() {
    let loaded = Machine::new().variable("DESCOPE_MANAGEMENT_KEY", "K2secret").load().unwrap();
    assert!(loaded.notes.iter().any(|note| note.contains("DESCOPE_MANAGEMENT_KEY")));
    assert!(!format!("{loaded:?}").contains("K2secret"));
}

/// The example file with every option uncommented: `# key = value` and `# [section]` are options, `# ` before
/// anything else is prose.
fn uncommented() -> String {
    let text = include_str!("../../../../config/agentauthd.toml");
    let option = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let key = rest.split(" = ").next()?;
        let is_key = rest.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        is_key.then(|| rest.to_owned())
    };
    text.lines().map(|line| option(line).unwrap_or_else(|| line.to_owned())).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_file_shows_every_option_at_its_default() {
    let plain = Machine::new();
    let defaults = plain.load().unwrap();
    // The file cannot know the reader's home; it writes paths for a user `you`.
    let place = |path: &Path| path.display().to_string();
    let home = place(&plain.root.path().join("home"));
    let text = uncommented()
        .replace("/home/you", &home)
        .replace("/run/user/1000/agentauthd/agent.sock", &place(&defaults.config.paths.socket));
    let machine = plain.user(&text);
    let loaded = machine.load().unwrap();
    assert_eq!(loaded.config, defaults.config);
    for option in all() {
        assert_ne!(
            *loaded.origins.of(option.key),
            Origin::Default,
            "`{}` is missing in config/agentauthd.toml",
            option.key
        );
    }
}

#[test]
fn the_example_file_as_it_stands_sets_nothing() {
    let machine = Machine::new().user(include_str!("../../../../config/agentauthd.toml"));
    let loaded = machine.load().unwrap();
    assert!(all().all(|option| *loaded.origins.of(option.key) == Origin::Default));
}
