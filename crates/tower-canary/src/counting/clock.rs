//! The clock that measures the latencies of calls.
//!
//! A call reads the clock twice. Two readings of [`Instant`] take 150 instructions and 29 ns more
//! per call than two readings of the processor's counter (a reading takes 22.5 ns instead of 9.5);
//! see `benches/PERFORMANCE.md`. So this clock reads the counter while Linux uses the same counter as
//! its clock source, which means that the kernel found it steady and equal on all cores. Otherwise it
//! reads `Instant`.
//!
//! Latencies are wrong for calls during which the machine sleeps, is migrated to another host, or
//! changes its clock source. The clock corrects itself within a few snapshots.

use std::{
    fs,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A point in time, in ticks of the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickInstant(u64);

impl TickInstant {
    #[inline]
    pub(crate) fn now() -> Self {
        let ticks = CLOCK.ticks();
        #[cfg(all(test, not(canary_loom)))]
        let ticks = ticks + testing::ahead();
        Self(ticks)
    }

    /// Returns the nanoseconds since `earlier`, or zero if it is later.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Self) -> u64 {
        CLOCK.nanos(self.ticks_since(earlier))
    }

    /// Returns the ticks since `earlier`, or zero if it is later. The counters of two cores can
    /// differ by a few ticks.
    #[inline]
    pub(crate) const fn ticks_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the ticks since the start of the clock.
    #[inline]
    pub(crate) const fn ticks(self) -> u64 {
        self.0
    }

    #[cfg(test)]
    pub(crate) const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }
}

/// Returns the number of ticks in a time, as the clock measures it now.
pub(crate) fn ticks_in(time: Duration) -> u64 {
    let scale = u128::from(CLOCK.scale.load(Ordering::Relaxed).max(1));
    let ticks = (time.as_nanos() << ONE.trailing_zeros()) / scale;
    u64::try_from(ticks).unwrap_or(u64::MAX)
}

/// Measures the length of a tick again, at most once per second.
///
/// The length changes when a virtual machine is migrated to a host whose counter has another
/// frequency.
pub(crate) fn recalibrate() {
    CLOCK.recalibrate(Duration::from_secs(1), is_trusted);
}

static CLOCK: LazyLock<CounterClock> = LazyLock::new(CounterClock::new);

struct CounterClock {
    /// `None` if the processor's counter is not trusted.
    counter: Option<quanta::Clock>,
    /// Whether the counter is no longer trusted and `Instant` is read instead.
    is_abandoned: AtomicBool,
    start: Instant,
    /// The nanoseconds in 2^32 ticks.
    scale: AtomicU64,
    last: Mutex<Calibration>,
}

/// The last measurement of the scale.
struct Calibration {
    at: Reading,
    /// The measured scale, if it differed from the one in use.
    unconfirmed: Option<u64>,
}

/// Both clocks at the same point in time.
#[derive(Clone, Copy)]
struct Reading {
    instant: Instant,
    ticks: u64,
}

impl CounterClock {
    fn new() -> Self {
        Self::with_counter(is_trusted().then(quanta::Clock::new))
    }

