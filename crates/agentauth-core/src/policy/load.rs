//! Loading policies: parse, name, lint and validate, with every fault reported at once. A set with any fault is not
//! loaded.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{Effect, PolicyId, PolicySet, Schema, ValidationMode, Validator};

use super::Rule;
use super::annotations::{Annotations, Preapprove};
use super::source::{Place, Statement, statements};
use crate::text::display_safe_within;

/// The longest policy file, in bytes.
pub const MAX_POLICY_BYTES: usize = 1024 * 1024;
/// The most policies, a person's own aside.
pub const MAX_POLICIES: usize = 20_000;
/// The most policies of a person's own; counted apart, so that they keep no others out.
pub const MAX_OWN_POLICIES: usize = 2_000;
/// What is put behind the `@id` of a person's policy that is another's already. No `@id` can contain it.
pub(super) const OWN: &str = "@own";
/// How many faults of one load are reported.
pub const MAX_FAULTS: usize = 100;

/// One policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFile {
    /// How it is called, in faults and in the record.
    pub name: String,
    /// What stands in it.
    pub text: String,
    /// Whether it is a person's own: then its names give way to those of all others, which nobody's own may keep out.
    pub own: bool,
}

/// One thing that is wrong with a set of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// The file, as it was named to [`super::Policy::load`].
    pub file: String,
    /// The policy's @id, where it has one.
    pub policy: Option<String>,
    /// Where in the file, where that is known.
    pub place: Option<Place>,
    /// What is wrong and what to do; safe to show.
    pub what: String,
}

/// Everything that is wrong with a set of policies. None of it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFaults(pub Vec<PolicyFault>);

/// A policy that was found.
struct Found<'a> {
    /// Its position among the rules.
    rule: usize,
    /// The text of its file.
    text: &'a str,
    /// Where it stands in there.
    whole: Option<Range<usize>>,
    /// Whether it is a person's own.
    own: bool,
}

