use std::{
    fmt,
    task::{Context, Poll},
};

use http::{HeaderMap, Request};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Assignment, select::add_to_baggage};

/// Lets a client tell the services it calls which channel the call it serves is on.
///
/// It goes around the client: one of hyper's, a channel of tonic's, anything that takes
/// `http::Request`s. The services called honor the decision by the policy
/// [`Propagated`](crate::select::Propagated). The decision is the [`Assignment`] in the extensions of the
/// outgoing request; a request without one is passed on as it is.
///
/// ```
/// use http::Request;
/// use tower::{ServiceBuilder, service_fn};
/// use tower_canary::{Assignment, PropagateLayer};
///
/// # let client = service_fn(|_: Request<String>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
/// # });
/// let client = ServiceBuilder::new().layer(PropagateLayer).service(client);
///
/// fn outgoing(assignment: Assignment) -> Request<String> {
///     let mut request = Request::new(String::new());
///     request.extensions_mut().insert(assignment);
///     request
/// }
/// # let _ = (client, outgoing);
/// ```
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
    pub fn propagate(&self, headers: &mut HeaderMap) {
        add_to_baggage(headers, self.canary_name(), self.channel());
    }
}
