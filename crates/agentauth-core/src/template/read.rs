//! Reading a template: every fault at once, each with its place, or the whole template.

mod faults;
mod hours;
mod walk;

pub use faults::{MAX_FAULTS, TemplateFault, TemplateFaultCode, TemplateFaults};

use std::collections::BTreeSet;

use super::{Condition, Effect, MAX_RULES, MAX_TEMPLATE_BYTES, Os, Proven, Risk, Rule, Template};
use crate::agents::Assurance;
use crate::canonical::sha256_hex;
use crate::catalogue::{RiskClass, Strength};
use crate::json::Node;
use crate::policy::Place;
use crate::signals::Signal;
use crate::text::display_safe_within;
use faults::{Faults, TemplateFaultCode as Code};
use walk::At;

/// The longest name of a template, and of a rule. Together with the longest suffix they fit into a policy's `@id`.
const LONGEST_ID: usize = 64;
const LONGEST_RULE_ID: usize = 40;
/// The longest subject, address, role, permission, tenant and the like, in characters.
const LONGEST_NAME: usize = 256;
/// A year, in minutes.
const LONGEST_MINUTES: u32 = 525_600;

/// See [`Template::parse`].
pub(super) fn template(json: &[u8]) -> Result<Template, TemplateFaults> {
    let whole = |code, place, reason| {
        Err(TemplateFaults(vec![TemplateFault { path: String::new(), place, code, reason }]))
    };
    if json.len() > MAX_TEMPLATE_BYTES {
        let reason = format!("the template is longer than {MAX_TEMPLATE_BYTES} bytes");
        return whole(Code::TooLong, None, reason);
    }
    let text = match std::str::from_utf8(json) {
        Ok(text) => text,
        Err(error) => {
            let reason =
                format!("the template is not JSON: its byte {} is not UTF-8", error.valid_up_to() + 1);
            return whole(Code::NotJson, None, reason);
        }
    };
    let node = match serde_json::from_str::<Node>(text) {
        Ok(node) => node,
        Err(error) => {
            let lines = text.split_inclusive('\n').take(error.line().saturating_sub(1));
            let at = lines.map(str::len).sum::<usize>() + error.column().saturating_sub(1);
            let reason =
                format!("the template is not JSON: {}", display_safe_within(&error.to_string(), 200));
            return whole(Code::NotJson, Some(Place::of(text, at..at + 1)), reason);
        }
    };
    let mut reader = Reader { faults: Faults::of(text) };
    let read = reader.template(node, json);
    reader.faults.or(read)
}

/// What is wrong, as far as the reading has come.
struct Reader<'t> {
    faults: Faults<'t>,
}

