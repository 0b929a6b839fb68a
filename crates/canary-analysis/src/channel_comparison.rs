use std::collections::BTreeMap;

use canary_core::PerChannel;

use crate::{
    adverse_counts::AdverseCounts,
    background::{Background, Look},
    block_bets::BlockBets,
    completeness::Completeness,
    evidence::Evidence,
    finding::Strength,
    key_ledger::KeyCounts,
    log_space::{float, ln_sum_exp},
    monitor::{Monitor, Unit},
    non_inferiority::NonInferiority,
    outage_filter::{OutageFilter, Trials},
    second_proof::SecondProof,
    split_ratio::SplitRatio,
    warm_up::{BRAKE, WarmUp},
};

use self::restarts::RESERVED;
pub(crate) use self::{
    log_ratios::ComparisonLogRatios,
    restarts::{MAX_RESTARTS, Restarts},
};

mod log_ratios;
mod restarts;

/// The evidence of one monitor: over the whole rollout and, with restarts, over its latest steps.
///
/// A later fault must first outweigh the evidence in favor of a canary that was good for an hour.
/// So a part of the wealth can be reserved for e-processes that start at the steps of the rollout.
/// A mixture of e-processes with different start times, with weights that sum to 1, is an
/// e-process.
///
/// Restarts are about "worse" only. "Good enough" is proven over the whole rollout, with outages
/// and without, see [`OutageFilter`].
#[derive(Clone, Debug)]
pub(crate) struct ChannelComparison {
    pub(crate) whole: Evidence,
    pub(crate) background: Background,
    pub(crate) outage_filter: OutageFilter,
    pub(crate) second_proof: SecondProof,
    pub(crate) block_bets: BlockBets,
    pub(crate) restarts: Option<Restarts>,
    pub(crate) completeness: Completeness,
    /// `None` if the monitor has no warm-up.
    pub(crate) warm_up: Option<Box<WarmUp>>,
    /// The trials at each split ratio, without those of the warm-up.
    pub(crate) trials: BTreeMap<SplitRatio, PerChannel<u64>>,
}

