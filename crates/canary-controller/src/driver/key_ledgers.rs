use canary_analysis::{Judge, Measure, Monitor, Observation, Unit, Until, keys::KeyLedger};
use canary_core::{KeySample, Rating};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tower_canary::{
    CanaryHandle,
    control::{ControlExt, KeyEvent, KeyEvents, KeyRating, KeyWatch},
};

use crate::driver::waiting_keys::WaitingKeys;

/// The keys that monitors per key have counted, and the watch that reports new ones.
pub(super) struct WatchedKeys {
    watch: KeyWatch,
    waiting: WaitingKeys,
    ledgers: KeyLedgers,
}

/// The ledgers of counted keys. They are stored with the evidence.
///
/// All ledgers have the same sample, so that each adverse key is among the seen keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct KeyLedgers {
    /// Keys with adverse events, by the name of the monitor. The share monitor has no ledger.
    adverse: Vec<(String, KeyLedger)>,
    /// Keys with trials.
    seen: Vec<(Trials, KeyLedger)>,
}

/// The trials of some monitors per key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Trials {
    /// The route class, or `None` for all routes.
    class: Option<String>,
    kind: TrialKind,
    is_without_key: bool,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum TrialKind {
    /// A call was assigned.
    Assigned,
    /// This part of a call is over.
    Over(Until),
    /// A call was rated by this event of the application, or by the feedback of a user.
    Rated(Option<String>),
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
        let ledgers = stored.unwrap_or(empty);
        let watch = canary.watch_keys(ledgers.sample());
        Some(Self { watch, waiting: WaitingKeys::default(), ledgers })
    }

    /// Adds the keys since the last call to an observation.
    pub(super) fn observe(&mut self, judge: &Judge, observation: Observation) -> Observation {
        let KeyEvents { sample, events, ratings, .. } = self.watch.take();
        self.narrow(sample);
        for event in self.waiting.update(&events, Instant::now()) {
            self.ledgers.record_adverse(judge, &event, |it| *it.measure() == Measure::Unanswered);
        }
        events.iter().for_each(|event| self.ledgers.record(judge, event));
        ratings.iter().for_each(|rating| self.ledgers.record_rating(judge, rating));
        while self.ledgers.max_known().max(self.waiting.count()) > MAX_KEYS {
            let sample = self.ledgers.sample().halved();
            self.narrow(sample);
            self.watch.narrow(sample);
        }
        self.ledgers.take(judge, observation)
    }

    /// Leaves out the keys since the last call.
    pub(super) fn skip(&mut self) {
        let KeyEvents { sample, .. } = self.watch.take();
        self.waiting = WaitingKeys::default();
        self.narrow(sample);
    }

    fn narrow(&mut self, sample: KeySample) {
        self.ledgers.narrow(sample);
        self.waiting.narrow(self.ledgers.sample());
    }

    /// Continues with the ledgers of another replica. They must
    /// [match the monitors](KeyLedgers::match_monitors).
    pub(super) fn adopt(&mut self, ledgers: KeyLedgers) {
        self.ledgers = ledgers;
        self.narrow(self.ledgers.sample());
        self.watch.narrow(self.ledgers.sample());
    }

    pub(super) const fn ledgers(&self) -> &KeyLedgers {
        &self.ledgers
    }

    /// Returns the number of different keys so far, estimated from the sample.
    pub(super) fn key_count(&self) -> u64 {
        let known = self.ledgers.seen.iter().map(|(_, ledger)| ledger.key_count()).max();
        let known = u64::try_from(known.unwrap_or_default()).unwrap_or(u64::MAX);
        known.saturating_mul(self.ledgers.sample().one_in())
    }
}

impl KeyLedgers {
    /// Returns empty ledgers for the judge's monitors per key, or `None` if there are none. The
    /// seed chooses the sample of keys, and is stored with them.
    fn empty(judge: &Judge, seed: u64) -> Option<Self> {
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
        (!seen.is_empty()).then_some(Self { adverse, seen })
    }

    /// Returns whether the ledgers belong to the judge's monitors per key. A judge without such
    /// monitors has no ledgers.
    pub(super) fn match_monitors(ledgers: Option<&Self>, judge: &Judge) -> bool {
        let names = |ledgers: &Self| {
            let adverse = ledgers.adverse.iter().map(|(name, _)| name.clone());
            let seen = ledgers.seen.iter().map(|(trials, _)| trials.clone());
            (adverse.collect::<Vec<_>>(), seen.collect::<Vec<_>>())
        };
        ledgers.map(names) == Self::empty(judge, 0).as_ref().map(names)
    }

    /// Returns the ledgers with half of the sample, or `None` if they are empty. Keys outside of
    /// the sample are never counted again.
    pub(super) fn halved(&self) -> Option<Self> {
        let mut halved = self.clone();
        halved.narrow(self.sample().halved());
        (self.max_known() > 0).then_some(halved)
    }

