use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    control::drain_signal::DrainListener,
    service::{
        call::Call,
        fallback::FallbackCall,
        panic::{Panicked, catch, discard},
    },
};

pin_project! {
    /// Where a call is on its way to the head of its response.
    ///
    /// Futures are moved before they are polled, each time with room for their largest state: so those
    /// that few calls come to are boxed.
    #[project = ResponseStateProj]
    pub(crate) enum ResponseState<S, C, B>
    where
        S: Service<Request<B>>,
        C: Service<Request<B>>,
    {
        Stable { #[pin] future: S::Future },
        Canary { #[pin] future: C::Future, fallback: Option<Box<FallbackCall<S, B>>> },
        // The canary did not get so far as to have a future.
        Panicked { fallback: Option<Box<FallbackCall<S, B>>> },
        Failed { error: Option<S::Error> },
        Wait { wait: Box<PendingService<S, C, B>> },
        Done,
    }
}

/// Waits for a service that is not ready.
pub(crate) enum PendingService<S, C, B> {
    Stable {
        service: S,
        request: Option<Request<B>>,
    },
    /// At full weight, where stable may be gone: until the canary is rolled back.
    Canary {
        service: C,
        stable: Option<S>,
        rolled_back: DrainListener,
        request: Option<Request<B>>,
    },
}

/// What a state leads to.
pub(crate) enum Transition<S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>>,
{
    To(ResponseState<S, C, B>),
    /// The canary was rolled back while it was waited for.
    Spill(Box<(S, Request<B>)>),
    Answer(Result<S::Response, S::Error>, Option<Box<FallbackCall<S, B>>>),
    /// The canary panicked, wherever it was.
    Panic(Option<Box<FallbackCall<S, B>>>),
}

impl<S, C, B, R> ResponseState<S, C, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    C: Service<Request<B>, Response = Response<R>, Error: Into<S::Error>>,
    B: 'static,
{
    /// Goes on as far as it can without waiting. [`Stable`](Self::Stable) is left to
    /// [`poll_stable`](Self::poll_stable).
    pub(crate) fn poll_transition(
        self: Pin<&mut Self>,
        call: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<Transition<S, C, B>> {
        match self.project() {
            ResponseStateProj::Stable { .. } => Poll::Pending,
            ResponseStateProj::Canary { future, fallback } => {
                Poll::Ready(match catch(|| future.poll(cx)) {
                    Ok(polled) => {
                        Transition::Answer(ready!(polled).map_err(Into::into), fallback.take())
                    }
                    Err(Panicked) => Transition::Panic(fallback.take()),
                })
            }
            ResponseStateProj::Panicked { fallback } => {
                Poll::Ready(Transition::Panic(fallback.take()))
            }
            ResponseStateProj::Failed { error } => {
                Poll::Ready(Transition::Answer(Err(take(error)), None))
            }
            ResponseStateProj::Wait { wait } => wait.poll_transition(call, cx),
            ResponseStateProj::Done => unreachable!("the future is not polled after it is done"),
        }
    }
}

impl<S, C, B> ResponseState<S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>>,
{
    /// The call panicked, be the future polled or not.
    pub(crate) fn panicked(call: &mut Call, fallback: Option<Box<FallbackCall<S, B>>>) -> Self {
        call.set_polling(true);
        Self::Panicked { fallback }
    }

    /// Waits for stable, then gives it the call.
    pub(crate) fn wait_for_stable(service: S, request: Request<B>) -> Self {
        Self::Wait { wait: Box::new(PendingService::Stable { service, request: Some(request) }) }
    }

    /// Waits for the canary, then gives it the call, unless it is rolled back meanwhile.
    pub(crate) fn wait_for_canary(service: C, stable: S, request: Request<B>) -> Self {
        let (stable, rolled_back, request) =
            (Some(stable), DrainListener::default(), Some(request));
        Self::Wait {
            wait: Box::new(PendingService::Canary { service, stable, rolled_back, request }),
        }
    }

    /// Asks stable for its answer, if it has the call: the way of most calls, kept apart from the others
    /// and short. A panic unwinds through us; the call finds it when dropped.
    pub(crate) fn poll_stable(
        self: Pin<&mut Self>,
        call: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let ResponseStateProj::Stable { future } = self.project() else { return Poll::Pending };
        set_polling(call, true);
        let polled = future.poll(cx);
        set_polling(call, false);
        polled
    }

    /// What it takes to fallback the call elsewhere, if it may be.
    pub(crate) fn take_fallback(self: Pin<&mut Self>) -> Option<Box<FallbackCall<S, B>>> {
        match self.project() {
            ResponseStateProj::Canary { fallback, .. } => fallback.take(),
            _ => None,
        }
    }

    /// Leaves this state, whose destructor may panic if the canary did.
    pub(crate) fn leave(mut self: Pin<&mut Self>) {
        discard(|| self.set(Self::Done));
    }
}

impl<S, C, B> PendingService<S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>, Error: Into<S::Error>>,
{
    fn poll_transition(
        &mut self,
        call: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<Transition<S, C, B>> {
        Poll::Ready(match self {
            Self::Stable { service, request } => {
                set_polling(call, true);
                let readiness = service.poll_ready(cx);
                set_polling(call, false);
                match ready!(readiness) {
                    Ok(()) => {
                        set_polling(call, true);
                        let future = service.call(take(request));
                        set_polling(call, false);
                        Transition::To(ResponseState::Stable { future })
                    }
                    Err(error) => Transition::Answer(Err(error), None),
                }
            }
            Self::Canary { service, stable, rolled_back, request } => {
                match catch(|| service.poll_ready(cx)) {
                    Ok(Poll::Ready(Ok(()))) => {
                        let call = call.as_mut().expect(COUNTED);
                        Transition::To(call_canary(service, take(request), None, call))
                    }
                    Ok(Poll::Ready(Err(error))) => Transition::Answer(Err(error.into()), None),
                    Err(Panicked) => Transition::Panic(None),
                    Ok(Poll::Pending) => {
                        let call = call.as_ref().expect(COUNTED);
                        ready!(call.drain_signal().poll_draining(rolled_back, cx));
                        Transition::Spill(Box::new((take(stable), take(request))))
                    }
                }
            }
        })
    }
}

/// Calls the canary, which is ready for it.
pub(crate) fn call_canary<S, C, B>(
    canary: &mut C,
    mut request: Request<B>,
    fallback: Option<Box<FallbackCall<S, B>>>,
    call: &mut Call,
) -> ResponseState<S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>>,
{
    #[cfg(feature = "axum")]
    if let Some(rematch) = call.rematch() {
        rematch.prepare(&mut request);
    }
    #[cfg(not(feature = "axum"))]
    let _ = &mut request;
    match catch(|| canary.call(request)) {
        Ok(future) => ResponseState::Canary { future, fallback },
        Err(Panicked) => ResponseState::panicked(call, fallback),
    }
}

fn take<T>(slot: &mut Option<T>) -> T {
    slot.take().expect("a state is left once")
}

/// Says that stable is running, or is no more: the call finds a panic by it, which unwinds through us, when
/// it is dropped.
pub(crate) fn set_polling(call: &mut Option<Call>, polling: bool) {
    if let Some(call) = call {
        call.set_polling(polling);
    }
}

pub(crate) const COUNTED: &str = "only counted calls reach the canary";
