use std::collections::BTreeMap;

use crate::{Channel, CountsWentBackwards, EventName, PerChannel, Rating, Weight};

/// The number of ratings, and of bad ratings among them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the trials and the adverse ones among them")]
pub struct RatingCounts {
    /// All ratings.
    pub total: u64,
    /// Bad ratings. They are part of the total.
    pub adverse: u64,
}

impl RatingCounts {
    const NONE: Self = Self { total: 0, adverse: 0 };

    /// Returns the number of ratings of this kind.
    #[must_use]
    pub const fn rated(self, rating: Rating) -> u64 {
        match rating {
            Rating::Good => self.total.saturating_sub(self.adverse),
            Rating::Bad => self.adverse,
        }
    }

    /// Adds the counts of `other`.
    pub const fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.adverse += other.adverse;
    }

    const fn count(&mut self, rating: Rating) {
        self.total += 1;
        self.adverse += matches!(rating, Rating::Bad) as u64;
    }

    fn checked_sub(self, earlier: Self) -> Option<Self> {
        let difference = Self {
            total: self.total.checked_sub(earlier.total)?,
            adverse: self.adverse.checked_sub(earlier.adverse)?,
        };
        (difference.adverse <= difference.total).then_some(difference)
    }
}

/// Ratings from one source, by the channel and the weight of the rated call.
///
/// Counts never decrease.
///
/// ```
/// use canary_core::{Channel, RatingCounts, RatingsByWeight, Rating, Weight};
///
/// let mut rated = RatingsByWeight::default();
/// rated.count(Channel::Canary, Weight::from_percent(1), Rating::Bad);
/// rated.count(Channel::Canary, Weight::from_percent(1), Rating::Good);
/// let at_one_percent = rated.evidence()[&Weight::from_percent(1)];
/// assert_eq!(at_one_percent.canary, RatingCounts { total: 2, adverse: 1 });
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RatingsByWeight {
    evidence: BTreeMap<Weight, PerChannel<RatingCounts>>,
    excluded: PerChannel<RatingCounts>,
}

impl RatingsByWeight {
    /// The maximum number of weights. It suffices for a weight that rises in steps of 0.1 %.
    ///
    /// Ratings at further weights count as [excluded](Self::excluded): the totals include them, but
    /// the judge does not see them.
    pub const MAX_WEIGHTS: usize = 1024;

    const NONE: Self = Self {
        evidence: BTreeMap::new(),
        excluded: PerChannel { stable: RatingCounts::NONE, canary: RatingCounts::NONE },
    };

    /// Counts the rating of a call that `weight` assigned to `channel`.
    ///
    /// The rating counts as [excluded](Self::excluded) if the weight assigns no call to the channel
    /// ([`Weight::ZERO`] for the canary, [`Weight::FULL`] for stable), or if it is a new weight
    /// beyond [`MAX_WEIGHTS`](Self::MAX_WEIGHTS).
    pub fn count(&mut self, channel: Channel, weight: Weight, rating: Rating) {
        let impossible = match channel {
            Channel::Stable => Weight::FULL,
            Channel::Canary => Weight::ZERO,
        };
        let has_room =
            self.evidence.len() < Self::MAX_WEIGHTS || self.evidence.contains_key(&weight);
        if weight != impossible && has_room {
            self.evidence.entry(weight).or_default()[channel].count(rating);
        } else {
            self.count_excluded(channel, rating);
        }
    }

    /// Counts the rating of a call that `channel` served for a [reason that is not
    /// evidence](crate::AssignmentReason::is_evidence).
    pub fn count_excluded(&mut self, channel: Channel, rating: Rating) {
        self.excluded[channel].count(rating);
    }

    /// Returns the ratings that can be compared, by the weight at which the rated calls were
    /// assigned.
    #[must_use]
    pub const fn evidence(&self) -> &BTreeMap<Weight, PerChannel<RatingCounts>> {
        &self.evidence
    }

    /// Returns the ratings that cannot be compared: of calls that the weight did not assign, such
    /// as those of testers; of calls before the current [salt](Ratings); and at weights beyond
    /// [`MAX_WEIGHTS`](Self::MAX_WEIGHTS).
    #[must_use]
    pub const fn excluded(&self) -> PerChannel<RatingCounts> {
        self.excluded
    }

    /// Returns all ratings of a channel, both evidence and excluded.
    #[must_use]
    pub fn total(&self, channel: Channel) -> RatingCounts {
        let mut total = self.excluded[channel];
        for rated in self.evidence.values() {
            total.merge(rated[channel]);
        }
        total
    }

    /// Adds the ratings of `other`. The result has the weights of both.
    pub fn merge(&mut self, other: &Self) {
        for (weight, more) in &other.evidence {
            let rated = self.evidence.entry(*weight).or_default();
            Channel::ALL.into_iter().for_each(|channel| rated[channel].merge(more[channel]));
        }
        Channel::ALL
            .into_iter()
            .for_each(|channel| self.excluded[channel].merge(other.excluded[channel]));
    }

