//! A directory that several processes use, some of which are killed.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod child;
mod crash;
mod promotion;
mod sharing;
mod stopped;
