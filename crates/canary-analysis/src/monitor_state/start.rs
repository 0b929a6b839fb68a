//! Monitors that judge from a later step of the rollout on.

use canary_core::EpochCounts;

use super::{
    MonitorEvidence, MonitorState,
    counted::{per_channel, settled},
};
use crate::{
    channel_comparison::{ChannelComparison, Restarts},
    completeness::Completeness,
    finding::Finding,
    levels::Levels,
    observation::Observation,
    split_ratio::SplitRatio,
    warm_up::WarmUp,
};

impl MonitorState {
    /// Learns from an observation before the monitor's step: what is usual, the limit of slow calls,
    /// the passed time of the warm-up, and the calls in flight. The counts are no evidence.
    pub(crate) fn learn(&mut self, observation: &Observation) {
        let open = match &mut self.evidence {
            MonitorEvidence::Comparison(comparison) => std::mem::take(&mut comparison.completeness),
            MonitorEvidence::SampleRatio(_) | MonitorEvidence::Unanswered(_) => {
                Completeness::default()
            }
        };
        self.observe(observation);
        let blank = Self::new(self.monitor.clone());
        (self.refused, self.impossible, self.holds_healthy) = (0, 0, false);
        match (&mut self.evidence, blank.evidence) {
            (MonitorEvidence::Comparison(comparison), MonitorEvidence::Comparison(blank)) => {
                **comparison = comparison.without_evidence(*blank);
                comparison.outage_filter.choose(&comparison.background);
                comparison.completeness = open;
            }
            (MonitorEvidence::Unanswered(evidence), MonitorEvidence::Unanswered(blank)) => {
                for (comparison, blank) in evidence.ages.iter_mut().zip(blank.ages) {
                    *comparison = comparison.without_evidence(blank);
                }
            }
            (evidence, blank) => *evidence = blank,
        }
        self.count_open_calls(observation);
    }

    /// Counts the calls in flight, so that they are known to be given when their results come.
    pub(crate) fn count_open_calls(&mut self, observation: &Observation) {
        let measure = self.monitor.measure();
        if !measure.is_of_calls() || self.monitor.is_without_key() {
            return;
        }
        let calls = self.calls_of(observation).iter().map(|epoch| {
            let begun = per_channel(epoch, |counts| counts.picked);
            (SplitRatio::of(epoch.weight), begun, per_channel(epoch, |it| settled(it, measure)))
        });
        let calls: Vec<_> = calls.collect();
        let MonitorEvidence::Comparison(comparison) = &mut self.evidence else { return };
        for (ratio, begun, settled) in calls {
            comparison.completeness.add_open_calls(ratio, begun, settled);
        }
    }

    /// Returns the finding before the monitor's step.
    pub(crate) fn finding_before_start(&self, levels: Levels, worse_threshold: f64) -> Finding {
        let (worse, good) = self.strengths(levels, worse_threshold);
        let waits_for_step = Some(self.monitor.starting_step());
        Finding { waits_for_step, good, ..Finding::blank(&self.monitor, worse) }
    }

    /// Returns the calls of the monitor's class, or all calls.
    pub(super) fn calls_of<'a>(&self, observation: &'a Observation) -> &'a [EpochCounts] {
        match self.monitor.class() {
            None => &observation.calls,
            Some(class) => observation.classes.get(class).map_or(&[], |calls| calls),
        }
    }
}

impl ChannelComparison {
    /// Returns `blank` with what is usual, the settings and the passed time of the warm-up.
    fn without_evidence(&self, blank: Self) -> Self {
        Self {
            background: self.background.clone(),
            second_proof: self.second_proof,
            restarts: self.restarts.as_ref().map(|_| Restarts::default()),
            warm_up: self.warm_up.as_deref().map(WarmUp::emptied).map(Box::new),
            ..blank
        }
    }
}
