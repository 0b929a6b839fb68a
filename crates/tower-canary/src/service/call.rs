mod to_stable;

use std::{mem, sync::Arc};

use canary_core::{AssignmentReason, Channel, LatencyBucket, Outcome, Weight};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response};
use http_body::Body;

use crate::{
    config::{
        caching,
        canary_config::CanaryConfig,
        classify::{Classification, HeadClassification},
    },
    control::{drain_signal::DrainSignal, state::Assigned},
    counting::{
        call_key::CallKey,
        clock::TickInstant,
        counter_key::CounterKey,
        key_activity::KeyActivity,
        route_index::RouteIndex,
        shard_counters::{ChannelCounters, SharedCounters},
    },
    service::{
        assignment::Assignment,
        deadline::CallerDeadline,
        framing::{Framing, content_length},
        layer_response::LayerResponse,
        mount_position::MountPosition,
        protocol::Protocol,
        span::CallSpan,
        timer::Timer,
        upgraded_call::UpgradedCall,
    },
};

pub(crate) use self::to_stable::CanaryFailure;

/// One call, from its assignment to its end. It records its outcome exactly once.
///
/// The response future owns it, and then the response body. A call that is dropped before its end
/// counts as cancelled, unless its service panicked, its head was a failure or its deadline passed.
pub(crate) struct Call {
    counters: SharedCounters,
    started: TickInstant,
    deadline: CallerDeadline,
    /// Shared with the [`Assignment`]s of a call whose connection may be upgraded.
    upgrade: Option<Arc<UpgradedCall>>,
    channel: Channel,
    reason: AssignmentReason,
    key: Option<CallKey>,
    route: Option<RouteIndex>,
    /// The cookie to set with the response.
    cookie: Option<Box<HeaderValue>>,
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "only axum has routers"))]
    position: MountPosition,
    protocol: Protocol,
    framing: Framing,
    /// Whether the response head has not arrived and the call has not ended.
    is_unanswered: bool,
    /// `None` until the response head arrives.
    class: Option<HeadClassification>,
    /// Set while the service runs. If it is still set in `drop`, the service panicked.
    polling: bool,
    /// Whether the call holds a permit of the canary's concurrency limit.
    has_permit: bool,
    ended: bool,
}

impl Call {
    /// Creates a call that has just been assigned.
    pub(crate) fn new<B>(
        assigned: Assigned,
        position: MountPosition,
        request: &Request<B>,
    ) -> Self {
        let framing = Framing::of(request.method());
        let protocol = Protocol::of(request);
        let deadline = CallerDeadline::of(protocol, request.headers());
        let Assigned { counters, started, channel, reason, key, route, cookie } = assigned;
        // Without the request extension, no `Assignment` outlives the response of an upgraded call.
        let may_upgrade = counters.config.tags.request_extension && framing.may_upgrade(request);
        Self {
            counters,
            started,
            deadline,
            upgrade: may_upgrade.then(Arc::default),
            channel,
            reason,
            key,
            route,
            cookie,
            position,
            protocol,
            framing,
            is_unanswered: true,
            class: None,
            polling: false,
            has_permit: false,
            ended: false,
        }
    }

    pub(crate) fn config(&self) -> &CanaryConfig {
        &self.counters.config
    }

    pub(crate) fn weight(&self) -> Weight {
        self.counters.weight()
    }

    pub(crate) const fn channel(&self) -> Channel {
        self.channel
    }

