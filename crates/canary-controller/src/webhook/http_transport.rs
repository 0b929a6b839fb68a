use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};

use super::transport::{SendFuture, Transport};
use crate::body::first_bytes;

/// Sends requests over HTTP/1.1, with or without TLS.
///
/// Connections are not reused: requests are rare, and firewalls drop idle connections. Proxies are
/// not supported; pass a [`Transport`] of your own to [`WebhookClient::new`] if you need one.
///
/// TLS uses rustls with ring, independently of the default provider of the process.
///
/// [`WebhookClient::new`]: super::WebhookClient::new
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// The error for missing or invalid root certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// The system has no root certificates.
    #[error(
        "the system has no root certificates: install the package ca-certificates, or set \
         SSL_CERT_FILE to a file of certificates"
    )]
    None(#[source] std::io::Error),
    /// The text does not consist of valid certificates in PEM format.
    #[error("expected certificates in PEM format: {0}")]
    Malformed(String),
}

impl HttpTransport {
    /// Creates a transport that trusts the root certificates of the system, or those in the file
    /// named by the environment variable `SSL_CERT_FILE`.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no root certificates.
    pub fn try_new() -> Result<Self, RootsError> {
        let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider());
        let builder = builder.map_err(RootsError::None)?;
        Ok(Self::new(builder.https_or_http().enable_http1().build()))
    }

    /// Creates a transport that trusts only these root certificates, for example those of a private
    /// network.
    ///
    /// # Errors
    ///
    /// Returns an error if the text contains no certificate or an invalid one.
    pub fn try_with_roots(pem: &str) -> Result<Self, RootsError> {
        let malformed = |error: &dyn std::error::Error| RootsError::Malformed(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| malformed(&error))?;
            roots.add(certificate).map_err(|error| malformed(&error))?;
        }
        if roots.is_empty() {
            return Err(RootsError::Malformed("found none".to_owned()));
        }
        let tls = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| malformed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls);
        Ok(Self::new(builder.https_or_http().enable_http1().build()))
    }

    fn new(connector: HttpsConnector<HttpConnector>) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        Self { client: builder.pool_max_idle_per_host(0).build(connector) }
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request<Bytes>, max_bytes: usize) -> SendFuture<'_> {
        let request = self.client.request(request.map(Full::new));
        Box::pin(async move {
            let (head, body) = request.await?.into_parts();
            let body = first_bytes(body, max_bytes).await?;
            Ok(http::Response::from_parts(head, body))
        })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
