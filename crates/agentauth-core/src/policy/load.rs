//! Loading policies: parse, name, lint and validate, with every fault reported at once. A set with any fault is not
//! loaded.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{PolicyId, PolicySet, Schema, ValidationMode, Validator};

use super::Rule;
use super::annotations::Annotations;
use crate::text::display_safe_within;

/// The longest policy file, in bytes.
pub const MAX_POLICY_BYTES: usize = 1024 * 1024;
/// The most policies.
pub const MAX_POLICIES: usize = 20_000;
/// How many faults of one load are reported.
const MAX_FAULTS: usize = 100;

/// One thing that is wrong with a set of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// The file, as it was named to [`super::Policy::load`].
    pub file: String,
    /// The policy's @id, where it has one.
    pub policy: Option<String>,
    /// The line in the file, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong and what to do; safe to show.
    pub what: String,
}

/// Everything that is wrong with a set of policies. None of it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFaults(pub Vec<PolicyFault>);

/// What a load found.
pub(super) struct Loaded {
    pub(super) policies: Vec<cedar_policy::Policy>,
    pub(super) rules: Vec<Rule>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn load(sources: &[(&str, &str)], schema: &Schema) -> Result<Loaded, PolicyFaults> {
    let mut faults = Vec::new();
    let mut policies = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    let mut whole = PolicySet::new();
    let mut by_id: HashMap<String, (usize, Option<usize>)> = HashMap::new();
    for (file, text) in sources {
        let fault = |policy: Option<&str>, line, what| PolicyFault {
            file: display_safe_within(file, 200),
            policy: policy.map(str::to_owned),
            line,
            what,
        };
        if text.len() > MAX_POLICY_BYTES {
            faults.push(fault(
                None,
                None,
                format!("the file is {} bytes long: at most {MAX_POLICY_BYTES} are read", text.len()),
            ));
            continue;
        }
        let set = match text.parse::<PolicySet>() {
            Ok(set) => set,
            Err(errors) => {
                for error in errors.iter() {
                    let detail = DetailedError::from(error);
                    let line = detail.source_locations.first().map(|label| line_of(text, label.loc.start));
                    faults.push(fault(None, line, shown(&detail)));
                }
                continue;
            }
        };
        for template in set.templates() {
            let id = template.annotation("id").map(|id| display_safe_within(id, 128));
            faults.push(fault(
                id.as_deref(),
                None,
                "templates (`?principal`, `?resource`) are not supported: name who and what".to_owned(),
            ));
        }
        // Cedar names the policies of a file `policy0`, `policy1`…: that is their order.
        let mut written: Vec<_> = set.policies().collect();
        written.sort_by_key(|policy| {
            policy.id().to_string().strip_prefix("policy").and_then(|number| number.parse::<usize>().ok())
        });
        let lines = policy_lines(text, written.len());
        for (position, policy) in written.into_iter().enumerate() {
            let line = lines.get(position).copied();
            let (annotations, wrong) = Annotations::read(policy.effect(), policy.annotations());
            let id = annotations.id.clone();
            faults.extend(wrong.into_iter().map(|what| fault(id.as_deref(), line, what)));
            let Some(id) = id else {
                if policy.annotation("id").is_none() {
                    faults.push(fault(
                        None,
                        line,
                        "a policy has no @id: name it, so that decisions can say which one decided"
                            .to_owned(),
                    ));
                }
                continue;
            };
            if let Some((earlier, _)) = by_id.get(&id) {
                let other = rules.get(*earlier).map_or("", |rule| rule.file.as_ref());
                faults.push(fault(
                    Some(&id),
                    line,
                    format!("the @id stands in `{other}` already: every policy needs its own"),
                ));
                continue;
            }
            let policy = policy.new_id(PolicyId::new(&id));
            if let Err(error) = whole.add(policy.clone()) {
                faults.push(fault(Some(&id), line, error.to_string()));
                continue;
            }
            by_id.insert(id.clone(), (rules.len(), line));
            rules.push(Rule { id: id.into(), file: display_safe_within(file, 200).into(), annotations });
            policies.push(policy);
        }
    }
    if rules.len() > MAX_POLICIES {
        let what = format!("there are {} policies: at most {MAX_POLICIES} are read", rules.len());
        return Err(PolicyFaults(vec![PolicyFault { file: String::new(), policy: None, line: None, what }]));
    }
    let result = Validator::new(schema.clone()).validate(&whole, ValidationMode::Strict);
    let place = |id: &PolicyId| {
        let found = by_id.get(AsRef::<str>::as_ref(id)).copied();
        let rule = found.and_then(|(index, _)| rules.get(index));
        (rule.map_or(String::new(), |rule| rule.file.to_string()), found.and_then(|(_, line)| line))
    };
    for error in result.validation_errors() {
        let (file, line) = place(error.policy_id());
        let detail = DetailedError::from(error);
        faults.push(PolicyFault {
            file,
            policy: Some(error.policy_id().to_string()),
            line,
            what: shown(&detail),
        });
    }
    if !faults.is_empty() {
        faults.truncate(MAX_FAULTS);
        return Err(PolicyFaults(faults));
    }
    let warnings = result
        .validation_warnings()
        .map(|warning| {
            format!("{}: {}", place(warning.policy_id()).0, display_safe_within(&warning.to_string(), 400))
        })
        .collect();
    Ok(Loaded { policies, rules, warnings })
}

/// The message with its help, without control characters.
fn shown(detail: &DetailedError) -> String {
    let text = match &detail.help {
        Some(help) => format!("{}: {help}", detail.message),
        None => detail.message.clone(),
    };
    display_safe_within(&text, 600)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The line at which each policy's @id stands, if the text has exactly one per policy at the beginning of a line.
fn policy_lines(text: &str, policies: usize) -> Vec<usize> {
    let lines: Vec<_> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.trim_start().starts_with("@id("))
        .map(|(number, _)| number + 1)
        .collect();
    if lines.len() == policies { lines } else { Vec::new() }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        if let Some(policy) = &self.policy {
            write!(formatter, ": `{policy}`")?;
        }
        write!(formatter, ": {}", self.what)
    }
}

impl fmt::Display for PolicyFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the policies cannot be loaded")?;
        self.0.iter().try_for_each(|fault| write!(formatter, "\n  {fault}"))
    }
}

impl std::error::Error for PolicyFaults {}

/// How many policies each file holds, for `policy check`.
pub(super) fn count_by_file(rules: &[Rule]) -> BTreeMap<Arc<str>, usize> {
    let mut counts = BTreeMap::new();
    for rule in rules {
        *counts.entry(Arc::clone(&rule.file)).or_default() += 1;
    }
    counts
}
