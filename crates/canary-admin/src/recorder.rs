//! The recent past of a canary, for charts.

mod point;
mod ring;
mod tally;

use std::{collections::VecDeque, time::Duration};

use canary_controller::{Status, Timestamp};
use canary_core::PerChannel;

pub(crate) use self::tally::Rates;
use self::{point::Point, ring::Ring, tally::Tallies};

/// Keeps the past of a canary in three resolutions: seconds for five minutes, ten seconds for an hour,
/// and minutes for a day.
///
/// Each resolution computes its quantiles from its own differences of counts, because the quantile of
/// a minute is not the mean of those of its seconds.
pub(crate) struct Recorder {
    levels: [Level; 3],
    /// The counts of the last seconds, for the rates that the view shows.
    recent: VecDeque<Tallies>,
}

struct Level {
    ring: Ring,
    /// The counts at the end of the latest point.
    last: Option<Tallies>,
}

impl Recorder {
    /// Adds the state of a canary.
    pub(crate) fn record(&mut self, status: &Status) {
        let tallies = Tallies::of(status);
        for level in &mut self.levels {
            level.record(status, &tallies);
        }
        // A status can also follow a command. The clock can jump.
        let is_next = |last: &Tallies| {
            tallies.at.since(last.at).as_millis() >= MIN_GAP_MS || tallies.at < last.at
        };
        if self.recent.back().is_none_or(is_next) {
            // A controller at rest publishes a status every five or ten seconds.
            let is_old = |it: &Tallies| tallies.at.since(it.at) >= RECENT || tallies.at < it.at;
            while self.recent.get(1).is_some_and(is_old) {
                self.recent.pop_front();
            }
            self.recent.push_back(tallies);
        }
    }

    /// Returns the rates of the last ten seconds.
    pub(crate) fn rates(&self) -> PerChannel<Rates> {
        match (self.recent.front(), self.recent.back()) {
            (Some(first), Some(last)) => last.rates_since(first),
            _ => PerChannel::default(),
        }
    }

    /// Returns the canary's fraction of the calls of the last ten seconds.
    pub(crate) fn observed_share(&self) -> Option<f64> {
        let (first, last) = (self.recent.front()?, self.recent.back()?);
        last.share_since(first)
    }

    /// Returns the points of a resolution whose time ends after `since`.
    pub(crate) fn points(
        &self,
        step_s: u32,
        since: Option<Timestamp>,
    ) -> Option<canary_api::Points> {
        let level = self.levels.iter().find(|level| level.ring.step_s() == step_s)?;
        Some(level.ring.points(since))
    }

    /// The resolutions in seconds.
    pub(crate) const STEPS: [u32; 3] = [1, 10, 60];
}

impl Default for Recorder {
    fn default() -> Self {
        let [seconds, tens, minutes] = Self::STEPS;
        let level = |step_s, most| Level { ring: Ring::new(step_s, most), last: None };
        Self {
            levels: [level(seconds, 300), level(tens, 360), level(minutes, 1440)],
            recent: VecDeque::new(),
        }
    }
}

impl Level {
    fn record(&mut self, status: &Status, now: &Tallies) {
        let Some(last) = &self.last else {
            self.last = Some(now.clone());
            return;
        };
        let step_ms = u128::from(self.ring.step_s()) * 1000;
        let passed = now.at.since(last.at).as_millis();
        // A tenth less, because ticks are not exact.
        if now.at < last.at || passed * 10 < step_ms * 9 {
            if now.at < last.at {
                self.last = Some(now.clone());
            }
            return;
        }
        self.ring.push(&Point::between(last, now, status), status);
        self.last = Some(now.clone());
    }
}

/// The time over which the view's rates are taken.
const RECENT: Duration = Duration::from_secs(10);

/// The least time between two recent counts.
const MIN_GAP_MS: u128 = 900;

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use canary_controller::{Controller, Managed, Plan, store::MemoryStore};
    use http::{Request, Response};
    use tower::{Layer, ServiceExt, service_fn};
    use tower_canary::{CanaryLayer, CanaryOptions};

    use super::*;

    #[tokio::test]
    async fn the_rates_of_a_canary_at_rest_are_those_of_ten_seconds() {
        let service = service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
        let layer = CanaryLayer::with_options("shop", service, options);
        let controller = Controller::new(MemoryStore::new());
        let rollout = controller.add(Managed::by_hand(layer.handle())).unwrap();
        let mut status = (*rollout.status()).clone();
        let (began, mut recorder) = (status.at, Recorder::default());
        recorder.record(&status);
        for _ in 0..40 {
            drop(layer.layer(service).oneshot(Request::new(())).await);
        }
        status.counts = layer.handle().counts();
        // One status each second, and then one for each ten.
        for (seconds, rate) in [(1, 40.0), (2, 20.0), (12, 0.0), (22, 0.0)] {
            status.at = began + Duration::from_secs(seconds);
            recorder.record(&status);
            let rates = recorder.rates().stable;
            assert!((rates.calls_per_second - rate).abs() < 0.01, "{seconds} s: {rates:?}");
            assert_eq!(rates.failure_rate.is_some(), rate > 0.0, "{seconds} s: {rates:?}");
        }
    }

    #[tokio::test]
    async fn a_full_recorder_with_the_most_monitors_has_less_than_500_kb() {
        let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
        let layer = CanaryLayer::with_options("shop", (), options);
        let monitors: String = (0..13)
            .map(|index| format!("{{ measure = 'failures', name = 'failures {index}' }},"))
            .collect();
        let plan = format!("steps = [{{ weight = '1%' }}]\nmonitors = [{monitors}]");
        let plan = Plan::from_toml(&plan).unwrap();
        let controller = Controller::new(MemoryStore::new());
        let rollout = controller.add(Managed::new(layer.handle(), plan)).unwrap();
        let mut status = (*rollout.status()).clone();
        let findings = status.judgment.findings.clone();
        for index in 0..20 {
            let mut finding = findings[0].clone();
            finding.monitor = format!("monitor {index}");
            Arc::make_mut(&mut status.judgment).findings.push(finding);
        }
        let mut recorder = Recorder::default();
        let memory = allocation_counter::measure(|| {
            for _ in 0..2000 {
                status.at = status.at + Duration::from_secs(60);
                recorder.record(&status);
            }
        });
        let points = [1, 10, 60].map(|step| recorder.points(step, None).unwrap().at_ms.len());
        assert_eq!(points, [300, 360, 1440]);
        assert!(memory.bytes_current < 500_000, "{} bytes", memory.bytes_current);
    }
}
