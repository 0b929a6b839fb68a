use super::evidence_state::{Events, restored, stored};
use crate::{
    calm::Calm,
    evidence::Evidence,
    monitor::{Monitor, Unit},
    weather::{MOST_STORMS, STORM, Weather},
};

/// The counts of the proof without storms, and what tells storms from calm.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct CalmState {
    events: Events,
    /// All trials, then the adverse ones.
    trials: [u64; 2],
    all: WeatherState,
    stable: WeatherState,
}

#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
struct WeatherState {
    calls: u64,
    adverse: u64,
    excess: u64,
    storms: u32,
}

impl CalmState {
    pub(super) fn of(calm: &Calm) -> Self {
        Self {
            events: stored(&calm.proof.odds),
            trials: [calm.proof.trials, calm.proof.adverse],
            all: WeatherState::of(calm.all),
            stable: WeatherState::of(calm.stable),
        }
    }

    /// None if the counts contradict each other, or the `whole` of which they are a part.
    pub(super) fn restore(&self, monitor: &Monitor, whole: &Evidence) -> Option<Calm> {
        let mut calm = Calm::new(monitor);
        calm.proof.odds.merge(&restored(&self.events)?);
        let [trials, adverse] = self.trials;
        calm.proof.try_out(trials, adverse);
        let (part, all) = (calm.proof.odds.total(), whole.good.odds.total());
        let is_part = part.stable <= all.stable
            && part.canary <= all.canary
            && trials <= whole.good.trials
            && adverse <= whole.good.adverse;
        calm.all = self.all.restore(monitor)?;
        calm.stable = self.stable.restore(monitor)?;
        is_part.then_some(calm)
    }
}

impl WeatherState {
    const fn of(weather: Weather) -> Self {
        let Weather { calls, adverse, excess, storms } = weather;
        Self { calls, adverse, excess, storms }
    }

    fn restore(&self, monitor: &Monitor) -> Option<Weather> {
        let Self { calls, adverse, excess, storms } = *self;
        // Keys that are hit may have been tossed at several weights.
        let is_rate = monitor.unit() == Unit::Keys || adverse <= calls;
        let can_be = is_rate && excess <= STORM && storms <= MOST_STORMS;
        can_be.then_some(Weather { calls, adverse, excess, storms })
    }
}
