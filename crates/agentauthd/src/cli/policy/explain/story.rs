//! Why something was decided, told.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use agentauth_core::checks::{Check, Ended};
use agentauth_core::policy::inspect::{RuleEffect, RuleText};
use agentauth_core::text::{display_safe, display_safe_within};
use agentauth_core::{Decision, Policy, Reason, Remedy, RemedyTerms, Strength, Timestamp};
use serde::Serialize;

use super::super::super::output::{BAD, FAINT, GOOD, STRONG, WARN};
use super::super::super::words;
use crate::daemon::rulebook::Keeper;

/// How many policies are named that could have permitted it.
const COULD: usize = 10;

/// What is known of a decision.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) id: Option<String>,
    pub(super) time: Option<Timestamp>,
    pub(super) allow: bool,
    pub(super) reason: String,
    pub(super) remedy: Option<Remedy>,
    pub(super) terms: RemedyTerms,
    pub(super) role: Option<String>,
    pub(super) agents: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) failed_scope: Option<String>,
    pub(super) policies: Vec<String>,
    /// Why policies could not be evaluated.
    pub(super) errors: Vec<String>,
    /// What the person was told, where that is known.
    pub(super) message: Option<String>,
}

/// Why something was decided. All texts are safe to show.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    decision: &'static str,
    reason: String,
    agents: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    checks: Vec<Step>,
    /// The policies that decided.
    policies: Vec<Fired>,
    /// Why policies could not be evaluated: then those that decided are the ones that failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
    /// What helps, in words.
    help: String,
    /// What would have to change for another answer.
    change: Vec<String>,
    notes: Vec<String>,
}

/// One check.
#[derive(Debug, Serialize)]
struct Step {
    number: usize,
    check: Check,
    ended: Ended,
    says: &'static str,
}

/// A policy that decided.
#[derive(Debug, Serialize)]
struct Fired {
    id: String,
    /// Absent where it is not in the set that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<RuleEffect>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keeper: Option<Keeper>,
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    says_to_administrators: Option<String>,
}

#[derive(Debug, Serialize)]
struct Condition {
    line: usize,
    text: String,
}

impl Facts {
    /// What is known of a decision that was just made by these policies.
    pub(super) fn of(decision: &Decision, rules: &[RuleText]) -> Self {
        let deciding = || rules.iter().filter(|rule| decision.policies.contains(&rule.id));
        // The note is what a policy wants an administrator told, or else why one could not be evaluated.
        let error = decision.admin_note.as_ref().filter(|note| {
            decision.reason == Reason::PolicyForbids
                && deciding().all(|rule| rule.reason_admin.as_ref() != Some(note))
        });
        Self {
            id: None,
            time: None,
            allow: decision.allow,
            reason: decision.reason.to_string(),
            remedy: decision.remedy,
            terms: decision.remedy_terms.clone(),
            role: None,
            agents: decision.agents.clone(),
            user: None,
            scopes: decision.scopes.iter().map(ToString::to_string).collect(),
            failed_scope: decision.failed_scope.as_ref().map(ToString::to_string),
            policies: decision.policies.clone(),
            errors: error.cloned().into_iter().collect(),
            message: Some(decision.message.clone()),
        }
    }
}

