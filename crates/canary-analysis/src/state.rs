use std::{collections::BTreeMap, error, fmt};

use canary_core::{Latencies, LatencyBucket};

use self::{calm_state::CalmState, coverage_state::CoverageState, evidence_state::EvidenceState};
use crate::{
    comparison::{Fresh, LATEST},
    judge::{Judge, JudgeError},
    levels::Levels,
    margins::Margin,
    monitor::Monitor,
    slot::{Record, Slot},
};

mod calm_state;
mod coverage_state;
mod evidence_state;

/// All the evidence of a [`Judge`], to be stored, so that a restart goes on with it.
///
/// It holds counts only, as integers, and the levels and margins, by which a judge recognizes the
/// state of another plan. With the feature `serde` it can be written in any format.
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
/// assert_eq!(other.to_string(), "the stored evidence has a monitor `share` that the plan has not");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct JudgeState {
    version: u32,
    alpha: f64,
    beta: f64,
    monitors: BTreeMap<String, MonitorState>,
}

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
struct MonitorState {
    watches: String,
    /// The ratio and the rate of worse, then those of good.
    margins: [f64; 4],
    whole: EvidenceState,
    calm: CalmState,
    fresh: Option<FreshState>,
    /// Calls of stable's by latency bucket; empty if they are not needed.
    stable_latencies: Vec<u64>,
    refused_keys: u64,
    impossible: u64,
    coverage: CoverageState,
}

#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
struct FreshState {
    begun: u32,
    starts: Vec<(u32, EvidenceState)>,
}

/// The version of the stored form. Another one is refused rather than guessed at.
const VERSION: u32 = 2;

impl Judge {
    /// The evidence, to be stored.
    #[must_use]
    pub fn state(&self) -> JudgeState {
        let monitors = self.slots.iter();
        JudgeState {
            version: VERSION,
            alpha: self.levels().alpha(),
            beta: self.levels().beta(),
            monitors: monitors
                .map(|slot| (slot.monitor.name().to_owned(), MonitorState::of(slot)))
                .collect(),
        }
    }

    /// A judge that goes on with stored evidence.
    ///
    /// The plan must be the one under which the evidence was collected: with margins or levels
    /// chosen after the fact the promised error rates would not hold.
    ///
    /// # Errors
    ///
    /// If no judge can work with the monitors, or the evidence is not theirs. Every error names
    /// what differs.
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
        for slot in &mut judge.slots {
            let name = || slot.monitor.name().to_owned();
            let Some(stored) = state.monitors.get(slot.monitor.name()) else {
                return Err(ResumeError::NotStored(name()));
            };
            if stored.watches != watches(&slot.monitor)
                || !are_close(&stored.margins, &margins(&slot.monitor))
            {
                return Err(ResumeError::MonitorDiffers(name()));
            }
            *slot = stored.restore(&slot.monitor).ok_or_else(|| ResumeError::Corrupt(name()))?;
        }
        Ok(judge)
    }
}

impl MonitorState {
    fn of(slot: &Slot) -> Self {
        let stable = &slot.stable;
        let calls = || LatencyBucket::all().map(|bucket| stable.calls(bucket)).collect();
        let (whole, calm, fresh, coverage) = match &slot.record {
            Record::Comparison(comparison) => {
                let of = |(number, evidence): &(u32, _)| (*number, EvidenceState::of(evidence));
                let fresh = comparison.fresh.as_ref().map(|fresh| FreshState {
                    begun: fresh.begun,
                    starts: fresh.starts.iter().map(of).collect(),
                });
                let coverage = CoverageState::of(&comparison.coverage);
                let calm = CalmState::of(&comparison.calm);
                (EvidenceState::of(&comparison.whole), calm, fresh, coverage)
            }
            Record::Split(share) => {
                let (calm, coverage) = (CalmState::default(), CoverageState::default());
                (EvidenceState::of_share(share), calm, None, coverage)
            }
        };
        let impossible = match &slot.record {
            Record::Comparison(_) => slot.impossible,
            Record::Split(share) => share.impossible,
        };
        Self {
            watches: watches(&slot.monitor),
            margins: margins(&slot.monitor),
            whole,
            calm,
            fresh,
            stable_latencies: if stable.total() > 0 { calls() } else { Vec::new() },
            refused_keys: slot.refused,
            impossible,
            coverage,
        }
    }

