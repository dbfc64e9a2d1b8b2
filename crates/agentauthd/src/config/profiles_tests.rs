//! Tests of profiles: nothing of one is another's, whichever layer it comes from.

use std::collections::{BTreeMap, BTreeSet};

use super::super::machine::Machine;
use super::*;

const PROJECT: &str = "P2abcdefghijklmnopqrstuvwxyz";
const OTHER: &str = "Peuc12abcdefghijklmnopqrstuvwxyz";

fn named(project: &str) -> String {
    format!("[provider]\nproject_id = \"{project}\"\n")
}

fn project(loaded: &Loaded) -> Option<&str> {
    loaded.config.provider.project_id.as_deref()
}

#[test]
fn a_named_profile_takes_nothing_from_the_default_ones_file() {
    let everything = "[provider]\nproject_id = \"P2abcdefghijklmnopqrstuvwxyz\"\nflow = \"f\"\ntenant = \"T\"\n\
         [login]\nports = [5000]\nredirect_path = \"/x\"\n[secrets]\nstore = \"memory\"\n[checks]\nburst = 5000\n\
         [paths]\nstate_dir = \"/s\"\nsocket = \"/s/a.sock\"\npolicies_dir = \"/s/policies\"\n";
    let with = Machine::new().user(everything).with_profile("prod").unwrap();
    let mut without = Machine::new().with_profile("prod").unwrap();
    let (here, there) = (&with.config.paths.config_dir, &without.config.paths.config_dir);
    assert!(here.ends_with("profiles/prod") && there.ends_with("profiles/prod"));
    without.config.paths = with.config.paths.clone();
    assert_eq!(with.config, without.config);
    assert_eq!(with.files, Vec::<PathBuf>::new());
    assert!(!format!("{:?}", with.config).contains("/s/"));
}

#[test]
fn each_profile_reads_its_own_file() {
    let machine = Machine::new().user(&named(PROJECT)).profile("prod", &named(OTHER));
    assert_eq!(project(&machine.load().unwrap()), Some(PROJECT));
    assert_eq!(project(&machine.with_profile("prod").unwrap()), Some(OTHER));
    assert_eq!(project(&machine.with_profile("dev").unwrap()), None);
    let prod = machine.variable("AGENTAUTHD_PROFILE", "prod");
    assert_eq!(project(&prod.load().unwrap()), Some(OTHER));
    assert_eq!(project(&prod.with_profile("default").unwrap()), Some(PROJECT));
}

#[test]
fn a_file_of_another_profile_is_refused_whoever_names_it() {
    let faults_of = |machine: &Machine| machine.load().unwrap_err().to_string();
    let copied = Machine::new().profile("prod", "profile = \"dev\"\n");
    assert!(
        copied
            .with_profile("prod")
            .unwrap_err()
            .to_string()
            .contains("prod.toml:1: `profile`: the file says")
    );
    // The default profile's file does not choose another.
    assert!(
        faults_of(&Machine::new().user("profile = \"dev\"\n"))
            .contains("of the profile \"dev\", and this is `default`")
    );
    let own = Machine::new().profile("prod", "profile = \"prod\"\n").user("profile = \"default\"\n");
    assert_eq!(own.with_profile("prod").unwrap().config.profile, "prod");
    assert_eq!(own.load().unwrap().config.profile, "default");
    // An administrator who names one allows no other.
    let pinned = Machine::new().admin("profile = \"work\"\n");
    assert!(pinned.with_profile("dev").is_err() && pinned.load().is_err());
    assert_eq!(pinned.with_profile("work").unwrap().config.profile, "work");
    let mut given = Machine::new();
    let path = given.root.path().join("other.toml");
    super::super::machine::write(&path, "profile = \"dev\"\n");
    given.flags.config = Some(path);
    assert!(given.load().is_err());
    assert_eq!(given.with_profile("dev").unwrap().config.profile, "dev");
}

