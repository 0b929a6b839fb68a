//! Logs on standard error, with one line per panic.

use std::{
    io::{self, IsTerminal as _},
    panic,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use tracing_subscriber::EnvFilter;

use crate::cli::Options;

pub(crate) fn install(options: &Options) {
    // The events of a rollout are printed already.
    let levels = if options.plan.is_some() { "warn,canary::audit=off" } else { "info" };

    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(levels));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .compact()
        .init();
    panic::set_hook(Box::new(panic_logger()));
}

/// Returns a panic hook that logs one line, at most once per second. The counts contain all panics.
fn panic_logger() -> impl Fn(&panic::PanicHookInfo<'_>) {
    let started = Instant::now();
    let next_second = AtomicU64::new(0);
    move |panic| {
        let second = started.elapsed().as_secs();
        if next_second.fetch_max(second + 1, Ordering::Relaxed) <= second {
            tracing::error!("{}", panic.to_string().replace('\n', " "));
        }
    }
}
