//! The hook for failed calls of the canary.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::Request;
use tower::{Layer, ServiceExt};
use tower_canary::{CanaryLayer, control::ControlExt as _};

use crate::support::{HALF, OnCall, OnPoll, Readiness, ScriptedService, counts};

const CALLS: u64 = 200;

#[tokio::test]
async fn the_hook_runs_once_for_each_failed_or_spilled_call_after_it_is_counted() {
    for canary in [
        ScriptedService::new().future(OnPoll::Fail),
        ScriptedService::new().call(OnCall::Panic),
        ScriptedService::new().readiness(Readiness::Pending),
    ] {
        let name = format!("{canary:?}");
        let layer = CanaryLayer::new("hooked", canary);
        let handle = layer.handle();
        handle.set_weight(HALF).unwrap();
        let runs = Arc::new(AtomicU64::new(0));
        handle.on_canary_failure({
            let runs = Arc::clone(&runs);
            move |canary, weight| {
                assert_eq!(weight, HALF);
                let canary = counts(canary).evidence.canary;
                let run = runs.fetch_add(1, Ordering::Relaxed) + 1;
                assert_eq!(canary.failure + canary.spilled, run, "counted before the hook runs");
                panic!("intentional test panic: the caller must not see it");
            }
        });
        let service = layer.layer(ScriptedService::new());
        for _ in 0..CALLS {
            let _ = service.clone().oneshot(Request::new(())).await;
        }
        let canary = counts(&handle).evidence.canary;
        assert_eq!(runs.load(Ordering::Relaxed), canary.picked, "{name}");
    }
}

#[test]
fn a_hook_does_not_keep_the_canary_alive() {
    let alive = Arc::new(());
    let layer = CanaryLayer::new("hooked", ScriptedService::new());
    layer.handle().on_canary_failure({
        let alive = Arc::clone(&alive);
        move |_, _| drop(Arc::clone(&alive))
    });
    drop(layer);
    assert_eq!(Arc::strong_count(&alive), 1);
}
