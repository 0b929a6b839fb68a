//! The stores that a fleet can share.

use std::{fs, path::PathBuf};

use canary_tests::{etcd::Etcd, postgres::PostgresServer};
use tempfile::TempDir;

/// A store of one test.
pub(crate) enum Engine {
    Directory(TempDir),
    Etcd(Etcd),
    Postgres(PostgresServer),
}

/// A copy of the data of an [`Engine`].
pub(crate) enum Backup {
    /// A copy of its files.
    Files(TempDir),
    /// The result of `pg_dump`.
    Dump(String),
}

/// The kind of an [`Engine`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Directory,
    Etcd,
    Postgres,
}

impl Kind {
    /// Starts an engine. Without its program, skips the test and returns `None`.
    pub(crate) fn start(self, test: &str) -> Option<Engine> {
        match self {
            Self::Directory => Some(Engine::Directory(tempfile::tempdir().unwrap())),
            Self::Etcd => Etcd::start(test, &[]).map(Engine::Etcd),
            Self::Postgres => PostgresServer::start(test).map(Engine::Postgres),
        }
    }
}

impl Engine {
    /// Returns the URL for the shop's option `--store`.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Directory(directory) => format!("dir:{}", directory.path().display()),
            Self::Etcd(etcd) => etcd.url().replace("http://", "etcd://"),
            Self::Postgres(postgres) => postgres.url(),
        }
    }

    /// Kills the server of the store, if it has one. Its data stays.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Directory(_) => {}
            Self::Etcd(etcd) => etcd.kill(),
            Self::Postgres(postgres) => postgres.kill(),
        }
    }

    /// Starts a killed server again, with its data.
    pub(crate) fn restart(&mut self) {
        match self {
            Self::Directory(_) => {}
            Self::Etcd(etcd) => etcd.restart(),
            Self::Postgres(postgres) => postgres.restart(),
        }
    }

    /// Removes all data. A server runs afterwards.
    pub(crate) fn wipe(&mut self) {
        match self {
            Self::Directory(directory) => {
                documents(directory).iter().for_each(|file| fs::remove_file(file).unwrap());
            }
            Self::Etcd(etcd) => {
                etcd.wipe();
                etcd.restart();
            }
            Self::Postgres(postgres) => {
                let tables = "select string_agg(format('%I.%I', schemaname, tablename), ', ') \
                    from pg_tables where tableowner = 'shop'";
                let tables = postgres.query("shop", tables);
                postgres.sql("shop", &format!("truncate {tables}"));
            }
        }
    }

    /// Copies all data.
    pub(crate) fn back_up(&self) -> Backup {
        match self {
            Self::Directory(directory) => {
                let backup = tempfile::tempdir().unwrap();
                for file in documents(directory) {
                    fs::copy(&file, backup.path().join(file.file_name().unwrap())).unwrap();
                }
                Backup::Files(backup)
            }
            Self::Etcd(etcd) => Backup::Files(etcd.back_up()),
            Self::Postgres(postgres) => Backup::Dump(postgres.dump("shop")),
        }
    }

    /// Replaces all data by that of a backup.
    pub(crate) fn restore(&self, backup: &Backup) {
        match (self, backup) {
            (Self::Directory(directory), Backup::Files(backup)) => {
                for file in documents(directory) {
                    let copy = backup.path().join(file.file_name().unwrap());
                    if !copy.exists() {
                        fs::remove_file(file).unwrap();
                    }
                }
                // No reader sees a part of a file.
                let staging = tempfile::tempdir().unwrap();
                for copy in documents(backup) {
                    let name = copy.file_name().unwrap();
                    fs::copy(&copy, staging.path().join(name)).unwrap();
                    fs::rename(staging.path().join(name), directory.path().join(name)).unwrap();
                }
            }
            (Self::Etcd(etcd), Backup::Files(backup)) => etcd.restore(backup),
            (Self::Postgres(postgres), Backup::Dump(dump)) => postgres.restore("shop", dump),
            _ => panic!("the backup is of another engine"),
        }
    }
}

/// Returns the files of a directory store, without its lock: the directory would not be that of a store
/// any more.
fn documents(directory: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().is_some_and(|name| name != "canary.lock")).collect()
}
