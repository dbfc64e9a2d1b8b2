//! Profiles side by side: a daemon, a provider and a login each, and nothing of one reaches another.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use agentauth_api::SessionPhase;
use descope_emulator::{Approval, SecretKind};
use e2e::keyring::Keyring;
use e2e::{ALICE, AgentSpec, BOB, Provider, Store, World, WorldOptions, binaries, process, wait};
use serde_json::{Value, json};

const PAY: &str = "payments.execute:currency=EUR";

const NAMES: [&str; 3] = ["dev", "staging", "prod"];

fn options(profile: &str) -> WorldOptions {
    WorldOptions {
        profile: Some(profile.to_owned()),
        // The log tells one daemon's lines from another's by nothing; what is asserted is never read from it.
        log_filter: "info".to_owned(),
        ..WorldOptions::default()
    }
}

fn in_keyring(profile: &str, keyring: &Keyring) -> WorldOptions {
    WorldOptions { store: Store::Keychain, bus: Some(keyring.address().to_owned()), ..options(profile) }
}

/// A provider of its own for a profile, with another project than everybody else's.
fn provider_of(profile: &str) -> Arc<Provider> {
    Provider::of_project(&format!("P{profile:0<27}"))
}

/// One person's machine with three profiles, each with a provider and a daemon of its own.
fn side_by_side(options: impl Fn(&str) -> WorldOptions) -> [World; 3] {
    let first = World::with(&provider_of(NAMES[0]), options(NAMES[0]));
    let [second, third] = [1, 2].map(|n| first.beside(&provider_of(NAMES[n]), options(NAMES[n])));
    [first, second, third]
}

fn refresh_tokens(world: &World) -> Vec<String> {
    let issued = world.provider.issued().into_iter();
    issued.filter(|secret| secret.kind == SecretKind::RefreshJwt).map(|secret| secret.value).collect()
}

/// The files of this person's that a daemon holds open.
fn open_files(world: &mut World) -> BTreeSet<PathBuf> {
    let home = world.home().canonicalize().unwrap();
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", world.daemon().pid())).unwrap().flatten();
    let targets = descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok());
    let log = ["daemon.out", "daemon.err"];
    targets.filter(|path| path.starts_with(&home) && !log.iter().any(|name| path.ends_with(name))).collect()
}

