use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use canary_core::Channel;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    Protocol, ResponseBody,
    call::Call,
    classify::GRPC_STATUS,
    lifeline::Watch,
    panic::{Panicked, catch, discard},
    span::CallSpan,
};

pin_project! {
    /// Future of [`CanaryService`](crate::CanaryService).
    pub struct ResponseFuture<S, C, Req>
    where
        S: Service<Req>,
        C: Service<Req>,
    {
        #[pin]
        state: State<S, C, Req>,
        // None if the path is bypassed, or the response is on its way.
        call: Option<Call>,
        span: CallSpan,
    }
}

pin_project! {
    #[project = StateProj]
    pub(crate) enum State<S, C, Req>
    where
        S: Service<Req>,
        C: Service<Req>,
    {
        WaitStable { service: S, request: Option<Req> },
        WaitCanary {
            service: C,
            spill: Option<Spill<S>>,
            patience: Patience,
            request: Option<Req>,
        },
        Spilled { spill: Option<Spill<S>>, request: Option<Req> },
        Stable { #[pin] future: S::Future },
        Canary { #[pin] future: C::Future },
        // The canary panicked in `call`.
        Panicked,
        Done,
    }
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
    pub(crate) fn until_rolled_back() -> Self {
        Self::UntilRolledBack(Watch::default())
    }

    fn poll_over(&mut self, call: Option<&Call>, cx: &mut Context<'_>) -> Poll<()> {
        match (self, call) {
            (Self::UntilRolledBack(watch), Some(call)) => call.lifeline().poll_draining(watch, cx),
            (Self::OnePoll | Self::UntilRolledBack(_), _) => Poll::Ready(()),
        }
    }
}

impl<S, C, Req> ResponseFuture<S, C, Req>
where
    S: Service<Req>,
    C: Service<Req>,
{
    pub(crate) const fn new(state: State<S, C, Req>, call: Option<Call>, span: CallSpan) -> Self {
        Self { state, call, span }
    }
}

impl<S, C, ReqBody, ResBody> Future for ResponseFuture<S, C, Request<ReqBody>>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    C: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Into<S::Error>>,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let entered = this.span.enter();
            let next = match this.state.as_mut().project() {
                StateProj::WaitStable { service, request } => {
                    set_polling(this.call, true);
                    let readiness = service.poll_ready(cx);
                    set_polling(this.call, false);
                    if let Err(error) = ready!(readiness) {
                        end(this.call, Call::fail);
                        return Poll::Ready(Err(error));
                    }
                    State::Stable { future: call_stable(service, take(request), this.call) }
                }
                StateProj::WaitCanary { service, spill, patience, request } => {
                    match (catch(|| service.poll_ready(cx)), &patience) {
                        (Ok(Poll::Ready(Ok(()))), _) => {
                            match call_canary(service, take(request), this.call) {
                                Ok(future) => State::Canary { future },
                                Err(Panicked) => State::Panicked,
                            }
                        }
                        (Ok(Poll::Ready(Err(error))), Patience::UntilRolledBack(_)) => {
                            end(this.call, Call::fail);
                            return Poll::Ready(Err(error.into()));
                        }
                        (Err(Panicked), Patience::UntilRolledBack(_)) => State::Panicked,
                        (Ok(Poll::Pending), _) => {
                            ready!(patience.poll_over(this.call.as_ref(), cx));
                            State::Spilled { spill: spill.take(), request: request.take() }
                        }
                        (_, Patience::OnePoll) => {
                            State::Spilled { spill: spill.take(), request: request.take() }
                        }
                    }
                }
                StateProj::Spilled { spill, request } => {
                    drop(entered);
                    let (Spill { mut service, ready }, mut request) = (take(spill), take(request));
                    if let Some(call) = this.call {
                        call.spill(request.extensions_mut());
                        *this.span = CallSpan::new(call);
                    }
                    let _entered = this.span.enter();
                    if ready {
                        State::Stable { future: call_stable(&mut service, request, this.call) }
                    } else {
                        State::WaitStable { service, request: Some(request) }
                    }
                }
                StateProj::Stable { future } => {
                    set_polling(this.call, true);
                    let polled = future.poll(cx);
                    set_polling(this.call, false);
                    let result = ready!(polled);
                    drop(entered);
                    return Poll::Ready(answer(result, this.call, this.span));
                }
                StateProj::Canary { future } => match catch(|| future.poll(cx)) {
                    Ok(polled) => {
                        let result = ready!(polled).map_err(Into::into);
                        drop(entered);
                        return Poll::Ready(answer(result, this.call, this.span));
                    }
                    Err(Panicked) => State::Panicked,
                },
                StateProj::Panicked => {
                    let response = this.call.take().map(answer_panic);
                    return Poll::Ready(Ok(response.expect("only counted calls reach the canary")));
                }
                StateProj::Done => unreachable!("the future is not polled after it is done"),
            };
            // What panicked may panic once more when it is dropped.
            discard(|| this.state.set(State::Done));
            this.state.set(next);
        }
    }
}

impl<S, C, Req> fmt::Debug for ResponseFuture<S, C, Req>
where
    S: Service<Req>,
    C: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// Calls the canary, which is ready for it.
pub(crate) fn call_canary<C, ReqBody>(
    canary: &mut C,
    mut request: Request<ReqBody>,
    call: &Option<Call>,
) -> Result<C::Future, Panicked>
where
    C: Service<Request<ReqBody>>,
{
    #[cfg(feature = "axum")]
    if let Some(rematch) = call.as_ref().and_then(Call::rematch) {
        rematch.prepare(&mut request);
    }
    #[cfg(not(feature = "axum"))]
    let _ = (call, &mut request);
    catch(|| canary.call(request))
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

fn answer<B: Body, E>(
    result: Result<Response<B>, E>,
    call: &mut Option<Call>,
    span: &mut CallSpan,
) -> Result<Response<ResponseBody<B>>, E> {
    let response = result.inspect_err(|_| end(call, Call::fail))?;
    let Some(mut call) = call.take() else {
        return Ok(response.map(ResponseBody::passed_on));
    };
    let channel = call.channel();
    let (head, body) = response.into_parts();
    let mut head = Response::from_parts(head, ());
    let mut take_note = || call.head(&mut head, body.is_end_stream());
    match channel {
        Channel::Canary => {
            if catch(take_note).is_err() {
                discard(|| drop(body));
                return Ok(answer_panic(call));
            }
        }
        Channel::Stable => take_note(),
    }
    let body = if call.has_ended() {
        ResponseBody::passed_on(body)
    } else {
        ResponseBody::watched(body, call, span.take(), head.headers())
    };
    Ok(head.map(|()| body))
}

/// What the caller gets for a call in which the canary panicked before it answered.
fn answer_panic<B>(mut call: Call) -> Response<ResponseBody<B>> {
    let mut head = Response::new(());
    match call.protocol() {
        Protocol::Http => *head.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
        Protocol::Grpc => {
            let headers = head.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert(GRPC_STATUS, HeaderValue::from_static("13"));
            headers.insert("grpc-message", HeaderValue::from_static("the handler panicked"));
        }
    }
    call.tag_response(&mut head);
    call.panic();
    head.map(|()| ResponseBody::empty())
}

fn take<T>(slot: &mut Option<T>) -> T {
    slot.take().expect("a state is left once")
}

fn set_polling(call: &mut Option<Call>, polling: bool) {
    if let Some(call) = call {
        call.set_polling(polling);
    }
}

fn end(call: &mut Option<Call>, end: impl FnOnce(&mut Call)) {
    if let Some(mut call) = call.take() {
        end(&mut call);
    }
}
