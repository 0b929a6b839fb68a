//! The counters of calls: sharded by thread, read without stopping calls.

pub(crate) mod clock;
pub(crate) mod key_watch;
pub(crate) mod route_classes;
pub(crate) mod shard;
pub(crate) mod shard_counters;
pub(crate) mod sync;
