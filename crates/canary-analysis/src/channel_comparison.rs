use std::collections::VecDeque;

use canary_core::PerChannel;

use crate::{
    adverse_counts::AdverseCounts,
    completeness::Completeness,
    evidence::{Evidence, EvidenceLogRatios},
    key_ledger::KeyCounts,
    log_space::ln_sum_exp,
    monitor::{Monitor, Unit},
    non_inferiority::NonInferiority,
    outage_filter::{IncludedIn, OutageFilter},
    split_ratio::SplitRatio,
};

/// The evidence of one monitor: over the whole rollout, and if asked for over its latest steps too.
///
/// A canary that was good for an hour has so much evidence in its favor that a fault must make up
/// for it first. So a part of the wealth may be kept back, to be bet afresh at the beginning of
/// each step: a mixture of e-processes that begin at different times, with weights that sum to 1,
/// is one itself.
///
/// All of this is about harm. That the canary is good is proven over the whole rollout, with storms and
/// without, see [`OutageFilter`].
#[derive(Clone, Debug)]
pub(crate) struct ChannelComparison {
    pub(crate) whole: Evidence,
    pub(crate) outage_filter: OutageFilter,
    pub(crate) restarts: Option<Restarts>,
    pub(crate) completeness: Completeness,
}

/// Bets that began later than the rollout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restarts {
    /// How many were begun, the forgotten ones included.
    pub(crate) started: u32,
    /// The latest ones, with their numbers from 1.
    pub(crate) latest: VecDeque<(u32, Evidence)>,
}

