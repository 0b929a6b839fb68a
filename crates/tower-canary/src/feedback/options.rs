use std::fmt;

use canary_core::{EventName, Ratings};

use crate::config::valid::valid;
#[cfg(feature = "feedback")]
use crate::feedback::signer::Signer;

/// Options for [ratings and receipts](crate::feedback).
///
/// By default a canary counts the feedback of users but no events. Its receipts are valid for seven
/// days at the process that issued them, and up to 65,536 used receipts are remembered.
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
    /// Has no secret if none is configured.
    signer: Signer,
    is_unsigned: bool,
    pub(super) max_age: std::time::Duration,
    pub(super) remembered: usize,
    #[cfg(all(feature = "axum", feature = "tokio"))]
    pub(super) body_time_limit: std::time::Duration,
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
        /// Signs receipts with `secret`, and refuses others.
        ///
        /// By default, receipts are signed with a random secret of the process: other replicas
        /// refuse them, and so does the process after a restart. With the same secret, all replicas
        /// of a service accept them.
        pub fn signed(mut self, secret: &Secret) -> Self {
            self.receipts.signer.add_first(secret);
            self
        }

        /// Also accepts receipts that were signed with `secret`.
        ///
        /// To change the secret while receipts are in use, pass the old one here. New receipts are
        /// signed with the secret of [`signed`](Self::signed).
        pub fn or_signed(mut self, secret: &Secret) -> Self {
            self.receipts.signer.add_last(secret);
            self
        }

        /// Issues unsigned receipts, and accepts ratings without a receipt in some cases (see the
        /// route `axum::feedback`).
        ///
        /// Anyone who can send a rating can then make up receipts for either channel, and so decide
        /// a release whose plan depends on feedback. Use it only for clients that you trust.
        ///
        /// # Panics
        ///
        /// [`CanaryLayer::with_options`](crate::CanaryLayer::with_options) panics if the options
        /// also have a secret.
        pub const fn unsigned(mut self) -> Self {
            self.receipts.is_unsigned = true;
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
        /// 65,536, which takes up to 3 MB. Choose the number of receipts that you expect within
        /// [`max_age`](Self::max_age).
        ///
        /// Receipts are remembered by the time at which they were issued, in 1,024 intervals of
        /// `max_age`. Beyond the number, the interval with the most receipts is closed: its other
        /// receipts are refused. So a client that sends many receipts excludes those of the same
        /// time, and not those of other users before and after.
        ///
        /// # Panics
        ///
        /// Panics if `receipts` is zero.
        pub fn remember(mut self, receipts: usize) -> Self {
            assert!(receipts > 0, "remembered receipts: 0, expected at least 1");
            self.receipts.remembered = receipts;
            self
        }

        /// Sets how long the route `axum::feedback` waits for the body of a request. The default is
        /// ten seconds.
        ///
        /// Without the feature `tokio`, the route has no time limit: set one outside of it.
        #[cfg(all(feature = "axum", feature = "tokio"))]
        pub fn body_time_limit(mut self, limit: Duration) -> Self {
            self.receipts.body_time_limit = limit;
            self
        }

        /// Replaces the system clock, for tests in which receipts expire.
        pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
            self.receipts.clock = Box::new(now);
            self
        }
    }

    impl ReceiptOptions {
        pub(in crate::feedback) fn signer(&self) -> Signer {
            assert!(
                !(self.is_unsigned && self.signer.signs()),
                "feedback options are unsigned and have a secret: expected one of them",
            );
            if self.is_unsigned || self.signer.signs() {
                self.signer.clone()
            } else {
                Signer::of_process()
            }
        }

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
                is_unsigned: false,
                max_age: Duration::from_secs(7 * 24 * 60 * 60),
                remembered: 65_536,
                #[cfg(all(feature = "axum", feature = "tokio"))]
                body_time_limit: Duration::from_secs(10),
                clock: Box::new(SystemTime::now),
            }
        }
    }

    impl fmt::Debug for ReceiptOptions {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("ReceiptOptions")
                .field("signer", &self.signer)
                .field("is_unsigned", &self.is_unsigned)
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