    pub(crate) fn is_canary(&self) -> bool {
        self.channel == Channel::Canary
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn drain_signal(&self) -> &DrainSignal {
        &self.counters.drain_signals[self.channel]
    }

    pub(crate) fn span(&self) -> CallSpan {
        CallSpan::new(self.config(), self.channel, self.reason)
    }

    pub(crate) fn timer(&self) -> Timer {
        Timer::start(self.config(), self.channel)
    }

    #[cfg(feature = "axum")]
    pub(crate) fn rematch(&self) -> Option<&crate::axum::Rematch> {
        match self.position {
            MountPosition::Anywhere => self.config().rematch.as_ref(),
            MountPosition::AroundRouter => None,
        }
    }

    pub(crate) fn tag_request(&self, extensions: &mut Extensions) {
        if self.config().tags.request_extension {
            extensions.insert(self.assignment(self.upgrade.clone()));
        }
    }

    #[inline]
    pub(crate) fn tag_response<R>(&self, response: &mut Response<R>) {
        let tags = &self.config().tags;
        tags.apply(self.channel, self.cookie.as_deref(), response.headers_mut());
        if self.must_stay_private() {
            caching::make_private(response.headers_mut());
        }
        if tags.response_extension {
            response.extensions_mut().insert(self.assignment(None));
        }
    }

    /// Returns whether no shared cache may store the response.
    fn must_stay_private(&self) -> bool {
        let is_canary = self.is_canary() && self.protocol == Protocol::Http;
        let is_split = is_canary && !self.config().cacheable_canary && self.weight() < Weight::FULL;
        is_split || self.cookie.is_some()
    }

    fn assignment(&self, upgrade: Option<Arc<UpgradedCall>>) -> Assignment {
        Assignment::new(self.counters.clone(), self.channel, self.reason, upgrade)
    }

    pub(crate) fn set_polling(&mut self, polling: bool) {
        self.polling = polling;
    }

    pub(crate) const fn is_polling(&self) -> bool {
        self.polling
    }

    /// Classifies the response head, and returns its latency.
    #[inline]
    pub(crate) fn classify_head<R>(&mut self, response: &mut Response<R>) -> LatencyBucket {
        let now = TickInstant::now();
        self.count_answer(now);
        let latency = self.latency_at(now);
        self.polling = true;
        self.class = Some(self.config().classify.head(self.protocol, response));
        self.polling = false;
        latency
    }

    /// Returns whether the head alone shows a failure.
    pub(crate) fn head_is_failure(&self) -> bool {
        self.class == Some(HeadClassification::Final(Classification::Failure))
    }

    /// Tags a response whose head took `latency`, and ends the call if there is no body.
    ///
    /// Otherwise it returns the length of the body in bytes, if it is known.
    #[inline]
    pub(crate) fn send_head<R: Body>(
        &mut self,
        response: &mut Response<R>,
        latency: LatencyBucket,
    ) -> Option<u64> {
        self.tag_response(response);
        let status = response.status();
        self.polling = true;
        let ends = response.body().is_end_stream() || self.framing.has_no_body(status);
        let length = match self.protocol {
            Protocol::Http if !ends => content_length(response),
            Protocol::Http | Protocol::Grpc => None,
        };
        self.polling = false;
        let upgrade = self.upgrade.take().filter(|_| self.framing.upgrades(status));
        if ends && upgrade.is_none() {
            self.end_with_head(latency, self.outcome(None));
            return None;
        }
        self.record_key(KeyActivity::head(latency));
        self.count(|counters| counters.head(latency));
        if let Some(upgrade) = upgrade {
            upgrade.park(self.successor());
        }
        length
    }

    /// Ends the call with its response. The trailers decide the outcome if the head did not.
    pub(crate) fn end_of_body(&mut self, trailers: Option<&HeaderMap>) {
        self.end(self.outcome(trailers));
    }

    pub(crate) fn fail(&mut self) {
        self.end(Outcome::Failure);
    }

    pub(crate) fn cancel(&mut self) {
        self.end(Outcome::Cancelled);
    }

    pub(crate) fn panic(&mut self) {
        self.fail_as(LayerResponse::Panic);
    }

    pub(crate) fn fail_as(&mut self, response: LayerResponse) {
        if !self.ended {
            self.count(|counters| match response {
                LayerResponse::Panic => counters.panic(),
                LayerResponse::Timeout => counters.time_out(),
            });
            self.fail();
        }
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    fn end(&mut self, outcome: Outcome) {
        let now = TickInstant::now();
        self.count_answer(now);
        let latency = self.latency_at(now);
        let activity = KeyActivity::end(outcome, latency);
        self.end_as(outcome, activity, |counters| counters.end(outcome, latency));
    }

    fn end_with_head(&mut self, latency: LatencyBucket, outcome: Outcome) {
        let activity = KeyActivity::head(latency).and(KeyActivity::end(outcome, latency));
        self.end_as(outcome, activity, |counters| {
            counters.head(latency);
            counters.end(outcome, latency);
        });
    }

    #[inline]
    fn end_as(
        &mut self,
        outcome: Outcome,
        activity: KeyActivity,
        count: impl Fn(&ChannelCounters),
    ) {
        if mem::replace(&mut self.ended, true) {
            return;
        }
        // The permit is released before the call is counted, so that an observer of the counts
        // finds it free.
        self.release_permit();
        self.record_key(activity);
        self.count(count);
        self.drain_signal().call_ended();
        if outcome == Outcome::Failure && self.is_canary() {
            self.run_failure_hook();
        }
    }

    #[inline]
    fn latency_at(&self, now: TickInstant) -> LatencyBucket {
        LatencyBucket::of_nanos(now.nanos_since(self.started))
    }

    /// Counts that the call waits no longer for its head: it arrived, or the call ends without one.
    #[inline]
    fn count_answer(&mut self, now: TickInstant) {
        if mem::take(&mut self.is_unanswered) {
            let started = self.started;
            self.count(|counters| counters.answer(started, now));
        }
    }

    fn outcome(&self, trailers: Option<&HeaderMap>) -> Outcome {
        self.config().classify.outcome(self.protocol, self.class, trailers)
    }

    fn count(&self, count: impl Fn(&ChannelCounters)) {
        self.counters.count(self.counter_key(), count);
    }

    const fn counter_key(&self) -> CounterKey {
        CounterKey::new(self.channel, self.reason, self.route)
    }

    fn record_key(&self, activity: KeyActivity) {
        if let Some(key) = self.key {
            self.counters.record_key(key, self.counter_key(), activity);
        }
    }

    fn run_failure_hook(&self) {
        if self.reason.is_evidence() {
            self.config().canary_failed(self.counters.weight());
        }
    }

    /// Returns the call of the upgraded connection, which records the outcome in place of `self`.
    fn successor(&mut self) -> Self {
        self.ended = true;
        let (counters, has_permit) = (self.counters.clone(), mem::take(&mut self.has_permit));
        Self { counters, upgrade: None, cookie: None, has_permit, ended: false, ..*self }
    }

    #[cold]
    fn end_dropped(&mut self) {
        if self.polling {
            self.panic();
        } else if self.deadline.is_missed_after(|| self.started.elapsed_nanos())
            || self.head_is_failure()
        {
            self.fail();
        } else {
            self.cancel();
        }
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        if !self.ended {
            self.end_dropped();
        }
    }
}
