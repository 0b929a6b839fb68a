use std::collections::BTreeMap;

use canary_core::{Bucket, Channel, KeySample, PerChannel, Weight};

use crate::split_ratio::SplitRatio;

#[cfg(feature = "serde")]
mod stored;

/// Counts each sticky key once per weight, with the split ratio that applies to it.
///
/// With sticky assignment, keys are assigned, not calls: without a ledger, a user who retries would
/// count many times. So a monitor that counts [per key](crate::Monitor::per_key) gets its events
/// from a ledger, which counts the first event of each key at a weight and ignores the rest.
///
/// A key is not assigned again when the weight rises. A canary key at 1 % is certainly a canary key
/// at 5 %, and is no evidence there. A stable key at 1 % is a canary key at 5 % with probability
/// 4/99, not 5/100. So the ledger remembers the range that contains the key's bucket, and counts
/// its next event with the [`SplitRatio`] in that range. (With the weight as the ratio, an unlucky
/// canary key would count at each weight. Over steps of 1 % and 5 %, the likelihood ratio for a
/// rate 100 times as high would have a mean of 8.9 instead of 1, although the canary is not worse.)
///
/// # Two ledgers per monitor
///
/// A monitor per key needs two ledgers. Record adverse calls in the first one, for
/// [`Observation::with_adverse_keys`](crate::Observation::with_adverse_keys). Record each call with
/// a *response*, good or bad, in the second one, for
/// [`Observation::with_seen_keys`](crate::Observation::with_seen_keys). Without the second ledger,
/// the rate of adverse keys is unknown. It may also record calls when they are *picked*: some keys
/// then count too early, but calls without a response prevent a healthy verdict. Both ledgers must
/// cover the same calls: all calls, those of the monitor's class, or those of a sample of keys.
///
/// # Capacity
///
/// If there are more keys than a ledger can hold, [narrow](Self::narrow) both ledgers to a sample.
/// A sample contains the same fraction of the keys of both channels, and all events of its keys.
/// The counts so far are kept. Otherwise a full ledger ignores new keys. If a ledger of adverse
/// keys ignored an event, the canary is never healthy. The sample of adverse keys must be a part of
/// that of seen keys, because otherwise the rates are too high.
///
/// Keep one ledger of each kind for the whole rollout, because a key that moves between replicas
/// would otherwise count on each of them. A replica can filter with a ledger of its own: send the
/// shared one the keys for which it returned [`Recorded::Counted`].
///
/// With the feature `serde`, a ledger can be stored. Store it together with the
/// [`JudgeState`](crate::JudgeState): the state contains the counts that were [taken](Self::take)
/// and observed, the ledger those that were not taken yet.
///
/// # Example
///
/// ```
/// use canary_analysis::keys::{KeyLedger, Recorded};
/// use canary_core::{Channel, Weight};
///
/// let mut ledger = KeyLedger::new(10_000);
/// let hash_of_user = 0xbe64_50c3_656b_097e;
/// let one_percent = Weight::from_percent(1);
/// let five_percent = Weight::from_percent(5);
/// assert_eq!(ledger.record(hash_of_user, Channel::Stable, one_percent), Recorded::Counted);
/// assert_eq!(ledger.record(hash_of_user, Channel::Stable, one_percent), Recorded::AlreadyCounted);
/// assert_eq!(ledger.record(hash_of_user, Channel::Canary, five_percent), Recorded::Counted);
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

/// The range that must contain a key's bucket, given its events.
#[derive(Clone, Copy, Debug)]
struct BucketRange {
    from: u32,
    to: u32,
    was_canary: bool,
    was_stable: bool,
}

