//! What the configuration asks of a new passkey.

use std::io;
use std::path::PathBuf;

use agentauth_core::passkey::Terms;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::config;

/// Why the certificates of those who vouch for authenticators cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("cannot read `{}`: give `passkeys.attestation_roots` a readable file", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It holds no certificates.
    #[error("`{}` holds no certificates in PEM: put those of your authenticators' vendors in", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
    },
}

/// The terms of the configuration. Blocking.
///
/// # Errors
/// Certificates that cannot be read: then it is not known whom to trust, and nobody is.
pub(crate) fn terms(config: &config::Passkeys) -> Result<Terms, RootsError> {
    let models = config.allowed_aaguids.clone();
    let Some(path) = &config.attestation_roots else { return Ok(Terms { models, roots: Vec::new() }) };
    let text = std::fs::read(path).map_err(|cause| RootsError::Read { path: path.clone(), cause })?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match roots {
        Ok(roots) if !roots.is_empty() => {
            Ok(Terms { models, roots: roots.iter().map(|root| root.to_vec()).collect() })
        }
        _ => Err(RootsError::NotPem { path: path.clone() }),
    }
}
