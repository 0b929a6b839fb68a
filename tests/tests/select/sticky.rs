//! Callers keep their channel across weight changes, restarts and replicas.

use std::collections::BTreeSet;

use canary_tests::Client;
use tower_canary::{Channel, Weight, select::Sticky};

use crate::shop::{
    HALF, Shop, USER, Visitor, assignment_of, channel_of_key, get_as, signed_cookie,
};

const USERS: u32 = 200;

fn users() -> impl Iterator<Item = String> {
    (0..USERS).map(|number| format!("user-{number}"))
}

/// Returns the users on the canary.
async fn canary_users(client: &Client) -> BTreeSet<String> {
    let mut on_canary = BTreeSet::new();
    for user in users() {
        let answer = get_as(client, &user).await;
        let (channel, reason) = assignment_of(&answer);
        assert_eq!(reason, "sticky");
        if channel == Channel::Canary {
            on_canary.insert(user);
        }
    }
    on_canary
}

#[tokio::test]
async fn raising_the_weight_only_adds_users_and_lowering_it_only_removes_some() {
    let shop = Shop::open(Sticky::by_header(USER));
    let client = Client::http1(&shop.server);
    let mut before = BTreeSet::new();
    let steps = [0, 10, 25, 50, 75, 100];
    for percent in steps {
        let weight = Weight::from_percent(percent);
        shop.handle.set_weight(weight).unwrap();
        let now = canary_users(&client).await;
        assert!(before.is_subset(&now), "at {weight}");
        let by_formula = users()
            .filter(|user| channel_of_key("shop:v2", user, weight) == Channel::Canary)
            .collect();
        assert_eq!(now, by_formula, "at {weight}");
        before = now;
    }
    assert_eq!(before.len(), USERS as usize);
    for percent in steps.into_iter().rev() {
        shop.handle.set_weight(Weight::from_percent(percent)).unwrap();
        let now = canary_users(&client).await;
        assert!(now.is_subset(&before), "at {percent}%");
        before = now;
    }
    assert_eq!(before, BTreeSet::new());
}

#[tokio::test]
async fn replicas_and_restarts_keep_the_assignments_and_a_new_release_changes_them() {
    let open = |release| {
        let shop = Shop::open_release(release, Sticky::by_header(USER));
        shop.handle.set_weight(HALF).unwrap();
        shop
    };
    let (one, other) = (open("v2"), open("v2"));
    let on_canary = canary_users(&Client::http1(&one.server)).await;
    assert_eq!(canary_users(&Client::http2(&other.server)).await, on_canary);

    one.server.shut_down().await.unwrap();
    let restarted = open("v2");
    assert_eq!(canary_users(&Client::http1(&restarted.server)).await, on_canary);

    let next = canary_users(&Client::http1(&open("v3").server)).await;
    // A quarter, with five standard deviations of six users.
    let on_both = next.intersection(&on_canary).count();
    assert!((20..=80).contains(&on_both), "{on_both} of {USERS}");
}

#[tokio::test]
async fn an_issued_cookie_keeps_the_channel_on_all_replicas_and_after_restarts() {
    for policy in [
        || Sticky::by_issued(signed_cookie()),
        || Sticky::by_cookie("other").or_issue(signed_cookie()),
    ] {
        let open = || {
            let shop = Shop::open(policy());
            shop.handle.set_weight(HALF).unwrap();
            shop
        };
        let (one, other) = (open(), open());
        let mut visitors = Vec::new();
        for (_, client) in Client::of_each_version(&one.server) {
            for _ in 0..20 {
                let mut visitor = Visitor::new(client.clone());
                let channel = assignment_of(&visitor.get("/").await).0;
                visitors.push((visitor, channel));
            }
        }
        for channel in Channel::ALL {
            assert!(
                visitors.iter().any(|(_, is_on)| *is_on == channel),
                "no visitor is on {channel}"
            );
        }
        for shop in [&one, &other, &open()] {
            for (visitor, channel) in &mut visitors {
                visitor.move_to(Client::http2(&shop.server));
                let cookie = visitor.cookie("canary_id").unwrap().to_owned();
                let answer = visitor.get("/any/page").await;
                assert_eq!(assignment_of(&answer), (*channel, "sticky"));
                assert!(!answer.headers.contains_key("set-cookie"), "the cookie is issued once");
                assert_eq!(visitor.cookie("canary_id"), Some(&*cookie));
            }
        }
    }
}
