//! A canary in axum, called over real sockets: through every mount, and whatever goes wrong.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod assignment;
mod bodies;
mod faults;
mod feedback;
mod matrix;
mod mounts;
mod race;
mod routing;
mod stacks;
mod streams;
mod tags;
mod variables;
mod websocket;
