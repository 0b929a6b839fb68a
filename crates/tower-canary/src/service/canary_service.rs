use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use canary_core::Weight;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    control::state::{ControlState, Decision},
    select::{AssignmentRule, Incoming, RequestHead, Selection},
    service::{
        call::Call,
        mount_position::MountPosition,
        panic::discard,
        readiness::{CanaryReadiness, check_readiness},
        request_headers::RequestHeaders,
        response_body::ResponseBody,
        response_future::ResponseFuture,
        response_state::{ResponseState, call_canary, set_polling},
        span::CallSpan,
        timer::Timer,
    },
};

/// Serves each call with one of two services, stable or the canary.
///
/// [`CanaryLayer`](crate::CanaryLayer) creates it; see the [crate documentation](crate).
///
/// # Readiness
///
/// `poll_ready` waits for stable only, so that a canary that never becomes ready cannot block
/// stable. `call` polls the canary once, and a call that finds it not ready
/// [spills](crate::counts::ChannelCounts::spilled) to stable.
///
/// At full weight, stable may have been shut down, so `poll_ready` returns at once. Each call then
/// waits for the canary, and spills only if the canary is rolled back in the meantime.
///
/// With the feature `tokio`, the canary is polled outside of tokio's cooperative budget. Without
/// the feature, a task that makes many calls can exhaust its budget, and a canary that uses the
/// budget, such as a tower `Buffer`, then seems not to be ready.
pub struct CanaryService<S, C> {
    stable: S,
    canary: C,
    control: Arc<ControlState>,
    position: MountPosition,
    readiness: Readiness,
}

/// The result of the last `poll_ready`, for the next `call`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Readiness {
    /// `poll_ready` was not called, or `call` used its result.
    Unknown,
    /// Stable was polled, and may have a place in a queue.
    StablePending,
    /// Stable is ready, and may hold a permit.
    StableReady,
    /// `poll_ready` returned ready without polling stable.
    ReadyWithoutStable,
}

impl<S, C> CanaryService<S, C> {
    pub(crate) const fn new(
        stable: S,
        canary: C,
        control: Arc<ControlState>,
        position: MountPosition,
    ) -> Self {
        Self { stable, canary, control, position, readiness: Readiness::Unknown }
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for CanaryService<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    C: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Into<S::Error>> + Clone,
    ReqBody: 'static,
    ResBody: Body,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        match self.readiness {
            // Readiness stays valid until `call`; `call` handles a weight that changed in between.
            Readiness::StableReady | Readiness::ReadyWithoutStable => return Poll::Ready(Ok(())),
            Readiness::Unknown | Readiness::StablePending => {}
        }
        if self.control.is_full() {
            // The call itself waits for the canary, so that a call that bypasses the canary, or
            // comes after a rollback, need not wait for it.
            self.release_reservation();
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

    // Not inlined, so that the caller's buffer gets the large future without another copy.
    #[inline(never)]
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
        if let (Some(readiness), Some(canary_call)) = (readiness, &mut call) {
            let state = self.start_canary(request, readiness, canary_call);
            drop(entered);
            return ResponseFuture { state, call, span, timer };
        }
        if self.readiness == Readiness::StableReady {
            self.readiness = Readiness::Unknown;
            set_polling(&mut call, true);
            // Request and future are large: one expression lets the compiler build them in place.
            return ResponseFuture {
                state: ResponseState::Stable { future: self.stable.call(request) },
                call: {
                    drop(entered);
                    set_polling(&mut call, false);
                    call
                },
                span,
                timer,
            };
        }
        drop(entered);
        // The canary was rolled back between `poll_ready` and `call`, or `poll_ready` was not
        // called.
        self.release_reservation();
        let state = ResponseState::wait_for_stable(self.stable.clone(), request);
        ResponseFuture { state, call, span, timer }
    }
}

impl<S: Clone, C: Clone> CanaryService<S, C> {
    /// Assigns a call to a channel. Returns `None` if the call bypasses the canary.
    #[inline]
    fn assign<B: 'static>(&self, request: &mut Request<B>) -> Option<Call> {
        let config = self.control.config();
        if let Some(fallback) = &config.fallback {
            fallback.check_body::<B>(&config.name);
        }
        let head = RequestHead::new(request);
        if config.bypass.matches(&head) {
            config.strip(request, true);
            return None;
        }
        // The condition may examine a header that is removed below.
        let shows_tags = config.tags.are_shown_to(&head);
        let assigned = self.control.assign(|settings| {
            let incoming = Incoming::new(head, &config.name, settings);
            let route = config.route_classes.find(&incoming);
            let policy = config.select.as_ref();
            let selection = policy.and_then(|policy| policy.select(&incoming));
            let selection = selection.unwrap_or_else(Selection::at_weight);
            let caller = match selection.rule {
                AssignmentRule::Sticky(key) => Some(key),
                AssignmentRule::AtWeight => {
                    config.caller_key.as_ref().and_then(|caller| caller(&incoming))
                }
                _ => None,
            };
            Decision { selection, route, caller }
        });
        let headers = RequestHeaders::of(request.headers());
        config.strip(request, headers.has_baggage);
        let mut call = Call::new(assigned, self.position, &headers, request);
        if !shows_tags {
            call.hide_tags();
        }
        if call.is_canary() && !call.acquire_permits() {
            call.shed();
        }
        Some(call)
    }

    /// Checks whether the canary is ready. If it is not, the call spills to stable, except at full
    /// weight.
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
        self.release_reservation();
        state
    }

    /// Releases a permit of stable, or a place in its queue, that no call will use.
    fn release_reservation(&mut self) {
        match mem::replace(&mut self.readiness, Readiness::Unknown) {
            Readiness::Unknown | Readiness::ReadyWithoutStable => {}
            Readiness::StablePending | Readiness::StableReady => drop(take(&mut self.stable)),
        }
    }
}

/// A clone does not inherit readiness, which is a reservation of the original.
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

/// Takes a service with its reservation, and leaves a clone without one.
fn take<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    mem::replace(service, clone)
}
