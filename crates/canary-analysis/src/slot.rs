use std::time::Duration;

use canary_core::{ChannelCounts, EpochCounts, Latencies, LatencyBucket, PerChannel, Verdict};

use crate::{
    comparison::Comparison,
    finding::{Finding, Split, Strength},
    keys::KeyCounts,
    levels::Levels,
    monitor::{Measure, Monitor, Unit},
    observation::Observation,
    share::ShareEvidence,
    slow::Until,
    tick::Tick,
};

/// A monitor and what it has seen.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) monitor: Monitor,
    pub(crate) record: Record,
    /// Stable's latencies so far, from which a slow limit may be taken.
    pub(crate) stable: Latencies,
    /// Events of keys that a full ledger refused.
    pub(crate) refused: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Record {
    Comparison(Box<Comparison>),
    Split(ShareEvidence),
}

impl Slot {
    pub(crate) fn new(monitor: Monitor) -> Self {
        let record = match monitor.measure() {
            Measure::Share => Record::Split(ShareEvidence::new()),
            _ => Record::Comparison(Box::new(Comparison::new(monitor.margins()))),
        };
        Self { monitor, record, stable: Latencies::default(), refused: 0 }
    }

    pub(crate) fn observe(&mut self, observation: &Observation) {
        let calls = match self.monitor.class() {
            None => &observation.calls[..],
            Some(class) => observation.classes.get(class).map_or(&[][..], |calls| calls),
        };
        let per_key = self.monitor.unit() == Unit::Keys;
        match (&mut self.record, per_key) {
            (Record::Split(share), false) => {
                for epoch in calls {
                    share.observe(epoch.weight, of_both(epoch, |counts| counts.picked));
                }
            }
            (Record::Split(share), true) => {
                for (coin, keys) in &observation.seen.tosses {
                    share.observe(*coin, *keys);
                }
            }
            (Record::Comparison(_), false) => self.compare(observation, calls),
            (Record::Comparison(comparison), true) => {
                let ended = calls.iter().map(|epoch| of_both(epoch, answered));
                let adverse = observation.keys.get(self.monitor.name());
                compare_keys(comparison, ended, adverse, &observation.seen);
                for refused in [adverse.map_or(0, |keys| keys.refused), observation.seen.refused] {
                    self.refused = self.refused.saturating_add(refused);
                }
            }
        }
    }

    fn compare(&mut self, observation: &Observation, calls: &[EpochCounts]) {
        let Record::Comparison(comparison) = &mut self.record else { return };
        let mut add =
            |tick: Option<Tick>| tick.into_iter().for_each(|tick| comparison.observe(&tick));
        match self.monitor.measure() {
            Measure::Failures => calls.iter().for_each(|epoch| add(failures(epoch))),
            Measure::Cancelled => calls.iter().for_each(|epoch| {
                add(tick(epoch, ended, |counts| counts.cancelled));
            }),
            Measure::Slow(until, limit) => {
                // Fixed before this observation is looked at, so that it cannot depend on it.
                if let Some(bucket) = limit.bucket(&self.stable) {
                    calls.iter().for_each(|epoch| add(slow(epoch, *until, bucket)));
                }
                if limit.quantile().is_some() {
                    for epoch in calls {
                        self.stable.merge(timed(&epoch.counts.evidence.stable, *until));
                    }
                }
            }
            Measure::Feedback => observation.feedback.iter().for_each(|tick| add(Some(*tick))),
            Measure::Event(name) => {
                let ticks = observation.events.get(name).map_or(&[][..], |ticks| ticks);
                ticks.iter().for_each(|tick| add(Some(*tick)));
            }
            Measure::Share => {}
        }
    }

    /// The verdict alone, without the interval that takes the most time to calculate.
    ///
    /// A share that is not proven broken is inconclusive here.
    pub(crate) fn verdict(&self, levels: Levels, deciding: usize) -> Verdict {
        let (worse, good) = self.strengths(levels, deciding);
        verdict(worse, good.is_some_and(|good| self.is_good(good)))
    }

