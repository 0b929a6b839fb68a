//! Logs apart: what is logged while the canary serves a call, in a file of its own.
//!
//! With the feature `tracing` each call has a span, `call`, with the fields `canary`, `channel`, `reason`
//! and `release`. Whatever handlers, bodies and instrumented tasks log in it belongs to the call, and a
//! [`ChannelFilter`] lets through what belongs to the calls of one channel. So a layer that writes a file
//! takes one line each:
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
//! The example `separate-logs` does it with tracing-appender, for an access log and as JSON.
//!
//! # What belongs to a call
//!
//! - An event in the span of the call, or in any span below it, on whichever thread. A spawned task is in
//!   no span unless it is instrumented: `tokio::spawn(task.in_current_span())`.
//! - An event outside of all calls that names itself by two fields, `canary` and `channel`: an access log
//!   in a layer further out has the values from the response's [`Assignment`](crate::Assignment).
//! - A mirror's copy, too: its span, `mirrored call`, has `mirrored=true` in place of a reason.
//! - A call that spilled is the canary's while the canary was asked, and stable's from then on: in stable's
//!   span its `reason` is `spilled`.
//!
//! A call through two canary layers, one inside the other, belongs to a channel of each.
//!
//! # What to beware of
//!
//! A filter for the whole subscriber that turns off the target `tower_canary` turns off the spans: let
//! `tower_canary::call=info` and `tower_canary::mirror=info` through. And tracing-subscriber does not see
//! through a span that one layer's own filter turned off while another layer has it: if a task is
//! instrumented with a `debug` span only, what it logs is missing from a file whose filter ends at `info`.
//! The span events of `fmt`, such as `FmtSpan::CLOSE`, are told apart for the spans of calls and copies only:
//! those of all other spans are in both files.
//!
//! Put the layers of files before one that colors a terminal: layers of `fmt` share the text of a span's
//! fields, and whichever comes first writes it.

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

/// Lets through what is logged in the calls of one channel, as a filter of a layer of tracing-subscriber's.
///
/// It filters by channel only. Combine it, with `and` of `tracing_subscriber::filter::FilterExt`, with a
/// filter by level. See the [module's documentation](self).
#[derive(Clone, Copy, Debug)]
pub struct ChannelFilter {
    channel: Channel,
}

impl ChannelFilter {
    /// Only the calls of this channel, and nothing that is logged outside of calls.
    #[must_use]
    pub const fn only(channel: Channel) -> Self {
        Self { channel }
    }

    /// All but the spans of the other channel's calls. What an event belongs to is not known yet.
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
            // Else `event_enabled` would have no say.
            true => Interest::sometimes(),
        }
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        let mut spans = context.event_scope(event).into_iter().flatten();
        spans.any(|span| is_span_of(self.channel, span.metadata().target()))
            || named_channel(event) == Some(self.channel)
    }
}

/// Whether the target is that of spans of this channel's calls, or of a mirror's copies to it.
fn is_span_of(channel: Channel, target: &str) -> bool {
    target == CALL[channel] || target == MIRRORED[channel]
}

/// The channel that an event itself says it belongs to.
fn named_channel(event: &Event<'_>) -> Option<Channel> {
    let fields = event.metadata().fields();
    fields.field("canary")?;
    let mut named = Named { field: fields.field("channel")?, channel: None };
    event.record(&mut named);
    named.channel
}

struct Named {
    field: Field,
    channel: Option<Channel>,
}

impl Visit for Named {
    fn record_str(&mut self, field: &Field, value: &str) {
        if *field == self.field {
            self.channel = Channel::ALL.into_iter().find(|channel| channel.as_str() == value);
        }
    }

    /// Values by `Display`, as in `channel = %assignment.channel()`, come here too.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if *field == self.field {
            self.record_str(field, &format!("{value:?}"));
        }
    }
}
