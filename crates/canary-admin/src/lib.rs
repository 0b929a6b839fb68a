//! The control plane of canary rollouts.

#[allow(dead_code, reason = "the routes follow")]
mod gateway;
