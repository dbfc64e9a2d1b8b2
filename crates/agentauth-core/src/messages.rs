//! What a decision says: to the person (what was decided, why, what to do) and to a language model (what was
//! refused, not to retry, what to ask the user). Every text from outside is made safe to show here.

use crate::agents::Assurance;
use crate::catalogue::Strength;
use crate::caveat::Caveat;
use crate::decision::{Reason, Remedy, RemedyTerms};
use crate::scope::Scope;
use crate::text::display_safe_within;

/// What a model is told where `agentauthd exec` helps.
const START_IT: &str = "Tell the user to start this agent with `agentauthd exec`: only they can.";

/// What is said where a launch may have ended.
const OUTLIVED: &str = ". If `agentauthd exec` started it, that launch is over: its launcher ended, its registration was changed, or \
                        the daemon was restarted. Then start it again with `agentauthd exec`";

/// The longest message, in characters.
const LIMIT: usize = 900;

/// What a message may draw on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Circumstances<'a> {
    /// The agents concerned, the caller's own first.
    pub(crate) agents: &'a [String],
    /// The scopes that were asked for.
    pub(crate) scopes: &'a [Scope],
    /// The scope at which the check failed.
    pub(crate) failed: Option<&'a Scope>,
    /// What exactly failed, in words; may contain text from outside.
    pub(crate) detail: Option<&'a str>,
    /// The role that is missing.
    pub(crate) role: Option<&'a str>,
    /// What would help.
    pub(crate) remedy: Option<Remedy>,
    /// What exactly that takes.
    pub(crate) terms: Option<&'a RemedyTerms>,
    /// Whether it is refused because the caller did not greet.
    pub(crate) ungreeted: bool,
    /// Whether it is refused because `agentauthd exec` did not start it.
    pub(crate) unlaunched: bool,
    /// How well the agent is assumed to be proven, in a trial.
    pub(crate) dry_run: Option<Assurance>,
    /// What keeps the caller from being better proven.
    pub(crate) caveats: &'a [Caveat],
}