    fn with_counter(counter: Option<quanta::Clock>) -> Self {
        // quanta has calibrated the counter by now, which takes up to 200 ms.
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
    #[expect(clippy::cast_possible_truncation, reason = "a u64 holds 584 years in nanoseconds")]
    fn nanos(&self, ticks: u64) -> u64 {
        let scale = self.scale.load(Ordering::Relaxed);
        ((u128::from(ticks) * u128::from(scale)) >> ONE.trailing_zeros()) as u64
    }

    fn recalibrate(&self, interval: Duration, is_trusted: impl FnOnce() -> bool) {
        if self.counter.is_none() || self.is_abandoned.load(Ordering::Relaxed) {
            return;
        }
        // Another thread that holds the lock is calibrating.
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
        // While the machine sleeps, only one of the clocks may run, which yields a wrong scale. A
        // new scale is therefore used only after a second measurement confirms it.
        let known = [Some(self.scale.load(Ordering::Relaxed)), last.unconfirmed];
        let is_known =
            known.into_iter().flatten().any(|known| scale.abs_diff(known) <= known / 100);
        last.unconfirmed = (!is_known).then_some(scale);
        if is_known {
            self.scale.store(scale, Ordering::Relaxed);
        }
    }

    /// Reads both clocks. Takes the closest of four readings, because the thread may be preempted
    /// between the two clocks.
    fn reading(&self) -> Reading {
        let read = |_| {
            let before = self.ticks();
            let instant = Instant::now();
            let width = self.ticks().saturating_sub(before);
            (width, Reading { instant, ticks: before + width / 2 })
        };
        let closest = [(); 4].map(read).into_iter().min_by_key(|(width, _)| *width);
        closest.expect("the array is not empty").1
    }
}

fn scale_of(nanos: u64, ticks: u64) -> Option<u64> {
    let scale = (u128::from(nanos) << ONE.trailing_zeros()).checked_div(u128::from(ticks))?;
    u64::try_from(scale).ok()
}

pub(crate) fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns whether the kernel uses the processor's counter as its clock source. The kernel checks
/// the counter more thoroughly than this crate could.
fn is_trusted() -> bool {
    const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    fs::read_to_string(CURRENT).is_ok_and(|name| matches!(name.trim(), "tsc" | "arch_sys_counter"))
}

/// The scale at which a tick is one nanosecond.
const ONE: u64 = 1 << 32;

/// Lets the tests of one thread pass time without waiting.
#[cfg(all(test, not(canary_loom)))]
pub(crate) mod testing {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static AHEAD: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn ahead() -> u64 {
        AHEAD.get()
    }

    pub(crate) fn advance(time: Duration) {
        AHEAD.set(AHEAD.get() + ticks_in(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Busy-waits for `duration`.
    fn spin(duration: Duration) {
        let start = Instant::now();
        while start.elapsed() < duration {
            std::hint::spin_loop();
        }
    }

    /// Asserts that the clock and `Instant` agree within 1%.
    fn assert_agrees_with_instant(clock: &CounterClock) {
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
    fn the_clock_agrees_with_instant() {
        assert_agrees_with_instant(&CounterClock::new());
        assert_agrees_with_instant(&CounterClock::with_counter(None));
    }

    fn recalibrate(clock: &CounterClock) {
        spin(Duration::from_millis(10));
        clock.recalibrate(Duration::ZERO, || true);
    }

    #[test]
    fn a_changed_scale_is_adopted_after_two_measurements() {
        let clock = CounterClock::new();
        if clock.counter.is_some() {
            let scale = clock.scale.load(Ordering::Relaxed);
            clock.scale.store(scale / 2, Ordering::Relaxed);
            recalibrate(&clock);
            assert_eq!(clock.scale.load(Ordering::Relaxed), scale / 2, "once may be an error");
            recalibrate(&clock);
        }
        assert_agrees_with_instant(&clock);
    }

    #[test]
    fn a_counter_that_runs_while_the_machine_sleeps_keeps_its_scale() {
        let clock = CounterClock::new();
        for asleep in [1, 3, 9, 0, 1].map(|times| times * (ONE >> 8)) {
            let mut last = clock.last.lock().unwrap();
            last.at.ticks = last.at.ticks.saturating_sub(asleep);
            drop(last);
            recalibrate(&clock);
            assert_agrees_with_instant(&clock);
        }
    }

    #[test]
    fn a_counter_that_the_kernel_abandons_is_not_read_again() {
        let clock = CounterClock::new();
        clock.recalibrate(Duration::ZERO, || false);
        assert!(clock.counter.is_none() || clock.is_abandoned.load(Ordering::Relaxed));
        assert_agrees_with_instant(&clock);
        recalibrate(&clock);
        assert_agrees_with_instant(&clock);
    }

    #[test]
    fn the_scale_is_measured_at_most_once_per_interval() {
        let clock = CounterClock::new();
        clock.recalibrate(Duration::from_secs(3600), || panic!("measured too early"));
    }

    #[test]
    fn no_time_has_elapsed_since_an_instant_in_the_future() {
        assert_eq!(TickInstant::now().nanos_since(TickInstant(u64::MAX)), 0);
    }

    #[test]
    fn a_scale_needs_at_least_one_tick() {
        assert_eq!(scale_of(5, 0), None);
        assert_eq!(scale_of(5, 5), Some(ONE));
        assert_eq!(scale_of(u64::MAX, 1), None);
    }
}
