//! One-time codes and links that wait to be shown.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::errors::Refusal;

/// Wrong codes after which a code is worth nothing (`E061103`).
const TRIES: u32 = 5;

/// What a code or a link stands for: a sign-in that wants only this proof.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) user_id: String,
    /// `amr` once it is proven.
    pub(crate) factors: Vec<String>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) stepped_up: bool,
    pub(crate) revokes_others: bool,
    pub(crate) expires_at: Timestamp,
}

struct Code {
    text: String,
    wrong: u32,
    pending: Pending,
}

/// Codes by user, links by token.
#[derive(Default)]
pub(crate) struct OneTimeSecrets {
    codes: HashMap<String, Code>,
    links: HashMap<String, Pending>,
    /// Codes of native flows, with their challenges.
    natives: HashMap<String, (String, Pending)>,
}

impl std::fmt::Debug for OneTimeSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneTimeSecrets").finish_non_exhaustive()
    }
}

impl OneTimeSecrets {
    /// A code for a user; it takes the place of an older one.
    pub(crate) fn add_code(&mut self, text: &str, pending: Pending) {
        let user = pending.user_id.clone();
        self.codes.insert(user, Code { text: text.to_owned(), wrong: 0, pending });
    }

    /// A link.
    pub(crate) fn add_link(&mut self, token: &str, pending: Pending) {
        self.links.insert(token.to_owned(), pending);
    }

    /// The code at the end of a native flow.
    pub(crate) fn add_native(&mut self, code: &str, challenge: &str, pending: Pending) {
        self.natives.insert(code.to_owned(), (challenge.to_owned(), pending));
    }

    /// Uses such a code up, whether or not the verifier will fit.
    pub(crate) fn take_native(&mut self, code: &str, now: Timestamp) -> Result<(String, Pending), Refusal> {
        let taken = self.natives.remove(code).filter(|(_, pending)| now < pending.expires_at);
        taken.ok_or_else(|| Refusal::invalid_token("The code is not valid, was used, or is expired"))
    }

    /// Uses a code up. A wrong one counts against it.
    pub(crate) fn take_code(
        &mut self,
        user_id: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<Pending, Refusal> {
        let code = self.codes.get_mut(user_id).ok_or_else(Refusal::wrong_code)?;
        if code.wrong >= TRIES {
            return Err(Refusal::too_many_codes());
        }
        if code.text != text || now >= code.pending.expires_at {
            code.wrong += 1;
            return Err(Refusal::wrong_code());
        }
        self.codes.remove(user_id).map(|code| code.pending).ok_or_else(Refusal::wrong_code)
    }

    /// Uses a link up.
    pub(crate) fn take_link(&mut self, token: &str, now: Timestamp) -> Result<Pending, Refusal> {
        let pending = self.links.remove(token).filter(|pending| now < pending.expires_at);
        pending.ok_or_else(|| Refusal::invalid_token("The link is not valid, was used, or is expired"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(until: i64) -> Pending {
        Pending {
            user_id: "U1".to_owned(),
            factors: vec!["email".to_owned()],
            claims: Map::new(),
            stepped_up: false,
            revokes_others: false,
            expires_at: at(until),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_code_works_once_and_wrong_ones_wear_it_out() {
        let mut secrets = OneTimeSecrets::default();
        let code = |result: Result<Pending, Refusal>| result.err().map(|refusal| refusal.code());
        assert_eq!(code(secrets.take_code("U1", "123456", at(1))), Some("E061102"));
        secrets.add_code("123456", pending(10));
        assert_eq!(code(secrets.take_code("U2", "123456", at(1))), Some("E061102"));
        assert_eq!(code(secrets.take_code("U1", "123456", at(1))), None);
        assert_eq!(code(secrets.take_code("U1", "123456", at(1))), Some("E061102"));
        secrets.add_code("123456", pending(10));
        assert_eq!(code(secrets.take_code("U1", "123456", at(10))), Some("E061102"), "expired");
        secrets.add_code("123456", pending(10));
        for _ in 0..TRIES {
            assert_eq!(code(secrets.take_code("U1", "000000", at(1))), Some("E061102"));
        }
        assert_eq!(code(secrets.take_code("U1", "123456", at(1))), Some("E061103"));
    }

    #[test]
    fn a_link_works_once() {
        let mut secrets = OneTimeSecrets::default();
        secrets.add_link("a", pending(10));
        secrets.add_link("b", pending(10));
        assert!(secrets.take_link("a", at(1)).is_ok());
        assert!(secrets.take_link("a", at(1)).is_err());
        assert!(secrets.take_link("b", at(10)).is_err());
    }
}
