//! URLs, credentials and rights.

use std::time::Duration;

use canary_controller::store::{Retry, StateStore};
use canary_store_postgres::{PostgresOptions, PostgresStore};
use canary_tests::postgres::{PostgresServer, free_port};

use crate::{chain, document, key, open, options, swap};

#[test]
fn invalid_options_are_refused_with_value_and_expectation() {
    let of = |url: &str| PostgresOptions::from_url(url).unwrap_err().to_string();
    let cases = [
        ("host=db user=shop password=secret", "the URL: expected postgres://user@host/database"),
        ("postgres:///shop", "the URL: expected a host"),
        ("postgres://db:x/shop", "the URL: invalid value for option `port`"),
        ("postgres://db/shop?colour=red", "the URL: unknown option `colour`"),
        (
            "postgres://db/shop?sslmode=allow",
            "sslmode \"allow\": expected disable, require, verify-ca or verify-full",
        ),
        ("postgres://db/shop?sslcert=/a", "the URL: expected both sslcert and sslkey, or none"),
        (
            "postgres://a,b,c/shop?port=1,2",
            "3 hosts and 5 ports: expected one port, or one for each host",
        ),
        (
            "postgres://db/shop?target_session_attrs=read-only",
            "target_session_attrs read-only: expected read-write, because the store writes",
        ),
        (
            "postgres://shop:se@cret@db/shop",
            "the URL: expected `@` in a password to be written as %40",
        ),
    ];
    for (url, expected) in cases {
        assert_eq!(of(url), expected, "{url}");
    }

    let options = || PostgresOptions::from_url("postgres://db/shop").unwrap();
    let expected = "expected 1 to 40 characters of a-z, 0-9 and '_', the first a letter";
    for name in ["", "A", "1a", "a b", "a\"b", "é", &"a".repeat(41)] {
        let error = options().schema(name).unwrap_err().to_string();
        assert_eq!(error, format!("schema {name:?}: {expected}"));
        let error = options().table_prefix(name).unwrap_err().to_string();
        assert_eq!(error, format!("table prefix {name:?}: {expected}"));
    }
    for interval in [Duration::from_millis(99), Duration::from_secs(31)] {
        let error = options().poll_interval(interval).unwrap_err().to_string();
        assert_eq!(error, format!("poll interval {interval:?}: expected 100ms to 30s"));
    }
}

/// P5.
#[tokio::test]
async fn no_debug_output_and_no_error_has_the_password() {
    let url = format!("postgres://shop:hidden@127.0.0.1:{}/orders", free_port());
    let options = PostgresOptions::from_url(&url).unwrap();
    let store = PostgresStore::new(options.clone()).unwrap();
    let error = store.load(&key("shop")).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later);
    let location = store.location(&key("shop"));
    for text in [format!("{options:?}"), format!("{store:?}"), chain(&error), location] {
        assert!(!text.contains("hidden"), "{text}");
        assert!(text.contains("127.0.0.1:") && text.contains("orders"), "{text}");
    }
}

/// P5.
#[tokio::test]
async fn a_wrong_password_is_refused() {
    let Some(server) = PostgresServer::start("a_wrong_password_is_refused") else { return };
    let url = server.url_of("guarded", "shop");
    let right = PostgresOptions::from_url(&url).unwrap().password("secret");
    open_with(right).await;
    open_with(server.url_of("guarded:secret", "shop").parse().unwrap()).await;
    let wrong = PostgresOptions::from_url(&url).unwrap().password("hidden");
    let error = PostgresStore::open(wrong).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    let place = format!("127.0.0.1:{}/shop", server.port());
    assert_eq!(
        chain(&error),
        format!(
            "open the store in PostgreSQL: refused by the store: {place}: FATAL: \
             password authentication failed for user \"guarded\" (28P01)"
        ),
    );
    let missing = PostgresOptions::from_url(&server.url_of("shop", "orders")).unwrap();
    let error = PostgresStore::open(missing).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert!(chain(&error).contains("database \"orders\" does not exist"), "{error:?}");
}

#[tokio::test]
async fn a_role_without_rights_is_refused_and_one_with_the_documented_rights_works() {
    let test = "a_role_without_rights_is_refused_and_one_with_the_documented_rights_works";
    let Some(server) = PostgresServer::start(test) else { return };
    let owner = options(&server).schema("canary").unwrap();
    open_with(owner).await;
    server.sql("shop", "create role guest login");
    let url = server.url_of("guest", "shop");
    let guest = PostgresOptions::from_url(&url).unwrap().schema("canary").unwrap();
    let error = PostgresStore::open(guest.clone()).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert!(chain(&error).contains("permission denied for schema canary"), "{error:?}");

    // The rights in the documentation of the crate.
    let documentation = include_str!("../../src/lib.rs");
    let grants = documentation.split("```sql").nth(1).unwrap().split("```").next().unwrap();
    for line in grants.lines().filter_map(|line| line.strip_prefix("//! grant")) {
        server.sql("shop", &format!("grant{}", line.replace("to shop", "to guest")));
    }
    let store = open_with(guest).await;
    let revision = swap(&store, &key("shop"), None, &document(1)).await;
    let revision = swap(&store, &key("shop"), Some(&revision), &document(2)).await;
    let event = canary_controller::store::EventRecord::try_new("{}").unwrap();
    for _ in 0..300 {
        store.append_event(&key("shop"), &event).await.unwrap();
    }
    assert_eq!(store.events(&key("shop"), usize::MAX).await.unwrap().len(), 256, "S12: the bound");
    let _ = store.remove(&key("shop"), &revision).await.unwrap();
}

async fn open_with(options: PostgresOptions) -> PostgresStore {
    PostgresStore::open(options).await.unwrap()
}

#[tokio::test]
async fn a_store_in_another_schema_or_with_another_prefix_is_another_store() {
    let test = "a_store_in_another_schema_or_with_another_prefix_is_another_store";
    let Some(server) = PostgresServer::start(test) else { return };
    let options = options(&server);
    let variants = [
        options.clone(),
        options.clone().table_prefix("teams_").unwrap(),
        options.clone().schema("canary").unwrap(),
        options.schema("canary").unwrap().table_prefix("teams_").unwrap(),
    ];
    for (number, options) in (0..).zip(variants) {
        let store = open_with(options).await;
        assert_eq!(store.load(&key("shop")).await.unwrap(), None);
        swap(&store, &key("shop"), None, &document(number)).await;
    }
    let count = "select count(*) from pg_tables where schemaname in ('public', 'canary')";
    assert_eq!(server.query("shop", count), "16");
}

#[tokio::test]
async fn a_store_can_be_created_while_the_server_is_down() {
    let test = "a_store_can_be_created_while_the_server_is_down";
    let Some(mut server) = PostgresServer::start(test) else { return };
    server.kill();
    let store = PostgresStore::new(options(&server)).unwrap();
    assert_eq!(store.load(&key("shop")).await.unwrap_err().retry(), Retry::Later);
    let swapped = store.compare_and_swap(&key("shop"), None, &document(1)).await;
    assert_eq!(swapped.unwrap_err().retry(), Retry::Later, "S8: nothing was sent");
    server.restart();
    swap(&store, &key("shop"), None, &document(1)).await;
    assert!(open(&server).await.load(&key("shop")).await.unwrap().is_some());
}
