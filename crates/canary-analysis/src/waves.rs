#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{
    burst_detector::{BURST_EXCESS, excess},
    calm_rate::{HALF_MILLIS, RateCounts},
};

use self::wave_sums::{Totals, WaveSums};

mod wave_sums;

/// Detects adverse events that come in waves: their rate rises and falls within minutes.
///
/// Waves may leave no calm time as long as a block of [`CalmRate`](crate::calm_rate::CalmRate).
/// Their trouble then passes for the usual rate, and hides a canary that is much worse. So a
/// comparison in waves proves nothing.
///
/// Time is cut into blocks of two seconds, and these into windows. If the rate of a window is steady,
/// its adverse events are spread over the blocks by chance, so that products of the events of blocks
/// have known means. Waves show in two of them:
///
/// - Neighboring blocks are high or low together, so that the sum of `x_i * x_{i+1}` is greater. A
///   burst shorter than a block does not raise it, and neither does a drift that is slow beside the
///   window.
/// - The blocks have a level well below the mean. It is the lower of the two levels whose mixture has
///   the variance and the skewness of the rate, as the pairs and triples of events in one block show
///   them. A steady rate with bursts has its calm level close to the mean.
///
/// Outages are left out by a CUSUM, as in the [detector](crate::burst_detector::BurstDetector), but
/// with a limit far above the detector's: looks that do not count for the comparison show the waves
/// too. The sums go on when the excess begins to fall.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct Waves {
    /// Adverse events in excess of the far limit, in billionths.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    excess: u64,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    sums: WaveSums,
    /// The sums with the looks that wait, because perhaps an outage begins.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    waiting: Option<Box<WaveSums>>,
    /// The time of this half hour.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    half_millis: u64,
}

/// The rates above which looks are no longer usual.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaveLimits {
    /// The limit of the detector of outages.
    pub(crate) near: f64,
    /// As far above that limit as the limit is above the usual rate.
    pub(crate) far: f64,
}

impl Waves {
    /// Adds a look. A look without calls is ignored, and its time too.
    pub(crate) fn observe(&mut self, limits: WaveLimits, counts: RateCounts, millis: u64) {
        if counts.calls == 0 {
            return;
        }
        // A calmer time has shown that the sums are mostly those of an outage.
        if self.sums.mean_rate() > 2.0 * limits.near {
            *self = Self { half_millis: self.half_millis, ..Self::default() };
        }
        self.excess = excess(self.excess, limits.far, counts).min(BURST_EXCESS);
        let mut sums = self.waiting.take().map_or(self.sums, |waiting| *waiting);
        sums.add(counts, millis);
        match self.excess {
            0 => self.sums = sums,
            BURST_EXCESS => {}
            _ => self.waiting = Some(Box::new(sums)),
        }
        self.half_millis = self.half_millis.saturating_add(millis);
        if self.half_millis >= HALF_MILLIS {
            self.half_millis = 0;
            self.sums.begin_half();
            self.waiting.iter_mut().for_each(|waiting| waiting.begin_half());
        }
    }

    /// Returns whether there are waves. Those with a mean of up to twice the floor hide no canary that
    /// is worse by more than the floor itself.
    pub(crate) fn are_seen(&self, floor: f64) -> bool {
        if self.sums.mean_rate() <= 2.0 * floor {
            return false;
        }
        let totals = self.sums.totals();
        let neighbors = totals.neighbors.ratio().unwrap_or(1.0);
        neighbors >= 1.0 + LEAST_COVARIANCE + totals.neighbors.error()
            && lower_level(&totals) <= HIGHEST_LOWER_LEVEL
    }

    /// Returns whether stored counts do not contradict each other.
    pub(crate) fn is_valid(&self) -> bool {
        let is_excess_valid = self.excess <= BURST_EXCESS;
        let is_waiting_valid = self.excess > 0 || self.waiting.is_none();
        let are_sums_valid =
            self.waiting.as_deref().into_iter().chain([&self.sums]).all(WaveSums::is_valid);
        is_excess_valid && is_waiting_valid && are_sums_valid
    }
}

/// Returns the lower of two levels, as a part of the mean, whose mixture has the first three moments
/// of the rate.
fn lower_level(totals: &Totals) -> f64 {
    let (Some(second), Some(third)) = (totals.pairs.ratio(), totals.triples.ratio()) else {
        return 1.0;
    };
    let variance = second - 1.0;
    if variance <= 0.0 {
        return 1.0;
    }
    // The levels are `below` under the mean and `above` over it. Their product is the variance, and
    // their difference the third central moment by the variance. A negative one is taken for chance.
    let difference = ((third - 3.0 * second + 2.0) / variance).max(0.0);
    let below = f64::midpoint(-difference, difference.hypot(2.0 * variance.sqrt()));
    1.0 - below
}

