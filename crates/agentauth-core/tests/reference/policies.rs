//! What the policies say: parsed without a schema, every entity and the context read from JSON for every question, every policy
//! evaluated.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::str::FromStr as _;
use std::thread::LocalKey;

use agentauth_core::policy::PolicyFile;
use agentauth_core::session::Session;
use agentauth_core::{
    Agent, Assurance, Catalogue, Caveat, CheckRequest, Device, GrantStrength, GrantUse, Obligations, Remedy,
    RemedyTerms, RiskClass, Scope, Signals, SignedDuration, Source, Strength, Timestamp,
};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicyId, PolicySet,
    Request,
};
use serde_json::{Value, json};

use super::scopes::{lies_within, reaches_into};

/// One question.
pub(crate) struct Asked<'a> {
    pub(crate) agent: &'a Agent,
    pub(crate) session: &'a Session,
    pub(crate) scope: &'a Scope,
    pub(crate) assurance: Assurance,
    pub(crate) greeted: bool,
    pub(crate) caveats: &'a [Caveat],
    pub(crate) signals: Signals,
    pub(crate) device: &'a Device,
    pub(crate) seen: Option<Timestamp>,
    pub(crate) grant: GrantUse,
    pub(crate) request: &'a CheckRequest,
    pub(crate) now: Timestamp,
}

/// What the policies say to it.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) permitted: bool,
    /// Those that permitted, forbade or failed, by name.
    pub(crate) policies: Vec<String>,
    pub(crate) failed: bool,
    pub(crate) obligations: Obligations,
    pub(crate) role: bool,
    pub(crate) remedy: Option<Remedy>,
    pub(crate) terms: RemedyTerms,
    /// Which one grants it without anybody being asked.
    pub(crate) preapproved: Option<String>,
}

/// A set of policies.
#[derive(Debug, Clone)]
pub(crate) struct Policies {
    set: PolicySet,
    /// Which of them are a person's own.
    own: HashSet<PolicyId>,
    /// Each of them in Cedar's JSON, and what it looks at.
    looks: Vec<(Value, Looks)>,
}

/// What a policy looks at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looks {
    /// The grant that would be used.
    pub(crate) grant: bool,
    /// How that was confirmed.
    pub(crate) strength: bool,
}

pub(crate) fn judge(policies: &Policies, catalogue: &Catalogue, asked: &Asked<'_>) -> Verdict {
    let own = &policies.own;
    let policies = &policies.set;
    let request = Request::new(
        uid("Agent", &asked.agent.name),
        uid("Action", asked.scope.action_name()),
        uid("Resource", &resource_name(asked.scope)),
        read_context(&context(catalogue, asked)),
        None,
    )
    .unwrap();
    let response =
        Authorizer::new().is_authorized(&request, policies, &read_entities(&entities(catalogue, asked)));

    let mut verdict = Verdict::default();
    let failed = response.diagnostics().errors().map(|error| match error {
        AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    });
    let mut decided: Vec<&PolicyId> = failed.collect();
    verdict.failed = !decided.is_empty();
    if !verdict.failed {
        verdict.permitted = response.decision() == Decision::Allow;
        decided = response.diagnostics().reason().collect();
    }
    decided.sort_by_key(|id| id.to_string());
    // A person's own permit nothing by themselves either.
    let only_limits = |id: &&PolicyId| {
        own.contains(*id) || policies.policy(id).unwrap().annotation("limits_only").is_some()
    };
    if verdict.permitted && decided.iter().all(only_limits) {
        verdict.permitted = false;
        decided.clear();
    }
    verdict.policies = decided.iter().map(ToString::to_string).collect();
    let decided: Vec<&Policy> = decided.into_iter().map(|id| policies.policy(id).unwrap()).collect();
    if verdict.permitted {
        verdict.obligations = obligations(&decided);
        let high = is_high(risk(catalogue, asked.scope));
        let grants = |policy: &&&Policy| match policy.annotation("preapprove") {
            None => false,
            Some("high_risk") => true,
            Some(_) => !high,
        };
        verdict.preapproved = decided.iter().find(grants).map(|policy| policy.id().to_string());
    } else if !verdict.failed {
        verdict.role = decided.iter().any(|policy| policy.annotation("role").is_some());
        (verdict.remedy, verdict.terms) = remedy(&decided);
    }
    verdict
}

