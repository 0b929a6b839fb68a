use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{Ctl, PLAN, Shop, ShopOptions};

/// `printf %s s3cret | sha256sum`
const DIGEST: &str = "1ec1c26b50d5d3c58d9583181af8076655fe00756bf7285940ba3670f99fcba0";

async fn shop_with_tokens(role: &str) -> Shop {
    let tokens = Some(format!("ada:{role}:{DIGEST}\n"));
    Shop::with_options(ShopOptions { tokens, ..ShopOptions::new(PLAN) }).await
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_remedy() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/canary", listener.local_addr().unwrap());
    drop(listener);
    for line in ["list", "pause shop", "roll-back", "watch shop"] {
        let ended = Ctl::new(&url, line).run().await.expect(1);
        let text = format!("cannot connect to {url}/: connection refused; start the service");
        assert!(ended.stderr.contains(&text), "{ended:?}");
        assert!(ended.stderr.contains("CANARY_SERVER"), "{ended:?}");
    }
}

#[tokio::test]
async fn a_wrong_url_is_recognized() {
    let shop = Shop::new().await;
    let ended = Ctl::new(&format!("http://{}/other", shop.addr), "list").run().await;
    assert_ne!(ended.status, 0, "{ended:?}");
    let ended = Ctl::new(&shop.addr.to_string(), "list").run().await.expect(1);
    assert!(ended.stderr.contains("expected http:// or https://"), "{ended:?}");
}

#[tokio::test]
async fn a_token_comes_from_a_file() {
    let shop = shop_with_tokens("operate").await;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "s3cret\n").unwrap();
    shop.ctl("list").arg("--token-file").arg(&file).run().await.expect(0);
    shop.ctl("start -y").env("CANARY_TOKEN_FILE", file.to_str().unwrap()).run().await.expect(0);
    let events = shop.history().await;
    assert!(events[0].contains("ada started"), "{events:?}");

    let ended = shop.ctl("list").run().await.expect(1);
    assert!(ended.stderr.contains("--token-file"), "{ended:?}");
    std::fs::write(&file, "wrong").unwrap();
    let ended = shop.ctl("list").arg("--token-file").arg(&file).run().await.expect(1);
    assert!(!ended.stderr.contains("wrong"), "{ended:?}");
}

#[tokio::test]
async fn an_unreadable_token_file_is_named() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    for (text, expected) in [
        (None, "No such file"),
        (Some(""), "expected one line with the token"),
        (Some("s3cret\nother"), "expected one line with the token"),
    ] {
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let ended = Ctl::bare("list --token-file").arg(&file).run().await.expect(1);
        assert!(ended.stderr.contains(&format!("token file {}", file.display())), "{ended:?}");
        assert!(ended.stderr.contains(expected) && !ended.stderr.contains("s3cret"), "{ended:?}");
    }
}

#[tokio::test]
async fn unreadable_certificates_are_named_and_not_the_server() {
    let ended = Ctl::new("https://127.0.0.1:1", "list --ca-file none.pem").run().await.expect(1);
    assert!(ended.stderr.contains("certificates none.pem: "), "{ended:?}");
    assert!(!ended.stderr.contains("CANARY_SERVER"), "{ended:?}");
}

#[tokio::test]
async fn a_token_is_not_sent_in_plain_text_to_another_machine() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "s3cret").unwrap();
    let ctl = Ctl::new("http://shop.example/canary", "list --token-file").arg(&file);
    let ended = ctl.run().await.expect(1);
    assert!(ended.stderr.contains("expected an https URL"), "{ended:?}");
}

#[tokio::test]
async fn a_role_that_does_not_suffice_is_a_refusal() {
    let shop = shop_with_tokens("view").await;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "s3cret").unwrap();
    shop.ctl("show --token-file").arg(&file).run().await.expect(0);
    let ended = shop.ctl("roll-back --token-file").arg(&file).run().await.expect(5);
    assert!(ended.stderr.contains("operate"), "{ended:?}");
    assert_eq!(shop.history().await.len(), 0);
}

#[tokio::test]
async fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let shop = Shop::new().await;
    let url = format!("http://{}", shop.addr);
    let config = format!("context = \"a\"\n[contexts.a]\nserver = \"{url}\"\n[contexts.b]\n");
    Ctl::bare("list").config(&config).run().await.expect(0);
    Ctl::bare("list --context a").config(&config).run().await.expect(0);
    let wrong = "http://127.0.0.1:1";
    Ctl::bare("list").config(&config).env("CANARY_SERVER", wrong).run().await.expect(1);
    let ctl = Ctl::bare(&format!("list --server {url}")).config(&config);
    ctl.env("CANARY_SERVER", wrong).run().await.expect(0);
    // An empty variable counts as none.
    Ctl::bare("list").config(&config).env("CANARY_SERVER", "").run().await.expect(0);
    let ended = Ctl::bare("list --context c").config(&config).run().await.expect(1);
    assert!(ended.stderr.contains("context \"c\": expected a or b"), "{ended:?}");
    let ended = Ctl::bare("list").config("server = 1").run().await.expect(1);
    assert!(ended.stderr.contains("config.toml:1:1: unknown field `server`"), "{ended:?}");
}
