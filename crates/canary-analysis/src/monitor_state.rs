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
};

/// A monitor and what it has seen.
#[derive(Clone, Debug)]
pub(crate) struct MonitorState {
    pub(crate) monitor: Monitor,
    pub(crate) evidence: MonitorEvidence,
    /// Stable's latencies so far, from which a slow limit may be taken.
    pub(crate) stable: Latencies,
    /// Adverse events of keys that a full ledger refused.
    pub(crate) refused: u64,
    /// Calls and keys on a channel that their coin excludes; a share counts them by itself.
    pub(crate) impossible: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum MonitorEvidence {
    Comparison(Box<ChannelComparison>),
    SampleRatio(SampleRatioTest),
}

impl MonitorState {
    pub(crate) fn new(monitor: Monitor) -> Self {
        let evidence = match monitor.measure() {
            Measure::Share => MonitorEvidence::SampleRatio(SampleRatioTest::new()),
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
            (MonitorEvidence::SampleRatio(share), Unit::Calls) => {
                for epoch in calls {
                    share.observe(epoch.weight, of_both(epoch, |counts| counts.picked));
                }
            }
            (MonitorEvidence::SampleRatio(share), Unit::Keys) => {
                if let Some(seen) = seen {
                    seen.by_split.iter().for_each(|(split, keys)| share.observe(*split, *keys));
                    share.observe_impossible(seen.impossible);
                }
            }
            (MonitorEvidence::Comparison(_), Unit::Calls) => {
                self.cover(calls);
                self.compare(observation, calls);
            }
            (MonitorEvidence::Comparison(_), Unit::Keys) => {
                self.cover(calls);
                // Without them, keys that were seen would count as keys that met nothing adverse.
                if let Some(adverse) = observation.keys.get(self.monitor.name()) {
                    self.compare_keys(calls, adverse, seen);
                }
            }
        }
    }

    /// Takes note of which calls could be judged.
    fn cover(&mut self, calls: &[EpochCounts]) {
        let MonitorEvidence::Comparison(comparison) = &mut self.evidence else { return };
        let measure = self.monitor.measure();
        for epoch in calls.iter().filter(|_| measure.is_of_calls()) {
            let judged = |counts: &ChannelCounts| match measure {
                Measure::Cancelled => ended(counts),
                Measure::Slow(until, _) => timed(counts, *until).total(),
                _ => answered(counts),
            };
            let given = of_both(epoch, |counts| counts.picked);
            let split = SplitRatio::of(epoch.weight);
            self.impossible = self.impossible.saturating_add(split.impossible(given));
            comparison
                .completeness
                .add_calls(split, CallCounts { given, judged: of_both(epoch, judged) });
        }
    }

    fn compare(&mut self, observation: &Observation, calls: &[EpochCounts]) {
        let MonitorEvidence::Comparison(comparison) = &mut self.evidence else { return };
        let ticks: Vec<AdverseCounts> = match self.monitor.measure() {
            Measure::Failures => calls.iter().filter_map(failures).collect(),
            Measure::Cancelled => {
                let left = |epoch| tick(epoch, ended, |counts| counts.cancelled);
                calls.iter().filter_map(left).collect()
            }
            Measure::Slow(until, limit) => {
                // Fixed before this observation is looked at, so that it cannot depend on it.
                let bucket = limit.bucket(&self.stable);
                if limit.quantile().is_some() {
                    for epoch in calls {
                        self.stable.merge(timed(&epoch.counts.evidence.stable, *until));
                    }
                }
                let slow =
                    |bucket| calls.iter().filter_map(move |epoch| slow(epoch, *until, bucket));
                bucket.into_iter().flat_map(slow).collect()
            }
            Measure::Feedback => return comparison.observe_trials(&observation.feedback),
            Measure::Event(name) => {
                let ticks = observation.events.get(name).map_or(&[][..], |ticks| ticks);
                return comparison.observe_trials(ticks);
            }
            Measure::Share => return,
        };
        comparison.observe(&ticks);
    }

