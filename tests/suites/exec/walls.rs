//! What is out of reach of what was launched: files, sockets, the launcher, the terminal; and what is not.

use std::os::unix::net::UnixListener;
use std::path::Path;

use e2e::arena::{PAY, own, plain_user};
use e2e::shop::{Shop, answer, assert_launched};
use e2e::{ALICE, WorldOptions};
use rustix::process::Uid;
use serde_json::{Value, json};

#[test]
fn the_walls_hold_and_the_way_to_the_daemon_is_open() {
    let shop = Shop::open();
    let world = &shop.world;
    let keyring = world.home().join(".local/share/keyrings/login.keyring");
    std::fs::create_dir_all(keyring.parent().unwrap()).unwrap();
    std::fs::write(&keyring, "secret").unwrap();
    let bus = world.home().join("run/bus-like");
    std::fs::write(&bus, "x").unwrap();
    let visible = world.home().join("project");
    std::fs::create_dir(&visible).unwrap();
    std::fs::write(visible.join("notes"), "x").unwrap();
    for made in [&world.home().join(".local"), &bus, &visible] {
        own(plain_user(), made);
    }
    let state = world.state_dir();
    let code = format!(
        "tries = {{\n\
         'keyring': lambda: open('{keyring}').read(),\n\
         'configuration': lambda: open('{config}').read(),\n\
         'state': lambda: open('{state}/state.db', 'rb').read(1),\n\
         'new agent': lambda: open('{policies}/evil.json', 'w'),\n\
         'remove agent': lambda: os.remove('{policies}/worker.json'),\n\
         'link': lambda: os.symlink('/x', '{policies}/evil.json'),\n\
         'move': lambda: os.rename('{visible}/notes', '{policies}/evil.json'),\n\
         'run dir': lambda: open('{bus}').read(),\n\
         'read': lambda: open('{visible}/notes').read(),\n\
         'write': lambda: open('{visible}/more', 'w').write('x'),\n\
         'list home': lambda: os.listdir('{home}'),\n\
         'temporary': lambda: open('{place}/more', 'w').write('x'),\n\
         'signal the launcher': lambda: os.kill(os.getppid(), 0),\n\
         'type': lambda: fcntl.ioctl(0, 0x5412, b'x'),\n\
         }}\n\
         print(json.dumps({{name: outcome(work) for name, work in tries.items()}}), flush=True)\n\
         ask('{PAY}')",
        keyring = keyring.display(),
        config = world.config_file().display(),
        state = state.display(),
        policies = world.config_dir().join("policies").display(),
        visible = visible.display(),
        bus = bus.display(),
        home = world.home().display(),
        place = shop.place().display(),
    );
    let outcome = shop.work(&code);
    let lines = outcome.json_lines();
    let hidden = ["keyring", "configuration", "state", "new agent", "remove agent", "link", "run dir"];
    for name in hidden {
        // Where it is covered it is not even there.
        assert!(["EACCES", "ENOENT"].contains(&lines[0][name].as_str().unwrap()), "{name}: {outcome:?}");
    }
    assert!(["EACCES", "EXDEV", "ENOENT"].contains(&lines[0]["move"].as_str().unwrap()), "{outcome:?}");
    for name in ["read", "write", "list home", "temporary"] {
        assert_eq!(lines[0][name], "done", "{name}: {outcome:?}");
    }
    for name in ["signal the launcher", "type"] {
        assert_eq!(lines[0][name], "EPERM", "{name}: {outcome:?}");
    }
    assert_launched(&lines[1], "worker");

    // The same without walls, which takes a fresh login.
    let outcome = shop.start(&["--agent", "worker", "--no-confine"], &[&code]).finish();
    let lines = outcome.json_lines();
    assert_eq!((&lines[0]["keyring"], &lines[0]["state"]), (&json!("done"), &json!("done")), "{outcome:?}");
    assert_launched(&lines[1], "worker");
    assert_eq!(shop.records("agent.launched")[1]["details"]["confined"], false);
}

