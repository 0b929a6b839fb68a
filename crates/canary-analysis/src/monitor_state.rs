use std::time::Duration;

use canary_core::{ChannelCounts, EpochCounts, Latencies, LatencyBucket, PerChannel, Verdict};

use crate::{
    adverse_counts::AdverseCounts,
    channel_comparison::ChannelComparison,
    completeness::CallCounts,
    finding::{Finding, GoodBy, Split, Strength},
    key_ledger::KeyCounts,
    levels::Levels,
    monitor::{Measure, Monitor, Unit},
    observation::Observation,
    sample_ratio::{CERTAIN, SampleRatioTest},
    slow::Until,
    split_ratio::SplitRatio,
    unanswered_evidence::UnansweredEvidence,
    warm_up::WarmUp,
};

pub(crate) use self::counted::failures;
use self::counted::{adverse_counts, ended, per_channel, slow, timed};

mod counted;
mod hold;
mod start;

/// A monitor and its accumulated evidence.
#[derive(Clone, Debug)]
pub(crate) struct MonitorState {
    pub(crate) monitor: Monitor,
    pub(crate) evidence: MonitorEvidence,
    /// Stable's latencies so far, for the limit of slow calls.
    pub(crate) stable: Latencies,
    /// Adverse events of keys that a full ledger refused.
    pub(crate) refused: u64,
    /// Calls and keys on a channel that their split ratio excludes. [`SampleRatioTest`] has its own
    /// count.
    pub(crate) impossible: u64,
    /// Whether the canary was proven good, and no bet on harm has grown since.
    pub(crate) holds_healthy: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum MonitorEvidence {
    Comparison(Box<ChannelComparison>),
    SampleRatio(SampleRatioTest),
    Unanswered(Box<UnansweredEvidence>),
}

impl MonitorEvidence {
    /// Returns the comparisons of the channels, none if the share is watched.
    pub(crate) fn comparisons_mut(&mut self) -> &mut [ChannelComparison] {
        match self {
            Self::Comparison(comparison) => std::slice::from_mut(&mut **comparison),
            Self::Unanswered(evidence) => &mut evidence.ages,
            Self::SampleRatio(_) => &mut [],
        }
    }
}

impl MonitorState {
    pub(crate) fn new(monitor: Monitor) -> Self {
        let evidence = match monitor.measure() {
            Measure::Share => MonitorEvidence::SampleRatio(SampleRatioTest::new()),
            Measure::Unanswered if monitor.unit() == Unit::Calls => {
                MonitorEvidence::Unanswered(Box::new(UnansweredEvidence::new(&monitor)))
            }
            _ => MonitorEvidence::Comparison(Box::new(ChannelComparison::new(&monitor))),
        };
        let stable = Latencies::default();
        Self { monitor, evidence, stable, refused: 0, impossible: 0, holds_healthy: false }
    }

    pub(crate) fn observe(&mut self, observation: &Observation) {
        let calls = self.calls_of(observation);
        let seen = observation.seen.get(self.monitor.name());
        if let Some(warm_up) = self.warm_up_mut()
            && observation.has_canary_calls()
        {
            warm_up.begin();
        }
        match (&mut self.evidence, self.monitor.unit()) {
            (MonitorEvidence::SampleRatio(test), Unit::Calls) => {
                for epoch in calls {
                    test.observe(epoch.weight, per_channel(epoch, |counts| counts.picked));
                }
            }
            (MonitorEvidence::SampleRatio(test), Unit::Keys) => {
                if let Some(seen) = seen {
                    seen.by_split.iter().for_each(|(ratio, keys)| test.observe(*ratio, *keys));
                    test.observe_impossible(seen.impossible);
                }
            }
            (MonitorEvidence::Unanswered(evidence), _) => {
                evidence.observe(calls, millis(observation.duration));
            }
            (MonitorEvidence::Comparison(_), Unit::Calls) => {
                self.count_results(calls);
                self.compare(observation, calls);
                self.add_stable_latencies(calls);
            }
            (MonitorEvidence::Comparison(_), Unit::Keys) => {
                // The calls without a key are not counted apart from the others.
                if !self.monitor.is_without_key() {
                    self.count_results(calls);
                }
                // Without adverse keys, the seen keys would count as good.
                if let Some(adverse) = observation.keys.get(self.monitor.name()) {
                    self.compare_keys(calls, adverse, seen, millis(observation.duration));
                }
                self.add_stable_latencies(calls);
            }
        }
        if let Some(warm_up) = self.warm_up_mut() {
            warm_up.pass(observation.duration);
        }
    }

    /// Adds stable's latencies to those that the limit depends on. This comes after the comparison,
    /// because the limit must not depend on the calls that it judges.
    fn add_stable_latencies(&mut self, calls: &[EpochCounts]) {
        if let Measure::Slow(until, limit) = self.monitor.measure()
            && limit.quantile().is_some()
        {
            for epoch in calls {
                self.stable.merge(timed(&epoch.counts.evidence.stable, *until));
            }
        }
    }

