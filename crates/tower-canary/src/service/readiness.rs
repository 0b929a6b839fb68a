use std::task::{Context, Poll, Waker};

use tower_service::Service;

use crate::service::panic::{Panicked, catch, discard};

/// The readiness of the canary for one call.
pub(crate) enum CanaryReadiness<C, E> {
    Ready(C),
    /// The canary may have a place in a queue, so it is kept.
    NotReady(C),
    Error(E),
    Panicked,
}

/// Polls a clone of the canary once, without registering a waker.
///
/// It is a clone because a service that panicked must not be used again.
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

/// Polls the service outside of tokio's cooperative budget.
///
/// A task that makes many calls can exhaust the budget; budget-aware services would then return
/// `Pending` although they are ready.
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
