use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use canary_core::Weight;
use http::{Request, Response};
use tower_service::Service;

use crate::{
    control::state::ControlState,
    select::{Incoming, RequestHead, Selection},
    service::{
        call::Call,
        layer::Position,
        panic::discard,
        readiness::{CanaryReadiness, check_readiness},
        response_future::ResponseFuture,
        response_state::{ResponseState, call_canary, set_polling},
        span::CallSpan,
        timer::Timer,
    },
};

/// Serves each call by one of two services, stable or canary.
///
/// Made by [`CanaryLayer`](crate::CanaryLayer); see the [crate's documentation](crate).
///
/// `poll_ready` waits for stable only, so that a canary that never becomes ready holds up nobody: it is
/// readiness in `call`, once, and calls for which it is not ready [spill](crate::ChannelCounts::spilled) to
/// stable. At full weight stable need not be ready, and `poll_ready` waits for nobody: each call waits for
/// the canary itself, and spills only if the canary is rolled back meanwhile.
///
/// As any service may, each of the two begins with a call when it is given to it, before the future is
/// polled. A canary that heeds tokio's cooperative budget, as a tower `Buffer` does, is readiness outside of
/// it with the feature `tokio`; without, it may seem not to be ready to a task that makes many calls at
/// once.
pub struct CanaryService<S, C> {
    stable: S,
    canary: C,
    control: Arc<ControlState>,
    position: Position,
    readiness: Readiness,
}

/// What the last `poll_ready` came to, to be used by the next `call`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Readiness {
    /// Nobody readiness, or the answer was used.
    Unknown,
    /// Stable was readiness, and may hold a place in a queue.
    StablePending,
    /// Stable is ready, and may hold a permit.
    StableReady,
    /// We said ready without asking stable.
    ReadyWithoutStable,
}

impl<S, C> CanaryService<S, C> {
    pub(crate) const fn new(
        stable: S,
        canary: C,
        control: Arc<ControlState>,
        position: Position,
    ) -> Self {
        Self { stable, canary, control, position, readiness: Readiness::Unknown }
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for CanaryService<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    C: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Into<S::Error>> + Clone,
    ReqBody: 'static,
    ResBody: http_body::Body,
{
    type Response = Response<crate::service::response_body::ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        match self.readiness {
            // Ready is ready until `call`, which copes with a weight that changed.
            Readiness::StableReady | Readiness::ReadyWithoutStable => return Poll::Ready(Ok(())),
            Readiness::Unknown | Readiness::StablePending => {}
        }
        if self.control.is_full() {
            // Stable may be gone for good. The canary is waited for by the call itself, so that who is
            // rolled back, or bypasses the canary, need not wait for it.
            self.give_back();
            self.readiness = Readiness::ReadyWithoutStable;
            return Poll::Ready(Ok(()));
        }
        self.readiness = Readiness::StablePending;
        let polled = self.stable.poll_ready(cx);
        if let Poll::Ready(Ok(())) = polled {
            self.readiness = Readiness::StableReady;
        }
        polled
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let mut call = self.assign(&mut request);
        let mut span = call.as_ref().map_or_else(CallSpan::none, Call::span);
        let mut timer = call.as_ref().map_or_else(Timer::none, Call::timer);
        let readiness = match &mut call {
            Some(call) if call.is_canary() => self.check_canary(call, &mut span, &mut timer),
            _ => None,
        };
        if let Some(call) = &call {
            call.tag_request(request.extensions_mut());
        }
        let entered = span.enter();
        if let (Some(readiness), Some(to_canary)) = (readiness, &mut call) {
            let state = self.start_canary(request, readiness, to_canary);
            drop(entered);
            return ResponseFuture { state, call, span, timer };
        }
        if self.readiness == Readiness::StableReady {
            self.readiness = Readiness::Unknown;
            // Request and future are large: they are written where they are to be.
            set_polling(&mut call, true);
            let state = ResponseState::Stable { future: self.stable.call(request) };
            drop(entered);
            let mut future = ResponseFuture { state, call, span, timer };
            set_polling(&mut future.call, false);
            return future;
        }
        drop(entered);
        // Rolled back between `poll_ready` and `call`, or nobody readiness whether we are ready.
        self.give_back();
        let state = ResponseState::wait_for_stable(self.stable.clone(), request);
        ResponseFuture { state, call, span, timer }
    }
}

impl<S: Clone, C: Clone> CanaryService<S, C> {
    /// Picks the channel of a call; none, if its path is bypassed.
    #[inline]
    fn assign<B: 'static>(&self, request: &mut Request<B>) -> Option<Call> {
        let config = self.control.config();
        if let Some(fallback) = &config.fallback {
            fallback.check::<B>(&config.name);
        }
        let head = RequestHead::new(request);
        if config.bypass.matches(&head) {
            config.strip(request.headers_mut());
            return None;
        }
        let assigned = self.control.assign(|settings| {
            let incoming = Incoming::new(head, &config.name, settings);
            let route = config.route_classes.find(&incoming);
            let policy = config.select.as_ref();
            let selection = policy.and_then(|policy| policy.select(&incoming));
            (selection.unwrap_or_else(Selection::at_weight), route)
        });
        config.strip(request.headers_mut());
        let mut call = Call::new(assigned, self.position, request);
        if call.is_canary() && !call.acquire_permit() {
            call.shed();
        }
        Some(call)
    }

