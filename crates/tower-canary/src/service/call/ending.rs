//! Ends a call: its outcome is recorded exactly once, whatever happens.

use std::mem;

use canary_core::LatencyBucket;
use http::HeaderMap;

use crate::{
    config::{classify::HeadClassification, grpc_code::GrpcCode},
    counting::{
        call_end::CallEnd, clock::TickInstant, key_activity::KeyActivity,
        shard_counters::ChannelCounters,
    },
    service::{call::Call, layer_response::LayerResponse, protocol::Protocol},
};

impl Call {
    /// Ends the call with its response. The trailers decide the outcome if the head did not.
    pub(crate) fn end_of_body(&mut self, trailers: Option<&HeaderMap>) {
        let claims_grpc = self.method.is_some() && self.protocol == Protocol::Http;
        if claims_grpc && GrpcCode::is_in(trailers) {
            // A gRPC response whose head lacks the content type. Clients accept it.
            (self.protocol, self.class) = (Protocol::Grpc, Some(HeadClassification::AtEnd));
        }
        self.end(self.end_of_response(trailers));
    }

    pub(crate) fn fail(&mut self) {
        self.end(CallEnd::Failure);
    }

    pub(crate) fn cancel(&mut self) {
        self.end(CallEnd::Cancelled);
    }

    pub(crate) fn panic(&mut self) {
        self.fail_as(LayerResponse::Panic);
    }

    pub(crate) fn fail_as(&mut self, response: LayerResponse) {
        if !self.ended {
            if !self.is_broken_off() {
                self.count(move |counters| match response {
                    LayerResponse::Panic => counters.panic(),
                    LayerResponse::Timeout => counters.time_out(),
                });
            }
            self.fail();
        }
    }

    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    fn end(&mut self, end: CallEnd) {
        if self.ended {
            return;
        }
        let end = self.attributed(end);
        let now = TickInstant::now();
        self.count_answer(now);
        let latency = self.latency_at(now);
        let activity = KeyActivity::end(end, latency);
        self.end_as(end, activity, move |counters| counters.end(end, latency));
    }

    pub(super) fn end_with_head(&mut self, latency: LatencyBucket, end: CallEnd) {
        let end = self.attributed(end);
        let activity = KeyActivity::head(latency).and(KeyActivity::end(end, latency));
        self.end_as(end, activity, move |counters| {
            counters.head(latency);
            counters.end(end, latency);
        });
    }

    /// Returns the end to count: a failure after the caller broke off its upload is the doing of the
    /// caller.
    #[inline]
    fn attributed(&self, end: CallEnd) -> CallEnd {
        match end {
            CallEnd::Failure if self.is_broken_off() => self.cancelled(),
            end => end,
        }
    }

    const fn cancelled(&self) -> CallEnd {
        if self.told_channel { CallEnd::CancelledAfterTag } else { CallEnd::Cancelled }
    }

    #[inline]
    pub(super) fn end_as(
        &mut self,
        end: CallEnd,
        activity: KeyActivity,
        count: impl Fn(&ChannelCounters) + Copy,
    ) {
        if mem::replace(&mut self.ended, true) {
            return;
        }
        // The permits are released before the call is counted, so that an observer of the counts
        // finds them free.
        self.release_permits();
        self.record_key(activity);
        self.count(count);
        self.drain_signal().call_ended();
        if end.is_adverse() && self.is_canary() {
            self.run_failure_hook();
        }
    }

    fn run_failure_hook(&self) {
        if self.reason.is_evidence() {
            self.config().canary_failed(self.counters.weight());
        }
    }

    #[cold]
    fn end_dropped(&mut self) {
        if self.polling {
            self.panic();
        } else if self.head_is_failure() || (self.class.is_none() && self.missed_deadline()) {
            self.fail();
        } else {
            self.end(self.cancelled());
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
