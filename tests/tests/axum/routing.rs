//! Different routers of stable and the canary, at every mount point.

use axum::{
    Router,
    body::Body,
    extract::RawPathParams,
    routing::{MethodRouter, get, on, post},
};
use canary_tests::{Answer, Client, Server, final_counts};
use http::{Method, Request, StatusCode, header};
use tower_canary::{CanaryLayer, Channel, Weight, axum::RouterExt};

use crate::mounts::{Kind, MOUNTS, Route};

fn route(pattern: &'static str, handler: MethodRouter) -> Route {
    Route { nest: None, pattern, handler }
}

fn filter(method: Method) -> axum::routing::MethodFilter {
    method.try_into().unwrap()
}

/// A handler that responds with its channel and path parameters.
fn show(channel: Channel, method: Method) -> MethodRouter {
    on(filter(method), async move |params: RawPathParams| {
        let params: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{channel} {}", params.join(" ")).trim_end().to_owned()
    })
}

fn stable() -> Vec<Route> {
    let show = |method| show(Channel::Stable, method);
    vec![
        route("/users/{id}", show(Method::GET)),
        route("/items/{a}/{b}", show(Method::GET).merge(show(Method::PUT))),
        route("/files/{*rest}", show(Method::GET)),
        route("/old/{id}", show(Method::GET)),
        Route { nest: Some("/inner/{x}"), ..route("/leaf/{y}", show(Method::GET)) },
    ]
}

fn canary() -> Vec<Route> {
    let show = |method| show(Channel::Canary, method);
    vec![
        route("/users/{name}", show(Method::GET).merge(show(Method::POST))),
        route("/items/{*path}", show(Method::GET)),
        route("/files/{dir}/{file}", show(Method::GET)),
        route("/new/{id}", show(Method::GET)),
        route("/inner/{one}/leaf/{two}", show(Method::GET)),
    ]
}

struct Case {
    method: Method,
    uri: &'static str,
    stable: Expected,
    canary: Expected,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expected {
    /// The parameters that the handler gets in addition to those of the prefix.
    Found(&'static str),
    NoRoute,
    /// The allowed methods.
    NoMethod(&'static str),
}

use Expected::{Found, NoMethod, NoRoute};

fn cases() -> Vec<Case> {
    let get = |uri, stable, canary| Case { method: Method::GET, uri, stable, canary };
    vec![
        // Different names and numbers of parameters.
        get("/users/7", Found("id=7"), Found("name=7")),
        get("/items/a/b", Found("a=a b=b"), Found("path=a/b")),
        get("/files/x/y", Found("rest=x/y"), Found("dir=x file=y")),
        get("/inner/1/leaf/2", Found("x=1 y=2"), Found("one=1 two=2")),
        // Routes of one channel only.
        get("/old/7", Found("id=7"), NoRoute),
        get("/files/x", Found("rest=x"), NoRoute),
        get("/new/7", NoRoute, Found("id=7")),
        get("/nowhere", NoRoute, NoRoute),
        // Methods of one channel only.
        Case {
            method: Method::PUT,
            uri: "/items/a/b",
            stable: Found("a=a b=b"),
            canary: NoMethod("GET,HEAD"),
        },
        Case {
            method: Method::POST,
            uri: "/users/7",
            stable: NoMethod("GET,HEAD"),
            canary: Found("name=7"),
        },
    ]
}

/// Returns the parameters that a handler gets from the prefix.
fn params_of_prefix(prefix: &str) -> &'static str {
    match prefix {
        "" | "/api" => "",
        "/t/acme" => "tenant=acme ",
        "/t/acme/v/2" => "tenant=acme version=2 ",
        _ => panic!("unknown prefix {prefix}"),
    }
}

fn check(what: &str, answer: &Answer, channel: Channel, params: &str, expected: Expected) {
    let allow = answer.headers.get(header::ALLOW).map(|allow| allow.to_str().unwrap());
    match expected {
        Found(found) => {
            assert_eq!(answer.status, StatusCode::OK, "{what}");
            assert_eq!(answer.body, format!("{channel} {params}{found}"), "{what}");
        }
        NoRoute => assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what}"),
        NoMethod(methods) => {
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{what}");
            assert_eq!(allow, Some(methods), "{what}");
        }
    }
}

#[tokio::test]
async fn each_channel_uses_its_own_router_at_every_mount_point() {
    for mount in MOUNTS {
        if mount.kind == Kind::PerRoute {
            continue; // Both channels share one router.
        }
        let mounted = (mount.mount)(stable(), canary());
        let params = params_of_prefix(mount.prefix);
        for (version, client) in Client::of_each_version(&mounted.server) {
            for Case { method, uri, stable, canary } in cases() {
                for (weight, channel, expected) in [
                    (Weight::ZERO, Channel::Stable, stable),
                    (Weight::FULL, Channel::Canary, canary),
                ] {
                    mounted.set_weight(weight);
                    let uri = format!("{}{uri}", mount.prefix);
                    let what = format!("{} {version}: {method} {uri} by {channel}", mount.name);
                    let request = Request::builder().method(method.clone()).uri(&uri);
                    let answer = client.ask(request.body(Body::empty()).unwrap()).await;

                    if stable == NoRoute && mount.kind == Kind::NestedAfterMatch {
                        // Documented: axum does not nest the default fallback of a router, so
                        // its layers do not run.
                        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what}");
                        assert_eq!(answer.channel(), None, "{what}");
                        continue;
                    }
                    assert_eq!(answer.channel(), Some(channel), "{what}");
                    check(&what, &answer, channel, params, expected);
                    let allow = answer.headers.get(header::ALLOW);
                    let stale = match (stable, expected, mount.kind) {
                        // Documented: axum adds stable's `Allow` header to the canary's response.
                        (
                            NoMethod(stables),
                            Found(_),
                            Kind::AfterMatch | Kind::NestedAfterMatch,
                        ) => Some(stables),
                        _ => None,
                    };
                    if let Found(_) = expected {
                        assert_eq!(allow.map(|allow| allow.to_str().unwrap()), stale, "{what}");
                    }
                }
            }
        }
        for canary in &mounted.canaries {
            final_counts(canary).await;
        }
    }
}

