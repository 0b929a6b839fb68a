//! Webhooks, gates, messages and probes, against servers on loopback.
mod chores;
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
