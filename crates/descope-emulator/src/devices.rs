//! Sign-ins with a code from another device (RFC 8628): what waits for a person, what they said, and how fast is asked.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::errors::Refusal;
use crate::random::unguessable;
use crate::settings::DeviceSettings;
use crate::tokens::later;

/// Letters that are no vowels and are not mistaken for each other (RFC 8628, 6.1).
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// For how long a wrong user code counts, in seconds.
const GUESS_WINDOW: i64 = 60;

/// Every sign-in of this kind so far.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    grants: Vec<DeviceGrant>,
    /// When wrong user codes came.
    wrong: VecDeque<Timestamp>,
    /// Pages that wait for an answer, by their handle.
    pages: HashMap<String, DevicePage>,
}

/// One request of a device.
#[derive(Clone)]
pub(crate) struct DeviceGrant {
    device_code: String,
    pub(crate) user_code: String,
    pub(crate) client_id: String,
    pub(crate) scope: Vec<String>,
    pub(crate) expires_at: Timestamp,
    /// Seconds between two questions; grows.
    pub(crate) interval: u32,
    pub(crate) polls: u64,
    last_poll: Option<Timestamp>,
    pub(crate) answer: DeviceAnswer,
}

impl std::fmt::Debug for DeviceGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceGrant").field("user_code", &self.user_code).finish_non_exhaustive()
    }
}

/// What the person said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeviceAnswer {
    /// Nothing yet.
    Open,
    /// Yes.
    Approved { user_id: String, auth_time: Timestamp },
    /// No.
    Denied,
    /// Yes, and the device has its tokens.
    Redeemed,
}

/// A page that a browser looks at.
#[derive(Debug, Clone)]
pub(crate) struct DevicePage {
    pub(crate) user_code: String,
    /// Who signed in, and when; nobody yet on the sign-in page.
    pub(crate) signed_in: Option<(String, Timestamp)>,
}

/// Why a user code leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeFault {
    /// There is no such open question.
    Unknown,
    /// Too many wrong ones came before.
    Locked,
}

impl Devices {
    /// Begins a sign-in; returns the codes of device and person.
    pub(crate) fn begin(
        &mut self,
        client_id: &str,
        scope: Vec<String>,
        settings: &DeviceSettings,
        now: Timestamp,
    ) -> (String, String) {
        let device_code = unguessable();
        let user_code = std::iter::repeat_with(random_user_code)
            .find(|code| self.grants.iter().all(|grant| grant.user_code != *code))
            .unwrap_or_default();
        self.grants.push(DeviceGrant {
            device_code: device_code.clone(),
            user_code: user_code.clone(),
            client_id: client_id.to_owned(),
            scope,
            expires_at: later(now, settings.lifetime),
            interval: settings.interval,
            polls: 0,
            last_poll: None,
            answer: DeviceAnswer::Open,
        });
        (device_code, user_code)
    }

    /// The device asks; an approved sign-in is handed out once.
    pub(crate) fn poll(
        &mut self,
        device_code: &str,
        client_id: &str,
        now: Timestamp,
    ) -> Result<DeviceGrant, Refusal> {
        let grant = self.grants.iter_mut().find(|grant| grant.device_code == device_code);
        let grant = grant.ok_or_else(|| Refusal::invalid_token("The device code is not valid"))?;
        if grant.client_id != client_id {
            return Err(Refusal::mismatch("The device code was issued to another client"));
        }
        grant.polls += 1;
        let before = grant.last_poll.replace(now);
        match &grant.answer {
            DeviceAnswer::Redeemed => Err(Refusal::invalid_token("The device code was already used")),
            _ if now >= grant.expires_at => {
                Err(Refusal::polling("expired_token", "The device code is expired"))
            }
            DeviceAnswer::Denied => Err(Refusal::polling("access_denied", "The user refused the sign-in")),
            DeviceAnswer::Open => {
                let pause = SignedDuration::from_secs(grant.interval.into());
                if before.is_some_and(|before| now.duration_since(before) < pause) {
                    grant.interval = grant.interval.saturating_add(5);
                    return Err(Refusal::polling("slow_down", "The device asks too often"));
                }
                Err(Refusal::polling("authorization_pending", "The user has not answered yet"))
            }
            DeviceAnswer::Approved { .. } => {
                let approved = grant.clone();
                grant.answer = DeviceAnswer::Redeemed;
                Ok(approved)
            }
        }
    }

    /// The open question behind a user code as a person types it: case and separators do not matter.
    pub(crate) fn look_up(
        &mut self,
        typed: &str,
        settings: &DeviceSettings,
        now: Timestamp,
    ) -> Result<DeviceGrant, CodeFault> {
        self.wrong.retain(|at| now.duration_since(*at).as_secs() < GUESS_WINDOW);
        if self.wrong.len() >= usize::try_from(settings.wrong_codes).unwrap_or(usize::MAX) {
            return Err(CodeFault::Locked);
        }
        match self.open(typed, now) {
            Some(grant) => Ok(grant.clone()),
            None => {
                self.wrong.push_back(now);
                Err(CodeFault::Unknown)
            }
        }
    }

    /// Answers an open question; false when there is none.
    pub(crate) fn answer(&mut self, user_code: &str, answer: DeviceAnswer, now: Timestamp) -> bool {
        match self.open(user_code, now) {
            Some(grant) => {
                grant.answer = answer;
                true
            }
            None => false,
        }
    }

    /// Puts up a page and returns its handle.
    pub(crate) fn put_up(&mut self, page: DevicePage) -> String {
        let handle = unguessable();
        self.pages.insert(handle.clone(), page);
        handle
    }

    pub(crate) fn page(&self, handle: &str) -> Option<DevicePage> {
        self.pages.get(handle).cloned()
    }

    /// Takes a page down: its answer came.
    pub(crate) fn take_down(&mut self, handle: &str) {
        self.pages.remove(handle);
    }

    /// Everything so far, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &DeviceGrant> {
        self.grants.iter()
    }

    fn open(&mut self, typed: &str, now: Timestamp) -> Option<&mut DeviceGrant> {
        let typed = letters(typed);
        self.grants.iter_mut().find(|grant| {
            letters(&grant.user_code) == typed && grant.answer == DeviceAnswer::Open && now < grant.expires_at
        })
    }
}

/// Eight letters with a dash in the middle: 34 bits.
fn random_user_code() -> String {
    let random = Uuid::new_v4();
    // The first six octets of a random UUID are all random; of the rest, some bits are its version.
    let (head, tail) = random.as_bytes().split_at(6);
    let octets = head.iter().chain(tail.iter().rev().take(2));
    let mut code: String = octets
        .filter_map(|octet| LETTERS.get(usize::from(*octet) % LETTERS.len()))
        .copied()
        .map(char::from)
        .collect();
    code.insert(4, '-');
    code
}

fn letters(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_codes_can_be_typed_and_differ() {
        let code = random_user_code();
        assert_eq!((code.len(), code.find('-')), (9, Some(4)), "{code}");
        assert!(letters(&code).bytes().all(|letter| LETTERS.contains(&letter)), "{code}");
        assert_ne!(code, random_user_code());
        assert_eq!(letters("wdjb mjht"), letters("WDJB-MJHT"));
    }
}
