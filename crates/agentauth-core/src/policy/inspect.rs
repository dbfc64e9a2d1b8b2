//! Policies as their authors wrote them: what each is called, where it stands, what it looks at and what it says. For
//! those who explain a decision; nothing here decides.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use cedar_policy::{Effect, PolicySet};
use serde::Serialize;
use serde_json::Value;

use super::annotations::Annotations;
use super::load::{OWN, number};
use super::schema::{NAMESPACE, is_group};
use super::source::{Statement, statements};
use super::{Place, Policy, PolicyFile};
use crate::canonical::sha256_hex;
use crate::decision::{Obligations, Remedy, RemedyTerms};
use crate::scope::Scope;
use crate::text::display_safe_within;

/// The longest condition that is told, in characters.
const CONDITION: usize = 400;

/// One policy, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleText {
    /// Its name in decisions.
    pub id: String,
    /// Its file, as it was named to [`Policy::load_files`]; safe to show.
    pub file: String,
    /// Whether it is a person's own.
    pub own: bool,
    /// What it does where it applies.
    pub effect: RuleEffect,
    /// Where `permit` or `forbid` stands.
    pub place: Place,
    /// Its conditions (`when`, `unless`), in order.
    pub conditions: Vec<ConditionText>,
    /// The role that it says is missing.
    pub role: Option<String>,
    /// What it says would help.
    pub remedy: Option<Remedy>,
    /// What exactly that takes.
    pub terms: RemedyTerms,
    /// What it wants the person told.
    pub reason_user: Option<String>,
    /// What it wants the administrator told.
    pub reason_admin: Option<String>,
    /// What it demands where it permits.
    pub obligations: Obligations,
}

/// What a policy does where it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleEffect {
    /// It permits.
    Permit,
    /// It forbids.
    Forbid,
}

/// One condition of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionText {
    /// Where it begins.
    pub place: Place,
    /// All of it on one line, without comments; safe to show.
    pub text: String,
}

/// The policies of these files, in order; of a file that is none, nothing. Names are those that [`Policy::load_files`]
/// gives them.
#[must_use]
pub fn rules(files: &[PolicyFile]) -> Vec<RuleText> {
    let mut rules: Vec<RuleText> = Vec::new();
    let mut others: HashSet<String> = HashSet::new();
    for PolicyFile { name, text, own } in files {
        let Ok(set) = text.parse::<PolicySet>() else { continue };
        let written = statements(text);
        let mut in_order: Vec<_> = set.policies().collect();
        in_order.sort_by_key(|policy| number(policy.id()));
        for policy in in_order {
            let (annotations, _) = Annotations::read(policy.effect(), policy.annotations());
            let statement = number(policy.id()).and_then(|number| written.get(number));
            let (Some(mut id), Some(statement)) = (annotations.id, statement) else { continue };
            if *own && others.contains(&id) {
                id.push_str(OWN);
            } else if !*own {
                others.insert(id.clone());
            }
            let (head, conditions) = parts(text, statement);
            let condition = |at: Range<usize>| ConditionText {
                place: Place::of(text, at.clone()),
                text: one_line(text.get(at).unwrap_or_default()),
            };
            rules.push(RuleText {
                id,
                file: display_safe_within(name, 200),
                own: *own,
                effect: match policy.effect() {
                    Effect::Permit => RuleEffect::Permit,
                    Effect::Forbid => RuleEffect::Forbid,
                },
                place: Place::of(text, head),
                conditions: conditions.into_iter().map(condition).collect(),
                role: annotations.role,
                remedy: annotations.remedy,
                terms: annotations.terms,
                reason_user: annotations.reason_user,
                reason_admin: annotations.reason_admin,
                obligations: annotations.obligations,
            });
        }
    }
    rules
}

