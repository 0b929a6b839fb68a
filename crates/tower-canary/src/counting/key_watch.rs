use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use canary_core::{Channel, KeySample, RouteClass, Weight};

use crate::{counting::route_classes::RouteIndex, select::StickyKey};

/// Takes note of what happens to the keys of sticky calls, for whoever counts users rather than calls.
///
/// Made by [`CanaryHandle::watch_keys`](crate::control::ControlExt::watch_keys). It notes the keys of a
/// [sample](KeySample), all at first: that one was picked for a channel, and that a call of its failed
/// or was cancelled, once between two [takes](Self::take) however often it happens. Both are of the same
/// sample, so that rates can be told. It holds 8,192 notes. When it is full, the sample is halved and
/// what is no longer in it is forgotten, so that nothing is missing of the keys that are in it.
///
/// A note takes a lock, and calls without a key, and keys outside of the sample, do not.
#[derive(Clone)]
pub struct KeyWatch {
    shared: Arc<WatchState>,
}

struct WatchState {
    /// Read before the lock is taken.
    halvings: AtomicU32,
    notes: Mutex<HashSet<KeyRecord>>,
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
        let notes = Mutex::new(HashSet::with_capacity(CAPACITY));
        Self { shared: Arc::new(WatchState { halvings, notes, classes: classes.into() }) }
    }

    pub(crate) fn note(&self, note: KeyRecord) {
        if !self.sample().holds(note.key.hash()) {
            return;
        }
        let mut notes = self.notes();
        // It may have been halved meanwhile.
        if self.sample().holds(note.key.hash()) {
            notes.insert(note);
        }
        while notes.len() >= CAPACITY && self.sample() != self.sample().halved() {
            self.narrow_locked(&mut notes, self.sample().halved());
        }
    }

    /// Gives up the keys that are not in `sample`, from now on.
    pub fn narrow(&self, sample: KeySample) {
        self.narrow_locked(&mut self.notes(), sample);
    }

    /// The notes since the last time, and the sample of which they are.
    #[must_use = "what is taken is gone from the watch"]
    pub fn take(&self) -> KeyEvents {
        let empty = HashSet::with_capacity(CAPACITY);
        let (notes, sample) = {
            let mut notes = self.notes();
            (std::mem::replace(&mut *notes, empty), self.sample())
        };
        let class = |route: RouteIndex| self.shared.classes.get(route.index()).cloned();
        let mut events: Vec<KeyEvent> = notes
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
        KeySample::after(self.shared.halvings.load(Ordering::Relaxed))
    }

    fn narrow_locked(&self, notes: &mut HashSet<KeyRecord>, sample: KeySample) {
        let sample = self.sample().and(sample);
        self.shared.halvings.store(sample.halvings(), Ordering::Relaxed);
        notes.retain(|note| sample.holds(note.key.hash()));
    }

    fn notes(&self) -> MutexGuard<'_, HashSet<KeyRecord>> {
        self.shared.notes.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What a [`KeyWatch`] noted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyEvents {
    /// The keys of which everything was noted.
    pub sample: KeySample,
    /// What was noted of them, in the order of their weights. Each event is there once.
    pub events: Vec<KeyEvent>,
}

/// Something that happened to the key of a sticky call that is evidence.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct KeyEvent {
    /// The weight at which the call was assigned.
    pub weight: Weight,
    /// What happened.
    pub kind: KeyEventKind,
    /// The [hash](StickyKey::hash) of the key.
    pub key: u64,
    /// The channel to which the call was assigned.
    pub channel: Channel,
    /// The class of the call's route, if it has one.
    pub class: Option<RouteClass>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum KeyEventKind {
    /// A call was given to the channel.
    Picked,
    /// A call failed, or was spilled.
    Failed,
    /// A call was left by its caller.
    Cancelled,
}

/// Some 280 KiB, once for a canary that is watched by key.
const CAPACITY: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    fn note(key: u64, kind: KeyEventKind) -> KeyRecord {
        let key = StickyKey::new("salt", key.to_le_bytes());
        KeyRecord { key, weight: Weight::FULL, channel: Channel::Canary, route: None, kind }
    }

    #[test]
    fn what_happens_again_is_noted_once_until_it_is_taken() {
        let watch = KeyWatch::new(KeySample::ALL, &[]);
        for _ in 0..500 {
            watch.note(note(1, KeyEventKind::Failed));
        }
        assert_eq!(watch.take().events.len(), 1);
        assert!(watch.take().events.is_empty());
        watch.note(note(1, KeyEventKind::Failed));
        assert_eq!(watch.take().events.len(), 1);
    }

    #[test]
    fn a_full_watch_knows_all_of_fewer_keys() {
        let watch = KeyWatch::new(KeySample::ALL, &[]);
        for key in 0..40_000 {
            watch.note(note(key, KeyEventKind::Picked));
            watch.note(note(key, KeyEventKind::Failed));
        }
        let KeyEvents { sample, events } = watch.take();
        assert_eq!(sample.one_in(), 16);
        let in_sample =
            (0..40_000).filter(|key| sample.holds(note(*key, KeyEventKind::Picked).key.hash()));
        assert_eq!(events.len(), 2 * in_sample.count());
        assert!(events.len() < CAPACITY);
    }

    #[test]
    fn keys_outside_of_a_narrowed_sample_are_not_noted() {
        let watch = KeyWatch::new(KeySample::ALL, &[]);
        watch.note(note(1, KeyEventKind::Picked));
        watch.narrow(KeySample::after(63));
        watch.note(note(2, KeyEventKind::Picked));
        assert!(watch.take().events.is_empty());
        watch.narrow(KeySample::ALL);
        assert_eq!(watch.take().sample, KeySample::after(63));
    }
}