    fn warm_up_mut(&mut self) -> Option<&mut WarmUp> {
        match &mut self.evidence {
            MonitorEvidence::Comparison(comparison) => comparison.warm_up.as_deref_mut(),
            MonitorEvidence::SampleRatio(_) | MonitorEvidence::Unanswered(_) => None,
        }
    }

    /// Counts the calls, and those with a result for this measure.
    fn count_results(&mut self, calls: &[EpochCounts]) {
        let MonitorEvidence::Comparison(comparison) = &mut self.evidence else { return };
        let measure = self.monitor.measure();
        for epoch in calls.iter().filter(|_| measure.is_of_calls()) {
            let judged = |counts: &ChannelCounts| match measure {
                Measure::Cancelled => counts.ended(),
                // A shed call has no latency, and a cancelled one none to its end.
                Measure::Slow(Until::Head, _) => counts.head.total().saturating_add(counts.shed),
                Measure::Slow(Until::End, _) => {
                    let not_timed = counts.shed.saturating_add(counts.cancelled_after_tag);
                    counts.end.total().saturating_add(not_timed)
                }
                // A call that is not compared is not missing either.
                _ => counts.compared_results().saturating_add(counts.not_compared()),
            };
            let given = per_channel(epoch, |counts| counts.picked);
            let ratio = SplitRatio::of(epoch.weight);
            self.impossible = self.impossible.saturating_add(ratio.impossible(given));
            let counts = CallCounts { given, judged: per_channel(epoch, judged) };
            comparison.completeness.add_calls(ratio, counts);
        }
    }

    fn compare(&mut self, observation: &Observation, calls: &[EpochCounts]) {
        let MonitorEvidence::Comparison(comparison) = &mut self.evidence else { return };
        let millis = millis(observation.duration);
        let counts: Vec<AdverseCounts> = match self.monitor.measure() {
            Measure::Failures => calls.iter().filter_map(failures).collect(),
            Measure::Cancelled => {
                let cancelled =
                    |epoch| adverse_counts(epoch, ended, ChannelCounts::compared_cancelled);
                calls.iter().filter_map(cancelled).collect()
            }
            Measure::Slow(until, limit) => {
                let buckets = limit.buckets(&self.stable);
                let slow =
                    |limits| calls.iter().filter_map(move |epoch| slow(epoch, *until, limits));
                buckets.into_iter().flat_map(slow).collect()
            }
            Measure::Feedback => return comparison.observe_trials(&observation.feedback, millis),
            Measure::Event(name) => {
                let counts = observation.events.get(name).map_or(&[][..], |counts| counts);
                return comparison.observe_trials(counts, millis);
            }
            Measure::Share | Measure::Unanswered => return,
        };
        comparison.observe(&counts, millis);
    }

    fn compare_keys(
        &mut self,
        calls: &[EpochCounts],
        adverse: &KeyCounts,
        seen: Option<&KeyCounts>,
        millis: u64,
    ) {
        let MonitorEvidence::Comparison(comparison) = &mut self.evidence else { return };
        let none = KeyCounts::default();
        let seen = seen.unwrap_or(&none);
        let given = calls.iter().map(|epoch| per_channel(epoch, |counts| counts.picked));
        let given = match self.monitor.is_without_key() {
            true => seen.keys,
            false => given.fold(PerChannel::default(), PerChannel::saturating_add),
        };
        comparison.observe_keys(given, adverse, seen, millis);
        // Refused seen keys do not count: the rates are then those of the recorded keys.
        self.refused = self.refused.saturating_add(adverse.refused);
        for impossible in [adverse.impossible, seen.impossible] {
            self.impossible = self.impossible.saturating_add(impossible);
        }
    }

    /// Returns the verdict without calculating the interval, which takes most of the time of
    /// [`finding`](Self::finding).
    ///
    /// A share that is not proven broken is inconclusive here.
    pub(crate) fn verdict(&self, levels: Levels, worse_threshold: f64) -> Verdict {
        let (worse, _) = self.strengths(levels, worse_threshold);
        match &self.evidence {
            MonitorEvidence::Comparison(comparison) => {
                let reason = self.not_healthy_reason(comparison, levels);
                let is_good = self.holds_healthy && reason.is_none();
                comparison_verdict(comparison, worse, is_good)
            }
            MonitorEvidence::Unanswered(evidence) => {
                confirmed(verdict(worse, false), evidence.second_proof())
            }
            MonitorEvidence::SampleRatio(_) => verdict(worse, false),
        }
    }

