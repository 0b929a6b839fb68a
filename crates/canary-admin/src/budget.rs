use tokio::time::Instant;

/// A budget of ten, which one per second is added to.
pub(crate) struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    /// Creates a full budget.
    pub(crate) fn new(now: Instant) -> Self {
        Self { left: MOST, at: now }
    }

    /// Returns whether nothing is left.
    pub(crate) fn is_empty(&self, now: Instant) -> bool {
        self.refilled(now) < 1.0
    }

    /// Takes one. Returns `false` if nothing is left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let left = self.refilled(now);
        let has_one = left >= 1.0;
        (self.left, self.at) = (if has_one { left - 1.0 } else { left }, now);
        has_one
    }

    /// Returns when the budget was used the last time.
    pub(crate) const fn at(&self) -> Instant {
        self.at
    }

    fn refilled(&self, now: Instant) -> f64 {
        (self.left + now.duration_since(self.at).as_secs_f64()).min(MOST)
    }
}

const MOST: f64 = 10.0;
