use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use tokio::sync::oneshot;

use crate::runtime::{RuntimeBody, body::Pumped, life::Task};

/// Future of [`OnRuntime`](crate::runtime::OnRuntime).
pub struct RuntimeFuture<D, B, E> {
    answer: oneshot::Receiver<Answer<D, B, E>>,
    // None once it is the body's.
    task: Option<Task>,
}

pub(super) type Answer<D, B, E> = Result<Response<Pumped<D, B>>, E>;

impl<D, B, E> RuntimeFuture<D, B, E> {
    pub(super) const fn new(answer: oneshot::Receiver<Answer<D, B, E>>, task: Task) -> Self {
        Self { answer, task: Some(task) }
    }
}

impl<D, B, E> Future for RuntimeFuture<D, B, E> {
    type Output = Result<Response<RuntimeBody<D, B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        let task = self.task.as_mut().expect("the future is not polled after it is done");
        let Ok(answer) = answer else {
            return task.poll_failure(cx);
        };
        let task = self.task.take();
        Poll::Ready(answer.map(|response| response.map(|pumped| RuntimeBody::new(pumped, task))))
    }
}

impl<D, B, E> fmt::Debug for RuntimeFuture<D, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeFuture").finish_non_exhaustive()
    }
}