    /// Returns the finding. The monitor is degraded at the log e-value `worse_threshold`.
    pub(crate) fn finding(&self, levels: Levels, worse_threshold: f64) -> Finding {
        let (worse, good) = self.strengths(levels, worse_threshold);
        let blank = Finding {
            slow_limit: self.slow_limits().map(|limits| limits.canary),
            stable_slow_limit: self.slow_limits().map(|limits| limits.stable),
            refused_keys: self.refused,
            ..Finding::blank(&self.monitor, worse)
        };
        match &self.evidence {
            MonitorEvidence::Comparison(comparison) => {
                let reason = self.not_healthy_reason(comparison, levels);
                let is_good = self.holds_healthy && reason.is_none();
                let proof = &comparison.whole.good;
                let by_ratio = proof.log_e_relative() >= proof.log_e_absolute();
                Finding {
                    verdict: comparison_verdict(comparison, worse, is_good),
                    calls: comparison.current().calls(),
                    adverse: comparison.current().adverse(),
                    stable_rate_at_canary_weights: comparison.stable_rate_at_canary_weights(),
                    good_by: Some(if by_ratio { GoodBy::Ratio } else { GoodBy::Rate }),
                    missing_calls: proof.missing_trials(levels.good_threshold()),
                    warm_up_left: comparison.warm_up.as_deref().and_then(WarmUp::left),
                    unanswered: comparison.completeness.all_unanswered(),
                    ratio: comparison.whole.ratio_interval(levels.alpha()),
                    good,
                    second_proof: comparison.second_proof(),
                    not_healthy_reason: reason,
                    impossible: self.impossible,
                    basis: comparison.basis(),
                    ..blank
                }
            }
            MonitorEvidence::Unanswered(evidence) => {
                let (age, comparison) = evidence.strongest();
                let second_proof = evidence.second_proof();
                Finding {
                    verdict: confirmed(verdict(worse, false), second_proof),
                    second_proof,
                    calls: comparison.whole.calls(),
                    adverse: comparison.whole.adverse(),
                    ratio: comparison.whole.ratio_interval(levels.alpha()),
                    age: Some(age),
                    basis: comparison.basis(),
                    ..blank
                }
            }
            MonitorEvidence::SampleRatio(test) => {
                let ratio = test.ratio_interval(levels.alpha());
                let is_close = ratio.lower >= 0.8 && ratio.upper.is_some_and(|upper| upper <= 1.25);
                let split = test.observed().zip(test.requested());
                Finding {
                    verdict: verdict(worse, is_close),
                    calls: test.picks(),
                    ratio,
                    split: split.map(|(observed, requested)| Split { requested, observed }),
                    impossible: test.impossible(),
                    ..blank
                }
            }
        }
    }

    /// Returns the evidence for worse, and for good enough.
    fn strengths(&self, levels: Levels, threshold: f64) -> (Strength, Option<Strength>) {
        match &self.evidence {
            MonitorEvidence::Comparison(comparison) => {
                if let Some(max) = self.monitor.max_adverse() {
                    // The limit is exceeded, or it is not: nothing is left to chance.
                    let is_over = comparison.whole.adverse().canary > max;
                    let log_e = if is_over { CERTAIN } else { 0.0 };
                    return (Strength { log_e, threshold: CERTAIN }, None);
                }
                let worse = Strength { log_e: comparison.log_e_worse(), threshold };
                let threshold = levels.good_threshold();
                (worse, Some(Strength { log_e: comparison.log_e_good(), threshold }))
            }
            MonitorEvidence::SampleRatio(test) => {
                (Strength { log_e: test.log_e(), threshold }, None)
            }
            MonitorEvidence::Unanswered(evidence) => {
                (Strength { log_e: evidence.log_e_worse(), threshold }, None)
            }
        }
    }

    /// Returns the limits for slow calls, if this monitor has them yet.
    pub(crate) fn slow_limits(&self) -> Option<PerChannel<Duration>> {
        let PerChannel { stable, canary } = self.slow_buckets()?;
        Some(PerChannel { stable: stable.upper_edge()?, canary: canary.upper_edge()? })
    }

    /// Returns the buckets above which a call of the next observation is slow.
    pub(crate) fn slow_buckets(&self) -> Option<PerChannel<LatencyBucket>> {
        match self.monitor.measure() {
            Measure::Slow(_, limit) => limit.buckets(&self.stable),
            _ => None,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the verdict of a comparison, inconclusive without trials of the canary.
fn comparison_verdict(comparison: &ChannelComparison, worse: Strength, is_good: bool) -> Verdict {
    if comparison.basis().canary == 0 {
        return Verdict::Inconclusive;
    }
    confirmed(verdict(worse, is_good), comparison.second_proof())
}

/// Harm that lacks its second proof is no harm yet, and nothing is healthy beside it.
fn confirmed(verdict: Verdict, second_proof: Option<Strength>) -> Verdict {
    match verdict {
        Verdict::Degraded if second_proof.is_some_and(|proof| !proof.is_reached()) => {
            Verdict::Inconclusive
        }
        verdict => verdict,
    }
}

/// Returns the verdict. Proven harm takes priority over a proof that the canary is good enough.
fn verdict(worse: Strength, is_good: bool) -> Verdict {
    match (worse.is_reached(), is_good) {
        (true, _) => Verdict::Degraded,
        (false, true) => Verdict::Healthy,
        (false, false) => Verdict::Inconclusive,
    }
}
