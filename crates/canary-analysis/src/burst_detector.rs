use crate::log_space::float;

/// Tells storms from calm: times when far more calls go badly than one is used to.
///
/// It adds up how many adverse events come in excess of a limit, never below zero (a CUSUM). Five of
/// them are a storm, until the sum falls again. So one look at many calls and many looks at one call
/// each find the same storms, and what chance brings is hardly ever one: at the usual rate once in
/// 100,000 events, at twice that once in 500.
///
/// The limit is four times the odds of the rate so far without storms, or of the `floor` if that is
/// more. What lasts becomes normal: the limit doubles with every 30 looks in a storm, and each calm
/// look takes one of them back. A service that fails 30 % of calls from its first one on, where 0.5 %
/// was expected, is taken for normal after 134 looks; an outage of everything never is.
///
/// The verdict on a look rests on the totals of this one and of those before it, on nothing that
/// comes later. That is what keeps bets on the looks that are calm fair, see
/// [`OutageFilter`](crate::outage_filter::OutageFilter).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BurstDetector {
    /// Calls and adverse events of calm looks.
    pub(crate) calls: u64,
    pub(crate) adverse: u64,
    /// Adverse events in excess of the limit, in millionths.
    pub(crate) excess: u64,
    /// Looks in a storm that calm ones have not taken back.
    pub(crate) burst_looks: u32,
}

impl BurstDetector {
    pub(crate) const NONE: Self = Self { calls: 0, adverse: 0, excess: 0, burst_looks: 0 };

    /// Takes one look. Whether it is calm: without a call one cannot tell, and takes it for that.
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
        reason = "it is within 0 to 1,000,000"
    )]
    fn limit_ppm(&self, floor: f64) -> u64 {
        let so_far = if self.calls == 0 { 0.0 } else { float(self.adverse) / float(self.calls) };
        let usual = so_far.clamp(floor, 1.0);
        let grown = RISE * (f64::from(self.burst_looks) / DOUBLING).exp2();
        // The rate at `grown` times the odds of `usual`.
        let limit = 1.0 / (1.0 + (1.0 - usual) / (usual * grown));
        (1e6 * limit).round() as u64
    }
}

/// So many times the usual odds are a storm. Less would take the rise from night to day for one, and
/// lose what it tells. More would let in disturbances that bring most of the events in little time.
const RISE: f64 = 4.0;

/// Looks of a storm after which the limit is twice as high.
const DOUBLING: f64 = 30.0;

/// The excess that is a storm, five events, in millionths: what each storm lets in before it is known
/// for one. (A proof takes 80 events of an outage at a weight of 50 %, 170 at 10 %, 1,600 at 1 %.) With
/// ten, at 5 calls a second and an outage every five minutes, 9.8 % of simulated canaries at the margin
/// were called healthy in the course of an hour; with five it is 2.3 %.
pub(crate) const BURST_EXCESS: u64 = 5_000_000;

/// Limits then are 2^24 times as high, and no calm takes longer than this to bring them down again.
pub(crate) const MAX_BURST_LOOKS: u32 = 720;

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: f64 = 0.005;

    /// The first of equal looks that is calm.
    fn calm_after(detector: &mut BurstDetector, calls: u64, adverse: u64) -> Option<u32> {
        (1..10_000).find(|_| detector.observe(FLOOR, calls, adverse))
    }

    #[test]
    fn an_outage_is_a_storm_however_many_calls_a_look_has() {
        for calls in [1, 5, 50, 100_000] {
            let mut detector = BurstDetector::NONE;
            let normal =
                (0..200_000 / calls).filter(|_| detector.observe(FLOOR, calls, calls / 500));
            assert_eq!(normal.count(), usize::try_from(200_000 / calls).unwrap(), "{calls}");
            let let_in: u64 = (0..60)
                .map(|_| if detector.observe(FLOOR, calls, calls) { calls } else { 0 })
                .sum();
            assert!(let_in <= 5, "{let_in} events of a storm in looks of {calls} calls");
            assert!(detector.observe(FLOOR, calls, 0), "{calls}");
        }
    }

    #[test]
    fn what_lasts_becomes_normal() {
        let mut detector = BurstDetector::NONE;
        let after = calm_after(&mut detector, 50, 15).unwrap();
        assert_eq!(after, 134);
        let calm = (0..100).filter(|_| detector.observe(FLOOR, 50, 15)).count();
        assert_eq!(calm, 100);
        assert_eq!(calm_after(&mut { BurstDetector::NONE }, 50, 50), None, "everything fails");
    }

    #[test]
    fn a_rise_for_good_becomes_normal_after_a_long_calm_too() {
        let mut detector = BurstDetector::NONE;
        assert!((0..3_600).all(|_| detector.observe(FLOOR, 1_000, 5)));
        let after = calm_after(&mut detector, 1_000, 100).unwrap();
        assert!((60..=100).contains(&after), "{after}");
        // From then on a good part of the looks is let in.
        let calm = (0..600).filter(|_| detector.observe(FLOOR, 1_000, 100)).count();
        assert!(calm > 200, "{calm}");
    }

    #[test]
    fn no_count_makes_it_panic() {
        let mut detector = BurstDetector::NONE;
        for (calls, adverse) in [(u64::MAX, u64::MAX), (1, u64::MAX), (u64::MAX, 0), (0, u64::MAX)]
        {
            for floor in [1e-9, 0.5, 0.999_999] {
                detector.observe(floor, calls, adverse);
            }
        }
    }
}
