use crate::log_space::float;

/// Detects bursts: looks at which far more calls than usual are adverse.
///
/// It is a CUSUM: it sums the adverse events in excess of a limit and never falls below zero. An
/// excess of five events is a burst, until the sum falls again. So one look at many calls and many
/// looks at one call each find the same bursts. Bursts by chance are rare: one in 100,000 events at
/// the usual rate, one in 500 at twice that rate.
///
/// The limit is four times the odds of the rate so far outside bursts, or of the `floor` if that is
/// higher. A lasting rate becomes the usual one: the limit doubles with every 30 looks in a burst,
/// and each look outside takes back one of them. With a floor of 0.5 %, a service that fails 30 %
/// of calls from the start counts as usual after 134 looks. A service that fails every call never
/// does.
///
/// The result for a look depends on the totals of this look and of earlier ones only. This keeps
/// bets on the looks outside bursts fair, see `OutageFilter`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BurstDetector {
    /// Calls and adverse events outside bursts.
    pub(crate) calls: u64,
    pub(crate) adverse: u64,
    /// Adverse events in excess of the limit, in millionths.
    pub(crate) excess: u64,
    /// Looks in bursts that looks outside have not taken back.
    pub(crate) burst_looks: u32,
}

impl BurstDetector {
    pub(crate) const NEW: Self = Self { calls: 0, adverse: 0, excess: 0, burst_looks: 0 };

    /// Adds one look and returns whether it is outside bursts, as a look without calls always is.
    pub(crate) fn observe(&mut self, floor: f64, calls: u64, adverse: u64) -> bool {
        if calls == 0 {
            return true;
        }
        let expected = u128::from(calls) * u128::from(self.limit_ppm(floor));
        let excess = u128::from(self.excess) + u128::from(adverse) * 1_000_000;
        let excess = u64::try_from(excess.saturating_sub(expected)).unwrap_or(u64::MAX);
        self.excess = excess.min(BURST_EXCESS);
        if self.excess == BURST_EXCESS {
            self.burst_looks = self.burst_looks.saturating_add(1).min(MAX_BURST_LOOKS);
            return false;
        }
        self.burst_looks = self.burst_looks.saturating_sub(1);
        self.calls = self.calls.saturating_add(calls);
        self.adverse = self.adverse.saturating_add(adverse);
        true
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the limit is within 0 to 1,000,000"
    )]
    fn limit_ppm(&self, floor: f64) -> u64 {
        let so_far = if self.calls == 0 { 0.0 } else { float(self.adverse) / float(self.calls) };
        let usual = so_far.clamp(floor, 1.0);
        let factor = ODDS_FACTOR * (f64::from(self.burst_looks) / LOOKS_TO_DOUBLE).exp2();
        // The rate at `factor` times the odds of `usual`.
        let limit = 1.0 / (1.0 + (1.0 - usual) / (usual * factor));
        (1e6 * limit).round() as u64
    }
}

/// The limit as a multiple of the usual odds. With a lower factor, the rise of failures at the
/// daily peak would count as an outage, and its evidence would be lost. With a higher one, short
/// disturbances that bring most of the events would be included.
const ODDS_FACTOR: f64 = 4.0;

/// Looks in a burst after which the limit has doubled.
const LOOKS_TO_DOUBLE: f64 = 30.0;

/// The excess that makes a burst, five events, in millionths. This many events of each burst are
/// included before it is detected. They are too few for a proof, which would take 80 events of
/// outages at a weight of 50 %, 170 at 10 %, 1,600 at 1 %. In simulations of an hour with 5 calls a
/// second and an outage every five minutes, 2.3 % of canaries at the margin were called healthy;
/// with an excess of ten events, 9.8 %.
pub(crate) const BURST_EXCESS: u64 = 5_000_000;

/// The limit is then 2^24 times as high. The maximum bounds the number of looks outside bursts that
/// lower the limit again.
pub(crate) const MAX_BURST_LOOKS: u32 = 720;

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: f64 = 0.005;

    /// Returns the number of equal looks until the first one outside bursts.
    fn usual_after(detector: &mut BurstDetector, calls: u64, adverse: u64) -> Option<u32> {
        (1..10_000).find(|_| detector.observe(FLOOR, calls, adverse))
    }

    #[test]
    fn an_outage_is_a_burst_at_any_number_of_calls_per_look() {
        for calls in [1, 5, 50, 100_000] {
            let mut detector = BurstDetector::NEW;
            let usual =
                (0..200_000 / calls).filter(|_| detector.observe(FLOOR, calls, calls / 500));
            assert_eq!(usual.count(), usize::try_from(200_000 / calls).unwrap(), "{calls}");
            let included: u64 = (0..60)
                .map(|_| if detector.observe(FLOOR, calls, calls) { calls } else { 0 })
                .sum();
            assert!(included <= 5, "{included} events of a burst in looks of {calls} calls");
            assert!(detector.observe(FLOOR, calls, 0), "{calls}");
        }
    }

    #[test]
    fn a_lasting_rate_becomes_usual() {
        let mut detector = BurstDetector::NEW;
        let after = usual_after(&mut detector, 50, 15).unwrap();
        assert_eq!(after, 134);
        let usual = (0..100).filter(|_| detector.observe(FLOOR, 50, 15)).count();
        assert_eq!(usual, 100);
        assert_eq!(usual_after(&mut { BurstDetector::NEW }, 50, 50), None, "everything fails");
    }

    #[test]
    fn a_lasting_rise_becomes_usual_after_a_long_quiet_time_too() {
        let mut detector = BurstDetector::NEW;
        assert!((0..3_600).all(|_| detector.observe(FLOOR, 1_000, 5)));
        let after = usual_after(&mut detector, 1_000, 100).unwrap();
        assert!((60..=100).contains(&after), "{after}");
        // From then on, many looks are outside bursts.
        let usual = (0..600).filter(|_| detector.observe(FLOOR, 1_000, 100)).count();
        assert!(usual > 200, "{usual}");
    }

    #[test]
    fn extreme_counts_do_not_panic() {
        let mut detector = BurstDetector::NEW;
        for (calls, adverse) in [(u64::MAX, u64::MAX), (1, u64::MAX), (u64::MAX, 0), (0, u64::MAX)]
        {
            for floor in [1e-9, 0.5, 0.999_999] {
                detector.observe(floor, calls, adverse);
            }
        }
    }
}
