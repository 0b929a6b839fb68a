use std::collections::{BTreeMap, VecDeque};

use canary_core::KeySample;
use serde::{Deserialize, Serialize};

use super::{super::Roster, KeyBatch, KeyRecord};
use crate::replica::ReplicaId;

/// What one replica has recorded of its keys, and the judge has not yet observed.
///
/// ```
/// use canary_core::{Channel, KeySample, Weight};
/// use canary_rollout::{
///     fleet::keys::{JudgedKeys, KeyLog, KeyRecord},
///     replica::ReplicaId,
/// };
///
/// let replica = ReplicaId::from_random(1);
/// let mut log = KeyLog::new(7, KeySample::seeded(0x5eed));
/// let (channel, weight) = (Channel::Canary, Weight::from_percent(1));
/// log.add(KeyRecord { key: Some(21), channel, weight, ledgers: [0].into() });
/// let published = log.publish();
/// let mut judged = JudgedKeys::default();
/// assert_eq!(judged.take(&replica, &published, |_| true).len(), 1);
/// // The driver lists the entry again before the replica has seen the evidence.
/// assert!(judged.take(&replica, &published, |_| true).is_empty());
/// log.acknowledge(&judged);
/// assert!(log.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct KeyLog {
    id: u64,
    sample: KeySample,
    /// The number of the latest batch.
    number: u64,
    open: KeyBatch,
    batches: VecDeque<KeyBatch>,
}

/// A part of a [`KeyLog`]: the batches that are not known to be judged, the earliest first.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PublishedKeys {
    #[serde(rename = "l")]
    log: u64,
    #[serde(rename = "s")]
    seed: u64,
    #[serde(rename = "h")]
    halvings: u32,
    #[serde(rename = "b")]
    batches: Vec<KeyBatch>,
}

/// The number of the last batch of each log that the judge has observed.
///
/// The logs of a replica stay in it as long as the roster [knows](Roster::knows) the replica, and those
/// of the driver always: a list that is late, or an entry that was away for a while, must not count
/// again.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct JudgedKeys(BTreeMap<ReplicaId, BTreeMap<u64, u64>>);

impl KeyLog {
    /// Creates an empty log. Its `id` is random, because a log that begins again, even of the same
    /// replica, numbers its batches from 1.
    #[must_use]
    pub fn new(id: u64, sample: KeySample) -> Self {
        Self { id, sample, number: 0, open: KeyBatch::default(), batches: VecDeque::new() }
    }

    /// Adds new events of a key of the sample.
    pub fn add(&mut self, record: KeyRecord) {
        self.open.add(record);
        if self.open.key_count() >= MAX_BATCH {
            self.seal();
        }
    }

    /// Removes the keys outside the sample. Its seed must be the same.
    pub fn narrow(&mut self, sample: KeySample) {
        self.sample = self.sample.and(sample);
        for batch in self.batches.iter_mut().chain([&mut self.open]) {
            batch.narrow(self.sample);
        }
        self.batches.retain(|batch| !batch.is_empty());
    }

    /// Changes the seed of the sample. The records stay if they are of all keys, because only then none
    /// of the new sample is missing.
    pub fn reseed(&mut self, sample: KeySample) {
        if self.sample.halvings() > 0 {
            (self.open, self.batches) = (KeyBatch::default(), VecDeque::new());
        }
        self.sample = KeySample::seeded(sample.seed());
        self.narrow(sample);
    }

    /// Returns the sample of keys whose records are complete.
    #[must_use]
    pub const fn sample(&self) -> KeySample {
        self.sample
    }

    /// Returns all records in batches, for the driver itself, or for the last publication.
    #[must_use]
    pub fn all(&mut self) -> PublishedKeys {
        self.limited_to(usize::MAX)
    }

    /// Returns the earliest batches to be published.
    #[must_use]
    pub fn publish(&mut self) -> PublishedKeys {
        self.limited_to(PublishedKeys::MAX_KEYS)
    }

