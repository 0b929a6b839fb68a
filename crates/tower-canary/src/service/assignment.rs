use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use canary_core::{AssignmentReason, CanaryName, Channel, ReleaseId, Weight};
use pin_project_lite::pin_project;

use crate::{
    control::drain_signal::DrainListener,
    counting::shard_counters::SharedCounters,
    service::{call::Call, upgraded_call::UpgradedCall},
    variables::Variables,
};

/// How a call was assigned: to which channel, of which canary, at which weight.
///
/// The layer puts one into the extensions of each request (see [`Tags`](crate::Tags)). Handlers find it
/// there: `request.extensions().get::<Assignment>()` anywhere, and as an extractor in axum.
///
/// Of canaries one inside the other, they find that of the innermost one that the call passed; the channel in
/// the response's header is the outermost one's, unless they have different
/// [headers](crate::Tags::channel_header).
///
/// By [`rate`](Self::rate) they say how the call went, if its outcome does not show it; see
/// [`feedback`](crate::feedback).
///
/// # Long-lived responses
///
/// A rollback sends no new calls to the canary, but it does not end those that are open. A handler that
/// serves a stream learns of it by [`draining`](Self::draining) and can say good-bye.
///
/// After a connection is upgraded (a WebSocket), no response is left by which the layer could see when
/// the call ends. Keep the `Assignment` where the socket lives: the call is in flight until its last
/// clone is dropped. [`attach`](Self::attach) does so for a future:
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
    upgrade: Option<Arc<UpgradedCall>>,
    /// Whether nobody gets the answer.
    is_copy: bool,
}

impl Assignment {
    pub(crate) const fn new(
        counters: SharedCounters,
        channel: Channel,
        reason: AssignmentReason,
        upgrade: Option<Arc<UpgradedCall>>,
    ) -> Self {
        Self { counters, channel, reason, upgrade, is_copy: false }
    }

    /// Returns the assignment for a copy of the call that is sent to `channel`.
    ///
    /// It has the variables of `channel`. Ratings given through it do not count.
    #[must_use]
    pub fn for_copy(&self, channel: Channel) -> Self {
        Self { is_copy: true, ..Self::new(self.counters.clone(), channel, self.reason, None) }
    }

    /// The channel that serves the call.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// Why the call went to that channel.
    #[must_use]
    pub const fn reason(&self) -> AssignmentReason {
        self.reason
    }

    /// The name of the canary that assigned the call.
    #[must_use]
    pub fn canary(&self) -> &str {
        self.canary_name().as_str()
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

    /// The release that the channel runs, if the layer was told.
    #[must_use]
    pub fn release(&self) -> Option<&ReleaseId> {
        self.counters.config.releases[self.channel].as_ref()
    }

    /// The weight at which the call was assigned.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.counters.weight()
    }

    /// The variables of the call's channel. They do not change while the call lasts.
    #[must_use]
    pub fn variables(&self) -> &Variables {
        &self.counters.settings.variables[self.channel]
    }

    /// Whether the call should come to an end, because its channel was rolled back or asked to drain
    /// after the call was assigned.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.counters.drain_signals[self.channel].is_draining()
    }

    /// Waits until the call should come to an end; see [`is_draining`](Self::is_draining).
    ///
    /// The future can be dropped and made again at any time, as `select!` does.
    #[must_use]
    pub fn draining(&self) -> Draining {
        Draining {
            counters: self.counters.clone(),
            channel: self.channel,
            watch: DrainListener::default(),
        }
    }

    /// Makes `future` a part of the call: an upgraded connection's call is in flight until it ends.
    ///
    /// The future is dropped, and the result is `None`, if the open calls of the channel are
    /// [closed](crate::Drain::close). If it panics, the call counts as a failure.
    #[must_use]
    pub const fn attach<F: Future>(self, future: F) -> Attached<F> {
        Attached {
            future: Some(future),
            watch: None,
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

/// Future of [`Assignment::draining`].
pub struct Draining {
    counters: SharedCounters,
    channel: Channel,
    watch: DrainListener,
}

impl Future for Draining {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { counters, channel, watch } = &mut *self;
        counters.drain_signals[*channel].poll_draining(watch, cx)
    }
}

impl fmt::Debug for Draining {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draining").field("channel", &self.channel).finish_non_exhaustive()
    }
}

pin_project! {
    /// Future of [`Assignment::attach`].
    pub struct Attached<F> {
        // None once it ended.
        #[pin]
        future: Option<F>,
        watch: Option<DrainListener>,
        // None once it ended.
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
        let watch = this.watch.get_or_insert_default();
        std::task::ready!(counters.drain_signals[*channel].poll_closed(watch, cx));
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
        f.debug_struct("Attached").field("is_over", &self.guard.is_none()).finish_non_exhaustive()
    }
}

/// Counts a panic of the attached future.
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
