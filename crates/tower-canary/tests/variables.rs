//! Variables of a stage, those that the canary overrides, and what changes do to calls.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use http::{Request, Response};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, Channel, SplitMode, Variables, Weight,
};

type Service = BoxCloneSyncService<Request<()>, Response<String>, Infallible>;

/// Answers with the variables that the handler sees.
fn service() -> Service {
    Service::new(service_fn(|request: Request<()>| async move {
        let assignment = request.extensions().get::<Assignment>().unwrap();
        Ok(Response::new(serde_json::to_string(assignment.variables()).unwrap()))
    }))
}

fn stage() -> Variables {
    Variables::new().with("backend", "one").with("limit", 20)
}

fn overrides() -> Variables {
    Variables::new().with("backend", "two")
}

fn layer(options: CanaryOptions) -> (CanaryLayer<Service>, CanaryHandle) {
    let layer = CanaryLayer::with_options("shop", service(), options);
    let handle = layer.handle();
    (layer, handle)
}

/// What a call that is assigned now sees.
async fn seen(layer: &CanaryLayer<Service>) -> String {
    let body = layer.layer(service()).oneshot(Request::new(())).await.unwrap().into_body();
    String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap()
}

const OF_STABLE: &str = r#"{"backend":"one","limit":20}"#;
const OF_CANARY: &str = r#"{"backend":"two","limit":20}"#;

#[tokio::test]
async fn the_canary_sees_its_overrides_and_stable_does_not() {
    let (layer, handle) = layer(CanaryOptions::new().variables(stage(), overrides()));
    assert_eq!(seen(&layer).await, OF_STABLE);
    handle.set_weight(Weight::FULL).unwrap();
    assert_eq!(seen(&layer).await, OF_CANARY);
}

#[tokio::test]
async fn a_change_is_seen_by_the_next_call() {
    let (layer, handle) = layer(CanaryOptions::new().variables(stage(), overrides()));
    handle
        .change_variables(|stage, overrides| {
            stage.set("limit", 30);
            overrides.remove("backend");
            overrides.set("flag", true);
        })
        .unwrap();
    assert_eq!(seen(&layer).await, r#"{"backend":"one","limit":30}"#);
    handle.set_weight(Weight::FULL).unwrap();
    assert_eq!(seen(&layer).await, r#"{"backend":"one","flag":true,"limit":30}"#);
    assert_eq!(handle.overrides(), Variables::new().with("flag", true));
}

#[tokio::test]
async fn a_promotion_makes_the_canarys_values_the_stages() {
    let (layer, handle) = layer(CanaryOptions::new().variables(stage(), overrides()));
    for _ in 0..2 {
        handle.promote().unwrap();
        assert_eq!(handle.stage_variables(), stage().with("backend", "two"));
        assert!(handle.overrides().is_empty());
        assert_eq!(seen(&layer).await, OF_CANARY);
        assert_eq!(serde_json::to_string(&handle.variables(Channel::Stable)).unwrap(), OF_CANARY);
    }
}

#[tokio::test]
async fn taking_a_promotion_back_restores_the_variables() {
    let take_back: [fn(&CanaryHandle); 3] = [
        CanaryHandle::roll_back,
        |handle| handle.halt("wrong totals"),
        |handle| handle.set_weight(Weight::from_ppm(1)).unwrap(),
    ];
    for take_back in take_back {
        let (layer, handle) = layer(CanaryOptions::new().variables(stage(), overrides()));
        handle.promote().unwrap();
        handle.change_variables(|stage, _| stage.set("limit", 99)).unwrap();
        take_back(&handle);
        assert_ne!(handle.mode(), SplitMode::Promoted);
        assert_eq!((handle.stage_variables(), handle.overrides()), (stage(), overrides()));
        assert_eq!(serde_json::to_string(&handle.variables(Channel::Canary)).unwrap(), OF_CANARY);
        handle.lift_halt();
        handle.set_weight(Weight::ZERO).unwrap();
        assert_eq!(seen(&layer).await, OF_STABLE);
    }
}

/// A writer keeps two variables of both channels equal; no call may see them differ, nor change.
#[test]
fn no_call_sees_half_of_a_change() {
    let two = |n: u64| Variables::new().with("a", n).with("b", n);
    let service = Service::new(service_fn(|request: Request<()>| async move {
        let variables = request.extensions().get::<Assignment>().unwrap().variables();
        let read = |name| variables.read::<u64>(name).unwrap();
        let a = read("a");
        thread::yield_now();
        assert_eq!((a, a), (read("b"), read("a")));
        Ok(Response::new(String::new()))
    }));
    let options = CanaryOptions::new().variables(two(0), Variables::new());
    let layer = CanaryLayer::with_options("shop", service.clone(), options);
    let handle = layer.handle();
    handle.set_weight(Weight::from_percent(50)).unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let service = layer.layer(service.clone());
                    while !is_over.load(Ordering::Relaxed) {
                        tokio_test::block_on(service.clone().oneshot(Request::new(()))).unwrap();
                    }
                })
            })
            .collect();
        for n in 0..5_000 {
            handle
                .change_variables(|stage, overrides| {
                    *stage = two(n);
                    *overrides = two(2 * n);
                })
                .unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().unwrap();
        }
    });
    let counts = handle.counts().total();
    for channel in Channel::ALL {
        assert_eq!(counts.evidence[channel].panicked + counts.evidence[channel].failure, 0);
    }
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Settings {
    backend: String,
    limit: u32,
}

