//! Why a token was not read, and why a token that was read is not accepted.

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::text::{display_safe_within, without_tokens};

/// Why bytes could not be read as a token or as its claims.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClaimsFault {
    /// The document or token is larger than its cap.
    #[error("the token has {bytes} bytes, more than the {limit} that are accepted")]
    TooLarge {
        /// Bytes seen.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// Not well-formed JSON, or something follows it.
    #[error("the token's content is not JSON (line {line}, column {column})")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// JSON, but not an object.
    #[error("the token's content is {seen} where an object is required")]
    NotAnObject {
        /// What was there.
        seen: &'static str,
    },
    /// A member occurs twice in one object.
    #[error("the member `{name}` occurs more than once")]
    DuplicateMember {
        /// The member, shown safely.
        name: String,
    },
    /// Objects and lists are nested deeper than the cap.
    #[error("the token's content is nested deeper than {limit} levels")]
    TooDeep {
        /// Levels accepted.
        limit: usize,
    },
    /// More object members than the cap.
    #[error("the token's content has more than {limit} members")]
    TooManyMembers {
        /// Members accepted.
        limit: usize,
    },
    /// More list elements than the cap.
    #[error("the token's content has more than {limit} list elements")]
    TooManyElements {
        /// Elements accepted.
        limit: usize,
    },
    /// A member name longer than the cap.
    #[error("a member name has {bytes} bytes, more than the {limit} that are accepted")]
    NameTooLong {
        /// Bytes seen.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// A string longer than the cap.
    #[error("a string has {bytes} bytes, more than the {limit} that are accepted")]
    StringTooLong {
        /// Bytes seen.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// Not three parts separated by two dots (RFC 7515 section 7.1).
    #[error("the token has {parts} parts where a signed token has 3")]
    NotThreeParts {
        /// Parts seen.
        parts: usize,
    },
    /// A part is empty or not base64url without padding (RFC 7515 section 2).
    #[error("the token's {part} is not base64url without padding")]
    NotBase64Url {
        /// `header`, `payload` or `signature`.
        part: &'static str,
    },
    /// A header parameter that we need is absent or has another type.
    #[error("the token header's `{name}` is missing or not a short string")]
    HeaderParameter {
        /// The parameter.
        name: &'static str,
    },
    /// The header demands an extension (RFC 7515 section 4.1.11); we implement none.
    #[error("the token's header demands extensions (`crit`), and none is supported")]
    CriticalHeader,
    /// The token's media type is that of another kind of token (RFC 8725 section 3.12).
    #[error("the token's type is `{seen}`, which is not accepted here")]
    ForeignType {
        /// The type, shown safely.
        seen: String,
    },
}

impl ClaimsFault {
    /// A stable code for logs and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::NotJson { .. } => "not_json",
            Self::NotAnObject { .. } => "not_an_object",
            Self::DuplicateMember { .. } => "duplicate_member",
            Self::TooDeep { .. } => "too_deep",
            Self::TooManyMembers { .. } => "too_many_members",
            Self::TooManyElements { .. } => "too_many_elements",
            Self::NameTooLong { .. } => "name_too_long",
            Self::StringTooLong { .. } => "string_too_long",
            Self::NotThreeParts { .. } => "not_three_parts",
            Self::NotBase64Url { .. } => "not_base64url",
            Self::HeaderParameter { .. } => "header_parameter",
            Self::CriticalHeader => "critical_header",
            Self::ForeignType { .. } => "foreign_type",
        }
    }
}

