use std::collections::BTreeMap;

use canary_core::{Bucket, Channel, KeySample, PerChannel, Weight};

use crate::split_ratio::SplitRatio;

#[cfg(feature = "serde")]
mod stored;

/// Counts each sticky key once per weight, at the odds that are left for it.
///
/// With sticky assignment the coin is tossed once per key, not per call: an unlucky user who
/// retries would count many times. So a monitor that counts [per key](crate::Monitor::per_key) gets
/// its events from a ledger, which passes each key's first event at a weight and drops the rest.
///
/// Nor is the coin tossed anew when the weight rises: a key that was the canary's at 1 % is the
/// canary's at 5 %, and tells nothing there. A key that was stable's at 1 % is the canary's at 5 %
/// with probability 4/99, not 5/100. The ledger remembers in which range a key's bucket must lie
/// and counts its next event with the [`SplitRatio`] that this leaves. (Counting with the weight itself
/// would let one unlucky key of the canary's count at each weight: over steps of 1 % and 5 % a bet
/// on a rate 100 times as high would make 8.9 out of 1 on average, although the canary is no
/// worse.)
///
/// One ledger is told of adverse calls, when they have gone badly. A second one is told of each key
/// that was seen, when a call of its has been *answered*, well or badly: it feeds
/// [`Observation::with_seen_keys`](crate::Observation::with_seen_keys), without which a monitor per
/// key cannot tell how rare its events are. Told when a call is *picked* it has some keys too early,
/// which the calls without an answer make up for: they keep a canary from being healthy. Both must be
/// of the same calls: all of them, those of the monitor's class, or those whose key falls into a
/// sample.
///
/// If there are more keys than a ledger can hold, [narrow](Self::narrow) both to a sample, and go on
/// with it: it holds the keys of the two channels in the same proportion, all events of a key or none,
/// and all that was counted stays. A full ledger takes what comes first instead, and a full one of
/// adverse keys proves nothing good any more. The sample of the adverse keys must be in that of the
/// seen ones: otherwise the rates are too high.
///
/// Keep one ledger of a kind for the whole rollout: replicas send it the keys for which their own
/// said [`Recorded::Counted`], since a key that moves between replicas would count on each.
///
/// With the feature `serde` a ledger can be stored. Store it together with the
/// [`JudgeState`](crate::JudgeState): what was [taken](Self::take) and observed is in that one, and
/// what was not yet is in the ledger.
///
/// # Example
///
/// ```
/// use canary_analysis::{Recorded, KeyLedger};
/// use canary_core::{Channel, Weight};
///
/// let mut ledger = KeyLedger::new(10_000);
/// let hash_of_user = 0xbe64_50c3_656b_097e;
/// let one_percent = Weight::from_percent(1);
/// assert_eq!(ledger.record(hash_of_user, Channel::Stable, one_percent), Recorded::Counted);
/// assert_eq!(ledger.record(hash_of_user, Channel::Stable, one_percent), Recorded::AlreadyCounted);
/// assert_eq!(ledger.record(hash_of_user, Channel::Canary, Weight::from_percent(5)), Recorded::Counted);
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored", into = "stored::Stored"))]
pub struct KeyLedger {
    capacity: usize,
    sample: KeySample,
    keys: BTreeMap<u64, BucketRange>,
    counts: KeyCounts,
}

