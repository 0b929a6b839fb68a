//! The keys of a fleet: the law that each of them counts once.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::{collections::BTreeMap, time::Duration};

use canary_analysis::keys::{KeyCounts, KeyLedger};
use canary_core::{Bucket, Channel, KeySample, Weight};
use canary_rollout::{
    fleet::{
        BoardList, BoardSign, FleetCounts, JudgedCounts, OwnPart, Roster,
        keys::{JudgedKeys, KeyLog, KeyRecord, PublishedKeys},
    },
    replica::ReplicaId,
};
use proptest::prelude::*;

const SEED: u64 = 0x5eed;
const STEPS: [u32; 3] = [1, 10, 50];

/// The ledgers of the fleet, and all counts that the judge has got: those of seen and of adverse keys.
#[derive(Clone)]
struct Evidence {
    judged: JudgedKeys,
    ledgers: [KeyLedger; 2],
    counts: [KeyCounts; 2],
}

impl Evidence {
    fn new() -> Self {
        let ledger = || KeyLedger::new(100_000).with_seed(SEED);
        let (judged, counts) = (JudgedKeys::default(), Default::default());
        Self { judged, ledgers: [ledger(), ledger()], counts }
    }

    fn record(&mut self, record: &KeyRecord) {
        for ledger in &record.ledgers {
            let ledger = usize::from(*ledger);
            match record.key {
                Some(key) => self.ledgers[ledger].record(key, record.channel, record.weight),
                None => self.ledgers[ledger].record_without_key(record.channel, record.weight),
            };
            self.counts[ledger].merge(&self.ledgers[ledger].take());
        }
    }

    fn look(&mut self, replica: &ReplicaId, published: &PublishedKeys) {
        let mut judged = self.judged.clone();
        for batch in judged.take(replica, published, |_| true) {
            batch.records().for_each(|record| self.record(&record));
        }
        self.judged = judged;
    }
}

struct Replica {
    id: ReplicaId,
    log: KeyLog,
    entry: PublishedKeys,
    /// The records that are not published.
    unpublished: Vec<KeyRecord>,
}

