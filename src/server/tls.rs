//! TLS of the server.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::error::ServerError;

/// Reads a certificate with those between it and its authority, and its private key, both PEM.
///
/// # Errors
/// When a file cannot be read, or the two do not belong together.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, ServerError> {
    let unusable = |reason: String| ServerError::Certificate {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        reason,
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(error.to_string()))?;
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, private_key)
        .map_err(|error| unusable(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_a_key_that_do_not_belong_together_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file
        };
        let certified = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (ours, other) = (certified(), certified());
        let certificate = write("cert.pem", ours.cert.pem());
        let key = write("key.pem", ours.signing_key.serialize_pem());
        assert!(acceptor(&certificate, &key).is_ok());
        let key = write("other.pem", other.signing_key.serialize_pem());
        let refused = acceptor(&certificate, &key).err().unwrap().to_string();
        assert!(
            refused.contains("cert.pem") && refused.contains("other.pem"),
            "{refused}"
        );
        assert!(acceptor(&folder.path().join("missing.pem"), &key).is_err());
    }
}
