//! The modes of TLS.

use std::{fs, path::Path};

use canary_controller::store::{Retry, StateStore};
use canary_store_postgres::{PostgresOptions, PostgresStore};
use canary_tests::postgres::PostgresServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::{chain, key};

struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    /// Makes an authority and the certificate of a server with this name.
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::default();
        // Otherwise the authorities of two tests have the same name.
        let common_name = directory.path().display().to_string();
        authority.distinguished_name.push(DnType::CommonName, common_name);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new([name.to_owned()]).unwrap();
        let server = server.signed_by(&server_key, &authority).unwrap();
        let of = |name: &str| directory.path().join(name);
        fs::write(of("roots.pem"), authority.pem()).unwrap();
        fs::write(of("server.pem"), server.pem()).unwrap();
        fs::write(of("server.key"), server_key.serialize_pem()).unwrap();
        Self { directory }
    }

    fn start(&self, test: &str) -> Option<PostgresServer> {
        let settings =
            ["fsync=off", "ssl=on", "ssl_cert_file=server.pem", "ssl_key_file=server.key"];
        PostgresServer::start_with(test, &settings, |data| {
            for file in ["server.pem", "server.key"] {
                canary_tests::postgres::install(&self.directory.path().join(file), data);
            }
        })
    }

    fn roots(&self) -> String {
        self.directory.path().join("roots.pem").display().to_string()
    }
}

async fn open(url: &str) -> Result<PostgresStore, String> {
    let options = PostgresOptions::from_url(url).unwrap();
    PostgresStore::open(options).await.map_err(|error| {
        assert_eq!(error.retry(), Retry::Never, "{error:?}");
        chain(&error)
    })
}

fn is_encrypted(server: &PostgresServer) -> bool {
    let sql = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) \
        where application_name = 'canary'";
    server.query("shop", sql) == "t"
}

#[tokio::test]
async fn each_mode_encrypts_and_verifies_what_it_says() {
    let test = "each_mode_encrypts_and_verifies_what_it_says";
    let certificates = Certificates::new("localhost");
    let Some(server) = certificates.start(test) else { return };
    let named = server.url().replace("127.0.0.1", "localhost");
    let roots = certificates.roots();

    // The default of a loopback address.
    let store = open(&server.url()).await.unwrap();
    assert!(!is_encrypted(&server));
    drop(store);
    let works = [
        format!("{}?sslmode=require", server.url()),
        format!("{}?sslmode=require&sslrootcert={roots}", server.url()),
        format!("{}?sslmode=verify-ca&sslrootcert={roots}", server.url()),
        format!("{named}?sslmode=verify-full&sslrootcert={roots}"),
    ];
    for url in works {
        let store = open(&url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        store.load(&key("shop")).await.unwrap();
        let encrypted = "select count(*) > 0 from pg_stat_ssl join pg_stat_activity using (pid) \
            where application_name = 'canary' and ssl";
        assert_eq!(server.query("shop", encrypted), "t", "{url}");
    }

    let other = Certificates::new("localhost");
    let other = other.roots();
    let fails = [
        (
            format!("{}?sslmode=verify-full&sslrootcert={roots}", server.url()),
            "certificate not valid for name \"127.0.0.1\"",
        ),
        (format!("{named}?sslmode=verify-full&sslrootcert={other}"), "UnknownIssuer"),
        (format!("{named}?sslmode=verify-ca&sslrootcert={other}"), "UnknownIssuer"),
        (format!("{named}?sslmode=require&sslrootcert={other}"), "UnknownIssuer"),
    ];
    for (url, why) in fails {
        let error = open(&url).await.unwrap_err();
        assert!(error.contains(why), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_unless_it_is_disabled() {
    let test = "a_server_without_tls_is_refused_unless_it_is_disabled";
    let Some(server) = PostgresServer::start(test) else { return };
    let error = open(&format!("{}?sslmode=require", server.url())).await.unwrap_err();
    let why = "server does not support TLS; in a trusted network, sslmode=disable allows this";
    assert!(error.contains(why), "{error}");
}

#[test]
fn files_that_are_no_certificates_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for file in [&empty, Path::new("/missing.pem")] {
        let url = format!("postgres://db/shop?sslrootcert={}", file.display());
        let options = PostgresOptions::from_url(&url).unwrap();
        let error = PostgresStore::new(options).unwrap_err().to_string();
        let begin = format!("certificates {}: expected a PEM file of them: ", file.display());
        assert!(error.starts_with(&begin), "{error}");
    }
}
