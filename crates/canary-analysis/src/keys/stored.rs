use std::{error, fmt};

use canary_core::{Bucket, PerChannel};
use serde::{Deserialize, Serialize};

use super::{KeyCounts, KeyLedger, Known};
use crate::coin::Coin;

/// The form in which a [`KeyLedger`] is stored.
#[derive(Deserialize, Serialize)]
pub(super) struct Stored {
    capacity: usize,
    keys: Vec<StoredKey>,
    counts: StoredCounts,
}

#[derive(Deserialize, Serialize)]
struct StoredKey {
    hash: u64,
    from: u32,
    to: u32,
    was_canary: bool,
    was_stable: bool,
}

/// What was counted and not taken yet.
#[derive(Deserialize, Serialize)]
struct StoredCounts {
    /// The coin's two numbers of buckets, then stable's keys and the canary's.
    tosses: Vec<(u32, u32, u64, u64)>,
    /// Stable's number, then the canary's.
    keys: [u64; 2],
    refused: u64,
    impossible: u64,
}

impl From<KeyLedger> for Stored {
    fn from(ledger: KeyLedger) -> Self {
        let KeyLedger { capacity, keys, counts } = ledger;
        let keys = keys.into_iter().map(|(hash, Known { from, to, was_canary, was_stable })| {
            StoredKey { hash, from, to, was_canary, was_stable }
        });
        let tosses = counts.tosses.iter().map(|(coin, tosses)| {
            (coin.canary_buckets(), coin.all_buckets(), tosses.stable, tosses.canary)
        });
        Self {
            capacity,
            keys: keys.collect(),
            counts: StoredCounts {
                tosses: tosses.collect(),
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
        let Stored { capacity, keys: stored_keys, counts } = stored;
        if stored_keys.len() > capacity {
            return Err(Corrupt::Keys { keys: stored_keys.len(), capacity });
        }
        let mut ledger = Self::new(capacity);
        for StoredKey { hash, from, to, was_canary, was_stable } in stored_keys {
            if from >= to || to > Bucket::COUNT {
                return Err(Corrupt::Range { hash, from, to });
            }
            let known = Known { from, to, was_canary, was_stable };
            if ledger.keys.insert(hash, known).is_some() {
                return Err(Corrupt::Twice(hash));
            }
        }
        let [stable, canary] = counts.keys;
        let mut restored = KeyCounts {
            keys: PerChannel { stable, canary },
            refused: counts.refused,
            impossible: counts.impossible,
            ..KeyCounts::default()
        };
        for (of_canary, all, stable, canary) in counts.tosses {
            let coin = Coin::try_new(of_canary, all).filter(|coin| !coin.is_certain());
            let coin = coin.ok_or(Corrupt::Coin(of_canary, all))?;
            restored.tosses.insert(coin, PerChannel { stable, canary });
        }
        ledger.counts = restored;
        Ok(ledger)
    }
}

/// A stored ledger that contradicts itself.
#[derive(Debug)]
pub(super) enum Corrupt {
    Keys { keys: usize, capacity: usize },
    Range { hash: u64, from: u32, to: u32 },
    Twice(u64),
    Coin(u32, u32),
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys { keys, capacity } => {
                write!(f, "the stored ledger has {keys} keys, expected at most {capacity}")
            }
            Self::Range { hash, from, to } => {
                let count = Bucket::COUNT;
                write!(f, "key {hash} has buckets {from}..{to}, expected some of 0..{count}")
            }
            Self::Twice(hash) => write!(f, "key {hash} is stored twice"),
            Self::Coin(canary, all) => {
                write!(f, "a toss has {canary} of {all} buckets, expected some and not all")
            }
        }
    }
}

impl error::Error for Corrupt {}
