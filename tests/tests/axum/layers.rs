//! Layers of tower, tower-http and tonic outside and inside of the canary, in one stack with it.
//!
//! Most of the test is that it compiles: each layer has other requirements for body types.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
    routing::get,
};
use canary_tests::{
    Client, Server,
    deployment::{Releases, client, release, send_all_to},
    echo::proto::Ask,
    final_counts,
    task_server::TaskServer,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{service::RecoverErrorLayer, transport};
use tower::{
    Layer, ServiceBuilder,
    limit::GlobalConcurrencyLimitLayer,
    util::{MapRequestLayer, MapResponseLayer},
};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Channel, Fallback, Weight, select::Condition,
};
use tower_http::{
    add_extension::AddExtensionLayer,
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::CorsLayer,
    decompression::{DecompressionLayer, RequestDecompressionLayer},
    limit::RequestBodyLimitLayer,
    map_request_body::MapRequestBodyLayer,
    map_response_body::MapResponseBodyLayer,
    metrics::InFlightRequestsLayer,
    normalize_path::NormalizePathLayer,
    propagate_header::PropagateHeaderLayer,
    sensitive_headers::SetSensitiveHeadersLayer,
    set_header::{SetRequestHeaderLayer, SetResponseHeaderLayer},
    set_status::SetStatusLayer,
    timeout::{RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer, TimeoutLayer},
    trace::TraceLayer,
    validate_request::ValidateRequestHeaderLayer,
};

const LONG: Duration = Duration::from_secs(600);

fn app() -> Router {
    Router::new().route("/", get(async || "hello"))
}

async fn is_split(name: &str, canary: &CanaryHandle, app: Router) {
    let server = Server::of_router(app);
    let client = Client::http1(&server);
    for (weight, channel) in [(Weight::ZERO, Channel::Stable), (Weight::FULL, Channel::Canary)] {
        canary.set_weight(weight).unwrap();
        let answer = client.get("/").await;
        let found = (answer.status, answer.channel(), &*answer.body);
        assert_eq!(found, (StatusCode::OK, Some(channel), "hello"), "{name}");
    }
    let counts = final_counts(canary).await.evidence;
    assert_eq!([counts.stable.success, counts.canary.success], [1; 2], "{name}");
}

/// Serves an axum router with each layer outside and inside of the canary.
macro_rules! in_both_orders_around_a_router {
    ($($layer:expr),+ $(,)?) => {$({
        let name = stringify!($layer);
        let canary = CanaryLayer::new("shop", app());
        let handle = canary.handle();
        let outside = ServiceBuilder::new().layer($layer).layer(canary);
        is_split(name, &handle, app().layer(outside)).await;

        let options = CanaryOptions::new().fallback(Fallback::axum());
        let canary = CanaryLayer::with_options("shop", app(), options).boxed();
        let handle = canary.handle();
        let outside = ServiceBuilder::new().layer($layer).option_layer(Some(canary));
        is_split(name, &handle, app().layer(outside)).await;

        // Both channels have the layer, because they need the same body type.
        let canary = CanaryLayer::new("shop", Layer::<Router>::layer(&$layer, app()));
        let handle = canary.handle();
        let inside = ServiceBuilder::new().layer(canary).layer($layer);
        is_split(name, &handle, app().layer(inside)).await;
    })+};
}

