//! Which script an interpreter runs, by its command line.
//!
//! The command line is the process's own claim, so nothing here proves anything. Still the answer must not be *wrong*
//! for an honest process: an option that is not known to be harmless might run other code or take the next word as its
//! value, so it ends the search without an answer.

/// The families of interpreters, each with its own manner of options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interpreter {
    Bun,
    Deno,
    Dotnet,
    Java,
    Node,
    Perl,
    Python,
    Ruby,
    Shell,
    /// Known to interpret, its options unknown to us.
    Other,
}

impl Interpreter {
    /// By the file name of the executable, less a version: `python3.11`, `perl5.36.0`, `ruby3.1`.
    pub(super) fn of(file_name: &str) -> Option<Self> {
        let name = file_name
            .trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.' || letter == '-');
        Some(match name {
            "bun" => Self::Bun,
            "deno" => Self::Deno,
            "dotnet" => Self::Dotnet,
            "java" => Self::Java,
            "node" | "nodejs" => Self::Node,
            "perl" => Self::Perl,
            "python" | "pypy" => Self::Python,
            "ruby" => Self::Ruby,
            "ash" | "bash" | "dash" | "ksh" | "mksh" | "sh" | "zsh" => Self::Shell,
            "busybox" | "fish" | "gjs" | "guile" | "julia" | "lua" | "luajit" | "php" | "pwsh" | "qjs"
            | "R" | "Rscript" | "tclsh" | "wish" => Self::Other,
            // Debug and free-threading builds: `python3.13t`, `python3.11-dbg`.
            other if other.starts_with("python") || other.starts_with("pypy") => Self::Python,
            _ => return None,
        })
    }

    /// The word that names the script, given the words after `argv[0]`.
    pub(super) fn script<'a>(self, words: &[&'a [u8]]) -> Option<&'a [u8]> {
        let mut words = words.iter().copied();
        match self {
            Self::Bun => {
                let first = words.next()?;
                // A bare word after `run` may name a task of package.json.
                let word =
                    if first == b"run" { words.next().filter(|word| word.contains(&b'/'))? } else { first };
                plain(word)
            }
            Self::Deno => {
                if words.next()? != b"run" {
                    return None;
                }
                let word = words.find(|word| !deno_flag(word))?;
                plain(word).filter(|word| !word.windows(3).any(|part| part == b"://"))
            }
            Self::Node => {
                after_options(words, |word, _| if node_flag(word) { Step::Next } else { Step::Unknown })
            }
            Self::Perl => after_options(words, |word, _| cluster(word, b"wWXtTU")),
            Self::Ruby => {
                after_options(
                    words,
                    |word, _| {
                        if word.starts_with(b"-W") { Step::Next } else { cluster(word, b"wvU") }
                    },
                )
            }
            Self::Python => after_options(words, python_option),
            Self::Shell => after_options(words, shell_option),
            Self::Dotnet | Self::Java | Self::Other => plain(words.next()?),
        }
    }
}

/// What one option means for the search.
enum Step {
    /// Harmless.
    Next,
    /// Harmless, and the next word is its value.
    SkipValue,
    /// Not known to be harmless, or names code itself.
    Unknown,
}

fn after_options<'a>(
    mut words: impl Iterator<Item = &'a [u8]>,
    option: impl Fn(&'a [u8], Option<&'a [u8]>) -> Step,
) -> Option<&'a [u8]> {
    let mut pending = words.next();
    while let Some(word) = pending {
        if word == b"--" {
            return words.next();
        }
        if !matches!(word, [b'-' | b'+', _, ..]) {
            return plain(word);
        }
        let next = words.next();
        pending = match option(word, next) {
            Step::Next => next,
            Step::SkipValue => words.next(),
            Step::Unknown => return None,
        };
    }
    None
}

/// A word that is no option; a lone `-` means standard input.
fn plain(word: &[u8]) -> Option<&[u8]> {
    (!word.is_empty() && !word.starts_with(b"-")).then_some(word)
}

fn cluster(word: &[u8], harmless: &[u8]) -> Step {
    let letters = word.get(1..).unwrap_or_default();
    if letters.iter().all(|letter| harmless.contains(letter)) { Step::Next } else { Step::Unknown }
}

fn python_option(word: &[u8], next: Option<&[u8]>) -> Step {
    const HARMLESS: &[u8] = b"bBdEhiIOPqRsSuvVx";
    let letters = word.get(1..).unwrap_or_default();
    for (place, letter) in letters.iter().enumerate() {
        match letter {
            b'W' | b'X' => {
                let attached = letters.get(place + 1..).filter(|rest| !rest.is_empty());
                let harmless = *letter == b'W' || attached.or(next).is_some_and(python_setting);
                return match attached {
                    _ if !harmless => Step::Unknown,
                    Some(_) => Step::Next,
                    None => Step::SkipValue,
                };
            }
            letter if HARMLESS.contains(letter) => {}
            _ => return Step::Unknown,
        }
    }
    Step::Next
}

/// Values of `-X` that change no code; `pycache_prefix` and the like do.
fn python_setting(value: &[u8]) -> bool {
    const HARMLESS: &[&[u8]] = &[
        b"dev",
        b"faulthandler",
        b"frozen_modules",
        b"importtime",
        b"int_max_str_digits",
        b"tracemalloc",
        b"utf8",
    ];
    let name = value.split(|byte| *byte == b'=').next().unwrap_or_default();
    HARMLESS.contains(&name)
}

