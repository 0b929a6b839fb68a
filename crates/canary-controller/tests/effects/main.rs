//! Tests of webhooks, gates, notifications and probes, with servers on the loopback interface.

#![expect(clippy::needless_pass_by_value, clippy::unwrap_used, reason = "helpers of tests")]

mod chat;
mod fixtures;
mod gate;
mod guide;
mod notify;
mod probe;
mod probe_grpc;
mod rollout;
mod scripted_transport;
mod support;
mod tls;
mod webhook;
mod webhook_server;
