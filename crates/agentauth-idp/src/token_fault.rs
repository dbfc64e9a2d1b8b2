//! Why a token is not believed.

use std::fmt;

use agentauth_core::claims::{ClaimsFault, TokenRefusal};

use crate::keys::KeyError;

/// Which token is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// The session token.
    Session,
    /// The ID token.
    Id,
    /// The access token of another provider than Descope.
    Access,
    /// The userinfo endpoint's answer, which is no token but is judged like one.
    Userinfo,
}

/// Why a token is not believed.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// It cannot be read, or its signature is not that of a published key.
    #[error("the {kind} was refused")]
    Signature {
        /// Which token.
        kind: TokenKind,
        /// Why.
        source: KeyError,
    },
    /// It is, by its header, another kind of token.
    #[error("the {kind} was refused")]
    Type {
        /// Which token.
        kind: TokenKind,
        /// Why.
        source: ClaimsFault,
    },
    /// Its claims are not what they must be.
    #[error("the {kind} was refused")]
    Claims {
        /// Which token.
        kind: TokenKind,
        /// Why.
        source: TokenRefusal,
    },
    /// The ID token was made for another access token (`at_hash`).
    #[error("the id token was refused: it was issued together with another session token")]
    OtherAccessToken,
    /// The access token is none that can be read, although it was said to be.
    #[error(
        "the access token was refused: it is opaque, and `jwt` is configured; ask for a `resource` or an `audience`, or configure `auto`"
    )]
    Opaque,
    /// A refresh brought nothing that says who the user is.
    #[error(
        "the refresh brought neither a readable access token nor an id token, and the provider has no userinfo endpoint, so it is not known what the user may do"
    )]
    NoFacts,
    /// The access token lives for no time at all.
    #[error("the provider gave an access token that has run out already")]
    NoLife,
    /// The userinfo endpoint did not answer.
    #[error("the provider did not say what the user may do: {what}")]
    Userinfo {
        /// Waiting may help.
        transient: bool,
        /// What it answered.
        what: String,
    },
    /// The two tokens are of two users.
    #[error("the tokens were refused: the session token is of user `{session}`, the id token of `{id}`")]
    SubjectMismatch {
        /// Whom the session token names.
        session: String,
        /// Whom the ID token names.
        id: String,
    },
}

impl TokenFault {
    /// A stable code for logs, audit records and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature { source, .. } => source.code(),
            Self::Type { source, .. } => source.code(),
            Self::Claims { source, .. } => source.code(),
            Self::OtherAccessToken => "other_access_token",
            Self::Opaque => "opaque_access_token",
            Self::NoFacts => "no_facts",
            Self::NoLife => "expired",
            Self::Userinfo { .. } => "userinfo_failed",
            Self::SubjectMismatch { .. } => "subject_mismatch",
        }
    }

    /// Whether the tokens may be good, and only the keys or the answer about the user are missing.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Signature { source: KeyError::NoKeys { .. } | KeyError::Stale { .. }, .. }
                | Self::Userinfo { transient: true, .. }
        )
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "session token",
            Self::Id => "id token",
            Self::Access => "access token",
            Self::Userinfo => "answer about the user",
        })
    }
}
