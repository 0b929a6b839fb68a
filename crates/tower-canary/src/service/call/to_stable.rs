//! Moves a call of the canary to stable: it is shed, it spills, or it falls back.

use std::mem;

use canary_core::{AssignmentReason, Channel, LatencyBucket, Outcome, Weight};
use http::Request;

use crate::{
    counting::{clock::TickInstant, key_activity::KeyActivity, shard_counters::ChannelCounters},
    select::RequestHead,
    service::{call::Call, fallback::Fallback, layer_response::LayerResponse},
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
    /// Acquires a permit of the canary's concurrency limit, or returns false if there is none left.
    ///
    /// At full weight it always succeeds, because stable may have been shut down.
    pub(crate) fn acquire_permit(&mut self) -> bool {
        let Some(limit) = &self.config().concurrency_limit else { return true };
        self.has_permit = match self.counters.weight() {
            Weight::FULL => {
                limit.force_acquire();
                true
            }
            _ => limit.try_acquire(),
        };
        self.has_permit
    }

    #[inline]
    pub(super) fn release_permit(&mut self) {
        if mem::take(&mut self.has_permit)
            && let Some(limit) = &self.config().concurrency_limit
        {
            limit.release();
        }
    }

    /// Moves the call to stable, because the canary's concurrency limit is reached.
    pub(crate) fn shed(&mut self) {
        self.count(ChannelCounters::shed);
        self.spill();
    }

    /// Moves the call to stable, because the canary is not ready.
    pub(crate) fn spill(&mut self) {
        // Stable's pick comes first: an epoch without calls in flight is discarded.
        self.pick_stable(AssignmentReason::Spilled);
        self.count_answer(TickInstant::now());
        self.release_permit();
        self.record_key(KeyActivity::SPILLED);
        self.count(ChannelCounters::spill);
        self.drain_signal().call_ended();
        self.run_failure_hook();
        self.move_to_stable(AssignmentReason::Spilled);
    }

    /// Returns the fallback to use if the canary fails, or `None` if the call must not be repeated.
    pub(crate) fn fallback_for<B>(&self, request: &Request<B>) -> Option<&Fallback> {
        let fallback = self.config().fallback.as_ref()?;
        // At full weight, stable may have been shut down.
        let may_be_repeated = !self.framing.may_upgrade(request)
            && self.counters.weight() != Weight::FULL
            && fallback.may_repeat(&RequestHead::new(request));
        may_be_repeated.then_some(fallback)
    }

    /// Moves the call to stable, because the canary failed it.
    ///
    /// It counts as a failure of the canary and as another call of stable.
    pub(crate) fn fall_back(&mut self, failure: CanaryFailure) {
        self.pick_stable(AssignmentReason::FellBack);
        self.count(ChannelCounters::fall_back);
        match failure {
            CanaryFailure::Error => self.fail(),
            CanaryFailure::Head(latency) => self.end_with_head(latency, Outcome::Failure),
            CanaryFailure::LayerResponse(response) => self.fail_as(response),
        }
        self.class = None;
        self.polling = false;
        self.ended = false;
        self.move_to_stable(AssignmentReason::FellBack);
    }

    fn pick_stable(&self, reason: AssignmentReason) {
        let Self { key, route, started, .. } = *self;
        self.counters.pick(Channel::Stable, reason, key, route, started);
    }

    const fn move_to_stable(&mut self, reason: AssignmentReason) {
        self.channel = Channel::Stable;
        self.reason = reason;
        self.is_unanswered = true;
    }
}
