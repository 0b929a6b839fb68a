//! The API over real sockets, with real controllers.
#![expect(clippy::unwrap_used, reason = "test helpers")]

mod access;
mod commands;
mod document;
#[cfg(feature = "grpc")]
mod grpc;
mod limits;
mod points;
mod secrets;
mod streams;
mod support;