    fn sample(&self) -> KeySample {
        let samples = self.ledgers().map(KeyLedger::sample);
        samples.reduce(KeySample::and).unwrap_or_default()
    }

    fn max_known(&self) -> usize {
        self.ledgers().map(KeyLedger::key_count).max().unwrap_or_default()
    }

    fn ledgers(&self) -> impl Iterator<Item = &KeyLedger> {
        let adverse = self.adverse.iter().map(|(_, ledger)| ledger);
        adverse.chain(self.seen.iter().map(|(_, ledger)| ledger))
    }

    fn narrow(&mut self, sample: KeySample) {
        self.adverse.iter_mut().for_each(|(_, ledger)| ledger.narrow(sample));
        self.seen.iter_mut().for_each(|(_, ledger)| ledger.narrow(sample));
    }

    fn record(&mut self, judge: &Judge, event: &KeyEvent) {
        for (_, ledger) in self.seen.iter_mut().filter(|(trials, _)| trials.include(event)) {
            record_in(ledger, event);
        }
        self.record_adverse(judge, event, |it| is_adverse(it, judge, event));
    }

    fn record_rating(&mut self, judge: &Judge, rating: &KeyRating) {
        let KeyRating { weight, key, channel, rating: verdict, .. } = rating;
        let event = rating.event.as_ref().map(|event| event.as_str().to_owned());
        let kind = TrialKind::Rated(event);
        for (_, ledger) in self.seen.iter_mut().filter(|(trials, _)| trials.kind == kind) {
            ledger.record(*key, *channel, *weight);
        }
        for monitor in per_key(judge).filter(|monitor| TrialKind::of(monitor) == kind) {
            if *verdict == Rating::Bad {
                let ledgers = self.adverse.iter_mut();
                ledgers.filter(|(name, _)| name == monitor.name()).for_each(|(_, ledger)| {
                    ledger.record(*key, *channel, *weight);
                });
            }
        }
    }

    /// Records the event for the monitors to which it is adverse.
    fn record_adverse(
        &mut self,
        judge: &Judge,
        event: &KeyEvent,
        is_adverse: impl Fn(&Monitor) -> bool,
    ) {
        let monitors = per_key(judge).filter(|monitor| Trials::of(monitor).are_of(event));
        for monitor in monitors.filter(|monitor| is_adverse(monitor)) {
            let ledgers = self.adverse.iter_mut();
            ledgers
                .filter(|(name, _)| name == monitor.name())
                .for_each(|(_, ledger)| record_in(ledger, event));
        }
    }

    /// Adds the counts since the last call to the observation.
    fn take(&mut self, judge: &Judge, mut observation: Observation) -> Observation {
        for (name, ledger) in &mut self.adverse {
            observation = observation.with_adverse_keys(name.as_str(), &ledger.take());
        }
        for (trials, ledger) in &mut self.seen {
            let seen = ledger.take();
            for monitor in per_key(judge).filter(|monitor| Trials::of(monitor) == *trials) {
                observation = observation.with_seen_keys(monitor.name(), &seen);
            }
        }
        observation
    }
}

impl Trials {
    fn of(monitor: &Monitor) -> Self {
        let class = monitor.class().map(str::to_owned);
        Self { class, kind: TrialKind::of(monitor), is_without_key: monitor.is_without_key() }
    }

    /// Returns whether the event is of a call or key that these trials are about.
    fn are_of(&self, event: &KeyEvent) -> bool {
        let class = event.class.as_ref().map(|class| class.as_str());
        (self.class.is_none() || self.class.as_deref() == class)
            && self.is_without_key == event.key.is_none()
    }

    /// Returns whether the event is a trial.
    fn include(&self, event: &KeyEvent) -> bool {
        let activity = &event.activity;
        let is_trial = match self.kind {
            TrialKind::Assigned => activity.picked,
            TrialKind::Over(Until::End) => activity.slowest_end.is_some(),
            TrialKind::Over(_) => activity.slowest_head.is_some(),
            TrialKind::Rated(_) => false,
        };
        is_trial && self.are_of(event)
    }
}

impl TrialKind {
    fn of(monitor: &Monitor) -> Self {
        match monitor.measure() {
            Measure::Slow(until, _) => Self::Over(*until),
            Measure::Feedback => Self::Rated(None),
            Measure::Event(name) => Self::Rated(Some(name.clone())),
            _ => Self::Assigned,
        }
    }
}

fn record_in(ledger: &mut KeyLedger, event: &KeyEvent) {
    match event.key {
        Some(key) => ledger.record(key, event.channel, event.weight),
        None => ledger.record_without_key(event.channel, event.weight),
    };
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
const MAX_KEYS: usize = 4_096;
/// A ledger cannot become full: the data plane reports at most 8,192 keys between two ticks.
const CAPACITY: usize = MAX_KEYS + 8_192;
