use std::fmt;

use canary_core::{EventName, Ratings};

use crate::config::valid::valid;

/// What ratings a canary counts, and which receipts it takes.
///
/// See the [module's documentation](super). Without any of this, a canary counts what users say.
///
/// ```
/// use tower_canary::{CanaryOptions, feedback::FeedbackOptions};
///
/// let feedback = FeedbackOptions::new().event("order-completed").event("search-found");
/// let options = CanaryOptions::new().feedback(feedback);
/// # let _ = options;
/// ```
#[derive(Default)]
#[must_use]
pub struct FeedbackOptions {
    events: Vec<EventName>,
    #[cfg(feature = "feedback")]
    pub(super) receipts: super::ReceiptRules,
}

impl FeedbackOptions {
    /// The defaults: no events; receipts that nobody signed, which count for seven days.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an event of the application's own, such as `order-completed`.
    ///
    /// All events are named here, so that each has its series of metrics from the start, and none can come
    /// from a request.
    ///
    /// # Panics
    ///
    /// If it is a text that is no [`EventName`], and with the 65th event
    /// ([`Ratings::MAX_EVENTS`]).
    pub fn event(mut self, name: impl TryInto<EventName, Error: fmt::Display>) -> Self {
        self.events.push(valid(name));
        let _: Ratings = self.no_ratings();
        self
    }

    pub(super) fn no_ratings(&self) -> Ratings {
        Ratings::try_new(self.events.iter().cloned()).unwrap_or_else(|error| panic!("{error}"))
    }
}

#[cfg(feature = "feedback")]
mod receipts {
    use std::time::{Duration, SystemTime};

    use super::FeedbackOptions;
    use crate::select::Secret;

    impl FeedbackOptions {
        /// Signs receipts, and refuses those that are not signed.
        ///
        /// All replicas of a service must have the same secret.
        ///
        /// # Panics
        ///
        /// If the secret has less than 32 bytes.
        pub fn signed(mut self, secret: &Secret) -> Self {
            self.receipts.signer.add_first(secret);
            self
        }

        /// Takes receipts that this secret signed, too, so that secrets can be changed while receipts are
        /// out. New ones are signed by the secret of [`signed`](Self::signed).
        ///
        /// # Panics
        ///
        /// If the secret has less than 32 bytes.
        pub fn or_signed(mut self, secret: &Secret) -> Self {
            self.receipts.signer.add_last(secret);
            self
        }

        /// How long a receipt counts. The default is seven days.
        ///
        /// A receipt has its time in whole seconds, by the clock of the replica that made it; clocks may
        /// differ by a minute.
        pub fn max_age(mut self, max_age: Duration) -> Self {
            self.receipts.max_age = max_age;
            self
        }

        /// How many receipts are remembered, so that none counts twice. The default is 65,536, which takes
        /// up to 3 MB.
        ///
        /// When there are more, the oldest one is forgotten, and with it all that were made before it: they
        /// are refused from then on, since nobody can tell whether they counted. So this should be what you
        /// expect within the [age](Self::max_age).
        ///
        /// # Panics
        ///
        /// If it is zero.
        pub fn remember(mut self, receipts: usize) -> Self {
            assert!(receipts > 0, "a canary remembers one receipt at least");
            self.receipts.remembered = receipts;
            self
        }

        /// Tells the time by another clock than the system's, as a test does that lets receipts expire.
        pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
            self.receipts.clock = Box::new(now);
            self
        }
    }
}

impl fmt::Debug for FeedbackOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("FeedbackOptions");
        text.field("events", &self.events);
        #[cfg(feature = "feedback")]
        text.field("receipts", &self.receipts);
        text.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a canary counts at most 64 events of the application's own")]
    fn a_sixty_fifth_event_is_refused() {
        let add = |options: FeedbackOptions, number| options.event(format!("event-{number}"));
        let _ = (0..65).fold(FeedbackOptions::new(), add);
    }

    #[test]
    #[should_panic(expected = r#"event "Order": expected 1 to 63 characters"#)]
    fn an_event_that_no_label_can_carry_is_refused() {
        let _ = FeedbackOptions::new().event("Order");
    }
}
