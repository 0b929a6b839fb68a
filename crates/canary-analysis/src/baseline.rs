use std::collections::BTreeMap;

use crate::{
    background::BackgroundState,
    judge::Judge,
    judge_state::{ResumeError, watches},
    monitor_state::MonitorEvidence,
};

/// What the judge knows about stable from before the rollout: its usual rates, and its outages.
///
/// Without it, a judge does not call the canary of a service above `good.rate` healthy before it
/// has seen eleven minutes, because an outage of both channels from the first call on would pass
/// for the usual rate. And it learns about [outages of stable alone](crate::SecondProof) only as
/// they happen.
///
/// A judge learns at each look, also at a weight of zero. So while no rollout runs, let a judge
/// [observe](Judge::observe) stable, and give its baseline to the judge of the next attempt.
/// [`JudgeState`](crate::JudgeState) includes it.
///
/// It is a few hundred bytes for each monitor, and contains sums only: the rates of the last 5 to
/// 60 minutes, and the outages of the last 6 to 12 hours. These times are those of looks with
/// calls. A monitor of the next judge gets the baseline of a monitor with the same measure, class,
/// unit and warm-up.
///
/// # Example
///
/// ```
/// use canary_analysis::{Baseline, Judge, Levels, Monitor, Observation};
/// use canary_core::{Counts, EpochCounts, Snapshot, Verdict, Weight};
///
/// let new_judge = || Judge::try_new(Levels::default(), [Monitor::failures()]);
/// // Both channels fail 1 % of calls.
/// let second = |weight: Weight, stable: u64, canary: u64| {
///     let mut counts = Counts::default();
///     for (channel, calls) in
///         [(&mut counts.evidence.stable, stable), (&mut counts.evidence.canary, canary)]
///     {
///         (channel.picked, channel.failure) = (calls, calls / 100);
///         channel.success = calls - channel.failure;
///     }
///     let epochs = vec![EpochCounts::new(1, weight, counts)];
///     Observation::of(Snapshot::new(Counts::default(), epochs))
/// };
///
/// // Before the rollout.
/// let mut idle = new_judge()?;
/// (0..660).for_each(|_| idle.observe(&second(Weight::ZERO, 1_000, 0)));
/// let baseline: Baseline = idle.baseline();
///
/// // The rollout, with the baseline and without.
/// let (mut judge, mut without) = (new_judge()?.try_with_baseline(&baseline)?, new_judge()?);
/// for judge in [&mut judge, &mut without] {
///     (0..20).for_each(|_| judge.observe(&second(Weight::from_percent(10), 900, 100)));
/// }
/// assert_eq!(judge.verdict(), Verdict::Healthy);
/// assert_eq!(without.verdict(), Verdict::Inconclusive);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(transparent))]
pub struct Baseline {
    /// The background of each measure, class and unit.
    pub(crate) monitors: BTreeMap<String, BackgroundState>,
}

impl Judge {
    /// Returns what the judge knows about stable, for the next attempt.
    #[must_use]
    pub fn baseline(&self) -> Baseline {
        let monitors = self.states.iter().filter_map(|state| {
            let background = match &state.evidence {
                MonitorEvidence::Comparison(comparison) => &comparison.background.state,
                MonitorEvidence::Unanswered(evidence) => evidence.background(),
                MonitorEvidence::SampleRatio(_) => return None,
            };
            Some((watches(&state.monitor), background.clone()))
        });
        let monitors = monitors.filter(|(_, state)| *state != BackgroundState::default());
        Baseline { monitors: monitors.collect() }
    }

    /// Starts from a baseline. Call it before the first observation.
    ///
    /// Monitors that the baseline does not know start without one.
    ///
    /// # Errors
    ///
    /// Returns an error if the counts of the baseline contradict each other.
    pub fn try_with_baseline(mut self, baseline: &Baseline) -> Result<Self, ResumeError> {
        for state in &mut self.states {
            let Some(known) = baseline.monitors.get(&watches(&state.monitor)) else { continue };
            if !known.is_valid(state.monitor.unit()) {
                return Err(ResumeError::Corrupt(state.monitor.name().to_owned()));
            }
            match &mut state.evidence {
                MonitorEvidence::Comparison(comparison) => {
                    comparison.background.state = known.clone();
                    comparison.outage_filter.choose(&comparison.background);
                }
                MonitorEvidence::Unanswered(evidence) => evidence.set_background(known.clone()),
                MonitorEvidence::SampleRatio(_) => {}
            }
        }
        Ok(self)
    }
}