impl Replica {
    fn new(id: u64) -> Self {
        let log = KeyLog::new(id, KeySample::seeded(SEED));
        let id = ReplicaId::from_random(id);
        Self { id, log, entry: PublishedKeys::default(), unpublished: Vec::new() }
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// A call of a key, or without one, on a replica.
    Call {
        replica: usize,
        key: Option<u64>,
        fails: bool,
    },
    /// The weight rises.
    Step,
    Publish(usize),
    /// The replica dies, and another one takes its place.
    Crash(usize),
    /// The driver reads an entry of the board.
    Look(usize),
    /// The driver stores the evidence.
    Save,
    /// Another replica drives, from the stored evidence on.
    NewDriver,
    /// The replica sees the stored evidence.
    Follow(usize),
}

fn events(steps: bool) -> impl Strategy<Value = Vec<Event>> {
    let replica = 0..4_usize;
    let key = prop_oneof![6 => (0..40_u64).prop_map(Some), 1 => Just(None)];
    let call = (replica.clone(), key, any::<bool>());
    let event = prop_oneof![
        30 => call.prop_map(|(replica, key, fails)| Event::Call { replica, key, fails }),
        u32::from(steps) => Just(Event::Step),
        8 => replica.clone().prop_map(Event::Publish),
        1 => replica.clone().prop_map(Event::Crash),
        8 => replica.clone().prop_map(Event::Look),
        4 => Just(Event::Save),
        2 => Just(Event::NewDriver),
        6 => replica.prop_map(Event::Follow),
    ];
    prop::collection::vec(event, 0..400)
}

fn hash(key: u64) -> u64 {
    (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Runs the events. Returns the evidence of the fleet, and the one of a process that has recorded all
/// published events.
fn run(events: Vec<Event>) -> (Evidence, Evidence) {
    let (mut driver, mut one) = (Evidence::new(), Evidence::new());
    let mut stored = driver.clone();
    let mut replicas: Vec<_> = (0..4).map(Replica::new).collect();
    let mut dead = Vec::new();
    let (mut step, mut next_id) = (0, 4);
    for event in events {
        match event {
            Event::Call { replica, key, fails } => {
                let weight = Weight::from_percent(STEPS[step]);
                let key = key.map(hash);
                let is_canary = weight.admits(Bucket::from_hash(key.unwrap_or(0)));
                let channel = if is_canary { Channel::Canary } else { Channel::Stable };
                let ledgers = if fails { [0, 1].into() } else { [0].into() };
                let record = KeyRecord { key, channel, weight, ledgers };
                let replica = &mut replicas[replica];
                replica.log.add(record.clone());
                replica.unpublished.push(record);
            }
            Event::Step => step = (step + 1).min(2),
            Event::Publish(at) => {
                let replica = &mut replicas[at];
                replica.entry = replica.log.publish();
                replica.unpublished.drain(..).for_each(|record| one.record(&record));
            }
            Event::Crash(at) => {
                let gone = std::mem::replace(&mut replicas[at], Replica::new(next_id));
                dead.push(gone);
                next_id += 1;
            }
            Event::Look(at) => {
                driver.look(&replicas[at].id, &replicas[at].entry);
                dead.iter().for_each(|replica| driver.look(&replica.id, &replica.entry));
            }
            Event::Save => stored = driver.clone(),
            Event::NewDriver => driver = stored.clone(),
            Event::Follow(at) => replicas[at].log.acknowledge(&stored.judged),
        }
    }
    // In the end, the driver sees all entries.
    let mut driver = stored;
    for replica in dead.iter().chain(&replicas) {
        driver.look(&replica.id, &replica.entry);
    }
    (driver, one)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Guarantees K1 and K2.
    #[test]
    fn the_keys_of_a_fleet_are_those_of_one_process(events in events(false)) {
        let (fleet, one) = run(events);
        prop_assert_eq!(fleet.counts, one.counts);
    }

    /// The order of the events decides at which weight a key counts, and not how often.
    #[test]
    fn a_key_counts_once_on_each_channel_when_the_weight_rises(events in events(true)) {
        let (fleet, one) = run(events);
        for (fleet, one) in fleet.counts.iter().zip(&one.counts) {
            prop_assert_eq!(fleet.keys, one.keys);
            prop_assert_eq!((fleet.impossible, fleet.refused), (0, 0));
        }
    }
}

fn id(number: u64) -> ReplicaId {
    ReplicaId::from_random(number)
}

fn record(key: u64) -> KeyRecord {
    let (channel, weight) = (Channel::Stable, Weight::from_percent(1));
    KeyRecord { key: Some(hash(key)), channel, weight, ledgers: [0].into() }
}

fn count(published: &PublishedKeys) -> usize {
    published.batches().map(|batch| batch.records().count()).sum()
}

#[test]
fn a_batch_is_published_until_the_evidence_has_it() {
    let mut log = KeyLog::new(1, KeySample::seeded(SEED));
    let mut stored = JudgedKeys::default();
    for key in 0..5_000 {
        log.add(record(key));
    }
    let (mut judged, mut publications) = (0, 0);
    while !log.is_empty() {
        let published = log.publish();
        assert_eq!(log.publish(), published, "the evidence has not changed");
        assert!(count(&published) <= PublishedKeys::MAX_KEYS);
        // The evidence of a driver that was replaced is not stored.
        assert_eq!(
            stored.clone().take(&id(1), &published, |_| true).len(),
            published.batches().count()
        );
        let text = serde_json::to_string(&published).unwrap();
        let listed: PublishedKeys = serde_json::from_str(&text).unwrap();
        judged += stored.take(&id(1), &listed, |_| true).iter().flat_map(|it| it.records()).count();
        log.acknowledge(&stored);
        publications += 1;
    }
    assert_eq!((judged, publications), (5_000, 5));
}

#[test]
fn a_batch_waits_for_the_step_of_its_monitors_and_so_do_later_ones() {
    let mut log = KeyLog::new(1, KeySample::seeded(SEED));
    log.add(record(0));
    let _ = log.publish();
    log.add(KeyRecord { ledgers: [3].into(), ..record(1) });
    let _ = log.publish();
    log.add(record(2));
    let published = log.publish();
    let mut judged = JudgedKeys::default();
    let has_begun = |begun: u8| {
        move |batch: &_| -> bool {
            let batch: &canary_rollout::fleet::keys::KeyBatch = batch;
            batch.ledgers().all(|ledger| ledger < begun)
        }
    };
    assert_eq!(judged.take(&id(1), &published, has_begun(3)).len(), 1);
    assert_eq!(judged.take(&id(1), &published, has_begun(3)).len(), 0);
    assert_eq!(judged.take(&id(1), &published, has_begun(4)).len(), 2);
}

/// The limit is in the docs of `canary_rollout::fleet::keys`.
#[test]
fn the_logs_do_not_grow_with_each_replica_that_has_started() {
    for leaves in [true, false] {
        let (mut judged, mut roster) = (JudgedKeys::default(), Roster::default());
        let (mut sum, mut entries) = (JudgedCounts::default(), BTreeMap::new());
        let (nothing, mut counted) = (FleetCounts::default(), 0);
        for start in 1..=4_000 {
            let mut log = KeyLog::new(hash(start), KeySample::seeded(SEED));
            log.add(record(start));
            let sign = BoardSign { has_left: leaves, ..BoardSign::new(id(hash(start)), 1) };
            entries.insert(start, (sign, log.publish()));
            // The driver removes the entries whose counts its stored roster has.
            entries.retain(|_, (sign, _)| !roster.has_folded(sign));
            let mut list = BoardList::default();
            entries.values().for_each(|(sign, _)| list.push(sign.clone(), nothing.clone()));
            roster.observe(Duration::from_secs(30), list.signs());
            let own = OwnPart { replica: &id(0), counts: &nothing, step: 1 };
            list.look(own, &mut sum, &mut roster).unwrap();
            for (sign, published) in entries.values() {
                counted += judged.take(&sign.replica, published, |_| true).len();
            }
            judged.forget(&roster, &id(0));
        }
        assert_eq!(counted, 4_000, "each log counts once");
        let stored = serde_json::to_string(&judged).unwrap();
        let logs = stored.matches("\":{").count();
        println!("{logs} logs, {} bytes of JSON", stored.len());
        // A quarter of an hour has 30 starts.
        let limit = if leaves { 32 } else { Roster::MAX_FORGOTTEN + Roster::MAX_REMEMBERED + 32 };
        assert!(logs <= limit, "{logs} logs");
    }
}

#[test]
fn a_log_of_another_seed_is_kept_only_if_it_has_all_keys() {
    let records = (0..1_000).map(record);
    let (theirs, quarter) = (KeySample::seeded(SEED), KeySample::seeded(SEED).after(2));
    let mut all = KeyLog::new(1, KeySample::seeded(1));
    all.extend(records.clone());
    all.reseed(quarter);
    assert_eq!(
        count(&all.publish()),
        records.clone().filter(|it| quarter.holds(it.key.unwrap())).count()
    );

    let mut half = KeyLog::new(2, KeySample::seeded(2));
    half.extend(records);
    half.narrow(KeySample::seeded(2).halved());
    assert!((400..600).contains(&count(&half.all())));
    half.reseed(theirs);
    assert!(half.is_empty());
    assert_eq!(half.sample(), theirs);
}
