//! Whether counts have changed since a snapshot.

use std::{convert::Infallible, future::pending};

use http::{Request, Response};
use proptest::{collection, prelude::*, sample::select};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service as _};
use tower_canary::{
    CanaryLayer, CanaryOptions, Channel, Rating, Weight, control::ControlExt, select::Condition,
};

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
    let waiting =
        tower::service_fn(|_: Request<()>| pending::<Result<Response<String>, Infallible>>());
    let layer = CanaryLayer::new("changes", waiting);
    let (handle, mut service) = (layer.handle(), layer.layer(waiting));
    let mut call = task::spawn(service.call(Request::new(())));
    assert_pending!(call.poll());
    let before = handle.counts();
    assert!(!handle.has_changed_since(&before));
    drop(call);
    assert!(handle.has_changed_since(&before));
}

#[derive(Clone, Debug)]
enum Change {
    Nothing,
    Weight(u32),
    /// A call that stays open. At one of the paths, it is no evidence.
    Begin {
        path: &'static str,
    },
    /// The end of the latest open call.
    End,
    Rating,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        Just(Change::Nothing),
        (0_u32..3).prop_map(Change::Weight),
        select(vec!["/", "/excluded"]).prop_map(|path| Change::Begin { path }),
        Just(Change::End),
        Just(Change::Rating),
    ];
    collection::vec(change, 1..40)
}

proptest! {
    #[test]
    fn the_counts_have_changed_if_a_snapshot_differs(changes in changes()) {
        let waiting = tower::service_fn(|_: Request<()>| pending::<Result<Response<String>, Infallible>>());
        let options = CanaryOptions::new().select(Condition::path("/excluded").always());
        let layer = CanaryLayer::with_options("changes", waiting, options);
        let (handle, mut service) = (layer.handle(), layer.layer(waiting));
        let (mut before, mut open) = (handle.counts(), Vec::new());
        for change in changes {
            match change {
                Change::Nothing => {}
                Change::Weight(percent) => drop(handle.set_weight(Weight::from_percent(percent))),
                Change::Begin { path } => {
                    let request = Request::get(path).body(()).unwrap();
                    let mut call = task::spawn(service.call(request));
                    assert_pending!(call.poll());
                    open.push(call);
                }
                Change::End => drop(open.pop()),
                Change::Rating => drop(handle.rate(Channel::Stable, Weight::ZERO, Rating::Bad)),
            }
            let differs = handle.counts() != before;
            prop_assert_eq!(handle.has_changed_since(&before), differs, "after {:?}", change);
            before = handle.counts();
        }
    }
}
