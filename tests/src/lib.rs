//! What the tests of the whole share.

#![expect(clippy::missing_panics_doc, reason = "a helper that cannot go on fails its test")]

pub mod deployment;
pub mod echo;
pub mod ended;
pub mod gate;
pub mod patience;
pub mod serving;
pub mod skip;
