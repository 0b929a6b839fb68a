//! Stores canary rollouts in PostgreSQL, so that the replicas of a service share one rollout.
//!
//! [`PostgresStore`] implements [`StateStore`] of `canary-controller`. It needs PostgreSQL 13 or
//! newer, creates its own tables, and takes two connections per process: one for calls, and one
//! that waits for notifications.
//!
//! ```no_run
//! // `no_run`, because it needs a PostgreSQL server.
//! use canary_controller::Controller;
//! use canary_store_postgres::{PostgresOptions, PostgresStore};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "postgres://shop:secret@db.internal/shop?sslmode=verify-full";
//! let options = PostgresOptions::from_url(url)?.schema("canary")?;
//! let controller = Controller::new(PostgresStore::open(options).await?);
//! # Ok(())
//! # }
//! ```
//!
//! [`open`](PostgresStore::open) connects, and fails if that fails. [`new`](PostgresStore::new) does
//! not connect, so that a replica can start while the database is down. It then serves the stable
//! version until the store can be read.
//!
//! # TLS
//!
//! `sslmode` in the URL selects one of these modes:
//!
//! | `sslmode` | connection |
//! |---|---|
//! | `disable` | Not encrypted. The default for Unix sockets and for loopback addresses. |
//! | `require` | Encrypted. The certificate of the server is not verified, except with `sslrootcert`, which makes it `verify-ca`. |
//! | `verify-ca` | Encrypted. The certificate must have a trusted root. Its names are not compared. |
//! | `verify-full` | Encrypted. The certificate must have a trusted root and the name of the host. The default for all other hosts. |
//!
//! libpq's `allow` and `prefer` are refused, because an attacker in the network can turn encryption
//! off. Trusted roots are those of the operating system. `sslrootcert=/path/roots.pem` replaces
//! them. `sslcert` and `sslkey` name a client's certificate and its key, as PEM files. All files are
//! read when the store is created. Channel binding is not supported.
//!
//! # Tables
//!
//! | table | content |
//! |---|---|
//! | `canary_documents` | One row per key: a revision from the sequence `canary_revisions`, and the document as text. |
//! | `canary_events` | The last 256 events of each key, with at most 2 MiB. |
//! | `canary_histories` | One row per key: the number of the last event. |
//! | `canary_store` | One row: the version of the tables. |
//!
//! The first call of the first replica creates them, under an advisory lock. If they have a newer
//! version than this crate knows, every call is [`Refused`][`StoreError::Refused`]. The names begin
//! with [`table_prefix`](PostgresOptions::table_prefix), and are in
//! [`schema`](PostgresOptions::schema) or else in the first schema of the `search_path`. The database
//! must have the encoding UTF8.
//!
//! A document may be edited by hand, in one statement. The edit is a new revision, and replicas see
//! it within [`poll_interval`](PostgresOptions::poll_interval), or at once after
//! `notify canary_documents, '/default/v1/rollouts/shop'`. If the text is no document, calls return
//! [`Corrupt`][`StoreError::Corrupt`] until it is corrected or its row is deleted.
//!
//! # Rights
//!
//! The role that creates the tables needs `create` on the schema, and on the database if the schema is
//! missing as well. If the tables exist, any role with these rights can use them:
//!
//! ```sql
//! grant usage on schema canary to shop;
//! grant select, insert, update, delete on all tables in schema canary to shop;
//! grant usage on sequence canary.canary_revisions to shop;
//! ```
//!
//! # Guarantees
//!
//! The store gives the guarantees S1 to S18 of [`canary_controller::store`], and these:
//!
//! - **P1, a change is one statement.** Each change is committed by the statement that makes it, and
//!   no transaction stays open while the client waits. An error of the statement is definite: nothing
//!   was changed. After a broken connection, a timeout of the client or a canceled statement, the
//!   outcome of a change is [`Unknown`][`StoreError::Unknown`].
//! - **P2, notifications only save time.** A watch reads the document again after every notification,
//!   after every reconnection, and every 5 s without any. Lost notifications delay it by 5 s.
//! - **P3, only the primary is read.** A read-only server is
//!   [`Unavailable`][`StoreError::Unavailable`], with an error that says so. Of several hosts, the one
//!   that accepts writes is used.
//! - **P4, a revision never returns.** It contains a digest of the document, and the sequence begins
//!   with the time of its creation in microseconds. Neither an edit by hand nor a restored backup nor
//!   dropped tables make one revision stand for two different documents.
//! - **P5, passwords stay secret.** No error and no `Debug` output contains the password. Errors name
//!   the host and the database.
//! - **P6, dropped tables are created again.** The store is then empty, which watches report.
//!
//! **Durability (S7)** is that of the server. The store sets `synchronous_commit = on` for its
//! connections, and warns if `fsync` is off. With `synchronous_standby_names`, an acknowledged write
//! is on the standby as well, and survives a failover. Without it, a failover can lose the last
//! writes. The controller notices that, and pauses the rollout.
//!
//! # Connection poolers
//!
//! PgBouncer works in the mode `session`, and in the mode `transaction` with two limits. Notifications
//! do not arrive, so a change reaches other replicas within the poll interval. And the pooler may
//! refuse the settings that the store sends at the start of a connection (see
//! `ignore_startup_parameters` in its documentation). The store then connects without them, logs a
//! warning, and does not limit the time that its statements take on the server. Prefer a direct
//! connection: two per replica are few.
//!
//! # Load
//!
//! While a rollout is under way, the replicas of a fleet update up to 25 rows of about 4 kB per
//! second. Each update leaves a dead row. Autovacuum, which runs each minute by default, makes their
//! space available again. With 100 rows of random text, in PostgreSQL 15, the table took 9 MB after one
//! minute of updates and also after four, and 88 MB after ten minutes without a vacuum. Two things
//! prevent the vacuum:
//!
//! - A transaction that stays open, also in another table, keeps every dead row of the *database*:
//!   some 500 MB after an hour. Where long transactions are normal, give the store a database of its
//!   own on the same server. An abandoned replication slot has the same effect on all databases.
//! - A large `autovacuum_naptime`. Keep it at the default of 1 min.
//!
//! Notifications are sent for rollouts and their evidence, about one per second. They are not sent for
//! the updates of the board, because `NOTIFY` serializes the commits of all databases of a server.
//!
//! # Latency
//!
//! `cargo bench -p canary-store-postgres --bench latency` measures the store on PostgreSQL 15 on the same
//! machine, with `fsync` and documents of 4 kB. A debug build on a busy machine with two cores:
//!
//! | | p50 | p99 |
//! |---|---|---|
//! | swap | 3.1 ms | 6.5 ms |
//! | swap, until the watch of another store returns it | 4.1 ms | 10.0 ms |
//! | load | 0.6 ms | 2.3 ms |
//! | append an event | 2.5 ms | 7.3 ms |
//!
//! [`StateStore`]: canary_controller::store::StateStore
//! [`StoreError`]: canary_controller::store::StoreError
//!
//! [`StoreError::Refused`]: canary_controller::store::StoreError::Refused
//! [`StoreError::Corrupt`]: canary_controller::store::StoreError::Corrupt
//! [`StoreError::Unknown`]: canary_controller::store::StoreError::Unknown
//! [`StoreError::Unavailable`]: canary_controller::store::StoreError::Unavailable

mod call;
mod connections;
mod connector;
mod failure;
mod listener;
mod options;
mod roots;
mod session;
mod store;
mod tables;
mod url;

pub use self::{
    options::{InvalidOption, PostgresOptions},
    store::PostgresStore,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
