//! Runs the conformance suite against both stores of this crate.

use std::{fs, path::PathBuf, sync::Arc};

use canary_controller::store::{
    DocumentWatch, FileStore, MemoryStore, StateStore, StoreError, StoreKey, Versioned,
    testing::{HookFuture, Injection, StoreUnderTest},
};
use tempfile::TempDir;

#[derive(Debug, Default)]
struct MemoryStoreUnderTest(MemoryStore);

impl StoreUnderTest for MemoryStoreUnderTest {
    fn open(&self) -> HookFuture<'_, Arc<dyn StateStore>> {
        Box::pin(async { Arc::new(self.0.clone()) as Arc<dyn StateStore> })
    }
}

/// A directory that can be moved away to simulate an unmounted disk (F7).
#[derive(Debug)]
struct FileStoreUnderTest(TempDir);

impl FileStoreUnderTest {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }

    fn away(&self) -> PathBuf {
        self.0.path().join("away")
    }

    fn file(&self, key: &StoreKey) -> PathBuf {
        let name = key.as_str()[1..].replace('/', ".");
        self.path().join(format!("{name}.json"))
    }
}

impl StoreUnderTest for FileStoreUnderTest {
    fn open(&self) -> HookFuture<'_, Arc<dyn StateStore>> {
        Box::pin(async {
            Arc::new(FileStore::open(self.path()).await.unwrap()) as Arc<dyn StateStore>
        })
    }

    fn disconnect(&self) -> HookFuture<'_, Injection> {
        Box::pin(async {
            fs::rename(self.path(), self.away()).unwrap();
            // The mount point of an unmounted disk remains, empty.
            fs::create_dir(self.path()).unwrap();
            Injection::Done
        })
    }

    fn reconnect(&self) -> HookFuture<'_, ()> {
        Box::pin(async {
            fs::remove_dir(self.path()).unwrap();
            fs::rename(self.away(), self.path()).unwrap();
        })
    }

    fn corrupt<'a>(&'a self, key: &'a StoreKey, bytes: &'a [u8]) -> HookFuture<'a, Injection> {
        Box::pin(async move {
            let file = self.file(key);
            assert!(file.exists(), "{} is not the document's file", file.display());
            fs::write(file, bytes).unwrap();
            Injection::Done
        })
    }

    fn read_raw<'a>(&'a self, key: &'a StoreKey) -> HookFuture<'a, Vec<u8>> {
        Box::pin(async move { fs::read(self.file(key)).unwrap() })
    }
}

#[test]
fn stores_are_send_and_sync_and_watches_are_send() {
    fn assert_send_and_sync<T: Send + Sync>() {}
    fn assert_send<T: Send>() {}
    assert_send_and_sync::<(FileStore, MemoryStore, Arc<dyn StateStore>, StoreError, Versioned)>();
    assert_send::<DocumentWatch>();
}

mod memory {
    canary_controller::store_conformance!(super::MemoryStoreUnderTest::default());
}

mod file {
    canary_controller::store_conformance!(super::FileStoreUnderTest::new());
}