#[tokio::test]
async fn layers_compose_with_a_canary_of_a_router_in_both_orders() {
    in_both_orders_around_a_router!(
        AddExtensionLayer::new("state"),
        CatchPanicLayer::new(),
        CompressionLayer::new(),
        CorsLayer::permissive(),
        DecompressionLayer::new(),
        GlobalConcurrencyLimitLayer::new(10),
        InFlightRequestsLayer::pair().0,
        MapRequestBodyLayer::new(Body::new),
        MapResponseBodyLayer::new(Body::new),
        NormalizePathLayer::trim_trailing_slash(),
        PropagateHeaderLayer::new(HeaderName::from_static("x-request")),
        RequestBodyLimitLayer::new(100),
        RequestBodyTimeoutLayer::new(LONG),
        RequestDecompressionLayer::new(),
        ResponseBodyTimeoutLayer::new(LONG),
        SetRequestHeaderLayer::overriding(header::FROM, HeaderValue::from_static("a")),
        SetResponseHeaderLayer::overriding(header::SERVER, HeaderValue::from_static("b")),
        SetSensitiveHeadersLayer::new([header::COOKIE]),
        SetStatusLayer::new(StatusCode::OK),
        TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONG),
        TraceLayer::new_for_http(),
        ValidateRequestHeaderLayer::accept("text/plain"),
    );
    // Closures that name the types of both bodies.
    in_both_orders_around_a_router!(
        MapRequestLayer::new(|request: Request| request),
        tower::layer::layer_fn(|service| {
            ServiceBuilder::new()
                .layer(MapResponseLayer::new(|response: Response| response))
                .layer(MapResponseBodyLayer::new(Body::new))
                .service(service)
        }),
    );
}

/// Serves tonic services with each layer outside and inside of the canary.
macro_rules! in_both_orders_in_a_server {
    ($($layer:expr),+ $(,)?) => {$({
        let name = stringify!($layer);
        let releases = Releases::new();
        let [stable, canary] = Channel::ALL.map(|channel| releases.routes(channel));
        let canary = CanaryLayer::new("echo", canary);
        let handle = canary.handle();
        let outside = ServiceBuilder::new().layer($layer).layer(canary).into_inner();
        calls_are_split!(name, handle, transport::Server::builder().layer(outside), stable);

        let [stable, canary] = Channel::ALL.map(|channel| releases.routes(channel));
        let fallback = Fallback::tonic().only(Condition::any());
        let options = CanaryOptions::new().fallback(fallback);
        let canary = CanaryLayer::with_options("echo", canary, options).boxed();
        let handle = canary.handle();
        let outside = ServiceBuilder::new().layer($layer).option_layer(Some(canary)).into_inner();
        calls_are_split!(name, handle, transport::Server::builder().layer(outside), stable);

        let [stable, canary] = Channel::ALL.map(|channel| releases.routes(channel));
        let canary = CanaryLayer::new("echo", $layer.layer(canary));
        let handle = canary.handle();
        let inside = ServiceBuilder::new().layer(canary).layer($layer).into_inner();
        calls_are_split!(name, handle, transport::Server::builder().layer(inside), stable);
    })+};
}

macro_rules! calls_are_split {
    ($name:expr, $handle:expr, $server:expr, $stable:expr) => {{
        let mut server = $server;
        let router = server.add_routes($stable);
        let server = TaskServer::start(|listener| async {
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        let server = server.await;
        for channel in Channel::ALL {
            send_all_to(&$handle, channel);
            let answer = client(&server).await.unary(Ask::default()).await.unwrap();
            assert_eq!(answer.into_inner().release, release(channel), "{}", $name);
        }
        let counts = final_counts(&$handle).await.evidence;
        assert_eq!([counts.stable.success, counts.canary.success], [1; 2], "{}", $name);
    }};
}

#[tokio::test]
async fn layers_compose_with_a_canary_of_a_tonic_server_in_both_orders() {
    in_both_orders_in_a_server!(
        AddExtensionLayer::new("state"),
        CompressionLayer::new(),
        CorsLayer::permissive(),
        GlobalConcurrencyLimitLayer::new(10),
        InFlightRequestsLayer::pair().0,
        RecoverErrorLayer::new(),
        RequestBodyLimitLayer::new(100),
        ResponseBodyTimeoutLayer::new(LONG),
        SetResponseHeaderLayer::overriding(header::SERVER, HeaderValue::from_static("b")),
        TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONG),
        TraceLayer::new_for_grpc(),
        tonic::service::InterceptorLayer::new(Ok),
        tonic_web::GrpcWebLayer::new(),
    );
}
