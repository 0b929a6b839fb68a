//! Comparisons and the differences they find.

use axum::{
    Extension, Json, Router,
    body::Body,
    http::{HeaderMap, StatusCode, header, request::Parts},
    routing::get as get_route,
};
use serde_json::json;
use tower_canary_mirror::{
    ByField, CapturedResponse, Comparison, FieldDifference, MirrorOptions, Mirrored,
};

use crate::app::App;

fn fields(app: &App) -> Vec<(String, String, String)> {
    let differences = app.mirror.differences();
    let mut fields: Vec<_> =
        differences.into_iter().map(|d| (d.field, d.stable, d.canary)).collect();
    fields.sort();
    fields
}

fn found(field: &str, stable: &str, canary: &str) -> (String, String, String) {
    (field.to_owned(), stable.to_owned(), canary.to_owned())
}

fn product(price: u32) -> Router {
    let product = move || async move {
        Json(json!({"id": 7, "price": price, "at": price, "tags": [{"n": 1, "etag": price}]}))
    };
    Router::new().route("/products/{id}", get_route(product))
}

#[tokio::test]
async fn the_canary_gets_the_marked_request_and_the_caller_gets_stables_response() {
    let stable = async |headers: HeaderMap, mirrored: Option<Extension<Mirrored>>| {
        assert!(mirrored.is_none());
        assert!(!headers.contains_key(Mirrored::HEADER));
        "same"
    };
    let canary = async |headers: HeaderMap, Extension(mirrored): Extension<Mirrored>| {
        assert_eq!(headers[Mirrored::HEADER], "1");
        assert_eq!(headers["x-user"], "ann");
        assert_eq!(mirrored.channel(), tower_canary::Channel::Canary);
        "same"
    };
    let route = |handler| Router::new().route("/", handler);
    let app = App::start(route(get_route(stable)), route(get_route(canary)));
    let request = axum::extract::Request::get("/?q=1").header("x-user", "ann");
    let response = app.client.ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.body, "same");
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.matched), (1, 1), "{counts:?}");
    assert_eq!(app.mirror.differences(), []);
    assert_eq!((counts.head.stable.total(), counts.head.canary.total()), (1, 1));
}

#[tokio::test]
async fn a_mismatch_is_counted_and_listed_and_the_caller_gets_stables_response() {
    let app = App::start(product(100), product(99));
    let response = app.client.get("/products/7?token=secret").await;
    assert!(response.body.contains(r#""price":100"#), "{}", response.body);
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.mismatched), (1, 1), "{counts:?}");
    assert_eq!(
        fields(&app),
        [
            found("body/at", "100", "99"),
            found("body/price", "100", "99"),
            found("body/tags/0/etag", "100", "99"),
        ]
    );
    let difference = &app.mirror.differences()[0];
    assert_eq!((difference.method.as_str(), difference.path.as_str()), ("GET", "/products/7"));
}

#[tokio::test]
async fn ignored_fields_are_not_compared() {
    let compare = ByField::new().ignore("/at").ignore("/tags/*/etag").ignore("/price");
    let options = MirrorOptions::new().compare(compare);
    let app = App::start_with(product(100), product(99), options);
    app.client.get("/products/7").await;
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.matched), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn the_status_and_selected_headers_are_compared() {
    let version = |status: StatusCode, location: &'static str| {
        let response =
            async move || (status, [(header::LOCATION, location), (header::AGE, location)]);
        Router::new().route("/", get_route(response))
    };
    let options = MirrorOptions::new().compare(ByField::new().header(header::LOCATION));
    let (stable, canary) = (version(StatusCode::FOUND, "/a"), version(StatusCode::SEE_OTHER, "/b"));
    let app = App::start_with(stable, canary, options);
    app.client.get("/").await;
    app.settled().await;
    let expected = [found("header:location", "/a", "/b"), found("status", "302", "303")];
    assert_eq!(fields(&app), expected);
}

#[tokio::test]
async fn differences_are_redacted_before_they_are_kept() {
    let options = MirrorOptions::new().redact(|difference| match difference.field.as_str() {
        "body/price" => difference.stable = "(redacted)".to_owned(),
        "body/at" => panic!("intentional test panic"),
        _ => {}
    });
    let app = App::start_with(product(100), product(99), options);
    app.client.get("/products/7").await;
    let counts = app.settled().await;
    assert_eq!(counts.mismatched, 1, "{counts:?}");
    let expected =
        [found("body/price", "(redacted)", "99"), found("body/tags/0/etag", "100", "99")];
    assert_eq!(fields(&app), expected);
}

#[tokio::test]
async fn a_closure_can_compare() {
    let by_length = |_: &Parts, stable: &CapturedResponse, canary: &CapturedResponse| {
        let length = |response: &CapturedResponse| response.body().unwrap().len();
        let differs = length(stable) != length(canary);
        let difference = differs.then(|| FieldDifference::new("length", "", ""));
        Comparison::Compared(difference.into_iter().collect())
    };
    for (price, matched) in [(111, 1), (1111, 0)] {
        let options = MirrorOptions::new().compare(by_length);
        let app = App::start_with(product(100), product(price), options);
        app.client.get("/products/7").await;
        assert_eq!(app.settled().await.matched, matched);
    }
}

#[tokio::test]
async fn the_number_and_size_of_kept_differences_are_bounded() {
    let version = |price| {
        let product = async move |axum::extract::Path(id): axum::extract::Path<String>| {
            Json(json!({format!("{id}-{}", "x".repeat(1000)): "v".repeat(10_000), "price": price}))
        };
        Router::new().route("/{id}", get_route(product))
    };
    let options = MirrorOptions::new().queue_limit(10_000);
    let app = App::start_with(version(1), version(2), options);
    for call in 0..400 {
        app.client.get(&format!("/{call}-{}", "p".repeat(500))).await;
    }
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.mismatched), (400, 400), "{counts:?}");
    let differences = app.mirror.differences();
    assert_eq!(differences.len(), 3);
    assert!(differences.iter().all(|difference| difference.path.len() < 210));
    let counts = app.mirror.fields();
    assert_eq!((counts[0].field.as_str(), counts[0].differed), ("body/price", 400));
}

#[tokio::test]
async fn a_response_above_the_limit_is_not_compared_and_the_caller_gets_all_of_it() {
    let version = |size: usize| Router::new().route("/", get_route(async move || "x".repeat(size)));
    for (stable, canary) in [(2000, 2000), (2000, 10), (10, 2000)] {
        let options = MirrorOptions::new().response_limit(1000);
        let app = App::start_with(version(stable), version(canary), options);
        assert_eq!(app.client.get("/").await.body.len(), stable);
        let counts = app.settled().await;
        assert_eq!((counts.mirrored, counts.not_compared), (1, 1), "{counts:?}");
    }
}
