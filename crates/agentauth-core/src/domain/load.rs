//! Loading a domain: parse, name, lint and validate, with every fault reported at once. A domain with any fault is not used.

use std::collections::BTreeMap;
use std::fmt;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{
    Entities, Policy, PolicyId, PolicySet, Schema, SchemaFragment, ValidationMode, Validator,
};

use super::Domain;
use super::given::Given;
use crate::canonical::sha256_hex;
use crate::text::{display_safe_within, has_hidden};

/// The file with the vocabulary, in Cedar's schema language.
pub const SCHEMA_FILE: &str = "schema.cedarschema";
/// The file with the subjects and resources that are known, in Cedar's JSON form; may be left out.
pub const ENTITIES_FILE: &str = "entities.json";
/// The longest file, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// The most policies.
pub const MAX_DOMAIN_POLICIES: usize = 1_000;
/// The most entities.
pub const MAX_ENTITIES: usize = 10_000;
/// How many faults of one load are reported.
const MAX_FAULTS: usize = 100;
/// The longest message or name of a policy, in characters.
const LONGEST: usize = 600;

/// One thing that is wrong with a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainFault {
    /// The file.
    pub file: String,
    /// The line in the file, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong; safe to show.
    pub what: String,
}

/// Everything that is wrong with a domain. None of it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainFaults(pub Vec<DomainFault>);

/// What a policy says beside its condition.
#[derive(Debug, Default)]
pub(super) struct Rule {
    pub(super) reason_user: Option<String>,
    pub(super) reason_admin: Option<String>,
}

/// Whether a domain may have this name: 1 to 64 lower-case letters, digits, `_` and `-`, with a letter first.
#[must_use]
pub fn is_domain_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

impl Domain {
    /// Loads a domain from its files, text by name: [`SCHEMA_FILE`], [`ENTITIES_FILE`] and `*.cedar`. Others are not looked
    /// at.
    ///
    /// # Errors
    /// Every fault at once. A policy without its own `@id`, with an unknown annotation, or that does not pass Cedar's strict
    /// validation is a fault.
    pub fn load(name: &str, files: &BTreeMap<String, String>) -> Result<Self, DomainFaults> {
        let mut faults = Vec::new();
        if !is_domain_name(name) {
            let what = "the name is not 1 to 64 lower-case letters, digits, `_` and `-`, with a letter first";
            faults.push(DomainFault { file: String::new(), line: None, what: what.to_owned() });
        }
        for (file, text) in files.iter().filter(|(_, text)| text.len() > MAX_FILE_BYTES) {
            faults.push(fault(
                file,
                None,
                format!("it is {} bytes long: at most {MAX_FILE_BYTES} are read", text.len()),
            ));
        }
        let Some(text) = files.get(SCHEMA_FILE) else {
            faults.push(fault(
                SCHEMA_FILE,
                None,
                "there is none: it says which types and actions there are".to_owned(),
            ));
            return Err(DomainFaults(faults));
        };
        if !faults.is_empty() {
            return Err(DomainFaults(faults));
        }
        let (schema, given) = vocabulary(text).map_err(DomainFaults)?;
        let (policies, rules) = policies(files, &schema, &mut faults);
        let entities = entities(files.get(ENTITIES_FILE).map_or("[]", String::as_str), &schema)
            .map_err(|fault| faults.push(fault));
        match entities {
            Ok(entities) if faults.is_empty() => {
                let digest =
                    files.iter().filter(|(file, _)| counts(file)).fold(String::new(), |all, (file, text)| {
                        all + &sha256_hex(file.as_bytes()) + &sha256_hex(text.as_bytes())
                    });
                let digest = sha256_hex(digest.as_bytes());
                Ok(Self { name: name.to_owned(), digest, schema, policies, rules, entities, given })
            }
            _ => {
                faults.truncate(MAX_FAULTS);
                Err(DomainFaults(faults))
            }
        }
    }
}

fn counts(file: &str) -> bool {
    file == SCHEMA_FILE || file == ENTITIES_FILE || is_policy_file(file)
}

fn is_policy_file(file: &str) -> bool {
    file.rsplit_once('.').is_some_and(|(_, extension)| extension == "cedar")
}

fn vocabulary(text: &str) -> Result<(Schema, Given), Vec<DomainFault>> {
    let one = |detail: &DetailedError| vec![told(SCHEMA_FILE, text, detail)];
    let (fragment, _) =
        SchemaFragment::from_cedarschema_str(text).map_err(|error| one(&DetailedError::from(&error)))?;
    let document = fragment.clone().to_json_value().map_err(|error| one(&DetailedError::from(&error)))?;
    let schema =
        Schema::from_schema_fragments([fragment]).map_err(|error| one(&DetailedError::from(&error)))?;
    let given = Given::read(&schema, &document)
        .map_err(|wrong| wrong.into_iter().map(|what| fault(SCHEMA_FILE, None, what)).collect::<Vec<_>>())?;
    Ok((schema, given))
}

