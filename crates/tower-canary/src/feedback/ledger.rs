use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use canary_core::{CanaryName, Channel, Rating, Ratings, RatingsByWeight, Weight};

use super::{FeedbackOptions, UnknownEvent, UnknownWeight};
use crate::select::salt::Salt;
use crate::{control::epoch_settings::EpochSettings, counting::shard_counters::Scope};

/// The ratings of one canary's calls.
///
/// Ratings are rare beside calls, so that a lock, held for some ten nanoseconds, does.
pub(crate) struct Ledger {
    books: Mutex<Books>,
    #[cfg(feature = "feedback")]
    pub(super) canary: CanaryName,
    #[cfg(feature = "feedback")]
    pub(super) rules: super::ReceiptRules,
}

pub(super) struct Books {
    /// What keys are hashed with now. None, before there are terms.
    pub(super) salt: Option<Arc<Salt>>,
    /// The weights that were in force since the salt was.
    pub(super) weights: BTreeSet<Weight>,
    ratings: Ratings,
    #[cfg(feature = "feedback")]
    pub(super) seen: super::seen::SeenReceipts,
}

/// Who rates by a receipt.
#[cfg(feature = "feedback")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rater<'a> {
    User,
    /// The application, by one of its events.
    Event(&'a str),
}

/// What has to be known of a call that is rated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Served {
    pub(crate) channel: Channel,
    pub(crate) scope: Scope,
    pub(crate) weight: Weight,
}

impl Served {
    pub(super) fn count_in(self, rated: &mut RatingsByWeight, rating: Rating) {
        match self.scope {
            Scope::Evidence => rated.count(self.channel, self.weight, rating),
            Scope::Excluded => rated.count_excluded(self.channel, rating),
        }
    }
}

