//! The mail that the emulated service "sends": it stays in the process, where a test reads it.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A mail with a sign-in link.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The address that it went to.
    pub to: String,
    /// The subject line.
    pub subject: String,
    /// The link: whoever opens it is signed in.
    pub link: String,
    /// When it was sent.
    pub sent_at: Timestamp,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("to", &self.to).field("sent_at", &self.sent_at).finish_non_exhaustive()
    }
}

/// What a link stands for.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The sign-in page that asked for it.
    pub(crate) handle: String,
    pub(crate) user_id: String,
    pub(crate) expires_at: Timestamp,
    used: bool,
}

/// Why a link does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkFault {
    Unknown,
    Used,
    Expired,
}

/// The mail so far and the links in it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    mail: Vec<Mail>,
    links: HashMap<String, Link>,
}

impl Outbox {
    /// Sends a mail whose link ends in `token`.
    pub(crate) fn send(
        &mut self,
        mail: Mail,
        token: &str,
        handle: &str,
        user_id: &str,
        expires_at: Timestamp,
    ) {
        self.mail.push(mail);
        let link = Link { handle: handle.to_owned(), user_id: user_id.to_owned(), expires_at, used: false };
        self.links.insert(token.to_owned(), link);
    }

    /// Uses a link up: it works once, and not after its time.
    pub(crate) fn open(&mut self, token: &str, now: Timestamp) -> Result<Link, LinkFault> {
        let link = self.links.get_mut(token).ok_or(LinkFault::Unknown)?;
        if std::mem::replace(&mut link.used, true) {
            return Err(LinkFault::Used);
        }
        if now >= link.expires_at { Err(LinkFault::Expired) } else { Ok(link.clone()) }
    }

    pub(crate) fn mail(&self) -> &[Mail] {
        &self.mail
    }

    /// Throws the mail away. The links in it stay good.
    pub(crate) fn clear(&mut self) {
        self.mail.clear();
    }
}
