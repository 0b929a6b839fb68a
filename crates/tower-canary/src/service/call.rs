use std::{num::NonZeroU64, sync::Arc};

use canary_core::{AssignmentReason, Channel, LatencyBucket, Outcome, Weight};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response};
use http_body::Body;

use crate::{
    config::{
        canary_config::CanaryConfig,
        classify::{Classification, HeadClassification},
    },
    control::{drain_signal::DrainSignal, state::Assigned},
    counting::{
        clock::{TickInstant, nanos_of},
        counter_key::CounterKey,
        key_watch::KeyEventKind,
        route_classes::RouteIndex,
        shard_counters::{ChannelCounters, SharedCounters},
    },
    select::{RequestHead, StickyKey},
    service::{
        assignment::Assignment,
        fallback::Fallback,
        framing::{Framing, content_length},
        layer::Position,
        layer_response::LayerResponse,
        protocol::{Protocol, grpc_timeout},
        span::CallSpan,
        timer::Timer,
        upgraded_call::UpgradedCall,
    },
};

/// One call, from assignment to end: it counts itself, exactly once, whatever happens.
///
/// It lives in the future, then in the body. A call that is dropped unended was left by its caller,
/// unless it panicked or ran into its deadline.
pub(crate) struct Call {
    counters: SharedCounters,
    started: TickInstant,
    /// In nanoseconds from the start.
    deadline: Option<NonZeroU64>,
    upgrade: Option<Arc<UpgradedCall>>,
    channel: Channel,
    reason: AssignmentReason,
    key: Option<StickyKey>,
    route: Option<RouteIndex>,
    /// To be set with the response.
    cookie: Option<Box<HeaderValue>>,
    #[cfg_attr(not(feature = "axum"), expect(dead_code, reason = "only axum has routers"))]
    position: Position,
    protocol: Protocol,
    framing: Framing,
    /// None until the head of the response came.
    class: Option<HeadClassification>,
    /// Whether the service is running, or panicked: found set in `drop`, it did.
    polling: bool,
    /// Whether it counts against the canary's limit of concurrent calls.
    has_permit: bool,
    ended: bool,
}

/// How the canary failed a call that stable repeats.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CanaryFailure {
    Error,
    /// The head of its response says so, which took this long.
    Head(LatencyBucket),
    LayerResponse(LayerResponse),
}

impl Call {
    /// Takes over a call that was just assigned.
    pub(crate) fn new<B>(assigned: Assigned, position: Position, request: &Request<B>) -> Self {
        let framing = Framing::of(request.method());
        let protocol = Protocol::of(request);
        let deadline = match protocol {
            // At least one: a time that is over from the start is over.
            Protocol::Grpc => grpc_timeout(request.headers())
                .and_then(|timeout| NonZeroU64::new(nanos_of(timeout).max(1))),
            Protocol::Http => None,
        };
        let Assigned { counters, channel, reason, key, route, cookie } = assigned;
        // Without the extension nobody can hold on to an upgraded connection.
        let may_be_held = counters.config.tags.request_extension && framing.may_upgrade(request);
        Self {
            counters,
            started: TickInstant::now(),
            deadline,
            upgrade: may_be_held.then(Arc::default),
            channel,
            reason,
            key,
            route,
            cookie,
            position,
            protocol,
            framing,
            class: None,
            polling: false,
            has_permit: false,
            ended: false,
        }
    }

    /// Takes a place among the canary's concurrent calls; false, if all are taken.
    ///
    /// At full weight there is always one more: stable may be gone.
    pub(crate) fn acquire_permit(&mut self) -> bool {
        let Some(concurrency_limit) = &self.config().concurrency_limit else { return true };
        let has_permit = match self.counters.weight() {
            Weight::FULL => {
                concurrency_limit.take();
                true
            }
            _ => concurrency_limit.try_take(),
        };
        self.has_permit = has_permit;
        has_permit
    }

    fn release_permit(&mut self) {
        if std::mem::take(&mut self.has_permit)
            && let Some(concurrency_limit) = &self.config().concurrency_limit
        {
            concurrency_limit.give_back();
        }
    }

