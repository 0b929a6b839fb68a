//! The page for operators, in a headless browser.
#![allow(clippy::unwrap_used)]

mod accessibility;
mod commands;
mod connection;
mod process;
mod size;
mod tokens;
