//! A template as Cedar: one policy for each effect of each rule.
//!
//! What takes away becomes a `forbid`, whose `unless` is what Cedar enforces and whose annotations say what would help.
//! A lifetime limits what others permit, so its `permit` bears `@limits_only`: it permits nothing that nobody else does.

mod conditions;

use std::fmt::Write as _;

use super::{Effect, LIMIT, Rule, Sense, Template};
use crate::agents::Assurance;
use crate::catalogue::Strength;
use crate::grant::GrantStrength;
use crate::text::display_safe_within;
use conditions::{Head, all_of, holds};

/// The width of the comments, in characters.
const WIDTH: usize = 116;

/// See [`Template::to_cedar`].
pub(super) fn text(template: &Template, source: &str) -> String {
    let file = display_safe_within(source, 200);
    let mut text = String::new();
    let called = template.name.as_deref().unwrap_or(&template.id);
    comment(&mut text, called);
    if let Some(description) = &template.description {
        text.push_str("//\n");
        comment(&mut text, description);
    }
    text.push_str("//\n");
    comment(
        &mut text,
        &format!(
            "Imported from the policy template `{}` in {file} by `agentauthd policy import`: change that file and import it \
             anew, since what is changed here is lost then.",
            template.id
        ),
    );
    comment(&mut text, &format!("SHA-256 of the template: {}", template.digest));
    for (position, rule) in template.rules.iter().enumerate() {
        text.push('\n');
        comment(&mut text, &format!("Rule {} of {file} (`/rules/{position}`):", position + 1));
        comment(&mut text, &rule.text);
        for policy in policies(template, rule) {
            text.push('\n');
            policy.write(&mut text);
        }
    }
    text
}

/// One policy, as it is written.
struct Written {
    id: String,
    permit: bool,
    annotations: Vec<String>,
    /// The one agent that it is about.
    agent: Option<String>,
    head: Head,
    /// Each of these is a clause of its own.
    clauses: Vec<(&'static str, String)>,
}

/// The policies of one rule.
fn policies(template: &Template, rule: &Rule) -> Vec<Written> {
    let mut written: Vec<Written> =
        rule.effects.iter().filter_map(|effect| policy(template, rule, effect)).collect();
    written.extend(limit(template, rule));
    written
}

/// The policy of one effect; nothing for what [`limit`] says.
fn policy(template: &Template, rule: &Rule, effect: &Effect) -> Option<Written> {
    let forbid = |terms: Vec<String>, reason: &str, demand: Option<String>| {
        let mut policy = Written::new(template, rule, effect.suffix(), Sense::Reaching);
        policy.annotations.extend(terms);
        policy.reasons(template, rule, reason);
        policy.clauses.extend(demand.map(|demand| ("unless", demand)));
        policy
    };
    let remedy = |word: &str| format!("@remedy({})", quoted(word));
    let called = display_safe_within(template.name.as_deref().unwrap_or(&template.id), 100);
    Some(match effect {
        Effect::Deny => forbid(Vec::new(), &format!("“{called}” does not allow this."), None),
        Effect::RequireProof => forbid(
            vec![remedy("proof")],
            &format!("“{called}” allows this only to a program that proves to hold a key."),
            Some("context.known.proof".to_owned()),
        ),
        Effect::RequireAttestation => forbid(
            vec![remedy("attestation")],
            &format!("“{called}” allows this only on a device that has proven what it is."),
            Some("context.known.device.attested".to_owned()),
        ),
        Effect::RequireManaged => forbid(
            Vec::new(),
            &format!("“{called}” allows this only on a machine that an administrator looks after."),
            Some("context.known.device.managed".to_owned()),
        ),
        Effect::RequireUntampered => forbid(
            Vec::new(),
            &format!("“{called}” does not allow this to a program that may carry other code."),
            Some("!context.known.tampered".to_owned()),
        ),
        Effect::RequireRole(role) => forbid(
            vec![format!("@role({})", quoted(role))],
            &format!("“{called}” allows this only to users with the role `{role}`."),
            Some(format!("principal in AgentAuth::Role::{}", quoted(role))),
        ),
        Effect::StepUp { acr, max_age } => {
            let mut terms = vec![remedy("step_up")];
            terms.extend(acr.as_deref().map(|acr| format!("@acr({})", quoted(acr))));
            terms.extend(max_age.map(|minutes| format!("@max_age({})", quoted(&format!("PT{minutes}M")))));
            forbid(
                terms,
                &format!("“{called}” wants you to sign in for this more strongly, or anew."),
                Some(stepped_up(acr.as_deref(), *max_age)),
            )
        }
        Effect::Consent(strength) => {
            let how = match strength {
                Strength::Prompt => "have allowed this yourself",
                Strength::Passkey => "confirm this with a passkey, or by signing in",
                Strength::Reauth => "confirm this by signing in",
            };
            let level = GrantStrength::from(*strength).level();
            forbid(
                vec![remedy("consent"), format!("@strength({})", quoted(strength.as_str()))],
                &format!("“{called}” wants you to {how}."),
                Some(format!("context.known.grant_strength_level >= {level}")),
            )
        }
        Effect::Floor(floor) => forbid(
            vec![remedy("register")],
            &format!("“{called}” allows this only to a program that is better proven ({floor})."),
            Some(at_least(*floor)),
        ),
        Effect::Preapprove { high_risk } => {
            let mut policy = Written::new(template, rule, effect.suffix(), Sense::Within);
            policy.permit = true;
            let annotation = if *high_risk { "@preapprove(\"high_risk\")" } else { "@preapprove" };
            policy.annotations.push(annotation.to_owned());
            policy
        }
        Effect::MaxLifetime(_) => return None,
    })
}

/// What the rule says of a credential that is made of an allow, in one policy that permits nothing by itself.
fn limit(template: &Template, rule: &Rule) -> Option<Written> {
    let lifetime = rule.effects.iter().find_map(|effect| match effect {
        Effect::MaxLifetime(minutes) => Some(format!("@max_lifetime({})", quoted(&format!("PT{minutes}M")))),
        _ => None,
    });
    let proof = rule.effects.contains(&Effect::RequireProof).then(|| "@require_proof".to_owned());
    if lifetime.is_none() && proof.is_none() {
        return None;
    }
    let mut policy = Written::new(template, rule, LIMIT, Sense::Reaching);
    policy.permit = true;
    policy.annotations.push("@limits_only".to_owned());
    policy.annotations.extend(lifetime.into_iter().chain(proof));
    Some(policy)
}

/// When a login is strong enough.
fn stepped_up(acr: Option<&str>, max_age: Option<u32>) -> String {
    let class = acr.map(|acr| format!("context.known has acr && context.known.acr == {}", quoted(acr)));
    let age = max_age.map(|minutes| format!("context.known.auth_age <= {}", u64::from(minutes) * 60));
    let demands: Vec<_> = class.into_iter().chain(age).collect();
    if demands.is_empty() { "principal.user.stepped_up".to_owned() } else { demands.join(" && ") }
}

/// Whether the caller is proven so well.
fn at_least(floor: Assurance) -> String {
    format!("context.known.assurance_level >= {}", floor as u8)
}

impl Written {
    /// A policy where the rule applies; `sense` says how its scopes are read there.
    fn new(template: &Template, rule: &Rule, suffix: &str, sense: Sense) -> Self {
        let head = conditions::head(&rule.when);
        let when: Vec<_> =
            rule.when.iter().filter_map(|condition| holds(condition, sense, Some(&head))).collect();
        let when = (!when.is_empty()).then(|| ("when", all_of(&when)));
        let unless = rule.unless.iter().map(|exception| {
            let parts: Vec<_> =
                exception.iter().filter_map(|condition| holds(condition, sense.other(), None)).collect();
            // What always holds needs no words elsewhere.
            ("unless", if parts.is_empty() { "true".to_owned() } else { all_of(&parts) })
        });
        Self {
            id: format!("{}.{}{suffix}", template.id, rule.id),
            permit: false,
            annotations: Vec::new(),
            agent: conditions::agent(&rule.when).map(str::to_owned),
            head,
            clauses: when.into_iter().chain(unless).collect(),
        }
    }