impl Reader<'_> {
    /// Nothing only where a fault was noted; so everywhere here.
    fn template(&mut self, node: Node, json: &[u8]) -> Option<Template> {
        let known = ["$schema", "policyId", "name", "description", "rules"];
        let mut members = self.members(At::default(), node, &known)?;
        // Which schema an editor holds it against.
        self.optional_text(&mut members, "$schema", 300);
        let id =
            self.required(&mut members, "policyId").and_then(|(at, node)| self.id(&at, node, LONGEST_ID));
        let name = self.optional_text(&mut members, "name", 100);
        let description = self.optional_text(&mut members, "description", 1000);
        let rules = self.required(&mut members, "rules").and_then(|(at, node)| self.rules(&at, node));
        let (id, rules) = (id?, rules?);
        let mut template = Template {
            id,
            name,
            description,
            rules: Vec::with_capacity(rules.len()),
            digest: sha256_hex(json),
        };
        let mut taken = BTreeSet::new();
        for (at, rule) in rules {
            let repeated: Vec<_> =
                rule.policy_ids(&template.id).filter(|id| !taken.insert(id.clone())).collect();
            if let Some(id) = repeated.first() {
                let reason =
                    format!("would have a policy `{id}`, as an earlier rule has: give it another `id`");
                self.faults.add(&at, Code::RepeatedId, reason);
            }
            template.rules.push(rule);
        }
        Some(template)
    }

    /// The rules, each with its place.
    fn rules(&mut self, at: &At, node: Node) -> Option<Vec<(At, Rule)>> {
        let list = match node {
            Node::List(list) => list,
            other => return self.wrong_type(at, &other, "a list"),
        };
        if list.is_empty() {
            return self.faults.refuse(at, Code::Empty, "is empty: a template has at least one rule");
        }
        if list.len() > MAX_RULES {
            let reason = format!("has {} entries: at most {MAX_RULES} are read", list.len());
            return self.faults.refuse(at, Code::TooLong, reason);
        }
        let count = list.len();
        let read = list.into_iter().enumerate().filter_map(|(position, node)| {
            let at = at.element(position);
            self.rule(&at, position, node).map(|rule| (at, rule))
        });
        let rules: Vec<_> = read.collect();
        (rules.len() == count).then_some(rules)
    }

    fn rule(&mut self, at: &At, position: usize, node: Node) -> Option<Rule> {
        let text = node.to_string();
        let known = ["id", "if", "unless", "then", "reasonUser", "reasonAdmin"];
        let mut members = self.members(at.clone(), node, &known)?;
        let id = match members.take("id") {
            Some((at, node)) => self.id(&at, node, LONGEST_RULE_ID),
            None => Some(format!("r{}", position + 1)),
        };
        let when = self.required(&mut members, "if").and_then(|(at, node)| self.conditions(at, node));
        let unless = match members.take("unless") {
            Some((at, node)) => self.exceptions(&at, node),
            None => Some(Vec::new()),
        };
        let then = self.required(&mut members, "then");
        let effects = then.and_then(|(at, node)| self.effects(at, node, when.as_deref()));
        let reason_user = self.optional_text(&mut members, "reasonUser", 300);
        let reason_admin = self.optional_text(&mut members, "reasonAdmin", 300);
        Some(Rule {
            id: id?,
            when: when?,
            unless: unless?,
            effects: effects?,
            reason_user,
            reason_admin,
            text,
        })
    }

    /// One list of conditions, or several of which one is enough.
    fn exceptions(&mut self, at: &At, node: Node) -> Option<Vec<Vec<Condition>>> {
        let list = match node {
            Node::List(list) => list,
            one => return self.conditions(at.clone(), one).map(|one| vec![one]),
        };
        let elements = self.entries(at, list)?;
        let count = elements.len();
        let read = elements.into_iter().filter_map(|(at, node)| self.conditions(at, node));
        let read: Vec<_> = read.collect();
        (read.len() == count).then_some(read)
    }

    /// Conditions of which all must hold.
    fn conditions(&mut self, at: At, node: Node) -> Option<Vec<Condition>> {
        let known = [
            "requestedScope",
            "agent",
            "agent.publisher",
            "user",
            "user.email",
            "user.role",
            "user.permission",
            "user.tenant",
            "risk",
            "assurance",
            "device.os",
            "device.managed",
            "device.attested",
            "resource.label",
            "timeOfDay",
            "signals",
        ];
        let before = self.faults.count();
        let members = self.members(at.clone(), node, &known)?;
        if members.is_empty() {
            if self.faults.count() == before {
                let reason =
                    "is empty: name at least one condition, for everything `\"requestedScope\": \"*\"`";
                self.faults.add(&at, Code::Empty, reason);
            }
            return None;
        }
        let count = members.len();
        let read = members.into_iter().filter_map(|(name, at, node)| self.condition(name, &at, node));
        let read: Vec<_> = read.collect();
        (read.len() == count).then_some(read)
    }

    fn condition(&mut self, name: &str, at: &At, node: Node) -> Option<Condition> {
        let systems = ["linux", "macos", "windows", "unmanaged"];
        Some(match name {
            "requestedScope" => Condition::Scope(self.any_of(at, node, |reader, at, text| {
                text.parse()
                    .map_err(|fault| {
                        reader.faults.add(at, Code::BadScope, format!("cannot be used: {fault}"))
                    })
                    .ok()
            })?),
            "agent" => Condition::Agent(self.names(at, node)?),
            "agent.publisher" => Condition::Publisher(self.names(at, node)?),
            "user" => Condition::User(self.names(at, node)?),
            "user.email" => Condition::Email(self.any_of(at, node, Self::address)?),
            "user.role" => Condition::Role(self.names(at, node)?),
            "user.permission" => Condition::Permission(self.names(at, node)?),
            "user.tenant" => Condition::Tenant(self.names(at, node)?),
            "risk" => {
                let words = RiskClass::ALL.map(|risk| (risk.as_str(), Risk::Class(risk)));
                let words: Vec<_> = words.into_iter().chain([("high", Risk::High)]).collect();
                Condition::Risk(self.any_of(at, node, |reader, at, text| reader.word(at, text, &words))?)
            }
            "assurance" => Condition::Assurance(self.proven(at, node)?),
            "device.os" => {
                let words = systems.map(|word| match word {
                    "unmanaged" => (word, Os::Unmanaged),
                    system => (word, Os::Named(system)),
                });
                Condition::Os(self.any_of(at, node, |reader, at, text| reader.word(at, text, &words))?)
            }
            "device.managed" => Condition::Managed(self.boolean(at, &node)?),
            "device.attested" => Condition::Attested(self.boolean(at, &node)?),
            "resource.label" => Condition::Label(self.any_of(at, node, Self::label)?),
            "timeOfDay" => Condition::Time(self.hours(at, node)?),
            _ => {
                let words = Signal::ALL.map(|signal| (signal.as_str(), signal));
                Condition::Signals(self.any_of(at, node, |reader, at, text| reader.word(at, text, &words))?)
            }
        })
    }

    fn proven(&mut self, at: &At, node: Node) -> Option<Proven> {
        if !matches!(node, Node::Object(_)) {
            let read = |reader: &mut Self, at: &At, text: String| reader.word(at, text, &assurances());
            return self.any_of(at, node, read).map(Proven::OneOf);
        }
        let mut members = self.members(at.clone(), node, &["below", "atLeast"])?;
        let below = members.take("below").map(|found| self.assurance(found));
        let at_least = members.take("atLeast").map(|found| self.assurance(found));
        match (below, at_least) {
            (Some(below), None) => below.map(Proven::Below),
            (None, Some(at_least)) => at_least.map(Proven::AtLeast),
            (None, None) => self.faults.refuse(at, Code::Missing, "has neither `below` nor `atLeast`"),
            _ => {
                self.faults.refuse(at, Code::Contradiction, "has both `below` and `atLeast`: use one of them")
            }
        }
    }

    fn assurance(&mut self, (at, node): (At, Node)) -> Option<Assurance> {
        let text = self.text(&at, node, LONGEST_NAME)?;
        self.word(&at, text, &assurances())
    }

    /// What a rule does. `when`: where it applies, if that could be read.
    fn effects(&mut self, at: At, node: Node, when: Option<&[Condition]>) -> Option<Vec<Effect>> {
        let known = [
            "deny",
            "require",
            "requireRole",
            "maxLifetimeMinutes",
            "stepUp",
            "consentStrength",
            "assuranceFloor",
            "preapprove",
        ];
        let before = self.faults.count();
        let members = self.members(at.clone(), node, &known)?;
        if members.is_empty() {
            if self.faults.count() == before {
                self.faults.add(&at, Code::Empty, "is empty: name at least one effect");
            }
            return None;
        }
        let mut effects = Vec::new();
        for (name, at, node) in members {
            if let Some(read) = self.effect(name, &at, node) {
                effects.extend(read);
            }
        }
        if effects.contains(&Effect::Deny) && effects.len() > 1 {
            let reason = "has `deny` beside other effects, which would never count: keep one of the two";
            self.faults.add(&at, Code::Contradiction, reason);
        }
        let preapproves = effects.iter().any(|effect| matches!(effect, Effect::Preapprove { .. }));
        if preapproves && effects.iter().any(|effect| matches!(effect, Effect::Consent(_))) {
            let reason = "has `preapprove` beside `consentStrength`, which demands the very answer that is not asked for: \
                          keep one of the two";
            self.faults.add(&at, Code::Contradiction, reason);
        }
        let names_scope = |when: &[Condition]| when.iter().any(|one| matches!(one, Condition::Scope(_)));
        if preapproves && !when.is_none_or(names_scope) {
            let reason = "has `preapprove`, so `if` has to say of which `requestedScope`";
            self.faults.add(&at, Code::Missing, reason);
        }
        (self.faults.count() == before).then_some(effects)
    }

    fn effect(&mut self, name: &str, at: &At, node: Node) -> Option<Vec<Effect>> {
        let one = match name {
            "deny" => self.only_true(at, &node).map(|()| Effect::Deny),
            "require" => {
                let words = [
                    ("poP", Effect::RequireProof),
                    ("attestation", Effect::RequireAttestation),
                    ("managedDevice", Effect::RequireManaged),
                    ("untampered", Effect::RequireUntampered),
                ];
                return self.any_of(at, node, |reader, at, text| reader.word(at, text, &words));
            }
            "requireRole" => self.text(at, node, 128).map(Effect::RequireRole),
            "maxLifetimeMinutes" => self.minutes(at, &node).map(Effect::MaxLifetime),
            "stepUp" => self.step_up(at, node),
            "consentStrength" => {
                let words = Strength::ALL.map(|one| (one.as_str(), one));
                let text = self.text(at, node, LONGEST_NAME)?;
                self.word(at, text, &words).map(Effect::Consent)
            }
            "assuranceFloor" => self.assurance((at.clone(), node)).map(Effect::Floor),
            _ => match node {
                Node::Text(text) => {
                    let words = [("highRisk", Effect::Preapprove { high_risk: true })];
                    self.word(at, text, &words)
                }
                other => self.only_true(at, &other).map(|()| Effect::Preapprove { high_risk: false }),
            },
        };
        one.map(|one| vec![one])
    }

    fn step_up(&mut self, at: &At, node: Node) -> Option<Effect> {
        if !matches!(node, Node::Object(_)) {
            return self.only_true(at, &node).map(|()| Effect::StepUp { acr: None, max_age: None });
        }
        let before = self.faults.count();
        let mut members = self.members(at.clone(), node, &["acr", "maxAgeMinutes"])?;
        let acr = self.optional_text(&mut members, "acr", 255);
        let max_age = members.take("maxAgeMinutes").and_then(|(at, node)| self.minutes(&at, &node));
        if self.faults.count() > before {
            return None;
        }
        if acr.is_none() && max_age.is_none() {
            let reason = "is empty: name `acr`, `maxAgeMinutes`, or both, or write `true`";
            return self.faults.refuse(at, Code::Empty, reason);
        }
        Some(Effect::StepUp { acr, max_age })
    }

    fn minutes(&mut self, at: &At, node: &Node) -> Option<u32> {
        let Node::Number(number) = node else { return self.wrong_type(at, node, "a number of minutes") };
        let whole = number.fract() == 0.0 && (1.0..=f64::from(LONGEST_MINUTES)).contains(number);
        if !whole {
            let reason = format!("is {number}: whole minutes from 1 to {LONGEST_MINUTES} (a year) are read");
            return self.faults.refuse(at, Code::BadValue, reason);
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and in range, as shown above"
        )]
        let minutes = *number as u32;
        Some(minutes)
    }

    /// A name of the template's or a rule's.
    fn id(&mut self, at: &At, node: Node, longest: usize) -> Option<String> {
        let text = self.text(at, node, LONGEST_NAME)?;
        let fits = text.len() <= longest
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if fits {
            return Some(text);
        }
        let shown = display_safe_within(&text, 60);
        let reason = format!(
            "is `{shown}`: use ASCII letters, digits, `_` and `-`, starting with a letter or digit, at most {longest}"
        );
        self.faults.refuse(at, Code::BadName, reason)
    }

    fn address(&mut self, at: &At, text: String) -> Option<String> {
        let text = self.visible(at, text, LONGEST_NAME)?;
        let rest = text.strip_prefix("*@").unwrap_or(&text);
        if rest.is_empty() || rest.contains('*') {
            let shown = display_safe_within(&text, 60);
            let reason =
                format!("is `{shown}`: write a whole address, or `*@example.com` for all of a domain");
            return self.faults.refuse(at, Code::BadValue, reason);
        }
        Some(text)
    }

    fn label(&mut self, at: &At, text: String) -> Option<String> {
        if crate::catalogue::is_label(&text) {
            return Some(text);
        }
        let shown = display_safe_within(&text, 60);
        let reason = format!("is `{shown}`: a label is 1 to 64 lower-case letters, digits, `_` and `-`");
        self.faults.refuse(at, Code::BadName, reason)
    }

    fn names(&mut self, at: &At, node: Node) -> Option<Vec<String>> {
        self.any_of(at, node, |reader, at, text| reader.visible(at, text, LONGEST_NAME))
    }
}

fn assurances() -> [(&'static str, Assurance); 3] {
    [Assurance::Path, Assurance::Pinned, Assurance::Launched].map(|assurance| (assurance.as_str(), assurance))
}
