use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use canary_core::{Bucket, Channel, Weight};
use http::{Request, Response};
use rand::Rng;
use tower_service::Service;

use crate::{
    ResponseFuture,
    call::Call,
    future::{Spill, State, call_canary, call_stable},
    layer::Position,
    span::CallSpan,
    switch::Switch,
};

/// Serves each call by one of two services, stable or canary.
///
/// Made by [`CanaryLayer`](crate::CanaryLayer); see the [crate's documentation](crate).
///
/// `poll_ready` waits for stable only, so that a canary that never becomes ready holds up nobody: its
/// calls wait for it one poll, then [spill](crate::ChannelCounts::spilled) to stable. At full weight it is
/// the other way round: the canary is waited for and never spills, and stable need not be ready.
pub struct CanaryService<S, C> {
    stable: S,
    canary: C,
    switch: Arc<Switch>,
    position: Position,
    readiness: Readiness,
}

/// What the last `poll_ready` came to, to be used by the next `call`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Readiness {
    /// Nobody asked, or the answer was used.
    Unknown,
    /// This channel's service was asked, and may hold a place in a queue.
    Waiting(Channel),
    /// This channel's service is ready, and may hold a permit.
    Ready(Channel),
}

impl<S, C> CanaryService<S, C> {
    pub(crate) const fn new(stable: S, canary: C, switch: Arc<Switch>, position: Position) -> Self {
        Self { stable, canary, switch, position, readiness: Readiness::Unknown }
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for CanaryService<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    C: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Into<S::Error>> + Clone,
    ResBody: http_body::Body,
{
    type Response = Response<crate::ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, Request<ReqBody>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if let Readiness::Ready(_) = self.readiness {
            // Ready is ready until `call`, which copes with a weight that changed.
            return Poll::Ready(Ok(()));
        }
        let channel = match self.switch.weight() {
            Weight::FULL => Channel::Canary,
            _ => Channel::Stable,
        };
        if self.readiness != Readiness::Waiting(channel) {
            self.give_back();
        }
        self.readiness = Readiness::Waiting(channel);
        let polled = match channel {
            Channel::Stable => self.stable.poll_ready(cx),
            Channel::Canary => self.canary.poll_ready(cx).map_err(Into::into),
        };
        if let Poll::Ready(Ok(())) = polled {
            self.readiness = Readiness::Ready(channel);
        }
        polled
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        if self.switch.config().bypass.matches(request.uri().path()) {
            let state = self.call_stable(request, &mut None);
            return ResponseFuture::new(state, None, CallSpan::none());
        }
        let bucket = Bucket::from_random(rand::rng().next_u32());
        let (tally, channel) = self.switch.assign(bucket);
        let at_full_weight = tally.weight == Weight::FULL;
        let call = Call::new(tally, channel, self.position, &request);
        call.tag_request(request.extensions_mut());
        let span = CallSpan::new(&call);
        let mut call = Some(call);
        let state = {
            let _entered = span.enter();
            match channel {
                Channel::Stable => self.call_stable(request, &mut call),
                Channel::Canary => self.call_canary(request, &call, at_full_weight),
            }
        };
        ResponseFuture::new(state, call, span)
    }
}

impl<S: Clone, C: Clone> CanaryService<S, C> {
    fn call_stable<Req>(&mut self, request: Req, call: &mut Option<Call>) -> State<S, C, Req>
    where
        S: Service<Req>,
        C: Service<Req>,
    {
        if self.readiness == Readiness::Ready(Channel::Stable) {
            self.readiness = Readiness::Unknown;
            return State::Stable { future: call_stable(&mut self.stable, request, call) };
        }
        // Rolled back between `poll_ready` and `call`, or nobody asked whether we are ready.
        self.give_back();
        State::WaitStable { service: self.stable.clone(), request: Some(request) }
    }

    fn call_canary<ReqBody, ResBody>(
        &mut self,
        request: Request<ReqBody>,
        call: &Option<Call>,
        at_full_weight: bool,
    ) -> State<S, C, Request<ReqBody>>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        C: Service<Request<ReqBody>, Response = Response<ResBody>>,
    {
        if self.readiness == Readiness::Ready(Channel::Canary) {
            self.readiness = Readiness::Unknown;
            return call_canary(&mut self.canary, request, call)
                .map_or(State::Panicked, |future| State::Canary { future });
        }
        let spill = if at_full_weight {
            None
        } else if self.readiness == Readiness::Ready(Channel::Stable) {
            // What stable reserved goes with the call, and is free again once the canary took it.
            self.readiness = Readiness::Unknown;
            Some(Spill { service: take(&mut self.stable), ready: true })
        } else {
            Some(Spill { service: self.stable.clone(), ready: false })
        };
        self.give_back();
        State::WaitCanary { service: self.canary.clone(), spill, request: Some(request) }
    }

    /// Gives back a permit, or a place in a queue, that no call will use.
    fn give_back(&mut self) {
        match mem::replace(&mut self.readiness, Readiness::Unknown) {
            Readiness::Unknown => {}
            Readiness::Waiting(Channel::Stable) | Readiness::Ready(Channel::Stable) => {
                drop(take(&mut self.stable));
            }
            Readiness::Waiting(Channel::Canary) | Readiness::Ready(Channel::Canary) => {
                drop(take(&mut self.canary));
            }
        }
    }
}

/// A clone starts unready: readiness is a reservation, and belongs to the one who made it.
impl<S: Clone, C: Clone> Clone for CanaryService<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.stable.clone(), self.canary.clone(), Arc::clone(&self.switch), self.position)
    }
}

impl<S, C> fmt::Debug for CanaryService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stable: _, canary: _, switch, position: _, readiness } = self;
        f.debug_struct("CanaryService")
            .field("name", &switch.config().name)
            .field("weight", &switch.weight())
            .field("readiness", readiness)
            .finish_non_exhaustive()
    }
}

/// Takes a service together with what it reserved, and leaves an unready clone.
fn take<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    mem::replace(service, clone)
}
