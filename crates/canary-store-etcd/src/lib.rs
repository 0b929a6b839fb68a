//! Stores the state of canary rollouts in etcd, so that a fleet of replicas shares one rollout.
//!
//! [`EtcdStore`] is a [`StateStore`] for the controller of `canary-controller`. Each replica opens the
//! same cluster:
//!
//! ```no_run
//! // `no_run`, because it needs an etcd server.
//! use std::env;
//!
//! use canary_controller::Controller;
//! use canary_store_etcd::{EtcdStore, Tls};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = EtcdStore::builder(["https://etcd-0.internal:2379", "https://etcd-1.internal:2379"])
//!     .tls(Tls::new().ca_certificate(std::fs::read("/etc/etcd/ca.pem")?))
//!     .user("shop", env::var("ETCD_PASSWORD")?)
//!     .build()?;
//! let controller = Controller::new(store);
//! # drop(controller);
//! # Ok(())
//! # }
//! ```
//!
//! Nothing is sent until the first call, so that a service starts while etcd is away.
//!
//! # Guarantees
//!
//! The store gives all [guarantees of a store](canary_controller::store#guarantees-of-a-store), S1 to
//! S18. The conformance suite runs against an etcd server that it kills and starts again.
//!
//! **Revisions** (S5) consist of etcd's `mod_revision` and the random id of the write, which is stored
//! with the document and compared in the transaction of a swap. etcd alone is not enough: after its
//! data is lost or restored from a backup, it counts its revisions from an earlier number again, even
//! under the same cluster id, and a late swap would replace the document of another write.
//!
//! **Errors** (S8). A call goes to one endpoint, and to the next one if that cannot be reached, has no
//! leader, or, for a read, does not respond. A change is [`Unknown`] only if it was sent and no answer
//! of etcd shows that it had no effect. A [`Refused`] call names the endpoint and etcd's reason, such
//! as a missing permission. A full database is [`Unavailable`], as a full disk is for the file store.
//!
//! **Watches** (S11) read the key again after each interruption. They do not resume by revision,
//! because a resumed watch receives nothing after a loss of data. A watch whose connection breaks
//! continues at another endpoint without becoming stale, if one responds. A server that accepts
//! connections but does not respond is noticed within 15 s: HTTP/2 pings go out every 10 s and are
//! awaited for 3 s, and the read that follows has 2 s.
//!
//! **Histories** (S12) keep the last 256 events of a key, at most 2 MiB, and the versions of the events
//! that etcd has not compacted yet.
//!
//! # Keys
//!
//! | key | value |
//! |---|---|
//! | `/{prefix}/v1/{kind}/{name}` | `{"format":1,"write":"..","document":` and the document |
//! | `/{prefix}/.events/v1/{kind}/{name}` | the number of the last event |
//! | `/{prefix}/.events/v1/{kind}/{name}/{number}` | an event |
//!
//! To read a document: `etcdctl get --print-value-only /prod/v1/rollouts/shop | jq .document`. A
//! document can be edited if the value keeps its form; the next swap of a replica then conflicts.
//!
//! # The server
//!
//! The store is tested with etcd 3.4.23, and uses only what versions 3.5 and 3.6 have unchanged.
//!
//! **Permissions.** A role that reads and writes the keys of the prefix suffices:
//!
//! ```sh
//! etcdctl role add canary
//! etcdctl role grant-permission canary --prefix=true readwrite /prod/
//! etcdctl user grant-role shop canary
//! ```
//!
//! **Compaction.** etcd keeps every version of every value until it is compacted, and refuses all
//! writes when its database has reached a quota, 2 GiB by default. During a rollout each replica writes
//! a few kB every few seconds: 25 writes of 4 kB per second fill the quota within 4 to 6 hours. Start
//! etcd with `--auto-compaction-retention=1h`, or less. The store needs no old version.
//!
//! **Keep-alive.** `--grpc-keepalive-min-time` must be at most 10 s; its default is 5 s.
//!
//! **Restoring a backup** brings back old documents. Replicas notice it by the values inside the
//! documents, and no swap with a revision of a lost write succeeds.
//!
//! # Speed
//!
//! `cargo bench -p canary-store-etcd` measures the calls against a server on the same machine, with
//! documents of 4 kB. On two cores that were busy with other work, the medians were 2.0 ms for a swap,
//! 3.2 ms until a watch had it, 1.0 ms for a load, 2.6 ms for an event, and 12.5 ms for a list of 100
//! documents.
//!
//! [`Refused`]: canary_controller::store::StoreError::Refused
//! [`StateStore`]: canary_controller::store::StateStore
//! [`Unavailable`]: canary_controller::store::StoreError::Unavailable
//! [`Unknown`]: canary_controller::store::StoreError::Unknown

mod builder;
mod call;
mod cluster;
mod endpoint;
mod envelope;
mod failure;
mod history;
mod keys;
mod proto;
mod store;
mod tls;
mod tokens;
mod watch_source;

pub use self::{
    builder::{EtcdStoreBuilder, InvalidOptions},
    store::EtcdStore,
    tls::Tls,
};