    /// Asks the canary whether it is ready for a call of its own. If it is not, the call becomes stable's,
    /// but not at full weight, where stable may be gone.
    fn check_canary<B>(
        &self,
        call: &mut Call,
        span: &mut CallSpan,
        timer: &mut Timer,
    ) -> Option<CanaryReadiness<C, C::Error>>
    where
        C: Service<Request<B>>,
    {
        let entered = span.enter();
        let readiness = check_readiness(&self.canary);
        if matches!(readiness, CanaryReadiness::Ready(_)) || call.weight() == Weight::FULL {
            return Some(readiness);
        }
        discard(|| drop(readiness));
        drop(entered);
        call.spill();
        *span = call.span();
        *timer = call.timer();
        None
    }

    fn start_canary<B>(
        &mut self,
        request: Request<B>,
        readiness: CanaryReadiness<C, C::Error>,
        call: &mut Call,
    ) -> ResponseState<S, C, B>
    where
        S: Service<Request<B>>,
        C: Service<Request<B>, Error: Into<S::Error>>,
        B: 'static,
    {
        let state = match readiness {
            CanaryReadiness::Ready(mut canary) => {
                let (request, fallback_call) = match call.fallback_for(&request) {
                    Some(fallback) => fallback.keep(&self.stable, request),
                    None => (request, None),
                };
                let state = call_canary(&mut canary, request, fallback_call, call);
                discard(|| drop(canary));
                state
            }
            CanaryReadiness::NotReady(canary) => {
                ResponseState::wait_for_canary(canary, self.stable.clone(), request)
            }
            CanaryReadiness::Error(error) => ResponseState::Failed { error: Some(error.into()) },
            CanaryReadiness::Panicked => ResponseState::panicked(call, None),
        };
        // What stable reserved is free again once the canary has the call.
        self.give_back();
        state
    }

    /// Gives back a permit, or a place in a queue, that no call will use.
    fn give_back(&mut self) {
        match mem::replace(&mut self.readiness, Readiness::Unknown) {
            Readiness::Unknown | Readiness::ReadyWithoutStable => {}
            Readiness::StablePending | Readiness::StableReady => drop(take(&mut self.stable)),
        }
    }
}

/// A clone starts unready: readiness is a reservation, and belongs to the one who made it.
impl<S: Clone, C: Clone> Clone for CanaryService<S, C> {
    fn clone(&self) -> Self {
        Self::new(
            self.stable.clone(),
            self.canary.clone(),
            Arc::clone(&self.control),
            self.position,
        )
    }
}

impl<S, C> fmt::Debug for CanaryService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stable: _, canary: _, control, position: _, readiness } = self;
        f.debug_struct("CanaryService")
            .field("name", &control.config().name)
            .field("weight", &control.weight())
            .field("readiness", readiness)
            .finish_non_exhaustive()
    }
}

/// Takes a service together with what it reserved, and leaves an unready clone.
fn take<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    mem::replace(service, clone)
}