fn entities(text: &str, schema: &Schema) -> Result<Entities, DomainFault> {
    let wrong = |what: String| fault(ENTITIES_FILE, None, what);
    let entities = Entities::from_json_str(text, Some(schema))
        .map_err(|error| told(ENTITIES_FILE, text, &DetailedError::from(&error)))?;
    let count = entities.iter().count();
    if count > MAX_ENTITIES {
        return Err(wrong(format!("there are {count} entities: at most {MAX_ENTITIES} are read")));
    }
    Ok(entities)
}

/// The policies of all files, each under its own name, with what they say beside their conditions.
fn policies(
    files: &BTreeMap<String, String>,
    schema: &Schema,
    faults: &mut Vec<DomainFault>,
) -> (PolicySet, BTreeMap<PolicyId, Rule>) {
    let (mut whole, mut rules) = (PolicySet::new(), BTreeMap::new());
    let mut places: BTreeMap<PolicyId, String> = BTreeMap::new();
    for (file, text) in files.iter().filter(|(file, _)| is_policy_file(file)) {
        let set = match text.parse::<PolicySet>() {
            Ok(set) => set,
            Err(errors) => {
                faults.extend(errors.iter().map(|error| told(file, text, &DetailedError::from(error))));
                continue;
            }
        };
        if set.templates().next().is_some() {
            let what = "templates (`?principal`, `?resource`) are not supported: name who and what";
            faults.push(fault(file, None, what.to_owned()));
        }
        for policy in set.policies() {
            let (id, rule) = match annotations(policy) {
                Ok(read) => read,
                Err(wrong) => {
                    faults.extend(wrong.into_iter().map(|what| fault(file, None, what)));
                    continue;
                }
            };
            if let Some(other) = places.insert(id.clone(), file.clone()) {
                let what = format!("the @id `{id}` stands in `{other}` already: every policy needs its own");
                faults.push(fault(file, None, what));
            } else if let Err(error) = whole.add(policy.new_id(id.clone())) {
                faults.push(fault(file, None, error.to_string()));
            }
            rules.insert(id, rule);
        }
    }
    if rules.len() > MAX_DOMAIN_POLICIES {
        let what = format!("there are {} policies: at most {MAX_DOMAIN_POLICIES} are read", rules.len());
        faults.push(DomainFault { file: String::new(), line: None, what });
    }
    let judged = Validator::new(schema.clone()).validate(&whole, ValidationMode::Strict);
    for error in judged.validation_errors() {
        let file = places.get(error.policy_id()).map_or("", String::as_str);
        let text = files.get(file).map_or("", String::as_str);
        let mut found = told(file, text, &DetailedError::from(error));
        found.what = format!("`{}`: {}", error.policy_id(), found.what);
        faults.push(found);
    }
    (whole, rules)
}

/// Name and reasons of a policy, or everything that is wrong with its annotations.
fn annotations(policy: &Policy) -> Result<(PolicyId, Rule), Vec<String>> {
    let (mut id, mut rule, mut faults) = (None, Rule::default(), Vec::new());
    for (key, value) in policy.annotations() {
        let sentence = || {
            let fits = !value.trim().is_empty() && value.chars().count() <= 300 && !has_hidden(value);
            fits.then(|| value.to_owned())
        };
        match key {
            "id" => {
                let letters = value
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
                if letters && (1..=128).contains(&value.len()) {
                    id = Some(PolicyId::new(value));
                } else {
                    let shown = display_safe_within(value, 60);
                    faults.push(format!("@id: `{shown}` is not 1 to 128 letters, digits, `.`, `_` and `-`"));
                }
            }
            "reason_user" | "reason_admin" => match sentence() {
                Some(said) if key == "reason_user" => rule.reason_user = Some(said),
                Some(said) => rule.reason_admin = Some(said),
                None => faults.push(format!("@{key}: give 1 to 300 characters that can be seen")),
            },
            other => faults.push(format!(
                "@{}: there is no such annotation in a domain: use `id`, `reason_user` or `reason_admin`",
                display_safe_within(other, 40)
            )),
        }
    }
    match id {
        Some(id) if faults.is_empty() => Ok((id, rule)),
        Some(_) => Err(faults),
        None => {
            if policy.annotation("id").is_none() {
                faults.push(
                    "a policy has no @id: name it, so that decisions can say which one decided".to_owned(),
                );
            }
            Err(faults)
        }
    }
}

fn fault(file: &str, line: Option<usize>, what: String) -> DomainFault {
    DomainFault { file: display_safe_within(file, 200), line, what }
}

/// What Cedar says, with its help, where it says it; safe to show.
fn told(file: &str, text: &str, detail: &DetailedError) -> DomainFault {
    let line = detail
        .source_locations
        .first()
        .map(|label| text.bytes().take(label.loc.start).filter(|byte| *byte == b'\n').count() + 1);
    let said = match &detail.help {
        Some(help) => format!("{}: {help}", detail.message),
        None => detail.message.clone(),
    };
    fault(file, line, display_safe_within(&said, LONGEST))
}

impl fmt::Display for DomainFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.is_empty(), self.line) {
            (true, _) => formatter.write_str(&self.what),
            (false, Some(line)) => write!(formatter, "{}:{line}: {}", self.file, self.what),
            (false, None) => write!(formatter, "{}: {}", self.file, self.what),
        }
    }
}

impl fmt::Display for DomainFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            let between = if position == 0 { "" } else { "; " };
            write!(formatter, "{between}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DomainFaults {}
