use std::{collections::BTreeMap, error, fmt};

use canary_core::{Bucket, KeySample, PerChannel};
use serde::{Deserialize, Serialize};

use super::{BucketRange, KeyCounts, KeyLedger};
use crate::split_ratio::SplitRatio;

/// The stored form of a [`KeyLedger`].
#[derive(Deserialize, Serialize)]
pub(super) struct Stored {
    capacity: usize,
    /// The seed of the sample, and the number of times that it was halved.
    seed: u64,
    halvings: u32,
    /// Most keys were seen at few weights, so there are few ranges.
    ranges: Vec<StoredRange>,
    counts: StoredCounts,
}

#[derive(Deserialize, Serialize)]
struct StoredRange {
    from: u32,
    to: u32,
    was_canary: bool,
    was_stable: bool,
    /// The hashes of the keys in this range.
    keys: Vec<u64>,
}

/// Counts that were not taken yet.
#[derive(Deserialize, Serialize)]
struct StoredCounts {
    /// Canary buckets, all buckets, then keys of stable and canary.
    by_split: Vec<(u32, u32, u64, u64)>,
    /// Stable, then canary.
    keys: [u64; 2],
    refused: u64,
    impossible: u64,
}

impl From<KeyLedger> for Stored {
    fn from(ledger: KeyLedger) -> Self {
        let KeyLedger { capacity, sample, keys, counts } = ledger;
        let mut ranges: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for (hash, BucketRange { from, to, was_canary, was_stable }) in keys {
            ranges.entry((from, to, was_canary, was_stable)).or_default().push(hash);
        }
        let ranges = ranges.into_iter().map(|((from, to, was_canary, was_stable), keys)| {
            StoredRange { from, to, was_canary, was_stable, keys }
        });
        let events = counts.by_split.iter().map(|(split, events)| {
            (split.canary_buckets(), split.all_buckets(), events.stable, events.canary)
        });
        Self {
            capacity,
            seed: sample.seed(),
            halvings: sample.halvings(),
            ranges: ranges.collect(),
            counts: StoredCounts {
                by_split: events.collect(),
                keys: [counts.keys.stable, counts.keys.canary],
                refused: counts.refused,
                impossible: counts.impossible,
            },
        }
    }
}

impl TryFrom<Stored> for KeyLedger {
    type Error = Corrupt;

    fn try_from(stored: Stored) -> Result<Self, Corrupt> {
        let Stored { capacity, seed, halvings, ranges, counts } = stored;
        let keys = ranges.iter().map(|range| range.keys.len()).sum();
        if keys > capacity {
            return Err(Corrupt::Keys { keys, capacity });
        }
        let mut ledger = Self::new(capacity);
        ledger.sample = KeySample::seeded(seed).after(halvings);
        for StoredRange { from, to, was_canary, was_stable, keys } in ranges {
            if from >= to || to > Bucket::COUNT {
                return Err(Corrupt::Range { from, to });
            }
            let known = BucketRange { from, to, was_canary, was_stable };
            for hash in keys {
                if !ledger.sample.holds(hash) {
                    return Err(Corrupt::NotInSample { hash, halvings });
                }
                if ledger.keys.insert(hash, known).is_some() {
                    return Err(Corrupt::Duplicate(hash));
                }
            }
        }
        let [stable, canary] = counts.keys;
        let mut restored = KeyCounts {
            keys: PerChannel { stable, canary },
            refused: counts.refused,
            impossible: counts.impossible,
            ..KeyCounts::default()
        };
        for (of_canary, all, stable, canary) in counts.by_split {
            let split = SplitRatio::try_new(of_canary, all).filter(|split| !split.is_certain());
            let split = split.ok_or(Corrupt::Ratio(of_canary, all))?;
            restored.by_split.insert(split, PerChannel { stable, canary });
        }
        ledger.counts = restored;
        Ok(ledger)
    }
}

/// The reason why a stored ledger is invalid.
#[derive(Debug)]
pub(super) enum Corrupt {
    Keys { keys: usize, capacity: usize },
    Range { from: u32, to: u32 },
    NotInSample { hash: u64, halvings: u32 },
    Duplicate(u64),
    Ratio(u32, u32),
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys { keys, capacity } => {
                write!(f, "the stored ledger has {keys} keys, expected at most {capacity}")
            }
            Self::Range { from, to } => {
                let count = Bucket::COUNT;
                write!(
                    f,
                    "keys have buckets {from}..{to}, expected a non-empty range within 0..{count}"
                )
            }
            Self::NotInSample { hash, halvings } => {
                write!(f, "key {hash} is not in the sample after {halvings} halvings")
            }
            Self::Duplicate(hash) => write!(f, "key {hash} is stored twice"),
            Self::Ratio(canary, all) => {
                write!(
                    f,
                    "a split ratio is {canary} of {all} buckets, expected more than none and fewer than all"
                )
            }
        }
    }
}

impl error::Error for Corrupt {}
