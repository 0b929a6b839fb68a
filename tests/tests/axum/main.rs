//! A canary in axum, called over real sockets: through every mount, and whatever goes wrong.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod bodies;
mod faults;
mod matrix;
mod mounts;
mod routing;
mod stacks;
mod streams;
mod tags;
mod websocket;