/// The least covariance of neighboring blocks in waves, by the square of the mean. Waves that rise
/// from nothing to their peak have 0.17 to 0.6, by their shape and length. A rate that drifts by half
/// within twenty minutes has 0.03.
const LEAST_COVARIANCE: f64 = 0.06;

/// The highest lower level of waves. Those that rise from nothing have 0.3 to 0.55. A steady rate, with
/// six times as many failures for five seconds of each minute, has 0.74.
const HIGHEST_LOWER_LEVEL: f64 = 0.7;

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use rand_distr::{Binomial, Distribution};

    use super::*;

    const LIMITS: WaveLimits = WaveLimits { near: 0.1, far: 0.3 };

    /// Observes 1,200 seconds of 50 calls with these rates.
    fn after(rate: impl Fn(u32) -> f64) -> Waves {
        let (mut rng, mut waves) = (ChaCha8Rng::seed_from_u64(5), Waves::default());
        for second in 0..1_200 {
            let adverse = Binomial::new(50, rate(second)).unwrap().sample(&mut rng);
            waves.observe(LIMITS, RateCounts { calls: 50, adverse }, 1_000);
        }
        waves
    }

    fn are_seen(rate: impl Fn(u32) -> f64) -> bool {
        after(rate).are_seen(0.005)
    }

    #[test]
    fn waves_are_seen() {
        let part = |second: u32| f64::from(second % 30) / 30.0;
        assert!(are_seen(|second| 0.06 * part(second)));
        assert!(are_seen(|second| 0.06 * (1.0 - part(second))));
        assert!(are_seen(|second| if second % 30 < 15 { 0.06 } else { 0.001 }));
        assert!(are_seen(|second| if second % 16 < 8 { 0.06 } else { 0.001 }));
    }

    #[test]
    fn steady_rates_drift_and_bursts_are_no_waves() {
        for rate in [0.001, 0.01, 0.05, 0.3] {
            assert!(!are_seen(|_| rate), "{rate}");
        }
        let turn = |second: u32| (f64::from(second) * std::f64::consts::TAU / 1_200.0).sin();
        assert!(!are_seen(|second| 0.05 * (1.0 + 0.8 * turn(second))));
        assert!(!are_seen(|second| if second % 20 == 0 { 0.15 } else { 0.01 }));
        assert!(!are_seen(|second| if second % 60 < 5 { 0.06 } else { 0.01 }));
    }

    #[test]
    fn small_waves_are_ignored() {
        assert!(!are_seen(|second| 0.018 * f64::from(second % 30) / 30.0));
    }

    #[test]
    fn the_lower_level_of_two_is_found() {
        let waves = after(|second| if second % 30 < 15 { 0.09 } else { 0.03 });
        let level = lower_level(&waves.sums.totals());
        assert!((0.45..0.55).contains(&level), "{level}");
        let waves = after(|second| if second % 30 < 6 { 0.18 } else { 0.03 });
        let level = lower_level(&waves.sums.totals());
        assert!((0.45..0.55).contains(&level), "{level}");
    }

    #[test]
    fn outages_are_left_out() {
        let outage = |second: u32| second % 100 < 30;
        assert!(!are_seen(|second| if outage(second) { 0.9 } else { 0.02 }));
        assert!(
            after(|_| 0.9)
                == Waves { excess: BURST_EXCESS, half_millis: 1_200_000, ..Waves::default() }
        );
    }

    #[test]
    fn what_was_an_outage_is_forgotten() {
        let mut waves = after(|second| 0.06 * f64::from(second % 30) / 30.0);
        assert!(waves.are_seen(0.005));
        let calmer = WaveLimits { near: 0.01, far: 0.03 };
        waves.observe(calmer, RateCounts { calls: 50, adverse: 0 }, 1_000);
        assert!(!waves.are_seen(0.005));
    }

    #[test]
    fn waves_end_with_the_hour() {
        let mut waves = after(|second| 0.06 * f64::from(second % 30) / 30.0);
        let calm = RateCounts { calls: 50, adverse: 0 };
        (0..600).for_each(|_| waves.observe(LIMITS, calm, 1_000));
        assert!(waves.are_seen(0.0));
        (0..1_800).for_each(|_| waves.observe(LIMITS, calm, 1_000));
        assert!(!waves.are_seen(0.0));
    }

    #[test]
    fn extreme_counts_do_not_panic() {
        let mut waves = Waves::default();
        let near = WaveLimits { near: 1.0, far: 1.0 };
        for (calls, adverse) in
            [(u64::MAX, u64::MAX), (1, u64::MAX), (u64::MAX, 0), (0, u64::MAX), (7, 7), (1, 0)]
        {
            for _ in 0..3 {
                waves.observe(near, RateCounts { calls, adverse }, u64::MAX);
                waves.are_seen(1e-9);
                assert!(lower_level(&waves.sums.totals()).is_finite());
            }
        }
    }
}
