use std::collections::VecDeque;

use crate::evidence::Evidence;

/// Evidence that starts later than the rollout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restarts {
    /// The number of restarts so far, including those that were dropped.
    pub(crate) started: u32,
    /// The latest restarts with their numbers, from 1.
    pub(crate) latest: VecDeque<(u32, Evidence)>,
}

impl Restarts {
    /// Starts empty evidence.
    pub(super) fn begin(&mut self, empty: Evidence) {
        self.started = self.started.saturating_add(1);
        // Most plans have few steps, and an empty restart has 600 bytes.
        self.latest.reserve_exact(1);
        self.latest.push_back((self.started, empty));
        // The wealth of a dropped restart is lost, which can only lower the evidence.
        if self.latest.len() > MAX_RESTARTS {
            self.latest.pop_front();
        }
    }
}

/// The part of the wealth that is reserved for restarts. Restart n gets 1/(n(n+1)) of it: 1/2, 1/6,
/// 1/12 and so on, which sum to 1.
pub(super) const RESERVED: f64 = 0.1;

/// The number of restarts that are kept. Each costs as much per look as the whole.
pub(crate) const MAX_RESTARTS: usize = 8;

#[cfg(test)]
mod tests {
    use canary_core::{PerChannel, Weight};

    use super::*;
    use crate::{AdverseCounts, Monitor, channel_comparison::ChannelComparison};

    fn counts(percent: u32, calls: [u64; 2], adverse: [u64; 2]) -> AdverseCounts {
        let of = |[stable, canary]: [u64; 2]| PerChannel { stable, canary };
        AdverseCounts::try_new(Weight::from_percent(percent), of(calls), of(adverse)).unwrap()
    }

    fn comparison(restarts: Option<Restarts>) -> ChannelComparison {
        ChannelComparison { restarts, ..ChannelComparison::new(&Monitor::failures()) }
    }

    #[test]
    fn restarts_find_a_fault_after_a_good_hour_sooner() {
        let failures = |restarts: Option<Restarts>| {
            let mut comparison = comparison(restarts);
            comparison.observe(&[counts(10, [90_000, 10_000], [900, 100])], 1_000);
            comparison.begin_step();
            let caught = (1..500).find(|_| {
                comparison.observe(&[counts(10, [0, 1], [0, 1])], 1_000);
                comparison.log_e_worse() >= 100_f64.ln()
            });
            caught.unwrap()
        };
        let (without, with) = (failures(None), failures(Some(Restarts::default())));
        assert!(with <= 5 && without > 30, "{with} {without}");
    }

    #[test]
    fn restarts_cost_at_most_a_tenth_of_the_wealth() {
        let mut mixed = comparison(Some(Restarts::default()));
        let mut plain = comparison(None);
        for _ in 0..20 {
            mixed.begin_step();
            for comparison in [&mut mixed, &mut plain] {
                comparison.observe(&[counts(5, [95, 5], [1, 1])], 1_000);
            }
        }
        assert_eq!(mixed.restarts.as_ref().unwrap().latest.len(), MAX_RESTARTS);
        assert!(mixed.log_e_worse() >= plain.log_e_worse() + 0.9_f64.ln());
    }
}
