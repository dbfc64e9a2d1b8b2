//! Attacks on who is asking: every trick by which a process that is not an agent might be answered as if it were, or by
//! which an agent runs somebody else's code. The daemon, the agents and the attackers run as a plain user. Each test
//! prints a table, and fails if a single round was answered wrongly; each row makes sure that its trick took place.

#[path = "attacks/squatters.rs"]
mod squatters;

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use e2e::arena::{Arena, PAY, READ, Table, Trick, bash, control_group, node, python};
use e2e::process::{Owned, executable, proc_file};
use e2e::{binaries, wait};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Rounds of a trick that races with the daemon.
const RACES: usize = 200;

/// Rounds of one that does not.
const ROUNDS: usize = 10;

#[test]
fn connections() {
    let mut arena = Arena::new();
    let mut table = Table::default();
    let (socket, agent) = (arena.socket(), arena.word("agent"));
    let becomes = |arena: &Arena, mode: &str| {
        let mut trick = arena.attacker(&[mode, &socket, PAY, &agent]);
        let answer = trick.answer();
        trick.wait_until_it_is(&arena.place("agent"));
        answer
    };

    table.answered("none: the agent asks", ROUNDS, "allow granted as agent, pinned", || {
        arena.run(arena.agent(&[PAY]))
    });
    table.refused("a stranger greets and asks", ROUNDS, || arena.attacker(&["ask", &socket, PAY]).answer());
    table.refused("connect, ask, exec the agent", RACES, || becomes(&arena, "exec-after-write"));
    table.refused("connect, greet, ask, exec the agent", RACES, || becomes(&arena, "exec-after-greeting"));
    table.refused("connect, ask, exec the agent, all before the daemon looks", ROUNDS, || {
        // The attacker's best case: nothing but a greeting tells the two programs apart.
        arena.world.daemon().signal(Signal::STOP);
        let mut trick = arena.attacker(&["exec-after-write", &socket, PAY, &agent]);
        trick.wait_until_it_is(&arena.place("agent"));
        arena.world.daemon().signal(Signal::CONT);
        trick.answer()
    });
    table.refused("connect, greet, exec the agent, which asks", RACES, || {
        arena.attacker(&["exec-into-asking", &socket, PAY, &agent]).answer()
    });
    table.refused("connect, exec the agent, a child greets and asks", ROUNDS, || {
        becomes(&arena, "exec-then-child-asks")
    });
    table.refused("connect, greet, fork: the child execs the agent and asks", RACES, || {
        arena.attacker(&["child-agent-asks", &socket, PAY, &agent]).answer()
    });
    let lent = |mode: &str| {
        let mut command = arena.agent(&["--lend", &arena.word("attacker"), mode, PAY]);
        command.stderr(Stdio::null());
        arena.run(command)
    };
    table.refused("the agent's child inherits its connection and nonce", ROUNDS, || lent("stdin-ask"));
    table.refused("the agent's child inherits its connection and greets", ROUNDS, || {
        lent("stdin-greet-ask-as")
    });
    table.refused("the agent's connection is passed to a stranger", ROUNDS, || {
        let listener = arena.word("take.sock");
        let mut taker = arena.attacker(&["take", &listener, PAY]);
        assert_eq!(taker.answer()["listening"], true);
        let _agent = Trick::start(arena.agent(&["--pass", &listener]));
        let answer = taker.answer();
        std::fs::remove_file(listener).unwrap();
        answer
    });
    table.refused("descriptors are sent to the daemon", ROUNDS, || {
        arena.attacker(&["send-descriptors", &socket, PAY]).answer()
    });
    table.refused("the agent asks and is gone, a stranger holds its connection", ROUNDS, || {
        let command = arena.agent(&[PAY, "--exit-after-asking", &arena.word("attacker"), "raw-reader"]);
        let mut trick = Trick::start(command);
        assert_eq!(trick.answer()["ready"], true);
        arena.world.daemon().signal(Signal::STOP);
        trick.say("go");
        assert!(trick.process().wait().success());
        arena.world.daemon().signal(Signal::CONT);
        trick.answer()
    });
    table.refused("somebody else's nonce", ROUNDS, || {
        let mut other = e2e::raw::Raw::connect(&arena.world.socket()).unwrap();
        let theirs = other.greet().unwrap();
        arena.run(arena.agent(&["--nonce", &theirs, PAY]))
    });
    table.answered("none: the agent asks after all that", ROUNDS, "allow granted as agent, pinned", || {
        arena.run(arena.agent(&[PAY]))
    });
    table.judge();
}

