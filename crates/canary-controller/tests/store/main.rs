//! The stores of this crate: the contract, and the files of a `FileStore`.
#![expect(clippy::unwrap_used, reason = "test helpers")]

mod conformance;
#[cfg(unix)]
mod file;
#[cfg(unix)]
mod foreign_files;
mod guarantees;
