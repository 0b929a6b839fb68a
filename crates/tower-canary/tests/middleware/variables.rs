//! Variables of the stage, the overrides of the canary, and the effect of changes on calls.

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

/// Responds with the variables that the handler sees.
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

/// Makes a call and returns the variables that its handler sees.
async fn visible(layer: &CanaryLayer<Service>) -> String {
    let body = layer.layer(service()).oneshot(Request::new(())).await.unwrap().into_body();
    String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap()
}

const STABLE: &str = r#"{"backend":"one","limit":20}"#;
const CANARY: &str = r#"{"backend":"two","limit":20}"#;

#[tokio::test]
async fn the_canary_sees_its_overrides_and_stable_does_not() {
    let (layer, handle) = layer(CanaryOptions::new().variables(stage(), overrides()));
    assert_eq!(visible(&layer).await, STABLE);
    handle.set_weight(Weight::FULL).unwrap();
    assert_eq!(visible(&layer).await, CANARY);
}

#[tokio::test]
async fn the_next_call_sees_a_change() {
    let (layer, handle) = layer(CanaryOptions::new().variables(stage(), overrides()));
    handle
        .change_variables(|stage, overrides| {
            stage.set("limit", 30);
            overrides.remove("backend");
            overrides.set("flag", true);
        })
        .unwrap();
    assert_eq!(visible(&layer).await, r#"{"backend":"one","limit":30}"#);
    handle.set_weight(Weight::FULL).unwrap();
    assert_eq!(visible(&layer).await, r#"{"backend":"one","flag":true,"limit":30}"#);
    assert_eq!(handle.overrides(), Variables::new().with("flag", true));
}

#[tokio::test]
async fn a_promotion_applies_the_overrides_to_the_stage() {
    let (layer, handle) = layer(CanaryOptions::new().variables(stage(), overrides()));
    for _ in 0..2 {
        handle.promote().unwrap();
        assert_eq!(handle.stage_variables(), stage().with("backend", "two"));
        assert!(handle.overrides().is_empty());
        assert_eq!(visible(&layer).await, CANARY);
        assert_eq!(serde_json::to_string(&handle.variables(Channel::Stable)).unwrap(), CANARY);
    }
}

#[tokio::test]
async fn the_end_of_a_promotion_restores_the_variables() {
    let ends: [fn(&CanaryHandle); 3] = [
        CanaryHandle::roll_back,
        |handle| handle.halt("wrong totals"),
        |handle| handle.set_weight(Weight::from_ppm(1)).unwrap(),
    ];
    for end in ends {
        let (layer, handle) = layer(CanaryOptions::new().variables(stage(), overrides()));
        handle.promote().unwrap();
        handle.change_variables(|stage, _| stage.set("limit", 99)).unwrap();
        end(&handle);
        assert_ne!(handle.mode(), SplitMode::Promoted);
        assert_eq!((handle.stage_variables(), handle.overrides()), (stage(), overrides()));
        assert_eq!(serde_json::to_string(&handle.variables(Channel::Canary)).unwrap(), CANARY);
        handle.lift_halt();
        handle.set_weight(Weight::ZERO).unwrap();
        assert_eq!(visible(&layer).await, STABLE);
    }
}

/// Each change keeps two variables equal. No call may see them differ or change.
#[test]
fn changes_are_atomic() {
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
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let service = layer.layer(service.clone());
                    while !stop.load(Ordering::Relaxed) {
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
        stop.store(true, Ordering::Relaxed);
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
fn handlers_get_the_variables_as_a_typed_value() {
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
fn a_change_that_does_not_deserialize_is_refused_and_has_no_effect() {
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
fn a_layer_panics_if_its_variables_do_not_deserialize() {
    let _ = layer(CanaryOptions::new().typed_variables::<Settings>());
}

#[test]
fn errors_of_single_variables_contain_their_names() {
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
fn debug_output_has_names_and_no_values() {
    let variables = Variables::new().with("password", "s3cret");
    assert_eq!(format!("{variables:?}"), r#"{"password"}"#);
}
