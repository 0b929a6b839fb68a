//! At every mount point, each extractor returns the same value on the canary as on stable.
//!
//! This depends on private extensions of axum, which may change with each release.

use std::{collections::BTreeMap, net::SocketAddr};

use axum::{
    Extension, Json,
    body::Body,
    extract::{
        ConnectInfo, FromRequestParts, MatchedPath, NestedPath, OriginalUri, Path, RawPathParams,
        Request,
    },
    response::{IntoResponse, Response},
    routing::{MethodRouter, any, get, post},
};
use canary_tests::{Answer, Client, final_counts};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use tower_canary::{Channel, Weight};

use crate::mounts::{MOUNTS, Mount, Mounted, Route, User};

/// A request and its route.
struct Row {
    nest: Option<&'static str>,
    pattern: &'static str,
    handler: fn() -> MethodRouter,
    method: Method,
    uri: &'static str,
    body: &'static str,
    /// The status without a canary, if the application is mounted at the root.
    status: StatusCode,
}

impl Row {
    fn get(pattern: &'static str, handler: fn() -> MethodRouter, uri: &'static str) -> Self {
        let (method, status) = (Method::GET, StatusCode::OK);
        Self { nest: None, pattern, handler, method, uri, body: "", status }
    }

    fn nested(self, prefix: &'static str) -> Self {
        Self { nest: Some(prefix), ..self }
    }

    fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

/// Responds with the extracted value or the rejection.
macro_rules! show {
    ($extractor:ty, $pattern:pat => $shown:expr) => {
        || {
            any(async |request: Request| -> Response {
                let (mut parts, _) = request.into_parts();
                match <$extractor>::from_request_parts(&mut parts, &()).await {
                    Ok($pattern) => format!("{:?}", $shown).into_response(),
                    Err(rejection) => rejection.into_response(),
                }
            })
        }
    };
}

#[derive(Debug, serde::Deserialize)]
#[expect(dead_code, reason = "only Debug reads the fields")]
struct Order {
    shop: String,
    number: u64,
}

async fn streamed() -> Body {
    Body::from_stream(futures_util::stream::iter([Ok::<_, std::convert::Infallible>("streamed")]))
}

fn rows() -> Vec<Row> {
    let bad_request = StatusCode::BAD_REQUEST;
    let user: fn() -> MethodRouter = show!(Path::<u64>, Path(id) => id);
    let pair: fn() -> MethodRouter = show!(Path::<(String, u64)>, Path(pair) => pair);
    let nested: fn() -> MethodRouter = show!(NestedPath, nested => nested.as_str());
    let matched: fn() -> MethodRouter = show!(MatchedPath, matched => matched.as_str());
    let raw: fn() -> MethodRouter = show!(
        RawPathParams,
        params => params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    );
    vec![
        Row::get("/users/{id}", user, "/users/7"),
        Row::get("/users/{id}", user, "/users/seven").status(bad_request),
        Row::get("/pairs/{a}/{b}", pair, "/pairs/x/2"),
        Row::get(
            "/orders/{shop}/{number}",
            show!(Path::<Order>, Path(order) => order),
            "/orders/a/1",
        ),
        Row::get(
            "/maps/{x}/{y}",
            show!(Path::<BTreeMap<String, String>>, Path(map) => map),
            "/maps/1/2",
        ),
        Row::get(
            "/lists/{p}/{q}",
            show!(Path::<Vec<(String, String)>>, Path(list) => list),
            "/lists/1/2",
        ),
        Row::get("/raw/{a}/{b}", raw, "/raw/%C3%A9%20x/2"),
        Row::get("/bytes/{a}", raw, "/bytes/%FF").status(bad_request),
        Row::get("/files/{*rest}", show!(Path::<String>, Path(rest) => rest), "/files/a/b%20c/d"),
        Row::get("/matched/{id}", matched, "/matched/7"),
        Row::get(
            "/original/{id}",
            show!(OriginalUri, OriginalUri(uri) => uri.path_and_query()),
            "/original/7?q=1",
        ),
        Row::get("/uri/{id}", show!(Uri, uri => uri.path_and_query()), "/uri/7?q=1"),
        Row::get("/nested", nested, "/nested").status(StatusCode::INTERNAL_SERVER_ERROR),
        Row::get(
            "/peer",
            show!(ConnectInfo::<SocketAddr>, ConnectInfo(peer) => peer.ip()),
            "/peer",
        ),
        Row::get("/user", show!(Extension::<User>, Extension(User(name)) => name), "/user"),
        Row::get("/method", show!(Method, method => method), "/method").method(Method::PUT),
        Row::get("/only-get", || get(|| async { "got" }), "/only-get").method(Method::HEAD),
        Row::get("/streamed", || get(streamed), "/streamed").method(Method::HEAD),
        Row::get("/only-get", || get(|| async { "got" }), "/only-get")
            .method(Method::DELETE)
            .status(StatusCode::METHOD_NOT_ALLOWED),
        Row::get("/echo", || post(async |body: String| body), "/echo")
            .method(Method::POST)
            .body("said"),
        Row::get("/json", || post(async |body: Json<serde_json::Value>| body), "/json")
            .method(Method::POST)
            .body(r#"{"a":1}"#),
        Row::get("/deep/{y}", pair, "/inner/x/deep/2").nested("/inner/{x}"),
        Row::get("/raw/{y}", raw, "/inner/1/raw/2").nested("/inner/{x}"),
        Row::get("/matched/{y}", matched, "/inner/1/matched/2").nested("/inner/{x}"),
        Row::get("/nested/{y}", nested, "/inner/1/nested/2").nested("/inner/{x}"),
        Row::get("/", raw, "/inner/1").nested("/inner/{x}"),
        Row::get("/uri/{y}", show!(Uri, uri => uri.path_and_query()), "/fixed/uri/2")
            .nested("/fixed"),
    ]
}

fn routes() -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for Row { nest, pattern, handler, .. } in rows() {
        if !routes.iter().any(|route| (route.nest, route.pattern) == (nest, pattern)) {
            routes.push(Route { nest, pattern, handler: handler() });
        }
    }
    routes
}

/// The parts of a response that must not depend on the channel.
fn comparable(answer: &Answer) -> (StatusCode, HeaderMap, String) {
    let mut headers = answer.headers.clone();
    headers.remove(header::DATE);
    headers.remove(tower_canary::Tags::CHANNEL_HEADER);
    // Responses of the canary stay out of shared caches.
    headers.remove(header::CACHE_CONTROL);
    (answer.status, headers, answer.body.clone())
}

async fn ask(client: &Client, prefix: &str, row: &Row) -> Answer {
    let request = http::Request::builder()
        .method(row.method.clone())
        .uri(format!("{prefix}{}", row.uri))
        .header("x-user", "alice")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(row.body))
        .unwrap();
    client.ask(request).await
}