    fn limited_to(&mut self, limit: usize) -> PublishedKeys {
        self.seal();
        let mut keys = 0;
        let fits = |batch: &&KeyBatch| {
            keys += batch.key_count();
            keys <= limit
        };
        let batches = self.batches.iter().take(MAX_BATCHES).take_while(fits).cloned().collect();
        let (seed, halvings) = (self.sample.seed(), self.sample.halvings());
        PublishedKeys { log: self.id, seed, halvings, batches }
    }

    /// Forgets the batches that the stored evidence has.
    pub fn acknowledge(&mut self, judged: &JudgedKeys) {
        let last = judged.0.values().find_map(|logs| logs.get(&self.id)).copied().unwrap_or(0);
        self.batches.retain(|batch| batch.number > last);
    }

    /// Returns whether no batch is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.batches.is_empty()
    }

    fn seal(&mut self) {
        if self.open.is_empty() {
            return;
        }
        if self.batches.len() >= MAX_BATCHES {
            self.batches.pop_front();
        }
        self.number += 1;
        let open = std::mem::take(&mut self.open);
        self.batches.push_back(open.numbered(self.number));
    }
}

impl Extend<KeyRecord> for KeyLog {
    fn extend<I: IntoIterator<Item = KeyRecord>>(&mut self, records: I) {
        records.into_iter().for_each(|record| self.add(record));
    }
}

impl PublishedKeys {
    /// The number of keys in a publication that is not exceeded.
    pub const MAX_KEYS: usize = 1_000;

    /// Returns the sample of keys whose records are complete.
    #[must_use]
    pub const fn sample(&self) -> KeySample {
        KeySample::seeded(self.seed).after(self.halvings)
    }

    /// Returns the batches.
    pub fn batches(&self) -> impl Iterator<Item = &KeyBatch> {
        self.batches.iter()
    }

    /// Returns the earlier half of the batches, or `None` if there is none. The replica publishes the
    /// others later, unless it leaves: then they are lost.
    #[must_use]
    pub fn halved(&self) -> Option<Self> {
        let half = self.batches.len() / 2;
        let batches = self.batches[..half].to_vec();
        (!self.is_empty()).then_some(Self { batches, ..*self })
    }

    /// Returns whether there is no batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

impl JudgedKeys {
    /// Returns the batches of a replica that are not judged, and notes that they are, up to the first one
    /// that is not `ready`: it stays for a later look.
    #[must_use]
    pub fn take<'a>(
        &mut self,
        replica: &ReplicaId,
        published: &'a PublishedKeys,
        mut ready: impl FnMut(&KeyBatch) -> bool,
    ) -> Vec<&'a KeyBatch> {
        let logs = self.0.get(replica);
        let last = logs.and_then(|logs| logs.get(&published.log)).copied().unwrap_or(0);
        let new = published.batches.iter().filter(|batch| batch.number > last);
        let taken: Vec<_> = new.take_while(|batch| ready(batch)).collect();
        if let Some(batch) = taken.last() {
            self.0.entry(replica.clone()).or_default().insert(published.log, batch.number);
        }
        taken
    }

    /// Forgets the logs of replicas that the roster has forgotten, so that they do not grow with each
    /// replica that has ever started. Those of the driver, `me`, stay: it judges its own keys before it
    /// is in the roster, which is when it has published or listed for the first time.
    pub fn forget(&mut self, roster: &Roster, me: &ReplicaId) {
        self.0.retain(|replica, _| replica == me || roster.knows(replica));
    }
}

/// A batch is published as a whole. Four of them fit into a publication.
const MAX_BATCH: usize = PublishedKeys::MAX_KEYS / 4;

/// The number of batches that a log holds, one per tick and more with many keys. If the store is away
/// for longer, the earliest ones are lost.
const MAX_BATCHES: usize = 4_096;
