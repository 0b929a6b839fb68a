use std::{
    collections::{BTreeMap, VecDeque},
    error, fmt,
};

use canary_core::{Latencies, LatencyBucket};

use self::{
    block_bets::StoredBlockBets,
    completeness::StoredCompleteness,
    evidence::{StoredEvidenceCounts, channels},
    outage_filter::StoredOutageFilter,
    unanswered::StoredAge,
    warm_up::StoredWarmUp,
};
#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{
    background::BackgroundState,
    baseline::Baseline,
    channel_comparison::{MAX_RESTARTS, Restarts},
    evidence::Evidence,
    judge::{Judge, JudgeError},
    levels::Levels,
    margins::Margin,
    monitor::Monitor,
    monitor_state::{MonitorEvidence, MonitorState},
    split_ratio::SplitRatio,
};

mod block_bets;
mod completeness;
mod evidence;
mod outage_filter;
mod unanswered;
mod warm_up;

/// The evidence of a [`Judge`] in a form that can be stored, to restore the judge after a restart.
///
/// It contains the counts as integers, and the levels and margins, so that a judge with another
/// plan refuses it. With the feature `serde` it can be written in any format.
///
/// # Example
///
/// ```
/// use canary_analysis::{Judge, Levels, Monitor};
///
/// let monitors = || [Monitor::failures(), Monitor::share()];
/// let judge = Judge::try_new(Levels::default(), monitors())?;
/// let state = judge.state();
///
/// let judge = Judge::try_resume(Levels::default(), monitors(), &state)?;
/// assert_eq!(judge.state(), state);
///
/// let other = Judge::try_resume(Levels::default(), [Monitor::failures()], &state).unwrap_err();
/// assert_eq!(other.to_string(), "the stored evidence has a monitor `share` that is not in the plan");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct JudgeState {
    version: u32,
    alpha: f64,
    beta: f64,
    monitors: BTreeMap<String, StoredMonitor>,
}

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
struct StoredMonitor {
    watches: String,
    /// Ratio and rate of `worse`, then of `good`.
    margins: [f64; 4],
    whole: StoredEvidenceCounts,
    // Short names keep the document of a long plan small.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "outages", default, skip_serializing_if = "is_default")
    )]
    outage_filter: StoredOutageFilter,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    background: BackgroundState,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    blocks: StoredBlockBets,
    restarts: Option<StoredRestarts>,
    /// Stable's calls by latency bucket. Empty if the monitor does not need them.
    stable_latencies: Vec<u64>,
    refused_keys: u64,
    impossible: u64,
    #[cfg_attr(feature = "serde", serde(rename = "answers"))]
    completeness: StoredCompleteness,
    /// By age, for unanswered calls.
    ages: Vec<StoredAge>,
    warm_up: Option<StoredWarmUp>,
    /// Canary buckets, all buckets, then trials of stable and canary. Not for the share.
    trials: Vec<(u32, u32, [u64; 2])>,
    holds_healthy: bool,
}

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
struct StoredRestarts {
    started: u32,
    latest: Vec<(u32, StoredEvidenceCounts)>,
}

/// The version of the stored format. Other versions are refused.
const VERSION: u32 = 3;

impl Judge {
    /// Returns the evidence in a form that can be stored.
    #[must_use]
    pub fn state(&self) -> JudgeState {
        let monitors = self.states.iter();
        JudgeState {
            version: VERSION,
            alpha: self.levels().alpha(),
            beta: self.levels().beta(),
            monitors: monitors
                .map(|state| (state.monitor.name().to_owned(), StoredMonitor::of(state)))
                .collect(),
        }
    }

    /// Creates a judge that continues with stored evidence.
    ///
    /// The plan must be the one under which the evidence was collected. With margins or levels that
    /// were chosen afterwards, the error rates would not hold.
    ///
    /// # Errors
    ///
    /// Returns an error if the monitors are invalid, or the evidence was collected with other
    /// monitors, margins or levels.
    pub fn try_resume(
        levels: Levels,
        monitors: impl IntoIterator<Item = Monitor>,
        state: &JudgeState,
    ) -> Result<Self, ResumeError> {
        if state.version != VERSION {
            return Err(ResumeError::Version(state.version));
        }
        let mut judge = Self::try_new(levels, monitors).map_err(ResumeError::Judge)?;
        if !are_close(&[levels.alpha(), levels.beta()], &[state.alpha, state.beta]) {
            return Err(ResumeError::LevelsDiffer);
        }
        let is_known = |name: &String| judge.monitors().any(|monitor| monitor.name() == name);
        if let Some(name) = state.monitors.keys().find(|name| !is_known(name)) {
            return Err(ResumeError::NotInPlan(name.clone()));
        }
        for monitor_state in &mut judge.states {
            let name = || monitor_state.monitor.name().to_owned();
            let Some(stored) = state.monitors.get(monitor_state.monitor.name()) else {
                return Err(ResumeError::NotStored(name()));
            };
            if stored.watches != watches(&monitor_state.monitor)
                || !are_close(&stored.margins, &margins(&monitor_state.monitor))
            {
                return Err(ResumeError::MonitorDiffers(name()));
            }
            *monitor_state = stored
                .restore(&monitor_state.monitor)
                .ok_or_else(|| ResumeError::Corrupt(name()))?;
        }
        Ok(judge)
    }
}

