//! What a canary router sees of a request that stable's router has matched: the same as stable.
//!
//! This guards the reliance on what axum keeps in private extensions. Each row is asked of stable and of
//! the canary, which run the same code under every mount; a difference fails it.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{
        FromRequestParts, MatchedPath, NestedPath, OriginalUri, Path, RawPathParams, Request,
    },
    http::{StatusCode, request::Parts},
    routing::{any, get},
};
use tower::{Layer, ServiceExt};
use tower_canary::{
    Assignment, CanaryLayer, CanaryOptions, Weight,
    axum::{AxumBody, RouterExt},
};

/// Everything that axum's extractors say about where a request was routed.
#[derive(Debug)]
struct Seen(String);

impl<S: Send + Sync> FromRequestParts<S> for Seen {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, StatusCode> {
        let params = RawPathParams::from_request_parts(parts, state).await.unwrap();
        let params: Vec<_> = params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let map =
            Path::<std::collections::BTreeMap<String, String>>::from_request_parts(parts, state)
                .await
                .map(|Path(map)| format!("{map:?}"))
                .unwrap_or_else(|error| error.to_string());
        let matched = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
        let nested = NestedPath::from_request_parts(parts, state).await.ok();
        let nested = nested.map(|nested| nested.as_str().to_owned());
        let OriginalUri(original) = OriginalUri::from_request_parts(parts, state).await.unwrap();
        let user = parts.extensions.get::<User>();
        let uri = &parts.uri;
        Ok(Self(format!(
            "{params:?} {map} matched={matched:?} nested={nested:?} original={original} uri={uri} {user:?}"
        )))
    }
}

#[derive(Clone, Debug)]
struct User(#[expect(dead_code, reason = "shown by Debug")] &'static str);

async fn see(seen: Seen) -> String {
    seen.0
}

/// A router with each kind of route.
fn routes() -> Router {
    Router::new()
        .route("/plain", get(see))
        .route("/users/{id}", get(see))
        .route("/pairs/{a}/{b}", get(see))
        .route("/files/{*rest}", get(see))
        .nest("/inner/{x}", Router::new().route("/deep/{y}", get(see)).route("/", get(see)))
        .nest_service("/service/{v}", Router::new().route("/leaf/{w}", any(see)))
        .fallback(see)
}

const PATHS: &[&str] = &[
    "/plain",
    "/users/1",
    "/users/%C3%A9%20x",
    "/pairs/1/2",
    "/files/a/b/c",
    "/inner/1/deep/2",
    "/inner/1",
    "/service/1/leaf/2",
    "/service/1/nowhere",
    "/nowhere",
    "/users/1?query=2",
];

/// An app made of stable and canary, at some mount.
type Mount = fn(Router, CanaryLayer<Router>) -> Router;

fn mounts() -> Vec<(&'static str, &'static str, Mount)> {
    vec![
        ("layer", "", |v1, layer| v1.layer(layer)),
        ("RouterExt::canary", "", |v1, layer| v1.canary(layer)),
        ("nested", "/api", |v1, layer| Router::new().nest("/api", v1.layer(layer))),
        ("nested with a parameter", "/t/acme", |v1, layer| {
            Router::new().nest("/t/{tenant}", v1.layer(layer))
        }),
        ("nested twice", "/a/1/b/2", |v1, layer| {
            let inner = Router::new().nest("/b/{two}", v1.layer(layer));
            Router::new().nest("/a/{one}", inner)
        }),
        ("nest_service", "/t/acme", |v1, layer| {
            let service = AxumBody::new(layer.layer(v1));
            Router::new().nest_service("/t/{tenant}", service)
        }),
        ("nested and canary outside", "/t/acme", |v1, layer| {
            Router::new().nest("/t/{tenant}", v1.canary(layer))
        }),
        ("merged", "", |v1, layer| Router::new().merge(v1.layer(layer))),
    ]
}

async fn ask(app: &Router, path: &str) -> (StatusCode, String) {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    request.extensions_mut().insert(User("alice"));
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.into()).unwrap())
}

