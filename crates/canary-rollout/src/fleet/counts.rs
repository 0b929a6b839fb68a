use std::{
    collections::{BTreeMap, BTreeSet},
    error, fmt,
};

use canary_analysis::{AdverseCounts, Judge, Measure, Observation, Until};
use canary_core::{
    Channel, ChannelCounts, Counts, EpochCounts, Latencies, PerChannel, PerReason, RatingCounts,
    Ratings, RatingsByWeight, RouteClass, Snapshot, Weight,
};
use serde::{Deserialize, Serialize};

use super::{closed::ClosedWeights, stored_counts::StoredCounts};
use crate::replica::ReplicaId;

/// Counts by the weight at which the calls were assigned: of one replica since an attempt began, or
/// their sum over replicas.
///
/// Only what the [monitors of a plan use](UsedCounts) is counted. Counts never decrease. They can be
/// added in any order, and are the same after they were stored.
///
/// ```
/// use canary_analysis::{Judge, Levels, Monitor};
/// use canary_core::{Counts, EpochCounts, Snapshot, Weight};
/// use canary_rollout::fleet::{FleetCounts, UsedCounts};
///
/// let mut judge = Judge::try_new(Levels::default(), [Monitor::failures()])?;
/// let used = UsedCounts::of(&judge);
/// let published = |successes: u64| {
///     let mut counts = Counts::default();
///     counts.evidence.stable.picked = successes;
///     counts.evidence.stable.success = successes;
///     let epoch = EpochCounts::new(1, Weight::from_percent(1), counts);
///     let mut published = FleetCounts::default();
///     published.add(&Snapshot::new(Counts::default(), vec![epoch]), &used);
///     published
/// };
/// let mut judged = FleetCounts::default();
/// for [here, there] in [[10, 0], [15, 200]] {
///     let mut sum = published(here);
///     sum.merge(&published(there));
///     judge.observe(&sum.since(&judged)?.to_observation());
///     judged = sum;
/// }
/// assert_eq!(judge.evidence("failures").unwrap().calls().stable, 215);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(try_from = "StoredCounts", into = "StoredCounts")]
pub struct FleetCounts {
    /// The evidence and the classes of calls. Everything else is zero. Boxed, because the map has room for
    /// 11 values of 800 bytes, and most rollouts are at one weight.
    pub(super) calls: BTreeMap<Weight, Box<Counts>>,
    pub(super) feedback: Rated,
    pub(super) events: BTreeMap<String, Rated>,
}

pub(super) type Rated = BTreeMap<Weight, PerChannel<RatingCounts>>;

impl FleetCounts {
    /// Adds the used counts of the difference of two snapshots of one process. Calls of the same
    /// weight are added, whichever epoch they belong to.
    ///
    /// Calls of epochs that retired between the snapshots are missing, because their weight is no
    /// longer known.
    pub fn add(&mut self, difference: &Snapshot, used: &UsedCounts) {
        for epoch in &difference.epochs {
            let counts = used.of_counts(&epoch.counts);
            if counts != Counts::default() {
                self.calls.entry(epoch.weight).or_default().merge(&counts);
            }
        }
        let Ratings { feedback, .. } = &difference.ratings;
        if used.feedback {
            merge_rated(&mut self.feedback, feedback.evidence());
        }
        for (event, rated) in difference.ratings.events() {
            if used.events.contains(event.as_str()) && *rated != RatingsByWeight::default() {
                let sum = self.events.entry(event.as_str().to_owned()).or_default();
                merge_rated(sum, rated.evidence());
            }
        }
    }

    /// Adds the counts of another replica.
    pub fn merge(&mut self, other: &Self) {
        for (weight, counts) in &other.calls {
            self.calls.entry(*weight).or_default().merge(counts);
        }
        merge_rated(&mut self.feedback, &other.feedback);
        for (event, rated) in &other.events {
            merge_rated(self.events.entry(event.clone()).or_default(), rated);
        }
    }