#[test]
fn variables_are_of_the_profile_that_the_environment_names() {
    let machine = Machine::new()
        .variable("DESCOPE_PROJECT_ID", PROJECT)
        .variable("DESCOPE_BASE_URL", "https://go.example.com")
        .variable("AGENTAUTHD_PROVIDER_TENANT", "T1")
        .variable("AGENTAUTHD_LOGIN_PORTS", "5000")
        .variable("AGENTAUTHD_SECRETS_STORE", "memory")
        .variable("AGENTAUTHD_SOCKET", "/s/a.sock")
        .variable("AGENTAUTHD_STATE_DIR", "/s")
        .variable("AGENTAUTHD_CONFIG", "/nowhere/config.toml")
        .variable("AGENTAUTHD_LOG_FILTER", "debug");
    let clean = Machine::new();
    let mut expected = clean.with_profile("prod").unwrap().config;
    let prod = machine.with_profile("prod").unwrap();
    expected.log.filter = "debug".to_owned();
    expected.paths = prod.config.paths.clone();
    assert_eq!(prod.config, expected, "of the log only");
    assert!(!format!("{:?}", prod.config.paths).contains("\"/s"));
    let notes = prod.notes.join("\n");
    for variable in ["DESCOPE_PROJECT_ID", "DESCOPE_BASE_URL", "AGENTAUTHD_SOCKET", "AGENTAUTHD_CONFIG"] {
        assert!(notes.contains(variable), "{variable} was dropped in silence: {notes}");
    }
    assert!(!notes.contains("LOG_FILTER") && notes.contains("profiles/prod.toml"), "{notes}");

    // Named by the environment, it has them; what Descope's own SDKs read is of the default profile all the same.
    let variables = machine.variables.into_iter().filter(|(name, _)| name != "AGENTAUTHD_CONFIG");
    let machine =
        Machine { variables: variables.collect(), ..Machine::new() }.variable("AGENTAUTHD_PROFILE", "prod");
    let prod = machine.load().unwrap();
    assert_eq!(prod.config.provider.tenant.as_deref(), Some("T1"));
    assert_eq!((project(&prod), &prod.config.login.ports), (None, &vec![5000]));
    assert_eq!(prod.config.paths.socket, Path::new("/s/a.sock"));
    assert!(prod.notes.iter().any(|note| note.contains("DESCOPE_PROJECT_ID")));
    let default = machine.with_profile("default").unwrap();
    assert_eq!((project(&default), default.config.provider.tenant.as_deref()), (Some(PROJECT), None));
}

#[test]
fn flags_are_of_the_profile_that_they_stand_beside() {
    let machine = Machine::new().flag("provider.project_id", PROJECT).flag("profile", "dev");
    assert_eq!(project(&machine.load().unwrap()), Some(PROJECT));
}

#[test]
fn the_administrators_file_holds_for_all_and_the_profiles_own_above_it() {
    let machine = Machine::new()
        .user("[provider]\nflow = \"user\"\n")
        .profile("prod", "[provider]\nflow = \"user\"\ntenant = \"user\"\n")
        .admin("[provider]\nflow = \"all\"\ntenant = \"all\"\n")
        .admin_of("prod", "[provider]\ntenant = \"prod\"\n")
        .admin_of("default", "[checks]\nburst = 3000\n");
    let values = |name: &str| {
        let config = machine.with_profile(name).unwrap().config;
        (config.provider.flow.unwrap(), config.provider.tenant.unwrap(), config.checks.burst)
    };
    assert_eq!(values("prod"), ("all".to_owned(), "prod".to_owned(), 2000));
    assert_eq!(values("default"), ("all".to_owned(), "all".to_owned(), 3000));
    assert_eq!(values("dev"), ("all".to_owned(), "all".to_owned(), 2000));
}

#[test]
fn a_name_that_is_none_chooses_nothing() {
    for bad in ["../prod", "Prod", "", "a/b", "-x"] {
        let error = Machine::new().profile("prod", "").with_profile(bad).unwrap_err().to_string();
        assert!(error.contains("flag --profile: `profile`: must "), "{bad}: {error}");
    }
}

/// Every place that is a profile's own: what it reads, what it writes, and what it is found by.
fn places_of(loaded: &Loaded) -> BTreeSet<PathBuf> {
    let (profile, paths) = (&loaded.config.profile, &loaded.config.paths);
    let state = &paths.state_dir;
    BTreeSet::from([
        loaded.user_file.clone(),
        paths.config_dir.clone(),
        paths.policies_dir.clone(),
        paths.socket.clone(),
        paths.socket.with_extension("sock.lock"),
        state.clone(),
        state.join("profile"),
        state.join("device_id"),
        state.join("state.db"),
        state.join("audit"),
        state.join("jwks.json"),
        state.join("secrets"),
        state.join(format!("refresh-{profile}.lock")),
    ])
}