impl Story {
    /// `rules` and `policy`: the set that decided, or what there is of it.
    pub(super) fn of(facts: &Facts, rules: &[RuleText], policy: &Policy, notes: Vec<String>) -> Self {
        let reason = Reason::from_word(&facts.reason);
        let check = |(check, ended): (Check, Ended)| Step {
            number: check.number(),
            check,
            ended,
            says: check.says(),
        };
        let rule = |id: &str| rules.iter().find(|rule| rule.id == id);
        let fired: Vec<_> = facts.policies.iter().map(|id| Fired::of(id, rule(id))).collect();
        let role = facts.role.clone().or_else(|| facts.policies.iter().find_map(|id| rule(id)?.role.clone()));
        Self {
            id: facts.id.as_deref().map(display_safe),
            time: facts.time,
            decision: if facts.allow { "allow" } else { "deny" },
            reason: display_safe(&facts.reason),
            agents: shown(&facts.agents),
            user: facts.user.as_deref().map(display_safe),
            scopes: shown(&facts.scopes),
            failed_scope: facts.failed_scope.as_deref().map(display_safe),
            message: facts.message.as_deref().map(|message| display_safe_within(message, 1200)),
            checks: reason
                .into_iter()
                .flat_map(|reason| Check::ended(reason, !facts.policies.is_empty()))
                .map(check)
                .collect(),
            remedy: facts.remedy.map(Remedy::as_str),
            help: help(reason, facts, role.as_deref()),
            change: change(reason, facts, &fired, rules, policy),
            policies: fired,
            errors: facts.errors.iter().map(|error| display_safe_within(error, 600)).collect(),
            notes,
        }
    }

    /// The same for people.
    pub(super) fn text(&self) -> String {
        let (style, word) = if self.decision == "allow" { (GOOD, "allow") } else { (BAD, "deny") };
        let mut text = format!(
            "{style}{word}{style:#}  {}  {STRONG}{}{STRONG:#} {}",
            self.reason,
            self.agents.join(" < "),
            self.scopes.join(", ")
        );
        // Writing to a `String` does not fail, here and below.
        if let Some(time) = self.time {
            let user = self.user.as_deref().map(|user| format!(" for {user}")).unwrap_or_default();
            let id = self.id.as_deref().unwrap_or_default();
            let _ = write!(text, "\n{FAINT}decided {time:.0}{user}  {id}{FAINT:#}");
        }
        if let Some(message) = &self.message {
            let _ = write!(text, "\n{message}");
        }
        let _ = write!(text, "\n\n{STRONG}What was checked{STRONG:#}");
        for Step { number, ended, says, check } in &self.checks {
            let (style, mark, more) = match ended {
                Ended::Passed => (GOOD, "yes", ""),
                Ended::Failed => (BAD, "NO ", ""),
                Ended::NotReached => (FAINT, " - ", " (not looked at any more)"),
            };
            let _ = write!(text, "\n  {number}. {style}{mark}{style:#}  {says}{FAINT}{more}{FAINT:#}");
            if *check == Check::Policies {
                self.policies_text(&mut text, *ended);
            }
        }
        let _ = write!(text, "\n\n{STRONG}What helps{STRONG:#}\n  {}", self.help);
        if !self.change.is_empty() {
            let _ = write!(text, "\n\n{STRONG}What would have to change{STRONG:#}");
            for change in &self.change {
                let _ = write!(text, "\n  {change}");
            }
        }
        for note in &self.notes {
            let _ = write!(text, "\n\n{WARN}note:{WARN:#} {note}");
        }
        text
    }

    fn policies_text(&self, text: &mut String, ended: Ended) {
        for fired in &self.policies {
            let does = match (fired.effect, ended) {
                _ if !self.errors.is_empty() => "could not be evaluated",
                (Some(RuleEffect::Permit), _) => "permits it",
                (Some(RuleEffect::Forbid), _) => "forbids it",
                (None, Ended::Failed) => "stood against it",
                (None, _) => "decided",
            };
            let at = match (&fired.file, fired.line) {
                (Some(file), Some(line)) => format!("{file}, line {line}"),
                _ => "which is not among the policies of today".to_owned(),
            };
            let _ = write!(text, "\n          {STRONG}{}{STRONG:#} {does}  {FAINT}{at}{FAINT:#}", fired.id);
            for Condition { line, text: condition } in &fired.conditions {
                let _ = write!(text, "\n            {FAINT}line {line}:{FAINT:#} {condition}");
            }
            if let Some(says) = fired.says.as_ref().filter(|_| fired.effect == Some(RuleEffect::Forbid)) {
                let _ = write!(text, "\n            {says}");
            }
        }
        for error in &self.errors {
            let _ = write!(text, "\n          {BAD}evaluation error:{BAD:#} {error}");
        }
        if self.policies.is_empty() && self.errors.is_empty() && ended == Ended::Failed {
            text.push_str("\n          no policy permits it");
        }
    }
}

