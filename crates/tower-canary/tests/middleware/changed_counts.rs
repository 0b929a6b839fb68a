//! Whether counts have changed since a snapshot.

use http::Request;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service as _};
use tower_canary::{CanaryLayer, Channel, Rating, Weight, control::ControlExt};

use crate::support::{HALF, ScriptedService};

#[test]
fn a_call_a_rating_and_a_weight_change_the_counts_and_reading_them_does_not() {
    let layer = CanaryLayer::new("changes", ScriptedService::new());
    let (handle, service) = (layer.handle(), layer.layer(ScriptedService::new()));
    let mut before = handle.counts();
    let mut has_changed = |what: &str| {
        let has_changed = handle.has_changed_since(&before);
        before = handle.counts();
        assert!(!handle.has_changed_since(&before), "after {what}");
        has_changed
    };
    assert!(!has_changed("nothing"));

    handle.set_weight(HALF).unwrap();
    assert!(has_changed("a weight"));
    for _ in 0..10 {
        drop(assert_ready_ok!(task::spawn(service.clone().call(Request::new(()))).poll()));
        assert!(has_changed("a call"));
    }
    handle.rate(Channel::Canary, HALF, Rating::Bad).unwrap();
    assert!(has_changed("a rating"));
    handle.set_weight(Weight::ZERO).unwrap();
    assert!(has_changed("another weight"));
    handle.rate(Channel::Canary, HALF, Rating::Bad).unwrap();
    assert!(has_changed("a rating of an earlier call"));
    assert!(!has_changed("nothing"));
}

#[test]
fn the_end_of_an_open_call_changes_the_counts() {
    let waiting = tower::service_fn(|_: Request<()>| {
        std::future::pending::<Result<http::Response<String>, std::convert::Infallible>>()
    });
    let layer = CanaryLayer::new("changes", waiting);
    let (handle, mut service) = (layer.handle(), layer.layer(waiting));
    let mut call = task::spawn(service.call(Request::new(())));
    assert_pending!(call.poll());
    let before = handle.counts();
    assert!(!handle.has_changed_since(&before));
    drop(call);
    assert!(handle.has_changed_since(&before));
}

#[test]
fn an_epoch_without_calls_is_left_out_once_it_is_over() {
    let layer = CanaryLayer::new("changes", ScriptedService::new());
    let (handle, mut service) = (layer.handle(), layer.layer(ScriptedService::new()));
    for percent in 1..5 {
        handle.set_weight(Weight::from_percent(percent)).unwrap();
    }
    assert_eq!(handle.counts().epochs.len(), 1);
    drop(assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll()));
    handle.set_weight(Weight::ZERO).unwrap();
    handle.set_weight(HALF).unwrap();
    let weights: Vec<_> = handle.counts().epochs.iter().map(|epoch| epoch.weight).collect();
    assert_eq!(weights, [Weight::from_percent(4), HALF]);
}