#[test]
fn three_logins_at_once_and_nothing_shared() {
    let Some(keyring) = Keyring::start() else { return };
    let mut worlds = side_by_side(|name| in_keyring(name, &keyring));

    // All three wait for their browser at the same time, and are answered in another order.
    let people = [ALICE, BOB, ALICE];
    let logins: Vec<_> = worlds.iter().map(World::begin_login).collect();
    let urls: BTreeSet<_> = logins.iter().map(|login| login.redirect_uri().to_string()).collect();
    assert_eq!(urls.len(), 3, "a redirect URL each: {urls:?}");
    for (login, name) in logins.iter().zip(NAMES) {
        assert_eq!(login.redirect_uri().path(), format!("/callback/{name}"));
    }
    for n in [2, 0, 1] {
        worlds[n].provider.sign_in(&logins[n].url, people[n].email, people[n].password);
    }
    for login in logins {
        let outcome = login.finish();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    }
    for (world, person) in worlds.iter().zip(people) {
        let status = world.wait_for_phase(SessionPhase::Active);
        assert_eq!(status.session.user.unwrap().email.as_deref(), Some(person.email));
        assert_eq!(status.provider.project_id.as_deref(), Some(world.provider.project_id()));
    }

    // The keychain: each profile's own login and its own key of the record, with that provider's token and no other's.
    let all = keyring.search("service", "agentauthd");
    let entries: Vec<_> = all.lines().filter_map(|line| line.strip_prefix("attribute.profile = ")).collect();
    assert_eq!(entries.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from(NAMES), "{all}");
    assert_eq!(entries.len(), 6, "{all}");
    for kind in ["refresh_token", "checkpoint_key"] {
        let of_kind = all.lines().filter(|line| line.strip_prefix("attribute.kind = ") == Some(kind));
        assert_eq!(of_kind.count(), 3, "{all}");
    }
    for (world, name) in worlds.iter().zip(NAMES) {
        let entry = keyring.search("profile", name);
        for other in &worlds {
            let held = refresh_tokens(other).iter().any(|token| entry.contains(token));
            let own = other.provider.project_id() == world.provider.project_id();
            assert_eq!(held, own, "the entry of {name} and the tokens of {}", other.provider.project_id());
        }
    }

    // Files: what each daemon holds open, and what it has written, is nobody else's.
    let mut owners = BTreeMap::new();
    for (world, name) in worlds.iter_mut().zip(NAMES) {
        let open = open_files(world);
        assert!(open.iter().any(|path| path.ends_with("state.db")), "{open:?}");
        let written = process::files_below(&world.state_dir());
        for file in ["state.db", "jwks.json", "profile", "device_id"] {
            assert!(written.iter().any(|path| path.ends_with(file)), "{file} is not in {written:?}");
        }
        for path in open.into_iter().chain(written) {
            if let Some(owner) = owners.insert(path.clone(), name).filter(|owner| *owner != name) {
                panic!("{} is of {owner} and of {name}", path.display());
            }
        }
        assert!(owners.insert(world.socket(), name).is_none());
    }

    // A logout of one leaves the others as they were.
    let [dev, staging, prod] = &worlds;
    assert_eq!(dev.cli(&["logout"]).code, Some(0));
    assert_eq!(dev.check(PAY)["reason"], "not_logged_in");
    assert_eq!(prod.check(PAY)["decision"], "allow");
    assert_eq!(staging.status().session.phase, SessionPhase::Active);
    assert_eq!(prod.provider.live_families(ALICE.email), 1);
    // The key of the record stays: it is of the installation, not of a login.
    let left = keyring.search("kind", "refresh_token");
    assert!(
        !left.contains("profile = dev")
            && left.contains("profile = prod")
            && left.contains("profile = staging")
    );
    // And none of their tokens was ever sent to another provider.
    for (world, name) in worlds.iter().zip(NAMES) {
        let sent: Vec<_> = world.provider.issued().into_iter().map(|secret| secret.value).collect();
        for other in worlds.iter().filter(|other| other.provider.project_id() != world.provider.project_id())
        {
            assert!(
                refresh_tokens(other).iter().all(|token| !sent.contains(token)),
                "{name} was sent another's token"
            );
        }
    }
}

#[test]
fn an_agent_of_one_is_a_stranger_to_the_other() {
    let dev = World::with(&provider_of("dev"), options("dev"));
    let prod = dev.beside(&provider_of("prod"), WorldOptions { agents: Vec::new(), ..options("prod") });
    dev.login(ALICE);
    prod.login(ALICE);
    assert_eq!(dev.check(PAY)["decision"], "allow");
    let decision = prod.check(PAY);
    assert_eq!(
        (&decision["decision"], &decision["reason"]),
        (&json!("deny"), &json!("agent_unknown")),
        "{decision}"
    );

    // What a decision tells the person to do is done in that profile.
    dev.cli(&["logout"]);
    let message = dev.check(PAY)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("`agentauthd --profile dev login`"), "{message}");
}

