//! Rules on the requests of real clients.

use axum::{Router, body::Body};
use canary_tests::{
    Client, Server,
    deployment::{Mount, release},
    echo::proto::Ask,
    final_counts,
};
use http::{HeaderName, Method, Request};
use tower_canary::{
    AssignmentReason, CanaryLayer, CanaryOptions, Channel, Weight,
    axum::RouterExt as _,
    select::{Condition, Select, Sticky},
};

use crate::shop::{HALF, USER, assignment_of, channel_of_key, one_key_of_each, version};

fn policy() -> impl Select {
    let beta = HeaderName::from_static("x-beta");
    Condition::path_prefix("/shop/admin")
        .never()
        .or(Condition::header(beta, "yes").always())
        .or(Condition::method(Method::POST).and(Condition::path("/shop/orders")).at_weight())
        .or(Condition::path_prefix("/shop").then(Sticky::by_header(USER)))
        .or(Condition::any().never())
}

/// Rules match the path of the client's request, also in nested routers.
#[tokio::test]
async fn the_first_rule_that_matches_wins_at_every_mount_point() {
    let [_, on_canary] = one_key_of_each("shop:v2");
    let layer = || {
        let options = CanaryOptions::new().canary_release("v2").select(policy());
        let layer = CanaryLayer::with_options("shop", version(), options);
        layer.handle().set_weight(HALF).unwrap();
        layer
    };
    let mounts: [(&str, Router); 3] = [
        ("nest(v1.layer(..))", Router::new().nest("/shop", version().layer(layer()))),
        ("nest(v1.canary(..))", Router::new().nest("/shop", version().canary(layer()))),
        ("nest(v1).layer(..)", {
            let nested = |router| Router::new().nest("/shop", router);
            let options = CanaryOptions::new().canary_release("v2").select(policy());
            let layer = CanaryLayer::with_options("shop", nested(version()), options);
            layer.handle().set_weight(HALF).unwrap();
            nested(version()).layer(layer)
        }),
    ];
    for (mount, app) in mounts {
        let server = Server::of_router(app);
        for (version, client) in Client::of_each_version(&server) {
            for (method, path, beta, expected) in [
                ("GET", "/shop/admin", "yes", Some((Channel::Stable, "rule"))),
                ("GET", "/shop/admin/users?x=/shop/orders", "yes", Some((Channel::Stable, "rule"))),
                ("GET", "/shop/administrator", "yes", Some((Channel::Canary, "rule"))),
                ("POST", "/shop/orders", "yes", Some((Channel::Canary, "rule"))),
                ("POST", "/shop/orders", "no", None),
                ("GET", "/shop/orders", "no", Some((Channel::Canary, "sticky"))),
                ("POST", "/shop/orders/1", "no", Some((Channel::Canary, "sticky"))),
            ] {
                let request = Request::builder().method(method).uri(path).header("x-beta", beta);
                let request = request.header(USER, &on_canary).body(Body::empty()).unwrap();
                let answer = client.ask(request).await;
                match expected {
                    Some(expected) => {
                        assert_eq!(
                            assignment_of(&answer),
                            expected,
                            "{mount}, {version}: {method} {path}"
                        );
                    }
                    None => assert_eq!(assignment_of(&answer).1, "random", "{mount}, {version}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn rules_match_grpc_methods_by_path_and_sticky_keys_by_metadata() {
    let policy = || {
        Condition::path("/canary.tests.Echo/Expand")
            .always()
            .or(Condition::path_prefix("/canary.tests.Echo").then(Sticky::by_header(USER)))
            .or(Condition::any().never())
    };
    for mount in Mount::ALL {
        let deployment = mount.start_with(CanaryOptions::new().select(policy())).await;
        deployment.handle().set_weight(HALF).unwrap();
        let mut client = deployment.client().await;
        for _ in 0..10 {
            let ask = Ask { answers: 1, ..Ask::default() };
            let mut answers = client.expand(ask).await.unwrap().into_inner();
            let answer = answers.message().await.unwrap().unwrap();
            assert_eq!(answer.release, release(Channel::Canary), "{mount:?}");
            assert!(answers.message().await.unwrap().is_none());
        }
        for number in 0..40 {
            let user = format!("user-{number}");
            let mut request = tonic::Request::new(Ask::default());
            request.metadata_mut().insert("x-user-id", user.parse().unwrap());
            let answer = client.unary(request).await.unwrap().into_inner();
            let expected = channel_of_key("echo:", &user, HALF);
            assert_eq!(answer.release, release(expected), "{mount:?}, {user}");
        }
        let counts = final_counts(deployment.handle()).await;
        assert_eq!(counts.excluded.canary.reasons[AssignmentReason::Rule], 10, "{mount:?}");
        assert_eq!(counts.evidence.stable.picked + counts.evidence.canary.picked, 40);
        deployment.handle().set_weight(Weight::ZERO).unwrap();
        let mut answers = client.expand(Ask { answers: 1, ..Ask::default() }).await.unwrap();
        let answer = answers.get_mut().message().await.unwrap().unwrap();
        assert_eq!(
            answer.release,
            release(Channel::Stable),
            "at weight zero all calls go to stable"
        );
    }
}

/// A catch-all handler may treat all of these as the same path.
#[tokio::test]
async fn another_spelling_of_a_path_does_not_evade_a_rule() {
    let shop = crate::shop::Shop::open(Condition::path_prefix("/payments").never());
    shop.handle.set_weight(Weight::from_ppm(999_999)).unwrap();
    for (version, client) in Client::of_each_version(&shop.server) {
        for path in
            ["/payments/7", "/%70ayments/7", "//payments/7", "/x/../payments", "/payments;a=b"]
        {
            let answer = client.get(path).await;
            assert_eq!(assignment_of(&answer), (Channel::Stable, "rule"), "{version} {path}");
        }
        assert_eq!(client.get("/orders").await.channel(), Some(Channel::Canary), "{version}");
    }
}