impl ChannelComparison {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        Self {
            whole: Evidence::of_monitor(monitor),
            background: Background::new(monitor),
            outage_filter: OutageFilter::new(monitor),
            second_proof: SecondProof::default().of_monitor(monitor),
            block_bets: BlockBets::default(),
            restarts: None,
            completeness: Completeness::default(),
            warm_up: WarmUp::new(monitor).map(Box::new),
            trials: BTreeMap::new(),
        }
    }

    /// Returns whether the evidence over the whole rollout has any counts.
    pub(crate) fn has_evidence(&self) -> bool {
        let nothing = PerChannel::default();
        self.whole.calls() != nothing || self.whole.adverse() != nothing
    }

    pub(crate) fn begin_step(&mut self) {
        if let Some(restarts) = &mut self.restarts {
            restarts.begin(self.whole.emptied());
        }
    }

    /// Adds one look: the counts of all weights and replicas.
    pub(crate) fn observe(&mut self, looks: &[AdverseCounts], millis: u64) {
        let sum = |count: fn(&AdverseCounts) -> PerChannel<u64>| {
            looks.iter().map(count).fold(PerChannel::default(), PerChannel::saturating_add)
        };
        let (calls, adverse) = (sum(AdverseCounts::calls), sum(AdverseCounts::adverse));
        let events: Vec<_> = looks
            .iter()
            .map(|counts| (SplitRatio::of(counts.weight()), counts.adverse()))
            .collect();
        let is_split = events.iter().any(|(ratio, _)| !ratio.is_certain());
        looks.iter().for_each(|counts| self.observe_worse_only(counts));
        if !self.is_warming_up() {
            for counts in looks {
                self.count_trials(SplitRatio::of(counts.weight()), counts.calls());
            }
        }
        let look = Look { millis, calls, adverse, events: &events, is_split };
        self.add_look(&look, Trials { all: calls.canary, adverse: adverse.canary });
    }

    /// Adds a look to everything that is about whole looks. Those of the warm-up only show what is
    /// usual.
    fn add_look(&mut self, look: &Look<'_>, trials: Trials) {
        let is_compared = !self.is_warming_up();
        if is_compared && self.whole.unit() == Unit::Calls {
            self.block_bets.observe(&self.background, look);
        }
        let courses = self.background.observe(look);
        if is_compared {
            self.outage_filter.observe(&self.background, courses, look, trials);
        }
    }

    /// Adds a look to the second proof of harm, and to no other evidence.
    pub(crate) fn observe_blocks(&mut self, look: &Look<'_>) {
        self.block_bets.observe(&self.background, look);
        self.background.observe_own_outages(look);
    }

    /// Adds counts to all evidence except that of the outage filter, which is about "good enough".
    ///
    /// During the warm-up they count for the brake only.
    pub(crate) fn observe_worse_only(&mut self, counts: &AdverseCounts) {
        if let Some(warm_up) = &mut self.warm_up
            && counts.calls().canary > 0
        {
            warm_up.begin();
        }
        self.for_each_evidence(|evidence| evidence.observe(counts));
    }

    /// Adds one look at feedback or events.
    pub(crate) fn observe_trials(&mut self, looks: &[AdverseCounts], millis: u64) {
        self.observe(looks, millis);
        for counts in looks {
            self.completeness.add_trials(SplitRatio::of(counts.weight()), counts.calls());
        }
    }

    /// Adds adverse keys and seen keys. `given` is the number of calls in the same time: outages
    /// are detected by the number of new adverse keys per call.
    pub(crate) fn observe_keys(
        &mut self,
        given: PerChannel<u64>,
        adverse: &KeyCounts,
        seen: &KeyCounts,
        millis: u64,
    ) {
        for (ratio, keys) in &adverse.by_split {
            self.for_each_evidence(|evidence| evidence.add_events(*ratio, *keys));
        }
        for (ratio, keys) in &seen.by_split {
            self.completeness.add_trials(*ratio, *keys);
        }
        self.for_each_evidence(|evidence| evidence.add_counts(seen.keys, adverse.keys));
        self.for_each_evidence(|evidence| {
            evidence.add_trials(seen.keys.canary, adverse.keys.canary);
        });
        if !self.is_warming_up() {
            seen.by_split.iter().for_each(|(ratio, keys)| self.count_trials(*ratio, *keys));
        }
        let events: Vec<_> = adverse.by_split.iter().map(|(ratio, keys)| (*ratio, *keys)).collect();
        let all = events.iter().map(|(_, keys)| *keys);
        let all = all.fold(PerChannel::default(), PerChannel::saturating_add);
        let look = Look { millis, calls: given, adverse: all, events: &events, is_split: true };
        let trials = Trials { all: seen.keys.canary, adverse: adverse.keys.canary };
        self.add_look(&look, trials);
    }

    fn count_trials(&mut self, ratio: SplitRatio, trials: PerChannel<u64>) {
        if trials != PerChannel::default() {
            let sum = self.trials.entry(ratio).or_default();
            *sum = sum.saturating_add(trials);
        }
    }

    /// Returns whether the next calls are left out of the comparison.
    pub(crate) fn is_warming_up(&self) -> bool {
        self.warm_up.as_deref().is_some_and(WarmUp::is_active)
    }

    /// Returns the evidence to which the next calls are added, of all that is over the whole
    /// rollout.
    pub(crate) fn current(&self) -> &Evidence {
        match &self.warm_up {
            Some(warm_up) if warm_up.is_active() => &warm_up.brake,
            _ => &self.whole,
        }
    }

    /// Returns stable's rate at the weights of the canary's trials: the rate that the canary would
    /// have if it were as good as stable. `None` without trials of both channels at one weight.
    ///
    /// The rate over all of stable's trials is about other weights, and so about another time.
    pub(crate) fn stable_rate_at_canary_weights(&self) -> Option<f64> {
        let (mut expected, mut all) = (0.0, 0.0);
        for (ratio, trials) in self.trials.iter().filter(|(_, trials)| trials.stable > 0) {
            let events = self.whole.split().events_at(*ratio).stable;
            let rate = (float(events) / float(trials.stable)).min(1.0);
            expected += float(trials.canary) * rate;
            all += float(trials.canary);
        }
        (all > 0.0).then(|| expected / all)
    }

    /// Returns the evidence of the strongest bet on "worse" by itself: over the whole rollout, or
    /// from one of its steps.
    pub(crate) fn strongest_log_e_worse(&self) -> f64 {
        let latest = self.restarts.iter().flat_map(|restarts| &restarts.latest);
        let of_restarts = latest.map(|(_, evidence)| evidence.log_e_worse());
        of_restarts.fold(self.whole.log_e_worse(), f64::max)
    }

    /// Returns the evidence that the canary is worse.
    pub(crate) fn log_e_worse(&self) -> f64 {
        let logs = self.parts().map(|(ln_part, evidence)| ln_part + evidence.log_e_worse());
        ln_sum_exp(&logs.chain(self.ln_unused_part()).collect::<Vec<_>>())
    }

    /// Returns the evidence that the canary is good enough even if each call without a response was
    /// adverse: with or without outages, whichever is weaker.
    pub(crate) fn log_e_good(&self) -> f64 {
        self.log_e_good_with_outages().min(self.log_e_good_without_outages())
    }

    pub(crate) fn log_e_good_with_outages(&self) -> f64 {
        self.in_worst_case(&self.whole.good)
    }

    pub(crate) fn log_e_good_without_outages(&self) -> f64 {
        self.in_worst_case(self.good_without_outages())
    }

    /// A limit holds in outages, too.
    fn good_without_outages(&self) -> &NonInferiority {
        if self.is_against_limit() { &self.whole.good } else { &self.outage_filter.good }
    }

    /// Returns whether the canary is compared with an absolute limit, and not with stable.
    fn is_against_limit(&self) -> bool {
        self.whole.margins().good().is_limit()
    }

    /// Returns the evidence that the canary is good enough, ignoring calls without a response.
    pub(crate) fn log_e_good_answered(&self) -> f64 {
        self.whole.good.log_e().min(self.good_without_outages().log_e())
    }

    /// Returns the second proof of harm, or `None` if none is asked for: stable has shown no outages
    /// of its own.
    pub(crate) fn second_proof(&self) -> Option<Strength> {
        let is_needed = !self.is_against_limit()
            && self.background.state.history.own_part() >= self.second_proof.share();
        let threshold = self.second_proof.odds().ln();
        is_needed.then(|| Strength { log_e: self.block_bets.log_e(), threshold })
    }

    /// Returns whether harm needs no second proof, or has it.
    pub(crate) fn is_worse_confirmed(&self) -> bool {
        self.second_proof().is_none_or(|proof| proof.is_reached())
    }

    /// Returns the number of adverse events in outages and in total.
    pub(crate) fn events_in_outages(&self) -> (u64, u64) {
        let all = self.whole.good.split.total().total();
        (all.saturating_sub(self.outage_filter.good.split.total().total()), all)
    }

    /// Returns the evidence of `good` if each call without a response was adverse.
    ///
    /// This includes stable's calls: a service of long streams has many in flight on both channels,
    /// and only an excess on the canary counts against it.
    fn in_worst_case(&self, good: &NonInferiority) -> f64 {
        let answered = good.log_e();
        let mut worst = match self.whole.unit() {
            Unit::Calls => good.clone(),
            // Calls cannot be added to keys: they need separate evidence.
            Unit::Keys if self.completeness.calls.is_empty() => return answered,
            Unit::Keys => {
                let mut calls = NonInferiority::new(self.whole.margins().good());
                calls.add_trials(self.completeness.judged().canary, 0);
                calls
            }
        };
        for (ratio, unanswered) in self.completeness.unanswered() {
            worst.add_events(ratio, unanswered);
            worst.add_trials(unanswered.canary, unanswered.canary);
        }
        answered.min(worst.log_e())
    }

    /// Returns the number of trials: calls with a result, feedback, events or keys.
    pub(crate) fn basis(&self) -> PerChannel<u64> {
        let brake = self.warm_up.iter().map(|warm_up| warm_up.brake.calls());
        let calls = brake.fold(self.whole.calls(), PerChannel::saturating_add);
        let judged = self.completeness.judged();
        match self.whole.unit() {
            Unit::Calls => calls,
            Unit::Keys => PerChannel::from_fn(|channel| calls[channel].max(judged[channel])),
        }
    }

    /// Returns all evidence, each with the logarithm of its part of the wealth.
    fn parts(&self) -> impl Iterator<Item = (f64, &Evidence)> {
        let latest = self.restarts.iter().flat_map(|restarts| &restarts.latest);
        let restarted = latest.map(|(number, evidence)| {
            let number = f64::from(*number);
            let part = self.compared_part() * RESERVED / (number * (number + 1.0));
            (part.ln(), evidence)
        });
        let brakes = self.warm_up.iter().filter(|warm_up| warm_up.has_brake());
        let brake = brakes.map(|warm_up| (BRAKE.ln(), &warm_up.brake));
        std::iter::once((self.ln_whole_part(), &self.whole)).chain(restarted).chain(brake)
    }

    fn is_brake(&self, evidence: &Evidence) -> bool {
        self.warm_up
            .as_ref()
            .is_some_and(|warm_up| std::ptr::eq(&raw const warm_up.brake, evidence))
    }

    /// Returns the part of the wealth that bets on what is compared, after the warm-up.
    const fn compared_part(&self) -> f64 {
        match &self.warm_up {
            Some(warm_up) if warm_up.has_brake() => 1.0 - BRAKE,
            _ => 1.0,
        }
    }

    /// Returns the logarithm of the part of the wealth that bets over the whole rollout.
    pub(crate) fn ln_whole_part(&self) -> f64 {
        let whole = if self.restarts.is_some() { 1.0 - RESERVED } else { 1.0 };
        (self.compared_part() * whole).ln()
    }

    /// Returns the logarithm of the part of the wealth that is reserved for later restarts.
    fn ln_unused_part(&self) -> Option<f64> {
        let restarts = self.restarts.as_ref()?;
        Some((self.compared_part() * RESERVED / (f64::from(restarts.started) + 1.0)).ln())
    }

    fn for_each_evidence(&mut self, mut work: impl FnMut(&mut Evidence)) {
        if let Some(warm_up) = self.warm_up.as_mut().filter(|warm_up| warm_up.is_active()) {
            return work(&mut warm_up.brake);
        }
        work(&mut self.whole);
        let latest = self.restarts.iter_mut().flat_map(|restarts| &mut restarts.latest);
        latest.for_each(|(_, evidence)| work(evidence));
    }
}
