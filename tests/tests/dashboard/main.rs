//! The page for operators, in a headless browser.
#![allow(clippy::unwrap_used)]

mod accessibility;
mod cards;
mod charts;
mod commands;
mod connection;
mod list;
mod process;
mod size;
mod tokens;
mod view;