    /// By what stable may repeat the call, should the canary fail it.
    pub(crate) fn fallback_for<B>(&self, request: &Request<B>) -> Option<&Fallback> {
        let fallback = self.config().fallback.as_ref()?;
        // At full weight stable may be gone.
        let may_be_repeated = !self.framing.may_upgrade(request)
            && self.counters.weight() != Weight::FULL
            && fallback.may_repeat(&RequestHead::new(request));
        may_be_repeated.then_some(fallback)
    }

    pub(crate) fn config(&self) -> &CanaryConfig {
        &self.counters.config
    }

    #[cfg(feature = "axum")]
    pub(crate) fn rematch(&self) -> Option<&crate::axum::Rematch> {
        match self.position {
            Position::Anywhere => self.config().rematch.as_ref(),
            Position::AroundRouter => None,
        }
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

    pub(crate) fn span(&self) -> CallSpan {
        CallSpan::new(self.config(), self.channel, self.reason)
    }

    pub(crate) fn timer(&self) -> Timer {
        Timer::start(self.config(), self.channel)
    }

    pub(crate) const fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn drain_signal(&self) -> &DrainSignal {
        &self.counters.drain_signals[self.channel]
    }

    /// Tells the handler about the call.
    pub(crate) fn tag_request(&self, extensions: &mut Extensions) {
        if self.config().tags.request_extension {
            extensions.insert(self.assignment(self.upgrade.clone()));
        }
    }

    /// Gives the call to stable, since the canary has no place for it.
    pub(crate) fn shed(&mut self) {
        self.count(ChannelCounters::shed);
        self.spill();
    }

    /// Gives the call to stable, since the canary was not ready for it.
    pub(crate) fn spill(&mut self) {
        // Stable's pick comes first: an epoch of which no call is in flight is given up.
        self.counters.pick(Channel::Stable, AssignmentReason::Spilled, self.key, self.route);
        self.release_permit();
        self.note_key(KeyEventKind::Failed);
        self.count(ChannelCounters::spill);
        self.drain_signal().call_ended();
        self.notify_failure_hook();
        self.go_to_stable(AssignmentReason::Spilled);
    }

    /// Gives the call to stable, since the canary failed it. It counts as a failure of the canary, and
    /// as a call of stable's from now on.
    pub(crate) fn fall_back(&mut self, failure: CanaryFailure) {
        self.counters.pick(Channel::Stable, AssignmentReason::FellBack, self.key, self.route);
        self.count(ChannelCounters::fall_back);
        match failure {
            CanaryFailure::Error => self.fail(),
            CanaryFailure::Head(latency) => self.end_with_head(latency, Outcome::Failure),
            CanaryFailure::LayerResponse(refusal) => self.fail_as(refusal),
        }
        self.class = None;
        self.polling = false;
        self.ended = false;
        self.go_to_stable(AssignmentReason::FellBack);
    }

    const fn go_to_stable(&mut self, reason: AssignmentReason) {
        self.channel = Channel::Stable;
        self.reason = reason;
    }

    pub(crate) fn set_polling(&mut self, polling: bool) {
        self.polling = polling;
    }

    /// Looks at the response's head, and says how long it took.
    #[inline]
    pub(crate) fn classify_head<R>(&mut self, response: &mut Response<R>) -> LatencyBucket {
        let latency = self.latency();
        self.polling = true;
        self.class = Some(self.config().classify.head(self.protocol, response));
        self.polling = false;
        latency
    }

    /// Whether the head alone said that the service failed.
    pub(crate) fn head_is_failure(&self) -> bool {
        self.class == Some(HeadClassification::Final(Classification::Failure))
    }

    /// Tags the response, which is to go out, and whose head took `latency`. If it ends with its head, so
    /// does the call; else says how many bytes of it are to come, if that is known.
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
        let to_come = match self.protocol {
            Protocol::Http if !ends => content_length(response),
            Protocol::Http | Protocol::Grpc => None,
        };
        self.polling = false;
        // An upgrade that nobody listens to ends with the head.
        let upgrade = self.upgrade.take().filter(|_| self.framing.upgrades(status));
        if ends && upgrade.is_none() {
            self.end_with_head(latency, self.class_at_end(None));
            return None;
        }
        self.count(|counters| counters.head(latency));
        if let Some(upgrade) = upgrade {
            upgrade.park(self.successor());
        }
        to_come
    }