/// What the policies about this action, and about this kind of resource, look at.
pub(crate) fn looks(policies: &Policies, catalogue: &Catalogue, scope: &Scope) -> Looks {
    let names: Vec<String> =
        action_groups(catalogue, scope).chain([scope.action_name().to_owned()]).collect();
    let is_about = |action: &Value| match action["op"].as_str() {
        Some("All") => true,
        _ => {
            let one = action.get("entity").into_iter();
            let all = one.chain(action["entities"].as_array().into_iter().flatten());
            all.into_iter().any(|entity| names.iter().any(|name| entity["id"] == **name))
        }
    };
    // Every resource of a kind is in resources of that kind only.
    let can_apply = |resource: &Value| {
        let named = resource.get("entity").or_else(|| resource.get("in")?.get("entity"));
        let kind = named.and_then(|entity| entity["id"].as_str()).and_then(|id| id.split(':').next());
        kind.is_none_or(|kind| kind == scope.resource())
    };
    let about = policies.looks.iter();
    let about = about.filter(|(head, _)| is_about(&head["action"]) && can_apply(&head["resource"]));
    let about = about.map(|(_, looks)| looks);
    about.fold(Looks::default(), |all, one| Looks {
        grant: all.grant || one.grant,
        strength: all.strength || one.strength,
    })
}

/// By its text: who looks at `context` or `context.known` as a whole looks at everything in it.
fn looks_of(policy: &Policy) -> Looks {
    let text = policy.to_string();
    let mut looks = Looks::default();
    for behind in text.split("context").skip(1) {
        let whole = !behind.trim_start().starts_with("has ") && !behind.starts_with('.');
        let known = behind.strip_prefix(".known");
        let member = known
            .and_then(|behind| behind.strip_prefix('.').or_else(|| behind.trim_start().strip_prefix("has ")));
        let word = |text: &str| -> String {
            text.trim_start()
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect()
        };
        let everything = whole || known.is_some() && member.is_none();
        let member = member.map(word).unwrap_or_default();
        looks.strength |= everything || member.starts_with("grant_strength");
        looks.grant |= everything || member.starts_with("grant");
    }
    looks
}

impl Policies {
    pub(crate) fn of(files: &[PolicyFile]) -> Self {
        let (set, own) = parsed(files);
        let looks = set.policies().map(|policy| (policy.to_json().unwrap(), looks_of(policy)));
        Self { looks: looks.collect(), set, own }
    }
}

/// All policies of all files, by the names that they go by: a person's gives way where its name is taken.
fn parsed(files: &[PolicyFile]) -> (PolicySet, HashSet<PolicyId>) {
    let mut all: Vec<(String, bool, Policy)> = Vec::new();
    for file in files {
        for policy in PolicySet::from_str(&file.text).unwrap().policies() {
            let mut id = policy.annotation("id").unwrap().to_owned();
            if file.own && all.iter().any(|(taken, own, _)| *taken == id && !own) {
                id.push_str("@own");
            }
            all.push((id.clone(), file.own, policy.new_id(PolicyId::new(id))));
        }
    }
    let own = all.iter().filter(|(_, own, _)| *own).map(|(.., policy)| policy.id().clone()).collect();
    (PolicySet::from_policies(all.into_iter().map(|(.., policy)| policy)).unwrap(), own)
}

/// What all that permitted demand: the shortest life, and proof if one wants it.
fn obligations(permitted: &[&Policy]) -> Obligations {
    let lifetimes = permitted.iter().filter_map(|policy| policy.annotation("max_lifetime"));
    let wants_proof = |policy: &&Policy| matches!(policy.annotation("require_proof"), Some("" | "true"));
    Obligations {
        max_lifetime: lifetimes.map(|text| text.parse::<SignedDuration>().unwrap()).min(),
        require_proof: permitted.iter().any(wants_proof),
    }
}

/// What would help, where every one that forbade names something: what the first one names, as strictly as any says it.
fn remedy(forbade: &[&Policy]) -> (Option<Remedy>, RemedyTerms) {
    let words: Vec<Option<&str>> = forbade.iter().map(|policy| policy.annotation("remedy")).collect();
    let Some(Some(first)) = words.first().copied() else { return Default::default() };
    if words.contains(&None) {
        return Default::default();
    }
    let alike: Vec<&Policy> =
        forbade.iter().copied().filter(|policy| policy.annotation("remedy") == Some(first)).collect();
    let all = |key: &'static str| alike.iter().filter_map(move |policy| policy.annotation(key));
    let strength = |word: &str| match word {
        "prompt" => Strength::Prompt,
        "passkey" => Strength::Passkey,
        _ => Strength::Reauth,
    };
    let terms = RemedyTerms {
        acr: all("acr").next().map(Into::into),
        max_age: all("max_age").map(|text| text.parse::<SignedDuration>().unwrap()).min(),
        strength: all("strength").map(strength).max(),
    };
    let remedy = Remedy::ALL.into_iter().find(|remedy| remedy.as_str() == first);
    (remedy, terms)
}

