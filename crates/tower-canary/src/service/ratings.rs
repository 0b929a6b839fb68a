use canary_core::Rating;

#[cfg(feature = "feedback")]
use crate::feedback::Receipt;
use crate::{
    counting::{call_key::CallKey, counter_key::Scope},
    feedback::{UnknownEvent, rated_call::RatedCall},
    service::assignment::Assignment,
};

impl Assignment {
    /// Counts the user's rating of this call for the channel that serves it.
    ///
    /// Every invocation counts, except in a mirrored copy of a call, whose response no user sees.
    /// The rating is evidence if the call was
    /// [assigned at random](crate::AssignmentReason::is_evidence), and excluded otherwise. If the
    /// user answers with a later request, use a [receipt](crate::feedback#rating-a-call-later).
    ///
    /// ```
    /// use tower_canary::{Assignment, Rating};
    ///
    /// /// A user who repeats a search did not find anything the first time.
    /// fn search(assignment: &Assignment, is_repeated: bool) {
    ///     assignment.rate(if is_repeated { Rating::Bad } else { Rating::Good });
    /// }
    /// ```
    pub fn rate(&self, rating: Rating) {
        if !self.is_copy() {
            let counters = self.counters();
            counters.config.feedback.rate(&counters.settings.salt, self.rated_call(), rating);
        }
    }

    /// Counts an [event](crate::feedback::FeedbackOptions::event) of the application for this call.
    ///
    /// Otherwise it counts like [`rate`](Self::rate).
    ///
    /// # Errors
    ///
    /// Returns an error if the options do not name the event. Nothing is counted in that case.
    pub fn rate_event(&self, event: &str, rating: Rating) -> Result<(), UnknownEvent> {
        let counters = self.counters();
        let store = &counters.config.feedback;
        if self.is_copy() {
            return store.refuse_unknown_event(event);
        }
        store.rate_event(event, &counters.settings.salt, self.rated_call(), rating)
    }

    /// Issues a receipt for this call, to rate it later at any replica.
    #[cfg(feature = "feedback")]
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        let counters = self.counters();
        counters.config.feedback.issue(&counters.settings.salt, self.rated_call())
    }

    fn rated_call(&self) -> RatedCall {
        // The receipt of a mirrored copy can be redeemed, but is never evidence.
        let scope = if self.is_copy() { Scope::Excluded } else { Scope::of(self.reason()) };
        let key = self.key().filter(|_| !self.is_copy() && self.reason().is_by_weight());
        let key = key.and_then(CallKey::tag);
        RatedCall { channel: self.channel(), scope, weight: self.weight(), key }
    }
}
