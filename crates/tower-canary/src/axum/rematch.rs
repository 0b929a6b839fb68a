use std::{
    any::Any,
    collections::HashMap,
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, NestedPath, OriginalUri, Request},
    response::Response,
};
use http::{Extensions, Uri};
use tower_service::Service;

/// Removes the traces of stable's router from a request, so that the canary's router can match it.
///
/// `Router::layer` wraps each route, so a canary in the layer is called *after* stable's router
/// matched the request. By then the request has stable's path parameters in a private extension.
/// The canary's router would append its own parameters, and the canary's `Path` extractors would
/// find too many.
///
/// A private extension cannot be removed, but `Extensions::extend` can overwrite it with a value of
/// the same type. To get such a value, a request is routed by axum to a probe service, which
/// returns the extensions that it received. Only the extensions inserted by routing are
/// overwritten. Others, such as `ConnectInfo`, upgrades and the extensions of outer layers, stay.
///
/// Under `nest`, the parameters of the prefix are for the canary too. They come from a probe that
/// is nested under the same prefix and receives the same URI.
#[derive(Debug, Default)]
pub struct Rematch {
    /// A probe for each prefix under which the canary is nested. Prefixes are patterns of the
    /// application's routes: there are few, and clients cannot add any.
    probes: ArcSwap<HashMap<Arc<str>, ProbeRouter>>,
}

impl Rematch {
    /// Removes the extensions that a router has added to `request`.
    pub fn prepare<B>(&self, request: &mut http::Request<B>) {
        let path = request.uri().path().to_owned();
        let extensions = request.extensions_mut();
        let Some(OriginalUri(original)) = extensions.get::<OriginalUri>().cloned() else {
            return; // The request has not passed a router.
        };
        extensions.remove::<MatchedPath>();
        let nested = extensions.remove::<NestedPath>();
        extensions.extend(UNMATCHED.clone());
        if let Some(nested) = nested
            && let Some(prefix) = self.probe(nested.as_str()).extensions_for(original, &path)
        {
            extensions.extend(prefix);
        }
    }

    fn probe(&self, prefix: &str) -> ProbeRouter {
        if let Some(probe) = self.probes.load().get(prefix) {
            return probe.clone();
        }
        let probe = ProbeRouter(
            // The application's router has already checked the prefix, unless its checks are off.
            Router::new().without_v07_checks().nest_service(prefix, ExtensionProbe).with_state(()),
        );
        self.probes.rcu(|probes| {
            let mut probes = HashMap::clone(probes);
            probes.insert(prefix.into(), probe.clone());
            probes
        });
        probe
    }
}

/// The extensions of a request that has matched no route: no parameters and no matched path.
static UNMATCHED: LazyLock<Extensions> = LazyLock::new(|| {
    // For a parameter of this private name axum does not set `MatchedPath`, and sets the nested
    // path to the whole path. If a later version changes the name, the extensions of the fallback
    // are used instead. Their only flaw is a too long `MatchedPath` for routes that are nested in
    // both stable and canary.
    let whole = Router::new().route_service("/{*__private__axum_nest_tail_param}", ExtensionProbe);
    let fallback = Router::new().fallback_service(ExtensionProbe);
    [whole, fallback]
        .into_iter()
        .filter_map(|router| ProbeRouter(router).extensions_for(Uri::from_static("/x"), "/x"))
        .find(|extensions| extensions.get::<MatchedPath>().is_none())
        .unwrap_or_default()
});

/// A router that leads to a [`ExtensionProbe`].
#[derive(Clone, Debug)]
struct ProbeRouter(Router);

impl ProbeRouter {
    /// Returns the extensions that routing adds to a request for `uri`, or `None` if the remaining
    /// path is not `rest`.
    fn extensions_for(mut self, uri: Uri, rest: &str) -> Option<Extensions> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        let response = pin!(Service::<Request>::call(&mut self.0, request));
        // The router and the probe respond without waiting.
        let Poll::Ready(Ok(response)) = response.poll(&mut Context::from_waker(Waker::noop()))
        else {
            return None;
        };
        let Probed { mut extensions, path } = response.into_parts().0.extensions.remove()?;
        extensions.remove::<OriginalUri>();
        (path == rest).then_some(extensions)
    }
}

/// A service whose response contains the extensions of the request.
#[derive(Clone)]
struct ExtensionProbe;

#[derive(Clone)]
struct Probed {
    extensions: Extensions,
    path: String,
}

impl Service<Request> for ExtensionProbe {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (head, _) = request.into_parts();
        let mut response = Response::new(Body::empty());
        let path = head.uri.path().to_owned();
        response.extensions_mut().insert(Probed { extensions: head.extensions, path });
        ready(Ok(response))
    }
}

/// Prepares a canary that is a `Router`, and returns whether it is one.
#[expect(clippy::missing_panics_doc, reason = "the option is `Some` unless it held a router")]
pub fn prepare<C: 'static>(canary: C) -> (C, bool) {
    let mut canary = Some(canary);
    let slot: &mut dyn Any = &mut canary;
    let Some(router) = slot.downcast_mut::<Option<Router>>() else {
        return (canary.expect("the option is not taken"), false);
    };
    // Without this the router would rebuild itself for every call.
    *router = router.take().map(|router| router.with_state(()));
    (canary.expect("the option is not taken"), true)
}
