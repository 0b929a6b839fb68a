//! A service that writes the logs of each channel to a separate file.

mod app;
mod logs;

pub use self::{
    app::{app, options, v2},
    logs::{Format, Logs, install},
};
