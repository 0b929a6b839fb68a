//! Tests of the store against real etcd servers.
#![expect(clippy::unwrap_used, reason = "test helpers")]

mod conformance;
mod documents;
mod outages;
mod users;
mod watches;
