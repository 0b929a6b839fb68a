//! Tags and bypassed paths.

use axum::{
    Router,
    body::Body,
    http::{HeaderName, Request, header},
    response::Response,
    routing::get,
};
use canary_tests::{Answer, Client, Server, final_counts};
use tower::util::MapResponseLayer;
use tower_canary::{
    Assignment, Bypass, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Tags, Weight,
    select::{Condition, Forced, Secret},
};

async fn show(assignment: Assignment) -> String {
    let release = assignment.release().map_or("none", |release| release.as_str());
    format!("{} {} {release} {}", assignment.canary(), assignment.channel(), assignment.weight())
}

async fn show_if_assigned(assignment: Option<Assignment>) -> String {
    assignment.map_or("unassigned".to_owned(), |assignment| assignment.channel().to_string())
}

fn routes() -> Router {
    Router::new()
        .route("/", get(show))
        .route("/optional", get(show_if_assigned))
        .route("/cached", get(async || ([(header::CACHE_CONTROL, "public, max-age=60")], "page")))
}

fn serve(options: CanaryOptions) -> (Server, CanaryHandle) {
    let layer = CanaryLayer::with_options("shop", routes(), options);
    let handle = layer.handle();
    let stable = BYPASSED
        .iter()
        .fold(routes(), |router, path| router.route(path, get(show_if_assigned)))
        .route("/internal/ping", get(show_if_assigned))
        .route("/debug/heap", get(show_if_assigned));
    (Server::of_router(stable.layer(layer)), handle)
}

const FORCE: HeaderName = HeaderName::from_static("x-canary-force");
const BYPASSED: &[&str] = &["/healthz", "/livez", "/readyz", "/health", "/metrics"];

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).map(|value| value.to_str().unwrap())
}

fn released() -> CanaryOptions {
    CanaryOptions::new().stable_release("v1.9.2").canary_release("3f7a1c0")
}

#[tokio::test]
async fn handlers_extract_the_assignment_of_their_call() {
    let (server, handle) = serve(released());
    let client = Client::http1(&server);
    assert_eq!(client.get("/").await.body, "shop stable v1.9.2 0%");
    assert_eq!(client.get("/optional").await.body, "stable");
    handle.set_weight(Weight::FULL).unwrap();
    assert_eq!(client.get("/").await.body, "shop canary 3f7a1c0 100%");
    assert_eq!(client.get("/optional").await.body, "canary");
}

#[tokio::test]
async fn without_a_canary_there_is_no_assignment() {
    let server = Server::of_router(routes());
    let client = Client::http1(&server);
    assert_eq!(client.get("/optional").await.body, "unassigned");
    let answer = client.get("/").await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("the call has no assignment"), "{}", answer.body);
}

#[tokio::test]
async fn the_release_header_names_the_release_of_the_channel() {
    let (server, handle) = serve(released().tags(Tags::default().release_header()));
    for (_, client) in Client::of_each_version(&server) {
        handle.set_weight(Weight::ZERO).unwrap();
        let stable = client.get("/").await;
        handle.set_weight(Weight::FULL).unwrap();
        let canary = client.get("/").await;
        assert_eq!(header(&stable, "x-canary-release"), Some("v1.9.2"));
        assert_eq!(header(&canary, "x-canary-release"), Some("3f7a1c0"));
        assert_eq!(header(&canary, "x-canary-channel"), Some("canary"));
    }
}

#[tokio::test]
async fn a_promotion_does_not_change_the_release_of_the_canary() {
    let (server, handle) = serve(released().tags(Tags::default().release_header()));
    handle.promote().unwrap();
    let answer = Client::http1(&server).get("/").await;
    assert_eq!(header(&answer, "x-canary-release"), Some("3f7a1c0"));
}

#[tokio::test]
async fn by_default_only_the_channel_is_tagged() {
    let (server, handle) = serve(released());
    let client = Client::http1(&server);
    assert_eq!(client.get("/").await.channel(), Some(Channel::Stable));
    handle.set_weight(Weight::FULL).unwrap();
    let answer = client.get("/cached").await;
    assert_eq!(answer.channel(), Some(Channel::Canary));
    assert_eq!(header(&answer, "x-canary-release"), None);
    assert_eq!(header(&answer, "cache-control"), Some("public, max-age=60"));
}

#[tokio::test]
async fn the_channel_header_can_be_renamed_or_omitted() {
    let renamed = Tags::none().channel_header(HeaderName::from_static("x-served-by"));
    let (server, _handle) = serve(released().tags(renamed));
    let answer = Client::http1(&server).get("/optional").await;
    assert_eq!(header(&answer, "x-served-by"), Some("stable"));
    assert_eq!(answer.channel(), None);
    assert_eq!(answer.body, "unassigned");

    let (server, handle) = serve(released().tags(Tags::none()));
    let answer = Client::http1(&server).get("/optional").await;
    assert_eq!((answer.channel(), &*answer.body), (None, "unassigned"));
    assert_eq!(final_counts(&handle).await.total(Channel::Stable).success, 1);
}

