//! A canary router sees the same request as stable's router, which has matched the route already.
//!
//! This depends on private extensions of axum. The tests send each request to stable and to the
//! canary, which run the same code, at every mount point, and compare the results.

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
    Assignment, Bypass, CanaryLayer, CanaryOptions, Weight,
    axum::{AxumBody, RouterExt},
    select::Condition,
};

/// The output of axum's extractors for the route of a request.
#[derive(Debug)]
struct RouteInfo(String);

impl<S: Send + Sync> FromRequestParts<S> for RouteInfo {
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
struct User(#[expect(dead_code, reason = "only Debug reads it")] &'static str);

async fn show(info: RouteInfo) -> String {
    info.0
}

/// A router with each kind of route.
fn routes() -> Router {
    Router::new()
        .route("/plain", get(show))
        .route("/users/{id}", get(show))
        .route("/pairs/{a}/{b}", get(show))
        .route("/files/{*rest}", get(show))
        .nest("/inner/{x}", Router::new().route("/deep/{y}", get(show)).route("/", get(show)))
        .nest_service("/service/{v}", Router::new().route("/leaf/{w}", any(show)))
        .fallback(show)
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

/// Combines stable and the layer into one app.
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
async fn the_canary_sees_the_same_request_as_stable_at_every_mount() {
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
            // axum does not pass every fallback through every nest, but both channels agree.
            assert!(canary.0.is_success() || path.ends_with("nowhere"), "{name}: {path}");
        }
        let counts = handle.counts().total().evidence;
        assert_eq!(counts.stable.success, counts.canary.success, "{name}");
        assert!(counts.canary.success >= PATHS.len() as u64 - 1, "{name}");
    }
}

#[tokio::test]
async fn a_wrapped_router_works_if_the_options_declare_it() {
    let wrapped = tower::util::MapRequest::new(routes(), |request: Request| request);
    let options = CanaryOptions::new().canary_is_router();
    let layer = CanaryLayer::with_options("wrapped", wrapped, options);
    layer.handle().set_weight(Weight::FULL).unwrap();
    let (status, info) = ask(&routes().layer(layer), "/users/1").await;
    assert_eq!(status, StatusCode::OK);
    assert!(info.starts_with(r#"["id=1"]"#), "{info}");
}

#[tokio::test]
async fn a_method_router_keeps_the_parameters_of_its_route() {
    async fn v2(Path(id): Path<u64>) -> String {
        format!("two {id}")
    }
    let layer = CanaryLayer::new("method", get(v2));
    layer.handle().set_weight(Weight::FULL).unwrap();
    let app = Router::new().route("/users/{id}", get(show).layer(layer));
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
    async fn is_assigned(assignment: Option<Assignment>) -> String {
        format!("{}", assignment.is_some())
    }
    let v1 = Router::new().route("/", get(who)).route("/healthz", get(is_assigned));
    let layer = CanaryLayer::new("shop", Router::new().route("/", get(who)));
    layer.handle().set_weight(Weight::FULL).unwrap();
    let app: Router = v1.layer(layer);
    assert_eq!(ask(&app, "/").await.1, "shop canary");
    assert_eq!(ask(&app, "/healthz").await.1, "false", "the path is bypassed");
    let (status, text) = ask(&Router::new().route("/", get(who)), "/").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.contains("the call has no assignment"), "{text}");
}

fn with_parameter() -> Router {
    let route = || get(|| async {});
    Router::new().route("/ping", route()).route("/metrics", route()).route("/i/{id}", route())
}

async fn channel_tag(app: Router, path: &str) -> (StatusCode, Option<String>) {
    let response = app.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
    let tag = response.headers().get("x-canary-channel");
    (response.status(), tag.map(|tag| tag.to_str().unwrap().to_owned()))
}

#[tokio::test]
async fn a_bypass_matches_the_whole_path_of_a_nested_router() {
    let options = CanaryOptions::new().bypass(Bypass::default().or(Condition::path("/api/ping")));
    let layer = CanaryLayer::with_options("nested", with_parameter(), options);
    layer.handle().promote().unwrap();
    let app = Router::new().nest("/api", with_parameter().layer(layer));
    assert_eq!(channel_tag(app.clone(), "/api/ping").await.1, None);
    assert_eq!(channel_tag(app, "/api/metrics").await.1.as_deref(), Some("canary"));
}

#[tokio::test]
async fn a_nest_with_axums_old_parameter_syntax_works() {
    let layer = CanaryLayer::new("nested", with_parameter());
    layer.handle().promote().unwrap();
    let app = Router::new().without_v07_checks().nest("/:v1", with_parameter().layer(layer));
    let (status, tag) = channel_tag(app, "/:v1/i/7").await;
    assert_eq!((status.as_u16(), tag.as_deref()), (200, Some("canary")));
}
