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
    future::{Spill, State, call_canary},
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
    ready: Ready,
}

/// Which of the services `poll_ready` found ready, to be used by the next `call`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ready {
    Neither,
    Stable,
    Canary,
}

impl<S, C> CanaryService<S, C> {
    pub(crate) const fn new(stable: S, canary: C, switch: Arc<Switch>) -> Self {
        Self { stable, canary, switch, ready: Ready::Neither }
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
        let wanted =
            if self.switch.weight() == Weight::FULL { Ready::Canary } else { Ready::Stable };
        match self.ready {
            ready if ready == wanted => return Poll::Ready(Ok(())),
            Ready::Neither => {}
            // The weight changed since: what the other service reserved is given back.
            Ready::Stable => drop(take(&mut self.stable)),
            Ready::Canary => drop(take(&mut self.canary)),
        }
        self.ready = Ready::Neither;
        let polled = match wanted {
            Ready::Canary => self.canary.poll_ready(cx).map_err(Into::into),
            Ready::Stable | Ready::Neither => self.stable.poll_ready(cx),
        };
        if let Poll::Ready(Ok(())) = polled {
            self.ready = wanted;
        }
        polled
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let ready = mem::replace(&mut self.ready, Ready::Neither);
        if self.switch.config().bypass.matches(request.uri().path()) {
            let state = self.call_stable(ready, request, &mut None);
            return ResponseFuture::new(state, None, CallSpan::none());
        }
        let bucket = Bucket::from_random(rand::rng().next_u32());
        let (tally, channel) = self.switch.assign(bucket);
        let at_full_weight = tally.weight == Weight::FULL;
        let call = Call::new(tally, channel, &request);
        call.tag_request(request.extensions_mut());
        let span = CallSpan::new(&call);
        let mut call = Some(call);
        let state = {
            let _entered = span.enter();
            match channel {
                Channel::Stable => self.call_stable(ready, request, &mut call),
                Channel::Canary => self.call_canary(ready, request, &mut call, at_full_weight),
            }
        };
        ResponseFuture::new(state, call, span)
    }
}

impl<S: Clone, C: Clone> CanaryService<S, C> {
    fn call_stable<Req>(
        &mut self,
        ready: Ready,
        request: Req,
        call: &mut Option<Call>,
    ) -> State<S, C, Req>
    where
        S: Service<Req>,
        C: Service<Req>,
    {
        match ready {
            Ready::Stable => {
                // A panic here unwinds through us, and is found by the call when it is dropped.
                if let Some(call) = call {
                    call.set_polling(true);
                }
                let future = self.stable.call(request);
                if let Some(call) = call {
                    call.set_polling(false);
                }
                return State::Stable { future };
            }
            Ready::Canary => drop(take(&mut self.canary)),
            Ready::Neither => {}
        }
        // Rolled back between `poll_ready` and `call`, or nobody asked whether we are ready.
        State::WaitStable { service: self.stable.clone(), request: Some(request) }
    }

    fn call_canary<ReqBody, ResBody>(
        &mut self,
        ready: Ready,
        request: Request<ReqBody>,
        call: &mut Option<Call>,
        at_full_weight: bool,
    ) -> State<S, C, Request<ReqBody>>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        C: Service<Request<ReqBody>, Response = Response<ResBody>>,
    {
        // The service that is ready for this call goes with it, and an unused permit with its drop.
        match ready {
            Ready::Canary => {
                return call_canary(&mut self.canary, request, call)
                    .map_or(State::Panicked, |future| State::Canary { future });
            }
            Ready::Stable | Ready::Neither => {}
        }
        let spill = match ready {
            Ready::Stable => Spill { service: take(&mut self.stable), ready: true },
            Ready::Canary | Ready::Neither => Spill { service: self.stable.clone(), ready: false },
        };
        State::WaitCanary {
            service: self.canary.clone(),
            spill: (!at_full_weight).then_some(spill),
            request: Some(request),
        }
    }
}

/// A clone starts unready: readiness is a reservation, and belongs to the one who made it.
impl<S: Clone, C: Clone> Clone for CanaryService<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.stable.clone(), self.canary.clone(), Arc::clone(&self.switch))
    }
}

impl<S, C> fmt::Debug for CanaryService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stable: _, canary: _, switch, ready } = self;
        f.debug_struct("CanaryService")
            .field("name", &switch.config().name)
            .field("weight", &switch.weight())
            .field("ready", ready)
            .finish_non_exhaustive()
    }
}

/// Takes a service together with what it reserved, and leaves an unready clone.
fn take<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    mem::replace(service, clone)
}
