use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use tokio::sync::oneshot;

use crate::runtime::{
    body::{BodyReceiver, RuntimeBody},
    host::AbortOnDrop,
};

/// Response future of [`OnRuntime`](crate::runtime::OnRuntime).
pub struct RuntimeFuture<D, B, E> {
    result: oneshot::Receiver<CallResult<D, B, E>>,
    /// `None` once the response body has it.
    task: Option<AbortOnDrop>,
}

pub(super) type CallResult<D, B, E> = Result<Response<BodyReceiver<D, B>>, E>;

impl<D, B, E> RuntimeFuture<D, B, E> {
    pub(super) const fn new(
        result: oneshot::Receiver<CallResult<D, B, E>>,
        task: AbortOnDrop,
    ) -> Self {
        Self { result, task: Some(task) }
    }
}

impl<D, B, E> Future for RuntimeFuture<D, B, E> {
    type Output = Result<Response<RuntimeBody<D, B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.result).poll(cx));
        let task = self.task.as_mut().expect("the future is not polled after it returned Ready");
        let Ok(result) = result else {
            return task.poll_failure(cx);
        };
        let task = self.task.take();
        Poll::Ready(result.map(|response| response.map(|body| RuntimeBody::new(body, task))))
    }
}

impl<D, B, E> fmt::Debug for RuntimeFuture<D, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeFuture").finish_non_exhaustive()
    }
}
