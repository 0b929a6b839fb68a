//! The TLS configuration for each [`TlsMode`].

use std::{path::Path, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

use crate::{
    options::InvalidOption,
    url::{TlsMode, TlsParameters},
};

/// Returns the configuration for a mode, or `None` if connections are not encrypted.
pub(crate) fn client_config(
    mode: TlsMode,
    parameters: &TlsParameters,
) -> Result<Option<Arc<ClientConfig>>, InvalidOption> {
    let roots = || root_certificates(parameters.root_certificates.as_deref());
    let roots = match mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::Require => RootCertStore::empty(),
        TlsMode::VerifyCa | TlsMode::VerifyFull => roots()?,
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions");
    let builder = if mode == TlsMode::VerifyFull {
        builder.with_root_certificates(roots)
    } else {
        let roots = (mode == TlsMode::VerifyCa).then_some(roots);
        let verifier = AnyName { roots, provider };
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
    };
    let mut config = match (&parameters.certificate, &parameters.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let pem = PrivateKeyDer::from_pem_file(key);
            let key = pem.map_err(|error| invalid("sslkey", key, "a private key", &error))?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| invalid("sslcert", certificate, "that of sslkey", &error))?
        }
        _ => builder.with_no_client_auth(),
    };
    // Servers from version 17 on require it with `sslnegotiation=direct`.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn root_certificates(file: Option<&Path>) -> Result<RootCertStore, InvalidOption> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in certificates(file)? {
            let added = roots.add(certificate);
            added.map_err(|error| invalid("sslrootcert", file, "root certificates", &error))?;
        }
        return Ok(roots);
    }
    let native = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        let what = "the operating system has no root certificates";
        return Err(InvalidOption::new(what, "expected some, or the parameter sslrootcert"));
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, InvalidOption> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let found: Vec<_> =
        read.map_err(|error| invalid("certificates", file, "a PEM file of them", &error))?;
    if found.is_empty() {
        return Err(invalid("certificates", file, "a PEM file of them", &"it has none"));
    }
    Ok(found)
}

fn invalid(
    what: &str,
    file: &Path,
    expected: &str,
    error: &dyn std::fmt::Display,
) -> InvalidOption {
    let file = file.display();
    InvalidOption::new(format!("{what} {file}"), format!("expected {expected}: {error}"))
}

/// Accepts certificates whatever names they have, and without `roots` those of any issuer.
#[derive(Debug)]
struct AnyName {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let parsed = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Returns whether a TLS error can only be resolved by an operator.
pub(crate) fn is_permanent(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(why) => !matches!(why, CertificateError::NotValidYet),
        Error::NoCertificatesPresented | Error::AlertReceived(_) | Error::PeerIncompatible(_) => {
            true
        }
        _ => false,
    }
}
