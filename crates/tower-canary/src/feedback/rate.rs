use canary_core::{Channel, Rating, Weight};

use super::{UnknownEvent, UnknownWeight};
use crate::{
    control::handle::CanaryHandle, counting::shard_counters::Scope, service::assignment::Assignment,
};

impl Assignment {
    /// Counts what the user says of this very call, for the channel that serves it.
    ///
    /// Each call of this counts, but in a mirror's copy, whose answer no user sees. It is evidence if [chance](crate::AssignmentReason::is_evidence) assigned the call,
    /// and else counts aside. For a user who answers with another request, make a
    /// [receipt](super#later-with-another-request).
    ///
    /// ```
    /// use tower_canary::{Assignment, Rating};
    ///
    /// /// A search whose words the user had to repeat found nothing the first time.
    /// fn search(assignment: &Assignment, is_repeated: bool) {
    ///     assignment.rate(if is_repeated { Rating::Bad } else { Rating::Good });
    /// }
    /// ```
    pub fn rate(&self, rating: Rating) {
        if !self.is_copy() {
            let counters = self.counters();
            counters.config.feedback.rate(&counters.settings, self.served(), rating);
        }
    }

    /// Counts one of the application's [events](super::FeedbackOptions::event) for this very call: an
    /// occasion for it, that was good or bad.
    ///
    /// Otherwise as [`rate`](Self::rate).
    ///
    /// # Errors
    ///
    /// If the options name no such event. Nothing is counted then.
    pub fn rate_event(&self, event: &str, rating: Rating) -> Result<(), UnknownEvent> {
        let counters = self.counters();
        if self.is_copy() {
            return counters.config.feedback.refuse_unknown_event(event);
        }
        counters.config.feedback.rate_event(event, &counters.settings, self.served(), rating)
    }

    /// A receipt by which this call can be rated later, also at another replica.
    #[cfg(feature = "feedback")]
    #[must_use]
    pub fn receipt(&self) -> super::Receipt {
        let counters = self.counters();
        let (channel, scope) = self.served();
        let served = super::ledger::Served { channel, scope, weight: counters.settings.weight };
        counters.config.feedback.issue(&counters.settings.salt, served)
    }

    fn served(&self) -> (Channel, Scope) {
        // Of a copy there is but a receipt, which is not to be evidence either.
        let scope = if self.is_copy() { Scope::Excluded } else { Scope::of(self.reason()) };
        (self.channel(), scope)
    }
}

impl CanaryHandle {
    /// Counts what a user said of a call that chance gave to `channel` when the weight was `weight`.
    ///
    /// For applications that keep both where the user's answer finds them, such as beside the order. With
    /// what an outsider sends, take a [receipt](super#later-with-another-request).
    ///
    /// # Errors
    ///
    /// If `weight` was not in force since the canary got its [salt](Self::salt), here. Nothing is counted
    /// then.
    pub fn feedback(
        &self,
        channel: Channel,
        weight: Weight,
        rating: Rating,
    ) -> Result<(), UnknownWeight> {
        self.control().config().feedback.rate_served(channel, weight, rating)
    }
}
