//! A service that writes what stable's calls log into one file, and what the canary's log into another.

mod app;
mod logs;

pub use self::{
    app::{app, options, v2},
    logs::{Format, Logs, install},
};
