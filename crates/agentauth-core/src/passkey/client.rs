//! What the browser says it was asked, where, and by whom (`clientDataJSON`, section 5.8.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{Ceremony, MOST, PasskeyFault};
use crate::text::display_safe_within;

/// The members that count. A browser may add others; none of them may stand there twice.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
    #[serde(default, rename = "topOrigin")]
    top_origin: Option<String>,
}

/// Whether the browser was asked for `kind`, with the challenge and on the page of the ceremony, and in no frame.
pub(super) fn judge(bytes: &[u8], kind: &str, ceremony: &Ceremony<'_>) -> Result<(), PasskeyFault> {
    if bytes.len() > MOST {
        return Err(PasskeyFault::Malformed("the browser's part is too long"));
    }
    let said: ClientData = serde_json::from_slice(bytes)
        .map_err(|_| PasskeyFault::Malformed("the browser's part is not its JSON"))?;
    if said.kind != kind {
        return Err(PasskeyFault::OtherType { found: display_safe_within(&said.kind, 64) });
    }
    if said.challenge != URL_SAFE_NO_PAD.encode(ceremony.challenge) {
        return Err(PasskeyFault::OtherChallenge);
    }
    if said.origin != ceremony.origin {
        return Err(PasskeyFault::OtherOrigin { found: display_safe_within(&said.origin, 128) });
    }
    if said.cross_origin || said.top_origin.is_some() {
        return Err(PasskeyFault::CrossOrigin);
    }
    Ok(())
}