impl KeyLedger {
    /// Creates a ledger of at most `capacity` keys. Each takes about 40 bytes.
    ///
    /// A full ledger continues to count the keys that it has, and ignores new ones. Which keys it
    /// has depends only on the order of their first events, so that the comparison stays fair.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let (sample, counts) = (KeySample::ALL, KeyCounts::default());
        Self { capacity, sample, keys: BTreeMap::new(), counts }
    }

    /// Sets the seed that decides which keys remain when the ledger is [narrowed](Self::narrow).
    ///
    /// Draw it at random: otherwise callers who can compute the hashes of their keys can push all
    /// other keys out of the sample. Set it before the first event.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.sample = KeySample::seeded(seed);
        self
    }

    /// Records an event of the key with this hash, which was assigned to `channel` at `weight`.
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
        self.counts.count(split, one);
        Recorded::Counted
    }

    /// Records an event of a call that has no key. Such a call is assigned at random, so each one
    /// counts as a key of its own, and is not remembered. Record one event of each kind for a call.
    ///
    /// The ledger has no key to compare with its sample: record calls that are in a random sample
    /// of the same size.
    pub fn record_without_key(&mut self, channel: Channel, weight: Weight) -> Recorded {
        let split = SplitRatio::of(weight);
        let mut one = PerChannel::default();
        one[channel] = 1;
        if split.impossible(one) > 0 {
            self.counts.impossible = self.counts.impossible.saturating_add(1);
            return Recorded::Impossible;
        }
        self.counts.count(split, one);
        self.counts.keys = self.counts.keys.saturating_add(one);
        Recorded::Counted
    }

    /// Removes the keys that are not in `sample` and ignores them from now on. A sample never
    /// grows, because removed keys would count again.
    ///
    /// ```
    /// use canary_analysis::keys::{KeyLedger, Recorded};
    /// use canary_core::{Channel, Weight};
    ///
    /// let mut ledger = KeyLedger::new(10_000).with_seed(0x5eed);
    /// let half = ledger.sample().halved();
    /// ledger.narrow(half);
    /// let weight = Weight::from_percent(1);
    /// let inside = (0..).find(|key| half.holds(*key)).unwrap();
    /// let outside = (0..).find(|key| !half.holds(*key)).unwrap();
    /// assert_eq!(ledger.record(inside, Channel::Stable, weight), Recorded::Counted);
    /// assert_eq!(ledger.record(outside, Channel::Stable, weight), Recorded::NotInSample);
    /// ```
    pub fn narrow(&mut self, sample: KeySample) {
        self.sample = self.sample.and(sample);
        self.keys.retain(|hash, _| self.sample.holds(*hash));
    }

    /// Returns and clears the counts since the last call.
    #[must_use = "the counts are removed from the ledger"]
    pub fn take(&mut self) -> KeyCounts {
        std::mem::take(&mut self.counts)
    }

    /// Removes all keys and counts. The sample stays.
    ///
    /// Do so when the step of a monitor [begins](crate::Judge::reach_step): keys that it has seen before
    /// count as new then.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.counts = KeyCounts::default();
    }

    /// Returns the sample of keys that the ledger records.
    #[must_use]
    pub const fn sample(&self) -> KeySample {
        self.sample
    }

    /// Returns the number of recorded keys.
    #[must_use]
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether the ledger ignores new keys.
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

    /// Returns the split ratio at `weight` within the range.
    fn split(self, weight: Weight) -> SplitRatio {
        let canary = weight.ppm().clamp(self.from, self.to) - self.from;
        // The range is never empty: it narrows only to a channel that was possible.
        SplitRatio::try_new(canary, self.to - self.from).unwrap_or_else(|| SplitRatio::of(weight))
    }

    fn narrow(&mut self, channel: Channel, weight: Weight) {
        match channel {
            Channel::Canary => self.to = self.to.min(weight.ppm()),
            Channel::Stable => self.from = self.from.max(weight.ppm()),
        }
    }
}

/// The result of recording an event in a [`KeyLedger`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Recorded {
    /// The event was counted. It is the first one of the key on this channel, or the earlier events
    /// do not determine the channel of the key at this weight.
    Counted,
    /// The event was not counted: an earlier one of the key determines its channel.
    AlreadyCounted,
    /// The ledger is full, and the key is new.
    LedgerFull,
    /// The key is not in the [sample](KeyLedger::narrow) of the ledger.
    NotInSample,
    /// Earlier events of the key exclude this channel at this weight: the assignment is not sticky,
    /// or the salt or the weight is wrong.
    Impossible,
}

/// The counts of a [`KeyLedger`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyCounts {
    /// Keys by the split ratio with which they were assigned.
    pub by_split: BTreeMap<SplitRatio, PerChannel<u64>>,
    /// Keys that are new on a channel.
    pub keys: PerChannel<u64>,
    /// Events of keys that a full ledger ignored.
    pub refused: u64,
    /// Events of keys on a channel that earlier events exclude.
    pub impossible: u64,
}

impl KeyCounts {
    /// Counts keys by the ratio with which they were assigned, unless their channel was certain.
    fn count(&mut self, split: SplitRatio, keys: PerChannel<u64>) {
        if !split.is_certain() {
            let sum = self.by_split.entry(split).or_default();
            *sum = sum.saturating_add(keys);
        }
    }

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
