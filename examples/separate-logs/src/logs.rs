//! The two files, and everything on standard error.

use std::{io, path::Path};

use tower_canary::{Channel, logs::ChannelFilter};
use tracing::Subscriber;
use tracing_appender::{
    non_blocking::{NonBlocking, WorkerGuard},
    rolling::{RollingFileAppender, Rotation},
};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt as _, LevelFilter},
    fmt,
    layer::Filter,
    prelude::*,
    registry::LookupSpan,
};

/// How lines are written into the files.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "an example")]
pub enum Format {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

/// Writes the files, in threads of its own, until it is dropped: the last lines are written then.
#[derive(Debug)]
#[must_use]
pub struct Logs {
    _writers: [WorkerGuard; 2],
}

/// Logs the channels' calls to `stable.log` and `canary.log` in a directory, with a new file each day.
///
/// # Errors
///
/// If a file cannot be made there, or the process logs elsewhere already.
pub fn install(directory: &Path, format: Format) -> anyhow::Result<Logs> {
    let (stable, stable_writer) = file(directory, "stable")?;
    let (canary, canary_writer) = file(directory, "canary")?;
    tracing_subscriber::registry()
        .with(lines(stable, format).with_filter(only(Channel::Stable)))
        .with(lines(canary, format).with_filter(only(Channel::Canary)))
        .with(fmt::layer().with_writer(io::stderr).with_filter(LevelFilter::INFO))
        .try_init()?;
    Ok(Logs { _writers: [stable_writer, canary_writer] })
}

fn only<S: Subscriber + for<'a> LookupSpan<'a>>(channel: Channel) -> impl Filter<S> {
    ChannelFilter::only(channel).and(LevelFilter::INFO)
}

/// A file that no call waits for. If the disk does not keep up with 128,000 lines, lines are dropped.
fn file(directory: &Path, name: &str) -> anyhow::Result<(NonBlocking, WorkerGuard)> {
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(name)
        .filename_suffix("log")
        .build(directory)?;
    Ok(tracing_appender::non_blocking(file))
}

fn lines<S>(file: NonBlocking, format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer().with_ansi(false).with_writer(file);
    match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    }
}
