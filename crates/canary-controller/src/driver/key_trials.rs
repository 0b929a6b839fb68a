use canary_analysis::{Measure, Monitor, Until};
use serde::{Deserialize, Serialize};
use tower_canary::control::KeyEvent;

/// The trials of some monitors per key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Trials {
    /// The route class, or `None` for all routes.
    class: Option<String>,
    pub(super) kind: TrialKind,
    is_without_key: bool,
    /// The step from which on the monitors judge.
    #[serde(default = "first_step", skip_serializing_if = "is_first")]
    pub(super) step: usize,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum TrialKind {
    /// A call was assigned.
    Assigned,
    /// This part of a call is over.
    Over(Until),
    /// A call was rated by this event of the application, or by the feedback of a user.
    Rated(Option<String>),
}

impl Trials {
    pub(super) fn of(monitor: &Monitor) -> Self {
        let class = monitor.class().map(str::to_owned);
        Self {
            class,
            kind: TrialKind::of(monitor),
            is_without_key: monitor.is_without_key(),
            step: monitor.starting_step(),
        }
    }

    /// Returns whether the event is of a call or key that these trials are about.
    pub(super) fn are_of(&self, event: &KeyEvent) -> bool {
        let class = event.class.as_ref().map(|class| class.as_str());
        (self.class.is_none() || self.class.as_deref() == class)
            && self.is_without_key == event.key.is_none()
    }

    /// Returns whether the event is a trial.
    pub(super) fn include(&self, event: &KeyEvent) -> bool {
        let activity = &event.activity;
        let is_trial = match self.kind {
            TrialKind::Assigned => activity.picked,
            TrialKind::Over(Until::End) => activity.slowest_end.is_some(),
            TrialKind::Over(_) => activity.slowest_head.is_some(),
            TrialKind::Rated(_) => false,
        };
        is_trial && self.are_of(event)
    }
}

impl TrialKind {
    pub(super) fn of(monitor: &Monitor) -> Self {
        match monitor.measure() {
            Measure::Slow(until, _) => Self::Over(*until),
            Measure::Feedback => Self::Rated(None),
            Measure::Event(name) => Self::Rated(Some(name.clone())),
            _ => Self::Assigned,
        }
    }
}

const fn first_step() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first(step: &usize) -> bool {
    *step == 1
}
