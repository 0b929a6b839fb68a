use std::time::Duration;

use canary_core::PerChannel;

use self::generator::Generator;
pub use self::{
    cold::{ColdStart, ColdUntil},
    law::Law,
    trouble::{Shape, Starts, Trouble},
    users::{Activity, Users},
    waiting::{Ending, Waiting},
};
use crate::{schedule::Schedule, second::Second};

mod cold;
mod generator;
mod law;
mod trouble;
mod users;
mod waiting;

/// The calls of a simulated service, and their results.
///
/// Calls arrive at random at a constant mean rate. Each is assigned to the canary with the
/// probability of the weight.
#[derive(Clone, Debug)]
pub struct Traffic {
    calls_per_second: f64,
    failures: PerChannel<f64>,
    latency: Option<PerChannel<LogNormal>>,
    drift: Drift,
    troubles: Vec<Trouble>,
    users: Option<Users>,
    replicas: u32,
    fault_at: u32,
    waiting: Option<Waiting>,
    cold: Option<ColdStart>,
    retries: u64,
    baseline: u32,
}

/// A log-normal distribution, similar to that of response times.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the distribution has these two parameters")]
pub struct LogNormal {
    /// The median.
    pub median: Duration,
    /// The standard deviation of the logarithm. With 0.5, the 99th percentile is 3.2 medians.
    pub sigma: f64,
}

/// Failure rates that rise and fall slowly, as a sine.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an option with all its parts")]
pub struct Drift {
    /// The amplitude as a fraction of the rates, `0.0..=1.0`.
    pub part: f64,
    /// The period in seconds.
    pub period: f64,
}

impl Traffic {
    /// Creates traffic with a rate of calls and the failure rate of both channels.
    #[must_use]
    pub const fn new(calls_per_second: f64, failures: f64) -> Self {
        Self {
            calls_per_second,
            failures: PerChannel { stable: failures, canary: failures },
            latency: None,
            drift: Drift { part: 0.0, period: 1200.0 },
            troubles: Vec::new(),
            users: None,
            replicas: 1,
            fault_at: 0,
            waiting: None,
            cold: None,
            retries: 0,
            baseline: 0,
        }
    }

    /// Sets the failure rate of the canary.
    #[must_use]
    pub const fn with_canary_failures(mut self, failures: f64) -> Self {
        self.failures.canary = failures;
        self
    }

    /// Sets the fraction of canary calls that never end. Calls of [`Users`] always end.
    #[must_use]
    pub const fn with_canary_hangs(self, part: f64) -> Self {
        let part = PerChannel { stable: 0.0, canary: part };
        self.with_waiting(Waiting { part, lasts: None, ending: Ending::Cancelled })
    }

    /// Adds calls that have no answer for a while. Calls of [`Users`] always end at once.
    #[must_use]
    pub const fn with_waiting(mut self, waiting: Waiting) -> Self {
        self.waiting = Some(waiting);
        self
    }

    /// Makes the canary as good as stable until this second.
    #[must_use]
    pub const fn with_fault_at(mut self, second: u32) -> Self {
        self.fault_at = second;
        self
    }

    /// Adds latencies to the calls, which have none by default.
    #[must_use]
    pub const fn with_latency(mut self, latency: PerChannel<LogNormal>) -> Self {
        self.latency = Some(latency);
        self
    }

    /// Adds latencies unless the calls have some.
    pub(crate) fn or_latency(mut self, latency: PerChannel<LogNormal>) -> Self {
        self.latency.get_or_insert(latency);
        self
    }

    /// Makes both failure rates rise and fall.
    #[must_use]
    pub const fn with_drift(mut self, drift: Drift) -> Self {
        self.drift = drift;
        self
    }

    /// Adds a trouble to those that the traffic has.
    #[must_use]
    pub fn with_trouble(mut self, trouble: Trouble) -> Self {
        self.troubles.push(trouble);
        self
    }

    /// Makes the canary cold at first.
    #[must_use]
    pub const fn with_cold_start(mut self, cold: ColdStart) -> Self {
        self.cold = Some(cold);
        self
    }

    /// Makes the callers sticky users.
    #[must_use]
    pub const fn with_users(mut self, users: Users) -> Self {
        self.users = Some(users);
        self
    }

    /// Repeats each failed call this many times. Each repetition is assigned by chance again, and
    /// fails at the rate of its channel.
    #[must_use]
    pub const fn with_retries(mut self, retries: u64) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the number of replicas. Their counts are merged.
    #[must_use]
    pub fn with_replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas.max(1);
        self
    }

    /// Sets the number of seconds before the rollout in which the rule observes stable.
    #[must_use]
    pub const fn with_baseline(mut self, seconds: u32) -> Self {
        self.baseline = seconds;
        self
    }

    /// Returns whether the canary differs from stable in this second.
    pub(crate) const fn has_fault_at(&self, second: u32) -> bool {
        second >= self.fault_at
    }

    /// Runs a rollout until `watch` returns `false`. `before` gets the seconds before the rollout.
    pub(crate) fn run(
        &self,
        schedule: &Schedule,
        seed: u64,
        mut before: impl FnMut(&Second),
        mut watch: impl FnMut(&Second) -> bool,
    ) {
        let mut generator = Generator::new(self, seed);
        (0..self.baseline).for_each(|_| before(&generator.second_before()));
        for (at, (step, weight)) in (0..).zip(schedule.seconds()) {
            if !watch(&generator.second(at, step, weight)) {
                return;
            }
        }
    }
}