impl JudgeState {
    /// Returns what the judge knew about stable, for another attempt.
    #[must_use]
    pub fn baseline(&self) -> Baseline {
        let monitors = self.monitors.values();
        let known = monitors.filter(|stored| stored.background != BackgroundState::default());
        let known = known.map(|stored| (stored.watches.clone(), stored.background.clone()));
        Baseline { monitors: known.collect() }
    }
}

impl StoredMonitor {
    fn of(state: &MonitorState) -> Self {
        let stable = &state.stable;
        let calls = || LatencyBucket::all().map(|bucket| stable.calls(bucket)).collect();
        let (mut outage_filter, mut background) = Default::default();
        let (mut blocks, mut completeness) = Default::default();
        let mut restarts = None;
        let whole = match &state.evidence {
            MonitorEvidence::Comparison(comparison) => {
                restarts = comparison.restarts.as_ref().map(StoredRestarts::of);
                outage_filter = StoredOutageFilter::of(&comparison.outage_filter);
                background = comparison.background.state.clone();
                blocks = StoredBlockBets::of(&comparison.block_bets);
                completeness = StoredCompleteness::of(&comparison.completeness);
                StoredEvidenceCounts::of(&comparison.whole)
            }
            MonitorEvidence::SampleRatio(test) => StoredEvidenceCounts::of_sample_ratio(test),
            MonitorEvidence::Unanswered(evidence) => {
                background = evidence.background().clone();
                blocks = StoredBlockBets::of(&evidence.ages[0].block_bets);
                StoredEvidenceCounts::default()
            }
        };
        let comparison = match &state.evidence {
            MonitorEvidence::Comparison(comparison) => Some(comparison),
            MonitorEvidence::SampleRatio(_) | MonitorEvidence::Unanswered(_) => None,
        };
        let trials = comparison.iter().flat_map(|comparison| &comparison.trials);
        let impossible = match &state.evidence {
            MonitorEvidence::Comparison(_) | MonitorEvidence::Unanswered(_) => state.impossible,
            MonitorEvidence::SampleRatio(test) => test.impossible,
        };
        let ages = match &state.evidence {
            MonitorEvidence::Unanswered(evidence) => {
                evidence.ages.iter().map(StoredAge::of).collect()
            }
            _ => Vec::new(),
        };
        Self {
            watches: watches(&state.monitor),
            margins: margins(&state.monitor),
            whole,
            outage_filter,
            background,
            blocks,
            restarts,
            stable_latencies: if stable.total() > 0 { calls() } else { Vec::new() },
            refused_keys: state.refused,
            impossible,
            completeness,
            ages,
            warm_up: comparison.and_then(|comparison| StoredWarmUp::of(comparison)),
            trials: trials
                .map(|(ratio, trials)| {
                    let trials = [trials.stable, trials.canary];
                    (ratio.canary_buckets(), ratio.all_buckets(), trials)
                })
                .collect(),
            holds_healthy: state.holds_healthy,
        }
    }

    /// Returns `None` if the counts contradict each other.
    fn restore(&self, monitor: &Monitor) -> Option<MonitorState> {
        let mut state = MonitorState::new(monitor.clone());
        state.refused = self.refused_keys;
        state.impossible = self.impossible;
        state.stable = self.latencies()?;
        state.holds_healthy = self.holds_healthy;
        if !self.background.is_valid(monitor.unit()) {
            return None;
        }
        match &mut state.evidence {
            MonitorEvidence::Comparison(comparison) => {
                comparison.whole = self.whole.restore(monitor)?;
                comparison.background.state = self.background.clone();
                comparison.outage_filter = self.outage_filter.restore(
                    monitor,
                    &comparison.whole,
                    &comparison.background,
                )?;
                comparison.block_bets = self.blocks.restore()?;
                comparison.completeness = self.completeness.restore()?;
                if let Some(warm_up) = &self.warm_up {
                    comparison.warm_up = Some(warm_up.restore(monitor)?);
                }
                for (canary, all, trials) in &self.trials {
                    let ratio = SplitRatio::try_new(*canary, *all)?;
                    comparison.trials.insert(ratio, channels(*trials));
                }
                if let Some(restarts) = &self.restarts {
                    comparison.restarts = Some(restarts.restore(monitor)?);
                }
            }
            MonitorEvidence::SampleRatio(test) => {
                *test = self.whole.restore_sample_ratio()?;
                test.impossible = std::mem::take(&mut state.impossible);
            }
            MonitorEvidence::Unanswered(evidence) => {
                if self.ages.len() != evidence.ages.len() {
                    return None;
                }
                for (comparison, stored) in evidence.ages.iter_mut().zip(&self.ages) {
                    stored.restore(monitor, comparison)?;
                }
                evidence.set_background(self.background.clone());
                evidence.ages[0].block_bets = self.blocks.restore()?;
            }
        }
        Some(state)
    }

