//! Counts calls when they reach an [`Age`] without an answer.

use std::{sync::LazyLock, time::Duration};

use canary_core::{Age, PerAge};

use crate::counting::{
    clock::{TickInstant, ticks_in},
    sync::atomic::{AtomicU64, Ordering},
};

/// The calls without an answer, and the number of calls that reached each [`Age`] without one.
///
/// It needs no timer: a ring has a slot for each half second to second of the last two minutes, with
/// the number of calls that started in it and wait for their answer. A reader adds the slots that
/// are old enough, so the counts are right whenever they are read, although no call ends. A call
/// counts at most a second after it reached the age. It writes its slot twice, and nothing else
/// unless it waits for five seconds.
///
/// Ages are measured in ticks of the clock. Calls that are open while the machine sleeps have aged
/// if the clock ran on. If the clock is replaced by one that is behind, the calls that wait at that
/// moment are not counted. Both concern the channels alike.
pub(crate) struct UnansweredCalls {
    slots: [AtomicU64; SLOTS],
    /// Calls that reached the age and then left the ring.
    left: [AtomicU64; Age::ALL.len()],
    /// The highest counts that were read. Between leaving its slot and being added to `left`, a call
    /// is missing in both.
    highest: [AtomicU64; Age::ALL.len()],
}

impl UnansweredCalls {
    /// Adds a call that waits for its answer since `started`.
    #[inline]
    pub(crate) fn start(&self, started: TickInstant) {
        let number = TIMES.number(started);
        let slot = self.slot(number);
        let mut before = Slot(slot.load(Ordering::Relaxed));
        loop {
            let after = before.with_call_in(number);
            // Release, so that a reader who finds the call also finds its assignment.
            let swapped =
                slot.compare_exchange_weak(before.0, after.0, Ordering::Release, Ordering::Relaxed);
            match swapped {
                Ok(_) => break,
                Err(changed) => before = Slot(changed),
            }
        }
        if before.number() != number {
            self.retire(before, number);
        }
    }

    /// Removes a call that got its answer at `now`, or ended without one.
    #[inline]
    pub(crate) fn answer(&self, started: TickInstant, now: TickInstant) {
        let number = TIMES.number(started);
        let slot = self.slot(number);
        let mut before = Slot(slot.load(Ordering::Relaxed));
        loop {
            if before.number() != number {
                // The slot was reused, and the call was counted at each age.
                return;
            }
            let after = Slot(before.0 - 1);
            let swapped =
                slot.compare_exchange_weak(before.0, after.0, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => break,
                Err(changed) => before = Slot(changed),
            }
        }
        let waited = now.ticks_since(started);
        if before.is_counted(Age::FiveSeconds) || waited >= TIMES.ages[0] {
            self.leave(1, |age| before.is_counted(age) || waited >= TIMES.ages[age as usize]);
        }
    }

    /// Returns the number of calls that have reached each age without an answer. It never decreases.
    pub(crate) fn count(&self, now: TickInstant) -> PerAge {
        // Before the slots, so that a call that leaves its slot is missed rather than counted twice.
        // The longest age first: a call is added to the shorter ones before.
        let mut left = Age::ALL;
        left.reverse();
        let mut calls = PerAge::default();
        for age in left {
            calls[age] = self.left[age as usize].load(Ordering::Acquire);
        }
        for slot in &self.slots {
            let counted = mark(slot, now);
            for age in Age::ALL.into_iter().filter(|age| counted.is_counted(*age)) {
                calls[age] += counted.calls();
            }
        }
        PerAge::from_fn(|age| {
            let highest = &self.highest[age as usize];
            highest.fetch_max(calls[age], Ordering::Relaxed).max(calls[age])
        })
    }

    fn slot(&self, number: u32) -> &AtomicU64 {
        &self.slots[number as usize % SLOTS]
    }

    /// Counts the calls of a slot that was reused for `number`, at least two minutes later.
    #[cold]
    fn retire(&self, slot: Slot, number: u32) {
        if slot.age_in_slots(number).is_some() {
            self.leave(slot.calls(), |_| true);
        }
    }

    #[cold]
    fn leave(&self, calls: u64, has_reached: impl Fn(Age) -> bool) {
        for age in Age::ALL.into_iter().filter(|age| has_reached(*age)) {
            self.left[age as usize].fetch_add(calls, Ordering::Release);
        }
    }
}

impl Default for UnansweredCalls {
    fn default() -> Self {
        let zero = |_| AtomicU64::new(0);
        Self {
            slots: std::array::from_fn(zero),
            left: std::array::from_fn(zero),
            highest: std::array::from_fn(zero),
        }
    }
}

