//! All mount points of a canary in an axum application.

use axum::{
    Router, ServiceExt,
    extract::Request,
    response::Response,
    routing::{MethodRouter, future::RouteFuture},
};
use canary_tests::Server;
use std::{convert::Infallible, net::SocketAddr};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt as _,
    make::Shared,
    util::{MapRequest, MapRequestLayer},
};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Weight,
    axum::{AxumBody, RouterExt},
};

/// A route, possibly in a nested router.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) nest: Option<&'static str>,
    pub(crate) pattern: &'static str,
    pub(crate) handler: MethodRouter,
}

/// A mount point for a canary.
#[derive(Clone, Copy)]
pub(crate) struct Mount {
    pub(crate) name: &'static str,
    /// The prefix of all paths.
    pub(crate) prefix: &'static str,
    pub(crate) kind: Kind,
    /// Serves stable and canary.
    pub(crate) mount: fn(Vec<Route>, Vec<Route>) -> Mounted,
    /// Serves the same application without a canary.
    pub(crate) plain: fn(Vec<Route>) -> Server,
}

/// The point at which the layer splits calls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Before any router has matched a route.
    BeforeMatch,
    /// After stable's router has matched.
    AfterMatch,
    /// After stable's router, which is nested, has matched.
    NestedAfterMatch,
    /// Separately for each route.
    PerRoute,
}

pub(crate) struct Mounted {
    pub(crate) server: Server,
    pub(crate) canaries: Vec<CanaryHandle>,
}

impl Mounted {
    fn new(server: Server, canary: CanaryHandle) -> Self {
        Self { server, canaries: vec![canary] }
    }

    pub(crate) fn set_weight(&self, weight: Weight) {
        for canary in &self.canaries {
            canary.set_weight(weight).unwrap();
        }
    }
}

/// The user that the outermost layer of each mount point found in the request.
#[derive(Clone, Debug)]
pub(crate) struct User(pub(crate) String);

fn authenticate(mut request: Request) -> Request {
    let user = request.headers().get("x-user").and_then(|user| user.to_str().ok());
    if let Some(user) = user.map(str::to_owned) {
        request.extensions_mut().insert(User(user));
    }
    request
}

type Authenticate = fn(Request) -> Request;

fn auth() -> MapRequestLayer<Authenticate> {
    MapRequestLayer::new(authenticate)
}

pub(crate) fn router(routes: Vec<Route>) -> Router {
    routes.into_iter().fold(Router::new(), |router, Route { nest, pattern, handler }| match nest {
        None => router.route(pattern, handler),
        Some(prefix) => router.nest(prefix, Router::new().route(pattern, handler)),
    })
}

fn split<C: 'static>(canary: C) -> (CanaryLayer<C>, CanaryHandle) {
    let layer = CanaryLayer::new("mounted", canary);
    let handle = layer.handle();
    (layer, handle)
}

fn serve(router: Router) -> Server {
    Server::of_router(router.layer(auth()))
}

fn plain(routes: Vec<Route>) -> Server {
    serve(router(routes))
}

/// A router inside a custom service.
#[derive(Clone)]
struct Wrapped(Router);

impl Service<Request> for Wrapped {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.0.call(request)
    }
}

