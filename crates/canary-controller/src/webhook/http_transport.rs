use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::GaiResolver},
    },
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{
    target_rule::{CheckedResolver, TargetRule},
    transport::{SendFuture, Transport},
};
use crate::body::first_bytes;

/// Sends requests over HTTP/1.1, with or without TLS.
///
/// Connections are not reused: requests are rare, and firewalls drop idle connections. Proxies are
/// not supported; pass a [`Transport`] of your own to [`WebhookClient::new`] if you need one.
///
/// TLS uses rustls with ring, independently of the default provider of the process.
///
/// Link-local addresses are refused, whether a URL has one or its name is resolved to one: clouds serve
/// the credentials of a machine there. [`allow_link_local`](Self::allow_link_local) lifts this.
///
/// [`WebhookClient::new`]: super::WebhookClient::new
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: Client<HttpsConnector<HttpConnector<CheckedResolver>>, Full<Bytes>>,
    tls: ClientConfig,
    rule: TargetRule,
}

/// The error for missing or invalid root certificates.
#[derive(thiserror::Error)]
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

canary_core::debug_as_display!(RootsError);

impl HttpTransport {
    /// Creates a transport that trusts the root certificates of the system, or those in the file
    /// named by the environment variable `SSL_CERT_FILE`.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no root certificates.
    pub fn try_new() -> Result<Self, RootsError> {
        let tls = tls()?.with_native_roots().map_err(RootsError::None)?.with_no_client_auth();
        Ok(Self::new(tls, TargetRule::NoLinkLocal))
    }

    /// Creates a transport that trusts only these root certificates, for example those of a private
    /// network.
    ///
    /// # Errors
    ///
    /// Returns an error if the text contains no certificate or an invalid one.
    pub fn try_with_roots(pem: &str) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| malformed(&error))?;
            roots.add(certificate).map_err(|error| malformed(&error))?;
        }
        if roots.is_empty() {
            return Err(RootsError::Malformed("found none".to_owned()));
        }
        let tls = tls()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self::new(tls, TargetRule::NoLinkLocal))
    }

    /// Allows connections to link-local addresses, and to the other addresses at which clouds serve
    /// the credentials of a machine.
    #[must_use]
    pub fn allow_link_local(self) -> Self {
        Self::new(self.tls, TargetRule::Any)
    }

    fn new(tls: ClientConfig, rule: TargetRule) -> Self {
        let resolver = CheckedResolver { resolver: GaiResolver::new(), rule };
        let mut connector = HttpConnector::new_with_resolver(resolver);
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let mut builder = Client::builder(TokioExecutor::new());
        Self { client: builder.pool_max_idle_per_host(0).build(connector), tls, rule }
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request<Bytes>, max_bytes: usize) -> SendFuture<'_> {
        Box::pin(async move {
            self.check_target(request.uri())?;
            let (head, body) = self.client.request(request.map(Full::new)).await?.into_parts();
            let body = first_bytes(body, max_bytes).await?;
            Ok(http::Response::from_parts(head, body))
        })
    }

    /// Checks a target that is an address. Names are checked when they have been resolved.
    fn check_target(&self, uri: &Uri) -> Result<(), String> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        host.parse().map_or(Ok(()), |address| self.rule.check(address))
    }
}

fn tls() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, RootsError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| malformed(&error))
}

fn malformed(error: &dyn std::error::Error) -> RootsError {
    RootsError::Malformed(error.to_string())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
