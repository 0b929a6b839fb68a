use std::{fmt, time::Duration};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// The options of connections with TLS, for endpoints that begin with `https://`.
///
/// Certificates and keys are texts in PEM format. Without options, the certificates of the system are
/// trusted.
///
/// ```no_run
/// // `no_run`, because the files are examples.
/// use std::fs;
///
/// use canary_store_etcd::{EtcdStore, Tls};
///
/// let tls = Tls::new()
///     .ca_certificate(fs::read("/etc/etcd/ca.pem")?)
///     .client_certificate(fs::read("/etc/shop/shop.pem")?, fs::read("/etc/shop/shop.key.pem")?);
/// let store = EtcdStore::builder(["https://etcd-0.internal:2379"]).tls(tls).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "the options do nothing until a builder has them"]
pub struct Tls {
    ca_certificate: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    server_name: Option<String>,
}

impl Tls {
    /// Returns the default options: trust the certificates of the system, present no certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts only the certificates of this text, instead of those of the system.
    pub fn ca_certificate(self, pem: impl Into<Vec<u8>>) -> Self {
        Self { ca_certificate: Some(pem.into()), ..self }
    }

    /// Presents a certificate, for servers that require one (`--client-cert-auth`).
    pub fn client_certificate(self, pem: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self { identity: Some((pem.into(), key.into())), ..self }
    }

    /// Expects this name in the certificate of the server, instead of the host of the endpoint.
    pub fn server_name(self, name: impl Into<String>) -> Self {
        Self { server_name: Some(name.into()), ..self }
    }

    /// Returns the text that should have certificates but has none.
    ///
    /// Certificates that cannot be parsed would be ignored, and every connection would fail.
    pub(crate) fn text_without_certificates(&self) -> Option<&'static str> {
        let has_certificate =
            |pem: &[u8]| pem.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes());
        if self.ca_certificate.as_ref().is_some_and(|pem| !has_certificate(pem)) {
            return Some("CA certificate");
        }
        self.identity
            .as_ref()
            .and_then(|(pem, _)| (!has_certificate(pem)).then_some("client certificate"))
    }

    pub(crate) fn config(&self, timeout: Duration) -> ClientTlsConfig {
        let config = ClientTlsConfig::new().timeout(timeout);
        let config = match &self.ca_certificate {
            Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
            None => config.with_native_roots(),
        };
        let config = match &self.identity {
            Some((pem, key)) => config.identity(Identity::from_pem(pem, key)),
            None => config,
        };
        match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ca_certificate, identity, server_name } = self;
        f.debug_struct("Tls")
            .field("ca_certificate", &ca_certificate.is_some())
            .field("client_certificate", &identity.is_some())
            .field("server_name", server_name)
            .finish_non_exhaustive()
    }
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