/// The message for the person and the one for a model.
pub(crate) fn explain(reason: Reason, about: &Circumstances<'_>) -> (String, String) {
    let agent = about.agents.first().map_or_else(|| "this program".to_owned(), |name| quoted(name));
    let what = match (about.failed, about.scopes) {
        (Some(scope), _) => quoted(scope.as_str()),
        (None, []) => "nothing".to_owned(),
        (None, [scope]) => quoted(scope.as_str()),
        (None, scopes) => {
            let shown: Vec<_> = scopes.iter().take(3).map(|scope| quoted(scope.as_str())).collect();
            let more = if scopes.len() > 3 { " and more" } else { "" };
            format!("{}{more}", shown.join(", "))
        }
    };
    if reason == Reason::Granted {
        let trial = match about.dry_run {
            None => "",
            Some(Assurance::Launched) => " (a trial: assumes that it is started by `agentauthd exec`)",
            Some(Assurance::Pinned) => " (a trial: assumes that the agent is proven by its digest)",
            Some(_) => " (a trial: assumes that the agent is proven by its path)",
        };
        return (
            // On the way of every allow: put together without the machinery of formats.
            cut([&*agent, " may do ", &*what, trial, &*capped(about.caveats)].concat()),
            "Allowed. Do what was asked for, and nothing wider.".to_owned(),
        );
    }
    let detail = about.detail.map(|detail| display_safe_within(detail, 300));
    let because = |default: &str| detail.clone().unwrap_or_else(|| default.to_owned());
    let (why, todo) = match reason {
        Reason::Granted => (String::new(), String::new()),
        Reason::Locked => ("everything is paused".into(), "ask again when it goes on".into()),
        Reason::Quarantined => {
            (because("an administrator has locked it"), "only an administrator can lift that".into())
        }
        Reason::AgentUnknown => {
            (because("it is not a registered agent"), "register it: `agentauthd agent register MANIFEST --exe PATH`".into())
        }
        Reason::AgentChanged => (
            because("its file is not the one that was registered"),
            match about.remedy {
                Some(_) => format!(
                    "if you updated it yourself, accept it with `agentauthd agent register --update {}`",
                    about.agents.first().map_or("NAME", String::as_str)
                ),
                None => "after an upgrade, restart the agent".into(),
            },
        ),
        Reason::CallerUnproven if about.ungreeted => (
            "it did not greet: ask GET /v1/hello first and send the nonce as `agentauthd-nonce` with each request".into(),
            "then ask again on the same connection".into(),
        ),
        Reason::CallerUnproven => (
            because("the caller could not be proven to be the agent that it seems to be"),
            match about.remedy {
                _ if about.unlaunched => start_it(about),
                Some(Remedy::Wait) => "this takes a moment; the next try will know".into(),
                Some(Remedy::Register) => "correct the files in the `agents` directory of the configuration".into(),
                _ => "start the agent again, and let it connect anew".into(),
            },
        ),
        Reason::NotLoggedIn => ("nobody is logged in".into(), "run `agentauthd login`".into()),
        Reason::SessionExpired => (because("the login has expired"), "run `agentauthd login`".into()),
        Reason::SessionUnverified => (
            because("the login has not been verified yet"),
            "the daemon keeps trying; see `agentauthd status`".into(),
        ),
        Reason::SessionRevoked => {
            ("the provider has ended the login".into(), "run `agentauthd login`".into())
        }
        Reason::Stale => (
            because("the provider has not confirmed the login recently enough for so risky an action"),
            "the daemon keeps trying; see `agentauthd status`".into(),
        ),
        Reason::NotInManifest => (
            because("the agent's manifest does not ask for it"),
            "only a new version of the agent can".into(),
        ),
        Reason::PolicyForbids => {
            (because("the organisation's policies do not permit it"), policy_todo(about))
        }
        Reason::RoleRequired => {
            let role = about.role.map_or_else(String::new, |role| format!(" {}", quoted(role)));
            let missing = format!("you lack the role{role}");
            let why = detail.clone().map_or_else(|| missing.clone(), |said| format!("{missing}: {said}"));
            (why, "ask an administrator for the role".into())
        }
        Reason::ConsentRequired => (
            because("you have not allowed it"),
            "answer the question that waits: `agentauthd consents` shows it".into(),
        ),
        Reason::ConsentDenied => (
            because("it was refused"),
            "`agentauthd grants` shows what refuses it, if you have changed your mind".into(),
        ),
        Reason::GrantExpired => {
            (because("its grant has expired"), "answer the question that waits: `agentauthd consents` shows it".into())
        }
        Reason::DomainForbids => (
            because("the domain that it asks by does not permit that"),
            "whoever keeps the domain can change what it permits".into(),
        ),
        Reason::AuditUnavailable => (
            "the decision could not be written to the audit log".into(),
            "make room or repair the log; `agentauthd status` says what is wrong".into(),
        ),
    };
    let why = why.trim_end_matches('.');
    let trial = if about.dry_run.is_some() { " (a trial)" } else { "" };
    let capped = match reason {
        Reason::PolicyForbids | Reason::ConsentRequired => capped(about.caveats),
        _ => String::new(),
    };
    // What outlived its launch has the launcher's namespaces, and a launcher that hides.
    let outlived = matches!(reason, Reason::PolicyForbids | Reason::AgentUnknown | Reason::ConsentRequired)
        && about.caveats.iter().any(|caveat| *caveat == Caveat::HiddenAncestor || caveat.is_of_launches());
    let outlived = if outlived { OUTLIVED } else { "" };
    let message = format!("{agent} may not do {what}{trial}: {why}; {todo}{capped}{outlived}");
    (cut(message), cut(model(reason, &what, why, about)))
}

/// Why the caller is proven by no more than its path.
fn capped(caveats: &[Caveat]) -> String {
    if caveats.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = caveats.iter().take(3).map(Caveat::text).collect();
    let more = if caveats.len() > 3 { ", and more" } else { "" };
    format!(" (proven at most by its path: {}{more})", shown.join(", "))
}

/// The messages of an allow that was taken back at the last moment.
pub(crate) fn withdrawn(reason: Reason, agents: &[String], scopes: &[Scope]) -> (String, String) {
    explain(reason, &Circumstances { agents, scopes, ..Circumstances::default() })
}