    /// None if the counts contradict each other.
    fn restore(&self, monitor: &Monitor) -> Option<Slot> {
        let mut slot = Slot::new(monitor.clone());
        slot.refused = self.refused_keys;
        slot.impossible = self.impossible;
        slot.stable = self.latencies()?;
        match &mut slot.record {
            Record::Comparison(comparison) => {
                comparison.whole = self.whole.restore(monitor)?;
                comparison.calm = self.calm.restore(monitor, &comparison.whole)?;
                comparison.coverage = self.coverage.restore()?;
                if let Some(fresh) = &self.fresh {
                    comparison.fresh = Some(fresh.restore(monitor)?);
                }
            }
            Record::Split(share) => {
                *share = self.whole.restore_share()?;
                share.impossible = std::mem::take(&mut slot.impossible);
            }
        }
        Some(slot)
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

impl FreshState {
    /// None if the starts are more than are kept, not in order, or more than were begun.
    fn restore(&self, monitor: &Monitor) -> Option<Fresh> {
        let numbers: Vec<u32> = self.starts.iter().map(|(number, _)| *number).collect();
        let are_rising = numbers.is_sorted_by(|one, next| one < next);
        let are_begun = numbers.iter().all(|number| (1..=self.begun).contains(number));
        if numbers.len() > LATEST || !are_rising || !are_begun {
            return None;
        }
        let starts =
            self.starts.iter().map(|(number, state)| Some((*number, state.restore(monitor)?)));
        Some(Fresh { begun: self.begun, starts: starts.collect::<Option<_>>()? })
    }
}

fn watches(monitor: &Monitor) -> String {
    format!("{:?} of {:?} by {:?}", monitor.measure(), monitor.class(), monitor.unit())
}

fn margins(monitor: &Monitor) -> [f64; 4] {
    let margins = monitor.margins();
    let [worse, good] =
        [margins.worse(), margins.good()].map(|Margin { ratio, rate }| [ratio, rate]);
    [worse[0], worse[1], good[0], good[1]]
}

/// Equal but for the last digits, which a text format may change.
fn are_close(some: &[f64], others: &[f64]) -> bool {
    some.iter().zip(others).all(|(one, other)| (one - other).abs() <= 1e-12 * one.abs())
}

/// Stored evidence that cannot be gone on with.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ResumeError {
    /// No judge can work with the monitors.
    Judge(JudgeError),
    /// The state was stored in another form.
    Version(u32),
    /// The evidence was collected for other error rates.
    LevelsDiffer,
    /// The stored evidence has a monitor of this name, the plan has not.
    NotInPlan(String),
    /// The plan has a monitor of this name, the stored evidence has not.
    NotStored(String),
    /// The monitor of this name watched something else, or by other margins.
    MonitorDiffers(String),
    /// The stored counts of the monitor of this name contradict each other.
    Corrupt(String),
}

impl fmt::Display for ResumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judge(_) => f.write_str("no judge can work with these monitors"),
            Self::Version(version) => {
                write!(f, "the evidence is stored in version {version}, expected {VERSION}")
            }
            Self::LevelsDiffer => f.write_str("the evidence was collected for other levels"),
            Self::NotInPlan(name) => {
                write!(f, "the stored evidence has a monitor `{name}` that the plan has not")
            }
            Self::NotStored(name) => write!(f, "there is no stored evidence of monitor `{name}`"),
            Self::MonitorDiffers(name) => {
                write!(f, "the stored evidence of monitor `{name}` is of another measure or margin")
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
