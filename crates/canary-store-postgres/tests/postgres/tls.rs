//! The modes of TLS.

use std::{fs, path::Path};

use canary_controller::store::{Retry, StateStore};
use canary_store_postgres::{PostgresOptions, PostgresStore};
use canary_tests::{
    certificates::{Authority, CertificateFiles},
    postgres::{PostgresServer, install},
};

use crate::{chain, key};

/// Starts a server whose name is `localhost`.
fn start(authority: &Authority, test: &str) -> Option<PostgresServer> {
    let CertificateFiles { certificate, key } = authority.sign("localhost");
    let settings =
        ["fsync=off", "ssl=on", "ssl_cert_file=localhost.pem", "ssl_key_file=localhost.key"];
    PostgresServer::start_with(test, &settings, |data| {
        [&certificate, &key].into_iter().for_each(|file| install(file, data));
    })
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
    let (authority, other) = (Authority::new(), Authority::new());
    let Some(server) = start(&authority, test) else { return };
    let named = server.url().replace("127.0.0.1", "localhost");
    let [roots, other] = [&authority, &other].map(|it| it.roots().display().to_string());

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
