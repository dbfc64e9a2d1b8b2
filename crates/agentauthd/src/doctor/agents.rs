//! Registered agents and policies: what does not count, and what can never match.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use agentauth_core::agent::{Agent, Selectors};
use agentauth_core::canonical::sha256_hex;

use super::finding::{Code, Finding};
use crate::daemon::RulesReport;

/// The largest program whose digest is computed here.
const LARGEST_PROGRAM: u64 = 512 * 1024 * 1024;

/// A file that a selector names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// Nothing is there, or it cannot be read.
    Missing,
    /// It is at another path, with links resolved.
    Elsewhere(String),
    /// Its digest is another one than the registered.
    Changed,
    /// As registered.
    Fits,
}

/// What was refused, what is odd, and which selectors lead nowhere. `named` gives for each agent its executable and script.
pub(super) fn judge(rules: &RulesReport, named: &[(String, String, Named)]) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(rules.faults.iter().map(|fault| {
        let todo = "mend the policy, or take it away; `agentauthd config validate` looks again";
        Finding::error(Code::PolicyFault, fault.lines().next().unwrap_or_default(), todo)
    }));
    found.extend(rules.problems.iter().map(|problem| {
        let todo =
            "mend the registration; `agentauthd config validate` looks again, the daemon at its next start";
        Finding::error(Code::AgentRefused, problem, todo)
    }));
    for (agent, path, named) in named {
        found.extend(match named {
            Named::Fits => None,
            Named::Missing => Some(Finding::warning(
                Code::AgentMissing,
                format!("`{agent}` is recognised by {path}, and there is no such file"),
                "correct the selector in its registration, or install the program",
            )),
            Named::Changed => Some(Finding::warning(
                Code::AgentChanged,
                format!("{path} is not the file that `{agent}` was registered with"),
                "if you upgraded it, put its new digest (`sha256sum`) into the registration; else find out who changed it",
            )),
            Named::Elsewhere(real) => Some(Finding::warning(
                Code::AgentUnmatchable,
                format!("`{agent}` is recognised by {path}, which is a link to {real}"),
                format!("name {real} in its registration"),
            )),
        });
    }
    found.extend(
        rules.notes.iter().map(|note| Finding::note(Code::AgentLint, note, "look at the file that is named")),
    );
    if rules.agents.is_empty() {
        found.push(Finding::note(
            Code::AgentsNone,
            "no agent is registered",
            "register one with `agentauthd agent register`; the README shows how",
        ));
    } else {
        let names: Vec<_> = rules.agents.iter().map(|name| format!("`{name}`")).collect();
        found.push(Finding::ok(Code::AgentsRegistered, format!("registered: {}", names.join(", "))));
    }
    found
}

/// Looks at what the selectors name. Blocking: programs are read whole where a digest is registered.
pub(super) fn examine(rules: &RulesReport) -> Vec<Finding> {
    let named: Vec<_> = rules.registered.iter().flat_map(|agent| name_all(agent)).collect();
    judge(rules, &named)
}

fn name_all(agent: &Agent) -> Vec<(String, String, Named)> {
    let Selectors { executable, sha256, script, script_sha256, cgroup: _ } = &agent.selectors;
    let entry = |path: &String, digest: &Option<String>| {
        (agent.name.to_string(), path.clone(), name_one(Path::new(path), digest.as_deref()))
    };
    let mut all = vec![entry(executable, sha256)];
    all.extend(script.as_ref().map(|script| entry(script, script_sha256)));
    all
}

fn name_one(path: &Path, digest: Option<&str>) -> Named {
    let Ok(real) = fs::canonicalize(path) else { return Named::Missing };
    if real != path {
        return Named::Elsewhere(real.display().to_string());
    }
    match digest {
        Some(digest) => match digest_of(path) {
            Some(found) if found == digest => Named::Fits,
            Some(_) => Named::Changed,
            None => Named::Missing,
        },
        None => Named::Fits,
    }
}

fn digest_of(path: &Path) -> Option<String> {
    let file = fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(LARGEST_PROGRAM).read_to_end(&mut bytes).ok()?;
    Some(sha256_hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn seen(rules: &RulesReport, named: &[(String, String, Named)]) -> Vec<(Code, Severity)> {
        judge(rules, named).iter().map(|finding| (finding.id, finding.severity)).collect()
    }

    fn rules() -> RulesReport {
        RulesReport { agents: vec!["a".to_owned()], ..RulesReport::default() }
    }

    #[test]
    fn what_does_not_count_and_what_cannot_match_is_told() {
        const FINE: (Code, Severity) = (Code::AgentsRegistered, Severity::Ok);
        assert_eq!(seen(&rules(), &[]), [FINE]);
        assert_eq!(seen(&RulesReport::default(), &[]), [(Code::AgentsNone, Severity::Note)]);
        let text = || vec!["t".to_owned()];
        for (rules, expected) in [
            (RulesReport { faults: text(), ..rules() }, (Code::PolicyFault, Severity::Error)),
            (RulesReport { problems: text(), ..rules() }, (Code::AgentRefused, Severity::Error)),
            (RulesReport { notes: text(), ..rules() }, (Code::AgentLint, Severity::Note)),
        ] {
            assert_eq!(seen(&rules, &[]), [expected, FINE]);
        }
        for (named, code) in [
            (Named::Missing, Code::AgentMissing),
            (Named::Changed, Code::AgentChanged),
            (Named::Elsewhere("/real".to_owned()), Code::AgentUnmatchable),
        ] {
            let named = [("a".to_owned(), "/p".to_owned(), named)];
            assert_eq!(seen(&rules(), &named), [(code, Severity::Warning), FINE]);
        }
    }

    #[test]
    fn real_files_are_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        let (program, link) = (root.join("program"), root.join("link"));
        fs::write(&program, "x").unwrap();
        std::os::unix::fs::symlink(&program, &link).unwrap();
        let digest = sha256_hex(b"x");
        assert_eq!(name_one(&program, None), Named::Fits);
        assert_eq!(name_one(&program, Some(&digest)), Named::Fits);
        assert_eq!(name_one(&program, Some(&sha256_hex(b"y"))), Named::Changed);
        assert_eq!(name_one(&link, None), Named::Elsewhere(program.display().to_string()));
        assert_eq!(name_one(&root.join("none"), None), Named::Missing);
    }
}
