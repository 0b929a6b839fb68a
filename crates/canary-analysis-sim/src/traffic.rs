use std::time::Duration;

use canary_core::{Bucket, Channel, LatencyBucket, PerChannel, Weight};

use crate::{draws::Draws, schedule::Schedule, second::Second};
use canary_analysis::keys::KeyLedger;

/// What comes in, and how it goes.
///
/// Calls arrive at random at a steady rate. Each is the canary's with the probability of the
/// weight.
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

/// Times whose logarithm is normal, as response times roughly are.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the distribution has these two parameters")]
pub struct LogNormal {
    /// Half of the calls are faster.
    pub median: Duration,
    /// The standard deviation of the logarithm: 0.5 puts the 99th percentile at 3.2 medians.
    pub sigma: f64,
}

/// Outages of something that both channels depend on.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an option with all its parts")]
pub struct Outages {
    /// Seconds between two of them, on average.
    pub every: f64,
    /// Seconds that each lasts.
    pub lasts: f64,
    /// The part of the calls that fail meanwhile.
    pub failures: f64,
}

/// Sticky users, some of whom fail much more often than others.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an option with all its parts")]
pub struct Users {
    /// How many there are.
    pub count: u64,
    /// How many of them make the calls that fail: all failures are theirs.
    pub prone: u64,
    /// How often a failed call is tried again at once, and fails again.
    pub retries: u64,
}

impl Traffic {
    /// Traffic of so many calls a second, of which this part fails on both channels.
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

    /// Makes this part of the canary's calls fail.
    #[must_use]
    pub const fn with_canary_failures(mut self, failures: f64) -> Self {
        self.failures.canary = failures;
        self
    }

    /// Lets this part of the canary's calls never end. (Calls of users do.)
    #[must_use]
    pub const fn with_canary_hangs(mut self, part: f64) -> Self {
        self.canary_hangs = part;
        self
    }

    /// Lets the canary be as good as stable up to this second.
    #[must_use]
    pub const fn with_fault_at(mut self, second: u32) -> Self {
        self.fault_at = second;
        self
    }

    /// Times the calls; without, they are counted but not timed.
    #[must_use]
    pub const fn with_latency(mut self, latency: PerChannel<LogNormal>) -> Self {
        self.latency = Some(latency);
        self
    }

    /// Lets both failure rates go up and down by this part of themselves, over 20 minutes.
    #[must_use]
    pub const fn with_drift(mut self, part: f64) -> Self {
        self.drift = part;
        self
    }

    /// Adds outages of both channels.
    #[must_use]
    pub const fn with_outages(mut self, outages: Outages) -> Self {
        self.outages = Some(outages);
        self
    }

    /// Has sticky users make the calls.
    #[must_use]
    pub const fn with_users(mut self, users: Users) -> Self {
        self.users = Some(users);
        self
    }

    /// Spreads the calls over so many replicas, whose counts are merged.
    #[must_use]
    pub fn with_replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas.max(1);
        self
    }

    /// Whether the canary differs from stable in this second.
    pub(crate) const fn has_fault_at(&self, second: u32) -> bool {
        second >= self.fault_at
    }

    /// Runs a rollout, as long as `watch` wants to see more.
    pub(crate) fn run(
        &self,
        schedule: &Schedule,
        seed: u64,
        mut watch: impl FnMut(&Second) -> bool,
    ) {
        let mut source = Source::new(*self, seed);
        for (at, (step, weight)) in (0..).zip(schedule.seconds()) {
            if !watch(&source.second(at, step, weight)) {
                return;
            }
        }
    }
}

/// Traffic in the course of one rollout.
struct Source {
    traffic: Traffic,
    draws: Draws,
    /// Hashed with a key it gives the key's bucket.
    salt: u64,
    outage: (f64, f64),
    failed: KeyLedger,
    seen: KeyLedger,
}

impl Source {
    fn new(traffic: Traffic, seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let salt = draws.bits();
        let ledger = || KeyLedger::new(1_000_000);
        let mut source =
            Self { traffic, draws, salt, outage: (0.0, 0.0), failed: ledger(), seen: ledger() };
        source.plan_outage(0.0);
        source
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

    /// The part of each channel's calls that fails in this second.
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
        // The mean over all users is the rate that was asked for.
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

/// Scatters a number over 64 bits: the finalizer of SplitMix64.
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
