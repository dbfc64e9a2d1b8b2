//! What a template says of a question, read off its JSON: nothing is compiled, sliced, or remembered.

use agentauth_core::{Scope, ScopeContext};
use serde_json::Value;

/// Everything that a template can ask about.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) scope: Scope,
    pub(crate) agent: String,
    pub(crate) publisher: Option<String>,
    pub(crate) user: String,
    pub(crate) email: Option<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) permissions: Vec<String>,
    pub(crate) tenants: Vec<String>,
    pub(crate) risk: String,
    pub(crate) assurance: String,
    pub(crate) os: String,
    pub(crate) managed: bool,
    pub(crate) attested: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) labels_within: Vec<String>,
    /// Monday is 1.
    pub(crate) weekday: i64,
    pub(crate) minute: i64,
    pub(crate) signals: Vec<String>,
    pub(crate) tampered: bool,
    pub(crate) stepped_up: bool,
    pub(crate) acr: Option<String>,
    pub(crate) auth_age_seconds: i64,
    pub(crate) grant_level: i64,
}

/// What is due.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Expected {
    pub(crate) permitted: bool,
    pub(crate) policies: Vec<String>,
    pub(crate) max_lifetime_minutes: Option<i64>,
    pub(crate) require_proof: bool,
    pub(crate) role: Option<String>,
    pub(crate) remedy: Option<String>,
    pub(crate) acr: Option<String>,
    pub(crate) max_age_minutes: Option<i64>,
    pub(crate) strength: Option<String>,
    /// Only where the rule says one itself.
    pub(crate) reason_user: Option<String>,
    /// Whether nobody has to be asked.
    pub(crate) preapproved: bool,
}

/// One effect that forbids.
#[derive(Debug, Clone, Default)]
struct Forbid {
    id: String,
    role: Option<String>,
    remedy: Option<&'static str>,
    acr: Option<String>,
    max_age: Option<i64>,
    strength: Option<String>,
    reason: Option<String>,
}

