//! What the public types can do.

use std::fmt::Debug;

use tower_canary::{
    Assignment, Bypass, CanaryHandle, CanaryLayer, CanaryName, CanaryOptions, CanaryService,
    Counts, Drain, Draining, EventName, Halted, InvalidName, ParseWeightError, Propagate,
    PropagateLayer, Ratings, ReleaseId, ResponseBody, ServerErrors, Snapshot, SplitMode, Tags,
    UnifyBody, Weight,
    feedback::{FeedbackOptions, UnknownEvent, UnknownWeight},
    select::{Condition, Forced, Or, Propagated, Rule, Secret, Selection, Sticky, StickyKey},
};

const fn is_shared<T: Send + Sync + Debug + 'static>() {}
const fn is_cloned<T: Clone>() {}

#[test]
fn handles_layers_and_values_can_be_shared_and_cloned() {
    is_shared::<CanaryHandle>();
    is_cloned::<CanaryHandle>();
    is_shared::<CanaryLayer<()>>();
    is_cloned::<CanaryLayer<()>>();
    is_shared::<CanaryService<(), ()>>();
    is_cloned::<CanaryService<(), ()>>();
    is_shared::<Assignment>();
    is_cloned::<Assignment>();
    is_shared::<ResponseBody<()>>();
    is_shared::<Drain>();
    is_shared::<Draining>();
    is_shared::<CanaryOptions>();
    is_shared::<Tags>();
    is_shared::<Bypass>();
    is_shared::<ServerErrors>();
    is_shared::<SplitMode>();
    is_shared::<Halted>();
    is_shared::<Weight>();
    is_shared::<ParseWeightError>();
    is_shared::<CanaryName>();
    is_shared::<ReleaseId>();
    is_shared::<InvalidName>();
    is_shared::<Counts>();
    is_shared::<Snapshot>();
    is_shared::<UnifyBody<()>>();
    is_shared::<EventName>();
    is_shared::<Ratings>();
    is_shared::<FeedbackOptions>();
    is_shared::<UnknownEvent>();
    is_shared::<UnknownWeight>();
}

#[cfg(feature = "feedback")]
#[test]
fn receipts_can_be_shared_and_cloned() {
    use tower_canary::feedback::{InvalidReceipt, Receipt, ReceiptError};

    is_shared::<Receipt>();
    is_cloned::<Receipt>();
    is_shared::<InvalidReceipt>();
    is_shared::<ReceiptError>();
}

#[test]
fn policies_and_what_goes_with_them_can_be_shared() {
    is_shared::<Sticky>();
    is_shared::<Forced>();
    is_shared::<Condition>();
    is_shared::<Rule>();
    is_shared::<Propagated>();
    is_shared::<Or<Sticky, Rule>>();
    is_shared::<Selection>();
    is_cloned::<Selection>();
    is_shared::<StickyKey>();
    is_cloned::<StickyKey>();
    is_shared::<Secret>();
    is_cloned::<Secret>();
    is_shared::<PropagateLayer>();
    is_cloned::<PropagateLayer>();
    is_shared::<Propagate<()>>();
    is_cloned::<Propagate<()>>();
    #[cfg(feature = "cookie")]
    is_shared::<tower_canary::select::IssuedCookie>();
    #[cfg(feature = "tracing-subscriber")]
    is_shared::<tower_canary::logs::ChannelFilter>();
}

#[test]
#[should_panic(expected = r#"canary name "Check out": expected 1 to 63 characters"#)]
fn a_name_that_no_label_can_carry_is_refused_with_the_rule() {
    let _ = CanaryLayer::new("Check out", ());
}

#[test]
#[should_panic(expected = r#"release id "two words": expected 1 to 128 visible ASCII"#)]
fn a_release_that_no_header_can_carry_is_refused_with_the_rule() {
    let _ = CanaryOptions::new().canary_release("two words");
}

#[test]
fn a_halt_refuses_higher_weights_by_its_reason_until_it_is_released() {
    let canary = CanaryLayer::new("halted", ()).handle();
    canary.promote().unwrap();
    canary.halt("totals are wrong");
    let message = "canary halted is halted (totals are wrong): lift the halt first";
    assert_eq!(canary.set_weight(Weight::FULL).unwrap_err().to_string(), message);
    assert_eq!(canary.promote().unwrap_err().to_string(), message);
    canary.roll_back();
    assert_eq!(canary.mode(), SplitMode::Halted { reason: "totals are wrong".to_owned() });
    assert_eq!(canary.weight(), Weight::ZERO);

    canary.lift_halt();
    assert_eq!((canary.weight(), canary.mode()), (Weight::ZERO, SplitMode::Splitting));
    canary.set_weight(Weight::from_percent(3)).unwrap();
    assert_eq!(canary.weight(), Weight::from_percent(3));
}

#[test]
fn a_promotion_can_be_rolled_back_and_split_again() {
    let canary = CanaryLayer::new("promoted", ()).handle();
    for _ in 0..2 {
        canary.promote().unwrap();
        assert_eq!((canary.weight(), canary.mode()), (Weight::FULL, SplitMode::Promoted));
    }
    canary.set_weight(Weight::from_percent(98)).unwrap();
    assert_eq!(canary.mode(), SplitMode::Splitting);
    canary.promote().unwrap();
    canary.roll_back();
    assert_eq!((canary.weight(), canary.mode()), (Weight::ZERO, SplitMode::Splitting));
}
