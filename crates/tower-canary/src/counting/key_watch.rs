use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use canary_core::{Channel, EventName, KeySample, Rating, RouteClass, Weight};

use crate::counting::{call_key::CallKey, key_activity::KeyActivity, route_index::RouteIndex};

/// Records which keys of sticky calls were assigned, and what happened to their calls, to count
/// users instead of calls.
///
/// Create it with [`ControlExt::watch_keys`](crate::control::ControlExt::watch_keys). For each key
/// of a [sample](KeySample) it records the [`KeyActivity`] between two [takes](Self::take). All
/// events come from the same sample, so their ratios are meaningful. A call without a key is
/// recorded as a key that no other call has.
///
/// It holds up to 8,192 records. When it is full, it halves the sample and drops the keys outside
/// it. The records of the remaining keys are complete.
///
/// Recording takes a lock. Calls of keys outside the sample take none.
#[derive(Clone)]
pub struct KeyWatch {
    shared: Arc<KeyWatchState>,
}

struct KeyWatchState {
    /// The widest sample, with the seed.
    sample: KeySample,
    /// Also read without the lock.
    halvings: AtomicU32,
    records: Mutex<HashMap<KeyPlace, KeyActivity>>,
    ratings: Mutex<HashSet<KeyRating>>,
    classes: Box<[RouteClass]>,
}

/// The place where the activity of a key is recorded.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct KeyPlace {
    pub(crate) key: CallKey,
    pub(crate) weight: Weight,
    pub(crate) channel: Channel,
    pub(crate) route: Option<RouteIndex>,
}

impl KeyWatch {
    pub(crate) fn new(sample: KeySample, classes: &[RouteClass]) -> Self {
        let halvings = AtomicU32::new(sample.halvings());
        let records = Mutex::new(HashMap::with_capacity(CAPACITY));
        let ratings = Mutex::default();
        Self {
            shared: Arc::new(KeyWatchState {
                sample,
                halvings,
                records,
                ratings,
                classes: classes.into(),
            }),
        }
    }

    pub(crate) fn record(&self, place: KeyPlace, activity: KeyActivity) {
        if !self.sample().holds(place.key.hash()) {
            return;
        }
        let mut records = self.records();
        // Another thread may have halved the sample in between.
        if self.sample().holds(place.key.hash()) {
            let known = records.entry(place).or_default();
            *known = known.and(activity);
        }
        while records.len() >= CAPACITY && self.sample() != self.sample().halved() {
            self.narrow_locked(&mut records, self.sample().halved());
        }
    }

    /// Records a rating. Its key is compared with the sample by its own value.
    pub(crate) fn record_rating(&self, rating: KeyRating) {
        if self.sample().holds(rating.key) {
            let mut ratings = self.ratings();
            // Further ratings are rare, and a lost one is lost on either channel.
            if ratings.len() < CAPACITY {
                ratings.insert(rating);
            }
        }
    }

    /// Drops the keys outside `sample` and stops recording them.
    pub fn narrow(&self, sample: KeySample) {
        self.narrow_locked(&mut self.records(), sample);
    }

    /// Removes and returns the records, with the sample that they come from.
    #[must_use = "the records are removed from the watch"]
    pub fn take(&self) -> KeyEvents {
        let empty = HashMap::with_capacity(CAPACITY);
        let (records, sample) = {
            let mut records = self.records();
            (std::mem::replace(&mut *records, empty), self.sample())
        };
        let class = |route: RouteIndex| self.shared.classes.get(route.index()).cloned();
        let mut events: Vec<KeyEvent> = records
            .into_iter()
            .map(|(KeyPlace { key, weight, channel, route }, activity)| {
                let key = match key {
                    CallKey::Sticky(key) => Some(key.hash()),
                    CallKey::Unique(_) => None,
                };
                KeyEvent { weight, key, channel, class: route.and_then(class), activity }
            })
            .collect();
        events.sort_unstable();
        let ratings = std::mem::take(&mut *self.ratings());
        let mut ratings: Vec<_> =
            ratings.into_iter().filter(|rating| sample.holds(rating.key)).collect();
        ratings.sort_unstable();
        KeyEvents { sample, events, ratings }
    }

