//! Traits that the public types implement, and names that they refuse.

use std::{error::Error, fmt::Debug};

use tower_canary::{
    Assignment, Bypass, CanaryHandle, CanaryLayer, CanaryName, CanaryOptions, CanaryService, Drain,
    EventName, Halted, InvalidName, ParseWeightError, Propagate, PropagateLayer, ReleaseId,
    SplitMode, Tags, Weight,
    body::{ResponseBody, UnifyBody},
    classify::ServerErrors,
    counts::{Counts, Ratings, Snapshot},
    feedback::{FeedbackOptions, UnknownEvent, UnknownWeight},
    future::Draining,
    select::{Condition, Forced, Or, Propagated, Rule, Secret, Selection, Sticky, StickyKey},
};

const fn assert_shared<T: Send + Sync + Debug + 'static>() {}
const fn assert_clone<T: Clone>() {}

#[test]
fn handles_layers_and_values_are_send_sync_and_debug() {
    assert_shared::<CanaryHandle>();
    assert_clone::<CanaryHandle>();
    assert_shared::<CanaryLayer<()>>();
    assert_clone::<CanaryLayer<()>>();
    assert_shared::<CanaryService<(), ()>>();
    assert_clone::<CanaryService<(), ()>>();
    assert_shared::<Assignment>();
    assert_clone::<Assignment>();
    assert_shared::<ResponseBody<()>>();
    assert_shared::<Drain>();
    assert_shared::<Draining>();
    assert_shared::<CanaryOptions>();
    assert_shared::<Tags>();
    assert_shared::<Bypass>();
    assert_shared::<ServerErrors>();
    assert_shared::<SplitMode>();
    assert_shared::<Halted>();
    assert_shared::<Weight>();
    assert_shared::<ParseWeightError>();
    assert_shared::<CanaryName>();
    assert_shared::<ReleaseId>();
    assert_shared::<InvalidName>();
    assert_shared::<Counts>();
    assert_shared::<Snapshot>();
    assert_shared::<UnifyBody<()>>();
    assert_shared::<EventName>();
    assert_shared::<Ratings>();
    assert_shared::<FeedbackOptions>();
    assert_shared::<UnknownEvent>();
    assert_shared::<UnknownWeight>();
}

#[cfg(feature = "feedback")]
#[test]
fn receipts_are_send_sync_and_debug() {
    use tower_canary::feedback::{InvalidReceipt, Receipt, ReceiptError};

    assert_shared::<Receipt>();
    assert_clone::<Receipt>();
    assert_shared::<InvalidReceipt>();
    assert_shared::<ReceiptError>();
}

#[test]
fn policies_are_send_sync_and_debug() {
    assert_shared::<Sticky>();
    assert_shared::<Forced>();
    assert_shared::<Condition>();
    assert_shared::<Rule>();
    assert_shared::<Propagated>();
    assert_shared::<Or<Sticky, Rule>>();
    assert_shared::<Selection>();
    assert_clone::<Selection>();
    assert_shared::<StickyKey>();
    assert_clone::<StickyKey>();
    assert_shared::<Secret>();
    assert_clone::<Secret>();
    assert_shared::<PropagateLayer>();
    assert_clone::<PropagateLayer>();
    assert_shared::<Propagate<()>>();
    assert_clone::<Propagate<()>>();
    #[cfg(feature = "cookie")]
    assert_shared::<tower_canary::select::IssuedCookie>();
    #[cfg(feature = "tracing-subscriber")]
    assert_shared::<tower_canary::logs::ChannelFilter>();
}

#[test]
#[should_panic(expected = r#"canary name "Check out": expected 1 to 63 characters"#)]
fn a_canary_name_that_is_not_a_valid_label_is_refused() {
    let _ = CanaryLayer::new("Check out", ());
}

#[test]
#[should_panic(expected = r#"release id "two words": expected 1 to 128 visible ASCII"#)]
fn a_release_id_that_is_not_a_valid_header_value_is_refused() {
    let _ = CanaryOptions::new().canary_release("two words");
}

#[test]
fn an_error_that_main_returns_prints_its_message() {
    let layer = CanaryLayer::new("checkout", ());
    let handle = layer.handle();
    handle.halt("an incident");
    let errors: [Box<dyn Error>; 5] = [
        Box::new("10".parse::<Weight>().unwrap_err()),
        Box::new("Check out".parse::<CanaryName>().unwrap_err()),
        Box::new(Secret::try_new("short").unwrap_err()),
        Box::new(handle.set_weight(Weight::FULL).unwrap_err()),
        Box::new(handle.promote().unwrap_err()),
    ];
    for error in errors {
        assert_eq!(format!("{error:?}"), error.to_string());
    }
}
