use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use canary_core::{AssignmentReason, CanaryName, Channel, ReleaseId, Weight};
use pin_project_lite::pin_project;

use crate::{
    control::drain_signal::DrainListener,
    counting::{call_key::CallKey, shard_counters::SharedCounters},
    service::{call::Call, upgraded_call::UpgradedCall},
    variables::Variables,
};

/// The assignment of a call: the channel, the reason, the canary and the weight.
///
/// The layer sets one in the extensions of each request (see [`Tags`](crate::Tags)). Handlers read
/// it with `request.extensions().get::<Assignment>()`, and with axum as an extractor.
///
/// With nested canaries, a handler gets the assignment of the innermost one. The response header
/// has the channel of the outermost one, unless the canaries use different
/// [headers](crate::Tags::channel_header).
///
/// Handlers can [rate](Self::rate) a call whose outcome does not show its quality; see
/// [`feedback`](crate::feedback).
///
/// # Long-lived responses
///
/// A rollback does not end the open calls of the canary. A handler that serves a stream can wait
/// for [`draining`](Self::draining) and then end it.
///
/// After an upgrade of the connection (a WebSocket), there is no response body that could end the
/// call. The call stays in flight until the last clone of its `Assignment` is dropped, so keep one
/// as long as the socket. [`attach`](Self::attach) does so for a future:
///
/// ```ignore
/// async fn chat(upgrade: WebSocketUpgrade, assignment: Assignment) -> Response {
///     upgrade.on_upgrade(|socket| async move {
///         assignment.attach(serve(socket)).await;
///     })
/// }
/// ```
#[derive(Clone)]
pub struct Assignment {
    counters: SharedCounters,
    channel: Channel,
    reason: AssignmentReason,
    key: Option<CallKey>,
    upgrade: Option<Arc<UpgradedCall>>,
    /// Whether the request is a copy, whose response is discarded.
    is_copy: bool,
}

impl Assignment {
    pub(crate) const fn new(
        counters: SharedCounters,
        channel: Channel,
        reason: AssignmentReason,
        key: Option<CallKey>,
        upgrade: Option<Arc<UpgradedCall>>,
    ) -> Self {
        Self { counters, channel, reason, key, upgrade, is_copy: false }
    }

    /// Returns the assignment for a copy of the call that is sent to `channel`.
    ///
    /// It has the variables of `channel`. Ratings given through it do not count.
    #[must_use]
    pub fn for_copy(&self, channel: Channel) -> Self {
        Self { is_copy: true, ..Self::new(self.counters.clone(), channel, self.reason, None, None) }
    }

    /// Returns the channel that serves the call.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// Returns the reason why that channel serves the call.
    #[must_use]
    pub const fn reason(&self) -> AssignmentReason {
        self.reason
    }

    /// Returns the name of the canary that assigned the call.
    #[must_use]
    pub fn canary(&self) -> &str {
        self.canary_name().as_str()
    }

    pub(crate) const fn key(&self) -> Option<CallKey> {
        self.key
    }

    pub(crate) const fn is_copy(&self) -> bool {
        self.is_copy
    }

    pub(crate) fn counters(&self) -> &SharedCounters {
        &self.counters
    }

    pub(crate) fn canary_name(&self) -> &CanaryName {
        &self.counters.config.name
    }

    /// Returns the release that the channel runs, if it was set in the options.
    #[must_use]
    pub fn release(&self) -> Option<&ReleaseId> {
        self.counters.config.releases[self.channel].as_ref()
    }

    /// Returns the weight at the time of the assignment.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.counters.weight()
    }

    /// Returns the variables of the channel. They do not change during the call.
    #[must_use]
    pub fn variables(&self) -> &Variables {
        &self.counters.settings.variables[self.channel]
    }

    /// Returns whether the call should end, because its channel was rolled back or drained after
    /// the assignment.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.counters.drain_signals[self.channel].is_draining()
    }

    /// Waits until the call should end; see [`is_draining`](Self::is_draining).
    ///
    /// The future is cancel safe, so it can be used in a `select!` loop.
    #[must_use]
    pub fn draining(&self) -> Draining {
        Draining {
            counters: self.counters.clone(),
            channel: self.channel,
            listener: DrainListener::default(),
        }
    }

    /// Keeps the call of an upgraded connection in flight until `future` ends.
    ///
    /// If the open calls of the channel are [closed](crate::Drain::close), the future is dropped
    /// and the result is `None`. If it panics, the call counts as a failure.
    #[must_use]
    pub const fn attach<F: Future>(self, future: F) -> Attached<F> {
        Attached {
            future: Some(future),
            listener: None,
            guard: Some(AttachGuard { assignment: self, polling: false }),
        }
    }
}

impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assignment")
            .field("canary", &self.canary())
            .field("channel", &self.channel)
            .field("reason", &self.reason)
            .field("weight", &self.weight())
            .field("release", &self.release())
            .finish_non_exhaustive()
    }
}

/// The future of [`Assignment::draining`].
pub struct Draining {
    counters: SharedCounters,
    channel: Channel,
    listener: DrainListener,
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { counters, channel, listener } = &mut *self;
        counters.drain_signals[*channel].poll_draining(listener, cx)
    }
}

impl fmt::Debug for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draining").field("channel", &self.channel).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`Assignment::attach`].
    pub struct Attached<F> {
        // `None` after it ended.
        #[pin]
        future: Option<F>,
        listener: Option<DrainListener>,
        guard: Option<AttachGuard>,
    }
}

impl<F: Future> Future for Attached<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (Some(future), Some(guard)) = (this.future.as_mut().as_pin_mut(), &mut *this.guard)
        else {
            return Poll::Pending;
        };
        guard.polling = true;
        let polled = future.poll(cx);
        guard.polling = false;
        if let Poll::Ready(output) = polled {
            this.future.set(None);
            *this.guard = None;
            return Poll::Ready(Some(output));
        }
        let Assignment { counters, channel, upgrade, .. } = &guard.assignment;
        let listener = this.listener.get_or_insert_default();
        ready!(counters.drain_signals[*channel].poll_closed(listener, cx));
        this.future.set(None);
        if let Some(upgrade) = upgrade {
            upgrade.end(Call::cancel);
        }
        *this.guard = None;
        Poll::Ready(None)
    }
}

impl<F> fmt::Debug for Attached<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").field("has_ended", &self.guard.is_none()).finish_non_exhaustive()
    }
}

/// Counts a panic of the attached future when it unwinds.
struct AttachGuard {
    assignment: Assignment,
    polling: bool,
}

impl Drop for AttachGuard {
    fn drop(&mut self) {
        if let (true, Some(upgrade)) = (self.polling, &self.assignment.upgrade) {
            upgrade.end(Call::panic);
        }
    }
}
