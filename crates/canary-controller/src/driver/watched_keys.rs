use std::ops::RangeInclusive;

use canary_analysis::{Judge, Observation};
use canary_core::{KeySample, Weight};
use canary_rollout::{
    fleet::{
        Roster,
        keys::{KeyLog, PublishedKeys},
    },
    replica::ReplicaId,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tower_canary::{
    CanaryHandle,
    control::{ControlExt, KeyEvents, KeyWatch},
};

use crate::driver::{
    board::Presence,
    key_ledgers::{KeyLedgers, LedgerName, MAX_KEYS},
    waiting_keys::WaitingKeys,
};

/// The keys of this process and of the fleet: what the watch reports goes into a log, if it is new, and
/// from the logs of all replicas into the ledgers of the fleet. The docs of
/// [`canary_rollout::fleet::keys`] have the protocol.
pub(super) struct WatchedKeys {
    watch: KeyWatch,
    waiting: WaitingKeys,
    /// The ledgers of the fleet as this replica knows them, with its own events.
    known: KeyLedgers,
    log: KeyLog,
    /// The ledgers of the fleet. Only the driver adds to them.
    fleet: KeyLedgers,
}

/// The new keys of a replica on the board.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct BoardKeys {
    /// The ledgers of the replica. Those of another plan have other numbers.
    names: Vec<LedgerName>,
    keys: PublishedKeys,
}

impl BoardKeys {
    /// Returns the earlier half, or `None` if there is none.
    pub(super) fn halved(&self) -> Option<Self> {
        Some(Self { keys: self.keys.halved()?, names: self.names.clone() })
    }
}

impl WatchedKeys {
    /// Watches the keys for the judge's monitors per key. Returns `None` if there are none.
    ///
    /// `stored` must [match the monitors](KeyLedgers::match_monitors).
    pub(super) fn new(
        judge: &Judge,
        canary: &CanaryHandle,
        stored: Option<KeyLedgers>,
    ) -> Option<Self> {
        let Some(empty) = KeyLedgers::empty(judge, rand::random()) else {
            canary.unwatch_keys();
            return None;
        };
        let fleet = stored.unwrap_or(empty);
        let watch = canary.watch_keys(fleet.sample());
        let log = KeyLog::new(rand::random(), fleet.sample());
        let mut known = fleet.clone();
        known.drop_counts();
        Some(Self { watch, waiting: WaitingKeys::default(), known, log, fleet })
    }

    /// Adds the keys of this process since the last call to its log.
    pub(super) fn collect(&mut self, judge: &Judge) {
        let KeyEvents { sample, mut events, ratings, .. } = self.watch.take();
        self.narrow(sample);
        let mut unanswered = self.waiting.update(&events, Instant::now());
        // The ratings have such an order: their keys have no relation to the channels.
        unanswered.sort_by_key(|event| publication_order(event.weight, event.key));
        events.sort_by_key(|event| publication_order(event.weight, event.key));
        self.log.extend(unanswered.iter().filter_map(|it| self.known.note_waiting(judge, it)));
        self.log.extend(events.iter().filter_map(|event| self.known.note(judge, event)));
        self.log.extend(ratings.iter().filter_map(|rating| self.known.note_rating(judge, rating)));
        self.known.drop_counts();
        while self.known.max_known().max(self.waiting.count()) > MAX_KEYS {
            self.narrow(self.log.sample().halved());
        }
    }

