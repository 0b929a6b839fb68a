use canary_analysis::keys::KeyLedger;
use canary_core::{Bucket, Channel, ChannelCounts, LatencyBucket, PerChannel, Weight};

use super::{
    Drift, Law, LogNormal, Traffic, Users,
    trouble::{Affected, TroubleState},
    waiting::{Ending, Pending, Waiting},
};
use crate::{draws::Draws, second::Second};

/// The traffic of one rollout.
pub(super) struct Generator<'a> {
    traffic: &'a Traffic,
    draws: Draws,
    /// The salt of the hash that assigns users to buckets.
    salt: u64,
    troubles: Vec<TroubleState>,
    pending: Vec<Pending>,
    /// The second, from the negative length of the baseline.
    now: f64,
    canary_calls: u64,
    failed: KeyLedger,
    seen: KeyLedger,
}

impl<'a> Generator<'a> {
    pub(super) fn new(traffic: &'a Traffic, seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let salt = draws.bits();
        let now = -f64::from(traffic.baseline);
        let troubles = traffic.troubles.iter();
        let troubles =
            troubles.map(|trouble| TroubleState::new(*trouble, now, &mut draws)).collect();
        let ledger = || KeyLedger::new(1_000_000);
        let (pending, canary_calls) = (Vec::new(), 0);
        let (failed, seen) = (ledger(), ledger());
        Self { traffic, draws, salt, troubles, pending, now, canary_calls, failed, seen }
    }

    /// Returns the next second before the rollout.
    pub(super) fn second_before(&mut self) -> Second {
        self.second(0, u64::MAX, Weight::ZERO)
    }

    /// Returns the next second. `at` is its number since the start of the rollout.
    pub(super) fn second(&mut self, at: u32, step: u64, weight: Weight) -> Second {
        let mut second = Second::new(at, step, weight);
        let affected = self.affected();
        let rates = self.rates(at, &affected);
        self.end_pending(&mut second);
        let mean = self.traffic.calls_per_second / f64::from(self.traffic.replicas);
        for _ in 0..self.traffic.replicas {
            let calls = self.draws.arrivals(mean);
            if let Some(users) = self.traffic.users {
                (0..calls).for_each(|_| self.call_of_user(&mut second, users, rates));
                continue;
            }
            let failures = self.assign(&mut second, calls, rates, &affected);
            if self.traffic.retries > 0 {
                self.assign(&mut second, failures * self.traffic.retries, rates, &affected);
            }
        }
        self.canary_calls += second.calls(Channel::Canary);
        self.time(&mut second, &affected);
        second.take_keys(&mut self.failed, &mut self.seen);
        self.now += 1.0;
        second
    }

    /// Assigns calls to the channels, and returns the number of failures.
    fn assign(
        &mut self,
        second: &mut Second,
        calls: u64,
        rates: PerChannel<f64>,
        affected: &PerChannel<Affected>,
    ) -> u64 {
        let canary = self.draws.of(calls, second.weight().ratio());
        let mut of = PerChannel { stable: calls - canary, canary };
        let hanging = Waiting {
            part: PerChannel::from_fn(|channel| affected[channel].hang),
            lasts: Some(Law::Fixed(60.0)),
            ending: Ending::Cancelled,
        };
        for waiting in self.traffic.waiting.into_iter().chain([hanging]) {
            for channel in Channel::ALL {
                of[channel] -= self.wait(second, waiting, channel, of[channel]);
            }
        }
        let mut all = 0;
        for channel in Channel::ALL {
            let failures = self.draws.of(of[channel], rates[channel]);
            second.add(channel, of[channel], failures);
            all += failures;
        }
        all
    }

    /// Returns the sum of the effects of all troubles in this second.
    fn affected(&mut self) -> PerChannel<Affected> {
        let mut all = PerChannel::<Affected>::default();
        for trouble in &mut self.troubles {
            let affected = trouble.affected(self.now, &mut self.draws);
            for channel in Channel::ALL {
                let (sum, more) = (&mut all[channel], affected[channel]);
                sum.fails += (1.0 - sum.fails) * more.fails;
                sum.slow += (1.0 - sum.slow) * more.slow;
                sum.hang += (1.0 - sum.hang) * more.hang;
                sum.slow_by = sum.slow_by.max(more.slow_by);
            }
        }
        all
    }

