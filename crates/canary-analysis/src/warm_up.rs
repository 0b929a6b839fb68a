use std::time::Duration;

use crate::{
    evidence::Evidence,
    monitor::{Measure, Monitor},
};

/// The time after the canary's first calls that a monitor leaves out of the comparison.
///
/// A new version starts with cold caches and empty connection pools. Its first calls are slow, and
/// some fail, which says nothing about the time after. The looks of the warm-up are left out for
/// both channels, and do not count later.
///
/// The warm-up must not hide a canary that is broken. So a part of the wealth bets during the
/// warm-up that the canary's rate is above one half: the *brake*. It sees the looks of the warm-up
/// and no others. A limit that follows stable's latency has no brake, since all calls of a cold
/// canary can be slower than nearly all of stable's.
#[derive(Clone, Debug)]
pub(crate) struct WarmUp {
    lasts: Duration,
    /// The time that has passed, or `None` before the canary's first call.
    elapsed: Option<Duration>,
    /// The looks of the warm-up.
    pub(crate) brake: Evidence,
    has_brake: bool,
}

impl WarmUp {
    /// Returns `None` if the monitor has no warm-up.
    pub(crate) fn new(monitor: &Monitor) -> Option<Self> {
        let lasts = monitor.warm_up();
        let margins = monitor.margins().of_brake();
        let brake = Evidence::of_monitor(&monitor.clone().with_margins(margins));
        let has_brake = match monitor.measure() {
            Measure::Slow(_, limit) => limit.quantile().is_none(),
            _ => true,
        };
        (!lasts.is_zero()).then_some(Self { lasts, elapsed: None, brake, has_brake })
    }

    /// Returns whether proof that the canary's rate is above one half stops it.
    pub(crate) const fn has_brake(&self) -> bool {
        self.has_brake
    }

    /// Begins with the canary's first call.
    pub(crate) fn begin(&mut self) {
        self.elapsed.get_or_insert_default();
    }

    /// Ends a look that took this long.
    pub(crate) fn pass(&mut self, time: Duration) {
        if let Some(elapsed) = &mut self.elapsed {
            *elapsed = elapsed.saturating_add(time).min(self.lasts);
        }
    }

    /// Returns whether the next calls are left out of the comparison.
    pub(crate) fn is_active(&self) -> bool {
        self.elapsed.is_some_and(|elapsed| elapsed < self.lasts)
    }

    /// Returns the time that has passed, `None` before the canary's first call.
    pub(crate) const fn elapsed(&self) -> Option<Duration> {
        self.elapsed
    }

    /// Returns a warm-up as long after the canary's first call, without the counts of its looks.
    pub(crate) fn emptied(&self) -> Self {
        Self { brake: self.brake.emptied(), ..self.clone() }
    }

    /// Returns the time until the end, or `None` if the warm-up has ended or not begun.
    pub(crate) fn left(&self) -> Option<Duration> {
        let left = self.lasts.saturating_sub(self.elapsed?);
        (!left.is_zero()).then_some(left)
    }

    /// Returns `None` if more time has passed than the warm-up lasts.
    pub(crate) fn restored(mut self, elapsed: Option<Duration>, brake: Evidence) -> Option<Self> {
        if elapsed.is_some_and(|elapsed| elapsed > self.lasts) {
            return None;
        }
        self.elapsed = elapsed;
        self.brake = brake;
        Some(self)
    }
}

/// The brake's part of the wealth. With an `alpha` of 1 %, a canary that fails every call trips it
/// with its eleventh call; with half of the wealth it would be the tenth. What is compared after
/// the warm-up needs 1.25 times the odds.
pub(crate) const BRAKE: f64 = 0.2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_begins_with_the_first_call_and_ends_after_its_time() {
        let second = Duration::from_secs(1);
        let mut warm_up = WarmUp::new(&Monitor::failures().with_warm_up(2 * second)).unwrap();
        warm_up.pass(10 * second);
        assert_eq!((warm_up.is_active(), warm_up.left()), (false, None));
        warm_up.begin();
        assert_eq!((warm_up.is_active(), warm_up.left()), (true, Some(2 * second)));
        warm_up.pass(second);
        assert_eq!((warm_up.is_active(), warm_up.left()), (true, Some(second)));
        warm_up.pass(second);
        warm_up.begin();
        assert_eq!((warm_up.is_active(), warm_up.left()), (false, None));
        assert!(WarmUp::new(&Monitor::failures()).is_none());
    }
}