    fn sample(&self) -> KeySample {
        self.shared.sample.after(self.shared.halvings.load(Ordering::Relaxed))
    }

    fn narrow_locked(&self, records: &mut HashMap<KeyPlace, KeyActivity>, sample: KeySample) {
        let sample = self.sample().and(sample);
        self.shared.halvings.store(sample.halvings(), Ordering::Relaxed);
        records.retain(|place, _| sample.holds(place.key.hash()));
    }

    fn ratings(&self) -> MutexGuard<'_, HashSet<KeyRating>> {
        self.shared.ratings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn records(&self) -> MutexGuard<'_, HashMap<KeyPlace, KeyActivity>> {
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

/// The records of a [`KeyWatch`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyEvents {
    /// The sample of keys whose records are complete.
    pub sample: KeySample,
    /// The records, ordered by weight: one for each key, weight, channel and route class.
    pub events: Vec<KeyEvent>,
    /// The ratings of keys, without duplicates, ordered by weight.
    pub ratings: Vec<KeyRating>,
}

/// The events of a key in one place. Only calls that the weight assigned cause events.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct KeyEvent {
    /// The weight at which the calls were assigned.
    pub weight: Weight,
    /// The [hash](crate::select::StickyKey::hash) of the key, or `None` for a call without a key.
    pub key: Option<u64>,
    /// The channel to which the calls were assigned.
    pub channel: Channel,
    /// The route class of the calls, if they have one.
    pub class: Option<RouteClass>,
    /// The events.
    pub activity: KeyActivity,
}

/// A rating by a caller with a key. Only calls that the weight assigned are rated here.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct KeyRating {
    /// The weight at which the rated call was assigned.
    pub weight: Weight,
    /// A number that identifies the key among those that rate. It is not the hash of
    /// [`KeyEvent::key`], so that a receipt does not reveal that.
    pub key: u64,
    /// The channel to which the rated call was assigned.
    pub channel: Channel,
    /// The event of the application, or `None` for the feedback of a user.
    pub event: Option<EventName>,
    /// The rating.
    pub rating: Rating,
}

/// This takes about 400 KiB for each watched canary.
const CAPACITY: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{counting::call_end::CallEnd, select::StickyKey};

    fn place(key: u64) -> KeyPlace {
        let key = CallKey::Sticky(StickyKey::new("salt", key.to_le_bytes()));
        KeyPlace { key, weight: Weight::FULL, channel: Channel::Canary, route: None }
    }

    #[test]
    fn the_events_of_a_key_are_one_record_until_it_is_taken() {
        let watch = KeyWatch::new(KeySample::ALL, &[]);
        for _ in 0..500 {
            watch.record(place(1), KeyActivity::PICKED);
            watch.record(place(1), KeyActivity::of(CallEnd::NotReady));
        }
        let events = watch.take().events;
        assert_eq!(events.len(), 1);
        assert!(events[0].activity.picked && events[0].activity.failed);
        assert!(watch.take().events.is_empty());
        watch.record(place(1), KeyActivity::of(CallEnd::NotReady));
        assert!(!watch.take().events[0].activity.picked);
    }

    #[test]
    fn a_full_watch_keeps_all_events_of_fewer_keys() {
        let watch = KeyWatch::new(KeySample::seeded(3), &[]);
        for key in 0..40_000 {
            watch.record(place(key), KeyActivity::PICKED);
        }
        let KeyEvents { sample, events, .. } = watch.take();
        assert!(sample.one_in() > 4);
        let in_sample = (0..40_000).filter(|key| sample.holds(place(*key).key.hash()));
        assert_eq!(events.len(), in_sample.count());
        assert!(events.len() < CAPACITY);
    }

    #[test]
    fn keys_outside_a_narrowed_sample_are_not_recorded() {
        let watch = KeyWatch::new(KeySample::ALL, &[]);
        watch.record(place(1), KeyActivity::PICKED);
        watch.narrow(KeySample::ALL.after(63));
        watch.record(place(2), KeyActivity::PICKED);
        assert!(watch.take().events.is_empty());
        watch.narrow(KeySample::ALL);
        assert_eq!(watch.take().sample, KeySample::ALL.after(63));
    }
}
