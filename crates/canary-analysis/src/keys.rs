use std::collections::BTreeMap;

use canary_core::{Bucket, Channel, PerChannel, Weight};

use crate::coin::Coin;

/// Counts each sticky key once per weight, at the odds that are left for it.
///
/// With sticky assignment the coin is tossed once per key, not per call: an unlucky user who
/// retries would count many times. So a monitor that counts [per key](crate::Monitor::per_key) gets
/// its events from a ledger, which passes each key's first event at a weight and drops the rest.
///
/// Nor is the coin tossed anew when the weight rises: a key that was the canary's at 1 % is the
/// canary's at 5 %, and tells nothing there. A key that was stable's at 1 % is the canary's at 5 %
/// with probability 4/99, not 5/100. The ledger remembers in which range a key's bucket must lie
/// and counts its next event with the [`Coin`] that this leaves. (Counting with the weight itself
/// would let one unlucky key of the canary's count at each weight: over steps of 1 % and 5 % a bet
/// on a rate 100 times as high would make 8.9 out of 1 on average, although the canary is no
/// worse.)
///
/// Only adverse calls need to be recorded. A second ledger that is told of all calls, or of those
/// whose key falls into a sample, feeds
/// [`Observation::with_seen_keys`](crate::Observation::with_seen_keys), without which a monitor per
/// key cannot tell how rare its events are.
///
/// Keep one ledger for the whole rollout: replicas send it the keys for which their own said
/// [`Counted::First`], since a key that moves between replicas would count on each.
///
/// # Example
///
/// ```
/// use canary_analysis::{Counted, KeyLedger};
/// use canary_core::{Channel, Weight};
///
/// let mut ledger = KeyLedger::new(10_000);
/// let hash_of_user = 0xbe64_50c3_656b_097e;
/// let one_percent = Weight::from_percent(1);
/// assert_eq!(ledger.record(hash_of_user, Channel::Stable, one_percent), Counted::First);
/// assert_eq!(ledger.record(hash_of_user, Channel::Stable, one_percent), Counted::Again);
/// assert_eq!(ledger.record(hash_of_user, Channel::Canary, Weight::from_percent(5)), Counted::First);
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct KeyLedger {
    capacity: usize,
    keys: BTreeMap<u64, Known>,
    #[cfg_attr(feature = "serde", serde(skip))]
    counts: KeyCounts,
    refused: u64,
}

/// The range in which a key's bucket must lie after what was seen of it.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
struct Known {
    from: u32,
    to: u32,
    was_canary: bool,
    was_stable: bool,
}

impl KeyLedger {
    /// A ledger of at most `capacity` keys. Each takes some 40 bytes.
    ///
    /// When it is full, keys it knows count on and new ones do not. Which keys those are depends on
    /// the order of their first events only, so that the comparison stays fair.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, keys: BTreeMap::new(), counts: KeyCounts::default(), refused: 0 }
    }

    /// Records an event of a key, given by its hash, that was assigned to `channel` at `weight`.
    pub fn record(&mut self, key: u64, channel: Channel, weight: Weight) -> Counted {
        if self.is_full() && !self.keys.contains_key(&key) {
            self.refused = self.refused.saturating_add(1);
            return Counted::Refused;
        }
        let known = self.keys.entry(key).or_insert(Known::NOTHING);
        let first_on_channel = !std::mem::replace(known.was(channel), true);
        if first_on_channel {
            self.counts.keys[channel] += 1;
        }
        let coin = known.coin(weight);
        if coin.is_none_or(Coin::is_certain) {
            return if first_on_channel { Counted::First } else { Counted::Again };
        }
        known.narrow(channel, weight);
        if let Some(coin) = coin {
            self.counts.tosses.entry(coin).or_default()[channel] += 1;
        }
        Counted::First
    }

    /// What was counted since the last time.
    #[must_use = "what is taken is gone from the ledger"]
    pub fn take(&mut self) -> KeyCounts {
        KeyCounts { refused: std::mem::take(&mut self.refused), ..std::mem::take(&mut self.counts) }
    }

    /// Whether new keys are refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.keys.len() >= self.capacity
    }
}

impl Known {
    const NOTHING: Self = Self { from: 0, to: Bucket::COUNT, was_canary: false, was_stable: false };

    const fn was(&mut self, channel: Channel) -> &mut bool {
        match channel {
            Channel::Canary => &mut self.was_canary,
            Channel::Stable => &mut self.was_stable,
        }
    }

    /// The coin that decides at `weight`, given the range.
    fn coin(self, weight: Weight) -> Option<Coin> {
        let canary = weight.ppm().clamp(self.from, self.to) - self.from;
        Coin::try_new(canary, self.to - self.from)
    }

    fn narrow(&mut self, channel: Channel, weight: Weight) {
        match channel {
            Channel::Canary => self.to = self.to.min(weight.ppm()),
            Channel::Stable => self.from = self.from.max(weight.ppm()),
        }
    }
}

/// What became of an event told to a [`KeyLedger`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Counted {
    /// The key's first event at this weight: it counts.
    First,
    /// The key counted already.
    Again,
    /// The ledger is full and does not know the key.
    Refused,
}

/// What a [`KeyLedger`] counted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyCounts {
    /// Keys by the coin that had decided on their channel.
    pub tosses: BTreeMap<Coin, PerChannel<u64>>,
    /// Keys that were counted on a channel for the first time.
    pub keys: PerChannel<u64>,
    /// Events of keys that a full ledger did not take.
    pub refused: u64,
}

impl KeyCounts {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (coin, tosses) in &other.tosses {
            crate::evidence::add(self.tosses.entry(*coin).or_default(), *tosses);
        }
        crate::evidence::add(&mut self.keys, other.keys);
        self.refused = self.refused.saturating_add(other.refused);
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(counts.tosses[&Coin::of(ONE)], PerChannel { stable: 0, canary: 1 });
        assert_eq!(ledger.take(), KeyCounts::default());
    }

    #[test]
    fn a_key_that_was_the_canarys_tells_nothing_at_a_higher_weight() {
        let mut ledger = KeyLedger::new(10);
        ledger.record(1, Channel::Canary, ONE);
        let _ = ledger.take();
        assert_eq!(ledger.record(1, Channel::Canary, FIVE), Counted::Again);
        assert_eq!(ledger.take(), KeyCounts::default());
    }

    #[test]
    fn a_key_that_was_stables_is_tossed_with_the_odds_that_are_left() {
        let mut ledger = KeyLedger::new(10);
        ledger.record(1, Channel::Stable, ONE);
        let _ = ledger.take();
        ledger.record(1, Channel::Canary, FIVE);
        let left = Coin::try_new(40_000, 990_000).unwrap();
        assert_eq!(ledger.take().tosses[&left], PerChannel { stable: 0, canary: 1 });
    }

    #[test]
    fn a_full_ledger_counts_known_keys_only_and_says_so() {
        let mut ledger = KeyLedger::new(1);
        ledger.record(1, Channel::Stable, ONE);
        assert!(ledger.is_full());
        assert_eq!(ledger.record(2, Channel::Canary, ONE), Counted::Refused);
        assert_eq!(ledger.record(1, Channel::Stable, FIVE), Counted::First);
        assert_eq!(ledger.take().refused, 1);
    }

    #[test]
    fn a_key_on_an_impossible_channel_is_no_toss() {
        let mut ledger = KeyLedger::new(1);
        ledger.record(1, Channel::Canary, ONE);
        let _ = ledger.take();
        ledger.record(1, Channel::Stable, FIVE);
        assert!(ledger.take().tosses.is_empty());
    }
}
