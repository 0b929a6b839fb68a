use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use canary_core::{Channel, Weight};
use http::{Request, Response};
use tower_service::Service;

use crate::{
    ResponseFuture,
    call::Call,
    layer::Position,
    panic::{catch, discard},
    select::{Incoming, Selection, original_path},
    span::CallSpan,
    state::{State, call_canary, call_stable},
    switch::Switch,
    timer::Timer,
};

/// Serves each call by one of two services, stable or canary.
///
/// Made by [`CanaryLayer`](crate::CanaryLayer); see the [crate's documentation](crate).
///
/// `poll_ready` waits for stable only, so that a canary that never becomes ready holds up nobody: its
/// calls wait for it one poll, then [spill](crate::ChannelCounts::spilled) to stable. At full weight
/// stable need not be ready, and `poll_ready` waits for nobody: each call waits for the canary itself, and
/// spills only if the canary is rolled back meanwhile.
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
    /// Stable was asked, and may hold a place in a queue.
    StableWaits,
    /// Stable is ready, and may hold a permit.
    StableIsReady,
    /// We said ready without asking stable.
    Promised,
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
    ReqBody: 'static,
    ResBody: http_body::Body,
{
    type Response = Response<crate::ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, C, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        match self.readiness {
            // Ready is ready until `call`, which copes with a weight that changed.
            Readiness::StableIsReady | Readiness::Promised => return Poll::Ready(Ok(())),
            Readiness::Unknown | Readiness::StableWaits => {}
        }
        if self.switch.is_full() {
            // Stable may be gone for good. The canary is waited for by the call itself, so that who is
            // rolled back, or bypasses the canary, need not wait for it.
            self.give_back();
            self.readiness = Readiness::Promised;
            return Poll::Ready(Ok(()));
        }
        self.readiness = Readiness::StableWaits;
        let polled = self.stable.poll_ready(cx);
        if let Poll::Ready(Ok(())) = polled {
            self.readiness = Readiness::StableIsReady;
        }
        polled
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let config = self.switch.config();
        if let Some(fallback) = &config.fallback {
            fallback.check::<ReqBody>(&config.name);
        }
        if config.bypass.matches(original_path(request.uri(), request.extensions())) {
            config.strip(request.headers_mut());
            return self.call_stable(request, None);
        }
        let assigned = self.switch.assign(|terms| {
            let incoming = Incoming::new(&request, &config.name, terms);
            let route = config.route_classes.find(&incoming);
            let policy = config.select.as_ref();
            let selection = policy.and_then(|policy| policy.select(&incoming));
            (selection.unwrap_or_else(Selection::at_weight), route)
        });
        config.strip(request.headers_mut());
        let mut call = Call::new(assigned, self.position, &request);
        if call.channel() == Channel::Canary && !call.take_place() {
            call.shed();
        }
        match call.channel() {
            Channel::Stable => self.call_stable(request, Some(call)),
            Channel::Canary => self.call_canary(request, call),
        }
    }
}

impl<S: Clone, C: Clone> CanaryService<S, C> {
    fn call_stable<B>(
        &mut self,
        mut request: Request<B>,
        mut call: Option<Call>,
    ) -> ResponseFuture<S, C, B>
    where
        S: Service<Request<B>>,
        C: Service<Request<B>>,
    {
        let (span, timer) = match &call {
            Some(call) => begin(call, &mut request),
            None => (CallSpan::none(), Timer::none()),
        };
        if self.readiness == Readiness::StableIsReady {
            self.readiness = Readiness::Unknown;
            let entered = span.enter();
            let future = call_stable(&mut self.stable, request, &mut call);
            drop(entered);
            return ResponseFuture::new(State::Stable { future }, call, span, timer);
        }
        // Rolled back between `poll_ready` and `call`, or nobody asked whether we are ready.
        self.give_back();
        let state = State::wait_for_stable(self.stable.clone(), request);
        ResponseFuture::new(state, call, span, timer)
    }

    fn call_canary<B>(&mut self, mut request: Request<B>, mut call: Call) -> ResponseFuture<S, C, B>
    where
        S: Service<Request<B>>,
        C: Service<Request<B>>,
        B: 'static,
    {
        let (span, timer) = begin(&call, &mut request);
        let entered = span.enter();
        // A clone, since what has panicked must not be used again.
        let mut canary = self.canary.clone();
        // One poll decides. Only at full weight, where stable may be gone, somebody waits to be woken.
        let mut cx = Context::from_waker(Waker::noop());
        if let Ok(Poll::Ready(Ok(()))) = catch(|| canary.poll_ready(&mut cx)) {
            let (request, repeat) = match call.fallback_for(&request) {
                Some(fallback) => fallback.keep(&self.stable, request),
                None => (request, None),
            };
            let state = call_canary(&mut canary, request, repeat, Some(&call));
            discard(|| drop(canary));
            drop(entered);
            self.give_back();
            return ResponseFuture::new(state, Some(call), span, timer);
        }
        discard(|| drop(canary));
        drop(entered);
        if call.weight() == Weight::FULL {
            self.give_back();
            let (canary, stable) = (self.canary.clone(), self.stable.clone());
            let state = State::wait_for_canary(canary, stable, request);
            return ResponseFuture::new(state, Some(call), span, timer);
        }
        call.spill();
        self.call_stable(request, Some(call))
    }

    /// Gives back a permit, or a place in a queue, that no call will use.
    fn give_back(&mut self) {
        match mem::replace(&mut self.readiness, Readiness::Unknown) {
            Readiness::Unknown | Readiness::Promised => {}
            Readiness::StableWaits | Readiness::StableIsReady => drop(take(&mut self.stable)),
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

/// Tells the handler about the call, and whoever reads the logs; and begins to measure its time limit.
fn begin<B>(call: &Call, request: &mut Request<B>) -> (CallSpan, Timer) {
    call.tag_request(request.extensions_mut());
    (CallSpan::new(call), Timer::start(call))
}

/// Takes a service together with what it reserved, and leaves an unready clone.
fn take<S: Clone>(service: &mut S) -> S {
    let clone = service.clone();
    mem::replace(service, clone)
}