    fn latencies(&self) -> Option<Latencies> {
        let mut latencies = Latencies::default();
        if !self.stable_latencies.is_empty() {
            if self.stable_latencies.len() != LatencyBucket::COUNT {
                return None;
            }
            for (bucket, calls) in LatencyBucket::all().zip(&self.stable_latencies) {
                latencies.add(bucket, *calls);
            }
        }
        Some(latencies)
    }
}

impl StoredRestarts {
    fn of(restarts: &Restarts) -> Self {
        let of = |(number, evidence): &(u32, _)| (*number, StoredEvidenceCounts::of(evidence));
        Self { started: restarts.started, latest: restarts.latest.iter().map(of).collect() }
    }

    /// Returns `None` if there are too many restarts or their numbers are not valid.
    fn restore(&self, monitor: &Monitor) -> Option<Restarts> {
        let starts = self.latest.iter().map(|(number, state)| (*number, state.restore(monitor)));
        restarts(self.started, starts)
    }
}

/// Returns `None` if there are too many restarts, or their numbers or states are not valid.
fn restarts(
    started: u32,
    latest: impl Iterator<Item = (u32, Option<Evidence>)>,
) -> Option<Restarts> {
    let latest = latest.map(|(number, state)| Some((number, state?)));
    let latest: VecDeque<_> = latest.collect::<Option<_>>()?;
    let are_sorted = latest.iter().is_sorted_by(|one, next| one.0 < next.0);
    let are_started = latest.iter().all(|(number, _)| (1..=started).contains(number));
    let is_valid = latest.len() <= MAX_RESTARTS && are_sorted && are_started;
    is_valid.then_some(Restarts { started, latest })
}

/// Identifies what a monitor watches.
pub(crate) fn watches(monitor: &Monitor) -> String {
    let (measure, class, unit) = (monitor.measure(), monitor.class(), monitor.unit());
    let limit = monitor.limit().map(|limit| format!(" at most {limit}")).unwrap_or_default();
    format!("{measure:?} of {class:?} by {unit:?} after {:?}{limit}", monitor.warm_up())
}

fn margins(monitor: &Monitor) -> [f64; 4] {
    let margins = monitor.margins();
    let [worse, good] =
        [margins.worse(), margins.good()].map(|Margin { ratio, rate }| [ratio, rate]);
    [worse[0], worse[1], good[0], good[1]]
}

/// Returns whether the numbers are equal except for the last digits, which a text format may
/// change.
fn are_close(some: &[f64], others: &[f64]) -> bool {
    some.iter().zip(others).all(|(one, other)| (one - other).abs() <= 1e-12 * one.abs())
}

/// The reason why a judge cannot continue with stored evidence.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ResumeError {
    /// The monitors are invalid.
    Judge(JudgeError),
    /// The state has another format version.
    Version(u32),
    /// The evidence was collected with other levels.
    LevelsDiffer,
    /// A stored monitor is not in the plan.
    NotInPlan(String),
    /// A monitor of the plan has no stored evidence.
    NotStored(String),
    /// A monitor had another measure, class, unit, warm-up or margin.
    MonitorDiffers(String),
    /// The stored counts of a monitor contradict each other.
    Corrupt(String),
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judge(_) => f.write_str("the monitors are invalid"),
            Self::Version(version) => {
                write!(f, "the stored evidence has version {version}, expected {VERSION}")
            }
            Self::LevelsDiffer => f.write_str("the evidence was collected with other levels"),
            Self::NotInPlan(name) => {
                write!(f, "the stored evidence has a monitor `{name}` that is not in the plan")
            }
            Self::NotStored(name) => write!(f, "monitor `{name}` has no stored evidence"),
            Self::MonitorDiffers(name) => {
                write!(f, "the stored evidence of monitor `{name}` has another measure or margin")
            }
            Self::Corrupt(name) => {
                write!(f, "the stored counts of monitor `{name}` contradict each other")
            }
        }
    }
}

impl error::Error for ResumeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Judge(error) => Some(error),
            _ => None,
        }
    }
}
