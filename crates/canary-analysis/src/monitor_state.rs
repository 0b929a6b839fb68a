use std::time::Duration;

use canary_core::{ChannelCounts, EpochCounts, Latencies, LatencyBucket, PerChannel, Verdict};

use crate::{
    adverse_counts::AdverseCounts,
    channel_comparison::ChannelComparison,
    completeness::CallCounts,
    finding::{Finding, Split, Strength},
    key_ledger::KeyCounts,
    levels::Levels,
    monitor::{Measure, Monitor, Unit},
    not_healthy_reason::NotHealthyReason,
    observation::Observation,
    sample_ratio::SampleRatioTest,
    slow::Until,
    split_ratio::SplitRatio,
    unanswered_evidence::UnansweredEvidence,
};

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
            Measure::Unanswered => {
                MonitorEvidence::Unanswered(Box::new(UnansweredEvidence::new(&monitor)))
            }
            _ => MonitorEvidence::Comparison(Box::new(ChannelComparison::new(&monitor))),
        };
        Self { monitor, evidence, stable: Latencies::default(), refused: 0, impossible: 0 }
    }

    pub(crate) fn observe(&mut self, observation: &Observation) {
        let calls = match self.monitor.class() {
            None => &observation.calls[..],
            Some(class) => observation.classes.get(class).map_or(&[][..], |calls| calls),
        };
        let seen = observation.seen.get(self.monitor.name());
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
                evidence.observe(calls, observation.duration);
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
                    self.compare_keys(calls, adverse, seen);
                }
                self.add_stable_latencies(calls);
            }
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

    /// Counts the calls, and those with a result for this measure.
    fn count_results(&mut self, calls: &[EpochCounts]) {
        let MonitorEvidence::Comparison(comparison) = &mut self.evidence else { return };
        let measure = self.monitor.measure();
        for epoch in calls.iter().filter(|_| measure.is_of_calls()) {
            let judged = |counts: &ChannelCounts| match measure {
                Measure::Cancelled => ended(counts),
                Measure::Slow(until, _) => timed(counts, *until).total(),
                _ => answered(counts),
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
        let counts: Vec<AdverseCounts> = match self.monitor.measure() {
            Measure::Failures => calls.iter().filter_map(failures).collect(),
            Measure::Cancelled => {
                let cancelled = |epoch| adverse_counts(epoch, ended, |counts| counts.cancelled);
                calls.iter().filter_map(cancelled).collect()
            }
            Measure::Slow(until, limit) => {
                let bucket = limit.bucket(&self.stable);
                let slow =
                    |bucket| calls.iter().filter_map(move |epoch| slow(epoch, *until, bucket));
                bucket.into_iter().flat_map(slow).collect()
            }
            Measure::Feedback => return comparison.observe_trials(&observation.feedback),
            Measure::Event(name) => {
                let counts = observation.events.get(name).map_or(&[][..], |counts| counts);
                return comparison.observe_trials(counts);
            }
            Measure::Share | Measure::Unanswered => return,
        };
        comparison.observe(&counts);
    }

    fn compare_keys(
        &mut self,
        calls: &[EpochCounts],
        adverse: &KeyCounts,
        seen: Option<&KeyCounts>,
    ) {
        let MonitorEvidence::Comparison(comparison) = &mut self.evidence else { return };
        let none = KeyCounts::default();
        let seen = seen.unwrap_or(&none);
        let given = calls.iter().map(|epoch| per_channel(epoch, |counts| counts.picked));
        let given = match self.monitor.is_without_key() {
            true => seen.keys,
            false => given.fold(PerChannel::default(), PerChannel::saturating_add),
        };
        comparison.observe_keys(given, adverse, seen);
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
        let (worse, good) = self.strengths(levels, worse_threshold);
        match &self.evidence {
            MonitorEvidence::Comparison(comparison) => {
                let reason = self.not_healthy_reason(comparison, levels);
                comparison_verdict(comparison, worse, good, reason.as_ref())
            }
            MonitorEvidence::SampleRatio(_) | MonitorEvidence::Unanswered(_) => {
                verdict(worse, false)
            }
        }
    }

    /// Returns the finding. The monitor is degraded at the log e-value `worse_threshold`.
    pub(crate) fn finding(&self, levels: Levels, worse_threshold: f64) -> Finding {
        let (worse, good) = self.strengths(levels, worse_threshold);
        let blank = Finding {
            slow_limit: self.slow_limit(),
            refused_keys: self.refused,
            ..Finding::blank(&self.monitor, worse)
        };
        match &self.evidence {
            MonitorEvidence::Comparison(comparison) => {
                let reason = self.not_healthy_reason(comparison, levels);
                Finding {
                    verdict: comparison_verdict(comparison, worse, good, reason.as_ref()),
                    calls: comparison.whole.calls(),
                    adverse: comparison.whole.adverse(),
                    unanswered: comparison.completeness.all_unanswered(),
                    ratio: comparison.whole.ratio_interval(levels.alpha()),
                    good,
                    not_healthy_reason: reason,
                    impossible: self.impossible,
                    basis: comparison.basis(),
                    ..blank
                }
            }
            MonitorEvidence::Unanswered(evidence) => {
                let age = evidence.strongest_age();
                Finding {
                    verdict: verdict(worse, false),
                    calls: evidence.old_enough(age),
                    adverse: evidence.unanswered(age),
                    ratio: evidence.ages[age as usize].whole.ratio_interval(levels.alpha()),
                    age: Some(age),
                    basis: evidence.given(),
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

    fn not_healthy_reason(
        &self,
        comparison: &ChannelComparison,
        levels: Levels,
    ) -> Option<NotHealthyReason> {
        if self.impossible > 0 {
            return Some(NotHealthyReason::ImpossibleAssignment(self.impossible));
        }
        if self.refused > 0 {
            return Some(NotHealthyReason::LedgerFull(self.refused));
        }
        let given = comparison.completeness.given().canary;
        let counts_calls = self.monitor.measure().is_of_calls() && !self.monitor.is_without_key();
        if given == 0 && counts_calls {
            return Some(NotHealthyReason::CallsUnknown);
        }
        let fraction = comparison.completeness.fraction().filter(|it| *it < MIN_COMPLETENESS);
        if let Some(fraction) = fraction {
            return Some(NotHealthyReason::TooFewResults(fraction));
        }
        let is_proven = |log_e: f64| log_e >= levels.good_threshold();
        let calls = comparison.completeness.all_unanswered().canary;
        if calls > 0
            && is_proven(comparison.log_e_good_answered())
            && !is_proven(comparison.log_e_good())
        {
            return Some(NotHealthyReason::Unanswered { calls, given });
        }
        let (events, all) = comparison.events_in_outages();
        let needs_outages = events > 0
            && !is_proven(comparison.log_e_good_without_outages())
            && is_proven(comparison.log_e_good_with_outages());
        needs_outages.then_some(NotHealthyReason::Outages { events, all })
    }

    /// Returns the limit for slow calls, if this monitor has one yet.
    pub(crate) fn slow_limit(&self) -> Option<Duration> {
        self.slow_bucket()?.upper_edge()
    }

    /// Returns the bucket above which a call of the next observation is slow.
    pub(crate) fn slow_bucket(&self) -> Option<LatencyBucket> {
        match self.monitor.measure() {
            Measure::Slow(_, limit) => limit.bucket(&self.stable),
            _ => None,
        }
    }
}

/// The fraction of the expected canary results that a healthy verdict needs. A tenth leaves room
/// for chance: three standard deviations of about 1,000 trials, the number that most proofs need.
const MIN_COMPLETENESS: f64 = 0.9;

/// Returns the failed calls of an epoch. Spilled calls count, because the canary did not accept
/// them.
pub(crate) fn failures(epoch: &EpochCounts) -> Option<AdverseCounts> {
    adverse_counts(epoch, answered, |counts| counts.failure.saturating_add(counts.spilled))
}

fn slow(epoch: &EpochCounts, until: Until, limit: LatencyBucket) -> Option<AdverseCounts> {
    adverse_counts(
        epoch,
        |counts| timed(counts, until).total(),
        |counts| timed(counts, until).slower_than(limit),
    )
}

fn adverse_counts(
    epoch: &EpochCounts,
    calls: impl Fn(&ChannelCounts) -> u64,
    adverse: impl Fn(&ChannelCounts) -> u64,
) -> Option<AdverseCounts> {
    // Never `None`: for each measure, the adverse calls are a part of the calls.
    AdverseCounts::try_new(epoch.weight, per_channel(epoch, calls), per_channel(epoch, adverse))
        .ok()
}

/// Returns the verdict of a comparison, inconclusive without trials of the canary.
fn comparison_verdict(
    comparison: &ChannelComparison,
    worse: Strength,
    good: Option<Strength>,
    reason: Option<&NotHealthyReason>,
) -> Verdict {
    if comparison.basis().canary == 0 {
        return Verdict::Inconclusive;
    }
    verdict(worse, reason.is_none() && good.is_some_and(|good| good.is_reached()))
}

/// Returns the verdict. Proven harm takes priority over a proof that the canary is good enough.
fn verdict(worse: Strength, is_good: bool) -> Verdict {
    match (worse.is_reached(), is_good) {
        (true, _) => Verdict::Degraded,
        (false, true) => Verdict::Healthy,
        (false, false) => Verdict::Inconclusive,
    }
}

fn per_channel(epoch: &EpochCounts, count: impl Fn(&ChannelCounts) -> u64) -> PerChannel<u64> {
    PerChannel::from_fn(|channel| count(&epoch.counts.evidence[channel]))
}

const fn timed(counts: &ChannelCounts, until: Until) -> &Latencies {
    match until {
        Until::Head => &counts.head,
        Until::End => &counts.end,
    }
}

/// Returns the calls that succeeded, failed or spilled. A cancelled call has no result.
const fn answered(counts: &ChannelCounts) -> u64 {
    counts.success.saturating_add(counts.failure).saturating_add(counts.spilled)
}

/// Returns the calls that are no longer in flight.
const fn ended(counts: &ChannelCounts) -> u64 {
    answered(counts).saturating_add(counts.cancelled)
}