pub(crate) const MOUNTS: &[Mount] = &[
    Mount {
        name: "Router::layer",
        prefix: "",
        kind: Kind::AfterMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            Mounted::new(serve(router(stable).layer(layer)), handle)
        },
        plain,
    },
    Mount {
        name: "Router::layer of a ServiceBuilder",
        prefix: "",
        kind: Kind::AfterMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let layers = ServiceBuilder::new().layer(auth()).layer(layer);
            Mounted::new(Server::of_router(router(stable).layer(layers)), handle)
        },
        plain,
    },
    Mount {
        name: "Router::layer with a wrapped canary",
        prefix: "",
        kind: Kind::AfterMatch,
        mount: |stable, canary| {
            let options = CanaryOptions::new().canary_is_router();
            let canary = Wrapped(router(canary));
            let layer = CanaryLayer::with_options("mounted", canary, options);
            let handle = layer.handle();
            Mounted::new(serve(router(stable).layer(layer)), handle)
        },
        plain,
    },
    Mount {
        name: "Router::layer, merged into another router",
        prefix: "",
        kind: Kind::AfterMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            Mounted::new(serve(Router::new().merge(router(stable).layer(layer))), handle)
        },
        plain,
    },
    Mount {
        name: "RouterExt::canary",
        prefix: "",
        kind: Kind::BeforeMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            Mounted::new(serve(router(stable).canary(layer)), handle)
        },
        plain,
    },
    Mount {
        name: "axum::serve of AxumBody",
        prefix: "",
        kind: Kind::BeforeMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let app = auth().layer(AxumBody::new(layer.layer(router(stable))));
            let maker =
                ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(app);
            Mounted::new(Server::of_maker(maker), handle)
        },
        plain,
    },
    Mount {
        name: "axum::serve of map_response and Shared",
        prefix: "",
        kind: Kind::BeforeMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let app = ServiceBuilder::new()
                .layer(auth())
                .layer(layer)
                .service(router(stable))
                .map_response(|response| response.map(axum::body::Body::new));
            Mounted::new(Server::of_maker(Shared::new(app)), handle)
        },
        plain: |routes| {
            let app = MapRequest::new(router(routes), authenticate as Authenticate);
            Server::of_maker(Shared::new(app))
        },
    },
    Mount {
        name: "axum::serve of into_make_service",
        prefix: "",
        kind: Kind::BeforeMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let app = auth().layer(AxumBody::new(layer.layer(router(stable))));
            let maker = ServiceExt::<Request>::into_make_service(app);
            Mounted::new(Server::of_maker(maker), handle)
        },
        plain: |routes| Server::of_maker(router(routes).layer(auth()).into_make_service()),
    },
    Mount {
        name: "MethodRouter::layer",
        prefix: "",
        kind: Kind::PerRoute,
        mount: |stable, canary| {
            let mut canaries = Vec::new();
            let routes = stable.into_iter().zip(canary).map(|(stable, canary)| {
                let (layer, handle) = split(canary.handler);
                canaries.push(handle);
                Route { handler: stable.handler.layer(layer), ..stable }
            });
            let server = serve(router(routes.collect()));
            Mounted { server, canaries }
        },
        plain,
    },
    Mount {
        name: "Router::layer, nested",
        prefix: "/api",
        kind: Kind::NestedAfterMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            Mounted::new(serve(Router::new().nest("/api", router(stable).layer(layer))), handle)
        },
        plain: |routes| serve(Router::new().nest("/api", router(routes))),
    },
    Mount {
        name: "Router::layer, nested under a parameter",
        prefix: "/t/acme",
        kind: Kind::NestedAfterMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let nested = Router::new().nest("/t/{tenant}", router(stable).layer(layer));
            Mounted::new(serve(nested), handle)
        },
        plain: |routes| serve(Router::new().nest("/t/{tenant}", router(routes))),
    },
    Mount {
        name: "Router::layer, nested twice under parameters",
        prefix: "/t/acme/v/2",
        kind: Kind::NestedAfterMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let inner = Router::new().nest("/v/{version}", router(stable).layer(layer));
            Mounted::new(serve(Router::new().nest("/t/{tenant}", inner)), handle)
        },
        plain: |routes| {
            let inner = Router::new().nest("/v/{version}", router(routes));
            serve(Router::new().nest("/t/{tenant}", inner))
        },
    },
    Mount {
        name: "RouterExt::canary, nested under a parameter",
        prefix: "/t/acme",
        kind: Kind::BeforeMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let nested = Router::new().nest("/t/{tenant}", router(stable).canary(layer));
            Mounted::new(serve(nested), handle)
        },
        plain: |routes| serve(Router::new().nest("/t/{tenant}", as_fallback(routes))),
    },
    Mount {
        name: "nest_service",
        prefix: "/api",
        kind: Kind::BeforeMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let service = layer.layer(router(stable));
            Mounted::new(serve(Router::new().nest_service("/api", service)), handle)
        },
        plain: |routes| serve(Router::new().nest_service("/api", router(routes))),
    },
    Mount {
        name: "nest_service under a parameter",
        prefix: "/t/acme",
        kind: Kind::BeforeMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let service = layer.layer(router(stable));
            Mounted::new(serve(Router::new().nest_service("/t/{tenant}", service)), handle)
        },
        plain: |routes| serve(Router::new().nest_service("/t/{tenant}", router(routes))),
    },
    Mount {
        name: "Router::layer over routers that nest",
        prefix: "/t/acme",
        kind: Kind::AfterMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(Router::new().nest("/t/{tenant}", router(canary)));
            let nested = Router::new().nest("/t/{tenant}", router(stable));
            Mounted::new(serve(nested.layer(layer)), handle)
        },
        plain: |routes| serve(Router::new().nest("/t/{tenant}", router(routes))),
    },
    Mount {
        name: "fallback_service",
        prefix: "",
        kind: Kind::BeforeMatch,
        mount: |stable, canary| {
            let (layer, handle) = split(router(canary));
            let service = layer.layer(router(stable));
            Mounted::new(serve(Router::new().fallback_service(service)), handle)
        },
        plain,
    },
];

fn as_fallback(routes: Vec<Route>) -> Router {
    Router::new().fallback_service(router(routes))
}
