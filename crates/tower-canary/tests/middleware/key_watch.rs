//! Watches, which report the sticky keys of calls.

use http::Method;
use tower::{Layer, Service as _, ServiceExt};
use tower_canary::{
    Channel, Weight,
    control::{ControlExt as _, KeyEvent, KeySample},
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
    let [KeyEvent { channel: Channel::Canary, class: Some(class), activity, .. }] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(class.as_str(), "checkout");
    assert!(activity.picked && activity.failed);
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
    // It leaves before the response, and so before it can know its channel.
    drop(fixture.layer.layer(service()).call(of_user("dora", false)));

    let events = keys.take().events;
    let of_user = |user: &str| {
        let key = fixture.handle.sticky_key(user);
        let event = events.iter().find(|event| event.key == Some(key.hash())).unwrap();
        assert_eq!(event.channel, channel_of_key(&fixture, key));
        assert!(event.activity.picked);
        let latencies = [event.activity.slowest_head, event.activity.slowest_end];
        let timed = latencies.map(|latency| latency.is_some());
        (event.activity.failed, event.activity.cancelled, timed)
    };
    assert_eq!(of_user("ada"), (false, false, [true, true]));
    assert_eq!(of_user("bob"), (true, false, [true, true]));
    assert_eq!(of_user("eve"), (true, false, [true, true]));
    assert_eq!(of_user("dora"), (false, true, [false, false]));
    // The call without a key.
    assert_eq!(events.iter().filter(|event| event.key.is_none()).count(), 1);
    assert_eq!(events.len(), 5);
}

#[tokio::test]
async fn calls_without_a_key_are_reported_one_by_one_and_split_by_the_weight() {
    let fixture = ClassFixture::new(Sticky::by_header(USER), HALF);
    let keys = fixture.handle.watch_keys(KeySample::ALL);
    for _ in 0..200 {
        fixture.call(request(Method::GET, "/")).await;
    }
    let events = keys.take().events;
    assert_eq!(events.len(), 200);
    let on_canary = |event: &&KeyEvent| event.channel == Channel::Canary && event.key.is_none();
    let on_canary = events.iter().filter(on_canary).count();
    assert!((60..140).contains(&on_canary), "{on_canary}");
    assert_eq!(fixture.total().evidence.canary.picked, u64::try_from(on_canary).unwrap());
}

#[tokio::test]
async fn a_call_is_reported_to_the_watch_that_was_active_at_its_start() {
    let fixture = ClassFixture::new(Sticky::by_header(USER), HALF);
    let first = fixture.handle.watch_keys(KeySample::ALL);
    let open = fixture.layer.layer(service()).oneshot(of_user("ada", true)).await.unwrap();
    let second = fixture.handle.watch_keys(KeySample::ALL);
    drop(open);
    assert!(second.take().events.is_empty());
    assert_eq!(first.take().events.len(), 1);

    fixture.handle.set_weight(Weight::FULL).unwrap();
    fixture.call(of_user("ada", false)).await;
    assert_eq!(second.take().events.len(), 1, "a watch stays active when the weight changes");
    fixture.handle.unwatch_keys();
    fixture.call(of_user("ada", false)).await;
    assert!(second.take().events.is_empty());
}