/// Compares the responses for every row, and returns the number of responses of each channel.
async fn compare(
    mount: &Mount,
    mounted: &Mounted,
    reference: &Client,
    client: &Client,
) -> [u64; 2] {
    let mut answers = [0, 0];
    let mut note = |answer: &Answer| {
        if let Some(channel) = answer.channel() {
            answers[channel as usize] += 1;
        }
        answer.channel()
    };
    for row in rows() {
        let what = format!("{}: {} {}{}", mount.name, row.method, mount.prefix, row.uri);
        let expected = comparable(&ask(reference, mount.prefix, &row).await);
        if mount.prefix.is_empty() && row.pattern != "/peer" {
            assert_eq!(expected.0, row.status, "{what}: {}", expected.2);
        }

        for (weight, channel) in [(Weight::ZERO, Channel::Stable), (Weight::FULL, Channel::Canary)]
        {
            mounted.set_weight(weight);
            let answer = ask(client, mount.prefix, &row).await;
            assert_eq!(note(&answer), Some(channel), "{what}");
            assert_eq!(comparable(&answer), expected, "{what} by {channel}");
        }

        // Below full weight, the layer calls the canary by a different code path.
        mounted.set_weight(Weight::from_percent(50));
        let mut seen = [false, false];
        while seen != [true, true] {
            let answer = ask(client, mount.prefix, &row).await;
            let channel = note(&answer).unwrap();
            assert_eq!(comparable(&answer), expected, "{what} by {channel}");
            seen[channel as usize] = true;
        }
    }
    answers
}

#[tokio::test]
async fn extractors_return_the_same_on_both_channels_at_every_mount_point() {
    for mount in MOUNTS {
        let reference_server = (mount.plain)(routes());
        let mounted = (mount.mount)(routes(), routes());
        let references = Client::of_each_version(&reference_server);
        let clients = Client::of_each_version(&mounted.server);
        let mut answers = [0, 0];
        for ((_, reference), (_, client)) in references.iter().zip(&clients) {
            let [stable, canary] = compare(mount, &mounted, reference, client).await;
            answers = [answers[0] + stable, answers[1] + canary];
        }

        let mut success = [0, 0];
        for canary in &mounted.canaries {
            let counts = final_counts(canary).await;
            for channel in Channel::ALL {
                let counts = &counts.evidence[channel];
                // A missing extension is a 500 on both channels.
                assert_eq!(counts.success + counts.failure, counts.picked, "{}", mount.name);
                success[channel as usize] += counts.picked;
            }
        }
        assert_eq!(success, answers, "{}: every response is counted once", mount.name);
    }
}