/// The messages where a domain does not permit what an enforcer asks about. `why`: the policy's own words, or what is not
/// known.
pub(crate) fn domain_forbids(agents: &[String], scopes: &[Scope], why: Option<&str>) -> (String, String) {
    explain(Reason::DomainForbids, &Circumstances { agents, scopes, detail: why, ..Circumstances::default() })
}

fn model(reason: Reason, what: &str, why: &str, about: &Circumstances<'_>) -> String {
    let remedy = about.remedy;
    let retry = match remedy {
        Some(Remedy::Wait) => "Try again once, after a few seconds; if it is refused again, stop.",
        _ => "Do not retry, and do not look for another way to do it.",
    };
    let ask = match (remedy, reason) {
        _ if about.ungreeted => {
            "Tell the user that the program which asks has to greet first: only whoever maintains it can change that."
        }
        (Some(Remedy::Login), _) => {
            "Ask the user to run `agentauthd login`, and wait until they say that it is done."
        }
        (Some(Remedy::Register), Reason::PolicyForbids) => START_IT,
        _ if about.unlaunched => START_IT,
        (Some(Remedy::Register), _) => {
            "Tell the user that this agent has to be registered, which only they can do."
        }
        (_, Reason::DomainForbids) => "Tell whoever asked that it is not permitted to them.",
        (_, Reason::ConsentDenied) => "The user has refused this: accept it, and go on without it.",
        (Some(Remedy::Consent), _) => "Ask the user whether they want to allow it, and say what it is for.",
        (Some(Remedy::StepUp), _) => "Tell the user that it needs a stronger login.",
        (Some(Remedy::Proof), _) => "Tell the user that it needs a credential that is bound to a key.",
        (Some(Remedy::Attestation), _) => "Tell the user that it needs an attested device.",
        (Some(Remedy::Wait), _) => "Meanwhile, tell the user what is being waited for.",
        (None, Reason::RoleRequired) => {
            "Tell the user which role is missing; only an administrator can give it."
        }
        (None, _) => "Tell the user what was refused and why, and go on without it.",
    };
    format!("Refused ({reason}): {what}, because {why}. {retry} {ask}")
}

fn policy_todo(about: &Circumstances<'_>) -> String {
    match about.remedy {
        Some(Remedy::Register) => return better_proven(about),
        Some(Remedy::StepUp) => return stronger(about.terms),
        Some(Remedy::Proof) => "use a credential that is bound to a key",
        Some(Remedy::Attestation) => "have this device attested",
        Some(Remedy::Consent) => match about.terms.and_then(|terms| terms.strength) {
            Some(Strength::Passkey) => "confirm it with your passkey when you are asked",
            Some(Strength::Reauth) => "sign in to confirm it when you are asked",
            Some(Strength::Prompt) | None => "confirm it when you are asked",
        },
        _ => "ask an administrator if it should be allowed",
    }
    .to_owned()
}

/// How the person logs in strongly enough.
fn stronger(terms: Option<&RemedyTerms>) -> String {
    let class = terms.and_then(|terms| terms.acr.as_deref());
    let class = class.map(|acr| format!(" (`{}`)", display_safe_within(acr, 60))).unwrap_or_default();
    let age = terms.and_then(|terms| terms.max_age);
    let age = age.map(|age| format!("; the login may be {age:#} old at most")).unwrap_or_default();
    let how = if class.is_empty() && !age.is_empty() { "" } else { " with a stronger factor" };
    format!("log in again{how}{class}{age}")
}

/// How the agent comes to be proven by more than its path.
fn better_proven(about: &Circumstances<'_>) -> String {
    format!("{}, or register a compiled program by its digest", start_it(about))
}

fn start_it(about: &Circumstances<'_>) -> String {
    let name = about.agents.first().map_or_else(|| "NAME".to_owned(), |name| display_safe_within(name, 64));
    format!("start it with `agentauthd exec --agent {name}`")
}

fn quoted(text: &str) -> String {
    ["`", &*display_safe_within(text, 160), "`"].concat()
}

fn cut(text: String) -> String {
    if text.len() <= LIMIT {
        return text;
    }
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