/// What a load found.
pub(super) struct Loaded {
    pub(super) policies: Vec<cedar_policy::Policy>,
    pub(super) rules: Vec<Rule>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn load(sources: &[PolicyFile], schema: &Schema) -> Result<Loaded, PolicyFaults> {
    let mut faults = Vec::new();
    let mut policies = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    let mut whole = PolicySet::new();
    let mut by_id: HashMap<String, Found<'_>> = HashMap::new();
    for PolicyFile { name: file, text, own } in sources {
        let fault = |policy: Option<&str>, place, what| PolicyFault {
            file: display_safe_within(file, 200),
            policy: policy.map(str::to_owned),
            place,
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
                    faults.push(fault(None, place_in(text, &detail), shown(&detail)));
                }
                continue;
            }
        };
        let written = statements(text);
        let statement = |id: &PolicyId| number(id).and_then(|number| written.get(number));
        let whole_of = |statement: Option<&Statement>| {
            statement.map(|statement| Place::of(text, statement.whole.clone()))
        };
        let annotation = |statement: Option<&Statement>, key: &str| {
            let (_, bytes) = statement?.annotations.iter().find(|(found, _)| found == key)?;
            Some(Place::of(text, bytes.clone()))
        };
        for template in set.templates() {
            let id = template.annotation("id").map(|id| display_safe_within(id, 128));
            faults.push(fault(
                id.as_deref(),
                whole_of(statement(template.id())),
                "templates (`?principal`, `?resource`) are not supported: name who and what".to_owned(),
            ));
        }
        let mut in_order: Vec<_> = set.policies().collect();
        in_order.sort_by_key(|policy| number(policy.id()));
        for policy in in_order {
            let statement = statement(policy.id());
            let (mut annotations, mut wrong) = Annotations::read(policy.effect(), policy.annotations());
            // What nobody above permits, a person does not permit either: theirs adds what it demands.
            annotations.limits_only |= *own && policy.effect() == Effect::Permit;
            if *own && annotations.preapprove.is_some() {
                let what = "only an administrator's policy can grant what nobody is asked about: take it out, and answer \
                            when you are asked";
                wrong.push((Preapprove::KEY.to_owned(), format!("@{}: {what}", Preapprove::KEY)));
            }
            let id = annotations.id.clone();
            let wrong = wrong.into_iter();
            faults.extend(wrong.map(|(key, what)| fault(id.as_deref(), annotation(statement, &key), what)));
            let Some(mut id) = id else {
                if policy.annotation("id").is_none() {
                    faults.push(fault(
                        None,
                        whole_of(statement),
                        "a policy has no @id: name it, so that decisions can say which one decided"
                            .to_owned(),
                    ));
                }
                continue;
            };
            if *own && by_id.get(&id).is_some_and(|earlier| !earlier.own) {
                id.push_str(OWN);
            }
            if let Some(earlier) = by_id.get(&id) {
                let other = rules.get(earlier.rule).map_or("", |rule| rule.file.as_ref());
                faults.push(fault(
                    Some(&id),
                    annotation(statement, "id"),
                    format!("the @id stands in `{other}` already: every policy needs its own"),
                ));
                continue;
            }
            let policy = policy.new_id(PolicyId::new(&id));
            if let Err(error) = whole.add(policy.clone()) {
                faults.push(fault(Some(&id), whole_of(statement), error.to_string()));
                continue;
            }
            let whole = statement.map(|statement| statement.whole.clone());
            by_id.insert(id.clone(), Found { rule: rules.len(), text, whole, own: *own });
            rules.push(Rule { id: id.into(), file: display_safe_within(file, 200).into(), annotations });
            policies.push(policy);
        }
    }
    let own = by_id.values().filter(|found| found.own).count();
    for (whose, count, most) in
        [("", rules.len() - own, MAX_POLICIES), ("of your own ", own, MAX_OWN_POLICIES)]
    {
        if count > most {
            let what = format!("there are {count} policies {whose}here: at most {most} are read");
            return Err(PolicyFaults(vec![PolicyFault {
                file: String::new(),
                policy: None,
                place: None,
                what,
            }]));
        }
    }
    let result = Validator::new(schema.clone()).validate(&whole, ValidationMode::Strict);
    let found = |id: &PolicyId| by_id.get(AsRef::<str>::as_ref(id));
    let file_of = |id: &PolicyId| {
        let rule = found(id).and_then(|found| rules.get(found.rule));
        rule.map_or(String::new(), |rule| rule.file.to_string())
    };
    for error in result.validation_errors() {
        let detail = DetailedError::from(error);
        let place = found(error.policy_id()).and_then(|found| {
            let whole = || Some(Place::of(found.text, found.whole.clone()?));
            place_in(found.text, &detail).or_else(whole)
        });
        faults.push(PolicyFault {
            file: file_of(error.policy_id()),
            policy: Some(error.policy_id().to_string()),
            place,
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
            format!("{}: {}", file_of(warning.policy_id()), display_safe_within(&warning.to_string(), 400))
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

/// Where Cedar says that it is.
fn place_in(text: &str, detail: &DetailedError) -> Option<Place> {
    detail.source_locations.first().map(|label| Place::of(text, label.loc.start..label.loc.end))
}

/// Cedar names the policies of a file `policy0`, `policy1`…: that is their order.
pub(super) fn number(id: &PolicyId) -> Option<usize> {
    AsRef::<str>::as_ref(id).strip_prefix("policy").and_then(|number| number.parse().ok())
}

impl PolicyFault {
    /// The line at fault, and the mark below it; nothing where the place is not known. Safe to show.
    #[must_use]
    pub fn excerpt(&self) -> Vec<String> {
        self.place
            .iter()
            .flat_map(|place| [&place.text, &place.mark])
            .map(|line| format!("| {line}"))
            .collect()
    }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.file)?;
        if let Some(place) = &self.place {
            write!(formatter, ":{}:{}", place.line, place.column)?;
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
        self.0.iter().try_for_each(|fault| {
            write!(formatter, "\n  {fault}")?;
            fault.excerpt().into_iter().try_for_each(|line| write!(formatter, "\n    {line}"))
        })
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