impl ChannelComparison {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        let whole = Evidence::of_unit(monitor.margins(), monitor.unit());
        Self {
            whole,
            outage_filter: OutageFilter::new(monitor),
            restarts: None,
            completeness: Completeness::default(),
        }
    }

    pub(crate) fn begin_step(&mut self) {
        let (margins, unit) = (self.whole.margins(), self.whole.unit());
        if let Some(restarts) = &mut self.restarts {
            restarts.started = restarts.started.saturating_add(1);
            restarts.latest.push_back((restarts.started, Evidence::of_unit(margins, unit)));
            // What is forgotten is lost, which can only lower the evidence.
            if restarts.latest.len() > LATEST {
                restarts.latest.pop_front();
            }
        }
    }

    /// Adds what was counted at once: of all weights, and of all replicas.
    pub(crate) fn observe(&mut self, ticks: &[AdverseCounts]) {
        let bets = self.outage_filter.look(
            ticks
                .iter()
                .map(AdverseCounts::calls)
                .fold(PerChannel::default(), PerChannel::saturating_add),
            ticks
                .iter()
                .map(AdverseCounts::adverse)
                .fold(PerChannel::default(), PerChannel::saturating_add),
        );
        for tick in ticks {
            self.observe_worse_only(tick);
            let (calls, adverse) = (tick.calls(), tick.adverse());
            self.add_events_outside_outages(bets, SplitRatio::of(tick.weight()), adverse);
            self.add_trials_outside_outages(bets, calls.canary, adverse.canary);
        }
    }

    /// Adds a tick to all evidence but the calm one, if nobody will ask for that.
    pub(crate) fn observe_worse_only(&mut self, tick: &AdverseCounts) {
        self.each(|evidence| evidence.observe(tick));
    }

    /// Adds feedback or events, which come about or not.
    pub(crate) fn observe_trials(&mut self, ticks: &[AdverseCounts]) {
        self.observe(ticks);
        for tick in ticks {
            self.completeness.add_trials(SplitRatio::of(tick.weight()), tick.calls());
        }
    }

    /// Adds keys that were hit and keys that were seen, beside the calls that were given meanwhile:
    /// how many new keys are hit by so many calls says whether there is a storm.
    pub(crate) fn observe_keys(
        &mut self,
        given: PerChannel<u64>,
        adverse: &KeyCounts,
        seen: &KeyCounts,
    ) {
        let bets = self.outage_filter.look(
            given,
            adverse
                .by_split
                .values()
                .copied()
                .fold(PerChannel::default(), PerChannel::saturating_add),
        );
        for (split, keys) in &adverse.by_split {
            self.each(|evidence| evidence.add_events(*split, *keys));
            self.add_events_outside_outages(bets, *split, *keys);
        }
        for (split, keys) in &seen.by_split {
            self.completeness.add_trials(*split, *keys);
        }
        self.each(|evidence| evidence.count(seen.keys, adverse.keys));
        self.each(|evidence| evidence.add_trials(seen.keys.canary, adverse.keys.canary));
        self.add_trials_outside_outages(bets, seen.keys.canary, adverse.keys.canary);
    }

    fn add_events_outside_outages(
        &mut self,
        bets: IncludedIn,
        split: SplitRatio,
        events: PerChannel<u64>,
    ) {
        if bets.split {
            self.outage_filter.good.add_events(split, events);
        }
    }

    const fn add_trials_outside_outages(&mut self, bets: IncludedIn, trials: u64, adverse: u64) {
        if bets.rate {
            self.outage_filter.good.add_trials(trials, adverse);
        }
    }

    /// Evidence that the canary is worse.
    pub(crate) fn log_e_worse(&self) -> f64 {
        let kept_back = self.ln_kept_back();
        let bets = self.bets().map(|(share, evidence)| share + evidence.log_e_worse());
        ln_sum_exp(&bets.chain(kept_back).collect::<Vec<_>>())
    }

    /// Evidence that the canary is good enough, with storms and without, even if each call without an
    /// answer had gone badly.
    pub(crate) fn log_e_good(&self) -> f64 {
        self.log_e_good_whole().min(self.log_e_good_outside_outages())
    }

    /// The same, storms included.
    pub(crate) fn log_e_good_whole(&self) -> f64 {
        self.at_worst(&self.whole.good)
    }

    /// The same, storms left out.
    pub(crate) fn log_e_good_outside_outages(&self) -> f64 {
        self.at_worst(&self.outage_filter.good)
    }

    /// Evidence that the canary is good enough, going by what was answered.
    pub(crate) fn log_e_good_answered(&self) -> f64 {
        self.whole.good.log_e().min(self.outage_filter.good.log_e())
    }

    /// Adverse events that storms brought, and all of them.
    pub(crate) fn events_in_outages(&self) -> (u64, u64) {
        let all = self.whole.good.split.total().total();
        (all.saturating_sub(self.outage_filter.good.split.total().total()), all)
    }

    /// What a proof amounts to if each call without an answer had gone badly.
    ///
    /// The calls in flight on stable count as well: a service of long streams has many of them on
    /// both channels, and only an excess of the canary's speaks against it.
    fn at_worst(&self, proof: &NonInferiority) -> f64 {
        let answered = proof.log_e();
        let mut worst = match self.whole.unit() {
            Unit::Calls if self.completeness.all_unanswered() == PerChannel::default() => {
                return answered;
            }
            Unit::Calls => proof.clone(),
            // Keys cannot be added to calls: what is without an answer is asked for by itself.
            Unit::Keys if self.completeness.calls.is_empty() => return answered,
            Unit::Keys => {
                let mut calls = NonInferiority::new(self.whole.margins().good());
                calls.add_trials(self.completeness.judged().canary, 0);
                calls
            }
        };
        for (split, unanswered) in self.completeness.unanswered() {
            worst.add_events(split, unanswered);
            worst.add_trials(unanswered.canary, unanswered.canary);
        }
        answered.min(worst.log_e())
    }

    /// What there was to judge: calls that were answered, or occasions, or keys.
    pub(crate) fn basis(&self) -> PerChannel<u64> {
        let (calls, judged) = (self.whole.calls(), self.completeness.judged());
        match self.whole.unit() {
            Unit::Calls => calls,
            Unit::Keys => PerChannel::from_fn(|channel| calls[channel].max(judged[channel])),
        }
    }

    /// What the evidence for worse is made of, weighed: to add to it later without looking at all
    /// weights again.
    pub(crate) fn log_ratios(&self) -> ComparisonLogRatios {
        ComparisonLogRatios {
            bets: self.bets().map(|(share, evidence)| (share, evidence.log_ratios())).collect(),
            kept_back: self.ln_kept_back(),
        }
    }

    /// All bets, with the logarithm of each one's share of the wealth.
    fn bets(&self) -> impl Iterator<Item = (f64, &Evidence)> {
        let whole = if self.restarts.is_some() { (1.0 - KEPT_BACK).ln() } else { 0.0 };
        let starts =
            self.restarts.iter().flat_map(|restarts| &restarts.latest).map(|(number, evidence)| {
                let number = f64::from(*number);
                ((KEPT_BACK / (number * (number + 1.0))).ln(), evidence)
            });
        std::iter::once((whole, &self.whole)).chain(starts)
    }

    /// The logarithm of what no bet was begun with yet.
    fn ln_kept_back(&self) -> Option<f64> {
        self.restarts
            .as_ref()
            .map(|restarts| (KEPT_BACK / (f64::from(restarts.started) + 1.0)).ln())
    }

    fn each(&mut self, mut work: impl FnMut(&mut Evidence)) {
        work(&mut self.whole);
        let starts = self.restarts.iter_mut().flat_map(|restarts| &mut restarts.latest);
        starts.for_each(|(_, evidence)| work(evidence));
    }
}