    /// Returns the counts since `earlier`, without weights that have none.
    ///
    /// # Errors
    ///
    /// Returns an error if a count is lower than in `earlier`: then an entry is missing on the board
    /// that was there.
    pub fn since(&self, earlier: &Self) -> Result<Self, MissingCounts> {
        let mut difference = Self::default();
        let nothing = Box::<Counts>::default();
        for weight in weights(&self.calls, &earlier.calls) {
            let [now, then] = [self, earlier].map(|it| it.calls.get(&weight).unwrap_or(&nothing));
            let counts = now.since(then).map_err(|_| MissingCounts::at(weight))?;
            let counts = without_empty_classes(counts);
            if counts != *nothing {
                difference.calls.insert(weight, counts.into());
            }
        }
        difference.feedback = rated_since(&self.feedback, &earlier.feedback)?;
        let events: BTreeSet<_> = self.events.keys().chain(earlier.events.keys()).collect();
        for event in events {
            let none = Rated::default();
            let of = |it: &'_ Self| it.events.get(event).unwrap_or(&none).clone();
            let rated = rated_since(&of(self), &of(earlier))?;
            if !rated.is_empty() {
                difference.events.insert(event.clone(), rated);
            }
        }
        Ok(difference)
    }

    /// Returns the counts as one look of the judge.
    #[must_use]
    pub fn to_observation(&self) -> Observation {
        let epochs = self.calls.iter();
        let epochs = epochs
            .map(|(weight, it)| EpochCounts::new(u64::from(weight.ppm()), *weight, (**it).clone()));
        let calls = Snapshot::new(Counts::default(), epochs.collect());
        let classes = self.calls.values().flat_map(|counts| counts.classes.keys());
        let classes: BTreeSet<_> = classes.map(RouteClass::as_str).collect();
        let of_classes: Vec<_> =
            classes.into_iter().map(|class| (class, calls.of_class(class))).collect();
        let mut observation =
            Observation::of(calls.clone()).with_feedback(adverse_counts(&self.feedback));
        for (event, rated) in &self.events {
            observation = observation.with_event(event.as_str(), adverse_counts(rated));
        }
        for (class, calls) in of_classes {
            observation = observation.with_class(class, calls);
        }
        observation
    }

    /// Returns the number of canary calls that were assigned at this weight and have ended in a
    /// success or a failure.
    #[must_use]
    pub fn canary_calls(&self, weight: Weight) -> u64 {
        self.calls.get(&weight).map_or(0, |counts| {
            let canary = &counts.evidence.canary;
            canary.success.saturating_add(canary.failure)
        })
    }

    /// Returns the weights with counts, the smallest first.
    pub fn weights(&self) -> impl Iterator<Item = Weight> {
        let rated = self.events.values().chain([&self.feedback]).flat_map(BTreeMap::keys);
        let weights: BTreeSet<_> = self.calls.keys().chain(rated).copied().collect();
        weights.into_iter()
    }

    /// Returns half of the weights, the smallest first and without `current`. None is left if there is
    /// no other.
    #[must_use]
    pub fn earlier_half(&self, current: Weight) -> ClosedWeights {
        let earlier: Vec<_> = self.weights().filter(|weight| *weight != current).collect();
        let half = earlier.len().div_ceil(2);
        earlier.into_iter().take(half).collect()
    }

    /// Removes the counts at these weights.
    pub fn close(&mut self, closed: &ClosedWeights) {
        self.retain_weights(|weight| !closed.contains(weight));
    }

    /// Removes the counts at other weights.
    fn retain_weights(&mut self, mut keep: impl FnMut(Weight) -> bool) {
        self.calls.retain(|weight, _| keep(*weight));
        for rated in self.events.values_mut().chain([&mut self.feedback]) {
            rated.retain(|weight, _| keep(*weight));
        }
    }
}

/// The counts that the monitors of a judge use: those of all calls, the latencies that a monitor
/// limits, the classes of routes, and the ratings that a monitor watches.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UsedCounts {
    calls: UsedLatencies,
    classes: BTreeMap<String, UsedLatencies>,
    feedback: bool,
    events: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct UsedLatencies {
    head: bool,
    end: bool,
}

impl UsedCounts {
    /// Returns the counts that the monitors of this judge use.
    #[must_use]
    pub fn of(judge: &Judge) -> Self {
        let mut used = Self::default();
        for monitor in judge.monitors() {
            let latencies = match monitor.class() {
                Some(class) => used.classes.entry(class.to_owned()).or_default(),
                None => &mut used.calls,
            };
            match monitor.measure() {
                Measure::Slow(Until::End, _) => latencies.end = true,
                Measure::Slow(..) => latencies.head = true,
                Measure::Feedback => used.feedback = true,
                Measure::Event(event) => drop(used.events.insert(event.clone())),
                _ => {}
            }
        }
        used
    }

