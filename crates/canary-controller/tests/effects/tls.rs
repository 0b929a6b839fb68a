use std::sync::Arc;

use canary_controller::{
    probe::{ProbeRunner, ProbeTarget},
    webhook::{HttpTransport, PostError, WebhookClient},
};
use canary_rollout::tick::ProbeOutcome;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::support::{CERTIFICATE, KEY, TestServer, client, soon, webhook};

/// Starts a TLS server that answers 200.
async fn server() -> (String, TestServer) {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    let server = TestServer::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    (url, server)
}

#[tokio::test]
async fn a_trusted_receiver_is_notified_over_https() {
    let (url, _server) = server().await;
    let reply = soon(client().post(&webhook(&url, &json!({})), "1", "{}")).await.unwrap();
    assert_eq!(reply.status.as_u16(), 200);
}

#[tokio::test]
async fn an_untrusted_certificate_is_rejected() {
    let (url, _server) = server().await;
    let Ok(transport) = HttpTransport::try_new() else {
        return; // The system has no root certificates.
    };
    let client = WebhookClient::new(transport);
    let error = soon(client.post(&webhook(&url, &json!({})), "1", "{}")).await.unwrap_err();
    assert!(matches!(error, PostError::Unreachable { .. }), "{error}");
    let debug = format!("{error:?}");
    assert!(debug.contains("UnknownIssuer") || debug.contains("CaUsedAsEndEntity"), "{debug}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_rejected() {
    let (url, _server) = server().await;
    let url = url.replace("localhost", "127.0.0.1");
    let error = soon(client().post(&webhook(&url, &json!({})), "1", "{}")).await.unwrap_err();
    assert!(format!("{error:?}").contains("not valid for name"), "{error:?}");
}

#[tokio::test]
async fn a_canary_in_another_process_is_probed_over_https() {
    let (url, _server) = server().await;
    let transport = HttpTransport::try_with_roots(CERTIFICATE).unwrap();
    let target = ProbeTarget::url(&url, transport).unwrap();
    let probe = crate::probe::http(json!({ "path": "/health" }));
    let outcome = soon(ProbeRunner::new().target(target).run(&probe)).await;
    assert_eq!(outcome, ProbeOutcome::Passed);
}

#[test]
fn invalid_root_certificates_are_rejected() {
    for pem in ["", "hush", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(HttpTransport::try_with_roots(pem).is_err(), "{pem}");
    }
}