#[test]
fn files() {
    let mut table = Table::default();
    let arena = Arena::new();
    let ask = |name: &str| arena.run(arena.probe(name, &[PAY]));

    table.refused("a copy of the agent elsewhere", ROUNDS, || {
        arena.replace("agent", "copy");
        ask("copy")
    });
    std::os::unix::fs::symlink("agent", arena.place("alias")).unwrap();
    table.answered(
        "the agent by a symbolic link is the agent",
        ROUNDS,
        "allow granted as agent, pinned",
        || ask("alias"),
    );
    std::fs::hard_link(arena.place("plain"), arena.place("linked")).unwrap();
    table.refused("the agent's file by another name", ROUNDS, || ask("linked"));

    // From here on other programs stand where agents are registered; the originals come back by a rename.
    let kept = arena.place("kept");
    table.refused("another program in the place of a pinned agent", ROUNDS, || {
        std::fs::rename(arena.place("outer"), &kept).unwrap();
        arena.replace("attacker", "outer");
        let mut command = arena.command(arena.place("outer"));
        command.args(["ask", &arena.socket(), PAY]);
        let answer = arena.run(command);
        std::fs::rename(&kept, arena.place("outer")).unwrap();
        assert_eq!(answer["reason"], "agent_changed", "{answer}");
        answer
    });
    for name in ["agent", "plain"] {
        let how = if name == "plain" { "by its path" } else { "pinned" };
        table.refused(&format!("the same, and the agent ({how}) is put back before it asks"), ROUNDS, || {
            std::fs::rename(arena.place(name), &kept).unwrap();
            arena.replace("attacker", name);
            let mut command = arena.command(arena.place(name));
            command.args(["ask-on-line", &arena.socket(), PAY]);
            let mut trick = Trick::start(command);
            assert_eq!(trick.answer()["ready"], true);
            std::fs::rename(&kept, arena.place(name)).unwrap();
            trick.say("ask");
            let answer = trick.answer();
            assert_eq!(answer["reason"], "agent_changed", "{answer}");
            answer
        });
    }
    table.refused("a symbolic link to another program where the agent is", ROUNDS, || {
        std::fs::rename(arena.place("plain"), &kept).unwrap();
        std::os::unix::fs::symlink("attacker", arena.place("plain")).unwrap();
        let mut command = arena.command(arena.place("plain"));
        command.args(["ask", &arena.socket(), PAY]);
        let answer = arena.run(command);
        std::fs::rename(&kept, arena.place("plain")).unwrap();
        answer
    });
    table.refused("the agent's file is replaced between greeting and question", ROUNDS, || {
        let mut trick = Trick::start(arena.agent(&["--repeat-on-line", READ]));
        assert_eq!(trick.answer()["decision"], "allow");
        arena.replace("agent", "agent");
        trick.say("again");
        trick.answer()
    });
    table.answered(
        "the agent's file was written just now",
        1,
        "deny policy_forbids as agent, path [just_changed]",
        || ask("agent"),
    );
    wait::until_true("the file to settle, on one connection", || {
        arena.replace("agent", "agent");
        let mut trick = Trick::start(arena.agent(&["--repeat-on-line", READ]));
        let young = trick.answer();
        if young["caveats"] != json!(["just_changed"]) {
            return false;
        }
        wait::until_true("it to be pinned", || {
            trick.say("again");
            trick.answer()["assurance"] == "pinned"
        });
        true
    });
    table.answered("none: the agent, settled", ROUNDS, "allow granted as agent, pinned", || ask("agent"));
    std::fs::set_permissions(arena.place("agent"), PermissionsExt::from_mode(0o757)).unwrap();
    wait::until_true("the file to settle", || ask("agent")["caveats"] == json!(["writable_by_others"]));
    table.answered(
        "the agent's file can be written by others",
        ROUNDS,
        "deny policy_forbids as agent, path [writable_by_others]",
        || ask("agent"),
    );
    std::fs::set_permissions(arena.place("agent"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(arena.place("."), PermissionsExt::from_mode(0o777)).unwrap();
    wait::until_true("the file to settle", || ask("agent")["caveats"] == json!(["writable_by_others"]));
    table.answered(
        "a directory above it can be written by others",
        ROUNDS,
        "deny policy_forbids as agent, path [writable_by_others]",
        || ask("agent"),
    );
    std::fs::set_permissions(arena.place("."), PermissionsExt::from_mode(0o755)).unwrap();
    table.answered(
        "the agent's file is removed while it runs",
        ROUNDS,
        "allow granted as agent, path [deleted just_changed]",
        || {
            let mut command = arena.command(arena.place("agent"));
            command.args(["--socket", &arena.socket(), "--ask-on-line", READ]);
            let mut trick = Trick::start(command);
            assert_eq!(trick.answer()["ready"], true);
            arena.replace("agent", "agent");
            trick.say("ask");
            trick.answer()
        },
    );
    table.judge();
}

#[test]
fn interpreters() {
    let arena = Arena::new();
    let mut table = Table::default();
    let (socket, script) = (arena.socket(), arena.word("agent.py"));
    let py = |arguments: &[&str]| {
        let mut command = arena.command(python());
        command.args(arguments);
        command
    };
    let as_py = |path: &str| py(&[path, &socket, PAY]);

    table.answered("none: the Python agent", ROUNDS, "allow granted as py, path", || {
        arena.run(py(&[&script, &socket, READ]))
    });
    table.answered("the same, to what costs money", ROUNDS, "deny policy_forbids as py, path", || {
        arena.run(as_py(&script))
    });
    let other = arena.write("elsewhere", "agent.py", include_str!("../src/programs/agent.py"));
    arena.write("elsewhere", "client.py", include_str!("../src/programs/client.py"));
    let other = other.to_str().unwrap();
    table.refused("the same script in another place", ROUNDS, || arena.run(as_py(other)));
    table.refused("other code in the interpreter, with the script as an argument", ROUNDS, || {
        let code = format!("import sys; sys.argv = sys.argv[1:]; exec(open({other:?}).read())");
        arena.run(py(&["-c", &code, &script, &socket, PAY]))
    });
    table.refused("another script as a module, in the agent's name", ROUNDS, || {
        let mut command = py(&["-m", "agent", &socket, PAY]);
        arena.run({
            command.current_dir(arena.place("elsewhere"));
            command
        })
    });
    table.refused("exec -a: another program under the agent's name", ROUNDS, || {
        let mut command = arena.command(bash());
        let attacker = arena.word("attacker");
        command.args(["-c", "exec -a \"$0\" \"$@\"", &arena.word("agent"), &attacker, "ask", &socket, PAY]);
        arena.run(command)
    });
    let padding = "x".repeat(4000);
    let lies = |when: &str, scope: &str| {
        let liar = arena.word("liar.py");
        arena.run(py(&[&liar, when, &socket, scope, &script, &padding]))
    };
    table.refused("a script writes the agent's command line over its own after the greeting", ROUNDS, || {
        lies("after", READ)
    });
    // An interpreter's command line is its own claim: that is why it never gets more than `path`, and no money.
    table.answered(
        "a script writes the agent's command line over its own before the greeting (a claim)",
        ROUNDS,
        "allow granted as py, path",
        || lies("before", READ),
    );
    table.answered("the same, to what costs money", ROUNDS, "deny policy_forbids as py, path", || {
        lies("before", PAY)
    });

    let evil = arena.write("evil", "sitecustomize.py", "import os\nopen(os.environ['RAN'], 'w')\n");
    arena.write("evil", "startup.py", "");
    let ran = arena.word("ran");
    let ran_too = |answer: Value| {
        assert!(std::fs::remove_file(&ran).is_ok(), "the other code ran: {answer}");
        answer
    };
    let evil = evil.parent().unwrap().to_str().unwrap();
    table.answered(
        "PYTHONPATH with other code",
        ROUNDS,
        "deny policy_forbids as py, path [PYTHONPATH]",
        || {
            let mut command = as_py(&script);
            command.envs([("PYTHONPATH", evil), ("RAN", &ran)]);
            ran_too(arena.run(command))
        },
    );
    for (name, value) in [("PYTHONSTARTUP", "startup.py"), ("PYTHONUSERBASE", evil), ("PYTHONINSPECT", "1")] {
        table.answered(
            &format!("{name} set"),
            1,
            &format!("deny policy_forbids as py, path [{name}]"),
            || {
                let mut command = as_py(&script);
                command.env(name, value);
                arena.run(command)
            },
        );
    }
    let preload = arena.write("evil", "preload.js", "require('fs').writeFileSync(process.env.RAN, '')\n");
    let js_asks = |scope: &str, name: &str, value: &str| {
        let mut command = arena.command(node());
        command.args([&arena.word("agent.js"), &socket, scope]).env(name, value).env("RAN", &ran);
        arena.run(command)
    };
    let js = |name: &str, value: &str| js_asks(PAY, name, value);
    table.answered("none: the Node agent", ROUNDS, "allow granted as js, path", || js_asks(READ, "X", ""));
    table.answered(
        "NODE_OPTIONS with other code",
        ROUNDS,
        "deny policy_forbids as js, path [NODE_OPTIONS]",
        || ran_too(js("NODE_OPTIONS", &format!("--require {}", preload.display()))),
    );
    table.answered("NODE_PATH set", 1, "deny policy_forbids as js, path [NODE_PATH]", || {
        js("NODE_PATH", "/nowhere")
    });
    table.answered("PYTHONPATH means nothing to Node", 1, "allow granted as js, path", || {
        js_asks(READ, "PYTHONPATH", "/nowhere")
    });
    let code = arena.write("evil", "env.sh", "> \"$RAN\"\n");
    let sh_asks = |scope: &str, name: &str, value: &str| {
        // A shell cannot connect: it is given a connection by the program that it was before.
        let mut command = arena.command(arena.place("attacker"));
        command.args([
            "become-with-connection",
            &socket,
            bash().to_str().unwrap(),
            &arena.word("agent.sh"),
            scope,
        ]);
        arena.run({
            command.env(name, value).env("RAN", &ran);
            command
        })
    };
    let sh = |name: &str, value: &str| sh_asks(PAY, name, value);
    table.answered("none: the shell agent", ROUNDS, "allow granted as sh, path", || sh_asks(READ, "X", ""));
    table.answered("BASH_ENV with other code", ROUNDS, "deny policy_forbids as sh, path [BASH_ENV]", || {
        ran_too(sh("BASH_ENV", code.to_str().unwrap()))
    });
    let function = "() { > \"$RAN\"; builtin printf \"$@\"; }";
    table.answered(
        "a function in the environment",
        ROUNDS,
        "deny policy_forbids as sh, path [BASH_FUNC_printf%%]",
        || ran_too(sh("BASH_FUNC_printf%%", function)),
    );

    table.refused("the script is rewritten between greeting and question", ROUNDS, || {
        let mut trick = Trick::start(py(&[&script, &socket, READ]));
        assert_eq!(trick.answer()["decision"], "allow");
        let text = std::fs::read_to_string(&script).unwrap();
        std::fs::write(&script, text).unwrap();
        trick.say("again");
        trick.answer()
    });
    table.answered(
        "the script was written just now",
        1,
        "allow granted as py, path [script_just_changed]",
        || arena.run(py(&[&script, &socket, READ])),
    );
    table.judge();
}

#[test]
fn surroundings() {
    let arena = Arena::new();
    let mut table = Table::default();
    let socket = arena.socket();

    let library = ["/lib/x86_64-linux-gnu/libutil.so.1", "/lib/aarch64-linux-gnu/libutil.so.1"];
    let library = library.into_iter().find(|path| std::path::Path::new(path).exists()).expect("a library");
    let preloaded = |scope: &str| {
        let mut command = arena.agent(&["--repeat-on-line", scope]);
        command.env("LD_PRELOAD", library);
        let mut trick = Trick::start(command);
        let answer = trick.answer();
        let maps = String::from_utf8(proc_file(trick.process().pid(), "maps")).unwrap();
        assert!(maps.contains("libutil"), "the library was loaded");
        answer
    };
    table.answered(
        "LD_PRELOAD, what costs money",
        ROUNDS,
        "deny policy_forbids as agent, path [LD_PRELOAD]",
        || preloaded(PAY),
    );
    table.answered(
        "LD_PRELOAD, what can be undone",
        ROUNDS,
        "allow granted as agent, path [LD_PRELOAD]",
        || preloaded(READ),
    );
    table.answered(
        "NODE_OPTIONS for a program that may have Node inside",
        1,
        "deny policy_forbids as agent, path [NODE_OPTIONS]",
        || {
            let mut command = arena.agent(&[PAY]);
            command.env("NODE_OPTIONS", "--x");
            arena.run(command)
        },
    );
    table.answered("a debugger is attached", ROUNDS, "deny policy_forbids as agent, path [traced]", || {
        let mut command = arena.command(python());
        command.args([
            &arena.word("tracer.py"),
            &arena.word("agent"),
            "--socket",
            &socket,
            "--ask-on-line",
            PAY,
        ]);
        let mut trick = Trick::start(command);
        let mut said = [trick.answer(), trick.answer()];
        said.sort_by_key(|line| line["ready"] == true);
        assert_eq!((&said[0]["attached"], &said[1]["ready"]), (&json!(true), &json!(true)));
        trick.say("ask");
        trick.answer()
    });

    let under = |outer: &str, words: &[&str]| {
        let mut command = arena.command(arena.place(outer));
        command.arg("--run").args(words);
        command
    };
    let agent = arena.word("agent");
    let asks = |scope: &'static str| -> Vec<String> {
        [agent.as_str(), "--socket", &socket, scope].iter().map(|word| (*word).to_owned()).collect()
    };
    let words = |scope| asks(scope);
    table.answered(
        "an agent starts another: what only one may",
        ROUNDS,
        "deny not_in_manifest as agent+outer, pinned",
        || {
            let words = words(PAY);
            arena.run(under("outer", &words.iter().map(String::as_str).collect::<Vec<_>>()))
        },
    );
    table.answered(
        "an agent starts another: what both may",
        ROUNDS,
        "allow granted as agent+outer, pinned",
        || {
            let words = words(READ);
            arena.run(under("outer", &words.iter().map(String::as_str).collect::<Vec<_>>()))
        },
    );
    let attacker = arena.word("attacker");
    table.answered("an agent's child asks", ROUNDS, "deny agent_unknown as agent, unproven", || {
        arena.run(under("agent", &[&attacker, "ask", &socket, PAY]))
    });
    table.refused("an agent's child leaves the tree (setsid -f) and asks", ROUNDS, || {
        let answer = arena.run(under("agent", &["setsid", "-f", &attacker, "ask-orphaned", &socket, PAY]));
        assert_eq!(answer["reason"], "agent_unknown", "{answer}");
        answer
    });

    if rustix::process::geteuid().is_root() {
        control_groups(&arena, &mut table);
        other_users(&arena, &mut table);
    } else {
        eprintln!("not tried, for want of root: control groups, other users");
    }
    table.judge();
}

/// Control groups of a hierarchy that root owns, and of a part of it that root gave away.
fn control_groups(arena: &Arena, table: &mut Table) {
    let unified = |path: &&str| std::path::Path::new(path).join("cgroup.procs").exists();
    let mount = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().find(unified);
    let (Some(mount), Some(uid)) = (mount, arena.uid()) else {
        eprintln!("not tried: there is no unified hierarchy of control groups");
        return;
    };
    let group = format!("{mount}{}", control_group());
    let given = format!("{group}/given");
    if let Err(error) = std::fs::create_dir(&group) {
        eprintln!("not tried: control groups cannot be made here: {error}");
        return;
    }
    std::fs::create_dir(&given).unwrap();
    // Root starts the program in a group, then becomes the user; or the user tries to get there.
    let enter = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
    let started_in = |group: &str| {
        let mut command = binaries::command("sh");
        let asks = arena.probe("grouped", &[PAY]);
        command.args(["-c", enter, group]).arg(asks.get_program()).args(asks.get_args());
        arena.run(command)
    };
    table.answered("none: in its control group", ROUNDS, "allow granted as grouped, pinned", || {
        started_in(&group)
    });
    table.refused("the same program outside of its control group", ROUNDS, || {
        arena.run(arena.probe("grouped", &[PAY]))
    });
    table.refused("it tries to enter its control group", ROUNDS, || {
        let mut command = arena.command("sh");
        command.args(["-c", "(echo $$ > \"$0/cgroup.procs\") 2>&- && echo '{}' || exec \"$@\"", &group]);
        let asks = arena.probe("grouped", &[PAY]);
        command.arg(arena.place("grouped")).args(asks.get_args().skip(4));
        let answer = arena.run(command);
        assert_ne!(answer, json!({}), "the kernel let it in");
        answer
    });
    assert!(Command::new("chown").args(["-R", &uid.to_string(), &given]).status().unwrap().success());
    table.refused("in a part of it that was given to the user", ROUNDS, || started_in(&given));
    wait::until_true("the groups to be empty", || {
        std::fs::remove_dir(&given).ok();
        std::fs::remove_dir(&group).is_ok()
    });
}

/// Other users, when files and directories would let them.
fn other_users(arena: &Arena, table: &mut Table) {
    let stranger = |uid: &str| {
        let mut command = binaries::command("setpriv");
        command.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups"]);
        command.arg(arena.place("agent")).arg("--socket").arg(arena.world.socket()).arg(PAY);
        command
    };
    table.refused("another user", ROUNDS, || arena.run(stranger("12345")));
    for path in
        [arena.world.home(), &arena.world.home().join("run"), &arena.world.home().join("run/agentauthd")]
    {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o711)).unwrap();
    }
    std::fs::set_permissions(arena.world.socket(), PermissionsExt::from_mode(0o666)).unwrap();
    table.refused("another user, to whom the files were opened", ROUNDS, || arena.run(stranger("12345")));
    table.refused("root", ROUNDS, || arena.run(stranger("0")));
}