#[tokio::test]
async fn a_nested_router_with_a_fallback_reaches_paths_that_only_the_canary_has() {
    let canary = || Router::new().route("/new/{id}", show(Channel::Canary, Method::GET));
    let stable = || {
        Router::new()
            .route("/old", show(Channel::Stable, Method::GET))
            .fallback(async || (StatusCode::NOT_FOUND, "not found by stable"))
    };
    let layer = CanaryLayer::new("nested", canary());
    let handle = layer.handle();
    let server = Server::of_router(Router::new().nest("/t/{tenant}", stable().layer(layer)));
    let client = Client::http1(&server);

    let answer = client.get("/t/acme/new/7").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.body, "not found by stable");
    handle.set_weight(Weight::FULL).unwrap();
    let answer = client.get("/t/acme/new/7").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body, "canary tenant=acme id=7");
    final_counts(&handle).await;
}

#[tokio::test]
async fn a_method_router_splits_methods_that_only_one_channel_has() {
    let layer = CanaryLayer::new("method", post(async || "canary").put(async || "canary"));
    let handle = layer.handle();
    let stable = get(async || "stable").put(async || "stable");
    let server = Server::of_router(Router::new().route("/", stable.layer(layer)));
    let client = Client::http1(&server);
    let ask = async |method: Method| {
        let answer =
            client.ask(Request::builder().method(method).body(Body::empty()).unwrap()).await;
        let allow = answer.headers.get(header::ALLOW).map(|allow| allow.to_str().unwrap());
        (answer.status.as_u16(), allow.map(str::to_owned), answer.body)
    };
    let none = String::new;
    let allow = |methods: &str| Some(methods.to_owned());

    handle.set_weight(Weight::ZERO).unwrap();
    assert_eq!(ask(Method::GET).await, (200, None, "stable".to_owned()));
    assert_eq!(ask(Method::PUT).await, (200, None, "stable".to_owned()));
    assert_eq!(ask(Method::POST).await, (405, allow("GET,HEAD,PUT"), none()));

    handle.set_weight(Weight::FULL).unwrap();
    assert_eq!(ask(Method::GET).await, (405, allow("POST,PUT"), none()));
    assert_eq!(ask(Method::PUT).await, (200, None, "canary".to_owned()));
    // As with `Router::layer`, axum adds stable's `Allow` header to the canary's response.
    assert_eq!(ask(Method::POST).await, (200, allow("GET,HEAD,PUT"), "canary".to_owned()));

    let counts = final_counts(&handle).await.evidence;
    assert_eq!((counts.stable.success, counts.canary.success), (3, 3));
}

