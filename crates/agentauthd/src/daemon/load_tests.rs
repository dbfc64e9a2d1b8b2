//! Which files count as rules, and what is said of those that do not.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;

const AGENT: &str = r#"{
    "manifest":{"name":"payment-agent","version":"1.0.0",
        "scopes":[{"scope":"payments.execute:currency=EUR","purpose":"pay supplier invoices"}]},
    "selectors":{"executable":"/usr/bin/python3.11","script":"/opt/payment_agent.py"},
    "grants":[{"scope":"payments.execute:currency=EUR","lifetime":"until_revoked"}]}"#;

const POLICY: &str = "@id(\"nobody\")\nforbid(principal, action, resource);\n";

struct Rules {
    home: TempDir,
    owner: u32,
}

impl Rules {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let owner = fs::metadata(home.path()).unwrap().uid();
        let rules = Self { home, owner };
        for directory in ["agents", "policies", "elsewhere"] {
            fs::create_dir(rules.path(directory)).unwrap();
            rules.chmod(directory, 0o755);
        }
        rules
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
        self.chmod(name, 0o644);
    }

    fn chmod(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn pipe(&self, name: &str) {
        mknodat(CWD, self.path(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    fn places(&self) -> Places {
        Places {
            admin_agents: (self.path("agents"), self.owner),
            admin_policies: (self.path("admin"), self.owner),
            policies: self.path("policies"),
        }
    }

    fn load(&self) -> Result<Loaded, LoadError> {
        let places = self.places();
        let own = OwnPolicies::read(&places.policies, self.owner);
        load(shipped(), &places, own, Basis::Files, Standings::default())
    }

    fn problems(&self) -> Vec<String> {
        self.load().map(|loaded| loaded.problems).unwrap()
    }

    fn faults(&self) -> Vec<PolicyFault> {
        match self.load() {
            Err(LoadError::Policy(PolicyFaults(faults))) => faults,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("was loaded"),
        }
    }
}

fn shipped() -> Catalogue {
    Catalogue::shipped().unwrap()
}

#[test]
fn what_is_not_there_is_no_problem() {
    let rules = Rules::new();
    let none = rules.path("none");
    let owner = rules.owner;
    let places =
        Places { admin_agents: (none.clone(), owner), admin_policies: (none.clone(), owner), policies: none };
    let own = OwnPolicies::read(&places.policies, rules.owner);
    let loaded = load(shipped(), &places, own, Basis::Files, Standings::default())
        .map_err(|error| error.to_string())
        .unwrap();
    assert_eq!((loaded.agents.iter().count(), loaded.problems.len()), (0, 0));
    assert_eq!(loaded.policy_files.len(), Policy::shipped().len());
}

#[test]
fn what_was_applied_is_loaded_without_the_agent_that_it_names() {
    let rules = Rules::new();
    rules.write(
        "policies/mine.cedar",
        "@id(\"mine\") forbid(principal, action == AgentAuth::Action::\"foo.bar\", resource);",
    );
    let places = rules.places();
    let loaded = |basis| {
        let own = OwnPolicies::read(&places.policies, rules.owner);
        load(shipped(), &places, own, basis, Standings::default())
    };
    assert!(matches!(loaded(Basis::Files), Err(LoadError::Policy(_))));
    let policy = loaded(Basis::Applied).map_err(|error| error.to_string()).unwrap().policy;
    assert!(policy.knows("foo.bar"));
}

#[test]
fn a_registration_counts_directly_and_through_a_link() {
    let rules = Rules::new();
    rules.write("elsewhere/a", AGENT);
    symlink(rules.path("elsewhere/a"), rules.path("agents/a.json")).unwrap();
    rules.write("agents/b.json", AGENT.replace("payment-agent", "other-agent"));
    rules.write("agents/notes.txt", "not ours");
    rules.write("agents/.half-written.json", "{");
    let loaded = rules.load().map_err(|error| error.to_string()).unwrap();
    assert_eq!(loaded.problems, [""; 0]);
    let names: Vec<_> = loaded.agent_files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["payment-agent", "other-agent"]);
}

#[test]
fn a_bad_registration_takes_nothing_from_the_others() {
    let rules = Rules::new();
    rules.write("agents/good.json", AGENT);
    let other = AGENT.replace("payment-agent", "other-agent");
    rules.pipe("agents/a-pipe.json");
    fs::create_dir(rules.path("agents/b-directory.json")).unwrap();
    rules.write("agents/c-large.json", format!("{other}{}", " ".repeat(MAX_FILE_BYTES)));
    rules.write("agents/d-bytes.json", b"\xff");
    rules.write("agents/e-writable.json", &other);
    rules.chmod("agents/e-writable.json", 0o666);
    symlink(rules.path("nowhere"), rules.path("agents/f-link.json")).unwrap();
    rules.write("agents/g-syntax.json", "{");
    symlink("/dev/zero", rules.path("agents/h-device.json")).unwrap();
    rules.write("agents/twice.json", AGENT);

    let loaded = rules.load().map_err(|error| error.to_string()).unwrap();
    assert_eq!(loaded.agent_files.len(), 1);
    let expected = [
        ("a-pipe", "not a regular file"),
        ("b-directory", "not a regular file"),
        ("c-large", "larger than 256 KiB"),
        ("d-bytes", "not UTF-8"),
        ("e-writable", "can be written by others (mode 0666); look at what it says, then run `chmod go-w "),
        ("f-link", "a link to nothing"),
        ("g-syntax", "registers nobody: "),
        ("h-device", "not a regular file"),
        ("twice", "`payment-agent` a second time"),
    ];
    assert_eq!(loaded.problems.len(), expected.len(), "{:#?}", loaded.problems);
    for (problem, (name, why)) in loaded.problems.iter().zip(expected) {
        assert!(problem.contains(name) && problem.contains(why), "{name}, {why}: {problem}");
    }
}

#[test]
fn another_users_files_do_not_count_but_roots_do() {
    let rules = Rules::new();
    rules.write("agents/a.json", AGENT);
    let stranger = rules.owner.wrapping_add(1);
    let found = registrations(
        &Places { admin_agents: (rules.path("agents"), stranger), ..rules.places() },
        &Catalogue::shipped().unwrap(),
        Standings::default(),
    );
    // Root's files are everybody's rules; where the tests run as root, these are.
    assert_eq!(found.problems.is_empty(), rules.owner == 0, "{:?}", found.problems);
    if rules.owner == 0 {
        std::os::unix::fs::chown(rules.path("agents/a.json"), Some(4711), Some(4711)).unwrap();
        let problems = rules.problems();
        assert!(problems.len() == 1 && problems[0].contains("belongs to uid 4711"), "{problems:?}");
    }
}

#[test]
fn every_policy_that_cannot_be_used_is_named_and_none_is_used() {
    let rules = Rules::new();
    rules.write("policies/a-good.cedar", POLICY);
    rules.write("policies/b-syntax.cedar", "permit(");
    rules.write("policies/c-unnamed.cedar", "\nforbid(principal, action, resource);");
    rules.pipe("policies/d-pipe.cedar");
    rules.write("policies/e-large.cedar", " ".repeat(MAX_POLICY_BYTES + 1));
    rules.write("policies/f-writable.cedar", POLICY);
    rules.chmod("policies/f-writable.cedar", 0o646);
    symlink(rules.path("nowhere"), rules.path("policies/g-link.cedar")).unwrap();
    let faults: Vec<String> = rules.faults().iter().map(ToString::to_string).collect();
    for (name, why) in [
        ("b-syntax.cedar", ""),
        ("c-unnamed.cedar", "no @id"),
        ("d-pipe.cedar", "not a regular file; put a regular file there"),
        ("e-large.cedar", "larger than 1024 KiB"),
        ("f-writable.cedar", "`chmod go-w "),
        ("g-link.cedar", "a link to nothing"),
    ] {
        assert!(
            faults.iter().any(|fault| fault.contains(name) && fault.contains(why)),
            "{name}, {why}: {faults:#?}"
        );
    }
    assert!(!faults.iter().any(|fault| fault.contains("a-good")), "{faults:#?}");

    let rules = Rules::new();
    rules.write("policies/good.cedar", POLICY);
    let loaded = rules.load().map_err(|error| error.to_string()).unwrap();
    assert!(loaded.policy_files.iter().any(|file| file.own && file.name.ends_with("good.cedar")));
}

#[test]
fn a_directory_that_others_can_change_does_not_count() {
    let rules = Rules::new();
    rules.write("agents/a.json", AGENT);
    rules.chmod("agents", 0o777);
    let problems = rules.problems();
    assert!(problems.len() == 1 && problems[0].contains("registers nobody"), "{problems:?}");
    rules.chmod("policies", 0o777);
    assert_eq!(rules.faults().len(), 1);
    fs::remove_dir(rules.path("policies")).unwrap();
    rules.write("policies", "");
    assert!(rules.faults()[0].what.contains("not a directory"));
}

#[test]
fn what_is_only_odd_is_noted() {
    let rules = Rules::new();
    rules.write("agents/a.json", AGENT.replace(",\"script\":\"/opt/payment_agent.py\"", ""));
    let found = registrations(&rules.places(), &Catalogue::shipped().unwrap(), Standings::default());
    assert!(found.problems.is_empty());
    assert!(found.notes.len() == 1 && found.notes[0].contains("is an interpreter"), "{:?}", found.notes);
}
