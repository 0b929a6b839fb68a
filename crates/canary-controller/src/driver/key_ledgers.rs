use std::{collections::BTreeSet, ops::RangeInclusive};

use canary_analysis::{
    Judge, Measure, Monitor, Observation, Unit, Until,
    keys::{KeyLedger, Recorded},
};
use canary_core::{Channel, KeySample, Rating, Weight};
use canary_rollout::{
    fleet::{
        Roster,
        keys::{JudgedKeys, KeyBatch, KeyRecord, PublishedKeys},
    },
    replica::ReplicaId,
};
use serde::{Deserialize, Serialize};
use tower_canary::control::{KeyEvent, KeyRating};

use crate::driver::key_trials::{TrialKind, Trials};

/// The ledgers of counted keys. Those of the fleet are stored with the evidence, and each replica has
/// a copy with its own events, to find which of them are new.
///
/// All ledgers have the same sample, so that each adverse key is among the seen keys. Records refer to
/// a ledger by its number: first those of adverse keys, then those of seen keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct KeyLedgers {
    /// Keys with adverse events, by the name of the monitor. The share monitor has no ledger.
    adverse: Vec<(String, KeyLedger)>,
    /// Keys with trials.
    seen: Vec<(Trials, KeyLedger)>,
    /// The batches of all replicas that these ledgers have.
    #[serde(default)]
    judged: JudgedKeys,
    /// The keys that have had an impossible event in a ledger. The fleet counts what each replica has
    /// found.
    #[serde(skip)]
    impossible: BTreeSet<(u64, u8)>,
}

/// What a ledger has the keys of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum LedgerName {
    /// Adverse events of the monitor with this name.
    Adverse(String),
    /// Trials.
    Seen(Trials),
}

impl KeyLedgers {
    /// Returns empty ledgers for the judge's monitors per key, or `None` if there are none. The
    /// seed chooses the sample of keys, and is stored with them.
    pub(super) fn empty(judge: &Judge, seed: u64) -> Option<Self> {
        let ledger = || KeyLedger::new(CAPACITY).with_seed(seed);
        let (mut adverse, mut seen) = (Vec::new(), Vec::new());
        for monitor in per_key(judge) {
            if *monitor.measure() != Measure::Share {
                adverse.push((monitor.name().to_owned(), ledger()));
            }
            let trials = Trials::of(monitor);
            if !seen.iter().any(|(known, _)| *known == trials) {
                seen.push((trials, ledger()));
            }
        }
        let judged = JudgedKeys::default();
        (!seen.is_empty()).then_some(Self { adverse, seen, judged, impossible: BTreeSet::new() })
    }

    /// Returns whether the ledgers belong to the judge's monitors per key. A judge without such
    /// monitors has no ledgers.
    pub(super) fn match_monitors(ledgers: Option<&Self>, judge: &Judge) -> bool {
        ledgers.map(Self::names) == Self::empty(judge, 0).as_ref().map(Self::names)
    }

    /// Returns the names of the ledgers, in the order of their numbers.
    pub(super) fn names(&self) -> Vec<LedgerName> {
        let adverse = self.adverse.iter().map(|(name, _)| LedgerName::Adverse(name.clone()));
        let seen = self.seen.iter().map(|(trials, _)| LedgerName::Seen(trials.clone()));
        adverse.chain(seen).collect()
    }

    /// Returns the ledgers with half of the sample, or `None` if they are empty. Keys outside of
    /// the sample are never counted again.
    pub(super) fn halved(&self) -> Option<Self> {
        let mut halved = self.clone();
        halved.narrow(self.sample().halved());
        (self.max_known() > 0).then_some(halved)
    }

    pub(super) fn sample(&self) -> KeySample {
        let samples = self.ledgers().map(KeyLedger::sample);
        samples.reduce(KeySample::and).unwrap_or_default()
    }

    /// Returns the number of different keys so far, estimated from the sample.
    pub(super) fn key_count(&self) -> u64 {
        let known = self.seen.iter().map(|(_, ledger)| ledger.key_count()).max();
        let known = u64::try_from(known.unwrap_or_default()).unwrap_or(u64::MAX);
        known.saturating_mul(self.sample().one_in())
    }

    pub(super) fn max_known(&self) -> usize {
        self.ledgers().map(KeyLedger::key_count).max().unwrap_or_default()
    }

    fn ledgers(&self) -> impl Iterator<Item = &KeyLedger> {
        let adverse = self.adverse.iter().map(|(_, ledger)| ledger);
        adverse.chain(self.seen.iter().map(|(_, ledger)| ledger))
    }

    pub(super) fn narrow(&mut self, sample: KeySample) {
        self.adverse.iter_mut().for_each(|(_, ledger)| ledger.narrow(sample));
        self.seen.iter_mut().for_each(|(_, ledger)| ledger.narrow(sample));
        self.impossible.retain(|(key, _)| sample.holds(*key));
    }

