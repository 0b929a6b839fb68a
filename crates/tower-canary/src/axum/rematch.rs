use std::{
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

/// Makes a request that one router has matched look to the canary's router as if none had.
///
/// `Router::layer` wraps each route, so that a canary in the layer is called *after* stable's router
/// matched. Stable's path parameters are then in the request, in a private extension to which the canary's
/// router would append its own, and the canary's `Path` extractors would find too many.
///
/// A private extension cannot be removed, but `Extensions::extend` overwrites it with another of its
/// type. So we let axum itself make one: a router that leads to a probe service, which hands out the
/// extensions of the request it gets. Only what routing puts there is overwritten; the rest
/// (`ConnectInfo`, upgrades, whatever outer layers inserted) stays.
///
/// Under `nest` the parameters of the prefix belong to the canary as well. They come from a probe that
/// is nested under the same prefix and gets the same URI.
#[derive(Debug, Default)]
pub struct Rematch {
    /// A probe for each prefix that the canary was found nested under. Prefixes are patterns of the
    /// program's own routes: they are few, and no client can add one.
    probes: ArcSwap<HashMap<Arc<str>, ProbeRouter>>,
}

impl Rematch {
    /// Removes what a router has added to `request`.
    pub fn prepare<B>(&self, request: &mut http::Request<B>) {
        let path = request.uri().path().to_owned();
        let extensions = request.extensions_mut();
        let Some(OriginalUri(original)) = extensions.get::<OriginalUri>().cloned() else {
            return; // No router has seen the request.
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
            // The prefix has passed the checks of the router it comes from, if they were on.
            Router::new().without_v07_checks().nest_service(prefix, Probe).with_state(()),
        );
        self.probes.rcu(|probes| {
            let mut probes = HashMap::clone(probes);
            probes.insert(prefix.into(), probe.clone());
            probes
        });
        probe
    }
}

/// The extensions of a request that no route has matched: no parameters, no matched path.
static UNMATCHED: LazyLock<Extensions> = LazyLock::new(|| {
    // Under this private name axum does not note the matched path, but does the path that is nested:
    // the whole. Should the name change, the fallback's extensions serve, in which only the
    // `MatchedPath` of a route that is nested in stable and in the canary comes out longer.
    let whole = Router::new().route_service("/{*__private__axum_nest_tail_param}", Probe);
    let fallback = Router::new().fallback_service(Probe);
    [whole, fallback]
        .into_iter()
        .filter_map(|router| ProbeRouter(router).extensions_for(Uri::from_static("/x"), "/x"))
        .find(|extensions| extensions.get::<MatchedPath>().is_none())
        .unwrap_or_default()
});

/// A router that leads to a [`Probe`].
#[derive(Clone, Debug)]
struct ProbeRouter(Router);

impl ProbeRouter {
    /// What routing puts into the extensions of a request for `uri`, if the part of the path that it
    /// leaves is `rest`.
    fn extensions_for(mut self, uri: Uri, rest: &str) -> Option<Extensions> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = uri;
        let response = pin!(Service::<Request>::call(&mut self.0, request));
        // The probe is ready at once, and so is the router around it.
        let Poll::Ready(Ok(response)) = response.poll(&mut Context::from_waker(Waker::noop()))
        else {
            return None;
        };
        let Probed { mut extensions, path } = response.into_parts().0.extensions.remove()?;
        extensions.remove::<OriginalUri>();
        (path == rest).then_some(extensions)
    }
}

/// A service that answers with the extensions of the request.
#[derive(Clone)]
struct Probe;

#[derive(Clone)]
struct Probed {
    extensions: Extensions,
    path: String,
}

impl Service<Request> for Probe {
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