    /// Adds the keys of the fleet since the last call to an observation. Those of monitors that judge from
    /// a later step than this one on stay for a later call.
    pub(super) fn observe(
        &mut self,
        judge: &Judge,
        observation: Observation,
        step: usize,
        me: &ReplicaId,
        others: &[(ReplicaId, BoardKeys)],
    ) -> Observation {
        self.collect(judge);
        let names = self.fleet.names();
        let of_plan = others.iter().filter(|(_, it)| it.names == names);
        let keys = of_plan.map(|(replica, it)| (replica, &it.keys));
        let others: Vec<_> = keys.filter(|(_, keys)| self.has_all_of_sample(keys)).collect();
        // No replica has all events of the keys outside these samples.
        let seed = self.log.sample().seed();
        for (_, keys) in others.iter().filter(|(_, it)| it.sample().seed() == seed) {
            self.narrow(keys.sample());
        }
        self.fleet.narrow(self.log.sample());
        let own = self.log.all();
        for (replica, keys) in others.into_iter().chain([(me, &own)]) {
            self.fleet.add(judge, replica, keys);
            while self.fleet.max_known() > MAX_KEYS {
                self.narrow(self.log.sample().halved());
                self.fleet.narrow(self.log.sample());
            }
        }
        self.fleet.take(judge, observation, step)
    }

    /// Forgets the logs of other replicas that the roster has forgotten.
    pub(super) fn forget(&mut self, roster: &Roster, me: &ReplicaId) {
        self.fleet.forget(roster, me);
    }

    /// Returns whether the published keys have all keys of the fleet's sample, or of a half of it.
    fn has_all_of_sample(&self, keys: &PublishedKeys) -> bool {
        let (theirs, ours) = (keys.sample(), self.log.sample());
        theirs.seed() == ours.seed() || theirs.halvings() == 0
    }

    /// Empties the ledgers of the monitors that judge from one of these steps on: keys that they have
    /// seen before count as new.
    pub(super) fn begin(&mut self, judge: &Judge, steps: &RangeInclusive<usize>) {
        self.known.begin(judge, steps);
        self.fleet.begin(judge, steps);
    }

    /// Leaves out the keys since the last call.
    pub(super) fn skip(&mut self) {
        let KeyEvents { sample, .. } = self.watch.take();
        self.waiting = WaitingKeys::default();
        self.narrow(sample);
    }

    /// Follows the ledgers of the evidence, which another replica has stored. They must
    /// [match the monitors](KeyLedgers::match_monitors).
    pub(super) fn follow(&mut self, fleet: KeyLedgers, judge: &Judge, canary: &CanaryHandle) {
        let sample = fleet.sample();
        if sample.seed() != self.log.sample().seed() {
            self.collect(judge);
            self.log.reseed(sample);
            self.watch = canary.watch_keys(sample);
        }
        self.fleet = fleet;
        self.known.follow(&self.fleet);
        self.narrow(sample);
        self.log.acknowledge(self.fleet.judged());
        self.known.add_unjudged(&self.log.all());
        self.known.drop_counts();
    }

    /// Notes the evidence that this replica has stored: it may have fewer keys than the judge.
    pub(super) fn note_stored(&mut self, stored: &KeyLedgers) {
        if stored.sample().seed() == self.log.sample().seed() {
            self.narrow(stored.sample());
            self.fleet.narrow(stored.sample());
        }
        self.log.acknowledge(stored.judged());
    }

    /// Narrows what this process records. The sample of the evidence stays.
    fn narrow(&mut self, sample: KeySample) {
        self.log.narrow(sample);
        let sample = self.log.sample();
        self.watch.narrow(sample);
        self.known.narrow(sample);
        self.waiting.narrow(sample);
    }

    /// Returns the new keys of this process for the board: all of them if it leaves.
    pub(super) fn publish(&mut self, presence: Presence) -> Option<BoardKeys> {
        let keys = match presence {
            Presence::Stays => self.log.publish(),
            Presence::Leaves => self.log.all(),
        };
        (!keys.is_empty()).then(|| BoardKeys { names: self.fleet.names(), keys })
    }

    /// Returns the ledgers of the fleet, for the evidence.
    pub(super) const fn ledgers(&self) -> &KeyLedgers {
        &self.fleet
    }
}