impl Fired {
    fn of(id: &str, rule: Option<&RuleText>) -> Self {
        let conditions = rule.into_iter().flat_map(|rule| &rule.conditions);
        Self {
            id: display_safe(id),
            file: rule.map(|rule| rule.file.clone()),
            line: rule.map(|rule| rule.place.line),
            effect: rule.map(|rule| rule.effect),
            keeper: rule.map(Keeper::of),
            conditions: conditions
                .map(|condition| Condition { line: condition.place.line, text: condition.text.clone() })
                .collect(),
            says: rule.and_then(|rule| rule.reason_user.clone()),
            says_to_administrators: rule.and_then(|rule| rule.reason_admin.clone()),
        }
    }

    /// Who can change it, and how.
    fn change(&self) -> String {
        let Fired { id, file, line, .. } = self;
        let (Some(file), Some(line), Some(keeper)) = (file, line, self.keeper) else {
            return format!("`{id}`, which is not among the policies of today");
        };
        let how = match keeper {
            Keeper::Shipped => "it ships: an administrator can switch its file off in `shipped.off`",
            Keeper::Administrator => "this machine's administrator can change it",
            Keeper::Own => "it is your own: change it, and run `agentauthd policy apply`",
        };
        format!("`{id}` ({file}, line {line}): {how}")
    }
}

/// What helps the person who was refused.
fn help(reason: Option<Reason>, facts: &Facts, role: Option<&str>) -> String {
    let agent = facts.agents.first().map_or_else(|| "NAME".to_owned(), |agent| display_safe(agent));
    let Some(reason) = reason else {
        return "A later version of agentauthd gave this reason; ask that one.".to_owned();
    };
    match reason {
        Reason::Granted => "Nothing is needed: it is allowed.".to_owned(),
        Reason::Locked => "Everything is paused. `agentauthd unlock` lets it go on.".to_owned(),
        Reason::Quarantined => "An administrator has locked it, and only an administrator can lift that.".to_owned(),
        Reason::AgentUnknown => {
            "Register the program as an agent: `agentauthd agent register MANIFEST --exe PATH`.".to_owned()
        }
        Reason::AgentChanged => format!(
            "If you updated the agent yourself, accept it: `agentauthd agent register --update {agent}`. If you did not, \
             find out who changed its file."
        ),
        Reason::CallerUnproven => format!(
            "Start the agent again, best with `agentauthd exec --agent {agent}`, and let it connect anew."
        ),
        Reason::NotLoggedIn | Reason::SessionExpired | Reason::SessionRevoked => {
            "Log in: `agentauthd login`.".to_owned()
        }
        Reason::SessionUnverified | Reason::Stale => {
            "Wait a moment: the daemon keeps asking the login provider. `agentauthd status` says how that goes."
                .to_owned()
        }
        Reason::NotInManifest => {
            "Nothing that you can do: the agent never said that it needs this. A new version of it, with a manifest that \
             asks for it, could."
                .to_owned()
        }
        Reason::RoleRequired => match role {
            Some(role) => format!(
                "You lack the role `{}`. Whoever administers your accounts can give it to you; log in again after that.",
                display_safe(role)
            ),
            None => "You lack a role. Whoever administers your accounts can give it to you.".to_owned(),
        },
        Reason::PolicyForbids => by_policy(facts, &agent),
        Reason::ConsentRequired => {
            "You have not allowed it yet. `agentauthd consents` shows the question that waits for your answer.".to_owned()
        }
        Reason::ConsentDenied => {
            "It was refused. `agentauthd grants` shows what refuses it, if you have changed your mind.".to_owned()
        }
        Reason::GrantExpired => {
            "What you allowed has ended. `agentauthd consents` shows the question that waits for your answer.".to_owned()
        }
        Reason::DomainForbids => {
            "The domain by which this enforcer asks does not permit it; whoever keeps the domain can change that.".to_owned()
        }
        Reason::AuditUnavailable => {
            "The decision could not be written down. `agentauthd status` says what is wrong with the record.".to_owned()
        }
    }
}

