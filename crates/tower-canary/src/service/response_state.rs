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
    /// The state of a call before its response head.
    ///
    /// Rare states are boxed, because each move of the future copies as many bytes as its largest
    /// state has.
    #[project = ResponseStateProj]
    pub(crate) enum ResponseState<S, C, B>
    where
        S: Service<Request<B>>,
        C: Service<Request<B>>,
    {
        Stable { #[pin] future: S::Future },
        Canary { #[pin] future: C::Future, fallback: Option<Box<FallbackCall<S, B>>> },
        // The canary panicked before it returned a future.
        Panicked { fallback: Option<Box<FallbackCall<S, B>>> },
        Failed { error: Option<S::Error> },
        Wait { wait: Box<PendingService<S, C, B>> },
        Done,
    }
}

/// A service that is not ready, and the request for it.
pub(crate) enum PendingService<S, C, B> {
    Stable {
        service: S,
        request: Option<Request<B>>,
    },
    /// The canary at full weight. Stable gets the call if the canary is rolled back.
    Canary {
        service: C,
        stable: Option<S>,
        rolled_back: DrainListener,
        request: Option<Request<B>>,
    },
}

/// The result of polling a state.
pub(crate) enum StateTransition<S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>>,
{
    To(ResponseState<S, C, B>),
    /// The canary was rolled back before it was ready.
    Spill(Box<(S, Request<B>)>),
    Respond(Result<S::Response, S::Error>, Option<Box<FallbackCall<S, B>>>),
    /// The canary panicked.
    Panic(Option<Box<FallbackCall<S, B>>>),
}

impl<S, C, B, R> ResponseState<S, C, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    C: Service<Request<B>, Response = Response<R>, Error: Into<S::Error>>,
    B: 'static,
{
    /// Polls the state, except [`Stable`](Self::Stable), which [`poll_stable`](Self::poll_stable)
    /// polls.
    pub(crate) fn poll_transition(
        self: Pin<&mut Self>,
        call: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<StateTransition<S, C, B>> {
        match self.project() {
            ResponseStateProj::Stable { .. } => Poll::Pending,
            ResponseStateProj::Canary { future, fallback } => {
                Poll::Ready(match catch(|| future.poll(cx)) {
                    Ok(polled) => StateTransition::Respond(
                        ready!(polled).map_err(Into::into),
                        fallback.take(),
                    ),
                    Err(Panicked) => StateTransition::Panic(fallback.take()),
                })
            }
            ResponseStateProj::Panicked { fallback } => {
                Poll::Ready(StateTransition::Panic(fallback.take()))
            }
            ResponseStateProj::Failed { error } => {
                Poll::Ready(StateTransition::Respond(Err(take(error)), None))
            }
            ResponseStateProj::Wait { wait } => wait.poll_transition(call, cx),
            ResponseStateProj::Done => unreachable!("the future was polled after completion"),
        }
    }
}

impl<S, C, B> ResponseState<S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>>,
{
    /// Creates the state of a call whose canary panicked, and marks the call.
    pub(crate) fn panicked(call: &mut Call, fallback: Option<Box<FallbackCall<S, B>>>) -> Self {
        call.set_polling(true);
        Self::Panicked { fallback }
    }

    /// Waits for stable and then calls it.
    pub(crate) fn wait_for_stable(service: S, request: Request<B>) -> Self {
        Self::Wait { wait: Box::new(PendingService::Stable { service, request: Some(request) }) }
    }

    /// Waits for the canary and then calls it, or moves to stable after a rollback.
    pub(crate) fn wait_for_canary(service: C, stable: S, request: Request<B>) -> Self {
        let (stable, rolled_back, request) =
            (Some(stable), DrainListener::default(), Some(request));
        Self::Wait {
            wait: Box::new(PendingService::Canary { service, stable, rolled_back, request }),
        }
    }

    /// Polls stable, if it has the call.
    ///
    /// Most calls take this path, so it is separate and short. A panic of stable unwinds through
    /// it, and the call detects it when it is dropped.
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

    /// Takes the fallback of a call that waits for the canary's response, if there is one.
    pub(crate) fn take_fallback(self: Pin<&mut Self>) -> Option<Box<FallbackCall<S, B>>> {
        match self.project() {
            ResponseStateProj::Canary { fallback, .. } => fallback.take(),
            _ => None,
        }
    }

    /// Drops this state, and catches a panic of its destructor.
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
    ) -> Poll<StateTransition<S, C, B>> {
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
                        StateTransition::To(ResponseState::Stable { future })
                    }
                    Err(error) => StateTransition::Respond(Err(error), None),
                }
            }
            Self::Canary { service, stable, rolled_back, request } => {
                match catch(|| service.poll_ready(cx)) {
                    Ok(Poll::Ready(Ok(()))) => {
                        let call = call.as_mut().expect(IS_COUNTED);
                        StateTransition::To(call_canary(service, take(request), None, call))
                    }
                    Ok(Poll::Ready(Err(error))) => {
                        StateTransition::Respond(Err(error.into()), None)
                    }
                    Err(Panicked) => StateTransition::Panic(None),
                    Ok(Poll::Pending) => {
                        let call = call.as_ref().expect(IS_COUNTED);
                        ready!(call.drain_signal().poll_draining(rolled_back, cx));
                        StateTransition::Spill(Box::new((take(stable), take(request))))
                    }
                }
            }
        })
    }
}

/// Calls the canary, which must be ready.
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
    slot.take().expect("a state is left only once")
}

/// Marks whether stable is running. A call that is dropped while this is set counts as a panic of
/// stable.
pub(crate) fn set_polling(call: &mut Option<Call>, polling: bool) {
    if let Some(call) = call {
        call.set_polling(polling);
    }
}

pub(crate) const IS_COUNTED: &str = "only counted calls reach the canary";
