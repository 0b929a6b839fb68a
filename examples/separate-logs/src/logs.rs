//! One log file per channel, and all logs on standard error.

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

/// The format of the files.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "an example")]
pub enum Format {
    /// Plain text.
    Text,
    /// One JSON object per line.
    Json,
}

/// The background threads that write the files. Dropping it writes the remaining lines.
#[derive(Debug)]
#[must_use]
pub struct Logs {
    _writers: [WorkerGuard; 2],
}

/// Logs the calls of the channels to `stable.DATE.log` and `canary.DATE.log` in a directory.
///
/// # Errors
///
/// Returns an error if a file cannot be created, or if the process already has a subscriber.
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

/// Opens a file that is written in the background. Lines are dropped while 128,000 lines are
/// queued.
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
