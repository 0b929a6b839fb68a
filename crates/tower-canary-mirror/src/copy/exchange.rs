use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use canary_core::{Channel, LatencyBucket};
use http::{HeaderMap, Request, request::Parts};
use tokio::runtime::Handle;
use tower_canary::{internal::catch, select::RequestHead};

use crate::{
    compare::{
        captured_response::CapturedResponse,
        comparison::{Comparison, FieldDifference},
    },
    copy::{
        budget::Reservation,
        in_flight::InFlight,
        shadow_call::{ShadowBody, ShadowCall, ShadowError, ShadowResponse},
    },
    findings::{
        counts::{DropReason, MirrorOutcome},
        difference::Difference,
        fields::FoundDifference,
    },
    mirror::Mirror,
    mirrored::Mirrored,
};

/// A request and stable's response, to be sent to the canary and compared with its response.
pub(crate) struct Exchange {
    pub(crate) in_flight: InFlight,
    pub(crate) request: CapturedRequest,
    pub(crate) canary: ShadowCall,
    /// Sends the request to stable again, to measure noise.
    pub(crate) noise: Option<ShadowCall>,
    pub(crate) stable: CapturedResponse,
    /// The time to stable's response head.
    pub(crate) latency: Duration,
    /// The memory of the request and of stable's response.
    pub(crate) reservation: Reservation,
}

/// A request that was captured completely.
pub(crate) struct CapturedRequest {
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl CapturedRequest {
    fn copy_for(&self, channel: Channel) -> Request<ShadowBody> {
        let mut head = self.head.clone();
        Mirrored::mark(channel, &mut head);
        let body = ShadowBody::buffered(self.body.clone(), self.trailers.clone());
        Request::from_parts(head, body)
    }
}

impl Exchange {
    /// Spawns a task that sends the request as soon as the concurrency limit allows it, or drops
    /// the request if the queue is full. Never waits.
    pub(crate) fn spawn(mut self) {
        let mirror = Arc::clone(self.in_flight.mirror());
        let Ok(slot) = Arc::clone(&mirror.slots).try_acquire_owned() else {
            return self.in_flight.drop_as(DropReason::QueueFull);
        };
        // A runtime that shuts down drops the task.
        self.in_flight.set_drop_reason(DropReason::Runtime);
        let runtime = mirror.options.runtime.clone().or_else(|| Handle::try_current().ok());
        let Some(runtime) = runtime else { return };
        runtime.spawn(async move {
            let permit = mirror.permits.acquire().await;
            self.run(&mirror).await;
            drop((permit, slot));
        });
    }

    /// Sends the request to the canary, and for noise to stable, and counts the outcome.
    async fn run(self, mirror: &Arc<Mirror>) {
        let Self { in_flight, request, canary, noise, stable, latency, reservation } = self;
        let copy = request.copy_for(Channel::Canary);
        let canary = match canary.send(copy, Channel::Canary, mirror).await {
            Ok(canary) => canary,
            Err(error) => return in_flight.end(outcome_of(error)),
        };
        let noise = match noise {
            Some(noise) => {
                mirror.counters.noise_sent();
                let copy = request.copy_for(Channel::Stable);
                // A failure does not concern the canary.
                noise.send(copy, Channel::Stable, mirror).await.ok()
            }
            None => None,
        };
        let responses = Responses { request, stable, latency, canary, noise };
        // The comparison is the user's code.
        let outcome = catch(|| responses.compare(mirror)).unwrap_or(MirrorOutcome::NotCompared);
        in_flight.end(outcome);
        drop(reservation);
    }
}

const fn outcome_of(error: ShadowError) -> MirrorOutcome {
    match error {
        ShadowError::Failed => MirrorOutcome::Failed,
        ShadowError::Panicked => MirrorOutcome::Panicked,
        ShadowError::TimedOut => MirrorOutcome::TimedOut,
        ShadowError::Runtime => MirrorOutcome::Dropped(DropReason::Runtime),
    }
}

/// The responses to a mirrored request.
struct Responses {
    request: CapturedRequest,
    stable: CapturedResponse,
    latency: Duration,
    canary: ShadowResponse,
    noise: Option<ShadowResponse>,
}

impl Responses {
    fn compare(&self, mirror: &Mirror) -> MirrorOutcome {
        let compare =
            |other| mirror.options.compare.compare(&self.request.head, &self.stable, other);
        let noise = self.noise.as_ref().and_then(|noise| match compare(&noise.response) {
            Comparison::Compared(noise) => {
                mirror.counters.noise_compared(!noise.is_empty());
                Some(noise)
            }
            Comparison::NotCompared => None,
        });
        let found: Option<Vec<_>> = match compare(&self.canary.response) {
            Comparison::Compared(found) => {
                Some(found.iter().map(|found| self.redacted(found, mirror)).collect())
            }
            Comparison::NotCompared => None,
        };
        let mut findings = mirror.findings();
        findings.head.stable.add(LatencyBucket::of(self.latency), 1);
        findings.head.canary.add(LatencyBucket::of(self.canary.latency), 1);
        found.map_or(MirrorOutcome::NotCompared, |found| {
            findings.fields.record(found, noise.as_deref())
        })
    }

    fn redacted(&self, found: &FieldDifference, mirror: &Mirror) -> FoundDifference {
        let head = &self.request.head;
        let path = RequestHead::from(head).path();
        let mut difference = Difference::new(&head.method, path, found);
        let is_redacted = catch(|| (mirror.options.redact)(&mut difference)).is_ok();
        let sample = is_redacted.then(|| difference.truncated());
        FoundDifference { field: found.field.clone(), sample }
    }
}