#[test]
fn who_means_one_profile_is_not_answered_by_another() {
    let dev = World::with(&provider_of("dev"), options("dev"));
    let prod = dev.beside(&provider_of("prod"), options("prod"));
    dev.login(ALICE);
    let socket = dev.socket().display().to_string();
    for words in [&["status"][..], &["logout"], &["whoami"], &["check", PAY]] {
        let outcome = prod.cli(&[words, &["--socket", &socket]].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
        assert!(outcome.stderr.contains("serves the profile `dev`, not `prod`"), "{outcome:?}");
    }
    assert_eq!(dev.status().session.phase, SessionPhase::Active, "the logout did not reach it");

    // A variable that points at one daemon is not obeyed for another profile.
    let mut command = prod.command(&["status", "--json"]);
    command.env("AGENTAUTHD_SOCKET", &socket);
    assert_eq!(e2e::cli::run(command).json()["profile"], "prod");
}

#[test]
fn a_login_is_taken_up_by_no_other_profile_and_sent_to_no_other_provider() {
    let Some(keyring) = Keyring::start() else { return };
    let dev = World::with(&provider_of("dev"), in_keyring("dev", &keyring));
    dev.login(ALICE);
    // The same account of the same provider in another profile, with a copy of the first one's login.
    let mut twin = dev.beside(&dev.provider, in_keyring("twin", &keyring));
    twin.login(ALICE);
    twin.stop_daemon();
    keyring.copy_refresh_token("dev", "twin");
    twin.start_daemon();
    let status = wait::until("the foreign login to be told", || {
        let foreign =
            |problem: &String| problem.contains("belongs to project") && problem.contains("profile `dev`");
        Some(twin.status()).filter(|status| status.problems.iter().any(foreign))
    });
    assert_eq!(status.session.phase, SessionPhase::LoggedOut, "{status:#?}");
    assert_eq!(dev.status().session.phase, SessionPhase::Active);

    // Another project under the same name: the token stays where it is.
    let mut prod = dev.beside(&provider_of("prod"), in_keyring("prod", &keyring));
    prod.login(BOB);
    let text = std::fs::read_to_string(prod.config_file()).unwrap();
    let text = text
        .replace(prod.provider.project_id(), dev.provider.project_id())
        .replace(prod.provider.base_url(), dev.provider.base_url());
    std::fs::write(prod.config_file(), text).unwrap();
    let applied = prod.confirmed_by(BOB, &["config", "apply"]);
    assert_eq!(applied.code, Some(0), "{applied:?}");
    prod.restart_daemon();
    let told = wait::until("the foreign login to be told", || {
        let problems = prod.status().problems.join("\n");
        Some(problems).filter(|problems| problems.contains("belongs to project"))
    });
    assert!(told.contains(prod.provider.project_id()), "{told}");
    let sent: Vec<_> = dev.provider.issued().into_iter().map(|secret| secret.value).collect();
    assert!(refresh_tokens(&prod).iter().all(|token| !sent.contains(token)));
}

#[test]
fn one_profiles_lock_holds_no_other_up() {
    let file = |name: &str| WorldOptions { store: Store::File, ..options(name) };
    let dev = World::with(&provider_of("dev"), file("dev"));
    let prod = dev.beside(&provider_of("prod"), file("prod"));
    for world in [&dev, &prod] {
        world.provider.patch(json!({"lifetimes": {"session": 4}}));
        world.login(ALICE);
    }
    let path = prod.state_dir().join("refresh-prod.lock");
    let lock = File::options().create(true).truncate(false).read(true).write(true).open(path).unwrap();
    lock.lock().unwrap();
    let refreshes = |world: &World| world.provider.families()[0].refreshes;
    let (of_dev, of_prod) = (refreshes(&dev), refreshes(&prod));
    wait::until_true("dev to go on refreshing", || refreshes(&dev) >= of_dev + 2);
    assert_eq!(refreshes(&prod), of_prod, "prod waits for its lock");
    drop(lock);
    wait::until_true("prod to refresh again", || refreshes(&prod) > of_prod);
}

#[test]
fn a_state_directory_is_of_one_profile() {
    let dev = World::with(&provider_of("dev"), options("dev"));
    let mut more = options("prod");
    more.more_configuration = format!("[paths]\nstate_dir = \"{}\"\n", dev.state_dir().display());
    let mut prod = dev.beside_without_daemon(&provider_of("prod"), more);
    let outcome = prod.cli(&["run"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("is of the profile `dev`, not `prod`"), "{outcome:?}");
    let noted = prod.cli(&["config", "validate"]);
    assert!(noted.stderr.contains("`paths.state_dir` is that of the profile `dev` too"), "{noted:?}");

    // Ports in common are a problem to be told, and no reason not to serve.
    std::fs::write(prod.config_file(), std::fs::read(dev.config_file()).unwrap()).unwrap();
    prod.start_daemon();
    let problems = prod.status().problems.join("\n");
    assert!(problems.contains("`login.ports` has 47823") && problems.contains("`dev`"), "{problems}");
}

#[test]
fn status_shows_every_profile() {
    let [dev, mut staging, prod] = side_by_side(options);
    dev.login(ALICE);
    // Nobody's profile any more, but it runs.
    std::fs::remove_file(prod.config_file()).unwrap();
    staging.stop_daemon();

    let plain = || {
        // Without `--profile`, as somebody types it.
        let mut command = std::process::Command::new(binaries::program("agentauthd"));
        command.env_clear().envs(dev.environment()).current_dir(dev.home());
        command
    };
    let mut command = plain();
    command.arg("status");
    let outcome = e2e::cli::run(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let line = |name: &str| {
        outcome.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned()
    };
    assert!(
        line("dev").contains(ALICE.name) && line("dev").contains(dev.provider.project_id()),
        "{outcome:?}"
    );
    assert!(line("dev").contains(" in "), "the next refresh: {outcome:?}");
    assert!(line("staging").contains("not running"), "{outcome:?}");
    assert!(line("prod").contains("logged out"), "{outcome:?}");
    assert!(outcome.stdout.contains("`agentauthd --profile staging run`"), "{outcome:?}");

    let mut command = plain();
    command.args(["status", "--json"]);
    let told = e2e::cli::run(command).json();
    let entries: BTreeMap<&str, &Value> = told["profiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["profile"].as_str().unwrap(), entry))
        .collect();
    assert_eq!(entries.len(), 3, "{told}");
    assert_eq!(entries["dev"]["status"]["session"]["phase"], "active");
    assert_eq!(
        (&entries["staging"]["state"], &entries["staging"]["status"]),
        (&json!("not_running"), &Value::Null)
    );
    assert_eq!(
        (&entries["prod"]["state"], &entries["prod"]["configured"]),
        (&json!("running"), &json!(false))
    );
    assert!(told.to_string().find("eyJ").is_none(), "no token");

    // One profile is told as ever.
    assert_eq!(dev.cli(&["status", "--json"]).json()["profile"], "dev");
    assert_eq!(staging.cli(&["status"]).code, Some(3));
}

#[test]
fn what_pages_say_to_type_is_of_the_profile() {
    let dev = World::with(&provider_of("dev"), options("dev"));
    let of_profile = |text: &str| {
        assert!(text.contains("`agentauthd --profile dev "), "{text}");
        assert!(!text.contains("`agentauthd login") && !text.contains("`agentauthd status"), "{text}");
    };
    let login = dev.begin_login();
    let (_, refused) = dev.provider.get(login.redirect_uri().as_str(), &[]).unwrap();
    of_profile(&refused);
    of_profile(&dev.provider.sign_in(&login.url, ALICE.email, ALICE.password).html);
    assert_eq!(login.finish().code, Some(0));
    // Somebody else's account: the login fails after the sign-in.
    let login = dev.begin_login();
    of_profile(&dev.provider.sign_in(&login.url, BOB.email, BOB.password).html);
    assert_eq!(login.finish().code, Some(1));
    // The provider refuses.
    dev.provider.control().set_approval(Approval::Deny).unwrap();
    let login = dev.begin_login();
    let (_, page) = dev.provider.get(&login.url, &[]).unwrap();
    of_profile(&page);
    assert_eq!(login.finish().code, Some(1));
}

#[test]
fn the_sample_agent_asks_the_profile_that_it_is_told() {
    let Some(agent) = AgentSpec::payment() else {
        eprintln!("skipped: there is no Python");
        return;
    };
    let script = agent.script.clone().unwrap();
    let python = agent.executable.clone();
    let dev = World::with(&provider_of("dev"), WorldOptions { agents: vec![agent], ..options("dev") });
    let prod = dev.beside(&provider_of("prod"), options("prod"));
    dev.login(ALICE);
    prod.login(ALICE);
    let ask = |arguments: &[&str], profile: Option<&str>| {
        let mut command = binaries::command(&python);
        command.arg(&script).arg("--json").args(arguments).envs(dev.environment());
        command.envs(profile.map(|profile| ("AGENTAUTHD_PROFILE", profile)));
        e2e::cli::run(command).all()
    };
    // It is known there, though a script moves no money by itself.
    assert!(ask(&["--profile", "dev"], None).contains("policy_forbids"));
    assert!(ask(&[], Some("dev")).contains("policy_forbids"));
    assert!(ask(&[], Some("prod")).contains("agent_unknown"));
    assert!(ask(&["--profile", "prod"], Some("dev")).contains("agent_unknown"));
    assert!(ask(&[], None).contains("cannot be reached"), "there is no default profile's daemon");
}