    /// What this monitor says, if it shares `alpha` with the other ones of `deciding`.
    pub(crate) fn finding(&self, levels: Levels, deciding: usize) -> Finding {
        let (worse, good) = self.strengths(levels, deciding);
        match &self.record {
            Record::Comparison(comparison) => Finding {
                verdict: verdict(worse, good.is_some_and(|good| self.is_good(good))),
                calls: comparison.whole.calls(),
                adverse: comparison.whole.adverse(),
                ratio: comparison.whole.ratio_interval(levels.alpha()),
                good,
                ..self.blank(worse)
            },
            Record::Split(share) => {
                let ratio = share.ratio_interval(levels.alpha());
                let is_close = ratio.lower >= 0.8 && ratio.upper.is_some_and(|upper| upper <= 1.25);
                let split = share.seen().zip(share.asked());
                Finding {
                    verdict: verdict(worse, is_close),
                    calls: share.picks(),
                    ratio,
                    split: split.map(|(seen, asked)| Split { asked, seen }),
                    ..self.blank(worse)
                }
            }
        }
    }

    /// The evidence for worse, and for good enough.
    fn strengths(&self, levels: Levels, deciding: usize) -> (Strength, Option<Strength>) {
        let threshold = worse_threshold(levels, deciding);
        match &self.record {
            Record::Comparison(comparison) => {
                let worse = Strength { log_e: comparison.log_e_worse(), threshold };
                let threshold = (1.0 / levels.beta()).ln();
                (worse, Some(Strength { log_e: comparison.whole.log_e_good(), threshold }))
            }
            Record::Split(share) => (Strength { log_e: share.log_e(), threshold }, None),
        }
    }

    /// Events that spare a canary without calls prove nothing but that it has none.
    fn is_good(&self, good: Strength) -> bool {
        let has_calls = match &self.record {
            Record::Comparison(comparison) => comparison.whole.calls().canary > 0,
            Record::Split(_) => true,
        };
        has_calls && good.is_reached()
    }

    /// From which time on calls are slow to this monitor, if it has a limit yet.
    pub(crate) fn slow_limit(&self) -> Option<Duration> {
        match self.monitor.measure() {
            Measure::Slow(_, limit) => limit.bucket(&self.stable)?.upper_edge(),
            _ => None,
        }
    }

    fn blank(&self, worse: Strength) -> Finding {
        Finding {
            slow_limit: self.slow_limit(),
            refused_keys: self.refused,
            ..Finding::blank(&self.monitor, worse)
        }
    }
}

/// The logarithm of the evidence at which one of `deciding` monitors calls the canary worse.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 monitors")]
pub(crate) fn worse_threshold(levels: Levels, deciding: usize) -> f64 {
    (deciding.max(1) as f64 / levels.alpha()).ln()
}

/// Failed calls of this epoch. A spilled call is one that the canary failed to take.
pub(crate) fn failures(epoch: &EpochCounts) -> Option<Tick> {
    tick(epoch, answered, |counts| counts.failure.saturating_add(counts.spilled))
}

fn slow(epoch: &EpochCounts, until: Until, limit: LatencyBucket) -> Option<Tick> {
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
) -> Option<Tick> {
    // It cannot fail: in all measures the adverse calls are among the calls.
    Tick::try_new(epoch.weight, of_both(epoch, calls), of_both(epoch, adverse)).ok()
}

fn compare_keys(
    comparison: &mut Comparison,
    calls: impl Iterator<Item = PerChannel<u64>>,
    adverse: Option<&KeyCounts>,
    seen: &KeyCounts,
) {
    calls.for_each(|calls| comparison.count(calls, PerChannel::default()));
    let nothing = KeyCounts::default();
    let adverse = adverse.unwrap_or(&nothing);
    for (coin, keys) in &adverse.tosses {
        comparison.toss(*coin, *keys);
    }
    comparison.count(PerChannel::default(), adverse.keys);
    comparison.try_out(seen.keys.canary, adverse.keys.canary);
}

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
