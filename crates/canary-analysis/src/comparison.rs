use std::collections::VecDeque;

use canary_core::PerChannel;

use crate::{
    calm::{self, Bets, Calm},
    coin::Coin,
    coverage::Coverage,
    evidence::{Evidence, EvidenceLogs},
    float::ln_sum_exp,
    keys::KeyCounts,
    monitor::{Monitor, Unit},
    proof::Proof,
    tick::Tick,
};

/// The evidence of one monitor: over the whole rollout, and if asked for over its latest steps too.
///
/// A canary that was good for an hour has so much evidence in its favor that a fault must make up
/// for it first. So a part of the wealth may be kept back, to be bet afresh at the beginning of
/// each step: a mixture of e-processes that begin at different times, with weights that sum to 1,
/// is one itself.
///
/// All of this is about harm. That the canary is good is proven over the whole rollout, with storms and
/// without, see [`Calm`].
#[derive(Clone, Debug)]
pub(crate) struct Comparison {
    pub(crate) whole: Evidence,
    pub(crate) calm: Calm,
    pub(crate) fresh: Option<Fresh>,
    pub(crate) coverage: Coverage,
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
    pub(crate) fn new(monitor: &Monitor) -> Self {
        let whole = Evidence::of_unit(monitor.margins(), monitor.unit());
        Self { whole, calm: Calm::new(monitor), fresh: None, coverage: Coverage::default() }
    }

    pub(crate) fn begin_step(&mut self) {
        let (margins, unit) = (self.whole.margins(), self.whole.unit());
        if let Some(fresh) = &mut self.fresh {
            fresh.begun = fresh.begun.saturating_add(1);
            fresh.starts.push_back((fresh.begun, Evidence::of_unit(margins, unit)));
            // What is forgotten is lost, which can only lower the evidence.
            if fresh.starts.len() > LATEST {
                fresh.starts.pop_front();
            }
        }
    }

    /// Adds what was counted at once: of all weights, and of all replicas.
    pub(crate) fn observe(&mut self, ticks: &[Tick]) {
        let bets = self.calm.look(
            calm::sum_of(ticks.iter().map(Tick::calls)),
            calm::sum_of(ticks.iter().map(Tick::adverse)),
        );
        for tick in ticks {
            self.observe_harm(tick);
            let (calls, adverse) = (tick.calls(), tick.adverse());
            self.toss_calm(bets, Coin::of(tick.weight()), adverse);
            self.try_out_calm(bets, calls.canary, adverse.canary);
        }
    }

    /// Adds a tick to all evidence but the calm one, if nobody will ask for that.
    pub(crate) fn observe_harm(&mut self, tick: &Tick) {
        self.each(|evidence| evidence.observe(tick));
    }