impl Ledger {
    #[cfg_attr(
        not(feature = "feedback"),
        expect(clippy::needless_pass_by_value, unused_variables, reason = "receipts need both")
    )]
    pub(crate) fn new(canary: CanaryName, options: FeedbackOptions) -> Self {
        let books = Books {
            salt: None,
            weights: BTreeSet::new(),
            ratings: options.no_ratings(),
            #[cfg(feature = "feedback")]
            seen: super::seen::SeenReceipts::new(options.receipts.remembered),
        };
        Self {
            books: Mutex::new(books),
            #[cfg(feature = "feedback")]
            canary,
            #[cfg(feature = "feedback")]
            rules: options.receipts,
        }
    }

    /// Takes note of terms, before any call is assigned by them.
    pub(crate) fn begin(&self, settings: &EpochSettings) {
        let mut books = self.books();
        if books.salt.as_ref() != Some(&settings.salt) {
            books.salt = Some(Arc::clone(&settings.salt));
            books.weights.clear();
        }
        if books.weights.len() < RatingsByWeight::MAX_WEIGHTS {
            books.weights.insert(settings.weight);
        }
    }

    pub(crate) fn ratings(&self) -> Ratings {
        self.books().ratings.clone()
    }

    /// Counts what a user says of a call that was assigned by `terms`.
    pub(crate) fn rate(&self, settings: &EpochSettings, call: (Channel, Scope), rating: Rating) {
        let mut books = self.books();
        let served = books.served(settings, call);
        served.count_in(&mut books.ratings.feedback, rating);
    }

    /// Counts an event of the application's for a call that was assigned by `terms`.
    pub(crate) fn rate_event(
        &self,
        event: &str,
        settings: &EpochSettings,
        call: (Channel, Scope),
        rating: Rating,
    ) -> Result<(), UnknownEvent> {
        let mut books = self.books();
        let served = books.served(settings, call);
        served.count_in(books.event(event)?, rating);
        Ok(())
    }

    pub(crate) fn refuse_unknown_event(&self, event: &str) -> Result<(), UnknownEvent> {
        self.books().event(event).map(|_| ())
    }

    /// Counts what a user said of a call that chance gave to `channel` at `weight`.
    pub(crate) fn rate_served(
        &self,
        channel: Channel,
        weight: Weight,
        rating: Rating,
    ) -> Result<(), UnknownWeight> {
        let mut books = self.books();
        books.refuse_unknown(weight)?;
        let served = Served { channel, scope: Scope::Evidence, weight };
        served.count_in(&mut books.ratings.feedback, rating);
        Ok(())
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    pub(super) fn refuse_unknown(&self, weight: Weight) -> Result<(), UnknownWeight> {
        if self.weights.contains(&weight) { Ok(()) } else { Err(UnknownWeight { weight }) }
    }

    /// A call as it is to be counted now.
    fn served(&self, settings: &EpochSettings, (channel, scope): (Channel, Scope)) -> Served {
        let is_of_this_attempt = self.salt.as_ref() == Some(&settings.salt);
        let scope = if is_of_this_attempt { scope } else { Scope::Excluded };
        Served { channel, scope, weight: settings.weight }
    }

    #[cfg(feature = "feedback")]
    pub(super) fn rated(&mut self, rater: Rater<'_>) -> Result<&mut RatingsByWeight, UnknownEvent> {
        match rater {
            Rater::User => Ok(&mut self.ratings.feedback),
            Rater::Event(event) => self.event(event),
        }
    }

    fn event(&mut self, event: &str) -> Result<&mut RatingsByWeight, UnknownEvent> {
        if self.ratings.event(event).is_none() {
            return Err(self.unknown(event));
        }
        Ok(self.ratings.event_mut(event).expect("it was there"))
    }

    /// The number of the rater among all: a receipt counts once for each.
    #[cfg(feature = "feedback")]
    pub(super) fn number(&self, rater: Rater<'_>) -> Result<u8, UnknownEvent> {
        let Rater::Event(event) = rater else { return Ok(0) };
        let mut events = (1..).zip(self.ratings.events().keys());
        let known = events.find_map(|(number, known)| (known.as_str() == event).then_some(number));
        known.ok_or_else(|| self.unknown(event))
    }

    fn unknown(&self, event: &str) -> UnknownEvent {
        let known = self.ratings.events().keys().cloned().collect();
        UnknownEvent { event: event.to_owned(), known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::canary_config::CanaryConfig, variables::Variables};

    fn config() -> CanaryConfig {
        let feedback = FeedbackOptions::new().event("ordered").event("paid");
        crate::config::options::CanaryOptions::new()
            .feedback(feedback)
            .into_config("shop".parse().unwrap())
    }

    fn settings(salt: &str, percent: u32) -> EpochSettings {
        EpochSettings {
            weight: Weight::from_percent(percent),
            is_halted: false,
            keys: None,
            salt: Arc::new(Salt::new(salt)),
            variables: Arc::new(canary_core::PerChannel::from_fn(|_| Variables::default())),
        }
    }

    const BY_CHANCE: (Channel, Scope) = (Channel::Canary, Scope::Evidence);

    #[test]
    fn calls_before_the_last_salt_are_no_evidence() {
        let ledger = config().feedback;
        let (first, second) = (settings("first", 5), settings("second", 5));
        ledger.begin(&first);
        ledger.rate(&first, BY_CHANCE, Rating::Bad);
        ledger.begin(&second);
        ledger.rate(&first, BY_CHANCE, Rating::Bad);
        ledger.rate(&second, BY_CHANCE, Rating::Good);

        let rated = ledger.ratings().feedback;
        let at_five = rated.evidence()[&Weight::from_percent(5)].canary;
        assert_eq!((at_five.total, at_five.adverse), (2, 1));
        assert_eq!(rated.excluded().canary.adverse, 1);
    }

    #[test]
    fn an_event_that_the_options_do_not_name_is_refused_with_those_that_they_do() {
        let ledger = config().feedback;
        let settings = settings("salt", 5);
        let rate = |event| ledger.rate_event(event, &settings, BY_CHANCE, Rating::Bad);
        rate("paid").unwrap();
        let message = r#"event "payed" is not one of the canary's: ordered, paid"#;
        assert_eq!(rate("payed").unwrap_err().to_string(), message);
        assert_eq!(ledger.ratings().events().len(), 2);
    }

    #[test]
    fn a_weight_is_known_from_when_it_is_in_force_until_the_salt_changes() {
        let ledger = config().feedback;
        let rate = |percent| {
            ledger.rate_served(Channel::Stable, Weight::from_percent(percent), Rating::Good)
        };
        let message = "weight 5% was not in force since the canary got its salt";
        assert_eq!(rate(5).unwrap_err().to_string(), message);
        ledger.begin(&settings("salt", 5));
        ledger.begin(&settings("salt", 7));
        assert_eq!((rate(5), rate(7)), (Ok(()), Ok(())));
        ledger.begin(&settings("another salt", 7));
        assert!(rate(5).is_err());
        assert_eq!(rate(7), Ok(()));
    }
}