    fn of_counts(&self, counts: &Counts) -> Counts {
        let mut used = Counts::default();
        used.evidence = of_channels(&counts.evidence, self.calls);
        for (class, counts) in &counts.classes {
            if let Some(latencies) = self.classes.get(class.as_str()) {
                used.classes.insert(class.clone(), of_channels(counts, *latencies));
            }
        }
        without_empty_classes(used)
    }
}

/// The error of [`FleetCounts::since`] and of a [look](super::BoardList::look): the board lacks what the
/// judge has observed.
#[derive(Clone, Eq, PartialEq)]
pub struct MissingCounts(Missing);

#[derive(Clone, Eq, PartialEq)]
enum Missing {
    CountsAt(Weight),
    Entries(BTreeSet<ReplicaId>),
}

impl MissingCounts {
    const fn at(weight: Weight) -> Self {
        Self(Missing::CountsAt(weight))
    }

    pub(super) const fn entries(replicas: BTreeSet<ReplicaId>) -> Self {
        Self(Missing::Entries(replicas))
    }
}

impl fmt::Display for MissingCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Missing::CountsAt(weight) => {
                write!(f, "counts at weight {weight} are missing that the judge has observed")
            }
            Missing::Entries(replicas) => match replicas.first() {
                Some(replica) if replicas.len() == 1 => {
                    write!(f, "the entry of replica {replica} is missing")
                }
                _ => write!(f, "the entries of {} replicas are missing", replicas.len()),
            },
        }
    }
}

canary_core::debug_as_display!(MissingCounts);

impl error::Error for MissingCounts {}

/// Returns the counts that a comparison of the channels can use.
fn of_channels(
    counts: &PerChannel<ChannelCounts>,
    used: UsedLatencies,
) -> PerChannel<ChannelCounts> {
    PerChannel::from_fn(|channel| {
        let mut of = counts[channel].clone();
        of.reasons = PerReason::default();
        (of.panicked, of.timed_out, of.fell_back) = (0, 0, 0);
        if !used.head {
            of.head = Latencies::default();
        }
        if !used.end {
            of.end = Latencies::default();
        }
        of
    })
}

fn without_empty_classes(mut counts: Counts) -> Counts {
    counts.classes.retain(|_, counts| *counts != PerChannel::default());
    counts
}

fn weights<T>(now: &BTreeMap<Weight, T>, then: &BTreeMap<Weight, T>) -> BTreeSet<Weight> {
    now.keys().chain(then.keys()).copied().collect()
}

fn merge_rated(sum: &mut Rated, more: &Rated) {
    for (weight, more) in more {
        let sum = sum.entry(*weight).or_default();
        for channel in Channel::ALL {
            let (sum, more) = (&mut sum[channel], more[channel]);
            sum.total = sum.total.saturating_add(more.total);
            sum.adverse = sum.adverse.saturating_add(more.adverse);
        }
    }
}

fn rated_since(now: &Rated, then: &Rated) -> Result<Rated, MissingCounts> {
    let mut difference = Rated::default();
    for weight in weights(now, then) {
        let at = |it: &'_ Rated| it.get(&weight).copied().unwrap_or_default();
        let (now, then) = (at(now), at(then));
        let mut since = PerChannel::<RatingCounts>::default();
        for channel in Channel::ALL {
            let less = |now: u64, then: u64| now.checked_sub(then).ok_or(MissingCounts::at(weight));
            since[channel] = RatingCounts {
                total: less(now[channel].total, then[channel].total)?,
                adverse: less(now[channel].adverse, then[channel].adverse)?,
            };
        }
        if since != PerChannel::default() {
            difference.insert(weight, since);
        }
    }
    Ok(difference)
}

fn adverse_counts(rated: &Rated) -> impl Iterator<Item = AdverseCounts> {
    rated.iter().filter_map(|(weight, counts)| {
        let of = |count: fn(&RatingCounts) -> u64| PerChannel {
            stable: count(&counts.stable),
            canary: count(&counts.canary),
        };
        AdverseCounts::try_new(*weight, of(|it| it.total), of(|it| it.adverse)).ok()
    })
}
