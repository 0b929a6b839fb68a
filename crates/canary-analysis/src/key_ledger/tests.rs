use super::*;

const ONE: Weight = Weight::from_percent(1);
const FIVE: Weight = Weight::from_percent(5);

#[test]
fn a_key_counts_once_per_weight() {
    let mut ledger = KeyLedger::new(10);
    for _ in 0..5 {
        ledger.record(1, Channel::Canary, ONE);
    }
    let counts = ledger.take();
    assert_eq!(counts.keys, PerChannel { stable: 0, canary: 1 });
    assert_eq!(counts.by_split[&SplitRatio::of(ONE)], PerChannel { stable: 0, canary: 1 });
    assert_eq!(ledger.take(), KeyCounts::default());
}

#[test]
fn a_canary_key_does_not_count_again_at_a_higher_weight() {
    let mut ledger = KeyLedger::new(10);
    ledger.record(1, Channel::Canary, ONE);
    let _ = ledger.take();
    assert_eq!(ledger.record(1, Channel::Canary, FIVE), Recorded::AlreadyCounted);
    assert_eq!(ledger.take(), KeyCounts::default());
}

#[test]
fn a_stable_key_counts_at_a_higher_weight_with_the_remaining_ratio() {
    let mut ledger = KeyLedger::new(10);
    ledger.record(1, Channel::Stable, ONE);
    let _ = ledger.take();
    ledger.record(1, Channel::Canary, FIVE);
    let left = SplitRatio::try_new(40_000, 990_000).unwrap();
    assert_eq!(ledger.take().by_split[&left], PerChannel { stable: 0, canary: 1 });
}

#[test]
fn a_full_ledger_counts_known_keys_only() {
    let mut ledger = KeyLedger::new(1);
    ledger.record(1, Channel::Stable, ONE);
    assert!(ledger.is_full());
    assert_eq!(ledger.record(2, Channel::Canary, ONE), Recorded::LedgerFull);
    assert_eq!(ledger.record(1, Channel::Stable, FIVE), Recorded::Counted);
    assert_eq!(ledger.take().refused, 1);
}

#[test]
fn a_key_on_an_impossible_channel_is_reported_and_not_counted() {
    let mut ledger = KeyLedger::new(2);
    ledger.record(1, Channel::Canary, ONE);
    let _ = ledger.take();
    assert_eq!(ledger.record(1, Channel::Stable, FIVE), Recorded::Impossible);
    assert_eq!(ledger.record(2, Channel::Canary, Weight::ZERO), Recorded::Impossible);
    let counts = ledger.take();
    assert!(counts.by_split.is_empty());
    assert_eq!((counts.keys, counts.impossible), (PerChannel::default(), 2));
}