#[test]
fn two_profiles_have_no_place_in_common() {
    let machine = Machine::new().variable("XDG_RUNTIME_DIR", "/run/user/7");
    let names = ["default", "dev", "dev-2", "prod"];
    let mut owners = BTreeMap::new();
    let mut urls = BTreeMap::new();
    for name in names {
        let loaded = machine.with_profile(name).unwrap();
        for place in places_of(&loaded) {
            if let Some(owner) = owners.insert(place.clone(), name) {
                panic!("{} is of {owner} and of {name}", place.display());
            }
        }
        for uri in loaded.config.login.redirect_uris() {
            assert!(urls.insert(uri.clone(), name).is_none(), "{uri}");
        }
    }
    assert_eq!(machine.with_profile("dev").unwrap().config.login.redirect_path, "/callback/dev");
    assert!(owners.contains_key(Path::new("/run/user/7/agentauthd/agent-dev-2.sock")));
}

#[test]
fn the_profiles_that_there_are() {
    let names_on = |machine: &Machine| {
        let found =
            machine.administered(|administrator| profiles_under(&machine.environment(), administrator));
        found.into_iter().map(|profile| (profile.name, profile.loaded.is_ok())).collect::<Vec<_>>()
    };
    let ok = |name: &str| (name.to_owned(), true);
    let machine = Machine::new();
    assert_eq!(names_on(&machine), []);
    let machine =
        machine.profile("prod", &named(OTHER)).profile("dev", "").profile("Bad", "").profile("default", "");
    assert_eq!(names_on(&machine), [ok("dev"), ok("prod")]);
    let machine = machine.admin_of("work", "").profile("torn", "x");
    assert_eq!(names_on(&machine), [ok("dev"), ok("prod"), ("torn".to_owned(), false), ok("work")]);
    let machine = machine.user("");
    assert_eq!(names_on(&machine)[0], ok("default"));
    assert!(
        machine.load().unwrap().notes.iter().any(|note| note.contains("profiles/default.toml` is not read"))
    );
    let variable = Machine::new().variable("DESCOPE_PROJECT_ID", PROJECT);
    assert_eq!(names_on(&variable), [ok("default")]);
    let missing = Machine::new().with_profile("tpyo").unwrap();
    assert!(
        missing.notes.iter().any(|note| note.contains("no file for the profile `tpyo`")),
        "{:?}",
        missing.notes
    );
}

fn overlaps_of(machine: &Machine, name: &str) -> Vec<String> {
    let loaded = machine.with_profile(name).unwrap();
    machine.administered(|administrator| overlaps_under(&machine.environment(), &loaded, administrator))
}

#[test]
fn what_two_profiles_share_is_said_and_stops_nobody() {
    let machine = Machine::new().user(&named(PROJECT)).profile("dev", &named(OTHER)).profile("idle", "");
    let notes = overlaps_of(&machine, "dev");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("47823, 47824, 47825") && notes[0].contains("`default`"), "{notes:?}");
    assert_eq!(overlaps_of(&machine, "default").len(), 1);
    assert_eq!(overlaps_of(&machine, "idle"), Vec::<String>::new(), "who logs in nowhere needs no port");

    let shared =
        "[login]\nports = [5000]\n[paths]\nstate_dir = \"/s\"\npolicies_dir = \"/a\"\nsocket = \"/s/x\"\n";
    let machine = Machine::new().profile("dev", shared).profile("prod", shared).profile("torn", "x = 1\n");
    let notes = overlaps_of(&machine, "dev");
    for key in ["`paths.state_dir`", "`paths.policies_dir`", "`paths.socket`"] {
        assert!(
            notes.iter().any(|note| note.starts_with(key) && note.contains("`prod`")),
            "{key}: {notes:?}"
        );
    }
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn free_ports_are_nobody_elses() {
    let machine = Machine::new();
    let free = |machine: &Machine| {
        machine.administered(|administrator| free_ports_under(&machine.environment(), "new", administrator))
    };
    assert_eq!(free(&machine), Some(vec![47826, 47827, 47828]), "the default profile's are left to it");
    let machine = machine
        .profile("dev", "[login]\nports = [47828, 5000]\n")
        .profile("new", "[login]\nports = [1025]\n");
    assert_eq!(free(&machine), Some(vec![47829, 47830, 47831]));
}

#[test]
fn what_a_text_says_to_do_is_done_in_the_right_profile() {
    let text = "run `agentauthd login`, then `agentauthd status`";
    assert_eq!(addressed("default", text), text);
    let addressed_once = addressed("dev", text).into_owned();
    assert_eq!(
        addressed_once,
        "run `agentauthd --profile dev login`, then `agentauthd --profile dev status`"
    );
    assert_eq!(addressed("dev", &addressed_once), addressed_once);
    assert_eq!(addressed("dev", "agentauthd is not running"), "agentauthd is not running");
}
