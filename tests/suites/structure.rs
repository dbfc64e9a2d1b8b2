//! The shape of the house: which crate may name which, what the core may not touch, what every file begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The floor of each crate. An arrow may point to a lower floor only. `beside` may use what it likes, but nothing
/// that ships may use it.
const FLOORS: &[(&str, u8)] = &[
    ("agentauth-core", 1),
    ("agentauth-api", 1),
    ("agentauth-ipc", 1),
    ("agentauth-idp", 2),
    ("agentauth-store", 2),
    ("agentauth-audit", 2),
    ("agentauth-host", 2),
    ("agentauth-client", 2),
    ("agentauthd", 3),
    ("agentauth-demo", 3),
];
const BESIDE: &[&str] = &["descope-emulator", "e2e"];

/// What the core may depend on. A crate is added here only if it does no input or output and needs no runtime.
const CORE_MAY_USE: &[&str] = &[
    "aws-lc-rs",
    "base64",
    "cedar-policy",
    "foldhash",
    "hex",
    "imbl",
    "jiff",
    "quick_cache",
    "rustls-pki-types",
    "rustls-webpki",
    "secrecy",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "toml",
    "url",
];

/// Words that would mean the core does input or output, keeps time or is asynchronous.
const CORE_MAY_NOT_SAY: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::io",
    "std::thread",
    "tokio",
    "SystemTime",
    "Instant",
    "::now()",
    "async fn",
    ".await",
];