/// The actions (`files.read`), and groups of all about one kind of resource (`files.*`), that a person's own policies among
/// these files name, known or not.
pub(super) fn own_actions(files: &[PolicyFile]) -> BTreeSet<String> {
    let sets = files.iter().filter(|file| file.own).filter_map(|file| file.text.parse::<PolicySet>().ok());
    let mut found = BTreeSet::new();
    for policy in sets.flat_map(|set| set.policies().cloned().collect::<Vec<_>>()) {
        if let Ok(json) = policy.to_json() {
            add_actions(&json, &mut found);
        }
    }
    found
}

/// Adds the actions that an expression of Cedar's JSON names, and that could be a scope's.
fn add_actions(expression: &Value, found: &mut BTreeSet<String>) {
    match expression {
        Value::Object(members) => {
            let text = |member: &str| members.get(member).and_then(Value::as_str);
            if text("type").and_then(|kind| kind.split_once("::")) == Some((NAMESPACE, "Action"))
                && let Some(id) = text("id")
                && is_scopes(id)
            {
                found.insert(id.to_owned());
            }
            members.values().for_each(|inner| add_actions(inner, found));
        }
        Value::Array(parts) => parts.iter().for_each(|part| add_actions(part, found)),
        _ => {}
    }
}

/// Whether a scope can ask for this action, or for one of this group.
fn is_scopes(action: &str) -> bool {
    let example = if is_group(action) { action.replace('*', "any") } else { action.to_owned() };
    example.parse::<Scope>().is_ok_and(|scope| scope.action_name() == example)
}

/// What [`Policy::digest`] is of a set of these files.
#[must_use]
pub fn digest(files: &[PolicyFile]) -> String {
    let digests = files.iter().fold(String::new(), |digests, PolicyFile { name, text, .. }| {
        digests + &sha256_hex(name.as_bytes()) + &sha256_hex(text.as_bytes())
    });
    sha256_hex(digests.as_bytes())
}

impl Policy {
    /// The names of the policies that are asked about `action` (`files.read`): whether they apply is another matter.
    pub fn concerning(&self, action: &str) -> impl Iterator<Item = &str> {
        let slice = self.slices.get(action).map(|action| &action.slice.policies);
        slice.into_iter().flat_map(|policies| policies.policies().map(|policy| policy.id().as_ref()))
    }

    /// The name and the file of each policy, in order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.iter().map(|rule| (&*rule.id, &*rule.file))
    }
}

impl RuleText {
    /// `FILE:LINE`, of the word `permit` or `forbid`.
    #[must_use]
    pub fn at(&self) -> String {
        format!("{}:{}", self.file, self.place.line)
    }
}

impl RuleEffect {
    /// The word in policies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        }
    }
}

/// Where `permit` or `forbid` stands, and the conditions.
fn parts(text: &str, statement: &Statement) -> (Range<usize>, Vec<Range<usize>>) {
    let whole = statement.whole.clone();
    let behind = statement.annotations.iter().map(|(_, at)| at.end).fold(whole.start, usize::max);
    let (mut head, mut conditions, mut open, mut depth) = (None, Vec::new(), None, 0_usize);
    for (token, at) in tokens(text, behind..whole.end) {
        match token {
            "permit" | "forbid" if head.is_none() => head = Some(at),
            "when" | "unless" if depth == 0 => open = Some(at.start),
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0
                    && let Some(start) = open.take()
                {
                    conditions.push(start..at.end);
                }
            }
            _ => {}
        }
    }
    (head.unwrap_or(whole), conditions)
}

/// Words, texts in quotation marks and single signs, with their places; comments and space are passed over.
fn tokens(text: &str, within: Range<usize>) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..within.end)?;
            let first = rest.chars().next()?;
            let length = if rest.starts_with("//") {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            } else if first.is_whitespace() {
                at += first.len_utf8();
                continue;
            } else if first == '"' {
                quoted_length(rest)
            } else if first.is_alphanumeric() || first == '_' {
                rest.find(|other: char| !other.is_alphanumeric() && other != '_').unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            let from = at;
            at += length;
            return Some((text.get(from..at)?, from..at));
        }
    })
}