/// Marks the slot as counted at each age that all of its calls have reached. Returns the slot.
///
/// With the mark, an answer knows whether a reader has counted its call, however long its thread was
/// suspended after it read the clock.
fn mark(slot: &AtomicU64, now: TickInstant) -> Slot {
    let mut before = Slot(slot.load(Ordering::Acquire));
    loop {
        // Most slots are empty, and a snapshot reads all of them.
        if before.calls() == 0 {
            return before;
        }
        let after = before.marked_at(now);
        if after == before {
            return before;
        }
        match slot.compare_exchange(before.0, after.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return after,
            Err(changed) => before = Slot(changed),
        }
    }
}

/// The content of a slot: its number (32 bits), the ages at which it is counted (3 bits) and the
/// calls that wait for their answer (29 bits, for more calls than a thread can start in a second).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Slot(u64);

impl Slot {
    const CALL_BITS: u32 = 29;
    const NUMBER_BITS: u32 = 32;

    const fn number(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    const fn calls(self) -> u64 {
        self.0 & ((1 << Self::CALL_BITS) - 1)
    }

    const fn is_counted(self, age: Age) -> bool {
        self.0 & Self::mark_of(age) != 0
    }

    const fn mark_of(age: Age) -> u64 {
        1 << (Self::CALL_BITS + age as u32)
    }

    /// Returns the slot with one more call, after emptying it if it had another number.
    const fn with_call_in(self, number: u32) -> Self {
        if self.number() == number {
            Self(self.0 + 1)
        } else {
            Self(((number as u64) << Self::NUMBER_BITS) + 1)
        }
    }

    /// Returns the number of slots from this one to that with the number `now`, or `None` if that
    /// is earlier.
    fn age_in_slots(self, now: u32) -> Option<u32> {
        // The number of a slot wraps around every 70 years.
        Some(now.wrapping_sub(self.number())).filter(|slots| *slots < 1 << 31)
    }

    fn marked_at(self, now: TickInstant) -> Self {
        let Some(slots) = self.age_in_slots(TIMES.number(now)).filter(|slots| *slots > 0) else {
            return self;
        };
        // The time since the end of the slot, and so since the start of its last call.
        let ticks = (u64::from(slots - 1) << TIMES.shift) + TIMES.ticks_in_slot(now);
        let reached = Age::ALL.into_iter().filter(|age| ticks >= TIMES.ages[*age as usize]);
        Self(reached.fold(self.0, |slot, age| slot | Self::mark_of(age)))
    }
}

static TIMES: LazyLock<Times> = LazyLock::new(Times::new);

/// The lengths of a slot and of the ages, in ticks. They do not follow later measurements of the
/// clock, so that the number of a slot and the age of a call stay what they are.
struct Times {
    /// A slot has `2^shift` ticks.
    shift: u32,
    ages: [u64; Age::ALL.len()],
}

impl Times {
    fn new() -> Self {
        let shift = ticks_in(SLOT).max(1).ilog2();
        Self { shift, ages: Age::ALL.map(|age| ticks_in(age.duration())) }
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the number wraps around")]
    const fn number(&self, at: TickInstant) -> u32 {
        (at.ticks() >> self.shift) as u32
    }

    const fn ticks_in_slot(&self, at: TickInstant) -> u64 {
        at.ticks() & ((1 << self.shift) - 1)
    }
}

/// The maximum length of a slot; the minimum is half of it.
const SLOT: Duration = Duration::from_secs(1);

/// Enough for more than two minutes, the longest age. A model has two, to explore their reuse.
const SLOTS: usize = if cfg!(canary_loom) { 2 } else { 256 };

#[cfg(all(test, not(canary_loom)))]
mod tests;

#[cfg(all(test, canary_loom))]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    /// The start of a slot.
    fn at_slot(number: u64) -> TickInstant {
        TickInstant::from_ticks(number << TIMES.shift)
    }

    #[test]
    fn loom_an_answer_and_a_reader_count_a_call_once() {
        loom::model(|| {
            let calls = Arc::new(UnansweredCalls::default());
            calls.start(at_slot(100));
            let caller = thread::spawn({
                let calls = Arc::clone(&calls);
                // The clock was read before the age was reached, and the call was counted since.
                move || calls.answer(at_slot(100), at_slot(101))
            });
            let [first, second] = [(); 2].map(|()| calls.count(at_slot(120))[Age::FiveSeconds]);
            caller.join().unwrap();
            let last = calls.count(at_slot(120))[Age::FiveSeconds];
            assert!(first <= second && second == last, "{first} {second} {last}");
        });
    }

    #[test]
    fn loom_a_reused_slot_loses_no_call() {
        loom::model(|| {
            let calls = Arc::new(UnansweredCalls::default());
            calls.start(at_slot(100));
            let caller = thread::spawn({
                let calls = Arc::clone(&calls);
                move || calls.start(at_slot(500))
            });
            let before = calls.count(at_slot(500));
            caller.join().unwrap();
            let after = calls.count(at_slot(500));
            assert!(Age::ALL.into_iter().all(|age| before[age] <= 1 && after[age] == 1));
        });
    }
}
