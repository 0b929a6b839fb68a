//! The clock by which calls are timed.
//!
//! A call reads it twice, which by [`Instant`] is a third of what the call takes. So it reads the
//! processor's counter instead, as long as Linux itself tells the time by that counter, since it has
//! found it steady and the same on all cores; elsewhere it is [`Instant`] after all.
//!
//! What calls take during which the machine sleeps, is moved, or the kernel gives the counter up, is
//! measured wrong. The calls after it are right, or are within a few looks at the counts.

use std::{
    fs,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A moment in the life of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickInstant(u64);

impl TickInstant {
    #[inline]
    pub(crate) fn now() -> Self {
        Self(CLOCK.ticks())
    }

    /// The nanoseconds since. Moments of two threads can be out of order by a few; that makes none.
    #[inline]
    pub(crate) fn elapsed_nanos(self) -> u64 {
        let clock = &*CLOCK;
        clock.nanos(clock.ticks().saturating_sub(self.0))
    }
}

/// Looks whether the counter still has the scale that it had, if that was not done a moment ago.
///
/// A virtual machine that is moved to another host may count at another scale from then on.
pub(crate) fn recalibrate() {
    CLOCK.recalibrate(Duration::from_secs(1), is_trusted);
}

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::new);

struct Clock {
    /// None, if the processor's counter is not to be trusted.
    counter: Option<quanta::Clock>,
    /// Whether the counter is to be trusted no more.
    is_abandoned: AtomicBool,
    start: Instant,
    /// Nanoseconds in 2^32 ticks.
    scale: AtomicU64,
    last: Mutex<Calibration>,
}

/// The last time that somebody looked for the scale.
struct Calibration {
    at: Reading,
    /// What the scale was then, if it was not the one in use.
    unconfirmed: Option<u64>,
}

/// Both clocks at one moment.
#[derive(Clone, Copy)]
struct Reading {
    instant: Instant,
    ticks: u64,
}

impl Clock {
    fn new() -> Self {
        Self::of(is_trusted().then(quanta::Clock::new))
    }

    fn of(counter: Option<quanta::Clock>) -> Self {
        // What it was calibrated to, for which quanta takes a fifth of a second at most.
        let scale = counter.as_ref().map_or(ONE, |counter| counter.delta_as_nanos(0, ONE));
        let start = Instant::now();
        let clock = Self {
            counter,
            is_abandoned: AtomicBool::new(false),
            start,
            scale: AtomicU64::new(scale),
            last: Mutex::new(Calibration {
                at: Reading { instant: start, ticks: 0 },
                unconfirmed: None,
            }),
        };
        let at = clock.reading();
        Self { last: Mutex::new(Calibration { at, unconfirmed: None }), ..clock }
    }

    #[inline]
    fn ticks(&self) -> u64 {
        match &self.counter {
            Some(counter) if !self.is_abandoned.load(Ordering::Relaxed) => counter.raw(),
            _ => nanos_of(self.start.elapsed()),
        }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "more than five hundred years")]
    fn nanos(&self, ticks: u64) -> u64 {
        let scale = self.scale.load(Ordering::Relaxed);
        ((u128::from(ticks) * u128::from(scale)) >> ONE.trailing_zeros()) as u64
    }

    fn recalibrate(&self, interval: Duration, is_trusted: impl FnOnce() -> bool) {
        if self.counter.is_none() || self.is_abandoned.load(Ordering::Relaxed) {
            return;
        }
        // Whoever comes while another does it has nothing to do.
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.at.instant.elapsed() < interval {
            return;
        }
        if !is_trusted() {
            self.is_abandoned.store(true, Ordering::Relaxed);
            self.scale.store(ONE, Ordering::Relaxed);
            return;
        }
        let (before, now) = (last.at, self.reading());
        last.at = now;
        let nanos = nanos_of(now.instant - before.instant);
        let ticks = now.ticks.saturating_sub(before.ticks);
        let Some(scale) = scale_of(nanos, ticks) else { return };
        // While the machine sleeps, one clock may go on and the other not, which looks like another scale.
        // A true scale is the same the next time.
        let known = [Some(self.scale.load(Ordering::Relaxed)), last.unconfirmed];
        let is_known = known.into_iter().flatten().any(|one| scale.abs_diff(one) <= one / 100);
        last.unconfirmed = (!is_known).then_some(scale);
        if is_known {
            self.scale.store(scale, Ordering::Relaxed);
        }
    }

    /// The tightest of a few readings: the thread may lose the core between the two clocks.
    fn reading(&self) -> Reading {
        let read = |_| {
            let before = self.ticks();
            let instant = Instant::now();
            let width = self.ticks().saturating_sub(before);
            (width, Reading { instant, ticks: before + width / 2 })
        };
        let tightest = [(); 4].map(read).into_iter().min_by_key(|(width, _)| *width);
        tightest.expect("there are four").1
    }
}

