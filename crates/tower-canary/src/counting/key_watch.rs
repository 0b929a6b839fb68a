use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use canary_core::{Channel, KeySample, RouteClass, Weight};

use crate::{counting::route_index::RouteIndex, select::StickyKey};

/// Records which keys of sticky calls were assigned and which of them failed, to count users
/// instead of calls.
///
/// Create it with [`ControlExt::watch_keys`](crate::control::ControlExt::watch_keys). For each key
/// of a [sample](KeySample) it records three events: a call was assigned to a channel, a call
/// failed, and a call was cancelled. Each event of a key is recorded once between two
/// [takes](Self::take), however often it happens. All events come from the same sample, so their
/// ratios are meaningful.
///
/// It holds up to 8,192 events. When it is full, it halves the sample and drops the keys outside
/// it. The events of the remaining keys are complete.
///
/// Recording an event takes a lock. Calls without a key, and keys outside the sample, take none.
#[derive(Clone)]
pub struct KeyWatch {
    shared: Arc<KeyWatchState>,
}

struct KeyWatchState {
    /// The widest sample, with the seed.
    sample: KeySample,
    /// Also read without the lock.
    halvings: AtomicU32,
    records: Mutex<HashSet<KeyRecord>>,
    classes: Box<[RouteClass]>,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct KeyRecord {
    pub(crate) key: StickyKey,
    pub(crate) weight: Weight,
    pub(crate) channel: Channel,
    pub(crate) route: Option<RouteIndex>,
    pub(crate) kind: KeyEventKind,
}

impl KeyWatch {
    pub(crate) fn new(sample: KeySample, classes: &[RouteClass]) -> Self {
        let halvings = AtomicU32::new(sample.halvings());
        let records = Mutex::new(HashSet::with_capacity(CAPACITY));
        Self {
            shared: Arc::new(KeyWatchState { sample, halvings, records, classes: classes.into() }),
        }
    }

    pub(crate) fn record(&self, record: KeyRecord) {
        if !self.sample().holds(record.key.hash()) {
            return;
        }
        let mut records = self.records();
        // Another thread may have halved the sample in between.
        if self.sample().holds(record.key.hash()) {
            records.insert(record);
        }
        while records.len() >= CAPACITY && self.sample() != self.sample().halved() {
            self.narrow_locked(&mut records, self.sample().halved());
        }
    }

    /// Drops the keys outside `sample` and stops recording them.
    pub fn narrow(&self, sample: KeySample) {
        self.narrow_locked(&mut self.records(), sample);
    }

    /// Removes and returns the recorded events, with the sample that they come from.
    #[must_use = "the events are removed from the watch"]
    pub fn take(&self) -> KeyEvents {
        let empty = HashSet::with_capacity(CAPACITY);
        let (records, sample) = {
            let mut records = self.records();
            (std::mem::replace(&mut *records, empty), self.sample())
        };
        let class = |route: RouteIndex| self.shared.classes.get(route.index()).cloned();
        let mut events: Vec<KeyEvent> = records
            .into_iter()
            .map(|KeyRecord { key, weight, channel, route, kind }| {
                let (key, class) = (key.hash(), route.and_then(class));
                KeyEvent { weight, kind, key, channel, class }
            })
            .collect();
        events.sort_unstable();
        KeyEvents { sample, events }
    }

    fn sample(&self) -> KeySample {
        self.shared.sample.after(self.shared.halvings.load(Ordering::Relaxed))
    }

    fn narrow_locked(&self, records: &mut HashSet<KeyRecord>, sample: KeySample) {
        let sample = self.sample().and(sample);
        self.shared.halvings.store(sample.halvings(), Ordering::Relaxed);
        records.retain(|record| sample.holds(record.key.hash()));
    }

    fn records(&self) -> MutexGuard<'_, HashSet<KeyRecord>> {
        self.shared.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for KeyWatch {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl fmt::Debug for KeyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWatch").field("sample", &self.sample()).finish_non_exhaustive()
    }
}

/// The events that a [`KeyWatch`] recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyEvents {
    /// The sample of keys whose events are complete.
    pub sample: KeySample,
    /// The events, without duplicates, ordered by weight.
    pub events: Vec<KeyEvent>,
}

/// An event of a key. Only sticky calls that are evidence cause events.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct KeyEvent {
    /// The weight at which the call was assigned.
    pub weight: Weight,
    /// The kind of event.
    pub kind: KeyEventKind,
    /// The [hash](StickyKey::hash) of the key.
    pub key: u64,
    /// The channel to which the call was assigned.
    pub channel: Channel,
    /// The route class of the call, if it has one.
    pub class: Option<RouteClass>,
}

/// The kind of a [`KeyEvent`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum KeyEventKind {
    /// A call was assigned to the channel.
    Picked,
    /// A call failed or was spilled.
    Failed,
    /// A call was cancelled by its caller.
    Cancelled,
}

/// This takes about 280 KiB for each watched canary.
const CAPACITY: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: u64, kind: KeyEventKind) -> KeyRecord {
        let key = StickyKey::new("salt", key.to_le_bytes());
        KeyRecord { key, weight: Weight::FULL, channel: Channel::Canary, route: None, kind }
    }

    #[test]
    fn a_repeated_event_is_recorded_once_until_it_is_taken() {
        let watch = KeyWatch::new(KeySample::ALL, &[]);
        for _ in 0..500 {
            watch.record(record(1, KeyEventKind::Failed));
        }
        assert_eq!(watch.take().events.len(), 1);
        assert!(watch.take().events.is_empty());
        watch.record(record(1, KeyEventKind::Failed));
        assert_eq!(watch.take().events.len(), 1);
    }

    #[test]
    fn a_full_watch_keeps_all_events_of_fewer_keys() {
        let watch = KeyWatch::new(KeySample::ALL, &[]);
        for key in 0..40_000 {
            watch.record(record(key, KeyEventKind::Picked));
            watch.record(record(key, KeyEventKind::Failed));
        }
        let KeyEvents { sample, events } = watch.take();
        assert_eq!(sample.one_in(), 16);
        let in_sample =
            (0..40_000).filter(|key| sample.holds(record(*key, KeyEventKind::Picked).key.hash()));
        assert_eq!(events.len(), 2 * in_sample.count());
        assert!(events.len() < CAPACITY);
    }

    #[test]
    fn keys_outside_a_narrowed_sample_are_not_recorded() {
        let watch = KeyWatch::new(KeySample::ALL, &[]);
        watch.record(record(1, KeyEventKind::Picked));
        watch.narrow(KeySample::ALL.after(63));
        watch.record(record(2, KeyEventKind::Picked));
        assert!(watch.take().events.is_empty());
        watch.narrow(KeySample::ALL);
        assert_eq!(watch.take().sample, KeySample::ALL.after(63));
    }
}
