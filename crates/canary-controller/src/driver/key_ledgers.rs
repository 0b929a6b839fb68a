use canary_analysis::{Judge, KeyLedger, Measure, Monitor, Observation, Unit};
use canary_core::KeySample;
use serde::{Deserialize, Serialize};
use tower_canary::{
    CanaryHandle,
    control::{ControlExt, KeyEvent, KeyEventKind, KeyEvents, KeyWatch},
};

/// The users that monitors per key have counted, and the data plane's notes of them.
pub(super) struct Ledgers {
    watch: KeyWatch,
    books: Books,
}

/// What the ledgers know: as it is stored, with the evidence that was made of it.
///
/// All are of one sample, so that who was hit is among those who were seen.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Books {
    /// By the names of the monitors. The share has none.
    adverse: Vec<(String, KeyLedger)>,
    /// By classes; none is the whole.
    seen: Vec<(Option<String>, KeyLedger)>,
}

impl Ledgers {
    /// Ledgers for the judge's monitors per key; none if there are none.
    ///
    /// What was stored must be [of the judge's monitors](Books::are_of).
    pub(super) fn new(judge: &Judge, canary: &CanaryHandle, stored: Option<Books>) -> Option<Self> {
        let Some(begun) = Books::of(judge) else {
            canary.unwatch_keys();
            return None;
        };
        let books = stored.unwrap_or(begun);
        let watch = canary.watch_keys(books.sample());
        Some(Self { watch, books })
    }

    /// Adds what the data plane has noted since the last look.
    pub(super) fn observe(&mut self, judge: &Judge, observation: Observation) -> Observation {
        let KeyEvents { sample, events, .. } = self.watch.take();
        self.books.narrow(sample);
        events.iter().for_each(|event| self.books.record(judge, event));
        while self.books.most_known() > KEYS {
            let sample = self.books.sample().halved();
            self.books.narrow(sample);
            self.watch.narrow(sample);
        }
        self.books.take(judge, observation)
    }

    pub(super) const fn books(&self) -> &Books {
        &self.books
    }
}

impl Books {
    fn of(judge: &Judge) -> Option<Self> {
        let (mut adverse, mut seen) = (Vec::new(), Vec::new());
        for monitor in per_key(judge) {
            if *monitor.measure() != Measure::Share {
                adverse.push((monitor.name().to_owned(), KeyLedger::new(CAPACITY)));
            }
            let class = monitor.class().map(str::to_owned);
            if !seen.iter().any(|(known, _)| *known == class) {
                seen.push((class, KeyLedger::new(CAPACITY)));
            }
        }
        (!seen.is_empty()).then_some(Self { adverse, seen })
    }

    /// Whether `books` are those of the judge's monitors: it may have none per key.
    pub(super) fn are_of(books: Option<&Self>, judge: &Judge) -> bool {
        let pages = |books: &Self| {
            let adverse = books.adverse.iter().map(|(name, _)| name.clone());
            let seen = books.seen.iter().map(|(class, _)| class.clone());
            (adverse.collect::<Vec<_>>(), seen.collect::<Vec<_>>())
        };
        books.map(pages) == Self::of(judge).as_ref().map(pages)
    }

    /// The same of half of the keys; none if there are none. What is left out is never counted again.
    pub(super) fn halved(&self) -> Option<Self> {
        let mut halved = self.clone();
        halved.narrow(self.sample().halved());
        (self.most_known() > 0).then_some(halved)
    }

    fn sample(&self) -> KeySample {
        let samples = self.ledgers().map(KeyLedger::sample);
        samples.fold(KeySample::ALL, KeySample::and)
    }

    fn most_known(&self) -> usize {
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
        let asks = |monitor: &Monitor| is_of(monitor.class()) && kind(monitor) == Some(event.kind);
        for monitor in per_key(judge).filter(|monitor| asks(monitor)) {
            let ledgers = self.adverse.iter_mut();
            for (_, ledger) in ledgers.filter(|(name, _)| name == monitor.name()) {
                ledger.record(event.key, event.channel, event.weight);
            }
        }
    }

    /// Tells what was counted, for each monitor by its name.
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

/// What is adverse to a monitor per key, if the data plane takes note of it.
pub(crate) const fn kind(monitor: &Monitor) -> Option<KeyEventKind> {
    match monitor.measure() {
        Measure::Failures => Some(KeyEventKind::Failed),
        Measure::Cancelled => Some(KeyEventKind::Cancelled),
        _ => None,
    }
}

/// So many users of a class are kept in mind: beyond, every other one is forgotten.
const KEYS: usize = 4_096;
/// No ledger is ever full: at most this many users can come to it between two looks.
const CAPACITY: usize = KEYS + 8_192;
