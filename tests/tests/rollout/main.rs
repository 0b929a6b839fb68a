//! The judge and the controller with a real data plane.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod attacks;
mod feedback;
mod guard;
mod lifecycle;
