//! Webhooks, gates, messages and probes, against servers on loopback.
#![expect(clippy::needless_pass_by_value, clippy::unwrap_used, reason = "helpers of tests")]
mod chores;
mod driven;
mod gate;
mod guide;
mod notify;
mod probe;
mod probe_grpc;
mod receiver;
mod rollouts;
mod tls;
mod transports;
mod webhook;