    /// Ends the call with its response. What the head left open, the trailers decide.
    pub(crate) fn end_of_body(&mut self, trailers: Option<&HeaderMap>) {
        self.end(self.class_at_end(trailers));
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

    pub(crate) fn fail_as(&mut self, refusal: LayerResponse) {
        if !self.ended {
            self.count(|counters| match refusal {
                LayerResponse::Panic => counters.panic(),
                LayerResponse::Timeout => counters.time_out(),
            });
            self.fail();
        }
    }

    pub(crate) const fn is_polling(&self) -> bool {
        self.polling
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    fn end(&mut self, outcome: Outcome) {
        let latency = self.latency();
        self.end_as(outcome, |counters| counters.end(outcome, latency));
    }

    fn end_with_head(&mut self, latency: LatencyBucket, outcome: Outcome) {
        self.end_as(outcome, |counters| {
            counters.head(latency);
            counters.end(outcome, latency);
        });
    }

    #[inline]
    fn latency(&self) -> LatencyBucket {
        LatencyBucket::of_nanos(self.started.elapsed_nanos())
    }

    #[inline]
    fn end_as(&mut self, outcome: Outcome, count: impl Fn(&ChannelCounters)) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // First, so that whoever sees the call ended finds its place free.
        self.release_permit();
        match outcome {
            Outcome::Success => {}
            Outcome::Failure => self.note_key(KeyEventKind::Failed),
            Outcome::Cancelled => self.note_key(KeyEventKind::Cancelled),
        }
        self.count(count);
        self.drain_signal().call_ended();
        if outcome == Outcome::Failure && self.is_canary() {
            self.notify_failure_hook();
        }
    }

    fn count(&self, count: impl Fn(&ChannelCounters)) {
        self.counters.count(self.counter_key(), count);
    }

    const fn counter_key(&self) -> CounterKey {
        CounterKey::new(self.channel, self.reason, self.route)
    }

    fn note_key(&self, kind: KeyEventKind) {
        if let Some(key) = self.key {
            self.counters.record_key(key, self.counter_key(), kind);
        }
    }

    /// Tells the hook that the canary failed a call, or spilled it.
    fn notify_failure_hook(&self) {
        if self.reason.is_evidence() {
            self.config().canary_failed(self.counters.weight());
        }
    }

    fn class_at_end(&self, trailers: Option<&HeaderMap>) -> Outcome {
        let class = match self.class {
            Some(HeadClassification::Final(class)) => class,
            Some(HeadClassification::AtEnd) | None => {
                self.config().classify.trailers(self.protocol, trailers)
            }
        };
        match class {
            Classification::Success => Outcome::Success,
            Classification::Failure => Outcome::Failure,
        }
    }

    #[inline]
    pub(crate) fn tag_response<R>(&self, response: &mut Response<R>) {
        let tags = &self.config().tags;
        tags.apply(self.channel, self.cookie.as_deref(), response.headers_mut());
        if tags.response_extension {
            response.extensions_mut().insert(self.assignment(None));
        }
    }

    fn assignment(&self, upgrade: Option<Arc<UpgradedCall>>) -> Assignment {
        Assignment::new(self.counters.clone(), self.channel, self.reason, upgrade)
    }

    /// The same call, to be ended elsewhere; this one counts no more.
    fn successor(&mut self) -> Self {
        self.ended = true;
        let (counters, has_permit) = (self.counters.clone(), std::mem::take(&mut self.has_permit));
        Self { counters, upgrade: None, cookie: None, has_permit, ended: false, ..*self }
    }

    fn deadline_is_over(&self) -> bool {
        // The caller's clock started earlier than ours, and whoever gives up in the last tenth of the
        // time they granted cannot be told from one whose time was over.
        self.deadline
            .is_some_and(|deadline| self.started.elapsed_nanos() >= deadline.get() / 10 * 9)
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        if !self.ended {
            self.end_unanswered();
        }
    }
}

impl Call {
    #[cold]
    fn end_unanswered(&mut self) {
        if self.polling {
            self.panic();
        } else if self.deadline_is_over() || self.head_is_failure() {
            self.fail();
        } else {
            self.cancel();
        }
    }
}