/// The range in which a key's bucket must lie after what was seen of it.
#[derive(Clone, Copy, Debug)]
struct BucketRange {
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
        let (sample, counts) = (KeySample::ALL, KeyCounts::default());
        Self { capacity, sample, keys: BTreeMap::new(), counts }
    }

    /// Records an event of a key, given by its hash, that was assigned to `channel` at `weight`.
    pub fn record(&mut self, key: u64, channel: Channel, weight: Weight) -> Recorded {
        if !self.sample.holds(key) {
            return Recorded::NotInSample;
        }
        if self.is_full() && !self.keys.contains_key(&key) {
            self.counts.refused = self.counts.refused.saturating_add(1);
            return Recorded::LedgerFull;
        }
        let known = self.keys.entry(key).or_insert(BucketRange::NOTHING);
        let split = known.split(weight);
        let mut one = PerChannel::default();
        one[channel] = 1;
        if split.impossible(one) > 0 {
            self.counts.impossible = self.counts.impossible.saturating_add(1);
            return Recorded::Impossible;
        }
        let first_on_channel = !std::mem::replace(known.was(channel), true);
        if first_on_channel {
            self.counts.keys = self.counts.keys.saturating_add(one);
        }
        if split.is_certain() {
            return if first_on_channel { Recorded::Counted } else { Recorded::AlreadyCounted };
        }
        known.narrow(channel, weight);
        let sum = self.counts.by_split.entry(split).or_default();
        *sum = sum.saturating_add(one);
        Recorded::Counted
    }

    /// Forgets the keys that are not in `sample`, and takes no more of them. A sample never grows: what
    /// was forgotten would count anew.
    ///
    /// ```
    /// use canary_analysis::{Recorded, KeyLedger};
    /// use canary_core::{Channel, KeySample, Weight};
    ///
    /// let mut ledger = KeyLedger::new(10_000);
    /// ledger.narrow(KeySample::ALL.halved());
    /// let weight = Weight::from_percent(1);
    /// assert_eq!(ledger.record(0b10, Channel::Stable, weight), Recorded::Counted);
    /// assert_eq!(ledger.record(0b11, Channel::Stable, weight), Recorded::NotInSample);
    /// ```
    pub fn narrow(&mut self, sample: KeySample) {
        self.sample = self.sample.and(sample);
        self.keys.retain(|hash, _| self.sample.holds(*hash));
    }

    /// What was counted since the last time.
    #[must_use = "what is taken is gone from the ledger"]
    pub fn take(&mut self) -> KeyCounts {
        std::mem::take(&mut self.counts)
    }

    /// Of which keys the ledger is.
    #[must_use]
    pub const fn sample(&self) -> KeySample {
        self.sample
    }

    /// How many keys it knows.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Whether new keys are refused.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.keys.len() >= self.capacity
    }
}

impl BucketRange {
    const NOTHING: Self = Self { from: 0, to: Bucket::COUNT, was_canary: false, was_stable: false };

    const fn was(&mut self, channel: Channel) -> &mut bool {
        match channel {
            Channel::Canary => &mut self.was_canary,
            Channel::Stable => &mut self.was_stable,
        }
    }

    /// The coin that decides at `weight`, given the range.
    fn split(self, weight: Weight) -> SplitRatio {
        let canary = weight.ppm().clamp(self.from, self.to) - self.from;
        // The range is never empty: it narrows only to a side that was possible.
        SplitRatio::try_new(canary, self.to - self.from).unwrap_or_else(|| SplitRatio::of(weight))
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
pub enum Recorded {
    /// The event counts: it is the key's first on this channel, or what was seen of the key before
    /// left open on which channel it would be at this weight.
    Counted,
    /// The key counted already, and its channel was certain.
    AlreadyCounted,
    /// The ledger is full and does not know the key.
    LedgerFull,
    /// The key is not in the ledger's [sample](KeyLedger::narrow).
    NotInSample,
    /// After what was seen of the key, it cannot be on this channel at this weight: the assignment is
    /// not sticky, or its salt or the weight is not what the ledger was told.
    Impossible,
}

/// What a [`KeyLedger`] counted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyCounts {
    /// Keys by the coin that had decided on their channel.
    pub by_split: BTreeMap<SplitRatio, PerChannel<u64>>,
    /// Keys that were counted on a channel for the first time.
    pub keys: PerChannel<u64>,
    /// Events of keys that a full ledger did not take.
    pub refused: u64,
    /// Events of keys on a channel on which they cannot have been.
    pub impossible: u64,
}

impl KeyCounts {
    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (split, events) in &other.by_split {
            let sum = self.by_split.entry(*split).or_default();
            *sum = sum.saturating_add(*events);
        }
        self.keys = self.keys.saturating_add(other.keys);
        self.refused = self.refused.saturating_add(other.refused);
        self.impossible = self.impossible.saturating_add(other.impossible);
    }
}

#[cfg(test)]
mod tests;
