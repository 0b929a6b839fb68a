use std::{path::Path, sync::Arc};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Returns a configuration that trusts the certificates of the file, or those of the system.
pub(super) fn trusting(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match ca_file {
        Some(file) => builder.with_root_certificates(roots(file)?),
        None => builder.with_native_roots().map_err(|error| {
            format!(
                "the system has no root certificates ({error}): install the package \
                 ca-certificates, or name a file of certificates"
            )
        })?,
    };
    Ok(builder.with_no_client_auth())
}

/// Returns a configuration for a client that only makes plain connections.
pub(super) fn unused() -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let wrong = |reason: String| format!("certificates {}: {reason}", file.display());
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("expected certificates in PEM format".to_owned()));
    }
    Ok(roots)
}
