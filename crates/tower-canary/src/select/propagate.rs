use std::{
    fmt,
    task::{Context, Poll},
};

use http::{HeaderMap, Request};
use tower_layer::Layer;
use tower_service::Service;

use crate::{select::add_to_baggage, service::assignment::Assignment};

/// A layer for clients that propagates the channel of a call to the services it calls.
///
/// It wraps a client that is a service of `http::Request`, such as one of hyper or a channel of
/// tonic. The called services follow the decision with the policy
/// [`Propagated`](crate::select::Propagated).
///
/// The layer reads the [`Assignment`] in the extensions of the outgoing request, where the handler
/// has to put it. It passes on a request without one unchanged, and the called service decides for
/// itself. A proxy that forwards the request with its extensions needs no extra code.
///
/// ```
/// use http::{Request, Response};
/// use tower::{BoxError, Layer, ServiceExt, service_fn};
/// use tower_canary::{Assignment, CanaryLayer, PropagateLayer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// // Stands for a client and a service that responds with the headers it received.
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
/// let response = layer.layer(handler).oneshot(Request::new(())).await?;
/// assert_eq!(response.headers()["baggage"], "canary.shop=canary");
/// # Ok(())
/// # }
/// ```
///
/// With tonic, the [`Assignment`] is in the extensions of the `tonic::Request`. A generated client
/// passes on the extensions of the request that it is called with.
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
/// The layer removes the decisions in the baggage of callers that the service does not
/// [trust](crate::select::Propagated).
///
/// For other clients, such as those of reqwest, use [`Assignment::propagate`].
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct without options")]
pub struct PropagateLayer;

impl<S> Layer<S> for PropagateLayer {
    type Service = Propagate<S>;

    fn layer(&self, client: S) -> Propagate<S> {
        Propagate { client }
    }
}

/// The service of [`PropagateLayer`].
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
    /// Sets the member `canary.<name>` of the `baggage` header to the channel of this call.
    ///
    /// Other members stay.
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
