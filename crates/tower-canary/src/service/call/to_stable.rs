//! Moves a call of the canary to stable: it is shed, it spills, or it falls back.

use std::mem;

use canary_core::{AssignmentReason, Channel, LatencyBucket, Weight};
use http::Request;

use crate::{
    config::concurrency_limit::{ConcurrencyLimit, KeyConcurrencyLimit},
    counting::{
        call_end::CallEnd, call_key::CallKey, clock::TickInstant, key_activity::KeyActivity,
        shard_counters::ChannelCounters,
    },
    select::{RequestHead, StickyKey},
    service::{
        call::Call, deadline::CallerDeadline, fallback::Fallback, layer_response::LayerResponse,
        request_headers::RequestHeaders,
    },
};

/// The failure of a canary call that stable repeats.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CanaryFailure {
    Error,
    /// The response head, which took this long, was a failure.
    Head(LatencyBucket),
    LayerResponse(LayerResponse),
}

impl Call {
    /// Acquires the permits of the canary's concurrency limits, or returns false if a limit is
    /// reached.
    ///
    /// At full weight it always succeeds, because stable may have been shut down.
    pub(crate) fn acquire_permits(&mut self) -> bool {
        let config = &self.counters.config;
        let (limit, key_limit) = (config.concurrency_limit.as_ref(), self.key_limit());
        if self.counters.weight() == Weight::FULL {
            limit.inspect(|limit| limit.force_acquire());
            key_limit.inspect(|(limit, key)| limit.force_acquire(*key));
        } else if !key_limit.is_none_or(|(limit, key)| limit.try_acquire(key)) {
            return false;
        } else if !limit.is_none_or(ConcurrencyLimit::try_acquire) {
            key_limit.inspect(|(limit, key)| limit.release(*key));
            return false;
        }
        self.has_permits = true;
        true
    }

    #[inline]
    pub(super) fn release_permits(&mut self) {
        if mem::take(&mut self.has_permits) {
            self.config().concurrency_limit.as_ref().inspect(|limit| limit.release());
            self.key_limit().inspect(|(limit, key)| limit.release(*key));
        }
    }

    fn key_limit(&self) -> Option<(&KeyConcurrencyLimit, StickyKey)> {
        match (&self.config().concurrency_limit_per_key, self.key) {
            (Some(limit), Some(CallKey::Sticky(key))) => Some((limit, key)),
            _ => None,
        }
    }

    /// Moves the call to stable, because a concurrency limit of the canary is reached.
    pub(crate) fn shed(&mut self) {
        self.spill_as(CallEnd::Shed);
    }

    /// Moves the call to stable, because the canary is not ready.
    pub(crate) fn spill(&mut self) {
        self.spill_as(CallEnd::NotReady);
    }

    fn spill_as(&mut self, end: CallEnd) {
        // Stable's pick comes first: an epoch without calls in flight is discarded.
        let now = TickInstant::now();
        self.pick_stable(AssignmentReason::Spilled, now);
        self.count_answer(now);
        self.end_as(end, KeyActivity::of(end), move |counters| counters.end_untimed(end));
        self.move_to_stable(AssignmentReason::Spilled, now);
    }

    /// Returns the fallback to use if the canary fails, or `None` if the call must not be repeated.
    pub(crate) fn fallback_for<B>(&self, request: &Request<B>) -> Option<&Fallback> {
        let fallback = self.config().fallback.as_ref()?;
        // At full weight, stable may have been shut down.
        let may_be_repeated = !self.framing.may_upgrade(&RequestHeaders::of(request.headers()))
            && self.counters.weight() != Weight::FULL
            && fallback.may_repeat(&RequestHead::new(request));
        may_be_repeated.then_some(fallback)
    }

    /// Moves the call to stable, because the canary failed it.
    ///
    /// It counts as a failure of the canary and as another call of stable.
    pub(crate) fn fall_back(&mut self, failure: CanaryFailure) {
        let now = TickInstant::now();
        self.pick_stable(AssignmentReason::FellBack, now);
        self.count(ChannelCounters::fall_back);
        match failure {
            CanaryFailure::Error => self.fail(),
            CanaryFailure::Head(latency) => self.end_with_head(latency, CallEnd::Failure),
            CanaryFailure::LayerResponse(response) => self.fail_as(response),
        }
        // The deadline was for both attempts. Stable is not to blame if the caller leaves now.
        self.deadline = CallerDeadline::NONE;
        self.move_to_stable(AssignmentReason::FellBack, now);
    }

    fn pick_stable(&self, reason: AssignmentReason, now: TickInstant) {
        self.counters.pick(Channel::Stable, reason, self.key, self.route, now);
    }

    /// Begins the call of stable, whose latency does not include the time of the canary.
    fn move_to_stable(&mut self, reason: AssignmentReason, now: TickInstant) {
        self.channel = Channel::Stable;
        self.reason = reason;
        self.started = now;
        self.waited_before = self.waited_nanos();
        self.is_unanswered = true;
        self.class = None;
        self.polling = false;
        self.ended = false;
        if let Some(upload) = self.upload() {
            self.share_answer(upload);
        }
    }
}
