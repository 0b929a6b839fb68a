//! Watches, and lists beside foreign keys.

use canary_controller::store::{KeyRange, StateStore, WatchEvent};
use canary_store_etcd::EtcdStore;
use canary_tests::{etcd::Etcd, tcp_proxy::TcpProxy, timeout::complete};

use crate::documents::{key, swap};

/// S10 and S11: the revisions that a watch has missed are no longer there when it connects again.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_recovers_from_a_compaction() {
    let Some(etcd) = Etcd::start("a compaction", &[]) else { return };
    let address = etcd.url().strip_prefix("http://").unwrap().parse().unwrap();
    let proxy = TcpProxy::start(address).await;
    let watched = EtcdStore::builder([proxy.url()]).build().unwrap();
    let (writer, key) = (EtcdStore::builder([etcd.url()]).build().unwrap(), key("compacted"));
    let mut current = swap(&writer, &key, None, 0).await;
    let mut watch = watched.watch(&key);
    assert_eq!(complete(watch.next()).await, WatchEvent::Value(current.clone()));

    proxy.cut();
    assert!(matches!(complete(watch.next()).await, WatchEvent::Stale { .. }));
    for number in 1..=5 {
        current = swap(&writer, &key, Some(&current.revision), number).await;
    }
    let (revision, _) = current.revision.as_str().split_once('-').unwrap();
    etcd.post("/v3/kv/compaction", &format!(r#"{{"revision":"{revision}","physical":true}}"#));
    proxy.restore();
    assert_eq!(complete(watch.next()).await, WatchEvent::Fresh);
    assert_eq!(complete(watch.next()).await, WatchEvent::Value(current.clone()));
    let next = swap(&writer, &key, Some(&current.revision), 6).await;
    assert_eq!(complete(watch.next()).await, WatchEvent::Value(next));
}

/// S11: a watch whose connection breaks, and whose server can be reached again at once, is not stale.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_continues_on_another_endpoint() {
    let Some(etcd) = Etcd::start("a watch with two endpoints", &[]) else { return };
    let address = etcd.url().strip_prefix("http://").unwrap().parse().unwrap();
    let proxies = [TcpProxy::start(address).await, TcpProxy::start(address).await];
    let urls = proxies.each_ref().map(TcpProxy::url);
    let (writer, key) = (EtcdStore::builder([etcd.url()]).build().unwrap(), key("failover"));
    let first = swap(&writer, &key, None, 0).await;
    let mut watch = EtcdStore::builder(urls).build().unwrap().watch(&key);
    assert_eq!(complete(watch.next()).await, WatchEvent::Value(first.clone()));

    for (number, proxy) in (1..).zip(&proxies) {
        // A younger stream is reported, see `MIN_AGE`. Nothing else happens meanwhile.
        let quiet = tokio::time::timeout(std::time::Duration::from_millis(1500), watch.next());
        assert!(quiet.await.is_err());
        proxy.cut();
        let current = writer.load(&key).await.unwrap().unwrap();
        let next = swap(&writer, &key, Some(&current.revision), number).await;
        assert_eq!(complete(watch.next()).await, WatchEvent::Value(next));
        proxy.restore();
    }
}

/// S16: keys of other programs, and of prefixes that begin with the range, are not in a list.
#[tokio::test]
async fn foreign_keys_are_not_listed() {
    let Some(etcd) = Etcd::start("foreign keys", &[]) else { return };
    let store = EtcdStore::builder([etcd.url()]).build().unwrap();
    let range = KeyRange::rollouts("prod").unwrap();
    for foreign in ["", "A", "a_b", "a/b", "v1/rollouts/a", "zz.json", "\u{7f}"] {
        etcd.put(&format!("{range}{foreign}"), b"{}");
    }
    let key = key("mine");
    let stored = swap(&store, &key, None, 1).await;
    let listed = store.list(&range).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].key, key);
    assert_eq!(listed[0].document.as_ref().unwrap(), &stored);
}