/// What a template says, beside policies that permit everything if there is such a `base`.
pub(crate) fn judge(template: &Value, facts: &Facts, base: bool) -> Expected {
    let mut forbids: Vec<Forbid> = Vec::new();
    let mut permits: Vec<String> = if base { vec!["base".to_owned()] } else { Vec::new() };
    let mut limits: Vec<String> = Vec::new();
    let (mut lifetime, mut proof, mut preapproved) = (None::<i64>, false, false);
    for (position, rule) in template["rules"].as_array().unwrap().iter().enumerate() {
        let own = format!("r{}", position + 1);
        let name =
            format!("{}.{}", template["policyId"].as_str().unwrap(), rule["id"].as_str().unwrap_or(&own));
        let then = &rule["then"];
        if then.get("preapprove").is_some() && applies(rule, facts, true) {
            let high = ["delete", "execute", "exfiltrate", "money"].contains(&facts.risk.as_str());
            permits.push(format!("{name}-preapproved"));
            preapproved |= !high || then["preapprove"] == "highRisk";
        }
        if !applies(rule, facts, false) {
            continue;
        }
        let forbid = |suffix: &str, remedy| Forbid {
            id: format!("{name}{suffix}"),
            remedy,
            reason: Some(rule["reasonUser"].as_str().unwrap_or("said by default").to_owned()),
            ..Forbid::default()
        };
        let requires = |word: &str| texts(&then["require"]).iter().any(|wanted| wanted == word);
        if then["deny"] == true {
            forbids.push(forbid("", None));
        }
        if requires("poP") {
            // Nobody proves to hold a key.
            forbids.push(forbid("-proof", Some("proof")));
        }
        if requires("attestation") && !facts.attested {
            forbids.push(forbid("-attestation", Some("attestation")));
        }
        if requires("managedDevice") && !facts.managed {
            forbids.push(forbid("-managed", None));
        }
        if requires("untampered") && facts.tampered {
            forbids.push(forbid("-untampered", None));
        }
        if let Some(role) = then["requireRole"].as_str()
            && !facts.roles.iter().any(|has| has == role)
        {
            forbids.push(Forbid { role: Some(role.to_owned()), ..forbid("-role", None) });
        }
        if let Some(step_up) = then.get("stepUp") {
            let acr = step_up["acr"].as_str();
            let max_age = step_up["maxAgeMinutes"].as_i64();
            let strong = match (acr, max_age) {
                (None, None) => facts.stepped_up,
                _ => {
                    acr.is_none_or(|acr| facts.acr.as_deref() == Some(acr))
                        && max_age.is_none_or(|minutes| facts.auth_age_seconds <= minutes * 60)
                }
            };
            if !strong {
                let terms = (acr.map(str::to_owned), max_age);
                forbids.push(Forbid {
                    acr: terms.0,
                    max_age: terms.1,
                    ..forbid("-step-up", Some("step_up"))
                });
            }
        }
        if let Some(strength) = then["consentStrength"].as_str()
            && facts.grant_level
                < ["prompt", "passkey", "reauth"].iter().position(|one| *one == strength).unwrap() as i64 + 1
        {
            forbids
                .push(Forbid { strength: Some(strength.to_owned()), ..forbid("-consent", Some("consent")) });
        }
        if let Some(floor) = then["assuranceFloor"].as_str()
            && level(&facts.assurance) < level(floor)
        {
            forbids.push(forbid("-assurance", Some("register")));
        }
        let minutes = then["maxLifetimeMinutes"].as_i64();
        if minutes.is_some() || requires("poP") {
            limits.push(format!("{name}-limit"));
            lifetime = [lifetime, minutes].into_iter().flatten().min();
            proof |= requires("poP");
        }
    }
    if !forbids.is_empty() {
        return forbidden(forbids);
    }
    if permits.is_empty() {
        return Expected::default();
    }
    let mut policies: Vec<String> = permits.into_iter().chain(limits).collect();
    policies.sort();
    Expected {
        permitted: true,
        policies,
        max_lifetime_minutes: lifetime,
        require_proof: proof,
        preapproved,
        ..Expected::default()
    }
}

fn forbidden(mut forbids: Vec<Forbid>) -> Expected {
    forbids.sort_by(|one, other| one.id.cmp(&other.id));
    let mut expected = Expected {
        policies: forbids.iter().map(|forbid| forbid.id.clone()).collect(),
        role: forbids.iter().find_map(|forbid| forbid.role.clone()),
        reason_user: forbids[0].reason.clone(),
        ..Expected::default()
    };
    if forbids.iter().all(|forbid| forbid.remedy.is_some()) {
        let remedy = forbids[0].remedy;
        expected.remedy = remedy.map(str::to_owned);
        let alike: Vec<_> = forbids.iter().filter(|forbid| forbid.remedy == remedy).collect();
        expected.acr = alike.iter().find_map(|forbid| forbid.acr.clone());
        expected.max_age_minutes = alike.iter().filter_map(|forbid| forbid.max_age).min();
        let order =
            |strength: &String| ["prompt", "passkey", "reauth"].iter().position(|one| one == strength);
        expected.strength = alike.iter().filter_map(|forbid| forbid.strength.clone()).max_by_key(order);
    }
    expected
}