/// Why a well-formed, correctly signed token is not accepted. One variant per reason; the texts contain nothing of the
/// token but claims that are not secret, shown safely.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// A claim that must be there is not.
    #[error("the token has no `{0}` claim")]
    MissingClaim(&'static str),
    /// A claim has a value of the wrong kind or out of range.
    #[error("the token's `{claim}` claim is unusable: {why}")]
    BadShape {
        /// The claim.
        claim: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Issued by somebody else, or through another application of the same project.
    #[error("the token's issuer is `{seen}`, {what}; accepted: {accepted}")]
    WrongIssuer {
        /// The issuer, shown safely.
        seen: String,
        /// What that form of issuer is, as far as it is known.
        what: &'static str,
        /// What would have been accepted.
        accepted: String,
    },
    /// Another kind of token than the one that is due here (`drn`).
    #[error("the token is of kind `{seen}` where `{expected}` is required")]
    WrongKind {
        /// The kind, shown safely.
        seen: String,
        /// The kind that is due.
        expected: &'static str,
    },
    /// Made for another audience, or for additional ones that we do not trust.
    #[error("the token is meant for `{seen}`, not for `{expected}`")]
    WrongAudience {
        /// The audiences, shown safely.
        seen: String,
        /// The audiences that are accepted.
        expected: String,
    },
    /// Another user than the pinned one.
    #[error("the token belongs to user `{seen}`, but this profile belongs to `{expected}`")]
    WrongSubject {
        /// The subject, shown safely.
        seen: String,
        /// The pinned subject.
        expected: String,
    },
    /// The nonce is not the one that was sent.
    #[error("the token does not answer this login: its `nonce` is not the one that was sent")]
    WrongNonce,
    /// `exp` has passed.
    #[error("the token expired at {at}, {} s ago", .ago.as_secs())]
    Expired {
        /// `exp`.
        at: Timestamp,
        /// How long ago that was.
        ago: SignedDuration,
    },
    /// `nbf` has not come yet.
    #[error("the token is not valid before {at}; check this machine's clock")]
    NotYetValid {
        /// `nbf`.
        at: Timestamp,
    },
    /// `iat` lies in the future.
    #[error("the token says it was issued at {at}, which is in the future; check this machine's clock")]
    IssuedInFuture {
        /// `iat`.
        at: Timestamp,
    },
    /// `auth_time` is older than was asked for (`max_age`).
    #[error("the sign-in at {at} is older than the {limit} s that were asked for; sign in anew")]
    OldSignIn {
        /// `auth_time`.
        at: Timestamp,
        /// `max_age`, in seconds.
        limit: u32,
    },
    /// `acr` is none of those that were asked for.
    #[error("the sign-in was of strength `{seen}`, but `{expected}` was asked for")]
    WeakSignIn {
        /// `acr`, shown safely.
        seen: String,
        /// What was asked for.
        expected: String,
    },
    /// `iat` is too long ago for a token that was just handed out.
    #[error("the token was issued at {at}, {} s ago, too long for a new one; check this machine's clock", .ago.as_secs())]
    NotFresh {
        /// `iat`.
        at: Timestamp,
        /// How long ago that was.
        ago: SignedDuration,
    },
    /// A refreshed ID token that does not continue the login (OpenID Connect Core section 12.2).
    #[error("the refreshed token does not continue this login: its `{claim}` is another")]
    OtherLogin {
        /// The claim that differs.
        claim: &'static str,
    },
}

impl TokenRefusal {
    /// A stable code for logs, audit records and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingClaim(_) => "missing_claim",
            Self::BadShape { .. } => "bad_shape",
            Self::WrongIssuer { .. } => "wrong_issuer",
            Self::WrongKind { .. } => "wrong_kind",
            Self::WrongAudience { .. } => "wrong_audience",
            Self::WrongSubject { .. } => "wrong_subject",
            Self::WrongNonce => "wrong_nonce",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::IssuedInFuture { .. } => "issued_in_future",
            Self::OldSignIn { .. } => "old_sign_in",
            Self::WeakSignIn { .. } => "weak_sign_in",
            Self::NotFresh { .. } => "not_fresh",
            Self::OtherLogin { .. } => "other_login",
        }
    }
}

/// Text of unknown origin for a message: capped, with nothing in it that hides or reorders, and no token.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    // Twice the cap is enough to fill it even if much is taken out; the rest is never looked at.
    let head: String = text.chars().take(2 * LONGEST).collect();
    display_safe_within(&without_tokens(&head), LONGEST)
}
