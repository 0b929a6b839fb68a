//! A canary in axum over real sockets, at every mount point, with and without failures.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod assignment;
mod bodies;
mod composition;
mod faults;
mod feedback;
mod layers;
mod matrix;
mod mounts;
mod outcomes;
mod race;
mod routing;
mod stacks;
mod streams;
mod tags;
mod upload_limit;
mod variables;
mod websocket;
