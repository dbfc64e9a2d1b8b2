//! An operation that widens rights in plain words, as the person reads it before confirming.

use super::Widening;
use crate::own_rules::RuleChange;
use crate::text::{display_safe, display_safe_within};

impl Widening {
    /// What is to be done, in plain words, a line each. Safe to show.
    #[must_use]
    pub fn says(&self) -> Vec<String> {
        let safe = |text: &str| display_safe_within(text, 64);
        match self {
            Self::SwitchAccount { from, to } => vec![
                "Hand this installation over to another account".to_owned(),
                format!("From: {} at {}", safe(&from.subject), display_safe(&from.issuer)),
                format!("To: {} at {}", safe(&to.subject), display_safe(&to.issuer)),
            ],
            Self::RegisterAgent { registration, replaces, .. } => {
                let (manifest, selectors) = (&registration.manifest, &registration.selectors);
                let mut lines = vec![
                    format!("Register the agent {} {}", safe(&manifest.name), safe(&manifest.version)),
                    format!("Program: {}", display_safe(&selectors.executable)),
                ];
                lines.extend(selectors.script.as_deref().map(|it| format!("Script: {}", display_safe(it))));
                lines.extend(
                    manifest
                        .scopes
                        .iter()
                        .map(|it| format!("May ask for: {}", display_safe(it.scope.as_str()))),
                );
                lines.extend(
                    registration
                        .enforcer
                        .as_deref()
                        .map(|it| format!("May ask about others, by the domain: {}", safe(it))),
                );
                lines.extend(
                    replaces.as_ref().map(|_| "It takes the place of its registration so far".to_owned()),
                );
                lines
            }
            Self::GiveMandate { agent, draft, .. } => {
                let mut lines =
                    vec![format!("Allow something to the agent {}, with nobody watching", safe(agent))];
                lines.extend(draft.scopes.iter().map(|it| format!("Allow: {}", display_safe(it.as_str()))));
                lines.extend(draft.window.as_ref().map(|window| format!("When: {window}")));
                lines.extend(draft.uses.map(|uses| format!("How often: {uses} times")));
                lines.push(format!("Until: {}", draft.until));
                lines
            }
            Self::ConfirmGrants { grants, .. } => vec![
                "Confirm that what you allowed for long counts on".to_owned(),
                format!("Grants: {}", grants.len()),
            ],
            Self::RemoveAgent { agent, .. } => vec![
                format!("Remove the agent {}", safe(agent)),
                "Its programs count as your own from then on".to_owned(),
            ],
            Self::Approve { agent, scopes, action, .. } => {
                let mut lines = vec![format!("Allow something to the agent {}", safe(agent))];
                lines.extend(scopes.iter().map(|(scope, choice)| {
                    format!("Allow {}: {}", choice.says(), display_safe_within(scope.as_str(), usize::MAX))
                }));
                lines.extend(
                    action.as_ref().map(|_| "Only for the action that the question shows".to_owned()),
                );
                lines
            }
            Self::ApplyRules { changes, .. } => {
                let mut lines = vec!["Let your own files count as they are now".to_owned()];
                lines.extend(changes.iter().map(RuleChange::says));
                lines
            }
            Self::Unlock { .. } => {
                vec!["End the pause: agents may do again what they were allowed before".to_owned()]
            }
            Self::Launch { launch, .. } => vec![
                format!("Start the agent {}", safe(&launch.agent)),
                format!("Its program has the SHA-256 {}", safe(&launch.executable_sha256)),
                if launch.confined { "Confined" } else { "Without confinement" }.to_owned(),
            ],
            Self::AddPasskey { name, .. } => vec![
                format!("Add the passkey \u{201c}{}\u{201d}", safe(name)),
                "It can confirm from then on what agents ask for, in place of a sign-in".to_owned(),
            ],
        }
    }
}