#[test]
fn files_can_be_narrowed_to_what_the_manifest_asks_for() {
    let shop = Shop::open();
    let place = shop.place();
    for part in ["asked", "drafts", "other"] {
        std::fs::write(place.join(part).join("file"), "x").unwrap();
        own(plain_user(), &place.join(part));
    }
    let code = format!(
        "work = {{\n\
         'read': lambda path: open(path + '/file').read(),\n\
         'create': lambda path: open(path + '/new', 'x'),\n\
         'change': lambda path: open(path + '/file', 'r+' if path.endswith('/asked') else 'w'),\n\
         'list': lambda path: os.listdir(path),\n\
         'remove': lambda path: os.remove(path + '/file'),\n\
         }}\n\
         places = {{part: '{place}/' + part for part in ('asked', 'drafts', 'other')}}\n\
         places |= {{'home': os.environ['HOME'], 'own': os.environ['TMPDIR']}}\n\
         open(os.environ['TMPDIR'] + '/file', 'w')\n\
         print(json.dumps({{name: [what for what in work if outcome(lambda: work[what](path)) == 'done'] \
                           for name, path in places.items()}}), flush=True)\n\
         print(json.dumps([outcome(lambda: open('/etc/passwd').read())]), flush=True)\n\
         ask('{PAY}')",
        place = place.display()
    );
    let outcome = shop.start(&["--agent", "worker", "--confine-files"], &[&code]).finish();
    let lines = outcome.json_lines();
    let expected = json!({
        "asked": ["read", "list"], "drafts": ["create", "change"], "other": [], "home": [],
        "own": ["read", "create", "change", "list", "remove"],
    });
    assert_eq!((&lines[0], &lines[1]), (&expected, &json!(["done"])), "{outcome:?}");
    assert_launched(&lines[2], "worker");

    // Without, all of it is what the user may do.
    let outcome = shop.start(&["--agent", "worker"], &[&code]).finish();
    let all = json!(["read", "change", "list", "remove"]);
    assert_eq!(
        (&outcome.json_lines()[0]["asked"], &outcome.json_lines()[0]["drafts"]),
        (&json!(["read", "create", "change", "list", "remove"]), &all),
        "{outcome:?}"
    );
}

#[test]
fn temporary_files_are_the_launchs_own_and_gone_with_it() {
    let shop = Shop::open();
    let code = "place = os.environ['TMPDIR']\n\
                os.makedirs(place + '/deep/er')\n\
                open(place + '/deep/er/file', 'w').write('x')\n\
                print(json.dumps([place, oct(os.stat(place).st_mode & 0o777), os.stat(place).st_uid == os.getuid()]))";
    let mut places = Vec::new();
    for _ in 0..2 {
        let outcome = shop.work(code);
        let found = answer(&outcome);
        assert_eq!((&found[1], &found[2]), (&json!("0o700"), &json!(true)), "{outcome:?}");
        let place = found[0].as_str().unwrap().to_owned();
        assert!(!Path::new(&place).exists() && !places.contains(&place), "{place}");
        places.push(place);
    }
    // The person can say otherwise.
    let elsewhere = shop.word("other");
    let outcome = shop
        .start(
            &["--agent", "worker", "--env", &format!("TMPDIR={elsewhere}")],
            &["print(json.dumps([os.environ['TMPDIR']]))"],
        )
        .finish();
    assert_eq!(answer(&outcome), json!([elsewhere]));
    assert!(Path::new(&elsewhere).exists());
}

/// Tries to connect to each, and says how that went.
fn knocks(sockets: &[(&str, &Path)]) -> String {
    let tries: Vec<String> = sockets
        .iter()
        .map(|(name, path)| {
            format!("'{name}': lambda: socket.socket(socket.AF_UNIX).connect('{}')", path.display())
        })
        .collect();
    format!(
        "tries = {{{}}}\nprint(json.dumps({{name: outcome(work) for name, work in tries.items()}}), flush=True)\nask('{PAY}')",
        tries.join(", ")
    )
}

