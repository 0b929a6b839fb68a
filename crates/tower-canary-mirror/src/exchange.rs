use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
    time::Duration,
};

use canary_core::{Channel, LatencyBucket};
use http::{Request, Response, request::Parts};
use http_body::Body;
use tower_service::Service;

use crate::panic::catch;
use crate::{
    Mirrored,
    any_body::AnyBody,
    ask::{Asked, Fault, ask, limited},
    compare::{Answer, Comparison, FieldDifference},
    counts::{DropReason, Ending},
    fields::{Difference, Found},
    layer::Target,
    memory::Lease,
    replay::Replay,
    request_tap::RequestEnd,
    state::Mirror,
    ticket::Ticket,
};
use tower_canary::select::RequestHead;

/// A request and stable's answer to it: what the canary is asked, and held against.
pub(super) struct Exchange<S, C, B> {
    pub(super) request: RecordedRequest,
    pub(super) target: Arc<Target<C>>,
    pub(super) second: Option<S>,
    pub(super) stable: Answer,
    pub(super) latency: Duration,
    #[expect(dead_code, reason = "it is held for what it stands for")]
    pub(super) lease: Lease,
    pub(super) body: PhantomData<fn() -> B>,
}

/// A request that came in whole.
pub(super) struct RecordedRequest {
    pub(super) head: Parts,
    pub(super) body: Arc<OnceLock<RequestEnd>>,
}

impl RecordedRequest {
    fn copy<B: AnyBody>(&self, channel: Channel) -> Request<B> {
        let mut head = self.head.clone();
        Mirrored::mark(channel, &mut head);
        let replay = match self.body.get() {
            Some(RequestEnd::Whole { bytes, trailers, .. }) => {
                Replay::new(bytes.clone(), trailers.clone())
            }
            Some(RequestEnd::Dropped(_)) | None => Replay::default(),
        };
        Request::from_parts(head, B::of(replay))
    }
}

impl<S, C, B, ResBody, CanaryBody> Exchange<S, C, B>
where
    S: Service<Request<B>, Response = Response<ResBody>, Future: Send> + Clone + Send + 'static,
    C: Service<Request<B>, Response = Response<CanaryBody>, Future: Send> + Clone + Send + 'static,
    B: AnyBody,
    ResBody: AnyBody,
    CanaryBody: Body + Send + 'static,
{
    /// Asks the canary, then stable again if it was so drawn, and counts what comes of it.
    pub(super) async fn run(mut self, ticket: Ticket) {
        let mirror = Arc::clone(ticket.mirror());
        let (request, target) = (&self.request, &self.target);
        let canary = async {
            let mut request = request.copy(Channel::Canary);
            target.prepare(&mut request);
            ask(target.canary(), request, &mirror).await
        };
        let canary = match limited(&mirror, Channel::Canary, canary).await {
            Ok(canary) => canary,
            Err(fault) => return ticket.end(ending_of(fault)),
        };
        let second = match self.second.take() {
            Some(stable) => {
                mirror.counters.noise_asked();
                let stable = async { ask(stable, request.copy(Channel::Stable), &mirror).await };
                // That it fails says nothing of the canary.
                limited(&mirror, Channel::Stable, stable).await.ok()
            }
            None => None,
        };
        // Comparisons and hooks are the user's; a panic in one is nobody's loss but theirs.
        let ending = catch(|| self.judge(&canary, second.as_ref(), &mirror));
        ticket.end(ending.unwrap_or(Ending::NotCompared));
    }

    fn judge(&self, canary: &Asked, second: Option<&Asked>, mirror: &Mirror) -> Ending {
        let (compare, head) = (&mirror.options.compare, &self.request.head);
        let noise = second.and_then(|second| {
            let noise = compare.compare(head, &self.stable, &second.answer);
            let Comparison::Compared(noise) = noise else { return None };
            mirror.counters.noise_compared(u64::from(!noise.is_empty()));
            Some(noise)
        });
        let compared = compare.compare(head, &self.stable, &canary.answer);
        let found = match &compared {
            Comparison::Compared(found) => {
                Some(found.iter().map(|found| self.sample(found, mirror)).collect())
            }
            Comparison::NotCompared => None,
        };
        let mut findings = mirror.findings();
        findings.head.stable.add(LatencyBucket::of(self.latency), 1);
        findings.head.canary.add(LatencyBucket::of(canary.latency), 1);
        found.map_or(Ending::NotCompared, |found| findings.fields.record(found, noise.as_deref()))
    }

    fn sample(&self, found: &FieldDifference, mirror: &Mirror) -> Found {
        let head = &self.request.head;
        let mut sample = Difference::new(&head.method, RequestHead::from(head).path(), found);
        let redacted = catch(|| (mirror.options.redact)(&mut sample)).is_ok();
        Found { field: found.field.clone(), sample: redacted.then(|| sample.truncated()) }
    }
}

const fn ending_of(fault: Fault) -> Ending {
    match fault {
        Fault::Failed => Ending::Failed,
        Fault::Panicked => Ending::Panicked,
        Fault::TimedOut => Ending::TimedOut,
        Fault::Runtime => Ending::Dropped(DropReason::Runtime),
    }
}
