#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{
    calm_rate::{CalmRate, RateCounts},
    log_space::float,
    monitor::Unit,
};

/// Detects outages: looks at which far more calls than usual are adverse.
///
/// It is a CUSUM: it sums the adverse events in excess of a limit and never falls below zero. While
/// the sum is above zero, the looks wait. If it reaches five events, they belong to an outage, which
/// ends when the sum is zero again. If it falls to zero before, they count. So one look at many
/// calls and many looks at one call each find the same outages. By chance, one in 3,000 events at a
/// usual rate of 0.5 % begins one, and fewer at higher rates.
///
/// The limit is three times the odds of the [usual rate](CalmRate), or the `floor` if that is
/// higher. Until the usual rate is known, it is three times the odds of the floor.
///
/// The result for a look depends on the totals of this look and of others only. This keeps bets on
/// the looks outside outages fair, see `OutageFilter`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct BurstDetector {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) calm: CalmRate,
    /// Adverse events in excess of the limit, in billionths.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) excess: u64,
    /// Whether the excess has reached [`BURST_EXCESS`] since it was zero.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) is_outage: bool,
}

/// What a look is part of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Course {
    /// The rate is usual. The look counts, and so do the looks that wait.
    Calm,
    /// The rate is above the limit, and perhaps an outage begins. The look waits.
    Rising,
    /// An outage. The look does not count, and neither do the looks that wait.
    Outage,
}

impl BurstDetector {
    /// Adds one look.
    pub(crate) fn observe(&mut self, floor: f64, counts: RateCounts, millis: u64) -> Course {
        self.excess = excess(self.excess, self.limit(floor), counts).min(BURST_EXCESS);
        self.is_outage = self.excess == BURST_EXCESS || (self.is_outage && self.excess > 0);
        self.calm.observe(counts, millis);
        match (self.excess, self.is_outage) {
            (0, _) => Course::Calm,
            (_, false) => Course::Rising,
            (_, true) => Course::Outage,
        }
    }

    /// Returns whether stored counts do not contradict each other.
    pub(crate) fn is_valid(&self, unit: Unit) -> bool {
        let is_course_valid = self.excess > 0 || !self.is_outage;
        is_course_valid && self.excess <= BURST_EXCESS && self.calm.is_valid(unit)
    }

    /// Returns the rate above which events are in excess.
    pub(crate) fn limit(&self, floor: f64) -> f64 {
        at_odds(ODDS_FACTOR, self.calm.usual().unwrap_or(floor)).max(floor)
    }

    /// Returns the rate that is as far above the limit as the limit is above the usual rate.
    pub(crate) fn far_limit(&self, floor: f64) -> f64 {
        at_odds(ODDS_FACTOR, self.limit(floor))
    }
}

/// Returns the excess after one look, in billionths of an event. A look without calls changes
/// nothing: without calls, no outage is detected.
pub(crate) fn excess(before: u64, limit: f64, RateCounts { calls, adverse }: RateCounts) -> u64 {
    if calls == 0 {
        return before;
    }
    let expected = u128::from(calls) * u128::from(billionths(limit));
    let excess = u128::from(before) + u128::from(adverse) * u128::from(BILLION);
    u64::try_from(excess.saturating_sub(expected)).unwrap_or(u64::MAX)
}

/// Returns the rate at `factor` times the odds of `rate`.
pub(crate) fn at_odds(factor: f64, rate: f64) -> f64 {
    if rate >= 1.0 { 1.0 } else { factor * rate / (1.0 - rate + factor * rate) }
}

/// Converts a rate.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is within 0..1"
)]
pub(crate) fn billionths(rate: f64) -> u64 {
    (float(BILLION) * rate.clamp(0.0, 1.0)).round() as u64
}

pub(crate) const BILLION: u64 = 1_000_000_000;

/// The limit as a multiple of the usual odds. All looks that count have at most three times the
/// usual rate, so that a canary beyond the margin of twice stable's rate still shows. A factor of 2
/// would take a service at 0.5 % a third longer to prove, and one of 4 let canaries pass that are
/// four times worse than stable.
const ODDS_FACTOR: f64 = 3.0;

/// The excess that makes an outage: five events, in billionths.
pub(crate) const BURST_EXCESS: u64 = 5 * BILLION;

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: f64 = 0.005;

    fn observe(detector: &mut BurstDetector, seconds: u32, calls: u64, adverse: u64) -> [u32; 3] {
        let mut looks = [0; 3];
        for _ in 0..seconds {
            let course = detector.observe(FLOOR, RateCounts { calls, adverse }, 1_000);
            looks[course as usize] += 1;
        }
        looks
    }

    #[test]
    fn an_outage_is_detected_at_any_number_of_calls_per_look() {
        for calls in [1, 5, 50, 100_000] {
            let mut detector = BurstDetector::default();
            assert_eq!(observe(&mut detector, 2_000, calls, calls / 500)[0], 2_000, "{calls}");
            // A tenth of the calls fails.
            let [calm, ..] = observe(&mut detector, 60, 10 * calls, calls);
            assert_eq!(calm, 0, "{calls}");
            assert!(detector.is_outage, "{calls}");
            let [.., calm] = [(); 1_000].map(|()| observe(&mut detector, 1, calls, 0)[0]);
            assert_eq!(calm, 1, "{calls}");
        }
    }

    #[test]
    fn a_lasting_outage_never_becomes_usual_within_half_an_hour() {
        for adverse in [1, 3, 15, 50] {
            let mut detector = BurstDetector::default();
            observe(&mut detector, 600, 50, 0);
            let [calm, ..] = observe(&mut detector, 1_700, 50, adverse);
            assert_eq!(calm, 0, "{adverse}");
        }
    }

    #[test]
    fn a_short_excursion_counts() {
        let mut detector = BurstDetector::default();
        observe(&mut detector, 100, 50, 0);
        assert_eq!(observe(&mut detector, 1, 50, 3), [0, 1, 0]);
        let [calm, _, outage] = observe(&mut detector, 20, 50, 0);
        assert!(calm > 0 && outage == 0);
        assert_eq!(detector.excess, 0);
    }

    #[test]
    fn extreme_counts_do_not_panic() {
        let mut detector = BurstDetector::default();
        for (calls, adverse) in [(u64::MAX, u64::MAX), (1, u64::MAX), (u64::MAX, 0), (0, u64::MAX)]
        {
            for floor in [1e-9, 0.5, 0.999_999] {
                detector.observe(floor, RateCounts { calls, adverse }, u64::MAX);
            }
        }
    }
}