fn by_policy(facts: &Facts, agent: &str) -> String {
    if !facts.errors.is_empty() {
        return "A policy could not be evaluated, and what cannot be evaluated is not permitted. Whoever wrote it has to \
                mend it."
            .to_owned();
    }
    let terms = &facts.terms;
    match facts.remedy {
        Some(Remedy::StepUp) => {
            let class = terms.acr.as_deref().map(|acr| format!(", of the class `{}`", display_safe(acr)));
            let age = terms.max_age.map(|age| format!(" The login may be {} old at most.", words::span(age)));
            let how = match (&class, &age) {
                (None, Some(_)) => "",
                _ => " with a stronger factor",
            };
            let (class, age) = (class.unwrap_or_default(), age.unwrap_or_default());
            format!("Log in again{how}{class}: `agentauthd login`.{age}")
        }
        Some(Remedy::Consent) => {
            let how = match terms.strength {
                Some(Strength::Passkey) => " with your passkey",
                Some(Strength::Reauth) => " by signing in",
                Some(Strength::Prompt) | None => "",
            };
            format!("Confirm it{how} when you are asked; `agentauthd consents` shows what waits.")
        }
        Some(Remedy::Register) => format!(
            "The program has to be proven better: start it with `agentauthd exec --agent {agent}`, or register a compiled \
             program by its digest."
        ),
        Some(Remedy::Proof) => "The agent has to use a credential that is bound to a key.".to_owned(),
        Some(Remedy::Attestation) => "This device has to be attested.".to_owned(),
        Some(Remedy::Login | Remedy::Wait) | None => {
            "Nothing that you can do yourself. Ask your administrator whether it should be allowed, and show them what \
             stands below."
                .to_owned()
        }
    }
}

/// What would have to change for another answer.
fn change(
    reason: Option<Reason>,
    facts: &Facts,
    fired: &[Fired],
    rules: &[RuleText],
    policy: &Policy,
) -> Vec<String> {
    match reason.and_then(Check::of) {
        Some(Check::Policies) => {}
        Some(Check::Manifest) => return vec!["the agent's manifest; no policy".to_owned()],
        _ => return Vec::new(),
    }
    if fired.is_empty() && !facts.errors.is_empty() {
        return Vec::new();
    }
    if !fired.is_empty() {
        let mut lines: Vec<_> = fired.iter().map(Fired::change).collect();
        if lines.len() > 1 {
            lines.insert(0, "each of these, since any of them is enough to forbid it:".to_owned());
        }
        return lines;
    }
    let scopes = facts.failed_scope.as_ref().map_or(&*facts.scopes, std::slice::from_ref);
    let actions: BTreeSet<&str> =
        scopes.iter().map(|scope| scope.split_once(':').map_or(&**scope, |(action, _)| action)).collect();
    let concerning: BTreeSet<&str> =
        actions.into_iter().flat_map(|action| policy.concerning(action)).collect();
    let could: Vec<_> = rules
        .iter()
        .filter(|rule| rule.effect == RuleEffect::Permit && concerning.contains(&*rule.id))
        .map(|rule| format!("`{}` ({}, line {})", rule.id, rule.file, rule.place.line))
        .collect();
    match could.len() {
        0 => vec![
            "there is no policy that permits this action to anybody: one would have to be written".to_owned(),
        ],
        many => {
            let more = if many > COULD { format!(", and {} more", many - COULD) } else { String::new() };
            let named: Vec<_> = could.into_iter().take(COULD).collect();
            vec![format!(
                "one of the policies that permit this action, but not in this case: {}{more}; or another one would have \
                 to be written",
                named.join(", ")
            )]
        }
    }
}