    /// Continues from the ledgers of the fleet.
    pub(super) fn follow(&mut self, fleet: &Self) {
        let impossible = std::mem::take(&mut self.impossible);
        *self = Self { impossible, ..fleet.clone() };
    }

    /// Empties the ledgers of the monitors that judge from one of these steps on: keys that they have
    /// seen before count as new.
    pub(super) fn begin(&mut self, judge: &Judge, steps: &RangeInclusive<usize>) {
        let begins = |name: &str| {
            judge.monitors().any(|it| it.name() == name && steps.contains(&it.starting_step()))
        };
        let adverse = self.adverse.iter_mut().filter(|(name, _)| begins(name));
        adverse.for_each(|(_, ledger)| ledger.clear());
        let seen = self.seen.iter_mut().filter(|(trials, _)| steps.contains(&trials.step));
        seen.for_each(|(_, ledger)| ledger.clear());
        let empty: BTreeSet<usize> = self
            .ledgers()
            .enumerate()
            .filter(|(_, it)| it.key_count() == 0)
            .map(|(at, _)| at)
            .collect();
        self.impossible.retain(|(_, number)| !empty.contains(&usize::from(*number)));
    }

    /// Records the events of a key. Returns what is new to the ledgers.
    pub(super) fn note(&mut self, judge: &Judge, event: &KeyEvent) -> Option<KeyRecord> {
        let mut numbers: BTreeSet<u8> = self
            .numbered_trials()
            .filter(|(_, trials)| trials.include(event))
            .map(|(number, _)| number)
            .collect();
        numbers.extend(self.adverse_to(judge, event, |it| is_adverse(it, judge, event)));
        self.note_in(judge, numbers, event.key, event.channel, event.weight)
    }

    /// Records that a key has waited for too long. Returns what is new to the ledgers.
    pub(super) fn note_waiting(&mut self, judge: &Judge, event: &KeyEvent) -> Option<KeyRecord> {
        let numbers = self.adverse_to(judge, event, |it| *it.measure() == Measure::Unanswered);
        self.note_in(judge, numbers, event.key, event.channel, event.weight)
    }

    /// Records the rating of a key. Returns what is new to the ledgers.
    pub(super) fn note_rating(&mut self, judge: &Judge, rating: &KeyRating) -> Option<KeyRecord> {
        let event = rating.event.as_ref().map(|event| event.as_str().to_owned());
        let kind = TrialKind::Rated(event);
        let trials = self.numbered_trials().filter(|(_, trials)| trials.kind == kind);
        let mut numbers: BTreeSet<u8> = trials.map(|(number, _)| number).collect();
        if rating.rating == Rating::Bad {
            let monitors = per_key(judge).filter(|monitor| TrialKind::of(monitor) == kind);
            numbers.extend(monitors.filter_map(|monitor| self.number_of(monitor)));
        }
        self.note_in(judge, numbers, Some(rating.key), rating.channel, rating.weight)
    }

    /// Adds the records of the batches of a replica that these ledgers do not have. A batch waits for the
    /// steps of its monitors.
    pub(super) fn add(&mut self, judge: &Judge, replica: &ReplicaId, published: &PublishedKeys) {
        let mut judged = std::mem::take(&mut self.judged);
        let has_begun = |batch: &KeyBatch| batch.ledgers().all(|it| self.has_begun(judge, it));
        for batch in judged.take(replica, published, has_begun) {
            self.add_batch(batch);
        }
        self.judged = judged;
    }

    /// Adds the records of a log, without noting that they are judged.
    pub(super) fn add_unjudged(&mut self, published: &PublishedKeys) {
        published.batches().for_each(|batch| self.add_batch(batch));
    }

    fn add_batch(&mut self, batch: &KeyBatch) {
        for KeyRecord { key, channel, weight, ledgers } in batch.records() {
            for number in ledgers {
                self.ledger_mut(number).map(|it| record_in(it, key, channel, weight));
            }
        }
    }

    /// Returns the batches of all replicas that the ledgers have.
    pub(super) const fn judged(&self) -> &JudgedKeys {
        &self.judged
    }

    /// Forgets the logs of other replicas that the roster has forgotten.
    pub(super) fn forget(&mut self, roster: &Roster, me: &ReplicaId) {
        self.judged.forget(roster, me);
    }

    /// Forgets the counts since the last look.
    pub(super) fn drop_counts(&mut self) {
        let adverse = self.adverse.iter_mut().map(|(_, ledger)| ledger);
        adverse
            .chain(self.seen.iter_mut().map(|(_, ledger)| ledger))
            .for_each(|it| drop(it.take()));
    }

