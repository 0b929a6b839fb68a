//! Users, permissions, and TLS.

use std::{error::Error as _, fs, path::Path, sync::Arc};

use canary_controller::store::{
    EventRecord, KeyRange, Removal, StateStore, StoreError, StoreKey, WatchEvent,
    testing::{HookFuture, StoreUnderTest, a_watch_that_is_not_polled_delays_no_call},
};
use canary_store_etcd::{EtcdStore, EtcdStoreBuilder, Tls};
use canary_tests::{certificates::Authority, etcd::Etcd, timeout::complete};

use crate::documents::{key, swap};

fn builder(etcd: &Etcd) -> EtcdStoreBuilder {
    EtcdStore::builder([etcd.url()])
}

fn event() -> EventRecord {
    EventRecord::try_new(r#"{"id":"1"}"#).unwrap()
}

#[tokio::test]
async fn the_documented_permission_suffices_and_others_are_refused() {
    let Some(etcd) = Etcd::start("a user with a role", &[]) else { return };
    etcd.enable_users("prod");
    let store = builder(&etcd).user("shop", "s3cret").build().unwrap();
    let key = key("checkout");
    let mut watch = store.watch(&key);
    assert_eq!(complete(watch.next()).await, WatchEvent::Absent);
    let stored = swap(&store, &key, None, 1).await;
    assert_eq!(complete(watch.next()).await, WatchEvent::Value(stored.clone()));
    store.append_event(&key, &event()).await.unwrap();
    assert_eq!(store.events(&key, 9).await.unwrap(), [event()]);
    assert_eq!(store.list(&KeyRange::rollouts("prod").unwrap()).await.unwrap().len(), 1);
    assert_eq!(store.remove(&key, &stored.revision).await.unwrap(), Removal::Done);

    let foreign = StoreKey::try_new("other", &"checkout".parse().unwrap()).unwrap();
    let error = store.load(&foreign).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains(&etcd.url()) && cause.contains("permission denied"), "{cause}");
}

#[tokio::test]
async fn a_wrong_or_missing_user_is_refused() {
    let Some(etcd) = Etcd::start("a wrong password", &[]) else { return };
    etcd.enable_users("prod");
    for (builder, expected) in [
        (builder(&etcd).user("shop", "wr0ng"), r#"user "shop""#),
        (builder(&etcd).user("unknown", "s3cret"), r#"user "unknown""#),
        (builder(&etcd), "user name is empty"),
    ] {
        let error = builder.build().unwrap().load(&key("checkout")).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains(expected) && !cause.contains("s3cret"), "{cause}");
    }
}

/// A token expires after a time without use, and a restarted server knows no token.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed() {
    let Some(etcd) = Etcd::start("an expired token", &["--auth-token-ttl=1"]) else { return };
    etcd.enable_users("prod");
    let (store, key) = (builder(&etcd).user("shop", "s3cret").build().unwrap(), key("checkout"));
    let first = swap(&store, &key, None, 1).await;

    etcd.wait_for_log("deleted a simple token");
    let second = swap(&store, &key, Some(&first.revision), 2).await;

    etcd.restart();
    complete(async { while store.load(&key).await.is_err() {} }).await;
    etcd.restart();
    // The connection is a new one as well, but the token is that of the server before.
    complete(async { while store.events(&key, 1).await.is_err() {} }).await;
    let _ = swap(&store, &key, Some(&second.revision), 3).await;
}

/// An etcd whose handles have no token yet.
#[derive(Debug)]
struct EtcdWithUser(Etcd);

impl StoreUnderTest for EtcdWithUser {
    fn open(&self) -> HookFuture<'_, Arc<dyn StateStore>> {
        let store = builder(&self.0).user("shop", "s3cret").build().unwrap();
        Box::pin(async { Arc::new(store) as Arc<dyn StateStore> })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_requests_a_token_and_is_not_polled_delays_no_call() {
    let Some(etcd) = Etcd::start("a token for a watch", &[]) else { return };
    etcd.enable_users("store-testing");
    a_watch_that_is_not_polled_delays_no_call(&EtcdWithUser(etcd)).await;
}

#[tokio::test]
async fn authentication_can_be_enabled_while_the_store_is_in_use() {
    let Some(etcd) = Etcd::start("authentication that is enabled later", &[]) else { return };
    let (store, key) = (builder(&etcd).user("shop", "s3cret").build().unwrap(), key("checkout"));
    let first = swap(&store, &key, None, 1).await;
    etcd.enable_users("prod");
    let _ = swap(&store, &key, Some(&first.revision), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_verifies_both_sides() {
    let (trusted, foreign) = (Authority::new(), Authority::new());
    let (server, client) = (trusted.sign("127.0.0.1"), trusted.sign("shop"));
    let arguments = [
        format!("--cert-file={}", server.certificate.display()),
        format!("--key-file={}", server.key.display()),
        format!("--trusted-ca-file={}", trusted.roots().display()),
        "--client-cert-auth".to_owned(),
    ];
    let arguments = arguments.each_ref().map(String::as_str);
    let Some(etcd) = Etcd::start_with_tls("etcd with TLS", &arguments) else { return };

    let key = key("checkout");
    let load = async |tls: Tls| builder(&etcd).tls(tls).build().unwrap().load(&key).await;
    let pem = |file: &Path| fs::read_to_string(file).unwrap();
    let tls = Tls::new().ca_certificate(pem(&trusted.roots()));
    let with_client = tls.clone().client_certificate(pem(&client.certificate), pem(&client.key));
    assert_eq!(load(with_client.clone()).await.unwrap(), None);
    for (tls, expected) in [
        (Tls::new().ca_certificate(pem(&foreign.roots())), "invalid peer certificate"),
        (with_client.server_name("etcd.example"), "not valid for name"),
        (tls, ""),
    ] {
        let error = load(tls).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
        let cause = error.source().unwrap().to_string();
        assert!(cause.starts_with(&etcd.url()) && cause.contains(expected), "{cause}");
    }
}
