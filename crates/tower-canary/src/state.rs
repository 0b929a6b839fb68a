use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use canary_core::Weight;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    call::Call,
    fallback::Repeat,
    lifeline::Watch,
    panic::{Panicked, catch, discard},
};

pin_project! {
    /// Where a call is on its way to the head of its response.
    #[project = StateProj]
    pub(crate) enum State<S, C, B>
    where
        S: Service<Request<B>>,
        C: Service<Request<B>>,
    {
        WaitStable { service: S, request: Option<Request<B>> },
        WaitCanary {
            service: C,
            spill: Option<Spill<S>>,
            patience: Patience,
            request: Option<Request<B>>,
        },
        Stable { #[pin] future: S::Future },
        Canary { #[pin] future: C::Future, repeat: Option<Box<Repeat<S, B>>> },
        Done,
    }
}

/// What a state leads to.
pub(crate) enum Step<S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>>,
{
    To(State<S, C, B>),
    Spill(Spill<S>, Request<B>),
    Answer(Result<S::Response, S::Error>, Option<Box<Repeat<S, B>>>),
    /// The canary panicked, wherever it was.
    Panic(Option<Box<Repeat<S, B>>>),
}

/// Where a call goes if the canary is not ready for it.
pub(crate) struct Spill<S> {
    pub(crate) service: S,
    pub(crate) ready: bool,
}

/// How long a call waits for a canary that is not ready.
pub(crate) enum Patience {
    OnePoll,
    UntilRolledBack(Watch),
}

impl Patience {
    pub(crate) fn of(call: &Call) -> Self {
        match call.weight() {
            Weight::FULL => Self::UntilRolledBack(Watch::default()),
            _ => Self::OnePoll,
        }
    }

    fn poll_over(&mut self, call: Option<&Call>, cx: &mut Context<'_>) -> Poll<()> {
        match (self, call) {
            (Self::UntilRolledBack(watch), Some(call)) => call.lifeline().poll_draining(watch, cx),
            (Self::OnePoll | Self::UntilRolledBack(_), _) => Poll::Ready(()),
        }
    }
}

impl<S, C, B, R> State<S, C, B>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    C: Service<Request<B>, Response = Response<R>, Error: Into<S::Error>>,
    B: 'static,
{
    /// Goes on as far as it can without waiting. [`Stable`](Self::Stable) is left to
    /// [`poll_stable`](Self::poll_stable).
    pub(crate) fn poll_step(
        self: Pin<&mut Self>,
        call: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<Step<S, C, B>> {
        Poll::Ready(match self.project() {
            StateProj::WaitStable { service, request } => {
                set_polling(call, true);
                let readiness = service.poll_ready(cx);
                set_polling(call, false);
                match ready!(readiness) {
                    Ok(()) => {
                        let future = call_stable(service, take(request), call);
                        Step::To(Self::Stable { future })
                    }
                    Err(error) => Step::Answer(Err(error), None),
                }
            }
            StateProj::WaitCanary { service, spill, patience, request } => {
                match (catch(|| service.poll_ready(cx)), &patience) {
                    (Ok(Poll::Ready(Ok(()))), _) => {
                        let (request, repeat) = keep(take(request), spill.as_ref(), call.as_ref());
                        match call_canary(service, request, call.as_ref()) {
                            Ok(future) => Step::To(Self::Canary { future, repeat }),
                            Err(Panicked) => Step::Panic(repeat),
                        }
                    }
                    (Ok(Poll::Ready(Err(error))), Patience::UntilRolledBack(_)) => {
                        Step::Answer(Err(error.into()), None)
                    }
                    (Err(Panicked), Patience::UntilRolledBack(_)) => Step::Panic(None),
                    (Ok(Poll::Pending), _) => {
                        ready!(patience.poll_over(call.as_ref(), cx));
                        Step::Spill(take(spill), take(request))
                    }
                    (_, Patience::OnePoll) => Step::Spill(take(spill), take(request)),
                }
            }
            StateProj::Stable { .. } => return Poll::Pending,
            StateProj::Canary { future, repeat } => match catch(|| future.poll(cx)) {
                Ok(polled) => Step::Answer(ready!(polled).map_err(Into::into), repeat.take()),
                Err(Panicked) => Step::Panic(repeat.take()),
            },
            StateProj::Done => unreachable!("the future is not polled after it is done"),
        })
    }
}

impl<S, C, B> State<S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>>,
{
    /// Asks stable for its answer, if it has the call: the way of most calls, kept apart from the others
    /// and short. A panic unwinds through us; the call finds it when dropped.
    pub(crate) fn poll_stable(
        self: Pin<&mut Self>,
        call: &mut Option<Call>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let StateProj::Stable { future } = self.project() else { return Poll::Pending };
        set_polling(call, true);
        let polled = future.poll(cx);
        set_polling(call, false);
        polled
    }

    /// What it takes to repeat the call elsewhere, if it may be.
    pub(crate) fn take_repeat(self: Pin<&mut Self>) -> Option<Box<Repeat<S, B>>> {
        match self.project() {
            StateProj::Canary { repeat, .. } => repeat.take(),
            _ => None,
        }
    }

    /// Leaves this state, whose destructor may panic if the canary did.
    pub(crate) fn leave(mut self: Pin<&mut Self>) {
        discard(|| self.set(Self::Done));
    }
}

/// Calls stable, which is ready for it. A panic unwinds through us; the call finds it when dropped.
pub(crate) fn call_stable<S: Service<Req>, Req>(
    stable: &mut S,
    request: Req,
    call: &mut Option<Call>,
) -> S::Future {
    set_polling(call, true);
    let future = stable.call(request);
    set_polling(call, false);
    future
}

/// Calls the canary, which is ready for it.
fn call_canary<C, B>(
    canary: &mut C,
    mut request: Request<B>,
    call: Option<&Call>,
) -> Result<C::Future, Panicked>
where
    C: Service<Request<B>>,
{
    #[cfg(feature = "axum")]
    if let Some(rematch) = call.and_then(Call::rematch) {
        rematch.prepare(&mut request);
    }
    #[cfg(not(feature = "axum"))]
    let _ = (call, &mut request);
    catch(|| canary.call(request))
}

/// Keeps what it takes to repeat the call, before the canary or its router changes the request.
fn keep<S: Clone, B: 'static>(
    request: Request<B>,
    spill: Option<&Spill<S>>,
    call: Option<&Call>,
) -> (Request<B>, Option<Box<Repeat<S, B>>>) {
    match (spill, call.and_then(|call| call.fallback_for(&request))) {
        (Some(Spill { service, .. }), Some(fallback)) => fallback.keep(service, request),
        _ => (request, None),
    }
}

fn take<T>(slot: &mut Option<T>) -> T {
    slot.take().expect("a state is left once")
}

fn set_polling(call: &mut Option<Call>, polling: bool) {
    if let Some(call) = call {
        call.set_polling(polling);
    }
}
