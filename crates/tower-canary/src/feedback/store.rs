use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use canary_core::{CanaryName, Channel, Rating, Ratings, RatingsByWeight, Weight};

#[cfg(feature = "feedback")]
use crate::feedback::{options::ReceiptOptions, replay_guard::ReplayGuard, signer::Signer};
use crate::{
    counting::{
        counter_key::Scope,
        key_watch::{KeyRating, KeyWatch},
    },
    feedback::{
        error::{UnknownEvent, UnknownWeight},
        options::FeedbackOptions,
        rated_call::RatedCall,
    },
    select::salt::Salt,
};

/// The ratings of one canary's calls.
///
/// A plain lock is enough: ratings are rare compared with calls, and the lock is held for 10 to
/// 20 ns.
pub(crate) struct RatingStore {
    state: Mutex<RatingState>,
    #[cfg(feature = "feedback")]
    pub(super) canary: CanaryName,
    #[cfg(feature = "feedback")]
    pub(super) receipts: ReceiptOptions,
    #[cfg(feature = "feedback")]
    pub(super) signer: Signer,
}

pub(super) struct RatingState {
    /// The current salt. `None` until the first epoch begins.
    pub(super) salt: Option<Arc<Salt>>,
    /// The watch that records which keys rated. `None` if keys are not watched.
    keys: Option<KeyWatch>,
    /// The weights that have been in force with the current salt.
    pub(super) weights: BTreeSet<Weight>,
    ratings: Ratings,
    #[cfg(feature = "feedback")]
    pub(super) replay_guard: ReplayGuard,
}

/// Where a rating by receipt is counted.
#[cfg(feature = "feedback")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum RatingSeries<'a> {
    /// The feedback of users.
    Feedback,
    /// An event of the application.
    Event(&'a str),
}

