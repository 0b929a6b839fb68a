//! Processes that share the directory of a `FileStore`, some of which are killed.

#![expect(clippy::unwrap_used, reason = "test helpers")]

mod child;
mod crash;
mod promotion;
mod sharing;
mod stopped;
