use std::collections::BTreeMap;

use crate::{Channel, CountsWentBackwards, EventName, PerChannel, Rating, Weight};

/// How often something could have gone wrong, and how often it did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "what happened, and the part of it that was bad")]
pub struct RatingCounts {
    /// All occasions.
    pub total: u64,
    /// Those that went badly. They are among the total.
    pub adverse: u64,
}

impl RatingCounts {
    const NONE: Self = Self { total: 0, adverse: 0 };

    /// RatingCounts with this rating.
    #[must_use]
    pub const fn rated(self, rating: Rating) -> u64 {
        match rating {
            Rating::Good => self.total.saturating_sub(self.adverse),
            Rating::Bad => self.adverse,
        }
    }

    /// Adds the occasions of `other`.
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

/// Ratings of one kind, by the channel that served the rated call.
///
/// All counts only ever grow.
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
    /// The most weights that are told apart. It is enough for a weight that rises by 0.1 % at a time.
    ///
    /// Ratings of calls at further weights count [excluded](Self::excluded): nothing is lost from the totals,
    /// but the judge does not hear of them.
    pub const MAX_WEIGHTS: usize = 1024;

    const NONE: Self = Self {
        evidence: BTreeMap::new(),
        excluded: PerChannel { stable: RatingCounts::NONE, canary: RatingCounts::NONE },
    };

    /// Counts the rating of a call that chance gave to `channel`, at the weight at which it did.
    ///
    /// It counts [excluded](Self::excluded) if chance cannot have done so, which gives no call to the canary at
    /// [`Weight::ZERO`] and none to stable at [`Weight::FULL`], and if there are too many weights.
    pub fn count(&mut self, channel: Channel, weight: Weight, rating: Rating) {
        let impossible = match channel {
            Channel::Stable => Weight::FULL,
            Channel::Canary => Weight::ZERO,
        };
        let has_place =
            self.evidence.len() < Self::MAX_WEIGHTS || self.evidence.contains_key(&weight);
        if weight != impossible && has_place {
            self.evidence.entry(weight).or_default()[channel].count(rating);
        } else {
            self.count_excluded(channel, rating);
        }
    }

    /// Counts the rating of a call that `channel` served for [another
    /// reason](crate::AssignmentReason::is_evidence) than chance.
    pub fn count_excluded(&mut self, channel: Channel, rating: Rating) {
        self.excluded[channel].count(rating);
    }

    /// The ratings by which the channels may be compared, by the weight at which the rated calls were
    /// assigned.
    #[must_use]
    pub const fn evidence(&self) -> &BTreeMap<Weight, PerChannel<RatingCounts>> {
        &self.evidence
    }

    /// The ratings that compare nothing: of calls that chance did not assign, such as testers', of calls
    /// before the canary's last [salt](Ratings), and at weights beyond [`MAX_WEIGHTS`](Self::MAX_WEIGHTS).
    #[must_use]
    pub const fn excluded(&self) -> PerChannel<RatingCounts> {
        self.excluded
    }

    /// All ratings of a channel's calls, evidence or not.
    #[must_use]
    pub fn total(&self, channel: Channel) -> RatingCounts {
        let mut total = self.excluded[channel];
        for rated in self.evidence.values() {
            total.merge(rated[channel]);
        }
        total
    }

    /// Adds the ratings of `other`. The result has all weights of both.
    pub fn merge(&mut self, other: &Self) {
        for (weight, more) in &other.evidence {
            let rated = self.evidence.entry(*weight).or_default();
            Channel::ALL.into_iter().for_each(|channel| rated[channel].merge(more[channel]));
        }
        Channel::ALL
            .into_iter()
            .for_each(|channel| self.excluded[channel].merge(other.excluded[channel]));
    }

    /// What was counted after `earlier`, at weights at which something was.
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

/// How people and the application rated the calls of a canary: what counting outcomes cannot see.
///
/// An answer of 200 can be wrong. Who notices is the user who complains, and the application when the
/// order does not complete. A rating belongs to a call, however much later it comes, and so to the
/// channel that served the call and to the weight at which it was assigned. A canary whose keys are
/// hashed with another *salt*, as in another attempt, is compared anew: ratings of earlier calls count
/// [excluded](RatingsByWeight::excluded) from then on.
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
    /// What users said.
    pub feedback: RatingsByWeight,
    events: BTreeMap<EventName, RatingsByWeight>,
}

impl Ratings {
    /// The most events that one process counts.
    pub const MAX_EVENTS: usize = 64;

    pub(crate) const NONE: Self = Self { feedback: RatingsByWeight::NONE, events: BTreeMap::new() };

    /// No ratings yet, and places for the events of these names.
    ///
    /// # Errors
    ///
    /// If there are more than [`MAX_EVENTS`](Self::MAX_EVENTS) of them.
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

    /// The ratings of one of the application's events; none, if it has no place here.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<&RatingsByWeight> {
        self.events.get(name)
    }

    /// The ratings of one of the application's events, to count more.
    pub fn event_mut(&mut self, name: &str) -> Option<&mut RatingsByWeight> {
        self.events.get_mut(name)
    }

    /// The ratings of all events of the application's own, by name.
    #[must_use]
    pub const fn events(&self) -> &BTreeMap<EventName, RatingsByWeight> {
        &self.events
    }

    /// Adds the ratings of `other`. The result has all events of both.
    pub fn merge(&mut self, other: &Self) {
        self.feedback.merge(&other.feedback);
        for (name, more) in &other.events {
            self.events.entry(name.clone()).or_default().merge(more);
        }
    }

    /// What was counted after `earlier`. Events of which nothing was counted keep their place.
    ///
    /// # Errors
    ///
    /// If a count is lower than it was in `earlier`, which then is no earlier state of these. The error
    /// names it.
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

/// More names of events than there are places.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooManyEvents(());

impl std::fmt::Display for TooManyEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a canary counts at most {} events of the application's own", Ratings::MAX_EVENTS)
    }
}

impl std::error::Error for TooManyEvents {}

#[cfg(test)]
mod tests;
