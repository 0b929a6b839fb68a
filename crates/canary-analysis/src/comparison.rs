use std::collections::VecDeque;

use canary_core::PerChannel;

use crate::{coin::Coin, evidence::Evidence, float::ln_sum_exp, margins::Margins, tick::Tick};

/// The evidence of one monitor: over the whole rollout, and if asked for over its latest steps too.
///
/// A canary that was good for an hour has so much evidence in its favor that a fault must make up
/// for it first. So a part of the wealth may be kept back, to be bet afresh at the beginning of
/// each step: a mixture of e-processes that begin at different times, with weights that sum to 1,
/// is one itself.
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) whole: Evidence,
    pub(crate) fresh: Option<Fresh>,
}

/// Bets that began later than the rollout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fresh {
    /// How many were begun, the forgotten ones included.
    pub(crate) begun: u32,
    /// The latest ones, with their numbers from 1.
    pub(crate) starts: VecDeque<(u32, Evidence)>,
}

impl Comparison {
    pub(crate) fn new(margins: Margins) -> Self {
        Self { whole: Evidence::new(margins), fresh: None }
    }

    pub(crate) fn begin_step(&mut self) {
        let margins = self.whole.margins();
        if let Some(fresh) = &mut self.fresh {
            fresh.begun = fresh.begun.saturating_add(1);
            fresh.starts.push_back((fresh.begun, Evidence::new(margins)));
            // What is forgotten is lost, which can only lower the evidence.
            if fresh.starts.len() > LATEST {
                fresh.starts.pop_front();
            }
        }
    }

    pub(crate) fn observe(&mut self, tick: &Tick) {
        self.each(|evidence| evidence.observe(tick));
    }

    pub(crate) fn toss(&mut self, coin: Coin, events: PerChannel<u64>) {
        self.each(|evidence| evidence.toss(coin, events));
    }

    pub(crate) fn count(&mut self, calls: PerChannel<u64>, adverse: PerChannel<u64>) {
        self.each(|evidence| evidence.count(calls, adverse));
    }

    pub(crate) fn try_out(&mut self, trials: u64, adverse: u64) {
        self.each(|evidence| evidence.try_out(trials, adverse));
    }

    pub(crate) fn log_e_worse(&self) -> f64 {
        self.mixed(Evidence::log_e_worse)
    }

    /// As [`Evidence::log_e_worse_after`].
    pub(crate) fn log_e_worse_after(&self, coin: Coin, canary: u64) -> f64 {
        self.mixed(|evidence| evidence.log_e_worse_after(coin, canary))
    }

    fn mixed(&self, log_e: impl Fn(&Evidence) -> f64) -> f64 {
        let whole = log_e(&self.whole);
        let Some(fresh) = &self.fresh else { return whole };
        let kept_back = KEPT_BACK / (f64::from(fresh.begun) + 1.0);
        let starts = fresh.starts.iter().map(|(number, evidence)| {
            let number = f64::from(*number);
            (KEPT_BACK / (number * (number + 1.0))).ln() + log_e(evidence)
        });
        let others = [(1.0 - KEPT_BACK).ln() + whole, kept_back.ln()];
        ln_sum_exp(&starts.chain(others).collect::<Vec<_>>())
    }

    fn each(&mut self, mut work: impl FnMut(&mut Evidence)) {
        work(&mut self.whole);
        let starts = self.fresh.iter_mut().flat_map(|fresh| &mut fresh.starts);
        starts.for_each(|(_, evidence)| work(evidence));
    }
}

/// The part of the wealth that is kept for later starts. Of it the start number n gets 1/(n(n+1)),
/// which sums to 1 over all n, and is 1/2, 1/6, 1/12 for the first three.
const KEPT_BACK: f64 = 0.1;

/// Starts that are kept: each costs as much per tick as the whole.
const LATEST: usize = 8;

#[cfg(test)]
mod tests {
    use canary_core::Weight;

    use super::*;
    use crate::Monitor;

    fn tick(percent: u32, calls: [u64; 2], adverse: [u64; 2]) -> Tick {
        let of = |[stable, canary]: [u64; 2]| PerChannel { stable, canary };
        Tick::try_new(Weight::from_percent(percent), of(calls), of(adverse)).unwrap()
    }

    fn comparison(fresh: Option<Fresh>) -> Comparison {
        Comparison { fresh, ..Comparison::new(Monitor::failures().margins()) }
    }

    #[test]
    fn a_fault_after_a_good_hour_is_found_sooner() {
        let failures = |fresh: Option<Fresh>| {
            let mut comparison = comparison(fresh);
            comparison.observe(&tick(10, [90_000, 10_000], [900, 100]));
            comparison.begin_step();
            let caught = (1..500).find(|_| {
                comparison.observe(&tick(10, [0, 1], [0, 1]));
                comparison.log_e_worse() >= 100_f64.ln()
            });
            caught.unwrap()
        };
        let (without, with) = (failures(None), failures(Some(Fresh::default())));
        assert!(with <= 5 && without > 30, "{with} {without}");
    }

    #[test]
    fn what_is_kept_back_costs_a_tenth_at_most() {
        let mut mixed = comparison(Some(Fresh::default()));
        let mut plain = comparison(None);
        for _ in 0..20 {
            mixed.begin_step();
            for comparison in [&mut mixed, &mut plain] {
                comparison.observe(&tick(5, [95, 5], [1, 1]));
            }
        }
        assert_eq!(mixed.fresh.as_ref().unwrap().starts.len(), LATEST);
        assert!(mixed.log_e_worse() >= plain.log_e_worse() + 0.9_f64.ln());
    }
}
