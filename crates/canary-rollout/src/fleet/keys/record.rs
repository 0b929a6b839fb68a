use std::collections::{BTreeMap, BTreeSet};

use canary_core::{Channel, KeySample, Weight, WeightRangeError};
use serde::{Deserialize, Serialize};

/// New events of a key, or of a call without a key, on one channel at one weight.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the driver constructs it")]
pub struct KeyRecord {
    /// The hash of the key, or `None` for a call without a key.
    pub key: Option<u64>,
    /// The channel to which the key was assigned.
    pub channel: Channel,
    /// The weight at which it was assigned.
    pub weight: Weight,
    /// The numbers of the ledgers to which the events are new.
    pub ledgers: BTreeSet<u8>,
}

/// Some records of a [`KeyLog`](super::KeyLog), which are judged together.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "StoredBatch", into = "StoredBatch")]
pub struct KeyBatch {
    pub(super) number: u64,
    groups: BTreeMap<Place, Group>,
}

/// The channel is the one of the canary if the second part is true. The lowest weight is the first,
/// because a key that changes its channel does so when the weight rises.
type Place = (Weight, bool, BTreeSet<u8>);

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Group {
    /// In the order of the events.
    keys: Vec<u64>,
    /// The number of calls without a key.
    without_key: u64,
}

impl KeyBatch {
    pub(super) fn add(&mut self, record: KeyRecord) {
        let KeyRecord { key, channel, weight, ledgers } = record;
        let place = (weight, channel == Channel::Canary, ledgers);
        let group = self.groups.entry(place).or_default();
        match key {
            Some(key) => group.keys.push(key),
            None => group.without_key = group.without_key.saturating_add(1),
        }
    }

    pub(super) fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// Removes the keys outside the sample.
    pub(super) fn narrow(&mut self, sample: KeySample) {
        self.groups.retain(|_, group| {
            group.keys.retain(|key| sample.holds(*key));
            !group.keys.is_empty() || group.without_key > 0
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn key_count(&self) -> usize {
        self.groups.values().map(|group| group.keys.len()).sum()
    }

    /// Returns the numbers of the ledgers with new events.
    pub fn ledgers(&self) -> impl Iterator<Item = u8> {
        self.groups.keys().flat_map(|(.., ledgers)| ledgers.iter().copied())
    }

    /// Returns the records. A call without a key is a record of its own.
    pub fn records(&self) -> impl Iterator<Item = KeyRecord> {
        self.groups.iter().flat_map(|((weight, is_canary, ledgers), group)| {
            let channel = if *is_canary { Channel::Canary } else { Channel::Stable };
            let record =
                move |key| KeyRecord { key, channel, weight: *weight, ledgers: ledgers.clone() };
            let without_key = (0..group.without_key).map(|_| None);
            group.keys.iter().copied().map(Some).chain(without_key).map(record)
        })
    }
}

/// The stored form of a batch: its number, and the groups with their ledgers, weight, channel, calls
/// without a key and keys.
#[derive(Deserialize, Serialize)]
struct StoredBatch(u64, Vec<StoredGroup>);

type StoredGroup = (BTreeSet<u8>, u32, bool, u64, Vec<u64>);

impl From<KeyBatch> for StoredBatch {
    fn from(batch: KeyBatch) -> Self {
        let groups = batch.groups.into_iter().map(|((weight, is_canary, ledgers), group)| {
            (ledgers, weight.ppm(), is_canary, group.without_key, group.keys)
        });
        Self(batch.number, groups.collect())
    }
}

impl TryFrom<StoredBatch> for KeyBatch {
    type Error = WeightRangeError;

    fn try_from(StoredBatch(number, stored): StoredBatch) -> Result<Self, WeightRangeError> {
        let mut groups = BTreeMap::new();
        for (ledgers, ppm, is_canary, without_key, keys) in stored {
            let place = (Weight::try_from_ppm(ppm)?, is_canary, ledgers);
            groups.insert(place, Group { keys, without_key });
        }
        Ok(Self { number, groups })
    }
}