/// What a worker reaches of sockets like those of a login session, where the configuration says `hide_sockets = how` and
/// names the one of a database. The variables of whoever starts it say the opposite.
fn reached(how: &str) -> Option<Vec<Value>> {
    // Where the worker may write, but for what is covered.
    let elsewhere = tempfile::Builder::new().prefix("database").tempdir().unwrap();
    let database = elsewhere.path().canonicalize().unwrap().join("socket");
    let more = format!("[launch]\nhide_sockets = \"{how}\"\nsockets = [\"{}\"]\n", database.display());
    let shop = Shop::with(WorldOptions { more_configuration: more, ..WorldOptions::default() });
    let (world, place) = (&shop.world, shop.place());
    let multiplexer = plain_user().map_or_else(rustix::process::geteuid, Uid::from_raw);
    let multiplexer = std::path::PathBuf::from(format!("/tmp/tmux-{}", multiplexer.as_raw()));
    std::fs::create_dir_all(&multiplexer).unwrap();
    let sockets = [
        ("session bus", world.home().join("run/bus")),
        ("terminal multiplexer", multiplexer.join(format!("test-{}", std::process::id()))),
        ("ssh agent", place.join("ssh-agent")),
        ("database", database),
        ("daemon", world.socket()),
    ];
    let sockets = sockets.each_ref().map(|(name, path)| (*name, path.as_path()));
    let _listeners: Vec<UnixListener> = sockets[..4]
        .iter()
        .map(|(_, path)| {
            let listener = UnixListener::bind(path).unwrap();
            own(plain_user(), path);
            listener
        })
        .collect();
    own(plain_user(), &multiplexer);
    own(plain_user(), elsewhere.path());
    let mut command = shop.command(&["--agent", "worker"], &[&knocks(&sockets)]);
    command.env("AGENTAUTHD_LAUNCH_HIDE_SOCKETS", if how == "never" { "where_possible" } else { "never" });
    let outcome = shop.confirmed(command, ALICE).finish();
    std::fs::remove_file(sockets[1].1).unwrap();
    let _ = std::fs::remove_dir(&multiplexer);
    if outcome.stderr.contains("does not let you have namespaces") {
        eprintln!("not tried: {}", outcome.stderr);
        return None;
    }
    Some(outcome.json_lines())
}

#[test]
fn sockets_of_others_are_out_of_reach() {
    let Some(lines) = reached("where_possible") else { return };
    let expected = json!({
        "session bus": "ENOENT", "terminal multiplexer": "ENOENT", "ssh agent": "ECONNREFUSED",
        "database": "done", "daemon": "done",
    });
    assert_eq!(lines[0], expected);
    assert_launched(&lines[1], "worker");
    // What was covered can be told from what was not there.
    let open = reached("never").unwrap();
    assert_eq!(open[0]["ssh agent"], "done", "{open:?}");
}

#[test]
fn covers_hold_against_the_one_who_is_under_them() {
    let mut shop = Shop::open();
    let daemon = shop.world.daemon().pid();
    let mut command = shop.program("sleep");
    let bystander = shop.world.spawn({
        command.arg("1000");
        command
    });
    let bus = shop.world.home().join("run/bus");
    let _listener = UnixListener::bind(&bus).unwrap();
    own(plain_user(), &bus);
    let run = shop.world.home().join("run");
    // Away with them; namespaces of its own; the way through somebody else's root.
    let code = format!(
        "def tried(*words):\n\
         \x20   done = subprocess.run(words, capture_output=True, text=True)\n\
         \x20   return 'done' if done.returncode == 0 else 'failed'\n\
         knock = \"import socket; socket.socket(socket.AF_UNIX).connect('{bus}')\"\n\
         python = sys.executable\n\
         print(json.dumps([\n\
         tried('umount', '{run}'), tried('umount', '-l', '{run}'), tried('mount', '--move', '{run}', '/mnt'),\n\
         tried('unshare', '-Urm', 'umount', '{run}'), tried('unshare', '-Urm', python, '-c', knock),\n\
         tried('nsenter', '-t', '{daemon}', '-U', '-m', '--preserve-credentials', python, '-c', knock),\n\
         outcome(lambda: socket.socket(socket.AF_UNIX).connect('/proc/{daemon}/root{bus}')),\n\
         outcome(lambda: socket.socket(socket.AF_UNIX).connect('/proc/{shell}/root{bus}')),\n\
         outcome(lambda: os.chdir('/proc/{shell}/cwd')),\n\
         [line.split()[1] for line in open('/proc/self/status') if line.startswith('CapEff')],\n\
         ]), flush=True)",
        bus = bus.display(),
        run = run.display(),
        shell = bystander.pid(),
    );
    let outcome = shop.work(&code);
    if outcome.stderr.contains("does not let you have namespaces") {
        eprintln!("not tried: {}", outcome.stderr);
        return;
    }
    let found = answer(&outcome);
    let tries = found.as_array().unwrap();
    assert!(tries[..6].iter().all(|tried| tried == "failed"), "{outcome:?}");
    assert!(
        tries[6..9].iter().all(|tried| ["EACCES", "EPERM"].contains(&tried.as_str().unwrap())),
        "{outcome:?}"
    );
    assert_eq!(tries[9], json!(["0000000000000000"]));
}
