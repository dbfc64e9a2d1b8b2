//! Environment variables that change which code a program runs.

/// Prefixes of such names.
const PREFIXES: &[&[u8]] = &[b"LD_", b"DYLD_", b"BASH_FUNC_", b"GCONV_"];

/// Such names in full: what the usual interpreters load, run or search before the script gets its turn.
const NAMES: &[&[u8]] = &[
    b"BASH_ENV",
    b"CLASSPATH",
    b"DENO_DIR",
    b"DOTNET_STARTUP_HOOKS",
    b"GLIBC_TUNABLES",
    b"JAVA_TOOL_OPTIONS",
    b"JDK_JAVA_OPTIONS",
    b"LUA_INIT",
    b"LUA_PATH",
    b"NODE_OPTIONS",
    b"NODE_PATH",
    b"PERL5DB",
    b"PERL5LIB",
    b"PERL5OPT",
    b"PHPRC",
    b"PYTHONBREAKPOINT",
    b"PYTHONHOME",
    b"PYTHONINSPECT",
    b"PYTHONPATH",
    b"PYTHONPLATLIBDIR",
    b"PYTHONPYCACHEPREFIX",
    b"PYTHONSTARTUP",
    b"PYTHONUSERBASE",
    b"RUBYLIB",
    b"RUBYOPT",
    b"ZDOTDIR",
    b"_JAVA_OPTIONS",
];

/// The names among `NAME=value\0` records that change which code runs; an empty value changes nothing and does not
/// count. Sorted, each once.
pub(super) fn loader_variables(records: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = records
        .split(|byte| *byte == 0)
        .filter_map(|record| {
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (record.get(..equals)?, record.get(equals + 1..)?);
            (!value.is_empty() && loads_code(name)).then(|| String::from_utf8_lossy(name).into_owned())
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Of such names, those that steer the loader of every program, and not only an interpreter.
pub(super) fn loader_only(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| ["LD_", "DYLD_", "GCONV_", "GLIBC_"].iter().any(|prefix| name.starts_with(prefix)));
    names
}

fn loads_code(name: &[u8]) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(NAMES.is_sorted());
    }

    #[test]
    fn names_but_no_values() {
        let records =
            b"HOME=/h\0LD_PRELOAD=/evil.so\0PYTHONPATH=/x\0LD_PRELOAD=/again\0NODE_OPTIONS=\0odd\0BASH_ENV=e";
        assert_eq!(loader_variables(records), ["BASH_ENV", "LD_PRELOAD", "PYTHONPATH"]);
        assert_eq!(loader_only(loader_variables(records)), ["LD_PRELOAD"]);
        assert!(loader_variables(b"").is_empty());
        assert!(loader_variables(b"PATH=LD_PRELOAD=x\0PYTHONPATHS=1\0").is_empty());
    }
}
