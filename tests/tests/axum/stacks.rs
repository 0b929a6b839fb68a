//! Stacked canaries, nested canaries, and wrapped routers.

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    http::StatusCode,
    routing::get,
};
use canary_tests::{Client, Server, final_counts};
use tower::util::MapRequest;
use tower_canary::{CanaryHandle, CanaryLayer, CanaryOptions, Channel, Weight, axum::RouterExt};

/// A router that responds with its name and a path parameter.
fn named(name: &'static str) -> Router {
    let handler = async move |Path(id): Path<u64>| format!("{name} {id}");
    Router::new().route("/users/{id}", get(handler))
}

fn layer<C: 'static>(name: &'static str, canary: C) -> (CanaryLayer<C>, CanaryHandle) {
    let layer = CanaryLayer::new(name, canary);
    let handle = layer.handle();
    (layer, handle)
}

#[tokio::test]
async fn an_inner_canary_splits_the_stable_calls_of_the_outer_one() {
    type Stack = fn(CanaryLayer<Router>, CanaryLayer<Router>) -> Router;
    let stacks: [(&str, Stack); 3] = [
        ("layers", |inner, outer| named("stable").layer(inner).layer(outer)),
        ("beside", |inner, outer| named("stable").canary(inner).canary(outer)),
        ("a layer beside", |inner, outer| named("stable").layer(inner).canary(outer)),
    ];
    for (name, stack) in stacks {
        let (inner_layer, inner) = layer("inner", named("inner"));
        let (outer_layer, outer) = layer("outer", named("outer"));
        let server = Server::of_router(stack(inner_layer, outer_layer));
        let client = Client::http2(&server);
        for (inner_weight, outer_weight, who) in [
            (Weight::ZERO, Weight::ZERO, "stable"),
            (Weight::FULL, Weight::ZERO, "inner"),
            (Weight::ZERO, Weight::FULL, "outer"),
            (Weight::FULL, Weight::FULL, "outer"),
        ] {
            inner.set_weight(inner_weight).unwrap();
            outer.set_weight(outer_weight).unwrap();
            let answer = client.get("/users/7").await;
            assert_eq!(answer.body, format!("{who} 7"), "{name}");
        }
        let outer = final_counts(&outer).await.evidence;
        assert_eq!((outer.stable.success, outer.canary.success), (2, 2), "{name}");
        let inner = final_counts(&inner).await.evidence;
        assert_eq!((inner.stable.success, inner.canary.success), (1, 1), "{name}");
    }
}

#[tokio::test]
async fn a_canary_can_have_a_canary() {
    let (third_layer, third) = layer("third", named("third"));
    let (second_layer, second) = layer("second", named("second").layer(third_layer));
    let server = Server::of_router(named("first").layer(second_layer));
    let client = Client::http2(&server);
    for (second_weight, third_weight, who) in [
        (Weight::ZERO, Weight::FULL, "first"),
        (Weight::FULL, Weight::ZERO, "second"),
        (Weight::FULL, Weight::FULL, "third"),
    ] {
        second.set_weight(second_weight).unwrap();
        third.set_weight(third_weight).unwrap();
        assert_eq!(client.get("/users/7").await.body, format!("{who} 7"));
    }
    let second = final_counts(&second).await.evidence;
    assert_eq!((second.stable.success, second.canary.success), (1, 2));
    let third = final_counts(&third).await.evidence;
    assert_eq!((third.stable.success, third.canary.success), (1, 1));
}

#[tokio::test]
async fn a_layer_that_is_applied_twice_has_one_weight_and_one_set_of_counts() {
    let (layer, handle) = layer("shared", named("canary"));
    let app = named("stable")
        .layer(layer.clone())
        .merge(Router::new().nest("/v2", named("stable").layer(layer)));
    let server = Server::of_router(app);
    let client = Client::http1(&server);
    handle.set_weight(Weight::FULL).unwrap();
    assert_eq!(client.get("/users/7").await.body, "canary 7");
    assert_eq!(client.get("/v2/users/7").await.body, "canary 7");
    assert_eq!(final_counts(&handle).await.total(Channel::Canary).success, 2);
}

#[tokio::test]
async fn a_wrapped_router_must_be_declared_in_the_options() {
    let wrapped = || MapRequest::new(named("canary"), |request: Request<Body>| request);
    let declared = CanaryOptions::new().canary_is_router();
    for (options, status, body) in [
        // Documented: the handler gets the parameters of both routers.
        (CanaryOptions::new(), StatusCode::INTERNAL_SERVER_ERROR, "Expected 1 but got 2"),
        (declared, StatusCode::OK, "canary 7"),
    ] {
        let layer = CanaryLayer::with_options("wrapped", wrapped(), options);
        let handle = layer.handle();
        handle.set_weight(Weight::FULL).unwrap();
        let server = Server::of_router(named("stable").layer(layer));
        let answer = Client::http1(&server).get("/users/7").await;
        assert_eq!(answer.status, status);
        assert!(answer.body.contains(body), "{}", answer.body);
        final_counts(&handle).await;
    }
}

#[tokio::test]
async fn a_wrapped_router_needs_no_declaration_before_a_router_has_matched() {
    let wrapped = MapRequest::new(named("canary"), |request: Request<Body>| request);
    let (layer, handle) = layer("wrapped", wrapped);
    handle.set_weight(Weight::FULL).unwrap();
    let server = Server::of_router(named("stable").canary(layer));
    assert_eq!(Client::http1(&server).get("/users/7").await.body, "canary 7");
}