    /// Records events in the ledgers of begun monitors. An event is new if it counts, or is the first
    /// impossible one of its key: one proves as much as many, which would fill the log.
    fn note_in(
        &mut self,
        judge: &Judge,
        numbers: BTreeSet<u8>,
        key: Option<u64>,
        channel: Channel,
        weight: Weight,
    ) -> Option<KeyRecord> {
        let mut ledgers = BTreeSet::new();
        for number in numbers {
            if !self.has_begun(judge, number) {
                continue;
            }
            let recorded = self.ledger_mut(number).map(|it| record_in(it, key, channel, weight));
            let is_new = match recorded {
                Some(Recorded::Counted) => true,
                Some(Recorded::Impossible) => {
                    key.is_none_or(|key| self.impossible.insert((key, number)))
                }
                _ => false,
            };
            if is_new {
                ledgers.insert(number);
            }
        }
        (!ledgers.is_empty()).then_some(KeyRecord { key, channel, weight, ledgers })
    }

    /// Returns the numbers of the ledgers of the monitors to which an event is adverse.
    fn adverse_to(
        &self,
        judge: &Judge,
        event: &KeyEvent,
        is_adverse: impl Fn(&Monitor) -> bool,
    ) -> BTreeSet<u8> {
        let mut numbers = BTreeSet::new();
        let monitors = per_key(judge).filter(|monitor| Trials::of(monitor).are_of(event));
        for monitor in monitors.filter(|monitor| is_adverse(monitor)) {
            let trials = Trials::of(monitor);
            numbers.extend(self.number_of(monitor));
            // The key may have been assigned before the monitor began.
            let late = self.numbered_trials().filter(|(_, it)| it.step > 1 && **it == trials);
            numbers.extend(late.map(|(number, _)| number));
        }
        numbers
    }

    fn number_of(&self, monitor: &Monitor) -> Option<u8> {
        let at = self.adverse.iter().position(|(name, _)| name == monitor.name())?;
        u8::try_from(at).ok()
    }

    fn numbered_trials(&self) -> impl Iterator<Item = (u8, &Trials)> {
        let trials = self.seen.iter().map(|(trials, _)| trials);
        (0..=u8::MAX).skip(self.adverse.len()).zip(trials)
    }

    fn ledger_mut(&mut self, number: u8) -> Option<&mut KeyLedger> {
        let adverse = self.adverse.iter_mut().map(|(_, ledger)| ledger);
        adverse.chain(self.seen.iter_mut().map(|(_, ledger)| ledger)).nth(usize::from(number))
    }

    /// Returns whether the step has begun from which on the monitors of a ledger judge.
    fn has_begun(&self, judge: &Judge, number: u8) -> bool {
        let step = match self.adverse.get(usize::from(number)) {
            Some((name, _)) => {
                judge.monitors().find(|it| it.name() == name).map(Monitor::starting_step)
            }
            None => {
                let mut trials = self.numbered_trials();
                trials.find(|(it, _)| *it == number).map(|(_, trials)| trials.step)
            }
        };
        step.is_none_or(|step| step <= judge.step())
    }

    /// Adds the counts since the last call to the observation: those of monitors that judge from this
    /// step or an earlier one on. The judge would ignore the others.
    pub(super) fn take(
        &mut self,
        judge: &Judge,
        mut observation: Observation,
        step: usize,
    ) -> Observation {
        let is_later =
            |name: &str| judge.monitors().any(|it| it.name() == name && it.starting_step() > step);
        for (name, ledger) in self.adverse.iter_mut().filter(|(name, _)| !is_later(name)) {
            observation = observation.with_adverse_keys(name.as_str(), &ledger.take());
        }
        for (trials, ledger) in self.seen.iter_mut().filter(|(trials, _)| trials.step <= step) {
            let seen = ledger.take();
            for monitor in per_key(judge).filter(|monitor| Trials::of(monitor) == *trials) {
                observation = observation.with_seen_keys(monitor.name(), &seen);
            }
        }
        observation
    }
}

fn record_in(
    ledger: &mut KeyLedger,
    key: Option<u64>,
    channel: Channel,
    weight: Weight,
) -> Recorded {
    match key {
        Some(key) => ledger.record(key, channel, weight),
        None => ledger.record_without_key(channel, weight),
    }
}

fn is_adverse(monitor: &Monitor, judge: &Judge, event: &KeyEvent) -> bool {
    let activity = &event.activity;
    match monitor.measure() {
        Measure::Failures => activity.failed,
        Measure::Cancelled => activity.cancelled,
        Measure::Slow(until, _) => {
            let slowest = match until {
                Until::End => activity.slowest_end,
                _ => activity.slowest_head,
            };
            let limit = judge.slow_bucket(monitor.name(), event.channel);
            limit.is_some_and(|limit| slowest.is_some_and(|slowest| slowest > limit))
        }
        _ => false,
    }
}

fn per_key(judge: &Judge) -> impl Iterator<Item = &Monitor> {
    judge.monitors().filter(|monitor| monitor.unit() == Unit::Keys)
}

/// The number of keys in a ledger above which the sample is halved.
pub(super) const MAX_KEYS: usize = 4_096;
/// A ledger cannot become full: the data plane reports at most 8,192 keys between two ticks, and another
/// replica publishes at most 4,096 of each ledger, even if it leaves.
const CAPACITY: usize = MAX_KEYS + 8_192;

#[cfg(test)]
mod tests;
