//! Processes that share the directory of a `FileStore`. Some of them are killed.

#![expect(clippy::unwrap_used, reason = "test helpers")]

mod child;
mod crash;
mod promotion;
mod quota;
mod sharing;
mod stopped;
mod takeover;