    fn compare_keys(
        &mut self,
        calls: &[EpochCounts],
        adverse: &KeyCounts,
        seen: Option<&KeyCounts>,
    ) {
        let MonitorEvidence::Comparison(comparison) = &mut self.evidence else { return };
        let nothing = KeyCounts::default();
        let seen = seen.unwrap_or(&nothing);
        let given = calls.iter().map(|epoch| of_both(epoch, |counts| counts.picked));
        comparison.observe_keys(
            given.fold(PerChannel::default(), PerChannel::saturating_add),
            adverse,
            seen,
        );
        // Seen keys that a full ledger refuses are no loss: the others were seen before them.
        self.refused = self.refused.saturating_add(adverse.refused);
        for impossible in [adverse.impossible, seen.impossible] {
            self.impossible = self.impossible.saturating_add(impossible);
        }
    }

    /// The verdict alone, without the interval that takes the most time to calculate.
    ///
    /// A share that is not proven broken is inconclusive here.
    pub(crate) fn verdict(&self, levels: Levels, deciding: usize) -> Verdict {
        let (worse, good) = self.strengths(levels, deciding);
        match &self.evidence {
            MonitorEvidence::Comparison(comparison) => {
                let not_healthy_reason = self.not_healthy_reason(comparison, levels);
                compared(comparison, worse, good, not_healthy_reason.as_ref())
            }
            MonitorEvidence::SampleRatio(_) => verdict(worse, false),
        }
    }

    /// What this monitor says, if it shares `alpha` with the other ones of `deciding`.
    pub(crate) fn finding(&self, levels: Levels, deciding: usize) -> Finding {
        let (worse, good) = self.strengths(levels, deciding);
        let blank = Finding {
            slow_limit: self.slow_limit(),
            refused_keys: self.refused,
            ..Finding::blank(&self.monitor, worse)
        };
        match &self.evidence {
            MonitorEvidence::Comparison(comparison) => {
                let not_healthy_reason = self.not_healthy_reason(comparison, levels);
                Finding {
                    verdict: compared(comparison, worse, good, not_healthy_reason.as_ref()),
                    calls: comparison.whole.calls(),
                    adverse: comparison.whole.adverse(),
                    unanswered: comparison.completeness.all_unanswered(),
                    ratio: comparison.whole.ratio_interval(levels.alpha()),
                    good,
                    not_healthy_reason,
                    impossible: self.impossible,
                    basis: comparison.basis(),
                    ..blank
                }
            }
            MonitorEvidence::SampleRatio(share) => {
                let ratio = share.ratio_interval(levels.alpha());
                let is_close = ratio.lower >= 0.8 && ratio.upper.is_some_and(|upper| upper <= 1.25);
                let split = share.observed().zip(share.requested());
                Finding {
                    verdict: verdict(worse, is_close),
                    calls: share.picks(),
                    ratio,
                    split: split.map(|(observed, requested)| Split { requested, observed }),
                    impossible: share.impossible(),
                    ..blank
                }
            }
        }
    }

    /// The evidence for worse, and for good enough.
    fn strengths(&self, levels: Levels, deciding: usize) -> (Strength, Option<Strength>) {
        let threshold = levels.worse_threshold(deciding);
        match &self.evidence {
            MonitorEvidence::Comparison(comparison) => {
                let worse = Strength { log_e: comparison.log_e_worse(), threshold };
                let good =
                    Strength { log_e: comparison.log_e_good(), threshold: levels.good_threshold() };
                (worse, Some(good))
            }
            MonitorEvidence::SampleRatio(share) => {
                (Strength { log_e: share.log_e(), threshold }, None)
            }
        }
    }

