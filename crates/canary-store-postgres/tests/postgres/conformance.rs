//! Runs the conformance suite. Each check has a server of its own, because some stop it.

use std::sync::{Arc, Mutex};

use canary_controller::store::{
    StateStore, StoreKey,
    testing::{HookFuture, Injection, StoreUnderTest},
};
use canary_store_postgres::PostgresStore;
use canary_tests::postgres::PostgresServer;

use crate::options;

#[derive(Debug)]
struct PostgresUnderTest {
    server: Mutex<PostgresServer>,
}

impl PostgresUnderTest {
    fn new() -> Option<Self> {
        let server = Mutex::new(PostgresServer::start("the conformance suite with PostgreSQL")?);
        Some(Self { server })
    }
}

impl StoreUnderTest for PostgresUnderTest {
    fn open(&self) -> HookFuture<'_, Arc<dyn StateStore>> {
        let options = options(&self.server.lock().unwrap());
        Box::pin(async { Arc::new(PostgresStore::new(options).unwrap()) as Arc<dyn StateStore> })
    }

    fn disconnect(&self) -> HookFuture<'_, Injection> {
        Box::pin(async {
            self.server.lock().unwrap().kill();
            Injection::Done
        })
    }

    fn reconnect(&self) -> HookFuture<'_, ()> {
        Box::pin(async { self.server.lock().unwrap().restart() })
    }

    fn corrupt<'a>(&'a self, key: &'a StoreKey, bytes: &'a [u8]) -> HookFuture<'a, Injection> {
        Box::pin(async move {
            let Ok(text) = str::from_utf8(bytes) else { return Injection::Unsupported };
            if text.contains('\0') {
                return Injection::Unsupported;
            }
            let sql =
                format!("update canary_documents set document = '{text}' where key = '{key}'");
            self.server.lock().unwrap().sql("shop", &sql);
            Injection::Done
        })
    }

    fn read_raw<'a>(&'a self, key: &'a StoreKey) -> HookFuture<'a, Vec<u8>> {
        Box::pin(async move {
            let sql = format!("select document from canary_documents where key = '{key}'");
            self.server.lock().unwrap().query("shop", &sql).into_bytes()
        })
    }
}

canary_controller::store_conformance!(match PostgresUnderTest::new() {
    Some(subject) => subject,
    None => return,
});
