//! Self-signed certificates for the keys of `jwks.json?certs=true` (sheet 2.1), written in DER by hand (RFC 5280, 4.1).

use crate::keys::{Algorithm, KeyFault, SigningKey};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const NULL: u8 = 0x05;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const EXPLICIT_0: u8 = 0xa0;

/// sha256WithRSAEncryption: 1.2.840.113549.1.1.11.
const RSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
/// commonName: 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The certificate of an RSA key that signs RS256, in DER; none for other keys.
pub(crate) fn certificate(key: &SigningKey) -> Result<Option<Vec<u8>>, KeyFault> {
    if key.algorithm() != Algorithm::Rs256 || !key.can_sign() {
        return Ok(None);
    }
    let algorithm = tlv(SEQUENCE, &[tlv(OBJECT_ID, RSA_SHA256), tlv(NULL, &[])].concat());
    let attribute = [tlv(OBJECT_ID, COMMON_NAME), tlv(UTF8_STRING, key.kid().as_bytes())].concat();
    let name = tlv(SEQUENCE, &tlv(SET, &tlv(SEQUENCE, &attribute)));
    let validity =
        tlv(SEQUENCE, &[tlv(UTC_TIME, b"200101000000Z"), tlv(UTC_TIME, b"491231235959Z")].concat());
    let contents = [
        tlv(EXPLICIT_0, &tlv(INTEGER, &[2])),
        tlv(INTEGER, &[1]),
        algorithm.clone(),
        name.clone(),
        validity,
        name,
        key.public_der(),
    ];
    let body = tlv(SEQUENCE, &contents.concat());
    let signature = key.sign(Algorithm::Rs256, &body)?;
    // The first octet of a bit string counts unused bits.
    let signature = tlv(BIT_STRING, &[&[0], signature.as_slice()].concat());
    Ok(Some(tlv(SEQUENCE, &[body, algorithm, signature].concat())))
}

/// A tag, a length and the contents.
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut octets = vec![tag];
    match u8::try_from(contents.len()) {
        Ok(length) if length < 0x80 => octets.push(length),
        _ => {
            let length: Vec<u8> =
                contents.len().to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
            octets.push(0x80 | u8::try_from(length.len()).unwrap_or(0));
            octets.extend(length);
        }
    }
    octets.extend_from_slice(contents);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short_or_long() {
        assert_eq!(tlv(NULL, &[]), [5, 0]);
        assert_eq!(tlv(INTEGER, &[7; 127]).get(..2), Some(&[2, 127][..]));
        assert_eq!(tlv(INTEGER, &[7; 128]).get(..3), Some(&[2, 0x81, 128][..]));
        assert_eq!(tlv(INTEGER, &[7; 300]).get(..4), Some(&[2, 0x82, 1, 44][..]));
    }

    #[test]
    fn a_certificate_holds_the_key_and_nothing_signs_for_others() {
        let key = SigningKey::generate(Algorithm::Rs256).unwrap();
        let der = certificate(&key).unwrap().unwrap();
        assert!(der.windows(key.public_der().len()).any(|window| window == key.public_der()));
        let curve = SigningKey::generate(Algorithm::Es256).unwrap();
        assert!(certificate(&curve).unwrap().is_none());
    }
}
