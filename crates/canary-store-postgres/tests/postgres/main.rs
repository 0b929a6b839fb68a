//! The store on a real PostgreSQL server.
#![expect(clippy::unwrap_used, reason = "test helpers")]

mod access;
mod changes;
mod conformance;
mod guarantees;
mod notifications;
mod outages;
mod setup;
mod tls;

use canary_controller::store::{Document, Revision, StateStore, StoreError, StoreKey, Swap};
use canary_store_postgres::{PostgresOptions, PostgresStore};
use canary_tests::postgres::PostgresServer;

async fn open(server: &PostgresServer) -> PostgresStore {
    PostgresStore::open(options(server)).await.unwrap()
}

fn options(server: &PostgresServer) -> PostgresOptions {
    PostgresOptions::from_url(&server.url()).unwrap()
}

fn key(name: &str) -> StoreKey {
    StoreKey::try_new("prod", &name.parse().unwrap()).unwrap()
}

fn document(number: u64) -> Document {
    Document::try_new(format!(r#"{{"number":{number}}}"#)).unwrap()
}

fn number(document: &Document) -> u64 {
    document.as_str().trim_start_matches(r#"{"number":"#).trim_end_matches('}').parse().unwrap()
}

/// Makes a swap. Panics on a conflict.
async fn swap(
    store: &PostgresStore,
    key: &StoreKey,
    expected: Option<&Revision>,
    document: &Document,
) -> Revision {
    match store.compare_and_swap(key, expected, document).await.unwrap() {
        Swap::Done(revision) => revision,
        Swap::Conflict(it) => panic!("expected {expected:?} without other writers, found {it:?}"),
    }
}

/// Returns an error with its causes.
fn chain(error: &StoreError) -> String {
    format!("{error:?}")
}