#[test]
fn every_arrow_points_down() {
    let graph = dependencies();
    let floors: BTreeMap<_, _> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (from, tos) in &graph {
        for to in tos {
            match (floors.get(from.as_str()), floors.get(to.as_str())) {
                (Some(a), Some(b)) if a > b => {}
                // The demonstration starts the stand-in provider and is itself no part of the product.
                (Some(_), None) if from == "agentauth-demo" => {}
                (None, _) => {}
                _ => wrong.push(format!("{from} -> {to}")),
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that do not point down: {wrong:?}");
    let known: BTreeSet<&str> = FLOORS.iter().map(|(n, _)| *n).chain(BESIDE.iter().copied()).collect();
    let strangers: Vec<_> = graph.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert!(strangers.is_empty(), "crates that stand on no floor: {strangers:?}");
}

#[test]
fn clients_never_see_the_core_and_the_core_names_no_crate_of_ours() {
    let graph = dependencies();
    assert!(!graph["agentauth-client"].contains("agentauth-core"));
    assert!(graph["agentauth-core"].is_empty());
    assert!(graph["agentauth-api"].is_empty());
    assert!(graph["agentauth-ipc"].is_empty());
}

#[test]
fn the_core_gains_no_io_dependency() {
    let allowed: BTreeSet<&str> = CORE_MAY_USE.iter().copied().collect();
    let used = normal_dependencies("agentauth-core");
    let strangers: Vec<_> = used.iter().filter(|name| !allowed.contains(name.as_str())).collect();
    assert!(strangers.is_empty(), "agentauth-core depends on {strangers:?}, which nobody has vouched for");
}

#[test]
fn the_core_reads_no_clock_file_or_socket() {
    let mut found = Vec::new();
    for file in rust_files(&root().join("crates/agentauth-core/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for word in CORE_MAY_NOT_SAY {
                if line.contains(word) {
                    found.push(format!("{}:{}: {word}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Of the wire, what any request may name: how to say no, and where things are.
const WIRE_FOR_ALL: &[&str] =
    &["ErrorCode", "Problem", "Hello", "Health", "PROTOCOL", "NONCE_HEADER", "REQUEST_ID_HEADER", "paths"];

#[test]
fn one_place_converts_between_wire_and_rules() {
    let mut wrong = Vec::new();
    for file in rust_files(&root().join("crates/agentauthd/src/daemon")) {
        if file.ends_with("wire.rs") || file.parent().is_some_and(|parent| parent.ends_with("daemon/wire")) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for import in text.split("use agentauth_api::").skip(1) {
            let names = import.split(';').next().unwrap();
            let names =
                names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|name| !name.is_empty());
            wrong.extend(
                names
                    .filter(|name| !WIRE_FOR_ALL.contains(name))
                    .map(|name| format!("{}: {name}", file.display())),
            );
        }
        if text.contains("agentauth_api as") {
            wrong.push(format!("{}: all of the wire", file.display()));
        }
    }
    assert!(wrong.is_empty(), "only daemon/wire converts between wire and rules: {wrong:#?}");
}

/// A file, and the functions in it that name codes.
type Source = (&'static str, &'static [&'static str]);

/// Where the codes of each section of `docs/troubleshooting.md` come from.
const CODES: &[(&str, &[Source])] = &[
    ("Exit codes", &[("crates/agentauthd/src/cli/exit.rs", &["fn code"])]),
    ("Reasons of a decision", &[("crates/agentauth-core/src/decision.rs", &["impl Reason {"])]),
    ("Remedies", &[("crates/agentauth-core/src/decision.rs", &["impl Remedy {"])]),
    ("Errors on the socket", &[("crates/agentauth-api/src/problem.rs", &["fn as_str"])]),
    (
        "Login failures",
        &[
            (
                "crates/agentauthd/src/daemon/logins.rs",
                &["async fn redeem", "fn login_code", "fn device_code"],
            ),
            ("crates/agentauthd/src/daemon/logins/widening.rs", &["fn code"]),
            ("crates/agentauth-core/src/passkey/fault.rs", &["fn code"]),
            ("crates/agentauthd/src/daemon/passkeys/mod.rs", &["fn code"]),
            ("crates/agentauthd/src/daemon/pause.rs", &["fn code"]),
            ("crates/agentauthd/src/daemon/keeper/adopt.rs", &["fn code"]),
        ],
    ),
    (
        "Token refusals",
        &[
            ("crates/agentauth-core/src/claims/refusal.rs", &["impl ClaimsFault {", "impl TokenRefusal {"]),
            ("crates/agentauth-core/src/claims/keys.rs", &["fn code"]),
            ("crates/agentauth-idp/src/jwks.rs", &["fn code"]),
            ("crates/agentauth-idp/src/keys.rs", &["fn code"]),
            ("crates/agentauth-idp/src/token_fault.rs", &["fn code"]),
        ],
    ),
    ("Refused callbacks", &[("crates/agentauth-idp/src/callback.rs", &["fn code"])]),
];

#[test]
fn every_code_is_explained_and_no_other() {
    let guide = std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap();
    let mut wrong = Vec::new();
    for (section, sources) in CODES {
        let told = guide.split(&format!("\n## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
        let first_cells = told.lines().filter_map(|line| line.strip_prefix("| `")?.split("` |").next());
        let explained: Vec<&str> = first_cells.collect();
        let distinct: BTreeSet<&str> = explained.iter().copied().collect();
        assert_eq!(distinct.len(), explained.len(), "a code stands twice under {section}");
        let mut known = BTreeSet::new();
        for (file, places) in *sources {
            let text = std::fs::read_to_string(root().join(file)).unwrap();
            for place in *places {
                let found = codes_in(&text, place, *section == "Exit codes");
                assert!(!found.is_empty(), "{file} has no codes at `{place}`: correct CODES");
                known.extend(found);
            }
        }
        wrong.extend(
            known
                .iter()
                .filter(|code| !distinct.contains(code.as_str()))
                .map(|code| format!("{section} lacks `{code}`")),
        );
        wrong.extend(
            distinct
                .iter()
                .filter(|code| !known.contains(**code))
                .map(|code| format!("{section} explains `{code}`, which is none")),
        );
    }
    assert!(wrong.is_empty(), "docs/troubleshooting.md: {wrong:#?}");
}

#[test]
fn every_member_and_error_of_the_socket_is_documented() {
    let guide = std::fs::read_to_string(root().join("docs/api.md")).unwrap();
    for code in agentauth_api::ErrorCode::ALL {
        let row = format!("| `{code}` | {} |", code.status());
        assert!(guide.contains(&row), "docs/api.md lacks `{row}`");
    }
    let guide = guide + &std::fs::read_to_string(root().join("docs/authzen.md")).unwrap();
    let words: BTreeSet<&str> = guide.split(|c: char| !c.is_ascii_lowercase() && c != '_').collect();
    let mut missing = Vec::new();
    for file in rust_files(&root().join("crates/agentauth-api/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.split("#[cfg(test)]").next().unwrap().lines().collect();
        for (number, line) in lines.iter().enumerate() {
            // Members of structs, which are public, with the name that serde gives them.
            let Some((name, _)) = line.strip_prefix("    pub ").and_then(|line| line.split_once(": ")) else {
                continue;
            };
            if !name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                continue;
            }
            let before = number.checked_sub(1).and_then(|before| lines.get(before)).unwrap_or(&"");
            let renamed = before.split_once("rename = \"").and_then(|(_, rest)| rest.split('"').next());
            let name = renamed.unwrap_or(name);
            if !words.contains(name) {
                missing.push(format!("{}:{}: {name}", file.display(), number + 1));
            }
        }
    }
    assert!(missing.is_empty(), "not in docs/api.md: {missing:#?}");
}

/// The codes that a function, or an `impl` with such a function, names: `… => "code"` or `… => 64`.
fn codes_in(text: &str, place: &str, numbers: bool) -> BTreeSet<String> {
    let Some(at) = text.find(place) else { return BTreeSet::new() };
    let indent: String = text[..at].chars().rev().take_while(|c| *c == ' ').collect();
    let body = text[at..].split(&format!("\n{indent}}}")).next().unwrap_or_default();
    let mut found = BTreeSet::new();
    for (position, arrow) in body.match_indices("=> ") {
        let value =
            body[position + arrow.len()..].trim_start_matches(|c: char| c == '{' || c.is_whitespace());
        let word = match value.strip_prefix('"') {
            Some(text) => text.split('"').next().unwrap_or_default(),
            None if numbers => {
                value.split(',').next().filter(|word| word.parse::<u8>().is_ok()).unwrap_or_default()
            }
            None => "",
        };
        if !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            found.insert(word.to_owned());
        }
    }
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut silent = Vec::new();
    for folder in ["crates", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            if !text.starts_with("//!") {
                silent.push(file);
            }
        }
    }
    assert!(silent.is_empty(), "files without a //! first line: {silent:#?}");
}

#[test]
fn every_dependency_says_why_it_is_here() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let mut explained = false;
    for line in section.lines() {
        if line.starts_with('#') {
            explained = !line.contains("---");
        } else if line.is_empty() {
            explained = false;
        } else if !line.contains("path = \"crates/") && !line.starts_with(' ') {
            assert!(explained, "no reason above `{line}`");
        }
    }
}

/// Our crates and the crates of ours that each names outside its tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let ours: BTreeSet<String> = packages().keys().cloned().collect();
    packages()
        .into_iter()
        .map(|(name, deps)| (name, deps.into_iter().filter(|dep| ours.contains(dep)).collect()))
        .collect()
}

fn normal_dependencies(package: &str) -> BTreeSet<String> {
    packages().remove(package).unwrap()
}

fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let deps = package["dependencies"].as_array().unwrap();
            let normal = deps.iter().filter(|dep| dep["kind"] != "dev" && dep["kind"] != "build");
            let names = normal.map(|dep| dep["name"].as_str().unwrap().to_owned()).collect();
            (package["name"].as_str().unwrap().to_owned(), names)
        })
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                found.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
