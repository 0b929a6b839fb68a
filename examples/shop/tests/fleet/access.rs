//! Stores with users and TLS, as `--store` describes them.

use std::fs;

use canary_tests::{
    certificates::{Authority, CertificateFiles},
    etcd::Etcd,
    postgres::{PostgresServer, install},
};
use serde_json::Value;

use super::support::Shop;

#[tokio::test]
async fn shops_share_etcd_with_a_user() {
    let Some(etcd) = Etcd::start("etcd with users", &[]) else { return };
    etcd.enable_users("default");
    let at = |user: &str| etcd.url().replace("http://", &format!("etcd://{user}@"));
    share(&[&at("shop:s3cret")]).await;
    let password = file("s3cret\n");
    share(&[&at("shop"), "--store-password-file", password.1.as_str()]).await;
    refused(&at("shop:wr0ng"), r#"user "shop""#).await;
}

#[tokio::test]
async fn shops_share_etcd_over_tls() {
    let authority = Authority::new();
    let [server, client] = ["127.0.0.1", "shop"].map(|name| authority.sign(name));
    let roots = authority.roots().display().to_string();
    let arguments = [
        format!("--cert-file={}", server.certificate.display()),
        format!("--key-file={}", server.key.display()),
        format!("--trusted-ca-file={roots}"),
        "--client-cert-auth".to_owned(),
    ];
    let arguments = arguments.each_ref().map(String::as_str);
    let Some(etcd) = Etcd::start_with_tls("etcd with TLS", &arguments) else { return };
    let url = etcd.url().replace("https://", "etcd://");
    let url = format!("{url}?sslmode=verify-full&sslrootcert={roots}");
    share(&[&format!("{url}{}", of_client(&client))]).await;
    // Without the certificate of the client.
    refused(&url, "https://127.0.0.1").await;
}

#[tokio::test]
async fn shops_share_postgres_with_a_password_and_over_tls() {
    let authority = Authority::new();
    let [server, client] = ["127.0.0.1", "shop"].map(|name| authority.sign(name));
    let roots = authority.roots();
    let name = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let settings = [
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", name(&server.certificate)),
        format!("ssl_key_file={}", name(&server.key)),
        format!("ssl_ca_file={}", name(&roots)),
    ];
    let settings = settings.each_ref().map(String::as_str);
    let started = PostgresServer::start_with("PostgreSQL with TLS", &settings, |data| {
        for file in [&server.certificate, &server.key, &roots] {
            install(file, data);
        }
        let access = "hostssl all shop 127.0.0.1/32 cert\n\
            hostssl all guarded 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n";
        fs::write(data.join("pg_hba.conf"), access).unwrap();
    });
    let Some(postgres) = started else { return };
    let tls = format!("?sslmode=verify-full&sslrootcert={}", roots.display());
    let by_certificate = format!("{}{tls}{}", postgres.url(), of_client(&client));
    share(&[&by_certificate]).await;

    let by_password = |user: &str| format!("{}{tls}", postgres.url_of(user, "shop"));
    let password = file("secret\n");
    share(&[&by_password("guarded"), "--store-password-file", password.1.as_str()]).await;
    refused(&by_password("guarded:wr0ng"), "password authentication failed").await;
}

#[tokio::test]
async fn a_wrong_store_ends_the_shop_without_its_password() {
    for (url, expected) in [
        ("etcdd://shop:s3cret@a", "expected dir:DIRECTORY, etcd://.. or postgres://.."),
        ("etcd://shop:s3cret@a?ssl=on", "expected sslmode, sslrootcert, sslcert or sslkey"),
        ("etcd://shop:s3cret@a.example", "others could read the password on its way"),
        ("etcd://shop:s3cret@a?sslmode=verify-full&sslrootcert=/missing", "cannot read /missing"),
        ("postgres://shop:s3cret@a/shop?sslmode=prefer", r#"sslmode "prefer": expected disable"#),
    ] {
        let plan = file(PLAN);
        let shop = tokio::process::Command::new(env!("CARGO_BIN_EXE_shop"))
            .args(["--addr=127.0.0.1:0", "--plan", &plan.1, "--store", url])
            .output()
            .await
            .unwrap();
        let error = String::from_utf8_lossy(&shop.stderr);
        assert!(error.contains(expected) && !error.contains("s3cret"), "{url}: {error}");
        assert_eq!(shop.status.code(), Some(1), "{url}");
    }
}

/// Starts two shops with a store, and waits until each knows the other.
async fn share(store: &[&str]) {
    let plan = file(PLAN);
    let options = [&["--stay", "--plan", &plan.1, "--store"], store].concat();
    let shops = [Shop::start(&options).await, Shop::start(&options).await];
    for shop in &shops {
        shop.wait_for(|view| view["fleet"]["heard"].as_u64() >= Some(2)).await;
    }
}

/// Starts a shop with a store that refuses it, waits until the page says why, and asserts that it does
/// not show the password `wr0ng`.
async fn refused(store: &str, why: &str) {
    let plan = file(PLAN);
    let shop = Shop::start(&["--stay", "--plan", &plan.1, "--store", store]).await;
    let says =
        |view: &Value| view["storage"]["load_error"].as_str().is_some_and(|it| it.contains(why));
    shop.wait_for(says).await;
    let view = shop.view().await;
    assert_eq!(view["weight"], "0%");
    assert!(!view.to_string().contains("wr0ng"), "{view:#}");
}

/// Returns the parameters for the certificate of a client.
fn of_client(files: &CertificateFiles) -> String {
    format!("&sslcert={}&sslkey={}", files.certificate.display(), files.key.display())
}

/// Returns a temporary file with this text, and its path.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("text.toml");
    fs::write(&path, text).unwrap();
    (directory, path.display().to_string())
}

const PLAN: &str = r#"
steps = [{ weight = "10%", min_duration = "10h", deadline = "20h" }]
monitors = [{ measure = "failures" }]
"#;
