use std::fmt;

use canary_core::{EventName, Ratings};

use crate::config::valid::valid;
#[cfg(feature = "feedback")]
use crate::feedback::signer::Signer;

/// Options for [ratings and receipts](crate::feedback).
///
/// By default a canary counts the feedback of users but no events. Its receipts are unsigned and
/// valid for seven days, and the last 65,536 receipts are remembered.
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
    pub(super) receipts: ReceiptOptions,
}

impl FeedbackOptions {
    /// Returns the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event of the application, such as `order-completed`.
    ///
    /// Events are fixed when the layer is built. Their metrics exist from the start, and no request
    /// can add one.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a valid [`EventName`], or if there are more than 64 events
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

impl fmt::Debug for FeedbackOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("FeedbackOptions");
        debug.field("events", &self.events);
        #[cfg(feature = "feedback")]
        debug.field("receipts", &self.receipts);
        debug.finish()
    }
}

#[cfg(feature = "feedback")]
pub(super) struct ReceiptOptions {
    pub(super) signer: Signer,
    pub(super) max_age: std::time::Duration,
    pub(super) remembered: usize,
    clock: Box<dyn Fn() -> std::time::SystemTime + Send + Sync>,
}

#[cfg(feature = "feedback")]
mod receipts {
    use std::{
        fmt,
        time::{Duration, SystemTime},
    };

    use super::{FeedbackOptions, ReceiptOptions};
    use crate::{feedback::signer::Signer, select::Secret};

    impl FeedbackOptions {
        /// Signs receipts with `secret`, and refuses unsigned ones.
        ///
        /// All replicas of a service need the same secret.
        ///
        /// # Panics
        ///
        /// Panics if the secret has less than 32 bytes.
        pub fn signed(mut self, secret: &Secret) -> Self {
            self.receipts.signer.add_first(secret);
            self
        }

        /// Also accepts receipts that were signed with `secret`.
        ///
        /// To change the secret while receipts are in use, pass the old one here. New receipts are
        /// signed with the secret of [`signed`](Self::signed).
        ///
        /// # Panics
        ///
        /// Panics if the secret has less than 32 bytes.
        pub fn or_signed(mut self, secret: &Secret) -> Self {
            self.receipts.signer.add_last(secret);
            self
        }

        /// Sets how long a receipt is valid. The default is seven days.
        ///
        /// The age has a resolution of one second. The clocks of two replicas may differ by up to a
        /// minute.
        pub fn max_age(mut self, max_age: Duration) -> Self {
            self.receipts.max_age = max_age;
            self
        }

        /// Sets the number of used receipts to remember, so that none counts twice. The default is
        /// 65,536, which takes up to 3 MB.
        ///
        /// Beyond this number the oldest receipt is forgotten, and receipts that are as old or
        /// older are refused. Choose the number of receipts that you expect within
        /// [`max_age`](Self::max_age).
        ///
        /// # Panics
        ///
        /// Panics if `receipts` is zero.
        pub fn remember(mut self, receipts: usize) -> Self {
            assert!(receipts > 0, "remembered receipts: 0, expected at least 1");
            self.receipts.remembered = receipts;
            self
        }

        /// Replaces the system clock, for tests in which receipts expire.
        pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
            self.receipts.clock = Box::new(now);
            self
        }
    }

    impl ReceiptOptions {
        /// Returns the time in seconds since 1970. It saturates in 2106.
        pub(in crate::feedback) fn now(&self) -> u32 {
            let since_1970 =
                (self.clock)().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX)
        }
    }

    impl Default for ReceiptOptions {
        fn default() -> Self {
            Self {
                signer: Signer::default(),
                max_age: Duration::from_secs(7 * 24 * 60 * 60),
                remembered: 65_536,
                clock: Box::new(SystemTime::now),
            }
        }
    }

    impl fmt::Debug for ReceiptOptions {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("ReceiptOptions")
                .field("signer", &self.signer)
                .field("max_age", &self.max_age)
                .field("remembered", &self.remembered)
                .finish_non_exhaustive()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a canary counts at most 64 events of the application")]
    fn a_sixty_fifth_event_is_refused() {
        let add = |options: FeedbackOptions, number| options.event(format!("event-{number}"));
        let _ = (0..65).fold(FeedbackOptions::new(), add);
    }

    #[test]
    #[should_panic(expected = r#"event "Order": expected 1 to 63 characters"#)]
    fn an_invalid_event_name_is_refused() {
        let _ = FeedbackOptions::new().event("Order");
    }
}
