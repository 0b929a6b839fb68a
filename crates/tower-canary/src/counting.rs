//! Counters of calls, sharded by thread so that counting does not contend.

pub(crate) mod call_end;
pub(crate) mod call_key;
pub(crate) mod clock;
pub(crate) mod counter_key;
pub(crate) mod key_activity;
pub(crate) mod key_shares;
pub(crate) mod key_watch;
pub(crate) mod route_classes;
pub(crate) mod route_index;
pub(crate) mod shard;
pub(crate) mod shard_counters;
pub(crate) mod sync;
pub(crate) mod unanswered;