/// The order in which new keys are published. Keys that wait for a later publication must be of both
/// channels, and the first bits of a hash decide its channel. The order of the weights stays.
fn publication_order(weight: Weight, key: Option<u64>) -> (Weight, Option<u64>) {
    (weight, key.map(u64::reverse_bits))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use canary_core::Channel;
    use canary_rollout::{Plan, fleet::keys::KeyRecord};
    use futures_util::FutureExt;
    use http::{HeaderName, Request, Response};
    use tower::{Layer, Service, service_fn};
    use tower_canary::{CanaryLayer, CanaryOptions, control::KeyEvent, select::Sticky};

    use super::*;
    use crate::compact;

    /// Guarantee K3. The sizes are in the docs of `canary_rollout::fleet::keys`.
    #[test]
    fn a_publication_has_at_most_a_thousand_keys() {
        #[derive(Serialize)]
        struct Published {
            #[serde(with = "compact")]
            keys: BoardKeys,
        }
        let plan = Plan::from_toml("steps = [{ weight = '10%' }]").unwrap();
        let judge = plan.judge_by(canary_analysis::Unit::Keys);
        let ledgers = KeyLedgers::empty(&judge, 7).unwrap();
        let mut bytes = Vec::new();
        for keys in [0, 1, 10, 100, 1_000, 5_000] {
            let mut log = KeyLog::new(u64::MAX / 3, KeySample::seeded(u64::MAX / 5));
            let mut hash: u64 = 0x5eed;
            log.extend((0..keys).map(|number| {
                hash = hash.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                let failed = [0, 4].into_iter().take(1 + usize::from(number % 20 == 0));
                let channel = if number % 10 == 0 { Channel::Canary } else { Channel::Stable };
                let weight = Weight::from_percent(10);
                KeyRecord { key: Some(hash), channel, weight, ledgers: failed.collect() }
            }));
            let keys_of = log.publish();
            let published: usize = keys_of.batches().map(|batch| batch.records().count()).sum();
            let keys_of = BoardKeys { names: ledgers.names(), keys: keys_of };
            let len = serde_json::to_vec(&Published { keys: keys_of }).unwrap().len();
            println!("{len} bytes for {published} of {keys} keys");
            assert_eq!(published, keys.min(PublishedKeys::MAX_KEYS));
            bytes.push(len);
        }
        assert!(bytes[0] < 500 && bytes[5] < 15_000, "{bytes:?}");
    }

    /// Returns the event of a key that a watch reports.
    fn event() -> KeyEvent {
        let user = HeaderName::from_static("x-user-id");
        let options = CanaryOptions::new().select(Sticky::by_header(user.clone()));
        let service = || {
            service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) })
        };
        let layer = CanaryLayer::with_options("shop", service(), options);
        let watch = layer.handle().watch_keys(KeySample::ALL);
        let request = Request::get("/").header(&user, "ada").body(()).unwrap();
        let called = layer.layer(service()).call(request).now_or_never();
        drop(called.expect("the service answers at once"));
        watch.take().events.remove(0)
    }

    #[test]
    fn a_key_on_an_impossible_channel_is_published_once() {
        let plan = Plan::from_toml("steps = [{ weight = '10%' }]").unwrap();
        let judge = plan.judge_by(canary_analysis::Unit::Keys);
        let fleet = KeyLedgers::empty(&judge, 7).unwrap();
        let mut known = fleet.clone();
        let weight = Weight::from_percent(10);
        let mut stable = event();
        stable.weight = weight;
        let mut canary = stable.clone();
        canary.channel = Channel::Canary;
        assert_eq!(stable.channel, Channel::Stable);
        assert!(known.note(&judge, &stable).is_some());
        assert!(known.note(&judge, &canary).is_some());
        for _ in 0..3 {
            assert_eq!(known.note(&judge, &canary), None);
            // The evidence that the replica follows does not have its keys yet.
            known.follow(&fleet);
            known.note(&judge, &stable);
        }
    }
}