fn scale_of(nanos: u64, ticks: u64) -> Option<u64> {
    let scale = (u128::from(nanos) << ONE.trailing_zeros()).checked_div(u128::from(ticks))?;
    u64::try_from(scale).ok()
}

pub(crate) fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Whether the processor's counter is the clock of the kernel, which knows better than we can find out.
fn is_trusted() -> bool {
    const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    fs::read_to_string(CURRENT).is_ok_and(|name| matches!(name.trim(), "tsc" | "arch_sys_counter"))
}

/// A scale at which a tick is a nanosecond.
const ONE: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs until the clock of the standard library has gone on by so much.
    fn spin(duration: Duration) {
        let start = Instant::now();
        while start.elapsed() < duration {
            std::hint::spin_loop();
        }
    }

    /// Asserts that the clock measures what the one of the standard library does, to a part in a hundred.
    fn assert_right(clock: &Clock) {
        let outer = Instant::now();
        let start = clock.ticks();
        let inner = Instant::now();
        spin(Duration::from_millis(10));
        let at_least = nanos_of(inner.elapsed());
        let measured = clock.nanos(clock.ticks() - start);
        let at_most = nanos_of(outer.elapsed());
        let expected = at_least / 100 * 99..=at_most / 100 * 101;
        assert!(expected.contains(&measured), "{measured} ns, expected {expected:?}");
    }

    #[test]
    fn a_nanosecond_is_a_nanosecond() {
        assert_right(&Clock::new());
        assert_right(&Clock::of(None));
    }

    fn look(clock: &Clock) {
        spin(Duration::from_millis(10));
        clock.recalibrate(Duration::ZERO, || true);
    }

    #[test]
    fn a_pace_that_changed_is_found_anew() {
        let clock = Clock::new();
        if clock.counter.is_some() {
            let scale = clock.scale.load(Ordering::Relaxed);
            clock.scale.store(scale / 2, Ordering::Relaxed);
            look(&clock);
            assert_eq!(clock.scale.load(Ordering::Relaxed), scale / 2, "once may be a mistake");
            look(&clock);
        }
        assert_right(&clock);
    }

    #[test]
    fn a_counter_that_goes_on_while_the_machine_sleeps_has_the_same_pace() {
        let clock = Clock::new();
        for asleep in [1, 3, 9, 0, 1].map(|times| times * (ONE >> 8)) {
            let mut last = clock.last.lock().unwrap();
            last.at.ticks = last.at.ticks.saturating_sub(asleep);
            drop(last);
            look(&clock);
            assert_right(&clock);
        }
    }

    #[test]
    fn a_counter_that_the_kernel_gave_up_is_not_read_any_more() {
        let clock = Clock::new();
        clock.recalibrate(Duration::ZERO, || false);
        assert!(clock.counter.is_none() || clock.is_abandoned.load(Ordering::Relaxed));
        assert_right(&clock);
        look(&clock);
        assert_right(&clock);
    }

    #[test]
    fn the_pace_is_not_looked_for_all_the_time() {
        let clock = Clock::new();
        clock.recalibrate(Duration::from_secs(3600), || panic!("it was just looked at"));
    }

    #[test]
    fn a_moment_to_come_is_none_ago() {
        assert_eq!(TickInstant(u64::MAX).elapsed_nanos(), 0);
    }

    #[test]
    fn no_reading_is_a_pace_if_no_tick_went_by() {
        assert_eq!(scale_of(5, 0), None);
        assert_eq!(scale_of(5, 5), Some(ONE));
        assert_eq!(scale_of(u64::MAX, 1), None);
    }
}
