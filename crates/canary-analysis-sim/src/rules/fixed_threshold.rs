use canary_core::{Channel, Verdict};

use super::RollbackRule;
use crate::{as_f64, second::Second};

/// A limit for the failure rate of the canary. Stable's rate is ignored.
#[derive(Clone, Copy, Debug)]
pub struct FixedThreshold {
    most: f64,
    checks_left: u32,
    calls: u64,
    failures: u64,
}

impl FixedThreshold {
    /// Creates a rule that rolls back after `checks` minutes, not necessarily consecutive, in which
    /// more than the fraction `most` of the calls fail.
    #[must_use]
    pub const fn new(most: f64, checks: u32) -> Self {
        Self { most, checks_left: checks, calls: 0, failures: 0 }
    }
}

impl RollbackRule for FixedThreshold {
    fn look(&mut self, second: &Second) -> Verdict {
        self.calls += second.calls(Channel::Canary);
        self.failures += second.failures(Channel::Canary);
        if second.at % 60 == 59 {
            let has_failed =
                self.calls > 0 && as_f64(self.failures) / as_f64(self.calls) > self.most;
            self.checks_left = self.checks_left.saturating_sub(u32::from(has_failed));
            (self.calls, self.failures) = (0, 0);
        }
        if self.checks_left == 0 { Verdict::Degraded } else { Verdict::Inconclusive }
    }
}
