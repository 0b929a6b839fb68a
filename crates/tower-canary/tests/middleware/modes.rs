//! Halts, promotions and rollbacks by a handle.

use tower_canary::{CanaryLayer, SplitMode, Weight};

#[test]
fn a_halt_refuses_weights_and_promotions_until_it_is_lifted() {
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
fn a_promotion_can_be_rolled_back_or_replaced_by_a_weight() {
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
