//! The options of a canary, fixed when its layer is built.

pub(crate) mod bypass;
pub(crate) mod caching;
pub(crate) mod canary_config;
pub(crate) mod classify;
pub(crate) mod concurrency_limit;
pub(crate) mod grpc_code;
pub(crate) mod options;
pub(crate) mod tags;
pub(crate) mod valid;
