//! Every mount point of the mirror layer. At each of them, the canary matches its own routes.

use axum::{
    Router, ServiceExt,
    extract::{MatchedPath, Path, Request},
    routing::get,
};
use canary_tests::{Client, Server};
use tower::Layer;
use tower_canary::{Assignment, CanaryLayer, Weight, axum::AxumBody};
use tower_canary_mirror::{MirrorHandle, MirrorLayer, MirrorOptions};

use crate::app::settled;

/// Responds with its path parameters.
fn version() -> Router {
    let two = async |Path((user, item)): Path<(u32, String)>, path: MatchedPath| {
        format!("{user} {item} {}", path.as_str())
    };
    let one = async |Path(user): Path<u32>| user.to_string();
    Router::new()
        .route("/users/{user}", get(one))
        .route("/users/{user}/items/{item}", get(two))
        .nest("/t/{tenant}", Router::new().route("/items/{item}", get(two)))
}

fn layer() -> (MirrorLayer<Router>, MirrorHandle) {
    let options = MirrorOptions::new().share(Weight::FULL);
    let layer = MirrorLayer::with_options("shop", version(), options);
    let mirror = layer.handle();
    (layer, mirror)
}

async fn all_match(mount: &str, server: &Server, mirror: &MirrorHandle) {
    let client = Client::http1(server);
    for path in ["/users/7", "/users/7/items/tea", "/t/8/items/tea", "/users/seven"] {
        let response = client.get(path).await;
        assert_eq!(response.status.is_success(), !path.ends_with("seven"), "{mount}: {response:?}");
    }
    let counts = settled(mirror).await;
    let differences = mirror.differences();
    assert_eq!((counts.mirrored, counts.matched), (4, 4), "{mount}: {counts:?} {differences:?}");
}

#[tokio::test]
async fn routes_match_in_a_layer_of_the_router() {
    let (layer, mirror) = layer();
    let server = Server::of_router(version().layer(layer));
    all_match("Router::layer", &server, &mirror).await;
}

#[tokio::test]
async fn routes_match_in_a_layer_around_the_router() {
    let (layer, mirror) = layer();
    let app = layer.layer(version().with_state::<()>(()));
    let server = Server::of_maker(ServiceExt::<Request>::into_make_service(app));
    all_match("around", &server, &mirror).await;
}

#[tokio::test]
async fn routes_match_in_the_fallback_of_a_router() {
    let (layer, mirror) = layer();
    let app = Router::new().fallback_service(layer.layer(version().with_state::<()>(())));
    all_match("fallback", &Server::of_router(app), &mirror).await;
}

#[tokio::test]
async fn a_mirror_inside_a_canary_layer_mirrors_the_calls_of_stable() {
    let (layer, mirror) = layer();
    let canary = CanaryLayer::new("shop", version());
    let handle = canary.handle();
    let server = Server::of_router(version().layer(layer).layer(canary));
    handle.set_weight(Weight::FULL).unwrap();
    Client::http1(&server).get("/users/7").await;
    handle.roll_back();
    all_match("inside", &server, &mirror).await;
}

#[tokio::test]
async fn a_mirror_around_a_canary_layer_mirrors_the_calls_of_both_channels() {
    let (layer, mirror) = layer();
    let canary = CanaryLayer::new("shop", version());
    canary.handle().set_weight(Weight::FULL).unwrap();
    let whole = AxumBody::new(canary.layer(version().with_state::<()>(())));
    let server = Server::of_maker(ServiceExt::<Request>::into_make_service(layer.layer(whole)));
    all_match("around a canary", &server, &mirror).await;
}

#[tokio::test]
async fn a_mirrored_request_has_the_assignment_of_the_canary() {
    let channel = async |assignment: Option<Assignment>| {
        assignment.map_or("none", |assignment| assignment.channel().as_str())
    };
    let options = MirrorOptions::new().share(Weight::FULL);
    let version = || Router::new().route("/", get(channel));
    let layer = MirrorLayer::with_options("shop", version(), options);
    let mirror = layer.handle();
    let app = version().layer(layer).layer(CanaryLayer::new("shop", version()));
    let server = Server::of_router(app);
    assert_eq!(Client::http1(&server).get("/").await.body, "stable");
    assert_eq!(settled(&mirror).await.mismatched, 1);
    assert!(mirror.differences()[0].canary.ends_with("canary"), "{:?}", mirror.differences());
}