/// How long the text in quotation marks is at the beginning, with them.
fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The same on one line: where there was space, or a comment, there is one space.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut end = 0;
    for (token, at) in tokens(text, 0..text.len()) {
        if at.start > end && !line.is_empty() {
            line.push(' ');
        }
        line.push_str(token);
        end = at.end;
    }
    display_safe_within(&line, CONDITION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    fn file(name: &str, text: &str, own: bool) -> PolicyFile {
        PolicyFile { name: name.to_owned(), text: text.to_owned(), own }
    }

    #[test]
    fn a_policy_is_told_with_its_lines() {
        let text = "// forbid\n@id(\"a\") // when\n@remedy(\"step_up\")\n@reason_user(\"say when { }\")\n\nforbid (principal, action, resource)\nwhen {\n  // never\n  context.claimed has purpose &&\n    context.claimed.purpose == \"when }\"\n}\nunless { principal.user.stepped_up };\n@id(\"b\") permit (principal, action, resource);";
        let rules = rules(&[file("x.cedar", text, false)]);
        assert_eq!(rules.iter().map(RuleText::at).collect::<Vec<_>>(), ["x.cedar:6", "x.cedar:13"]);
        let (first, second) = (&rules[0], &rules[1]);
        assert_eq!((first.effect, first.remedy), (RuleEffect::Forbid, Some(Remedy::StepUp)));
        assert_eq!(first.reason_user.as_deref(), Some("say when { }"));
        let conditions: Vec<_> =
            first.conditions.iter().map(|one| (one.place.line, one.text.as_str())).collect();
        assert_eq!(
            conditions,
            [
                (7, "when { context.claimed has purpose && context.claimed.purpose == \"when }\" }"),
                (12, "unless { principal.user.stepped_up }"),
            ]
        );
        assert_eq!((second.effect, second.conditions.len()), (RuleEffect::Permit, 0));
    }

    #[test]
    fn names_and_digest_are_those_of_the_loaded_set() {
        let permit = "@id(\"p\") permit (principal, action, resource);";
        let files = [
            file("shipped/a.cedar", permit, false),
            file("own.cedar", &format!("{permit}\n@id(\"q\") permit (principal, action, resource);"), true),
        ];
        let policy = Policy::load_files(&files, &Catalogue::shipped().unwrap(), ["files.read"]).unwrap();
        let loaded: Vec<_> = policy.names().map(|(id, _)| id.to_owned()).collect();
        let told: Vec<_> = rules(&files).into_iter().map(|rule| rule.id).collect();
        assert_eq!(loaded, ["p", "p@own", "q"]);
        assert_eq!(told, loaded);
        assert_eq!(digest(&files), policy.digest());
        let mut concerning: Vec<_> = policy.concerning("files.read").collect();
        concerning.sort_unstable();
        assert_eq!(concerning, loaded);
        assert_eq!(policy.concerning("no.such").count(), 0);
    }

    #[test]
    fn every_policy_that_ships_is_told() {
        let files: Vec<_> = Policy::shipped().iter().map(|(name, text)| file(name, text, false)).collect();
        let policy = Policy::load_files(&files, &Catalogue::shipped().unwrap(), [""; 0]).unwrap();
        let told: Vec<_> = rules(&files);
        assert_eq!(told.len(), policy.len());
        assert!(told.iter().all(|rule| matches!(rule.place.mark.trim_start(), "^^^^^^")), "{told:?}");
    }

    #[test]
    fn what_is_no_policy_tells_nothing() {
        for text in ["permit (", "\"", "@id(\"", "@id(\"x\") permit(principal, action, resource) when", "ä"]
        {
            assert_eq!(rules(&[file("x", text, true)]), [], "{text}");
        }
    }
}
