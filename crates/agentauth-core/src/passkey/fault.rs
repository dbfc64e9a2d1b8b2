//! Why an authenticator's answer counts for nothing.

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasskeyFault {
    /// It is not built as the standard says.
    #[error("the authenticator's answer is not well-formed ({0}): try again, or use another passkey")]
    Malformed(&'static str),
    /// It is the answer to another kind of question.
    #[error("the answer is of another kind (`{found}`) than the question: try again")]
    OtherType {
        /// The type that the browser names, safe to show.
        found: String,
    },
    /// The challenge is another one.
    #[error("the answer is for another request than the one that was shown: try again")]
    OtherChallenge,
    /// Another page asked.
    #[error("the answer was given on another page (`{found}`): try again on the page that agentauthd opened")]
    OtherOrigin {
        /// The origin that the browser names, safe to show.
        found: String,
    },
    /// The page was in a frame of another's.
    #[error("the answer was given inside another site's page: open the page by itself")]
    CrossOrigin,
    /// The relying party is another one.
    #[error(
        "the passkey is for another site than this computer's own page: use one that was registered here"
    )]
    OtherSite,
    /// Nobody touched the authenticator.
    #[error("the authenticator does not say that somebody was there: try again")]
    NotPresent,
    /// The authenticator did not ask for a fingerprint, a face or a PIN.
    #[error(
        "the authenticator did not verify who you are: use one with a fingerprint, a face or a PIN, and set it up"
    )]
    NotVerified,
    /// The flags about copies contradict each other.
    #[error("the authenticator says that a key was copied which cannot be: use another passkey")]
    BackupImpossible,
    /// Whether the key can be copied has changed.
    #[error("the passkey is not the one that was registered: whether it can be copied has changed")]
    BackupChanged,
    /// The credential is none that was asked for.
    #[error("the answer is of a passkey that is not registered here: see `agentauthd passkey list`")]
    OtherCredential,
    /// The key is of a kind that is not accepted.
    #[error("the authenticator made a key of a kind that is not accepted: ES256, EdDSA and RS256 are")]
    KeyKind,
    /// The signature does not belong to the key and the answer.
    #[error("the signature is not that of the registered passkey: try again")]
    Signature,
    /// The counter did not go on.
    #[error(
        "the passkey's counter went from {last} to {now}, so there may be a copy of it: remove it with \
         `agentauthd passkey remove`, and register it anew"
    )]
    CounterBack {
        /// What it showed last.
        last: u32,
        /// What it shows now.
        now: u32,
    },
    /// The model is none of those that the administrator allows.
    #[error(
        "this machine's administrator allows certain models of authenticators only, and `{aaguid}` is none of them"
    )]
    ModelNotAllowed {
        /// The model.
        aaguid: String,
    },
    /// Nothing shows which model it is.
    #[error(
        "this machine's administrator allows certain models of authenticators only, and this one does not show which \
         it is ({0}): let the browser pass on its make and model when it asks"
    )]
    NotAttested(&'static str),
}

impl PasskeyFault {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "passkey_malformed",
            Self::OtherType { .. } => "passkey_other_type",
            Self::OtherChallenge => "passkey_other_request",
            Self::OtherOrigin { .. } => "passkey_other_origin",
            Self::CrossOrigin => "passkey_in_frame",
            Self::OtherSite => "passkey_other_site",
            Self::NotPresent => "passkey_not_present",
            Self::NotVerified => "passkey_not_verified",
            Self::BackupImpossible | Self::BackupChanged => "passkey_backup",
            Self::OtherCredential => "passkey_unknown",
            Self::KeyKind => "passkey_key_kind",
            Self::Signature => "passkey_signature",
            Self::CounterBack { .. } => "passkey_counter",
            Self::ModelNotAllowed { .. } => "passkey_model",
            Self::NotAttested(_) => "passkey_not_attested",
        }
    }
}
