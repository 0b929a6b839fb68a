use std::collections::BTreeMap;

pub use self::error::ResumeError;
use self::stored_monitor::StoredMonitor;
use crate::{
    background::BackgroundState, baseline::Baseline, judge::Judge, levels::Levels, margins::Margin,
    monitor::Monitor,
};

mod block_bets;
mod completeness;
mod error;
mod evidence;
mod outage_filter;
mod restarts;
mod stored_monitor;
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
    /// The latest step that has begun.
    #[cfg_attr(feature = "serde", serde(default = "first_step", skip_serializing_if = "is_first"))]
    step: usize,
    monitors: BTreeMap<String, StoredMonitor>,
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
            step: self.step(),
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
                || stored.starting_step != monitor_state.monitor.starting_step()
                || !are_close(&stored.margins, &margins(&monitor_state.monitor))
            {
                return Err(ResumeError::MonitorDiffers(name()));
            }
            *monitor_state = stored
                .restore(&monitor_state.monitor)
                .ok_or_else(|| ResumeError::Corrupt(name()))?;
        }
        judge.reach_step(state.step);
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

/// Identifies what a monitor watches.
pub(crate) fn watches(monitor: &Monitor) -> String {
    let (measure, class, unit) = (monitor.measure(), monitor.class(), monitor.unit());
    let limit = monitor.limit().map(|limit| format!(" at most {limit}")).unwrap_or_default();
    format!("{measure:?} of {class:?} by {unit:?} after {:?}{limit}", monitor.warm_up())
}

/// The step of a state that names none.
#[cfg(feature = "serde")]
const fn first_step() -> usize {
    1
}

#[cfg(feature = "serde")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first(step: &usize) -> bool {
    *step == 1
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