/// Whether a rule applies; `gives`: to what it gives, and not to what it takes away.
fn applies(rule: &Value, facts: &Facts, gives: bool) -> bool {
    let exceptions = match &rule["unless"] {
        Value::Null => Vec::new(),
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    all_hold(&rule["if"], facts, gives)
        && !exceptions.iter().any(|exception| all_hold(exception, facts, !gives))
}

fn all_hold(conditions: &Value, facts: &Facts, within: bool) -> bool {
    conditions.as_object().unwrap().iter().all(|(name, value)| holds(name, value, facts, within))
}

fn holds(name: &str, value: &Value, facts: &Facts, within: bool) -> bool {
    let is = |fact: &str| texts(value).iter().any(|wanted| wanted == fact);
    let any = |has: &[String]| has.iter().any(|one| is(one));
    match name {
        "requestedScope" => texts(value).iter().any(|pattern| fits(pattern, &facts.scope, within)),
        "agent" => is(&facts.agent),
        "agent.publisher" => facts.publisher.as_deref().is_some_and(is),
        "user" => is(&facts.user),
        "user.email" => match facts.email.as_deref() {
            Some(email) => texts(value).iter().any(|wanted| match wanted.strip_prefix('*') {
                Some(domain) => email.ends_with(domain),
                None => email == wanted,
            }),
            // An unknown address may be this one.
            None => !within,
        },
        "user.role" => any(&facts.roles),
        "user.permission" => any(&facts.permissions),
        "user.tenant" => any(&facts.tenants),
        "risk" => is(&facts.risk) || (is("high") && !["read", "write"].contains(&facts.risk.as_str())),
        "assurance" => match (value["below"].as_str(), value["atLeast"].as_str()) {
            (Some(below), _) => level(&facts.assurance) < level(below),
            (_, Some(at_least)) => level(&facts.assurance) >= level(at_least),
            _ => is(&facts.assurance),
        },
        "device.os" => is(&facts.os) || (is("unmanaged") && !facts.managed),
        "device.managed" => *value == facts.managed,
        "device.attested" => *value == facts.attested,
        "resource.label" => any(if within { &facts.labels_within } else { &facts.labels }),
        "timeOfDay" => match value.get("outside") {
            Some(span) => !is_in(span, facts),
            None => is_in(value, facts),
        },
        "signals" => any(&facts.signals),
        other => panic!("{other}"),
    }
}

/// The minutes of a week are walked one by one.
fn is_in(span: &Value, facts: &Facts) -> bool {
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let minute = |name: &str| {
        let (hours, minutes) = span[name].as_str()?.split_once(':')?;
        Some(hours.parse::<i64>().unwrap() * 60 + minutes.parse::<i64>().unwrap())
    };
    let (from, to) = minute("from").zip(minute("to")).unwrap_or((0, 24 * 60));
    let length = if to > from { to - from } else { to + 24 * 60 - from };
    let week = 7 * 24 * 60;
    let now = (facts.weekday - 1) * 24 * 60 + facts.minute;
    days.iter().enumerate().any(|(number, day)| {
        let wanted = span.get("days").is_none_or(|list| texts(list).iter().any(|wanted| wanted == day));
        let begins = number as i64 * 24 * 60 + from;
        wanted && (now - begins).rem_euclid(week) < length
    })
}

/// Whether the pattern means the scope: `within`, what lies wholly in it; else what has anything in common with it.
fn fits(pattern: &str, scope: &Scope, within: bool) -> bool {
    if pattern == "*" {
        return true;
    }
    let (name, context) =
        pattern.split_once(':').map_or((pattern, None), |(name, context)| (name, Some(context)));
    let named = match name.strip_suffix(".*") {
        Some(resource) => scope.resource() == resource,
        None => scope.action_name() == name,
    };
    let Some(context) = context.filter(|_| named) else { return named };
    let pattern: Scope = format!("{}:{context}", scope.action_name()).parse().unwrap();
    if within {
        return pattern.covers(scope);
    }
    match (pattern.context(), scope.context()) {
        (ScopeContext::Pairs(wanted), ScopeContext::Pairs(asked)) => wanted.iter().all(|(key, value)| {
            // What is asked for with a star counts for every value.
            asked.get(key).is_none_or(|asked| match value.strip_suffix('*') {
                Some(prefix) => asked.starts_with(prefix) || asked.ends_with('*'),
                None => asked == value || asked.ends_with('*'),
            })
        }),
        _ => pattern.overlaps(scope),
    }
}

fn level(assurance: &str) -> usize {
    ["unproven", "path", "pinned", "launched"].iter().position(|word| *word == assurance).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    }
}
