//! Annotations: what a policy adds to its condition. Cedar ignores them, so they are checked here, against a closed
//! list.

use cedar_policy::Effect;

use crate::catalogue::{RiskClass, Strength};
use crate::decision::{Obligations, Remedy, RemedyTerms};
use crate::text::{display_safe_within, has_hidden};
use crate::time::SignedDuration;

/// What the annotations of one policy say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Annotations {
    /// The policy's name.
    pub(super) id: Option<String>,
    /// The role that the user lacks when this forbids.
    pub(super) role: Option<String>,
    /// What would help when this forbids.
    pub(super) remedy: Option<Remedy>,
    /// What exactly that takes.
    pub(super) terms: RemedyTerms,
    /// What to tell the person.
    pub(super) reason_user: Option<String>,
    /// What to tell the administrator.
    pub(super) reason_admin: Option<String>,
    /// What this permit demands.
    pub(super) obligations: Obligations,
    /// Whether this permit permits nothing by itself: it only adds its demands to what others permit.
    pub(super) limits_only: bool,
    /// What this permit grants without asking anybody.
    pub(super) preapprove: Option<Preapprove>,
}

/// What a permit grants without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preapprove {
    /// What is of no high risk.
    Ordinary,
    /// Whatever it permits.
    HighRisk,
}

impl Preapprove {
    /// The annotation.
    pub(super) const KEY: &str = "preapprove";

    /// Whether it grants something of this risk.
    pub(super) fn grants(self, risk: RiskClass) -> bool {
        self == Self::HighRisk || !risk.is_high()
    }
}

impl Annotations {
    /// Reads the annotations of one policy; the second part is everything that is wrong with them, each with its key.
    pub(super) fn read<'a>(
        effect: Effect,
        written: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> (Self, Vec<(String, String)>) {
        let mut annotations = Self::default();
        let mut faults = Vec::new();
        let mut fault = |key: &str, what: String| {
            faults.push((key.to_owned(), format!("@{}: {what}", display_safe_within(key, 40))))
        };
        let mut terms = Vec::new();
        for (key, value) in written {
            if matches!(key, "acr" | "max_age" | "strength") {
                terms.push(key);
            }
            if let Err(what) = annotations.take(effect, key, value) {
                fault(key, what);
            }
        }
        // A term that belongs to no remedy would never be told.
        for key in terms {
            let (fits, wanted) = match key {
                "strength" => (annotations.remedy == Some(Remedy::Consent), "consent"),
                _ => (annotations.remedy == Some(Remedy::StepUp), "step_up"),
            };
            if !fits {
                fault(key, format!("it only means something beside `@remedy(\"{wanted}\")`"));
            }
        }
        if annotations.limits_only && annotations.obligations == Obligations::default() {
            fault(
                "limits_only",
                "it only means something beside `max_lifetime` or `require_proof`".to_owned(),
            );
        }
        if annotations.limits_only && annotations.preapprove.is_some() {
            fault(
                Preapprove::KEY,
                "it means nothing on a policy that only limits: grant by one of its own".to_owned(),
            );
        }
        (annotations, faults)
    }

    fn take(&mut self, effect: Effect, key: &str, value: &str) -> Result<(), String> {
        let only = |wanted: Effect, word: &str| {
            if effect == wanted { Ok(()) } else { Err(format!("it only means something on `{word}`")) }
        };
        match key {
            "id" => {
                let fits = (1..=128).contains(&value.len())
                    && value
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
                if !fits {
                    return Err(format!(
                        "`{}` is not 1 to 128 letters, digits, `.`, `_` and `-`",
                        display_safe_within(value, 60)
                    ));
                }
                self.id = Some(value.to_owned());
            }
            "role" => {
                only(Effect::Forbid, "forbid")?;
                self.role = Some(sentence(value, 128)?);
            }
            "remedy" => {
                only(Effect::Forbid, "forbid")?;
                self.remedy = Some(match value {
                    "step_up" => Remedy::StepUp,
                    "proof" => Remedy::Proof,
                    "attestation" => Remedy::Attestation,
                    "consent" => Remedy::Consent,
                    "register" => Remedy::Register,
                    other => {
                        return Err(format!(
                            "`{}` is none of `step_up`, `proof`, `attestation`, `consent`, `register`",
                            display_safe_within(other, 40)
                        ));
                    }
                });
            }
            "acr" => {
                only(Effect::Forbid, "forbid")?;
                self.terms.acr = Some(sentence(value, 255)?.into());
            }
            "max_age" => {
                only(Effect::Forbid, "forbid")?;
                self.terms.max_age = Some(duration(value)?);
            }
            "strength" => {
                only(Effect::Forbid, "forbid")?;
                self.terms.strength = Some(Strength::from_word(value).ok_or_else(|| {
                    format!("`{}` is none of `prompt`, `passkey`, `reauth`", display_safe_within(value, 40))
                })?);
            }
            "reason_user" => self.reason_user = Some(sentence(value, 300)?),
            "reason_admin" => self.reason_admin = Some(sentence(value, 300)?),
            "max_lifetime" => {
                only(Effect::Permit, "permit")?;
                self.obligations.max_lifetime = Some(duration(value)?);
            }
            "require_proof" => {
                only(Effect::Permit, "permit")?;
                self.obligations.require_proof = match value {
                    "" | "true" => true,
                    "false" => false,
                    other => {
                        return Err(format!(
                            "`{}` is neither `true` nor `false`",
                            display_safe_within(other, 40)
                        ));
                    }
                };
            }
            "limits_only" => {
                only(Effect::Permit, "permit")?;
                if !value.is_empty() {
                    return Err(format!(
                        "`{}` means nothing here: write it without a value",
                        display_safe_within(value, 40)
                    ));
                }
                self.limits_only = true;
            }
            Preapprove::KEY => {
                only(Effect::Permit, "permit")?;
                self.preapprove = Some(match value {
                    "" => Preapprove::Ordinary,
                    "high_risk" => Preapprove::HighRisk,
                    other => {
                        return Err(format!(
                            "`{}` is not `high_risk`: write `@preapprove`, or `@preapprove(\"high_risk\")` where it is \
                             to grant what is of high risk, too",
                            display_safe_within(other, 40)
                        ));
                    }
                });
            }
            _ => {
                return Err(
                    "there is no such annotation: use `id`, `role`, `remedy`, `acr`, `max_age`, `strength`, \
                            `reason_user`, `reason_admin`, `max_lifetime`, `require_proof`, `limits_only` or \
                            `preapprove`"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }
}

fn duration(value: &str) -> Result<SignedDuration, String> {
    let duration = value.parse::<SignedDuration>().ok().filter(SignedDuration::is_positive);
    duration.ok_or_else(|| format!("`{}` is not a duration such as `PT5M`", display_safe_within(value, 40)))
}

fn sentence(value: &str, limit: usize) -> Result<String, String> {
    if value.trim().is_empty() {
        Err("it is empty".to_owned())
    } else if value.chars().count() > limit {
        Err(format!("it is longer than {limit} characters"))
    } else if has_hidden(value) {
        Err("it contains a character that cannot be seen".to_owned())
    } else {
        Ok(value.to_owned())
    }
}