/// The evidence for worse at one moment, each alternative's apart.
#[derive(Clone, Debug)]
pub(crate) struct ComparisonLogRatios {
    bets: Vec<(f64, EvidenceLogRatios)>,
    kept_back: Option<f64>,
}

impl ComparisonLogRatios {
    /// The evidence for worse if `canary` more calls of the canary's had gone badly at `coin`, and
    /// nothing else had happened.
    pub(crate) fn log_e_worse_after(&self, split: SplitRatio, canary: u64) -> f64 {
        let bets =
            self.bets.iter().map(|(share, logs)| share + logs.log_e_worse_after(split, canary));
        ln_sum_exp(&bets.chain(self.kept_back).collect::<Vec<_>>())
    }
}

/// The part of the wealth that is kept for later starts. Of it the start number n gets 1/(n(n+1)),
/// which sums to 1 over all n, and is 1/2, 1/6, 1/12 for the first three.
const KEPT_BACK: f64 = 0.1;

/// Starts that are kept: each costs as much per tick as the whole.
pub(crate) const LATEST: usize = 8;

#[cfg(test)]
mod tests {
    use canary_core::Weight;

    use super::*;
    use crate::Monitor;

    fn tick(percent: u32, calls: [u64; 2], adverse: [u64; 2]) -> AdverseCounts {
        let of = |[stable, canary]: [u64; 2]| PerChannel { stable, canary };
        AdverseCounts::try_new(Weight::from_percent(percent), of(calls), of(adverse)).unwrap()
    }

    fn comparison(restarts: Option<Restarts>) -> ChannelComparison {
        ChannelComparison { restarts, ..ChannelComparison::new(&Monitor::failures()) }
    }

    #[test]
    fn a_fault_after_a_good_hour_is_found_sooner() {
        let failures = |restarts: Option<Restarts>| {
            let mut comparison = comparison(restarts);
            comparison.observe(&[tick(10, [90_000, 10_000], [900, 100])]);
            comparison.begin_step();
            let caught = (1..500).find(|_| {
                comparison.observe(&[tick(10, [0, 1], [0, 1])]);
                comparison.log_e_worse() >= 100_f64.ln()
            });
            caught.unwrap()
        };
        let (without, with) = (failures(None), failures(Some(Restarts::default())));
        assert!(with <= 5 && without > 30, "{with} {without}");
    }

    #[test]
    fn what_is_kept_back_costs_a_tenth_at_most() {
        let mut mixed = comparison(Some(Restarts::default()));
        let mut plain = comparison(None);
        for _ in 0..20 {
            mixed.begin_step();
            for comparison in [&mut mixed, &mut plain] {
                comparison.observe(&[tick(5, [95, 5], [1, 1])]);
            }
        }
        assert_eq!(mixed.restarts.as_ref().unwrap().latest.len(), LATEST);
        assert!(mixed.log_e_worse() >= plain.log_e_worse() + 0.9_f64.ln());
    }
}