    /// Adds feedback or events, which come about or not.
    pub(crate) fn observe_occasions(&mut self, ticks: &[Tick]) {
        self.observe(ticks);
        for tick in ticks {
            self.coverage.add_occasions(Coin::of(tick.weight()), tick.calls());
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
        let bets = self.calm.look(given, calm::sum_of(adverse.tosses.values().copied()));
        for (coin, keys) in &adverse.tosses {
            self.each(|evidence| evidence.toss(*coin, *keys));
            self.toss_calm(bets, *coin, *keys);
        }
        for (coin, keys) in &seen.tosses {
            self.coverage.add_occasions(*coin, *keys);
        }
        self.each(|evidence| evidence.count(seen.keys, adverse.keys));
        self.each(|evidence| evidence.try_out(seen.keys.canary, adverse.keys.canary));
        self.try_out_calm(bets, seen.keys.canary, adverse.keys.canary);
    }

    fn toss_calm(&mut self, bets: Bets, coin: Coin, events: PerChannel<u64>) {
        if bets.on_split {
            self.calm.proof.toss(coin, events);
        }
    }

    const fn try_out_calm(&mut self, bets: Bets, trials: u64, adverse: u64) {
        if bets.on_rate {
            self.calm.proof.try_out(trials, adverse);
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
        self.log_e_good_whole().min(self.log_e_good_calm())
    }

    /// The same, storms included.
    pub(crate) fn log_e_good_whole(&self) -> f64 {
        self.at_worst(&self.whole.good)
    }

    /// The same, storms left out.
    pub(crate) fn log_e_good_calm(&self) -> f64 {
        self.at_worst(&self.calm.proof)
    }

    /// Evidence that the canary is good enough, going by what was answered.
    pub(crate) fn log_e_good_answered(&self) -> f64 {
        self.whole.good.log_e().min(self.calm.proof.log_e())
    }

    /// Adverse events that storms brought, and all of them.
    pub(crate) fn events_of_storms(&self) -> (u64, u64) {
        let sum = |proof: &Proof| {
            let PerChannel { stable, canary } = proof.odds.total();
            stable.saturating_add(canary)
        };
        let all = sum(&self.whole.good);
        (all.saturating_sub(sum(&self.calm.proof)), all)
    }

    /// What a proof amounts to if each call without an answer had gone badly.
    ///
    /// The calls in flight on stable count as well: a service of long streams has many of them on
    /// both channels, and only an excess of the canary's speaks against it.
    fn at_worst(&self, proof: &Proof) -> f64 {
        let answered = proof.log_e();
        let mut worst = match self.whole.unit() {
            Unit::Calls if self.coverage.all_unanswered() == PerChannel::default() => {
                return answered;
            }
            Unit::Calls => proof.clone(),
            // Keys cannot be added to calls: what is without an answer is asked for by itself.
            Unit::Keys if self.coverage.calls.is_empty() => return answered,
            Unit::Keys => {
                let mut calls = Proof::new(self.whole.margins().good());
                calls.try_out(self.coverage.judged().canary, 0);
                calls
            }
        };
        for (coin, unanswered) in self.coverage.unanswered() {
            worst.toss(coin, unanswered);
            worst.try_out(unanswered.canary, unanswered.canary);
        }
        answered.min(worst.log_e())
    }

    /// What there was to judge: calls that were answered, or occasions, or keys.
    pub(crate) fn basis(&self) -> PerChannel<u64> {
        let (calls, judged) = (self.whole.calls(), self.coverage.judged());
        match self.whole.unit() {
            Unit::Calls => calls,
            Unit::Keys => PerChannel::from_fn(|channel| calls[channel].max(judged[channel])),
        }
    }

    /// What the evidence for worse is made of, weighed: to add to it later without looking at all
    /// weights again.
    pub(crate) fn logs(&self) -> Logs {
        Logs {
            bets: self.bets().map(|(share, evidence)| (share, evidence.logs())).collect(),
            kept_back: self.ln_kept_back(),
        }
    }

    /// All bets, with the logarithm of each one's share of the wealth.
    fn bets(&self) -> impl Iterator<Item = (f64, &Evidence)> {
        let whole = if self.fresh.is_some() { (1.0 - KEPT_BACK).ln() } else { 0.0 };
        let starts = self.fresh.iter().flat_map(|fresh| &fresh.starts).map(|(number, evidence)| {
            let number = f64::from(*number);
            ((KEPT_BACK / (number * (number + 1.0))).ln(), evidence)
        });
        std::iter::once((whole, &self.whole)).chain(starts)
    }

    /// The logarithm of what no bet was begun with yet.
    fn ln_kept_back(&self) -> Option<f64> {
        self.fresh.as_ref().map(|fresh| (KEPT_BACK / (f64::from(fresh.begun) + 1.0)).ln())
    }

    fn each(&mut self, mut work: impl FnMut(&mut Evidence)) {
        work(&mut self.whole);
        let starts = self.fresh.iter_mut().flat_map(|fresh| &mut fresh.starts);
        starts.for_each(|(_, evidence)| work(evidence));
    }
}

/// The evidence for worse at one moment, each alternative's apart.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    bets: Vec<(f64, EvidenceLogs)>,
    kept_back: Option<f64>,
}

impl Logs {
    /// The evidence for worse if `canary` more calls of the canary's had gone badly at `coin`, and
    /// nothing else had happened.
    pub(crate) fn log_e_worse_after(&self, coin: Coin, canary: u64) -> f64 {
        let bets =
            self.bets.iter().map(|(share, logs)| share + logs.log_e_worse_after(coin, canary));
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

    fn tick(percent: u32, calls: [u64; 2], adverse: [u64; 2]) -> Tick {
        let of = |[stable, canary]: [u64; 2]| PerChannel { stable, canary };
        Tick::try_new(Weight::from_percent(percent), of(calls), of(adverse)).unwrap()
    }

    fn comparison(fresh: Option<Fresh>) -> Comparison {
        Comparison { fresh, ..Comparison::new(&Monitor::failures()) }
    }

    #[test]
    fn a_fault_after_a_good_hour_is_found_sooner() {
        let failures = |fresh: Option<Fresh>| {
            let mut comparison = comparison(fresh);
            comparison.observe(&[tick(10, [90_000, 10_000], [900, 100])]);
            comparison.begin_step();
            let caught = (1..500).find(|_| {
                comparison.observe(&[tick(10, [0, 1], [0, 1])]);
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
                comparison.observe(&[tick(5, [95, 5], [1, 1])]);
            }
        }
        assert_eq!(mixed.fresh.as_ref().unwrap().starts.len(), LATEST);
        assert!(mixed.log_e_worse() >= plain.log_e_worse() + 0.9_f64.ln());
    }
}