#[test]
fn handlers_get_their_own_type() {
    let options =
        CanaryOptions::new().variables(stage(), overrides()).typed_variables::<Settings>();
    let (_, handle) = layer(options);
    let settings = |channel| {
        let variables = handle.variables(channel);
        let read: Settings = variables.read_all().unwrap();
        assert_eq!(variables.typed::<Settings>(), Some(&read));
        assert!(variables.typed::<String>().is_none());
        read.backend
    };
    assert_eq!([settings(Channel::Stable), settings(Channel::Canary)], ["one", "two"]);
    handle.promote().unwrap();
    assert_eq!([settings(Channel::Stable), settings(Channel::Canary)], ["two", "two"]);
}

#[test]
fn a_change_to_what_is_not_of_the_type_is_refused_and_changes_nothing() {
    let options =
        CanaryOptions::new().variables(stage(), overrides()).typed_variables::<Settings>();
    let (_, handle) = layer(options);
    let epoch = handle.counts().current().unwrap().epoch;
    type Change = fn(&mut Variables, &mut Variables);
    let changes: [(Change, &str); 3] = [
        (
            |_, overrides| overrides.set("limit", -1),
            "invalid variables for canary: limit: invalid value: integer `-1`, expected u32",
        ),
        (
            |stage, overrides| {
                stage.remove("limit");
                overrides.set("limit", 5);
            },
            "invalid variables for stable: missing field `limit`",
        ),
        (
            |stage, _| stage.set("backend", 7),
            "invalid variables for stable: backend: invalid type: integer `7`, expected a string",
        ),
    ];
    for (change, message) in changes {
        assert_eq!(handle.change_variables(change).unwrap_err().to_string(), message);
        assert_eq!((handle.stage_variables(), handle.overrides()), (stage(), overrides()));
        assert_eq!(handle.counts().current().unwrap().epoch, epoch);
    }
}

#[test]
#[should_panic(expected = "invalid variables for stable: missing field `backend`")]
fn a_layer_with_variables_that_are_not_of_the_type_is_not_made() {
    let _ = layer(CanaryOptions::new().typed_variables::<Settings>());
}

#[test]
fn single_variables_are_read_with_errors_that_name_them() {
    let variables = Variables::try_from_struct(&Settings { backend: "one".into(), limit: 20 });
    let variables = variables.unwrap();
    assert_eq!(variables, stage());
    assert_eq!(variables.text("backend"), Some("one"));
    assert_eq!(variables.read::<u8>("limit"), Ok(20));
    let error = variables.read::<bool>("limit").unwrap_err();
    assert_eq!(error.to_string(), "limit: invalid type: integer `20`, expected a boolean");
    let error = variables.read::<bool>("limits").unwrap_err();
    assert_eq!(error.to_string(), "unknown variable limits");
    let error = Variables::try_from_struct(&[1, 2]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot serialize the value into variables: expected an object, found [1,2]"
    );
}

#[test]
fn debug_shows_names_and_no_values() {
    let variables = Variables::new().with("password", "s3cret");
    assert_eq!(format!("{variables:?}"), r#"{"password"}"#);
}