impl RatingStore {
    #[cfg_attr(
        not(feature = "feedback"),
        expect(clippy::needless_pass_by_value, unused_variables, reason = "receipts need both")
    )]
    pub(crate) fn new(canary: CanaryName, options: FeedbackOptions) -> Self {
        let state = RatingState {
            salt: None,
            keys: None,
            weights: BTreeSet::new(),
            ratings: options.no_ratings(),
            #[cfg(feature = "feedback")]
            replay_guard: ReplayGuard::new(options.receipts.remembered, options.receipts.max_age),
        };
        Self {
            state: Mutex::new(state),
            #[cfg(feature = "feedback")]
            canary,
            #[cfg(feature = "feedback")]
            signer: options.receipts.signer(),
            #[cfg(feature = "feedback")]
            receipts: options.receipts,
        }
    }

    /// Registers the salt and the weight of an epoch. This must happen before calls are assigned in
    /// the epoch.
    pub(crate) fn begin(&self, salt: &Arc<Salt>, weight: Weight) {
        let mut state = self.state();
        if state.salt.as_ref() != Some(salt) {
            state.salt = Some(Arc::clone(salt));
            state.weights.clear();
        }
        if state.weights.len() < RatingsByWeight::MAX_WEIGHTS {
            state.weights.insert(weight);
        }
    }

    /// Records from now on which keys rated.
    pub(crate) fn watch_keys(&self, keys: Option<&KeyWatch>) {
        self.state().keys = keys.cloned();
    }

    pub(crate) fn ratings(&self) -> Ratings {
        self.state().ratings.clone()
    }

    pub(crate) fn has_ratings(&self, ratings: &Ratings) -> bool {
        self.state().ratings == *ratings
    }

    /// Counts a user's rating of a call that was assigned with `salt`.
    pub(crate) fn rate(&self, salt: &Arc<Salt>, call: RatedCall, rating: Rating) {
        let mut state = self.state();
        let call = state.exclude_if_outdated(salt, call);
        call.count_in(&mut state.ratings.feedback, rating);
        state.record_key(None, call, rating);
    }

    /// Counts an event of the application for a call that was assigned with `salt`.
    pub(crate) fn rate_event(
        &self,
        event: &str,
        salt: &Arc<Salt>,
        call: RatedCall,
        rating: Rating,
    ) -> Result<(), UnknownEvent> {
        let mut state = self.state();
        let call = state.exclude_if_outdated(salt, call);
        call.count_in(state.event(event)?, rating);
        state.record_key(Some(event), call, rating);
        Ok(())
    }

    pub(crate) fn refuse_unknown_event(&self, event: &str) -> Result<(), UnknownEvent> {
        self.state().event(event).map(|_| ())
    }

    /// Counts a user's rating of a call that was assigned to `channel` at random at `weight`.
    pub(crate) fn rate_random(
        &self,
        channel: Channel,
        weight: Weight,
        rating: Rating,
    ) -> Result<(), UnknownWeight> {
        let mut state = self.state();
        state.refuse_unknown(weight)?;
        let call = RatedCall { channel, scope: Scope::Evidence, weight, key: None };
        call.count_in(&mut state.ratings.feedback, rating);
        Ok(())
    }

    pub(super) fn state(&self) -> MutexGuard<'_, RatingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RatingState {
    pub(super) fn refuse_unknown(&self, weight: Weight) -> Result<(), UnknownWeight> {
        if self.weights.contains(&weight) { Ok(()) } else { Err(UnknownWeight { weight }) }
    }

    /// Excludes a call from the evidence if the salt has changed since its assignment.
    fn exclude_if_outdated(&self, salt: &Arc<Salt>, call: RatedCall) -> RatedCall {
        let is_current = self.salt.as_ref() == Some(salt);
        let scope = if is_current { call.scope } else { Scope::Excluded };
        RatedCall { scope, key: call.key.filter(|_| is_current), ..call }
    }

    /// Records that the key of a call rated it, if keys are watched.
    pub(super) fn record_key(&self, event: Option<&str>, call: RatedCall, rating: Rating) {
        let RatedCall { channel, weight, key, .. } = call;
        if let (Some(watch), Some(key)) = (&self.keys, key) {
            let named = |event| self.ratings.events().get_key_value(event);
            let event = event.and_then(named).map(|(name, _)| name.clone());
            watch.record_rating(KeyRating { weight, key: key.into(), channel, event, rating });
        }
    }

    #[cfg(feature = "feedback")]
    pub(super) fn series(
        &mut self,
        series: RatingSeries<'_>,
    ) -> Result<&mut RatingsByWeight, UnknownEvent> {
        match series {
            RatingSeries::Feedback => Ok(&mut self.ratings.feedback),
            RatingSeries::Event(event) => self.event(event),
        }
    }

    fn event(&mut self, event: &str) -> Result<&mut RatingsByWeight, UnknownEvent> {
        if self.ratings.event(event).is_none() {
            return Err(self.unknown(event));
        }
        Ok(self.ratings.event_mut(event).expect("the event was just found"))
    }

    /// Returns a number that identifies a series: each receipt counts once per series.
    #[cfg(feature = "feedback")]
    pub(super) fn series_number(&self, series: RatingSeries<'_>) -> Result<u8, UnknownEvent> {
        let RatingSeries::Event(event) = series else { return Ok(0) };
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

    fn store() -> RatingStore {
        let options = FeedbackOptions::new().event("ordered").event("paid");
        RatingStore::new("shop".parse().unwrap(), options)
    }

    fn salt(text: &str) -> Arc<Salt> {
        Arc::new(Salt::new(text, None))
    }

    const FIVE_PERCENT: Weight = Weight::from_percent(5);
    const RANDOM_CALL: RatedCall = RatedCall {
        channel: Channel::Canary,
        scope: Scope::Evidence,
        weight: FIVE_PERCENT,
        key: None,
    };

    #[test]
    fn calls_assigned_with_an_earlier_salt_are_not_evidence() {
        let store = store();
        let (first, second) = (salt("first"), salt("second"));
        store.begin(&first, FIVE_PERCENT);
        store.rate(&first, RANDOM_CALL, Rating::Bad);
        store.begin(&second, FIVE_PERCENT);
        store.rate(&first, RANDOM_CALL, Rating::Bad);
        store.rate(&second, RANDOM_CALL, Rating::Good);

        let ratings = store.ratings().feedback;
        let at_five = ratings.evidence()[&FIVE_PERCENT].canary;
        assert_eq!((at_five.total, at_five.adverse), (2, 1));
        assert_eq!(ratings.excluded().canary.adverse, 1);
    }

    #[test]
    fn an_unknown_event_is_refused_with_a_list_of_the_known_events() {
        let store = store();
        let rate = |event| store.rate_event(event, &salt("salt"), RANDOM_CALL, Rating::Bad);
        rate("paid").unwrap();
        let message = r#"unknown event "payed": the options name ordered, paid"#;
        assert_eq!(rate("payed").unwrap_err().to_string(), message);
        assert_eq!(store.ratings().events().len(), 2);
    }

    #[test]
    fn a_weight_is_known_once_it_was_in_force_with_the_current_salt() {
        let store = store();
        let rate = |percent| {
            store.rate_random(Channel::Stable, Weight::from_percent(percent), Rating::Good)
        };
        let message = "weight 5% has not been in force with the current salt";
        assert_eq!(rate(5).unwrap_err().to_string(), message);
        store.begin(&salt("salt"), FIVE_PERCENT);
        store.begin(&salt("salt"), Weight::from_percent(7));
        assert_eq!((rate(5), rate(7)), (Ok(()), Ok(())));
        store.begin(&salt("another salt"), Weight::from_percent(7));
        assert!(rate(5).is_err());
        assert_eq!(rate(7), Ok(()));
    }
}
