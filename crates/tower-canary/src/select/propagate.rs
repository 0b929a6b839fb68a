use std::{
    fmt,
    task::{Context, Poll},
};

use http::{HeaderMap, Request};
use tower_layer::Layer;
use tower_service::Service;

use crate::{select::add_to_baggage, service::assignment::Assignment};

/// Lets a client tell the services it calls which channel the call it serves is on.
///
/// It goes around the client: one of hyper's, a channel of tonic's, anything that takes
/// `http::Request`s. The services called honor the decision by the policy
/// [`Propagated`](crate::select::Propagated).
///
/// The decision is the [`Assignment`] in the extensions of the outgoing request, where the handler has to
/// put it. A request without one is passed on as it is, and the service called decides for itself. A
/// proxy that passes on the request it got, extensions and all, has nothing to do.
///
/// ```
/// use http::{Request, Response};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
/// use tower_canary::{Assignment, CanaryLayer, PropagateLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// // Stands for a client and the service that it calls, which answers with the headers it saw.
/// let client = PropagateLayer.layer(service_fn(|request: Request<()>| async move {
///     let mut response = Response::new(String::new());
///     *response.headers_mut() = request.headers().clone();
///     Ok::<_, BoxError>(response)
/// }));
/// let handler = service_fn(move |request: Request<()>| {
///     let client = client.clone();
///     async move {
///         let mut outgoing = Request::new(());
///         if let Some(assignment) = request.extensions().get::<Assignment>() {
///             outgoing.extensions_mut().insert(assignment.clone());
///         }
///         client.oneshot(outgoing).await
///     }
/// });
///
/// let layer = CanaryLayer::new("shop", handler.clone());
/// layer.handle().promote()?;
/// let answer = layer.layer(handler).oneshot(Request::new(())).await?;
/// assert_eq!(answer.headers()["baggage"], "canary.shop=canary");
/// # Ok(())
/// # }
/// ```
///
/// With tonic it is the same: handlers find the [`Assignment`] in the extensions of the `tonic::Request`,
/// and a generated client passes on those of the request that it is given.
///
/// ```
/// # #[cfg(feature = "tonic")]
/// # fn example() {
/// use tower_canary::Assignment;
///
/// // let client = StockClient::new(PropagateLayer.layer(channel));
/// // client.reserve(next(&request, ReserveRequest { .. })).await
/// fn next<T, U>(incoming: &tonic::Request<T>, message: U) -> tonic::Request<U> {
///     let mut outgoing = tonic::Request::new(message);
///     if let Some(assignment) = incoming.extensions().get::<Assignment>() {
///         outgoing.extensions_mut().insert(assignment.clone());
///     }
///     outgoing
/// }
/// # let _ = next::<(), ()>;
/// # }
/// ```
///
/// A service at the edge believes nobody's baggage, and lets none of it through, by
/// [`Propagated::from_nobody`](crate::select::Propagated::from_nobody).
///
/// For clients that are no services of `http::Request`, such as reqwest's, there is
/// [`Assignment::propagate`].
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "it has nothing to configure")]
pub struct PropagateLayer;

impl<S> Layer<S> for PropagateLayer {
    type Service = Propagate<S>;

    fn layer(&self, client: S) -> Propagate<S> {
        Propagate { client }
    }
}

/// A client that tells on which channel the call is; see [`PropagateLayer`].
#[derive(Clone)]
pub struct Propagate<S> {
    client: S,
}

impl<S, B> Service<Request<B>> for Propagate<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.client.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(assignment) = request.extensions_mut().remove::<Assignment>() {
            assignment.propagate(request.headers_mut());
        }
        self.client.call(request)
    }
}

impl<S> fmt::Debug for Propagate<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Propagate").finish_non_exhaustive()
    }
}

impl Assignment {
    /// Tells the service that is called with these headers which channel this call is on, by the member
    /// `canary.<name>` of `baggage`. What else the baggage holds stays.
    ///
    /// ```
    /// use http::HeaderMap;
    /// use tower_canary::Assignment;
    ///
    /// /// For reqwest: `client.get(url).headers(on_this_channel(&assignment))`.
    /// fn on_this_channel(assignment: &Assignment) -> HeaderMap {
    ///     let mut headers = HeaderMap::new();
    ///     assignment.propagate(&mut headers);
    ///     headers
    /// }
    /// # let _ = on_this_channel;
    /// ```
    pub fn propagate(&self, headers: &mut HeaderMap) {
        add_to_baggage(headers, self.canary_name(), self.channel());
    }
}
