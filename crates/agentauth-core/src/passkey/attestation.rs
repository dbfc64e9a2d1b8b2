//! What shows which model an authenticator is (sections 6.5 and 8). Without a statement that a certificate vouches for,
//! the model is only what the authenticator says of itself, and a program that plays one may say anything.

use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use serde::{Deserialize, Serialize};
use webpki::aws_lc_rs::{ECDSA_P256_SHA256, ED25519, RSA_PKCS1_2048_8192_SHA256};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::authenticator::Credential;
use super::cbor::{Item, item};
use super::{PasskeyFault, Terms, aaguid_text};
use crate::time::Timestamp;

/// The certificate's extension that names the model (`id-fido-gen-ce-aaguid`), as DER.
const MODEL: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xe5, 0x1c, 0x01, 0x01, 0x04];

/// What shows which model a passkey is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attestation {
    /// Nothing: it says so itself.
    Claimed,
    /// A statement signed with a certificate that nobody known vouches for: whoever plays an authenticator can make one.
    SelfMade,
    /// A statement whose certificate leads to one of those that the administrator trusts.
    Vouched,
}

impl Attestation {
    /// A stable word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::SelfMade => "self_made",
            Self::Vouched => "vouched",
        }
    }
}

/// An attestation object: the authenticator's data, and a statement about it.
pub(super) struct Object<'a> {
    pub(super) authenticator_data: &'a [u8],
    format: &'a str,
    statement: Item<'a>,
}

impl<'a> Object<'a> {
    /// Takes it apart. Nothing may follow it.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, PasskeyFault> {
        let wrong = || PasskeyFault::Malformed("the attestation object is none");
        let (object, rest) = item(bytes)?;
        let member = |name| object.member(&Item::Text(name));
        let statement = member("attStmt").filter(|statement| matches!(statement, Item::Map(_)));
        if !rest.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            authenticator_data: member("authData").and_then(Item::bytes).ok_or_else(wrong)?,
            format: member("fmt").and_then(Item::text).ok_or_else(wrong)?,
            statement: statement.ok_or_else(wrong)?.clone(),
        })
    }

    fn member(&self, name: &str) -> Option<&Item<'a>> {
        self.statement.member(&Item::Text(name))
    }
}

/// Whether the model may be used, and what shows that it is that model. Where every model may be, nobody asks.
pub(super) fn judge(
    object: &Object<'_>,
    signed: &[u8],
    credential: &Credential<'_>,
    terms: &Terms,
    now: Timestamp,
) -> Result<Attestation, PasskeyFault> {
    if terms.models.is_empty() {
        return Ok(Attestation::Claimed);
    }
    let aaguid = aaguid_text(&credential.aaguid);
    if !terms.models.contains(&aaguid) {
        return Err(PasskeyFault::ModelNotAllowed { aaguid });
    }
    if object.format != "packed" {
        return Err(PasskeyFault::NotAttested("it brought no statement of the kind `packed`"));
    }
    let certificates = object.member("x5c").map(Item::items).unwrap_or_default();
    let chain: Vec<CertificateDer<'_>> =
        certificates.iter().filter_map(Item::bytes).map(CertificateDer::from).collect();
    let Some((leaf, others)) = chain.split_first() else {
        return Err(PasskeyFault::NotAttested("its statement has no certificate"));
    };
    let broken = |_| PasskeyFault::NotAttested("its certificate cannot be read");
    let certificate = EndEntityCert::try_from(leaf).map_err(broken)?;
    let algorithm: &dyn SignatureVerificationAlgorithm = match object.member("alg").and_then(Item::integer) {
        Some(-7) => ECDSA_P256_SHA256,
        Some(-8) => ED25519,
        Some(-257) => RSA_PKCS1_2048_8192_SHA256,
        _ => return Err(PasskeyFault::NotAttested("its statement is signed in an unknown way")),
    };
    let signature = object.member("sig").and_then(Item::bytes).unwrap_or_default();
    certificate
        .verify_signature(algorithm, signed, signature)
        .map_err(|_| PasskeyFault::NotAttested("its statement is not signed by its certificate"))?;
    if model(leaf).is_some_and(|model| model != credential.aaguid) {
        return Err(PasskeyFault::NotAttested("its certificate is for another model"));
    }
    if terms.roots.is_empty() {
        return Ok(Attestation::SelfMade);
    }
    if terms.roots.iter().any(|root| root.as_slice() == leaf.as_ref()) {
        return Ok(Attestation::Vouched);
    }
    let roots: Vec<CertificateDer<'_>> =
        terms.roots.iter().map(|root| CertificateDer::from(root.as_slice())).collect();
    let anchors: Vec<_> = roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    let time = u64::try_from(now.as_second()).unwrap_or_default();
    certificate
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            others,
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(time)),
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map_err(|_| PasskeyFault::NotAttested("nobody whom the administrator trusts vouches for it"))?;
    Ok(Attestation::Vouched)
}

/// The model that a certificate is for, where it names one (section 8.2.1).
fn model(certificate: &[u8]) -> Option<[u8; 16]> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    while let Some((tag, content, after)) = element(rest) {
        rest = after;
        if tag != 0xa3 {
            continue;
        }
        let (_, mut extensions, _) = element(content)?;
        while let Some((_, extension, after)) = element(extensions) {
            extensions = after;
            let (_, name, members) = element(extension)?;
            if name != MODEL {
                continue;
            }
            let (tag, content, members) = element(members)?;
            // Whether it is critical stands in between.
            let octets = if tag == 0x01 { element(members)?.1 } else { content };
            return element(octets)?.1.try_into().ok();
        }
    }
    None
}

/// The DER element that `bytes` begin with: tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(&length, rest)| (usize::from(length), rest))?,
        0x82 => rest.split_first_chunk::<2>().map(|(l, rest)| (usize::from(u16::from_be_bytes(*l)), rest))?,
        _ => return None,
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}
