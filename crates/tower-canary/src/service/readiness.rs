use std::task::{Context, Poll, Waker};

use tower_service::Service;

use crate::service::panic::{Panicked, catch, discard};

/// What came of asking a canary whether it is ready.
pub(crate) enum CanaryReadiness<C, E> {
    Ready(C),
    /// It keeps its place in a queue, if it took one.
    NotReady(C),
    Error(E),
    Panicked,
}

/// Asks a clone of the canary, since what has panicked must not be used again, without waiting for it:
/// nobody is woken.
#[inline]
pub(crate) fn check_readiness<C, R>(canary: &C) -> CanaryReadiness<C, C::Error>
where
    C: Service<R> + Clone,
{
    let Ok(mut canary) = catch(|| canary.clone()) else { return CanaryReadiness::Panicked };
    match catch(|| poll_ready(&mut canary)) {
        Ok(Poll::Ready(Ok(()))) => CanaryReadiness::Ready(canary),
        Ok(Poll::Pending) => CanaryReadiness::NotReady(canary),
        Ok(Poll::Ready(Err(error))) => {
            discard(|| drop(canary));
            CanaryReadiness::Error(error)
        }
        Err(Panicked) => {
            discard(|| drop(canary));
            CanaryReadiness::Panicked
        }
    }
}

/// The task that makes the call may have spent tokio's budget, as one does that makes many. What heeds it
/// would say that it is not ready when it is.
#[cfg(feature = "tokio")]
fn poll_ready<C: Service<R>, R>(canary: &mut C) -> Poll<Result<(), C::Error>> {
    let ready = std::pin::pin!(tokio::task::unconstrained(std::future::poll_fn(|cx| {
        canary.poll_ready(cx)
    })));
    ready.poll(&mut Context::from_waker(Waker::noop()))
}

#[cfg(not(feature = "tokio"))]
fn poll_ready<C: Service<R>, R>(canary: &mut C) -> Poll<Result<(), C::Error>> {
    canary.poll_ready(&mut Context::from_waker(Waker::noop()))
}