fn shown(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| display_safe(text)).collect()
}

#[cfg(test)]
mod tests {
    use agentauth_core::policy::PolicyFile;
    use agentauth_core::policy::inspect::rules;
    use agentauth_core::{Catalogue, SignedDuration};

    use super::*;

    const POLICIES: &str = "@id(\"permit\")\npermit (principal, action, resource)\nwhen { principal in AgentAuth::Role::\"x\" };\n\
                            @id(\"no\") @reason_user(\"Not here.\")\nforbid (principal, action, resource)\nunless { context.known.greeted };";

    fn story(facts: &Facts) -> Story {
        let files = [PolicyFile { name: "a.cedar".to_owned(), text: POLICIES.to_owned(), own: true }];
        let policy = Policy::load_files(&files, &Catalogue::shipped().unwrap(), [""; 0]).unwrap();
        Story::of(facts, &rules(&files), &policy, Vec::new())
    }

    fn denied(reason: &str, policies: &[&str]) -> Facts {
        Facts {
            reason: reason.to_owned(),
            agents: vec!["files-agent".to_owned()],
            scopes: vec!["files.read:/a".to_owned()],
            policies: policies.iter().map(|&id| id.to_owned()).collect(),
            ..Facts::default()
        }
    }

    fn plain(story: &Story) -> String {
        anstream::adapter::strip_str(&story.text()).to_string()
    }

    #[test]
    fn a_deny_names_the_check_the_policy_its_line_and_the_remedy() {
        let terms = RemedyTerms { max_age: Some(SignedDuration::from_mins(15)), ..RemedyTerms::default() };
        let facts = Facts { remedy: Some(Remedy::StepUp), terms, ..denied("policy_forbids", &["no"]) };
        let text = plain(&story(&facts));
        for part in [
            "5. yes  the agent's manifest asks for it\n",
            "6. NO   the organisation's policies permit it\n",
            "no forbids it  a.cedar, line 5\n",
            "line 6: unless { context.known.greeted }\n",
            "Not here.",
            "7.  -   the person",
            "Log in again: `agentauthd login`. The login may be 15 min old at most.",
            "`no` (a.cedar, line 5): it is your own: change it, and run `agentauthd policy apply`",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
    }

    #[test]
    fn a_policy_that_failed_is_not_said_to_permit() {
        let errors = vec!["while evaluating policy `permit`: integer overflow".to_owned()];
        let told = story(&Facts { errors, ..denied("policy_forbids", &["permit"]) });
        let text = plain(&told);
        assert!(text.contains("permit could not be evaluated  a.cedar, line 2"), "{text}");
        assert!(text.contains("evaluation error: while evaluating policy `permit`: integer"), "{text}");
        assert!(
            !text.contains("permits it  ") && told.help.contains("Whoever wrote it has to mend it"),
            "{text}"
        );
    }

    #[test]
    fn where_nothing_permits_it_those_are_named_that_could() {
        let told = story(&denied("policy_forbids", &[]));
        assert!(told.change[0].contains("`permit` (a.cedar, line 2)"), "{:?}", told.change);
        assert!(plain(&told).contains("no policy permits it"));
    }

    #[test]
    fn every_reason_is_told_with_what_helps() {
        for reason in Reason::ALL {
            let story = story(&denied(reason.as_str(), &[]));
            assert_eq!(story.checks.len(), 8, "{reason}");
            assert!(story.help.ends_with('.'), "{reason}: {}", story.help);
        }
        assert!(story(&denied("unheard_of", &[])).checks.is_empty());
    }

    #[test]
    fn a_policy_that_is_gone_is_said_to_be() {
        let text = plain(&story(&denied("policy_forbids", &["gone\u{1b}[2J"])));
        assert!(
            text.contains("gone\\u{1b}[2J stood against it  which is not among the policies of today"),
            "{text}"
        );
    }
}
