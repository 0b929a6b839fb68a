use crate::{Counts, CountsWentBackwards, Ratings, Weight};

/// The counts of one epoch, the time during which one weight is in force.
///
/// A call belongs to the epoch in which it was assigned, however long it lasts.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EpochCounts {
    /// The number of the epoch. Each change of the weight and each drain begins the next epoch.
    pub epoch: u64,
    /// The weight in the epoch.
    pub weight: Weight,
    /// The counts of its calls.
    pub counts: Counts,
}

impl EpochCounts {
    /// Creates the counts of epoch number `epoch` with this weight.
    #[must_use]
    pub const fn new(epoch: u64, weight: Weight, counts: Counts) -> Self {
        Self { epoch, weight, counts }
    }
}

/// All counts of one canary at one moment, by the epoch in which the calls were assigned.
///
/// ```
/// use canary_core::{Counts, EpochCounts, Snapshot, Weight};
///
/// let mut counts = Counts::default();
/// counts.evidence.canary.picked = 7;
/// let epoch = EpochCounts::new(4, Weight::from_percent(1), counts);
/// let earlier = Snapshot::new(Counts::default(), vec![epoch]);
///
/// let mut now = earlier.clone();
/// now.epochs[0].counts.evidence.canary.picked = 9;
/// assert_eq!(now.since(&earlier)?.epochs[0].counts.evidence.canary.picked, 2);
/// # Ok::<(), canary_core::CountsWentBackwards>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The sum over retired epochs: none of their calls is in flight, and several later epochs have
    /// ended. Their weights are not kept.
    pub retired: Counts,
    /// The epochs that are not retired, oldest first. The last one is current. An epoch that ended without
    /// a call is left out.
    pub epochs: Vec<EpochCounts>,
    /// The ratings of the calls, by users and by the application. Because ratings arrive late, they
    /// keep their weight when an epoch retires.
    pub ratings: Ratings,
}

impl Snapshot {
    /// Creates a snapshot from the counts of retired epochs and from `epochs`, oldest first.
    #[must_use]
    pub const fn new(retired: Counts, epochs: Vec<EpochCounts>) -> Self {
        Self { retired, epochs, ratings: Ratings::NONE }
    }

    /// Returns the snapshot with these ratings.
    #[must_use]
    pub fn with_ratings(self, ratings: Ratings) -> Self {
        Self { ratings, ..self }
    }

    /// Returns the current epoch.
    #[must_use]
    pub fn current(&self) -> Option<&EpochCounts> {
        self.epochs.last()
    }

    /// Returns the sum over all epochs.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = self.retired.clone();
        for epoch in &self.epochs {
            total.merge(&epoch.counts);
        }
        total
    }

    /// Returns the snapshot of one class of routes, which has [evidence](Counts::evidence) only.
    #[must_use]
    pub fn of_class(&self, class: &str) -> Self {
        let of = |counts: &Counts| Counts {
            evidence: counts.classes.get(class).cloned().unwrap_or_default(),
            ..Counts::default()
        };
        let epochs = self.epochs.iter();
        let epochs = epochs.map(|it| EpochCounts::new(it.epoch, it.weight, of(&it.counts)));
        Self::new(of(&self.retired), epochs.collect())
    }

    /// Returns the counts since `earlier`, by epoch.
    ///
    /// For an epoch that retired since, the difference is in [`retired`](Self::retired).
    ///
    /// # Errors
    ///
    /// Returns an error if a count is lower than in `earlier`: then `earlier` is not an earlier
    /// state of this canary.
    pub fn since(&self, earlier: &Self) -> Result<Self, CountsWentBackwards> {
        let mut retired_before = earlier.retired.clone();
        for epoch in &earlier.epochs {
            if self.epoch(epoch.epoch).is_none() {
                retired_before.merge(&epoch.counts);
            }
        }
        let retired = self.retired.since(&retired_before)?;
        let epochs = self.epochs.iter().map(|now| {
            let counts = match earlier.epoch(now.epoch) {
                Some(then) => now.counts.since(&then.counts)?,
                None => now.counts.clone(),
            };
            Ok(EpochCounts { counts, ..now.clone() })
        });
        let epochs = epochs.collect::<Result<_, _>>()?;
        Ok(Self { retired, epochs, ratings: self.ratings.since(&earlier.ratings)? })
    }

    fn epoch(&self, number: u64) -> Option<&EpochCounts> {
        self.epochs.iter().find(|epoch| epoch.epoch == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channel, Rating};

    fn picked(epoch: u64, canary: u64) -> EpochCounts {
        let mut counts = Counts::default();
        counts.evidence.canary.picked = canary;
        EpochCounts::new(epoch, Weight::from_percent(1), counts)
    }

    #[test]
    fn the_difference_includes_the_last_counts_of_a_retired_epoch() {
        let earlier = Snapshot::new(Counts::default(), vec![picked(0, 5)]);
        let now = Snapshot::new(picked(0, 6).counts, vec![picked(1, 2)]);

        let difference = now.since(&earlier).unwrap();
        assert_eq!(difference.retired.evidence.canary.picked, 1);
        assert_eq!(difference.epochs, [picked(1, 2)]);
        assert_eq!(difference.total().evidence.canary.picked, 3);
    }

    #[test]
    fn a_class_keeps_its_calls_when_the_epoch_retires() {
        let of = |failures: u64| {
            let mut counts = picked(0, 9).counts;
            let evidence = counts.classes.entry("checkout".parse().unwrap()).or_default();
            evidence.canary.failure = failures;
            EpochCounts::new(0, Weight::from_percent(1), counts)
        };
        let earlier = Snapshot::new(Counts::default(), vec![of(5)]);
        let now = Snapshot::new(of(6).counts, vec![picked(1, 2)]);

        let checkout = now.since(&earlier).unwrap().of_class("checkout");
        assert_eq!(checkout.retired.evidence.canary.failure, 1);
        assert_eq!(checkout.total().evidence.canary.picked, 0);
        assert_eq!(earlier.of_class("checkout").epochs[0].counts.evidence.canary.failure, 5);
        assert_eq!(earlier.of_class("search").total(), Counts::default());
    }

    #[test]
    fn a_snapshot_of_another_canary_is_not_an_earlier_state() {
        let other = Snapshot::new(Counts::default(), vec![picked(0, 5)]);
        assert!(Snapshot::new(Counts::default(), vec![picked(0, 4)]).since(&other).is_err());
        assert!(Snapshot::default().since(&other).is_err());
    }

    #[test]
    fn the_difference_includes_ratings() {
        let weight = Weight::from_percent(1);
        let mut earlier = Ratings::default();
        earlier.feedback.count(Channel::Canary, weight, Rating::Good);
        let mut now = earlier.clone();
        now.feedback.count(Channel::Canary, weight, Rating::Bad);
        let [earlier, now] = [earlier, now].map(|all| Snapshot::default().with_ratings(all));

        let difference = now.since(&earlier).unwrap().ratings;
        assert_eq!(difference.feedback.evidence()[&weight].canary.rated(Rating::Bad), 1);
        assert_eq!(difference.feedback.total(Channel::Canary).total, 1);
        assert!(earlier.since(&now).is_err());
    }
}
