use std::{fmt, sync::Arc, time::SystemTime};

use canary_rollout::Timestamp;

/// What a controller takes for the time of day.
///
/// The system's clock, unless a test or a simulation has one of its own:
///
/// ```
/// use canary_controller::{Clock, Timestamp};
///
/// let clock = Clock::from_fn(|| Timestamp::from_millis(0));
/// assert_eq!(clock.now(), Timestamp::from_millis(0));
/// ```
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The clock that the function reads.
    pub fn from_fn(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::from_fn(|| SystemTime::now().into())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