/// What the catalogue says can go wrong; running something, where it says nothing.
pub(crate) fn risk(catalogue: &Catalogue, scope: &Scope) -> RiskClass {
    let entry = catalogue.actions().find(|(name, _)| *name == scope.action_name());
    entry.map_or(RiskClass::Execute, |(_, entry)| entry.risk)
}

pub(crate) fn is_high(risk: RiskClass) -> bool {
    !matches!(risk, RiskClass::Read | RiskClass::Write)
}

/// What a text of JSON says. The same text is read once: without optimisation, reading takes most of the time.
fn read<T: Clone + 'static>(json: &Value, known: &'static LocalKey<Known<T>>, read: fn(&str) -> T) -> T {
    known.with_borrow_mut(|known| {
        if known.len() > 1000 {
            known.clear();
        }
        known.entry(json.to_string()).or_insert_with_key(|text| read(text)).clone()
    })
}

type Known<T> = RefCell<HashMap<String, T>>;

thread_local! {
    static ENTITIES: Known<Entities> = Known::default();
    static CONTEXTS: Known<Context> = Known::default();
}

fn read_entities(json: &Value) -> Entities {
    read(json, &ENTITIES, |text| Entities::from_json_str(text, None).unwrap())
}

fn read_context(json: &Value) -> Context {
    read(json, &CONTEXTS, |text| Context::from_json_str(text, None).unwrap())
}

/// The groups of a scope's action.
fn action_groups(catalogue: &Catalogue, scope: &Scope) -> impl Iterator<Item = String> {
    let risk = risk(catalogue, scope);
    let high = is_high(risk).then(|| "risk:high".to_owned());
    [format!("{}.*", scope.resource()), format!("risk:{}", risk.as_str())].into_iter().chain(high)
}

/// The agent in its user in the user's groups; the action in its groups; the resource in all above it, one in the next.
fn entities(catalogue: &Catalogue, asked: &Asked<'_>) -> Value {
    let Asked { agent, session, scope, device, .. } = asked;
    let (rights, claims) = (&session.rights, &session.claims);
    let named = |kind: &'static str, names: &[String]| -> Vec<Value> {
        names.iter().map(|name| reference(kind, name)).collect()
    };
    let groups = [
        named("Role", &rights.roles),
        named("Permission", &rights.permissions),
        named("Tenant", &rights.tenants),
    ];
    let mut user = json!({"factors": claims.factors, "stepped_up": claims.stepped_up});
    put(&mut user, "email", session.user.email.as_ref());
    put(&mut user, "current_tenant", rights.current_tenant.as_ref());
    let mut principal = json!({
        "user": {"__entity": reference("User", &session.user.subject)},
        "name": agent.manifest.name,
        "version": agent.manifest.version,
        "registered_by": match agent.source {
            Source::Administrator => "administrator",
            Source::Person => "person",
        },
    });
    put(&mut principal, "publisher", agent.manifest.publisher.as_ref());
    let mut machine =
        json!({"id": device.id, "os": device.os, "managed": device.managed, "attested": device.attested});
    put(&mut machine, "os_version", device.os_version.as_ref());

    let action = scope.action_name();
    let action_groups = action_groups(catalogue, scope).map(|name| reference("Action", &name)).collect();
    let mut all = vec![
        entity(reference("User", &session.user.subject), user, groups.concat()),
        entity(reference("Agent", &agent.name), principal, vec![reference("User", &session.user.subject)]),
        entity(reference("Device", &device.id), machine, vec![]),
        entity(reference("Action", action), json!({}), action_groups),
    ];
    all.extend(resources(catalogue, scope));
    Value::Array(all)
}

/// The resource with its attributes and tags, and everything that it is in.
fn resources(catalogue: &Catalogue, scope: &Scope) -> Vec<Value> {
    let kind = scope.resource();
    let labels = |fits: fn(&str, &str) -> bool| -> Vec<String> {
        let all = catalogue.labels().iter();
        let borne = all.filter(|(_, bearers)| bearers.iter().any(|bearer| fits(scope.as_str(), bearer)));
        borne.map(|(label, _)| label.to_owned()).collect()
    };
    let mut attributes = json!({
        "kind": kind, "risk": risk(catalogue, scope).as_str(),
        "classification": labels(reaches_into), "classification_within": labels(lies_within),
    });
    let mut names = vec![resource_name(scope)];
    let mut tags = json!({});
    match scope.as_str().split_once(':') {
        None => {}
        Some((_, path)) if path.starts_with('/') => {
            attributes["path"] = json!(path);
            names.extend(above(path).map(|above| format!("{kind}:{above}")));
            names.push(kind.to_owned());
        }
        Some((_, pairs)) => {
            names.push(kind.to_owned());
            for pair in pairs.split(',') {
                let (key, value) = pair.split_once('=').unwrap();
                tags[key] = json!(value);
            }
        }
    }
    let mut all: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(place, name)| {
            let next = names.get(place + 1).map(|next| reference("Resource", next));
            entity(reference("Resource", name), json!({}), next.into_iter().collect())
        })
        .collect();
    all[0]["attrs"] = attributes;
    all[0]["tags"] = tags;
    all
}

