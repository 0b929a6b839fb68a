use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::service::{
    call::{Call, CanaryFailure},
    fallback::FallbackCall,
    layer_response::LayerResponse,
    panic::{catch, discard},
    response_body::ResponseBody,
    response_state::{IS_COUNTED, ResponseState, StateTransition},
    span::CallSpan,
    timer::Timer,
};

pin_project! {
    /// The future of [`CanaryService`](crate::CanaryService), for request bodies of type `B`.
    #[project = Projected]
    pub struct ResponseFuture<S, C, B>
    where
        S: Service<Request<B>>,
        C: Service<Request<B>>,
    {
        #[pin]
        pub(crate) state: ResponseState<S, C, B>,
        // `None` if the call bypasses the canary, or after it moved into the response body.
        pub(crate) call: Option<Call>,
        pub(crate) span: CallSpan,
        pub(crate) timer: Timer,
    }
}

impl<S, C, ReqBody, ResBody> Future for ResponseFuture<S, C, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone,
    C: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Into<S::Error>>,
    ReqBody: 'static,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let entered = this.span.enter();
            if let Poll::Ready(result) = this.state.as_mut().poll_stable(this.call, cx) {
                drop(entered);
                return Poll::Ready(this.finish_stable(result));
            }
            let polled = this.state.as_mut().poll_transition(this.call, cx);
            drop(entered);
            match polled {
                Poll::Ready(StateTransition::To(next)) => this.enter(next),
                Poll::Ready(StateTransition::Spill(spilled)) => {
                    let (stable, request) = *spilled;
                    this.spill(stable, request);
                }
                Poll::Ready(StateTransition::Respond(result, fallback)) => {
                    if let Some(response) = this.finish_canary(result, fallback) {
                        return Poll::Ready(response);
                    }
                }
                Poll::Ready(StateTransition::Panic(fallback)) => {
                    if let Some(response) = this.respond_instead(LayerResponse::Panic, fallback) {
                        return Poll::Ready(Ok(response));
                    }
                }
                Poll::Pending => {
                    let upload = this.call.as_ref().and_then(Call::upload);
                    ready!(this.timer.poll_elapsed(upload, cx));
                    let fallback = this.state.as_mut().take_fallback();
                    if let Some(response) = this.respond_instead(LayerResponse::Timeout, fallback) {
                        return Poll::Ready(Ok(response));
                    }
                }
            }
        }
    }
}

impl<S, C, B> Projected<'_, S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>>,
{
    fn enter(&mut self, next: ResponseState<S, C, B>) {
        // A state that panicked may panic again when it is dropped.
        self.state.as_mut().leave();
        self.state.set(next);
    }

    /// Continues with stable, after the canary was rolled back before it was ready.
    fn spill(&mut self, stable: S, mut request: Request<B>) {
        if let Some(call) = self.call {
            call.spill();
            self.retag_for_stable(&mut request);
        }
        self.enter(ResponseState::wait_for_stable(stable, request));
    }

    /// Continues with stable, after the canary failed. Returns false if the call must not be
    /// repeated or its request was not copied completely.
    ///
    /// Takes the request body away from the canary.
    fn fall_back(
        &mut self,
        failure: CanaryFailure,
        fallback: Option<Box<FallbackCall<S, B>>>,
    ) -> bool {
        let Some((service, mut request)) = fallback.and_then(|fallback| fallback.take()) else {
            return false;
        };
        if let Some(call) = self.call {
            call.fall_back(failure);
            self.retag_for_stable(&mut request);
        }
        self.enter(ResponseState::wait_for_stable(service, request));
        true
    }

    /// Updates the tag of the request, the span and the timer for stable.
    fn retag_for_stable(&mut self, request: &mut Request<B>) {
        if let Some(call) = self.call {
            call.tag_request(request.extensions_mut());
            *self.span = call.span();
            *self.timer = call.timer();
        }
    }

    /// Responds in place of the service, unless stable can repeat the call.
    fn respond_instead<R>(
        &mut self,
        response: LayerResponse,
        fallback: Option<Box<FallbackCall<S, B>>>,
    ) -> Option<Response<ResponseBody<R>>> {
        self.state.as_mut().leave();
        if self.fall_back(CanaryFailure::LayerResponse(response), fallback) {
            return None;
        }
        let mut call = self
            .call
            .take()
            .expect("calls that bypass the canary neither reach it nor have a time limit");
        let mut head = response.into_response(call.protocol());
        call.tag_response(&mut head);
        call.fail_as(response);
        Some(head.map(|()| ResponseBody::empty()))
    }

    /// Passes on the response of stable.
    #[inline(always)]
    fn finish_stable<R: Body>(
        &mut self,
        result: Result<Response<R>, S::Error>,
    ) -> Result<Response<ResponseBody<R>>, S::Error> {
        let Some(call) = self.call else {
            return result.map(|response| response.map(ResponseBody::untracked));
        };
        let mut response = result.inspect_err(|_| call.fail())?;
        let head = call.classify_head(&mut response);
        let length = call.send_head(&mut response, head);
        Ok(self.respond(response, length))
    }

    /// Passes on a response of the canary, or an error of either service.
    ///
    /// Returns `None` if the response is a failure that stable repeats.
    fn finish_canary<R: Body>(
        &mut self,
        result: Result<Response<R>, S::Error>,
        fallback: Option<Box<FallbackCall<S, B>>>,
    ) -> Option<Result<Response<ResponseBody<R>>, S::Error>> {
        let mut response = match result {
            Ok(response) => response,
            Err(_) if self.fall_back(CanaryFailure::Error, fallback) => return None,
            Err(error) => {
                self.call.take().iter_mut().for_each(Call::fail);
                return Some(Err(error));
            }
        };
        let call = self.call.as_mut().expect(IS_COUNTED);
        let Ok(head) = catch(|| call.classify_head(&mut response)) else {
            discard(|| drop(response));
            return self.respond_instead(LayerResponse::Panic, fallback).map(Ok);
        };
        if call.head_is_failure() && self.fall_back(CanaryFailure::Head(head.latency), fallback) {
            discard(|| drop(response));
            return None;
        }
        let call = self.call.as_mut().expect(IS_COUNTED);
        let is_head = call.is_head();
        let Ok(length) = catch(|| call.send_head(&mut response, head)) else {
            discard(|| drop(response));
            return self.respond_instead(LayerResponse::Panic, None).map(Ok);
        };
        let mut response = self.respond(response, length);
        if is_head {
            response.body_mut().set_head();
        }
        Some(Ok(response))
    }

    /// Moves an unfinished call into the response body. `length` is its `content-length`, if known.
    // Inlined, as its callers are, so that the compiler constructs the large response in place.
    #[inline(always)]
    fn respond<R: Body>(
        &mut self,
        response: Response<R>,
        length: Option<u64>,
    ) -> Response<ResponseBody<R>> {
        match self.call.take_if(|call| !call.has_ended()) {
            Some(call) => {
                let span = self.span.take();
                response.map(|body| ResponseBody::tracked(body, call, span, length))
            }
            None => response.map(ResponseBody::untracked),
        }
    }
}

impl<S, C, B> fmt::Debug for ResponseFuture<S, C, B>
where
    S: Service<Request<B>>,
    C: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
