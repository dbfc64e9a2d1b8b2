//! Conditions of a template as expressions of Cedar.

use std::fmt;

use super::quoted;
use crate::scope::{ScopeContext, path_and_above};
use crate::template::{Condition, Hours, Os, Proven, Risk, ScopePattern, Sense};

/// What stands in a policy's head: the actions that it is about, so that it is put to no other question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    /// Every action.
    Every,
    /// One action, or group of actions.
    One(String),
    /// Several.
    Several(Vec<String>),
    /// Those of these groups of risks.
    Risks(Vec<String>),
}

/// The head for a rule that applies where `when` holds.
pub(super) fn head(when: &[Condition]) -> Head {
    let named = |actions: Vec<String>| match <[String; 1]>::try_from(actions) {
        Ok([one]) => Head::One(one),
        Err(several) => Head::Several(several),
    };
    let scopes = when.iter().find_map(|condition| match condition {
        Condition::Scope(patterns) => Some(patterns),
        _ => None,
    });
    if let Some(patterns) = scopes {
        let mut actions = Vec::new();
        for pattern in patterns {
            let Some(action) = pattern.action() else { return Head::Every };
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
        return named(actions);
    }
    let risks = when.iter().find_map(|condition| match condition {
        Condition::Risk(risks) => Some(risks),
        _ => None,
    });
    risks.map_or(Head::Every, |risks| Head::Risks(risks.iter().map(|risk| risk_group(*risk)).collect()))
}

/// The one agent that a rule is about where `when` holds: it stands in the policy's head, by which it is known whom a
/// policy gives something to.
pub(super) fn agent(when: &[Condition]) -> Option<&str> {
    when.iter().find_map(|condition| match condition {
        Condition::Agent(names) => match names.as_slice() {
            [one] => Some(one.as_str()),
            _ => None,
        },
        _ => None,
    })
}

/// The group of all actions of this risk.
fn risk_group(risk: Risk) -> String {
    match risk {
        Risk::Class(class) => format!("risk:{class}"),
        Risk::High => "risk:high".to_owned(),
    }
}

/// The condition as an expression that may stand in a conjunction; nothing where it always holds. `head`: what the
/// policy's head says already.
pub(super) fn holds(condition: &Condition, sense: Sense, head: Option<&Head>) -> Option<String> {
    let in_any = |kind: &str, names: &[String]| {
        let entities: Vec<_> =
            names.iter().map(|name| format!("AgentAuth::{kind}::{}", quoted(name))).collect();
        format!("principal in {}", one_or_list(&entities))
    };
    let flag = |attribute: &str, wanted: bool| {
        format!("{}context.known.device.{attribute}", if wanted { "" } else { "!" })
    };
    Some(match condition {
        Condition::Scope(patterns) => return scopes(patterns, sense, head),
        Condition::Agent(names) if head.is_some() && names.len() == 1 => return None,
        Condition::Agent(names) => in_any("Agent", names),
        Condition::Publisher(names) => {
            format!("principal has publisher && {}", is_one_of("principal.publisher", names))
        }
        Condition::User(names) => in_any("User", names),
        Condition::Email(addresses) => {
            let fits = any_of(addresses.iter().map(|address| address_is(address)));
            match sense {
                Sense::Within => format!("principal.user has email && {fits}"),
                // An address that is not known may be any.
                Sense::Reaching => format!("(if principal.user has email then {fits} else true)"),
            }
        }
        Condition::Role(names) => in_any("Role", names),
        Condition::Permission(names) => in_any("Permission", names),
        Condition::Tenant(names) => in_any("Tenant", names),
        Condition::Risk(_) if matches!(head, Some(Head::Risks(_))) => return None,
        Condition::Risk(risks) => any_of(risks.iter().map(|risk| match risk {
            Risk::Class(class) => format!("context.known.risk == {}", quoted(class.as_str())),
            Risk::High => "context.known.high_risk".to_owned(),
        })),
        Condition::Assurance(Proven::OneOf(words)) => {
            any_of(words.iter().map(|word| format!("context.known.assurance == {}", quoted(word.as_str()))))
        }
        Condition::Assurance(Proven::Below(floor)) => {
            format!("context.known.assurance_level < {}", *floor as u8)
        }
        Condition::Assurance(Proven::AtLeast(floor)) => super::at_least(*floor),
        Condition::Os(systems) => any_of(systems.iter().map(|system| match system {
            Os::Named(word) => format!("context.known.device.os == {}", quoted(word)),
            Os::Unmanaged => flag("managed", false),
        })),
        Condition::Managed(wanted) => flag("managed", *wanted),
        Condition::Attested(wanted) => flag("attested", *wanted),
        Condition::Label(labels) => {
            let borne = match sense {
                Sense::Reaching => "resource.classification",
                Sense::Within => "resource.classification_within",
            };
            contains(borne, labels.iter().map(String::as_str))
        }
        Condition::Time(hours) => time(hours),
        Condition::Signals(signals) => {
            contains("context.signals", signals.iter().map(|signal| signal.as_str()))
        }
    })
}

/// All of these, one a line.
pub(super) fn all_of(parts: &[String]) -> String {
    parts.join(" &&\n")
}

/// One of these, in parentheses where there are several.
fn any_of(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<_> = parts.collect();
    match parts.as_slice() {
        [one] => one.clone(),
        several => format!("({})", several.join(" || ")),
    }
}

/// One entity, or a list of them.
fn one_or_list(entities: &[String]) -> String {
    match entities {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn is_one_of(what: &str, texts: &[String]) -> String {
    match texts {
        [one] => format!("{what} == {}", quoted(one)),
        several => {
            let texts: Vec<_> = several.iter().map(|text| quoted(text)).collect();
            format!("[{}].contains({what})", texts.join(", "))
        }
    }
}

fn contains<'a>(set: &str, words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.map(quoted).collect();
    match words.as_slice() {
        [one] => format!("{set}.contains({one})"),
        several => format!("{set}.containsAny([{}])", several.join(", ")),
    }
}

fn address_is(address: &str) -> String {
    match address.strip_prefix('*') {
        Some(rest) => format!("principal.user.email like \"*{}\"", in_pattern(rest)),
        None => format!("principal.user.email == {}", quoted(address)),
    }
}

/// A text as it stands in a pattern of Cedar's, between the quotation marks.
fn in_pattern(text: &str) -> String {
    let quoted = quoted(text).replace('*', "\\*");
    quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

fn scopes(patterns: &[ScopePattern], sense: Sense, head: Option<&Head>) -> Option<String> {
    // The head says which actions; with several of them, which of the contexts belongs to which it cannot say.
    let said = match head {
        Some(Head::Every | Head::Risks(_)) | None => false,
        Some(Head::One(_)) => true,
        Some(Head::Several(_)) => patterns.iter().all(|pattern| *pattern.context() == ScopeContext::Any),
    };
    let mut parts = Vec::with_capacity(patterns.len());
    for pattern in patterns {
        let action = pattern.action().filter(|_| !said).map(|action| {
            let word = if matches!(pattern, ScopePattern::Scope(_)) { "==" } else { "in" };
            format!("action {word} {}", action_entity(&action))
        });
        let context = pattern.resource().and_then(|resource| context(resource, pattern.context(), sense));
        let both: Vec<_> = action.into_iter().chain(context).collect();
        if both.is_empty() {
            return None;
        }
        parts.push(both.join(" && "));
    }
    Some(match parts.as_slice() {
        [one] => one.clone(),
        several => {
            let several: Vec<_> = several.iter().map(|part| format!("({part})")).collect();
            format!("({})", several.join(" || "))
        }
    })
}

/// Where a scope holds; nothing for everywhere.
fn context(kind: &str, context: &ScopeContext, sense: Sense) -> Option<String> {
    let named = |context: &str| format!("AgentAuth::Resource::{}", quoted(&format!("{kind}:{context}")));
    match context {
        ScopeContext::Any => None,
        ScopeContext::Path(path) => {
            let within = format!("resource in {}", named(path));
            Some(match sense {
                Sense::Within => within,
                Sense::Reaching => {
                    let whole = format!("AgentAuth::Resource::{}", quoted(kind));
                    let above = path_and_above(path).filter(|above| above != path).map(named);
                    let wider: Vec<_> = std::iter::once(whole).chain(above).collect();
                    format!("({within} || [{}].contains(resource))", wider.join(", "))
                }
            })
        }
        ScopeContext::Pairs(pairs) => {
            let each = pairs.iter().map(|(key, value)| {
                let key = quoted(key);
                let fits = match value.strip_suffix('*') {
                    Some(prefix) => format!("resource.getTag({key}) like \"{}*\"", in_pattern(prefix)),
                    None => format!("resource.getTag({key}) == {}", quoted(value)),
                };
                match sense {
                    Sense::Within => format!("resource.hasTag({key}) && {fits}"),
                    // A value that ends in `*` stands for many.
                    Sense::Reaching => format!(
                        "(if resource.hasTag({key}) then {fits} || resource.getTag({key}) like \"*\\*\" else true)"
                    ),
                }
            });
            // A path and parameters have nothing in common.
            let no_path = (sense == Sense::Reaching).then(|| "!(resource has path)".to_owned());
            Some(no_path.into_iter().chain(each).collect::<Vec<_>>().join(" && "))
        }
    }
}

fn time(hours: &Hours) -> String {
    let day = |days: &[u8]| {
        let days: Vec<_> = days.iter().map(u8::to_string).collect();
        format!("[{}].contains(context.known.local_weekday)", days.join(", "))
    };
    let from = |minute: u16| format!("context.known.local_minute >= {minute}");
    let to = |minute: u16| format!("context.known.local_minute < {minute}");
    let days = hours.days.as_deref();
    let within = match (hours.minutes, days) {
        (None, days) => day(days.unwrap_or_default()),
        (Some((first, last)), None) if first < last => format!("{} && {}", from(first), to(last)),
        (Some((first, last)), Some(days)) if first < last => {
            format!("{} && {} && {}", from(first), to(last), day(days))
        }
        (Some((first, last)), None) => format!("({} || {})", from(first), to(last)),
        (Some((first, last)), Some(days)) => {
            // What begins on a Sunday ends on a Monday.
            let mut next: Vec<u8> = days.iter().map(|day| day % 7 + 1).collect();
            next.sort_unstable();
            format!("(({} && {}) || ({} && {}))", from(first), day(days), to(last), day(&next))
        }
    };
    if hours.outside { format!("!({within})") } else { within }
}

impl fmt::Display for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => formatter.write_str("action"),
            Self::One(action) if action.ends_with(".*") => {
                write!(formatter, "action in {}", action_entity(action))
            }
            Self::One(action) => write!(formatter, "action == {}", action_entity(action)),
            Self::Several(actions) => {
                let actions: Vec<_> = actions.iter().map(|action| action_entity(action)).collect();
                write!(formatter, "action in [{}]", actions.join(", "))
            }
            Self::Risks(groups) => {
                let groups: Vec<_> = groups.iter().map(|group| action_entity(group)).collect();
                write!(formatter, "action in {}", one_or_list(&groups))
            }
        }
    }
}

fn action_entity(name: &str) -> String {
    format!("AgentAuth::Action::{}", quoted(name))
}