/// `/a`, then `/`, of `/a/b`.
fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |below| match below.rsplit_once('/') {
        _ if *below == "/" => None,
        Some(("", _)) => Some("/"),
        Some((above, _)) => Some(above),
        None => None,
    })
    .skip(1)
}

/// What is asked about: `files:/projects`, or `files` where it is everything.
fn resource_name(scope: &Scope) -> String {
    match scope.as_str().split_once(':') {
        None => scope.resource().to_owned(),
        Some((_, context)) => format!("{}:{context}", scope.resource()),
    }
}

fn context(catalogue: &Catalogue, asked: &Asked<'_>) -> Value {
    let Asked { session, device, request, now, .. } = asked;
    let risk = risk(catalogue, asked.scope);
    let age = |since: Timestamp| (now.as_second() - since.as_second()).max(0);
    let tampering = [
        "loader_variable",
        "interpreter_variable",
        "environment_unreadable",
        "traced",
        "other_user_namespace",
        "other_process_namespace",
        "other_mount_namespace",
        "hidden_ancestor",
        "hidden",
    ];
    // Where it is winter.
    let ahead = match device.zone.name() {
        "Europe/Berlin" => 60,
        "+05:30" => 330,
        _ => 0,
    };
    let minutes = now.as_second().div_euclid(60) + ahead;
    let caveats: Vec<&str> = asked.caveats.iter().map(Caveat::kind_word).collect();
    let mut known = json!({
        "now": instant(*now),
        "logged_in_at": instant(session.logged_in_at),
        "auth_age": age(session.logged_in_at),
        "amr": session.claims.factors,
        "session_confirmed_age": age(session.confirmed_at),
        "device": {"__entity": reference("Device", &device.id)},
        "daemon_version": device.daemon_version,
        "local_minute": minutes.rem_euclid(24 * 60),
        // The first day of all was a Thursday.
        "local_weekday": (minutes.div_euclid(24 * 60) + 3).rem_euclid(7) + 1,
        "grant": asked.grant.kind.as_str(),
        "grant_strength": asked.grant.strength.as_str(),
        "grant_strength_level": match asked.grant.strength {
            GrantStrength::None => 0,
            GrantStrength::Prompt => 1,
            GrantStrength::Passkey => 2,
            GrantStrength::Reauth | GrantStrength::Policy => 3,
        },
        "proof": false,
        "assurance": asked.assurance.as_str(),
        "assurance_level": match asked.assurance {
            Assurance::Unproven => 0,
            Assurance::Path => 1,
            Assurance::Pinned => 2,
            Assurance::Launched => 3,
        },
        "greeted": asked.greeted,
        "tampered": caveats.iter().any(|word| tampering.contains(word)),
        "caveats": caveats,
        "risk": risk.as_str(),
        "high_risk": is_high(risk),
    });
    put(&mut known, "acr", session.claims.acr.as_ref());
    put(&mut known, "person_seen_at", asked.seen.map(instant).as_ref());
    let mut claimed = json!({});
    put(&mut claimed, "purpose", request.purpose.as_ref());
    put(&mut claimed, "action", request.action.as_ref().map(|action| action.digest()).as_ref());
    for (name, count) in [("bytes", request.bytes), ("items", request.items)] {
        put(&mut claimed, name, (count > 0).then(|| count.min(i64::MAX as u64)).as_ref());
    }
    let signals: Vec<&str> = asked.signals.iter().map(|signal| signal.as_str()).collect();
    json!({"known": known, "claimed": claimed, "signals": signals})
}

fn instant(at: Timestamp) -> Value {
    json!({"__extn": {"fn": "datetime", "arg": at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()}})
}

fn entity(uid: Value, attributes: Value, parents: Vec<Value>) -> Value {
    json!({"uid": uid, "attrs": attributes, "parents": parents})
}

fn reference(kind: &str, id: &str) -> Value {
    json!({"type": format!("AgentAuth::{kind}"), "id": id})
}

fn uid(kind: &str, id: &str) -> EntityUid {
    EntityUid::from_json(reference(kind, id)).unwrap()
}

fn put(record: &mut Value, name: &str, value: Option<&impl serde::Serialize>) {
    if let Some(value) = value {
        record[name] = json!(value);
    }
}
