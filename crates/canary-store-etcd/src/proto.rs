//! The messages of etcd, and functions that create them.

pub(crate) mod compares;
pub(crate) mod operations;

pub(crate) use self::generated::*;

mod generated {
    #![allow(
        clippy::enum_variant_names,
        missing_debug_implementations,
        unnameable_types,
        unreachable_pub,
        unused_qualifications,
        reason = "generated"
    )]

    tonic::include_proto!("etcdserverpb");
}
