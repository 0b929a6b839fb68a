use std::fs;

use canary_controller::store::{FileStore, StateStore};
use canary_store_etcd::EtcdStore;
use canary_store_postgres::{PostgresOptions, PostgresStore};
use canary_tests::{etcd::Etcd, postgres::PostgresServer};
use serde_json::Value;
use tempfile::TempDir;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Directory,
    Etcd,
    Postgres,
}

/// A running store.
pub(crate) enum Engine {
    Directory(TempDir),
    Etcd(Etcd),
    Postgres(PostgresServer),
}

/// Where a replica finds the store.
pub(crate) enum StoreUrl {
    Directory(String),
    Etcd(String),
    Postgres(String),
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Etcd, Self::Postgres, Self::Directory];

    pub(crate) fn start(self, replicas: u32) -> Option<Engine> {
        match self {
            Self::Directory => Some(Engine::Directory(tempfile::tempdir().expect("a directory"))),
            Self::Etcd => Etcd::start("etcd", &[]).map(Engine::Etcd),
            Self::Postgres => {
                // Two for each replica. The default of the server is 100.
                let connections = format!("max_connections={}", 2 * replicas + 20);
                PostgresServer::start_with("PostgreSQL", &[&connections], |_| {})
                    .map(Engine::Postgres)
            }
        }
    }
}

impl Engine {
    pub(crate) fn url(&self) -> StoreUrl {
        match self {
            Self::Directory(path) => StoreUrl::Directory(path.path().display().to_string()),
            Self::Etcd(etcd) => StoreUrl::Etcd(etcd.url()),
            Self::Postgres(postgres) => StoreUrl::Postgres(postgres.url()),
        }
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        match self {
            Self::Directory(_) => Vec::new(),
            Self::Etcd(etcd) => vec![etcd.process_id()],
            Self::Postgres(postgres) => postgres.processes(),
        }
    }

    /// Returns the bytes of the data, without those of the write-ahead log.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Directory(directory) => {
                let entries = fs::read_dir(directory.path()).expect("it exists").flatten();
                entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
            }
            Self::Etcd(etcd) => {
                let status: Value =
                    serde_json::from_str(&etcd.post("/v3/maintenance/status", "{}"))
                        .expect("etcd responds with JSON");
                status["dbSize"].as_str().and_then(|size| size.parse().ok()).expect("a size")
            }
            Self::Postgres(postgres) => {
                let sql = "select pg_total_relation_size('canary_documents')";
                postgres.query("shop", sql).parse().expect("a size")
            }
        }
    }

    /// Returns the bytes that were written to PostgreSQL's write-ahead log.
    pub(crate) fn log_position(&self) -> u64 {
        match self {
            Self::Directory(_) | Self::Etcd(_) => 0,
            Self::Postgres(postgres) => {
                let sql = "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
                postgres.query("shop", sql).parse().expect("a position")
            }
        }
    }
}

impl StoreUrl {
    pub(crate) async fn open(self) -> Box<dyn StateStore> {
        match self {
            Self::Directory(path) => Box::new(FileStore::open(path).await.expect("a directory")),
            Self::Etcd(url) => Box::new(EtcdStore::builder([url]).build().expect("a valid URL")),
            Self::Postgres(url) => {
                let options = PostgresOptions::from_url(&url).expect("a valid URL");
                Box::new(PostgresStore::new(options).expect("no certificates"))
            }
        }
    }
}