    /// What forbids to call the canary healthy, however strong the evidence.
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
        if given == 0 && self.monitor.measure().is_of_calls() {
            return Some(NotHealthyReason::CallsUnknown);
        }
        let part = comparison.completeness.ratio().filter(|part| *part < LEAST_PART);
        if let Some(part) = part {
            return Some(NotHealthyReason::TooFewResults(part));
        }
        let proven = |log_e: f64| log_e >= levels.good_threshold();
        let calls = comparison.completeness.all_unanswered().canary;
        let is_answered_for = calls == 0 || !proven(comparison.log_e_good_answered());
        if !is_answered_for && !proven(comparison.log_e_good()) {
            return Some(NotHealthyReason::Unanswered { calls, given });
        }
        let (events, all) = comparison.events_in_outages();
        let rests_on_storms = events > 0
            && !proven(comparison.log_e_good_outside_outages())
            && proven(comparison.log_e_good_whole());
        rests_on_storms.then_some(NotHealthyReason::Outages { events, all })
    }

    /// From which time on calls are slow to this monitor, if it has a limit yet.
    pub(crate) fn slow_limit(&self) -> Option<Duration> {
        match self.monitor.measure() {
            Measure::Slow(_, limit) => limit.bucket(&self.stable)?.upper_edge(),
            _ => None,
        }
    }
}

/// Of what is to be expected of the canary so much must be judged before it may be called healthy.
/// A tenth leaves room for chance: of some 1,000 occasions, which most proofs need, three standard
/// deviations.
const LEAST_PART: f64 = 0.9;

/// Failed calls of this epoch. A spilled call is one that the canary failed to take.
pub(crate) fn failures(epoch: &EpochCounts) -> Option<AdverseCounts> {
    tick(epoch, answered, |counts| counts.failure.saturating_add(counts.spilled))
}

fn slow(epoch: &EpochCounts, until: Until, limit: LatencyBucket) -> Option<AdverseCounts> {
    tick(
        epoch,
        |counts| timed(counts, until).total(),
        |counts| timed(counts, until).slower_than(limit),
    )
}

fn tick(
    epoch: &EpochCounts,
    calls: impl Fn(&ChannelCounts) -> u64,
    adverse: impl Fn(&ChannelCounts) -> u64,
) -> Option<AdverseCounts> {
    // It cannot fail: in all measures the adverse calls are among the calls.
    AdverseCounts::try_new(epoch.weight, of_both(epoch, calls), of_both(epoch, adverse)).ok()
}

/// The verdict of a comparison. Without a call, or key, of the canary's there is nothing to judge.
fn compared(
    comparison: &ChannelComparison,
    worse: Strength,
    good: Option<Strength>,
    not_healthy_reason: Option<&NotHealthyReason>,
) -> Verdict {
    if comparison.basis().canary == 0 {
        return Verdict::Inconclusive;
    }
    verdict(worse, not_healthy_reason.is_none() && good.is_some_and(|good| good.is_reached()))
}

/// Of two proofs the one of harm counts.
fn verdict(worse: Strength, is_good: bool) -> Verdict {
    match (worse.is_reached(), is_good) {
        (true, _) => Verdict::Degraded,
        (false, true) => Verdict::Healthy,
        (false, false) => Verdict::Inconclusive,
    }
}

fn of_both(epoch: &EpochCounts, count: impl Fn(&ChannelCounts) -> u64) -> PerChannel<u64> {
    PerChannel::from_fn(|channel| count(&epoch.counts.evidence[channel]))
}

const fn timed(counts: &ChannelCounts, until: Until) -> &Latencies {
    match until {
        Until::Head => &counts.head,
        Until::End => &counts.end,
    }
}

/// Calls that ended as a success or a failure: a caller that left judges nobody.
const fn answered(counts: &ChannelCounts) -> u64 {
    counts.success.saturating_add(counts.failure).saturating_add(counts.spilled)
}

/// Calls that are no longer in flight.
const fn ended(counts: &ChannelCounts) -> u64 {
    answered(counts).saturating_add(counts.cancelled)
}