#[tokio::test]
async fn the_canary_sees_what_stable_sees_through_every_mount() {
    for (name, prefix, mount) in mounts() {
        let layer = CanaryLayer::new("matrix", routes());
        let handle = layer.handle();
        let app = mount(routes(), layer);
        for path in PATHS {
            let path = format!("{prefix}{path}");
            handle.set_weight(Weight::ZERO).unwrap();
            let stable = ask(&app, &path).await;
            handle.set_weight(Weight::FULL).unwrap();
            let canary = ask(&app, &path).await;
            assert_eq!(canary, stable, "{name}: {path}");
            // axum does not carry every fallback through every nest; what it answers is the same.
            assert!(canary.0.is_success() || path.ends_with("nowhere"), "{name}: {path}");
        }
        let counts = handle.counts().total().evidence;
        assert_eq!(counts.stable.success, counts.canary.success, "{name}");
        assert!(counts.canary.success >= PATHS.len() as u64 - 1, "{name}");
    }
}

#[tokio::test]
async fn a_wrapped_router_is_one_if_it_is_announced() {
    let wrapped = tower::util::MapRequest::new(routes(), |request: Request| request);
    let options = CanaryOptions::new().canary_is_router();
    let layer = CanaryLayer::with_options("wrapped", wrapped, options);
    layer.handle().set_weight(Weight::FULL).unwrap();
    let (status, seen) = ask(&routes().layer(layer), "/users/1").await;
    assert_eq!(status, StatusCode::OK);
    assert!(seen.starts_with(r#"["id=1"]"#), "{seen}");
}

#[tokio::test]
async fn a_method_router_keeps_the_parameters_of_its_route() {
    async fn v2(Path(id): Path<u64>) -> String {
        format!("two {id}")
    }
    let layer = CanaryLayer::new("method", get(v2));
    layer.handle().set_weight(Weight::FULL).unwrap();
    let app = Router::new().route("/users/{id}", get(see).layer(layer));
    assert_eq!(ask(&app, "/users/7").await, (StatusCode::OK, "two 7".to_owned()));
}

#[tokio::test]
async fn canaries_stack_and_nest() {
    let third = CanaryLayer::new("third", routes());
    let second = CanaryLayer::new("second", routes().layer(third.clone()));
    let (second_handle, third_handle) = (second.handle(), third.handle());
    let outer = CanaryLayer::new("outer", routes());
    let outer_handle = outer.handle();
    let app = routes().layer(second).layer(outer);
    let (_, stable) = ask(&app, "/inner/1/deep/2").await;
    for (second, third, outer) in [
        (Weight::FULL, Weight::ZERO, Weight::ZERO),
        (Weight::FULL, Weight::FULL, Weight::ZERO),
        (Weight::ZERO, Weight::ZERO, Weight::FULL),
    ] {
        second_handle.set_weight(second).unwrap();
        third_handle.set_weight(third).unwrap();
        outer_handle.set_weight(outer).unwrap();
        assert_eq!(ask(&app, "/inner/1/deep/2").await, (StatusCode::OK, stable.clone()));
    }
}

#[tokio::test]
async fn the_assignment_is_an_extractor() {
    async fn who(assignment: Assignment, Extension(same): Extension<Assignment>) -> String {
        assert_eq!(assignment.channel(), same.channel());
        format!("{} {}", assignment.canary(), assignment.channel())
    }
    async fn perhaps(assignment: Option<Assignment>) -> String {
        format!("{}", assignment.is_some())
    }
    let v1 = Router::new().route("/", get(who)).route("/healthz", get(perhaps));
    let layer = CanaryLayer::new("shop", Router::new().route("/", get(who)));
    layer.handle().set_weight(Weight::FULL).unwrap();
    let app: Router = v1.layer(layer);
    assert_eq!(ask(&app, "/").await.1, "shop canary");
    assert_eq!(ask(&app, "/healthz").await.1, "false", "the path is bypassed");
    let (status, text) = ask(&Router::new().route("/", get(who)), "/").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("no canary assigned this call"), "{text}");
}
