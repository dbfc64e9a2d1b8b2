//! Who may see the page: the browser that came with the secret, and nobody after it.

use std::sync::{Mutex, PoisonError};

use subtle::ConstantTimeEq as _;

/// How many browsers may have been let in at once; each opening is one.
const MOST: usize = 8;
/// Wrong keys and cookies before nobody is let in any more.
const MOST_WRONG: u32 = 20;

/// One appearance of the page.
pub(super) struct Visit {
    port: u16,
    /// The page's own path: cookies do not know ports, so a path that nobody can guess keeps this one from the other
    /// servers on this host.
    path: String,
    /// Whether the browser comes here from another site's page.
    from_elsewhere: bool,
    doors: Mutex<Doors>,
}

#[derive(Default)]
struct Doors {
    /// The secret that the browser was last opened with, until it has been used.
    key: Option<String>,
    guests: Vec<Guest>,
    wrong: u32,
}

/// A browser that was let in.
#[derive(Clone)]
pub(super) struct Guest {
    cookie: String,
    /// What its forms have to repeat.
    pub(super) token: String,
}

impl Visit {
    /// A page on this port; nothing without randomness.
    pub(super) fn new(port: u16) -> Option<Self> {
        Some(Self { port, path: format!("/{}/", random()?), from_elsewhere: false, doors: Mutex::default() })
    }

    /// The same for a browser that another site sends here.
    pub(super) fn sent_from_elsewhere(self) -> Self {
        Self { from_elsewhere: true, ..self }
    }

    /// Whether another site sends the browser here.
    pub(super) fn is_from_elsewhere(&self) -> bool {
        self.from_elsewhere
    }

    /// The authority that requests must name.
    pub(super) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The origin that forms must come from.
    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.host())
    }

    /// The page's path, with slashes at both ends.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A fresh address to open the browser at; the one before is good no more.
    pub(super) fn invite(&self) -> Option<String> {
        let key = random()?;
        let address = format!("{}{}enter/{key}", self.origin(), self.path);
        self.lock().key = Some(key);
        Some(address)
    }

    /// Lets a browser in that brings the secret, once. What it gets is its cookie.
    pub(super) fn enter(&self, key: &str) -> Option<String> {
        let (cookie, token) = (random()?, random()?);
        let mut doors = self.lock();
        if doors.wrong >= MOST_WRONG || !doors.key.as_deref().is_some_and(|known| same(known, key)) {
            doors.wrong = doors.wrong.saturating_add(1);
            return None;
        }
        doors.key = None;
        if doors.guests.len() >= MOST {
            doors.guests.remove(0);
        }
        doors.guests.push(Guest { cookie: cookie.clone(), token });
        Some(cookie)
    }

    /// The browser whose cookie this is.
    pub(super) fn guest(&self, cookie: &str) -> Option<Guest> {
        let mut doors = self.lock();
        if doors.wrong >= MOST_WRONG {
            return None;
        }
        let guest = doors.guests.iter().find(|guest| same(&guest.cookie, cookie)).cloned();
        if guest.is_none() {
            doors.wrong = doors.wrong.saturating_add(1);
        }
        guest
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Doors> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Whether a form is this browser's.
    pub(super) fn sent(&self, token: &str) -> bool {
        same(&self.token, token)
    }
}

fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn random() -> Option<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(address: &str) -> &str {
        address.rsplit('/').next().unwrap()
    }

    #[test]
    fn the_secret_lets_one_browser_in_once() {
        let visit = Visit::new(7).unwrap();
        let (first, second) = (visit.invite().unwrap(), visit.invite().unwrap());
        assert!(second.starts_with(&format!("http://localhost:7{}enter/", visit.path())));
        assert_eq!(visit.enter(key(&first)), None, "a newer one was made");
        let cookie = visit.enter(key(&second)).unwrap();
        assert_eq!(visit.enter(key(&second)), None, "it was used");
        let guest = visit.guest(&cookie).unwrap();
        assert!(guest.sent(&guest.token) && !guest.sent("") && !guest.sent(&cookie));
        assert!(visit.guest("").is_none() && visit.guest(key(&second)).is_none());
    }

    #[test]
    fn whoever_guesses_ends_it() {
        let visit = Visit::new(7).unwrap();
        let address = visit.invite().unwrap();
        for _ in 0..MOST_WRONG {
            assert!(visit.enter("guess").is_none());
        }
        assert!(visit.enter(key(&address)).is_none());
    }
}