#[tokio::test]
async fn responses_of_the_canary_below_full_weight_stay_out_of_shared_caches() {
    let almost_full = Weight::from_ppm(999_999);
    for (weight, options, expected) in [
        (Weight::ZERO, released(), Some("public, max-age=60")),
        (almost_full, released(), Some("private, max-age=60")),
        (almost_full, released().tags(Tags::none()), Some("private, max-age=60")),
        (almost_full, released().cacheable_canary(), Some("public, max-age=60")),
        (Weight::FULL, released(), Some("public, max-age=60")),
    ] {
        let (server, handle) = serve(options);
        handle.set_weight(weight).unwrap();
        for (version, client) in Client::of_each_version(&server) {
            let answer = client.get("/cached").await;
            assert_eq!(header(&answer, "cache-control"), expected, "{version} at {weight}");
        }
    }
    let (server, handle) = serve(released());
    handle.set_weight(almost_full).unwrap();
    let answer = Client::http1(&server).get("/").await;
    assert_eq!(header(&answer, "cache-control"), Some("private"));
}

/// The policy removes the header of a tester, and the condition still sees it.
#[tokio::test]
async fn the_headers_are_shown_only_to_callers_that_meet_the_condition() {
    let secret = "0b2f7c65a41d4f1e9c3d";
    let testers = Forced::by_header(FORCE, Secret::try_new(secret).unwrap());
    let tags = Tags::default().release_header().show_to(Condition::has_header(FORCE));
    let (server, handle) = serve(released().tags(tags).select(testers));
    handle.set_weight(Weight::from_ppm(999_999)).unwrap();
    for (version, client) in Client::of_each_version(&server) {
        for (value, channel) in [
            (None, None),
            (Some("stable"), Some(Channel::Stable)),
            (Some("canary"), Some(Channel::Canary)),
        ] {
            let mut request = Request::get("/optional");
            if let Some(value) = value {
                request = request.header(FORCE, format!("{value}:{secret}"));
            }
            let answer = client.ask(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.channel(), channel, "{version}");
            assert_eq!(answer.headers.contains_key(Tags::RELEASE_HEADER), channel.is_some());
            assert_eq!(answer.body, channel.unwrap_or(Channel::Canary).to_string());
        }
    }
}

#[tokio::test]
async fn a_caller_who_does_not_see_the_headers_cannot_tell_the_channels_apart() {
    let tags = || Tags::default().show_to(Condition::any().not());
    let mut seen = Vec::new();
    for ppm in [1, 999_999] {
        let (server, handle) = serve(released().tags(tags()));
        handle.set_weight(Weight::from_ppm(ppm)).unwrap();
        let mut answer = Client::http1(&server).get("/cached").await;
        answer.headers.remove(header::DATE);
        seen.push((answer.status, answer.headers, answer.body));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn outer_layers_find_the_assignment_in_the_response_if_requested() {
    let options = released().tags(Tags::default().response_extension());
    let layer = CanaryLayer::with_options("shop", routes(), options);
    layer.handle().set_weight(Weight::FULL).unwrap();
    let add_channel = MapResponseLayer::new(|mut response: Response| {
        let assignment = response.extensions().get::<Assignment>().unwrap();
        let channel = assignment.channel().as_str().parse().unwrap();
        response.headers_mut().insert("x-assigned", channel);
        response
    });
    let server = Server::of_router(routes().layer(layer).layer(add_channel));
    let answer = Client::http1(&server).get("/").await;
    assert_eq!(header(&answer, "x-assigned"), Some("canary"));
}

#[tokio::test]
async fn bypassed_paths_go_to_stable_untagged_and_uncounted() {
    let bypass = Bypass::default()
        .or(Condition::path("/internal/ping"))
        .or(Condition::path_prefix("/debug"));
    let (server, handle) = serve(released().bypass(bypass));
    handle.promote().unwrap();
    for (_, client) in Client::of_each_version(&server) {
        for path in BYPASSED.iter().chain(&["/internal/ping", "/debug/heap"]) {
            let answer = client.get(path).await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!((answer.channel(), &*answer.body), (None, "unassigned"), "{path}");
        }
        // A similar path that is not bypassed.
        assert_eq!(client.get("/healthz/deep").await.channel(), Some(Channel::Canary));
    }
    let counts = final_counts(&handle).await;
    assert_eq!(counts.total(Channel::Stable).picked, 0);
    assert_eq!(counts.total(Channel::Canary).picked, 2);
}

#[tokio::test]
async fn bypass_none_bypasses_no_path() {
    let (server, handle) = serve(released().bypass(Bypass::none()));
    handle.set_weight(Weight::FULL).unwrap();
    let answer = Client::http1(&server).get("/healthz").await;
    assert_eq!(answer.channel(), Some(Channel::Canary));
    assert_eq!(answer.status, 404, "the canary has no such path");
}