/// Whoever gets a dead asker's number.
#[test]
fn pid_reuse() {
    if !rustix::process::geteuid().is_root() {
        // In a user namespace of one's own the kernel allows it, but the directories above the socket belong to nobody
        // there, and the daemon refuses to listen.
        eprintln!("not tried: it takes root to choose the next process number");
        return;
    }
    if std::env::var_os("E2E_ALONE").is_none() {
        return alone("pid_reuse");
    }
    let mut arena = Arena::new();
    let mut table = Table::default();
    table.answered("none: the agent asks", ROUNDS, "allow granted as agent, pinned", || {
        arena.run(arena.agent(&[PAY]))
    });
    let go = arena.world.home().join("go");
    table.refused("the agent gets the pid of an asker who left its connection to an accomplice", 20, || {
        let mut trick = arena.attacker(&["greet-then-leave", &arena.socket(), PAY]);
        let pid = trick.answer()["pid"].as_u64().unwrap();
        trick.hang_up();
        assert!(trick.process().wait().success());
        arena.world.daemon().signal(Signal::STOP);
        let impostor = (0..100).find_map(|_| {
            std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
            let mut command = arena.command(arena.place("agent"));
            let process = Owned::start(command.arg("--idle").stdin(Stdio::piped()));
            (u64::from(process.pid()) == pid).then_some(process)
        });
        let impostor = impostor.expect("the pid once more");
        let place = arena.place("agent").canonicalize().unwrap();
        wait::until_true("the agent to run", || executable(impostor.pid()).as_ref() == Some(&place));
        std::fs::write(&go, "").unwrap();
        arena.world.daemon().signal(Signal::CONT);
        let answer = trick.answer();
        std::fs::remove_file(&go).unwrap();
        answer
    });
    table.judge();
}

/// Runs one test of this suite in a process namespace of its own, where nobody else takes numbers.
fn alone(test: &str) {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", "\"$@\"; exit $?", "sh"]);
    command.arg(std::env::current_exe().unwrap()).args([test, "--exact", "--nocapture", "--test-threads=1"]);
    let status = command.env("E2E_ALONE", "1").status().unwrap();
    assert!(status.success(), "{status}: see above");
}
