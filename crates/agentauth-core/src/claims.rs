//! What a token says, read strictly and judged against what we expect: duplicate-free JSON, compact JWS parts, the
//! choice of the key, session tokens, access tokens, ID tokens, and the rights that the claims carry.
//!
//! Architecture invariant: nothing here verifies a signature, fetches a key or reads a clock. The network crate
//! verifies with the key that [`choose_key`] names and then asks this module what the payload is worth at a given
//! instant. Nothing here may be used on a payload whose signature was not verified, except to choose a configuration.

mod access_token;
mod facts;
mod id_token;
mod jws;
mod keys;
mod place;
mod read;
mod refusal;
mod rights;
mod session_token;
mod strict;
#[cfg(test)]
mod tests;

pub use access_token::{AccessTokenExpectation, judge_access_token};
pub use facts::{FactPlaces, SessionFrame};
pub use id_token::{
    Dialect, IdTokenClaims, IdTokenExpectation, OriginalLogin, access_token_hash, judge_id_token,
    judge_userinfo,
};
pub use jws::{JwsHeader, MAX_TOKEN_BYTES, split_jws};
pub use keys::{ALLOWED_ALGORITHMS, KeyFacts, KeyRefusal, choose_key, choose_only_key};
pub use place::{ClaimPlace, PlaceFault};
pub use refusal::{ClaimsFault, TokenRefusal};
pub use rights::{EffectiveRights, SessionClaims, TenantRights};
pub use session_token::{SessionExpectation, judge_session};
pub use strict::{StrictLimits, check_strict, parse_strict};

use serde_json::{Map, Value};

/// The members of a token's payload: a JSON object without duplicate members at any depth.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Reads a payload.
    ///
    /// # Errors
    /// When the payload is not one JSON object, or breaks one of [`StrictLimits::TOKEN`].
    pub fn parse(payload: &[u8]) -> Result<Self, ClaimsFault> {
        match parse_strict(payload, &StrictLimits::TOKEN)? {
            Value::Object(members) => Ok(Self(members)),
            other => Err(ClaimsFault::NotAnObject { seen: read::kind_of(&other) }),
        }
    }

    /// A claim by its exact name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether the provider says that the address is the user's: `email_verified` (OpenID Connect Core section 5.1). Some write
    /// it as a text. What is there and does not say yes says no.
    pub fn email_verified(&self) -> Option<bool> {
        match self.get("email_verified")? {
            Value::Null => None,
            Value::Bool(verified) => Some(*verified),
            Value::String(text) => Some(text == "true"),
            _ => Some(false),
        }
    }

    /// `email`, unless the provider says that nobody verified it: whoever registers themselves writes there what they want.
    pub fn email(&self) -> Option<&str> {
        let said = self.get("email").and_then(Value::as_str).filter(|email| !email.is_empty());
        said.filter(|_| self.email_verified() != Some(false))
    }

    /// The names of all claims that are present.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