    fn reasons(&mut self, template: &Template, rule: &Rule, reason: &str) {
        let user = rule.reason_user.as_deref().unwrap_or(reason);
        self.annotations.push(format!("@reason_user({})", quoted(user)));
        let admin = rule.reason_admin.clone().unwrap_or_else(|| {
            format!("Rule `{}` of the policy template `{}` does not allow it.", rule.id, template.id)
        });
        self.annotations.push(format!("@reason_admin({})", quoted(&admin)));
    }

    fn write(&self, text: &mut String) {
        // Writing to a `String` does not fail, here and below.
        let _ = writeln!(text, "@id({})", quoted(&self.id));
        for annotation in &self.annotations {
            let _ = writeln!(text, "{annotation}");
        }
        let effect = if self.permit { "permit" } else { "forbid" };
        let agent = self
            .agent
            .as_deref()
            .map_or_else(String::new, |agent| format!(" == AgentAuth::Agent::{}", quoted(agent)));
        let _ = write!(text, "{effect} (\n  principal{agent},\n  {},\n  resource\n)", self.head);
        for (word, clause) in &self.clauses {
            let _ = if clause.contains('\n') {
                write!(text, "\n{word} {{\n  {}\n}}", clause.replace('\n', "\n  "))
            } else {
                write!(text, "\n{word} {{ {clause} }}")
            };
        }
        text.push_str(";\n");
    }
}

impl Sense {
    fn other(self) -> Self {
        match self {
            Self::Reaching => Self::Within,
            Self::Within => Self::Reaching,
        }
    }
}

/// A text as Cedar writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes a text as comments, wrapped at spaces. Nothing in it ends a line.
fn comment(text: &mut String, said: &str) {
    let mut line = String::new();
    for word in display_safe_within(said, usize::MAX).split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "// {line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "// {line}");
}