    /// Returns the ratings since `earlier`, without weights that have none.
    fn since(&self, earlier: &Self, name: &str) -> Result<Self, CountsWentBackwards> {
        let subtract = |now: PerChannel<RatingCounts>,
                        then: PerChannel<RatingCounts>,
                        place: &str| {
            let mut difference = PerChannel::default();
            for channel in Channel::ALL {
                let fail = || CountsWentBackwards::new(channel, format!("{name} {place}"));
                difference[channel] = now[channel].checked_sub(then[channel]).ok_or_else(fail)?;
            }
            Ok(difference)
        };
        let weights = earlier.evidence.keys().chain(self.evidence.keys());
        let mut evidence = BTreeMap::new();
        for weight in weights {
            let at = |rated: &Self| rated.evidence.get(weight).copied().unwrap_or_default();
            let difference = subtract(at(self), at(earlier), &format!("at {weight}"))?;
            if difference != PerChannel::default() {
                evidence.insert(*weight, difference);
            }
        }
        Ok(Self { evidence, excluded: subtract(self.excluded, earlier.excluded, "excluded")? })
    }
}

/// The ratings of calls by users and by the application.
///
/// A response with status 200 can be wrong. Users complain about it, and the application notices
/// that an order does not complete. A rating belongs to the channel and the weight of the rated
/// call, however late it arrives. After a change of the *salt* that hashes sticky keys, for example
/// in another attempt, ratings of earlier calls count as [excluded](RatingsByWeight::excluded).
///
/// ```
/// use canary_core::{Channel, Rating, Ratings, Weight};
///
/// let mut ratings = Ratings::try_new(["order-completed".parse()?])?;
/// let earlier = ratings.clone();
/// let order = ratings.event_mut("order-completed").expect("it is among the names");
/// order.count(Channel::Stable, Weight::from_percent(5), Rating::Good);
///
/// let difference = ratings.since(&earlier)?;
/// assert_eq!(difference.event("order-completed").unwrap().total(Channel::Stable).total, 1);
/// assert!(ratings.event("order-lost").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ratings {
    /// Ratings by users.
    pub feedback: RatingsByWeight,
    events: BTreeMap<EventName, RatingsByWeight>,
}

impl Ratings {
    /// The maximum number of events.
    pub const MAX_EVENTS: usize = 64;

    pub(crate) const NONE: Self = Self { feedback: RatingsByWeight::NONE, events: BTreeMap::new() };

    /// Creates empty ratings for the events with these names.
    ///
    /// # Errors
    ///
    /// Returns an error if there are more than [`MAX_EVENTS`](Self::MAX_EVENTS) names.
    pub fn try_new(events: impl IntoIterator<Item = EventName>) -> Result<Self, TooManyEvents> {
        let mut ratings = Self::NONE;
        for event in events {
            ratings.events.entry(event).or_default();
            if ratings.events.len() > Self::MAX_EVENTS {
                return Err(TooManyEvents(()));
            }
        }
        Ok(ratings)
    }

    /// Returns the ratings of an event, or `None` if it is not among the names.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<&RatingsByWeight> {
        self.events.get(name)
    }

    /// Returns the ratings of an event for counting, or `None` if it is not among the names.
    pub fn event_mut(&mut self, name: &str) -> Option<&mut RatingsByWeight> {
        self.events.get_mut(name)
    }

    /// Returns the ratings of all events by name.
    #[must_use]
    pub const fn events(&self) -> &BTreeMap<EventName, RatingsByWeight> {
        &self.events
    }

    /// Adds the ratings of `other`. The result has the events of both.
    pub fn merge(&mut self, other: &Self) {
        self.feedback.merge(&other.feedback);
        for (name, more) in &other.events {
            self.events.entry(name.clone()).or_default().merge(more);
        }
    }

    /// Returns the ratings since `earlier`, with all events.
    ///
    /// # Errors
    ///
    /// Returns an error that names the count if one is lower than in `earlier`.
    pub fn since(&self, earlier: &Self) -> Result<Self, CountsWentBackwards> {
        let feedback = self.feedback.since(&earlier.feedback, "feedback")?;
        let mut events = BTreeMap::new();
        for name in earlier.events.keys().chain(self.events.keys()) {
            let of = |ratings: &Self| ratings.event(name.as_str()).cloned().unwrap_or_default();
            events.insert(name.clone(), of(self).since(&of(earlier), name.as_str())?);
        }
        Ok(Self { feedback, events })
    }
}

/// The error for more than [`Ratings::MAX_EVENTS`] names of events.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct TooManyEvents(());

impl std::fmt::Display for TooManyEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a canary counts at most {} events of the application", Ratings::MAX_EVENTS)
    }
}

crate::debug_as_display!(TooManyEvents);

impl std::error::Error for TooManyEvents {}

#[cfg(test)]
mod tests;