#[tokio::test]
async fn routes_added_after_the_layer_are_not_split() {
    let layer = CanaryLayer::new("early", Router::new().route("/late", get(async || "canary")));
    let handle = layer.handle();
    handle.set_weight(Weight::FULL).unwrap();
    let app = Router::new().layer(layer).route("/late", get(async || "stable"));
    let answer = Client::http1(&Server::of_router(app)).get("/late").await;
    assert_eq!((answer.channel(), &*answer.body), (None, "stable"));
    assert_eq!(final_counts(&handle).await.total(Channel::Canary).picked, 0);
}

/// When axum merges two routers with default fallbacks, it keeps the one of the argument.
#[tokio::test]
async fn a_router_that_is_merged_into_a_layered_one_replaces_its_default_fallback() {
    let v1 = || Router::new().route("/old", get(async || "stable"));
    let other = || Router::new().route("/other", get(async || "other"));
    type Merge = fn(Router, Router, CanaryLayer<Router>) -> Router;
    let merges: [(&str, Merge, bool); 4] = [
        ("an argument", |v1, other, layer| other.merge(v1.layer(layer)), true),
        ("a receiver", |v1, other, layer| v1.layer(layer).merge(other), false),
        (
            "a receiver with a fallback",
            |v1, other, layer| {
                v1.fallback(async || StatusCode::NOT_FOUND).layer(layer).merge(other)
            },
            true,
        ),
        ("a receiver beside the canary", |v1, other, layer| v1.canary(layer).merge(other), true),
    ];
    for (name, merge, is_reached) in merges {
        let layer = CanaryLayer::new("merged", Router::new().route("/new", get(async || "canary")));
        let handle = layer.handle();
        let server = Server::of_router(merge(v1(), other(), layer));
        let client = Client::http1(&server);
        let other = client.get("/other").await;
        assert_eq!((other.channel(), &*other.body), (None, "other"), "{name}");
        assert_eq!(client.get("/old").await.channel(), Some(Channel::Stable), "{name}");

        handle.set_weight(Weight::FULL).unwrap();
        let new = client.get("/new").await;
        let expected = if is_reached {
            (StatusCode::OK, Some(Channel::Canary), "canary")
        } else {
            (StatusCode::NOT_FOUND, None, "")
        };
        assert_eq!((new.status, new.channel(), &*new.body), expected, "{name}");
        let counts = final_counts(&handle).await.evidence;
        assert_eq!((counts.stable.picked, counts.canary.picked), (1, is_reached.into()), "{name}");
    }
}

#[tokio::test]
async fn outer_layers_see_the_matched_path_only_if_stable_matched() {
    async fn add_matched_path(
        request: axum::extract::Request,
        next: axum::middleware::Next,
    ) -> axum::response::Response {
        let matched = request.extensions().get::<axum::extract::MatchedPath>().cloned();
        let mut response = next.run(request).await;
        if let Some(matched) = matched {
            response.headers_mut().insert("x-matched", matched.as_str().parse().unwrap());
        }
        response
    }
    let v1 = || Router::new().route("/users/{id}", get(async || "stable"));
    let v2 = || Router::new().route("/users/{name}", get(async || "canary"));
    let outside = axum::middleware::from_fn(add_matched_path);
    for (app, seen) in [
        (v1().layer(CanaryLayer::new("inside", v2())), Some("/users/{id}")),
        (v1().canary(CanaryLayer::new("beside", v2())), None),
    ] {
        let answer =
            Client::http1(&Server::of_router(app.layer(outside.clone()))).get("/users/7").await;
        let matched = answer.headers.get("x-matched").map(|matched| matched.to_str().unwrap());
        assert_eq!(matched, seen);
    }
}
