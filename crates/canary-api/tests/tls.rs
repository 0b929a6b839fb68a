//! The client over TLS.
#![cfg(feature = "client")]
#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::{path::Path, sync::Arc};

use canary_api::{Role, client::Client};
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

const SESSION: &str =
    r#"{"operator":{"name":"ada","role":"view"},"environment":null,"version":"1"}"#;

fn testdata(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(file)
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(testdata("self-signed.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(testdata("self-signed.key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Responds to one request per connection. Returns the port.
async fn serve() -> u16 {
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // The handshake fails if the client does not trust the certificate.
            let Ok(mut stream) = acceptor().accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            assert!(request.contains("authorization: Bearer s3cret\r\n"), "{request}");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let response = format!("{head}\r\ncontent-length: {}\r\n\r\n{SESSION}", SESSION.len());
            stream.write_all(response.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_private_certificate_authority_is_named_by_its_file() {
    let url = format!("https://localhost:{}/", serve().await);
    let trusting = Client::builder(&url).token("s3cret").ca_file(testdata("self-signed.pem"));
    let session = trusting.build().unwrap().session().await.unwrap();
    assert_eq!(session.operator.role, Role::View);
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_refused_for_good() {
    // Its certificate is for localhost.
    let url = format!("https://127.0.0.1:{}/", serve().await);
    let client = Client::builder(&url).ca_file(testdata("self-signed.pem")).build().unwrap();
    let error = client.session().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("invalid peer certificate"), "{text}");
    assert!(text.contains("name the file of its certificate authority"), "{text}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_server_without_tls_is_recognized() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 16];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let client = Client::builder(&url).ca_file(testdata("self-signed.pem")).build().unwrap();
    let error = client.session().await.unwrap_err();
    assert!(error.to_string().contains("is it a plain http:// server?"), "{error}");
    assert!(!error.is_transient());
}
