use std::time::Duration;

use canary_core::{Bucket, Channel, LatencyBucket, PerChannel, Weight};

use crate::{draws::Draws, schedule::Schedule, second::Second};
use canary_analysis::keys::KeyLedger;

/// The calls of a simulated service, and their results.
///
/// Calls arrive at random at a constant mean rate. Each is assigned to the canary with the
/// probability of the weight.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    calls_per_second: f64,
    failures: PerChannel<f64>,
    latency: Option<PerChannel<LogNormal>>,
    drift: f64,
    outages: Option<Outages>,
    users: Option<Users>,
    replicas: u32,
    fault_at: u32,
    canary_hangs: f64,
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

/// Outages of a dependency of both channels.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an option with all its parts")]
pub struct Outages {
    /// The mean time between two outages, in seconds.
    pub every: f64,
    /// The duration of an outage, in seconds.
    pub lasts: f64,
    /// The failure rate during an outage.
    pub failures: f64,
}

/// Sticky users. A few of them have all the failures.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an option with all its parts")]
pub struct Users {
    /// The number of users.
    pub count: u64,
    /// The number of users whose calls can fail.
    pub prone: u64,
    /// The number of times that a failed call is retried at once, without success.
    pub retries: u64,
}

impl Traffic {
    /// Creates traffic with a rate of calls and the failure rate of both channels.
    #[must_use]
    pub const fn new(calls_per_second: f64, failures: f64) -> Self {
        Self {
            calls_per_second,
            failures: PerChannel { stable: failures, canary: failures },
            latency: None,
            drift: 0.0,
            outages: None,
            users: None,
            replicas: 1,
            fault_at: 0,
            canary_hangs: 0.0,
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
    pub const fn with_canary_hangs(mut self, part: f64) -> Self {
        self.canary_hangs = part;
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

    /// Makes both failure rates oscillate by this fraction, with a period of 20 minutes.
    #[must_use]
    pub const fn with_drift(mut self, part: f64) -> Self {
        self.drift = part;
        self
    }

    /// Adds outages.
    #[must_use]
    pub const fn with_outages(mut self, outages: Outages) -> Self {
        self.outages = Some(outages);
        self
    }

    /// Makes the callers sticky users.
    #[must_use]
    pub const fn with_users(mut self, users: Users) -> Self {
        self.users = Some(users);
        self
    }

    /// Sets the number of replicas. Their counts are merged.
    #[must_use]
    pub fn with_replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas.max(1);
        self
    }

    /// Returns whether the canary differs from stable in this second.
    pub(crate) const fn has_fault_at(&self, second: u32) -> bool {
        second >= self.fault_at
    }

    /// Runs a rollout until `watch` returns `false`.
    pub(crate) fn run(
        &self,
        schedule: &Schedule,
        seed: u64,
        mut watch: impl FnMut(&Second) -> bool,
    ) {
        let mut generator = Generator::new(*self, seed);
        for (at, (step, weight)) in (0..).zip(schedule.seconds()) {
            if !watch(&generator.second(at, step, weight)) {
                return;
            }
        }
    }
}

/// The traffic of one rollout.
struct Generator {
    traffic: Traffic,
    draws: Draws,
    /// The salt of the hash that assigns users to buckets.
    salt: u64,
    outage: (f64, f64),
    failed: KeyLedger,
    seen: KeyLedger,
}

impl Generator {
    fn new(traffic: Traffic, seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let salt = draws.bits();
        let ledger = || KeyLedger::new(1_000_000);
        let mut generator =
            Self { traffic, draws, salt, outage: (0.0, 0.0), failed: ledger(), seen: ledger() };
        generator.plan_outage(0.0);
        generator
    }

    fn second(&mut self, at: u32, step: u64, weight: Weight) -> Second {
        let mut second = Second::new(at, step, weight);
        let rates = self.rates(at);
        let mean = self.traffic.calls_per_second / f64::from(self.traffic.replicas);
        for _ in 0..self.traffic.replicas {
            let calls = self.draws.arrivals(mean);
            if let Some(users) = self.traffic.users {
                (0..calls).for_each(|_| self.call_of_user(&mut second, users, rates));
                continue;
            }
            let canary = self.draws.of(calls, weight.ratio());
            let mut of = PerChannel { stable: calls - canary, canary };
            if self.traffic.canary_hangs > 0.0 {
                let hanging = self.draws.of(canary, self.traffic.canary_hangs);
                second.hang(Channel::Canary, hanging);
                of.canary -= hanging;
            }
            for channel in Channel::ALL {
                second.add(channel, of[channel], self.draws.of(of[channel], rates[channel]));
            }
        }
        self.time(&mut second);
        second.take_keys(&mut self.failed, &mut self.seen);
        second
    }

    /// Returns the failure rate of each channel in this second.
    fn rates(&mut self, at: u32) -> PerChannel<f64> {
        let seconds = f64::from(at);
        if seconds >= self.outage.1 {
            self.plan_outage(seconds);
        }
        if let Some(outages) = self.traffic.outages
            && (self.outage.0..self.outage.1).contains(&seconds)
        {
            return PerChannel { stable: outages.failures, canary: outages.failures };
        }
        let wave = 1.0 + self.traffic.drift * (seconds * std::f64::consts::TAU / 1200.0).sin();
        let mut rates = self.traffic.failures;
        if at < self.traffic.fault_at {
            rates.canary = rates.stable;
        }
        PerChannel { stable: rates.stable * wave, canary: rates.canary * wave }
    }

    fn plan_outage(&mut self, after: f64) {
        if let Some(Outages { every, lasts, .. }) = self.traffic.outages {
            let from = after + self.draws.wait(every);
            self.outage = (from, from + lasts);
        } else {
            self.outage = (f64::INFINITY, f64::INFINITY);
        }
    }

    fn call_of_user(&mut self, second: &mut Second, users: Users, rates: PerChannel<f64>) {
        let user = self.draws.below(users.count);
        let key = mix(user ^ self.salt);
        let weight = second.weight();
        let is_canary = weight.admits(Bucket::from_hash(key));
        let channel = if is_canary { Channel::Canary } else { Channel::Stable };
        self.seen.record(key, channel, weight);
        // The mean over all users is the configured rate.
        #[expect(clippy::cast_precision_loss, reason = "a few million users at most")]
        let concentration = users.count as f64 / users.prone as f64;
        let fails = user < users.prone && self.draws.is(rates[channel] * concentration);
        let (calls, failures) = if fails { (1 + users.retries, 1 + users.retries) } else { (1, 0) };
        for _ in 0..failures {
            self.failed.record(key, channel, weight);
        }
        second.add(channel, calls, failures);
    }

    fn time(&mut self, second: &mut Second) {
        let Some(latency) = self.traffic.latency else { return };
        for channel in Channel::ALL {
            let LogNormal { median, sigma } = latency[channel];
            for _ in 0..second.calls(channel) {
                let factor = (sigma * self.draws.normal()).exp();
                let bucket = LatencyBucket::of(median.mul_f64(factor));
                second.counts.counts.evidence[channel].head.add(bucket, 1);
            }
        }
    }
}

/// Hashes a number with the finalizer of SplitMix64.
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
