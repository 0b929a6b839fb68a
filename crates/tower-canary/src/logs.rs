//! Separate logs: writes the log events of canary calls to their own file.
//!
//! With the feature `tracing`, each call has a span `call` with the fields `canary`, `channel`,
//! `reason` and `release`. Events that handlers, bodies and instrumented tasks emit in this span
//! belong to the call. A [`ChannelFilter`] passes the events of the calls of one channel, so each
//! log file needs one line:
//!
//! ```
//! use std::{io, sync::Arc};
//!
//! use tower_canary::{Channel, logs::ChannelFilter};
//! use tracing_subscriber::{filter::{FilterExt, LevelFilter}, fmt, prelude::*};
//!
//! # let (stable_file, canary_file) = (Arc::new(std::fs::File::open("/dev/null")?), io::stderr);
//! let stable = ChannelFilter::only(Channel::Stable).and(LevelFilter::INFO);
//! let canary = ChannelFilter::only(Channel::Canary).and(LevelFilter::INFO);
//! let subscriber = tracing_subscriber::registry()
//!     .with(fmt::layer().with_ansi(false).with_writer(stable_file).with_filter(stable))
//!     .with(fmt::layer().with_ansi(false).with_writer(canary_file).with_filter(canary))
//!     .with(fmt::layer().with_writer(io::stderr).with_filter(LevelFilter::INFO)); // everything
//! # let _ = subscriber;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! The example `separate-logs` writes an access log and JSON with tracing-appender.
//!
//! # Which events belong to a call
//!
//! - Events in the span of the call or in a span below it, on any thread. A spawned task is in no
//!   span unless it is instrumented: `tokio::spawn(task.in_current_span())`.
//! - Events outside all calls that have the fields `canary` and `channel`. An access log in an
//!   outer layer gets the values from the [`Assignment`](crate::Assignment) in the response.
//! - Events of a mirrored request. Its span is `mirrored request`, with `mirrored=true` instead of
//!   a reason.
//!
//! A call that spills belongs to the canary until it spills, and then to stable, whose span has the
//! reason `spilled`. A call through two nested canary layers belongs to a channel of each.
//!
//! # Pitfalls
//!
//! - A filter of the whole subscriber that disables the target `tower_canary` also disables the
//!   spans. Enable `tower_canary::call=info` and `tower_canary::mirror=info`.
//! - tracing-subscriber cannot find a parent span through a span that the filter of one layer
//!   disables and another layer enables. If a task has only a `debug` span, its events are missing
//!   from a file whose filter ends at `info`.
//! - The span events of `fmt`, such as `FmtSpan::CLOSE`, are separated by channel only for the
//!   spans of calls and copies. Those of all other spans are in both files.
//! - Add the layers that write files before a layer that colors a terminal. The layers of `fmt`
//!   share the text of a span's fields, and the first layer writes it.

use std::fmt;

use canary_core::Channel;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    subscriber::Interest,
};
use tracing_subscriber::{
    layer::{Context, Filter},
    registry::LookupSpan,
};

use crate::service::span::{CALL, MIRRORED};

/// A per-layer filter for tracing-subscriber that passes the events of the calls of one channel.
///
/// Combine it with a filter by level using `tracing_subscriber::filter::FilterExt::and`. See the
/// [module documentation](self).
#[derive(Clone, Copy, Debug)]
pub struct ChannelFilter {
    channel: Channel,
}

impl ChannelFilter {
    /// Passes the events of the calls of `channel`, and no events outside calls.
    #[must_use]
    pub const fn only(channel: Channel) -> Self {
        Self { channel }
    }

    /// Returns whether to enable a call site. Only the spans of the other channel's calls are
    /// disabled: the channel of an event is not known before it is emitted.
    fn is_wanted(self, metadata: &Metadata<'_>) -> bool {
        let is_call_of = |channel| metadata.is_span() && is_span_of(channel, metadata.target());
        is_call_of(self.channel) || !Channel::ALL.into_iter().any(is_call_of)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for ChannelFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.is_wanted(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.is_wanted(metadata) {
            false => Interest::never(),
            true if metadata.is_span() => Interest::always(),
            // `Interest::always` would skip `event_enabled`.
            true => Interest::sometimes(),
        }
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        let mut spans = context.event_scope(event).into_iter().flatten();
        spans.any(|span| is_span_of(self.channel, span.metadata().target()))
            || named_channel(event) == Some(self.channel)
    }
}

/// Returns whether `target` is that of the spans of calls of `channel`, or of mirrored copies to
/// it.
fn is_span_of(channel: Channel, target: &str) -> bool {
    target == CALL[channel] || target == MIRRORED[channel]
}

/// Returns the channel named by the fields of an event.
fn named_channel(event: &Event<'_>) -> Option<Channel> {
    let fields = event.metadata().fields();
    fields.field("canary")?;
    let mut visitor = ChannelVisitor { field: fields.field("channel")?, channel: None };
    event.record(&mut visitor);
    visitor.channel
}

struct ChannelVisitor {
    field: Field,
    channel: Option<Channel>,
}

impl Visit for ChannelVisitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        if *field == self.field {
            self.channel = Channel::ALL.into_iter().find(|channel| channel.as_str() == value);
        }
    }

    /// Also receives `Display` values, as in `channel = %assignment.channel()`.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if *field == self.field {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}
