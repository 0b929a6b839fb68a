use crate::counting::{
    clock::TickInstant, counter_key::CounterKey, shard_counters::SharedCounters,
};

/// A call that waits for the head of its response, as [`unanswered`](crate::counting::unanswered)
/// counts it.
pub(crate) struct PendingAnswer {
    counters: SharedCounters,
    key: CounterKey,
    since: TickInstant,
}

impl PendingAnswer {
    /// Creates the state of a call that is counted as unanswered since `since`.
    pub(crate) const fn new(counters: SharedCounters, key: CounterKey, since: TickInstant) -> Self {
        Self { counters, key, since }
    }

    /// Ends the wait: the call has its answer, or waits for its caller.
    pub(crate) fn stop(&self, now: TickInstant) {
        self.counters.count(self.key, |counters| counters.answer(self.since, now));
    }

    /// Begins to wait again, as a young call.
    pub(crate) fn restart(&mut self, now: TickInstant) {
        self.since = now;
        self.counters.count(self.key, |counters| counters.wait(now));
    }
}
