use canary_analysis::{Judge, Measure, Monitor, Observation, Unit, keys::KeyLedger};
use canary_core::KeySample;
use serde::{Deserialize, Serialize};
use tower_canary::{
    CanaryHandle,
    control::{ControlExt, KeyEvent, KeyEventKind, KeyEvents, KeyWatch},
};

/// The keys that monitors per key have counted, and the watch that reports new ones.
pub(super) struct WatchedKeys {
    watch: KeyWatch,
    ledgers: KeyLedgers,
}

/// The ledgers of counted keys. They are stored with the evidence.
///
/// All ledgers have the same sample, so that each adverse key is among the seen keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct KeyLedgers {
    /// Keys with adverse events, by the name of the monitor. The share monitor has no ledger.
    adverse: Vec<(String, KeyLedger)>,
    /// Keys with calls, by route class. `None` stands for all routes.
    seen: Vec<(Option<String>, KeyLedger)>,
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
        Some(Self { watch, ledgers })
    }

    /// Adds the keys since the last call to an observation.
    pub(super) fn observe(&mut self, judge: &Judge, observation: Observation) -> Observation {
        let KeyEvents { sample, events, .. } = self.watch.take();
        self.ledgers.narrow(sample);
        events.iter().for_each(|event| self.ledgers.record(judge, event));
        while self.ledgers.max_known() > MAX_KEYS {
            let sample = self.ledgers.sample().halved();
            self.ledgers.narrow(sample);
            self.watch.narrow(sample);
        }
        self.ledgers.take(judge, observation)
    }

    pub(super) const fn ledgers(&self) -> &KeyLedgers {
        &self.ledgers
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
            let class = monitor.class().map(str::to_owned);
            if !seen.iter().any(|(known, _)| *known == class) {
                seen.push((class, ledger()));
            }
        }
        (!seen.is_empty()).then_some(Self { adverse, seen })
    }

    /// Returns whether the ledgers belong to the judge's monitors per key. A judge without such
    /// monitors has no ledgers.
    pub(super) fn match_monitors(ledgers: Option<&Self>, judge: &Judge) -> bool {
        let names = |ledgers: &Self| {
            let adverse = ledgers.adverse.iter().map(|(name, _)| name.clone());
            let seen = ledgers.seen.iter().map(|(class, _)| class.clone());
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
        let is_of = |class: Option<&str>| {
            class.is_none() || event.class.as_ref().map(|known| known.as_str()) == class
        };
        if event.kind == KeyEventKind::Picked {
            for (_, ledger) in self.seen.iter_mut().filter(|(class, _)| is_of(class.as_deref())) {
                ledger.record(event.key, event.channel, event.weight);
            }
            return;
        }
        let counts = |monitor: &Monitor| {
            is_of(monitor.class()) && key_event_kind(monitor) == Some(event.kind)
        };
        for monitor in per_key(judge).filter(|monitor| counts(monitor)) {
            let ledgers = self.adverse.iter_mut();
            for (_, ledger) in ledgers.filter(|(name, _)| name == monitor.name()) {
                ledger.record(event.key, event.channel, event.weight);
            }
        }
    }

    /// Adds the counts since the last call to the observation.
    fn take(&mut self, judge: &Judge, mut observation: Observation) -> Observation {
        for (name, ledger) in &mut self.adverse {
            observation = observation.with_adverse_keys(name.as_str(), &ledger.take());
        }
        for (class, ledger) in &mut self.seen {
            let seen = ledger.take();
            for monitor in per_key(judge).filter(|monitor| monitor.class() == class.as_deref()) {
                observation = observation.with_seen_keys(monitor.name(), &seen);
            }
        }
        observation
    }
}

fn per_key(judge: &Judge) -> impl Iterator<Item = &Monitor> {
    judge.monitors().filter(|monitor| monitor.unit() == Unit::Keys)
}

/// Returns the adverse key event of a monitor per key, if the data plane records it.
pub(crate) const fn key_event_kind(monitor: &Monitor) -> Option<KeyEventKind> {
    match monitor.measure() {
        Measure::Failures => Some(KeyEventKind::Failed),
        Measure::Cancelled => Some(KeyEventKind::Cancelled),
        _ => None,
    }
}

/// The number of keys in a ledger above which the sample is halved.
const MAX_KEYS: usize = 4_096;
/// A ledger cannot become full: the data plane reports at most 8,192 keys between two ticks.
const CAPACITY: usize = MAX_KEYS + 8_192;
