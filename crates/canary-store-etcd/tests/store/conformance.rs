//! Runs the conformance suite. Its outages are those of a process that is killed and started again.

use std::sync::Arc;

use canary_controller::store::{
    StateStore, StoreKey,
    testing::{HookFuture, Injection, StoreUnderTest},
};
use canary_store_etcd::EtcdStore;
use canary_tests::etcd::Etcd;

#[derive(Debug)]
struct EtcdStoreUnderTest(Etcd);

impl EtcdStoreUnderTest {
    fn start() -> Option<Self> {
        Etcd::start("conformance of the etcd store", &[]).map(Self)
    }
}

impl StoreUnderTest for EtcdStoreUnderTest {
    fn open(&self) -> HookFuture<'_, Arc<dyn StateStore>> {
        Box::pin(async {
            Arc::new(EtcdStore::builder([self.0.url()]).build().unwrap()) as Arc<dyn StateStore>
        })
    }

    fn disconnect(&self) -> HookFuture<'_, Injection> {
        Box::pin(async {
            self.0.kill();
            Injection::Done
        })
    }

    fn reconnect(&self) -> HookFuture<'_, ()> {
        Box::pin(async { self.0.restart() })
    }

    fn corrupt<'a>(&'a self, key: &'a StoreKey, bytes: &'a [u8]) -> HookFuture<'a, Injection> {
        Box::pin(async move {
            assert!(self.0.get(key.as_str()).is_some(), "{key} is not the key of a document");
            self.0.put(key.as_str(), bytes);
            Injection::Done
        })
    }

    fn read_raw<'a>(&'a self, key: &'a StoreKey) -> HookFuture<'a, Vec<u8>> {
        Box::pin(async move { self.0.get(key.as_str()).expect("the key exists") })
    }
}

canary_controller::store_conformance!(match EtcdStoreUnderTest::start() {
    Some(etcd) => etcd,
    None => return,
});
