use axum::body::Body;
use canary_tests::control_plane::ControlPlane;
use http::{HeaderMap, Request};

/// A website can send such requests, also over HTTP/1, without asking the server first.
#[tokio::test]
async fn a_website_cannot_call_the_grpc_service() {
    let plane = ControlPlane::start().await;
    // A frame with the request to start canary `shop`.
    let frame = b"\0\0\0\0\x08\x0a\x04shop\x10\x01";
    let grpc = ("content-type", "application/grpc");
    for (headers, problem) in [
        (vec![("content-type", "text/plain")], "/problems/media-type"),
        (vec![], "/problems/media-type"),
        (vec![("content-type", "application/grpc-web")], "/problems/media-type"),
        (vec![grpc, ("origin", "http://evil.example")], "/problems/foreign-origin"),
        (vec![grpc, ("sec-fetch-site", "cross-site")], "/problems/foreign-origin"),
        (vec![grpc, ("host", "evil.example")], "/problems/foreign-host"),
    ] {
        let answered = call(&plane, &headers, frame).await;
        assert_eq!(answered["canary-problem"], problem, "{headers:?}");
        assert!(plane.events().is_empty(), "{headers:?}");
    }
    call(&plane, &[grpc], frame).await;
    assert_eq!(plane.events(), ["started"]);
}

async fn call(plane: &ControlPlane, headers: &[(&str, &str)], frame: &'static [u8]) -> HeaderMap {
    let mut request = Request::post("/canary.v1.Control/Command");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = plane.client().send(request.body(Body::from(frame)).unwrap()).await.unwrap();
    response.headers().clone()
}
