//! Environment variables that change which code a program runs.
//!
//! Which these are depends on the program: `PYTHONPATH` is nothing to a shell, and many people have it set. A program
//! that is not known to interpret may carry a runtime inside itself, as single-file builds of Node, Bun and .NET do, so
//! to it those of such runtimes count as well.

use super::script::Interpreter;

/// What the loader of every program obeys, and a library that nearly all of them load. A name that ends in `*` is a
/// prefix, here and below.
const EVERY_PROGRAM: &[&str] =
    &["DYLD_*", "GCONV_PATH", "GLIBC_TUNABLES", "LD_*", "OPENSSL_CONF", "OPENSSL_ENGINES", "OPENSSL_MODULES"];

const BUN: &[&str] = &["BUN_INSPECT*", "BUN_OPTIONS", "BUN_RUNTIME_TRANSPILER_CACHE_PATH"];
const DENO: &[&str] = &["DENO_DIR"];
const DOTNET: &[&str] = &[
    "CORECLR_ENABLE_PROFILING",
    "CORECLR_PROFILER*",
    "DOTNET_ADDITIONAL_DEPS",
    "DOTNET_SHARED_STORE",
    "DOTNET_STARTUP_HOOKS",
];
const JAVA: &[&str] =
    &["CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "OPENJ9_JAVA_OPTIONS", "_JAVA_OPTIONS"];
const NODE: &[&str] =
    &["ELECTRON_RUN_AS_NODE", "NODE_COMPILE_CACHE", "NODE_OPTIONS", "NODE_PATH", "NODE_REPL_EXTERNAL_MODULE"];
const PERL: &[&str] = &["PERL5DB", "PERL5LIB", "PERL5OPT", "PERLLIB"];
const PYTHON: &[&str] = &[
    "PYTHONBREAKPOINT",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONPYCACHEPREFIX",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
    "PYTHON_PRESITE",
];
const RUBY: &[&str] = &["GEM_HOME", "GEM_PATH", "RUBYGEMS_GEMDEPS", "RUBYLIB", "RUBYOPT"];
/// `PS4` and the options are code where tracing is on, and the options turn it on.
const SHELL: &[&str] =
    &["BASHOPTS", "BASH_ENV", "BASH_FUNC_*", "ENV", "FPATH", "PS4", "SHELLOPTS", "ZDOTDIR"];
/// Of interpreters that have no family of their own here.
const OTHER: &[&str] = &[
    "GI_TYPELIB_PATH",
    "GJS_PATH",
    "GUILE_*",
    "JULIA_DEPOT_PATH",
    "JULIA_LOAD_PATH",
    "JULIA_PROJECT",
    "LUA_CPATH*",
    "LUA_INIT*",
    "LUA_PATH*",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PSModulePath",
    "R_ENVIRON*",
    "R_HOME",
    "R_LIBS*",
    "R_PROFILE*",
    "TCLLIBPATH",
    "TCL_LIBRARY",
];

/// Most names that are reported: enough to see what is going on, and too few to fill anybody's log.
const MOST_NAMES: usize = 16;

/// Longest name that is reported, in characters.
const LONGEST_NAME: usize = 64;

/// The names among `NAME=value\0` records that change which code `program` runs; an empty value changes nothing and
/// does not count. Sorted, each once, in printable ASCII.
pub(super) fn code_variables(records: &[u8], program: Option<Interpreter>) -> Vec<String> {
    matching(records, lists(program))
}

/// Whether a variable of this name changes which code some program runs.
pub fn loads_code(name: &[u8]) -> bool {
    const ALL: [&[&str]; 11] =
        [EVERY_PROGRAM, BUN, DENO, DOTNET, JAVA, NODE, PERL, PYTHON, RUBY, SHELL, OTHER];
    ALL.into_iter().flatten().any(|known| is_named(name, known))
}

/// The names that steer the loader of every program.
pub(super) fn loader_variables(records: &[u8]) -> Vec<String> {
    matching(records, &[EVERY_PROGRAM])
}

fn lists(program: Option<Interpreter>) -> &'static [&'static [&'static str]] {
    match program {
        None => &[EVERY_PROGRAM, BUN, DENO, DOTNET, JAVA, NODE],
        Some(Interpreter::Bun) => &[EVERY_PROGRAM, BUN, NODE],
        Some(Interpreter::Deno) => &[EVERY_PROGRAM, DENO, NODE],
        Some(Interpreter::Dotnet) => &[EVERY_PROGRAM, DOTNET, OTHER],
        Some(Interpreter::Java) => &[EVERY_PROGRAM, JAVA],
        Some(Interpreter::Node) => &[EVERY_PROGRAM, NODE],
        Some(Interpreter::Perl) => &[EVERY_PROGRAM, PERL],
        Some(Interpreter::Python) => &[EVERY_PROGRAM, PYTHON],
        Some(Interpreter::Ruby) => &[EVERY_PROGRAM, RUBY],
        Some(Interpreter::Shell) => &[EVERY_PROGRAM, SHELL],
        Some(Interpreter::Other) => &[EVERY_PROGRAM, OTHER, SHELL],
    }
}

fn matching(records: &[u8], lists: &[&[&str]]) -> Vec<String> {
    let mut found: Vec<String> = records
        .split(|byte| *byte == 0)
        .filter_map(|record| {
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (record.get(..equals)?, record.get(equals + 1..)?);
            let counts = !value.is_empty()
                && lists.iter().copied().flatten().any(|known| is_named(name, known))
                // A category with a dot in it names a module, which is loaded.
                && (name != b"PYTHONWARNINGS" || value.contains(&b'.'));
            counts.then(|| name.escape_ascii().to_string().chars().take(LONGEST_NAME).collect())
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(MOST_NAMES);
    found
}

fn is_named(name: &[u8], known: &str) -> bool {
    match known.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix.as_bytes()),
        None => name == known.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_interpreter_has_its_own() {
        let everything = b"LD_PRELOAD=/e.so\0PYTHONPATH=/x\0PYTHONHOME=/x\0PYTHONSTARTUP=/x\0NODE_OPTIONS=--x\0NODE_PATH=/x\0\
            BASH_ENV=/x\0ENV=/x\0BASH_FUNC_ls%%=() { :; }\0PERL5LIB=/x\0PERL5OPT=-Mx\0RUBYOPT=-rx\0RUBYLIB=/x\0JAVA_TOOL_OPTIONS=-x\0\
            DOTNET_STARTUP_HOOKS=/x.dll\0BUN_OPTIONS=--x\0DENO_DIR=/x\0LUA_INIT_5_4=@x\0HOME=/h\0PATH=/x\0" as &[u8];
        for (program, expected) in [
            (
                None,
                "BUN_OPTIONS DENO_DIR DOTNET_STARTUP_HOOKS JAVA_TOOL_OPTIONS LD_PRELOAD NODE_OPTIONS NODE_PATH",
            ),
            (Some(Interpreter::Python), "LD_PRELOAD PYTHONHOME PYTHONPATH PYTHONSTARTUP"),
            (Some(Interpreter::Node), "LD_PRELOAD NODE_OPTIONS NODE_PATH"),
            (Some(Interpreter::Bun), "BUN_OPTIONS LD_PRELOAD NODE_OPTIONS NODE_PATH"),
            (Some(Interpreter::Deno), "DENO_DIR LD_PRELOAD NODE_OPTIONS NODE_PATH"),
            (Some(Interpreter::Shell), "BASH_ENV BASH_FUNC_ls%% ENV LD_PRELOAD"),
            (Some(Interpreter::Perl), "LD_PRELOAD PERL5LIB PERL5OPT"),
            (Some(Interpreter::Ruby), "LD_PRELOAD RUBYLIB RUBYOPT"),
            (Some(Interpreter::Java), "JAVA_TOOL_OPTIONS LD_PRELOAD"),
            (Some(Interpreter::Dotnet), "DOTNET_STARTUP_HOOKS LD_PRELOAD LUA_INIT_5_4"),
            (Some(Interpreter::Other), "BASH_ENV BASH_FUNC_ls%% ENV LD_PRELOAD LUA_INIT_5_4"),
        ] {
            assert_eq!(code_variables(everything, program).join(" "), expected, "{program:?}");
        }
        assert_eq!(loader_variables(everything), ["LD_PRELOAD"]);
    }

    #[test]
    fn what_any_program_would_load_is_known_by_name() {
        for name in [
            "LD_PRELOAD",
            "PYTHONPATH",
            "NODE_OPTIONS",
            "BASH_ENV",
            "BASH_FUNC_ls%%",
            "PERL5LIB",
            "LUA_INIT_5_4",
        ] {
            assert!(loads_code(name.as_bytes()), "{name}");
        }
        for name in ["PATH", "HOME", "LDX", "", "TERM"] {
            assert!(!loads_code(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_but_no_values() {
        let records =
            b"HOME=/h\0LD_PRELOAD=/evil.so\0PYTHONPATH=/x\0LD_PRELOAD=/again\0LD_AUDIT=\0odd\0PYTHONWARNINGS=ignore";
        assert_eq!(code_variables(records, Some(Interpreter::Python)), ["LD_PRELOAD", "PYTHONPATH"]);
        let warning = b"PYTHONWARNINGS=all:0:antigravity.x:0:0";
        assert_eq!(code_variables(warning, Some(Interpreter::Python)), ["PYTHONWARNINGS"]);
        assert!(code_variables(b"", None).is_empty());
        assert!(code_variables(b"PATH=LD_PRELOAD=x\0NODE_OPTIONSS=1\0", None).is_empty());
    }

    #[test]
    fn hostile_names_are_few_short_and_printable() {
        let mut records = b"LD_\x1b[2J\xff=1\0".to_vec();
        for number in 0..1000 {
            records.extend(format!("LD_X{number}{}=1\0", "y".repeat(1000)).bytes());
        }
        let found = code_variables(&records, None);
        assert_eq!(found.len(), MOST_NAMES);
        assert!(
            found
                .iter()
                .all(|name| name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic()))
        );
    }
}