    /// Returns the failure rate of each channel in this second.
    fn rates(&self, at: u32, affected: &PerChannel<Affected>) -> PerChannel<f64> {
        let Drift { part, period } = self.traffic.drift;
        let wave = 1.0 + part * (self.now * std::f64::consts::TAU / period).sin();
        let mut rates = self.traffic.failures;
        if !self.traffic.has_fault_at(at) {
            rates.canary = rates.stable;
        }
        let cold = self.cold();
        PerChannel::from_fn(|channel| {
            let also = |one: f64, other: f64| one + (1.0 - one) * other;
            let rate = also((rates[channel] * wave).min(1.0), affected[channel].fails);
            match self.traffic.cold {
                Some(start) if channel == Channel::Canary => also(rate, cold * start.fails),
                _ => rate,
            }
        })
    }

    /// Returns how cold the canary is now.
    fn cold(&self) -> f64 {
        self.traffic.cold.map_or(0.0, |cold| cold.level(self.now, self.canary_calls))
    }

    /// Lets some of these calls wait, and returns their number.
    fn wait(&mut self, second: &mut Second, waiting: Waiting, channel: Channel, of: u64) -> u64 {
        let Waiting { part, lasts, ending } = waiting;
        if part[channel] <= 0.0 {
            return 0;
        }
        let calls = self.draws.of(of, part[channel]);
        second.hang(channel, calls);
        let (step, weight) = (second.counts.epoch, second.weight());
        let began = self.now;
        for _ in 0..calls {
            let ends = lasts.map_or(f64::INFINITY, |lasts| began + lasts.draw(&mut self.draws));
            self.pending.push(Pending { began, ends, step, weight, channel, ending });
        }
        calls
    }

    /// Counts the waiting calls that end or reach an age.
    fn end_pending(&mut self, second: &mut Second) {
        let now = self.now;
        self.pending.retain(|call| {
            for age in call.reached(now) {
                counts_of(second, call).unanswered[age] += 1;
            }
            if call.ends <= now {
                let counts = counts_of(second, call);
                match call.ending {
                    Ending::Success => counts.success += 1,
                    Ending::Failure => counts.failure += 1,
                    Ending::Cancelled => counts.cancelled += 1,
                }
            }
            call.is_counted_after(now)
        });
    }

    fn call_of_user(&mut self, second: &mut Second, users: Users, rates: PerChannel<f64>) {
        let user = users.draw(&mut self.draws);
        let key = mix(user ^ self.salt);
        let weight = second.weight();
        let is_canary = weight.admits(Bucket::from_hash(key));
        let channel = if is_canary { Channel::Canary } else { Channel::Stable };
        self.seen.record(key, channel, weight);
        // With equally active users, the mean over all of them is the configured rate.
        #[expect(clippy::cast_precision_loss, reason = "a few million users at most")]
        let concentration = users.count as f64 / users.prone as f64;
        let fails = user < users.prone && self.draws.is(rates[channel] * concentration);
        let (calls, failures) = if fails { (1 + users.retries, 1 + users.retries) } else { (1, 0) };
        for _ in 0..failures {
            self.failed.record(key, channel, weight);
        }
        second.add(channel, calls, failures);
    }

    fn time(&mut self, second: &mut Second, affected: &PerChannel<Affected>) {
        let Some(latency) = self.traffic.latency else { return };
        let cold = self.cold();
        for channel in Channel::ALL {
            let LogNormal { median, sigma } = latency[channel];
            let Affected { slow, slow_by, .. } = affected[channel];
            let slower = match self.traffic.cold {
                Some(start) if channel == Channel::Canary => 1.0 + cold * (start.slower - 1.0),
                _ => 1.0,
            };
            let counts = &second.counts.counts.evidence[channel];
            for _ in 0..counts.success + counts.failure {
                let factor = slower * (sigma * self.draws.normal()).exp();
                let mut took = median.mul_f64(factor);
                if slow > 0.0 && self.draws.is(slow) {
                    took += slow_by;
                }
                second.counts.counts.evidence[channel].head.add(LatencyBucket::of(took), 1);
            }
        }
    }
}

/// Returns the counts of the step in which the call began.
fn counts_of<'a>(second: &'a mut Second, call: &Pending) -> &'a mut ChannelCounts {
    &mut second.of_step(call.step, call.weight).evidence[call.channel]
}

/// Hashes a number with the finalizer of SplitMix64.
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