fn shell_option(word: &[u8], _: Option<&[u8]>) -> Step {
    const HARMLESS: &[u8] = b"abBCeEfhHkmnpPtTuvx";
    if matches!(word, b"--norc" | b"--noprofile" | b"--posix" | b"--restricted") {
        return Step::Next;
    }
    match word.split_last() {
        // `-eo pipefail`: the value is the next word.
        Some((b'o' | b'O', rest)) => match cluster(rest, HARMLESS) {
            Step::Next => Step::SkipValue,
            other => other,
        },
        _ => cluster(word, HARMLESS),
    }
}

fn node_flag(word: &[u8]) -> bool {
    const HARMLESS: &[&[u8]] = &[
        b"--abort-on-uncaught-exception",
        b"--enable-source-maps",
        b"--experimental-strip-types",
        b"--experimental-transform-types",
        b"--experimental-vm-modules",
        b"--expose-gc",
        b"--expose_gc",
        b"--no-deprecation",
        b"--no-experimental-strip-types",
        b"--no-warnings",
        b"--pending-deprecation",
        b"--throw-deprecation",
        b"--trace-deprecation",
        b"--trace-uncaught",
        b"--trace-warnings",
    ];
    const WITH_VALUE: &[&[u8]] = &[
        b"--disable-warning=",
        b"--dns-result-order=",
        b"--max-http-header-size=",
        b"--max-old-space-size=",
        b"--max_old_space_size=",
        b"--max-semi-space-size=",
        b"--stack-size=",
        b"--unhandled-rejections=",
    ];
    HARMLESS.contains(&word) || WITH_VALUE.iter().any(|prefix| word.starts_with(prefix))
}

fn deno_flag(word: &[u8]) -> bool {
    const HARMLESS: &[&[u8]] = &[
        b"-A",
        b"-q",
        b"--cached-only",
        b"--no-check",
        b"--no-npm",
        b"--no-prompt",
        b"--no-remote",
        b"--quiet",
    ];
    HARMLESS.contains(&word) || word.starts_with(b"--allow-") || word.starts_with(b"--deny-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(line: &str) -> Option<String> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        let (name, rest) = words.split_first().unwrap();
        let interpreter = Interpreter::of(std::str::from_utf8(name).unwrap()).unwrap();
        interpreter.script(rest).map(|word| String::from_utf8_lossy(word).into_owned())
    }

    #[test]
    fn command_lines_of_every_family() {
        for (line, expected) in [
            ("python3 agent.py -c x", Some("agent.py")),
            ("python3.11 -u agent.py", Some("agent.py")),
            ("python3.13t -uBW ignore agent.py", Some("agent.py")),
            ("python3 -Wignore -X dev -Xutf8=1 agent.py", Some("agent.py")),
            ("python3 -X pycache_prefix=/evil agent.py", None),
            ("python3 -W agent.py evil.py", Some("evil.py")),
            ("python3 -- agent.py", Some("agent.py")),
            ("python3 -m agent", None),
            ("python3 -c code agent.py", None),
            ("python3 -uc code agent.py", None),
            ("python3 -", None),
            ("python3", None),
            ("node agent.js", Some("agent.js")),
            ("node --enable-source-maps --max-old-space-size=4096 /a/agent.js", Some("/a/agent.js")),
            ("node --title agent.js evil.js", None),
            ("node -r ./evil.js agent.js", None),
            ("node --import ./evil.js agent.js", None),
            ("node -e code agent.js", None),
            ("bash agent.sh", Some("agent.sh")),
            ("bash -eux agent.sh", Some("agent.sh")),
            ("bash -euo pipefail agent.sh", Some("agent.sh")),
            ("bash +x --norc agent.sh", Some("agent.sh")),
            ("bash -c code agent.sh", None),
            ("bash --rcfile evil -i agent.sh", None),
            ("sh -s agent.sh", None),
            ("ruby -w -W0 agent.rb", Some("agent.rb")),
            ("ruby -revil agent.rb", None),
            ("perl -w agent.pl", Some("agent.pl")),
            ("perl -Mevil agent.pl", None),
            ("perl5.36.0 -T agent.pl", Some("agent.pl")),
            ("deno run -A --allow-read=/x agent.ts", Some("agent.ts")),
            ("deno run --config x agent.ts", None),
            ("deno run https://example.com/x.ts", None),
            ("deno eval code", None),
            ("bun agent.ts", Some("agent.ts")),
            ("bun run ./agent.ts", Some("./agent.ts")),
            ("bun run task", None),
            ("bun -e code", None),
            ("php agent.php", Some("agent.php")),
            ("php -f agent.php", None),
        ] {
            assert_eq!(script(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn what_is_an_interpreter() {
        for name in [
            "python3",
            "python3.11",
            "python",
            "pypy3.10",
            "node",
            "node-22",
            "bash",
            "dash",
            "sh",
            "ruby3.1",
        ] {
            assert!(Interpreter::of(name).is_some(), "{name}");
        }
        for name in ["claude", "cargo", "sshd", "nodemon", "bashful", "", "3"] {
            assert_eq!(Interpreter::of(name), None, "{name}");
        }
    }
}
