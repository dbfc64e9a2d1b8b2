//! Who signed a program: Authenticode, as the system itself judges it.
#![allow(unsafe_code, reason = "the Windows interface; each call says why it is sound")]

use std::{os::windows::ffi::OsStrExt as _, path::Path, ptr};

use windows_sys::Win32::{
    Foundation::INVALID_HANDLE_VALUE,
    Security::{
        Cryptography::{CERT_NAME_SIMPLE_DISPLAY_TYPE, CertGetNameStringW},
        WinTrust::{
            WINTRUST_ACTION_GENERIC_VERIFY_V2, WINTRUST_DATA, WINTRUST_DATA_0, WINTRUST_FILE_INFO,
            WTD_CACHE_ONLY_URL_RETRIEVAL, WTD_CHOICE_FILE, WTD_REVOKE_NONE, WTD_STATEACTION_CLOSE,
            WTD_STATEACTION_VERIFY, WTD_UI_NONE, WTHelperGetProvCertFromChain,
            WTHelperGetProvSignerFromChain, WTHelperProvDataFromStateData, WinVerifyTrust,
        },
    },
};

use crate::program::Signature;

/// Longest name of a signer, in UTF-16 units.
const LONGEST_NAME: u32 = 512;

/// The system's word on the signature in the file at `path`.
pub(super) fn of(path: &Path) -> Signature {
    let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let mut file = WINTRUST_FILE_INFO {
        cbStruct: size_of::<WINTRUST_FILE_INFO>() as u32,
        pcwszFilePath: wide.as_ptr(),
        hFile: ptr::null_mut(),
        pgKnownSubject: ptr::null_mut(),
    };
    let mut asked = WINTRUST_DATA {
        cbStruct: size_of::<WINTRUST_DATA>() as u32,
        dwUIChoice: WTD_UI_NONE,
        // Nothing on this way may wait for a network.
        fdwRevocationChecks: WTD_REVOKE_NONE,
        dwProvFlags: WTD_CACHE_ONLY_URL_RETRIEVAL,
        dwUnionChoice: WTD_CHOICE_FILE,
        Anonymous: WINTRUST_DATA_0 { pFile: &mut file },
        dwStateAction: WTD_STATEACTION_VERIFY,
        ..WINTRUST_DATA::default()
    };
    let mut action = WINTRUST_ACTION_GENERIC_VERIFY_V2;
    let nobody = INVALID_HANDLE_VALUE.cast();
    // SAFETY: `asked`, `file` and `wide` live until the state is closed below.
    let status = unsafe { WinVerifyTrust(nobody, &mut action, (&raw mut asked).cast()) };
    let signer = if status == 0 { signer(&asked) } else { None };
    asked.dwStateAction = WTD_STATEACTION_CLOSE;
    // SAFETY: as above; frees what the first call left in the state.
    unsafe { WinVerifyTrust(nobody, &mut action, (&raw mut asked).cast()) };
    match signer {
        Some(signer) => Signature::Valid { signer },
        None => Signature::Invalid { status },
    }
}

/// The name in the certificate of the first signer.
fn signer(verified: &WINTRUST_DATA) -> Option<String> {
    // SAFETY: the state is open; each pointer is checked before it is followed, and all lead into that state.
    unsafe {
        let data = WTHelperProvDataFromStateData(verified.hWVTStateData);
        if data.is_null() {
            return None;
        }
        let signer = WTHelperGetProvSignerFromChain(data, 0, 0, 0);
        if signer.is_null() {
            return None;
        }
        let certificate = WTHelperGetProvCertFromChain(signer, 0);
        if certificate.is_null() || (*certificate).pCert.is_null() {
            return None;
        }
        let mut name = vec![0u16; LONGEST_NAME as usize];
        let length = CertGetNameStringW(
            (*certificate).pCert,
            CERT_NAME_SIMPLE_DISPLAY_TYPE,
            0,
            ptr::null(),
            name.as_mut_ptr(),
            LONGEST_NAME,
        );
        // The length counts the final zero; 1 is an empty name.
        name.truncate(length.saturating_sub(1) as usize);
        (!name.is_empty()).then(|| String::from_utf16_lossy(&name))
    }
}
