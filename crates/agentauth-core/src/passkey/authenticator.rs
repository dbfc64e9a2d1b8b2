//! What the authenticator says (`authenticatorData`, section 6.1): for which site, whether somebody was there and was
//! verified, how often it has signed, and the key that it made.

use sha2::{Digest as _, Sha256};

use super::cbor::{Item, item};
use super::cose::PublicKey;
use super::{PasskeyFault, RP_ID};

/// Somebody touched it.
const PRESENT: u8 = 0x01;
/// Somebody was verified.
const VERIFIED: u8 = 0x04;
/// The key may be copied.
const BACKUP_ELIGIBLE: u8 = 0x08;
/// The key was copied.
const BACKED_UP: u8 = 0x10;
/// A credential follows.
const CREDENTIAL: u8 = 0x40;
/// Extensions follow.
const EXTENSIONS: u8 = 0x80;

/// The parts of it.
#[derive(Debug)]
pub(super) struct AuthenticatorData<'a> {
    site: &'a [u8; 32],
    flags: u8,
    pub(super) sign_count: u32,
    pub(super) backup_eligible: bool,
    pub(super) backed_up: bool,
    pub(super) credential: Option<Credential<'a>>,
}

/// A credential that was made (section 6.5.2).
#[derive(Debug)]
pub(super) struct Credential<'a> {
    pub(super) aaguid: [u8; 16],
    pub(super) id: &'a [u8],
    pub(super) key: PublicKey,
    /// The key as it stands there.
    pub(super) key_bytes: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Takes it apart. Nothing may be missing, and nothing may be left.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, PasskeyFault> {
        let short = || PasskeyFault::Malformed("the authenticator's part is too short");
        let (site, rest) = bytes.split_first_chunk::<32>().ok_or_else(short)?;
        let (&flags, rest) = rest.split_first().ok_or_else(short)?;
        let (count, mut rest) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        let credential = if flags & CREDENTIAL == 0 {
            None
        } else {
            let (aaguid, after) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let (length, after) = after.split_first_chunk::<2>().ok_or_else(short)?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (id, after) = after.split_at_checked(length).ok_or_else(short)?;
            let (key, left) = PublicKey::parse(after)?;
            let key_bytes = after.get(..after.len() - left.len()).ok_or_else(short)?;
            rest = left;
            Some(Credential { aaguid: *aaguid, id, key, key_bytes })
        };
        if flags & EXTENSIONS != 0 {
            let (extensions, left) = item(rest)?;
            if !matches!(extensions, Item::Map(_)) {
                return Err(PasskeyFault::Malformed("the extensions are no map"));
            }
            rest = left;
        }
        if !rest.is_empty() {
            return Err(PasskeyFault::Malformed("something follows the authenticator's part"));
        }
        Ok(Self {
            site,
            flags,
            sign_count: u32::from_be_bytes(*count),
            backup_eligible: flags & BACKUP_ELIGIBLE != 0,
            backed_up: flags & BACKED_UP != 0,
            credential,
        })
    }

    /// Whether it is about this site, and about somebody who was there and was verified.
    pub(super) fn judge(&self) -> Result<(), PasskeyFault> {
        if self.site.as_slice() != Sha256::digest(RP_ID).as_slice() {
            return Err(PasskeyFault::OtherSite);
        }
        if self.flags & PRESENT == 0 {
            return Err(PasskeyFault::NotPresent);
        }
        if self.flags & VERIFIED == 0 {
            return Err(PasskeyFault::NotVerified);
        }
        if self.backed_up && !self.backup_eligible {
            return Err(PasskeyFault::BackupImpossible);
        }
        Ok(())
    }
}
