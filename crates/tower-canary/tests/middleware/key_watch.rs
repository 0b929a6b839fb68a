//! Watches, which report the sticky keys of calls.

use std::collections::BTreeSet;

use http::Method;
use tower::{Layer, ServiceExt};
use tower_canary::{
    Channel, Weight,
    control::{ControlExt as _, KeyEvent, KeyEventKind, KeySample},
    select::{Sticky, StickyKey},
};

use crate::{
    route_classes::{ClassFixture, Service, USER, of_user, request, service},
    support::{ALMOST_ALL, HALF, Readiness, ScriptedService},
};

fn channel_of_key(fixture: &ClassFixture, key: StickyKey) -> Channel {
    match fixture.handle.weight().admits(key.bucket()) {
        true => Channel::Canary,
        false => Channel::Stable,
    }
}

#[tokio::test]
async fn a_call_that_spills_counts_for_the_canary_in_its_class_and_key() {
    let canary = Service::new(ScriptedService::new().readiness(Readiness::Pending));
    let fixture = ClassFixture::with_canary(canary, Sticky::by_header(USER), ALMOST_ALL);
    let keys = fixture.handle.watch_keys(KeySample::ALL);
    let mut request = of_user("ada", false);
    *request.uri_mut() = "/checkout".parse().unwrap();
    fixture.call(request).await;

    let counts = fixture.total();
    assert_eq!(counts.classes["checkout"].canary.spilled, 1);
    assert_eq!(counts.classes["checkout"].stable.picked, 0);
    let events = keys.take().events;
    let kinds: Vec<_> = events.iter().map(|event| (event.kind, event.channel)).collect();
    let canary = Channel::Canary;
    assert_eq!(kinds, [(KeyEventKind::Picked, canary), (KeyEventKind::Failed, canary)]);
    assert!(events.iter().all(|event| event.class.as_ref().unwrap().as_str() == "checkout"));
}

#[tokio::test]
async fn a_watch_reports_the_keys_of_both_channels_and_their_failures() {
    let fixture = ClassFixture::new(Sticky::by_header(USER), HALF);
    fixture.call(of_user("before", true)).await;
    let keys = fixture.handle.watch_keys(KeySample::ALL);
    fixture.call(request(Method::GET, "/")).await;
    for (user, fails) in [("ada", false), ("bob", true), ("bob", true), ("eve", true)] {
        fixture.call(of_user(user, fails)).await;
    }
    drop(fixture.layer.layer(service()).oneshot(of_user("dora", false)).await);

    let of = |event: &KeyEvent| (event.key, event.channel, event.kind);
    let events: Vec<_> = keys.take().events.iter().map(of).collect();
    let expected: BTreeSet<_> = [
        ("ada", vec![KeyEventKind::Picked]),
        ("bob", vec![KeyEventKind::Picked, KeyEventKind::Failed]),
        ("eve", vec![KeyEventKind::Picked, KeyEventKind::Failed]),
        ("dora", vec![KeyEventKind::Picked, KeyEventKind::Cancelled]),
    ]
    .into_iter()
    .flat_map(|(user, kinds)| {
        let key = StickyKey::new(&fixture.handle.salt(), user);
        let channel = channel_of_key(&fixture, key);
        kinds.into_iter().map(move |kind| (key.hash(), channel, kind))
    })
    .collect();
    assert_eq!(events.len(), expected.len());
    assert_eq!(events.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
async fn a_call_is_reported_to_the_watch_that_was_active_at_its_start() {
    let fixture = ClassFixture::new(Sticky::by_header(USER), HALF);
    let first = fixture.handle.watch_keys(KeySample::ALL);
    let open = fixture.layer.layer(service()).oneshot(of_user("ada", true)).await.unwrap();
    let second = fixture.handle.watch_keys(KeySample::ALL);
    drop(open);
    assert!(second.take().events.is_empty());
    assert_eq!(first.take().events.len(), 2);

    fixture.handle.set_weight(Weight::FULL).unwrap();
    fixture.call(of_user("ada", false)).await;
    assert_eq!(second.take().events.len(), 1, "a watch stays active when the weight changes");
    fixture.handle.unwatch_keys();
    fixture.call(of_user("ada", false)).await;
    assert!(second.take().events.is_empty());
}
