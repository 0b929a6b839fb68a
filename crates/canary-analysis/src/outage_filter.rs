use canary_core::PerChannel;

use crate::{
    burst_detector::BurstDetector,
    margins::Margin,
    monitor::{Measure, Monitor, Unit},
    non_inferiority::NonInferiority,
};

/// The evidence that the canary is good enough, without [outages](crate#outages).
///
/// An outage of both channels brings many events, split as the weight requests. They refute "twice
/// as bad" for the whole rollout, however bad the canary is outside the outage. So a healthy
/// verdict needs this evidence in addition to that of the whole rollout.
///
/// The choice of excluded looks must not depend on the outcome of the bets:
///
/// - The e-process on the split excludes looks whose *total* shows a burst: the calls and adverse
///   events of both channels. Given the totals, the number of canary events depends on the
///   assignment only, so that a fair bet stays fair on any choice of looks. The choice must not use
///   the calls of each channel, or which of them were adverse.
/// - The e-process on the canary's rate bets on the number of events, so that their total must not
///   decide. It excludes looks at which *stable's* calls show a burst. Given the rates, these are
///   independent of the canary's calls, as this e-process assumes anyway. A burst of the canary
///   alone is never excluded. Keys are never excluded, because a key that was affected in an outage
///   does not count again later.
#[derive(Clone, Debug)]
pub(crate) struct OutageFilter {
    pub(crate) good: NonInferiority,
    /// The lowest rate that the detectors treat as usual.
    floor: f64,
    unit: Unit,
    pub(crate) both: BurstDetector,
    pub(crate) stable: BurstDetector,
}

/// The e-processes that include a look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IncludedIn {
    pub(crate) split: bool,
    pub(crate) rate: bool,
}

impl OutageFilter {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        let Margin { rate, .. } = monitor.margins().good();
        // The fraction of stable's calls that is slow by definition.
        let by_definition = match monitor.measure() {
            Measure::Slow(_, limit) => limit.quantile().map_or(0.0, |quantile| 1.0 - quantile),
            _ => 0.0,
        };
        Self {
            good: NonInferiority::new(monitor.margins().good()),
            floor: rate.max(by_definition),
            unit: monitor.unit(),
            both: BurstDetector::NEW,
            stable: BurstDetector::NEW,
        }
    }

    /// Classifies a look: the counts of all weights and replicas at once.
    pub(crate) fn look(&mut self, calls: PerChannel<u64>, adverse: PerChannel<u64>) -> IncludedIn {
        let split = self.both.observe(self.floor, calls.total(), adverse.total());
        let rate = self.unit == Unit::Keys
            || self.stable.observe(self.floor, calls.stable, adverse.stable);
        IncludedIn { split, rate }
    }
}

#[cfg(test)]
mod tests {
    use canary_core::Weight;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use rand_distr::{Binomial, Distribution};

    use super::*;
    use crate::{AdverseCounts, channel_comparison::ChannelComparison, margins::Margins};

    fn draw(rng: &mut ChaCha8Rng, calls: u64, rate: f64) -> u64 {
        Binomial::new(calls, rate).unwrap().sample(rng)
    }

    /// Returns a comparison of failures: good is below twice stable's rate, or below `rate`.
    fn comparison(rate: f64) -> ChannelComparison {
        let margin = |ratio, rate| Margin { ratio, rate };
        let margins = Margins::try_new(margin(1.0, 0.001), margin(2.0, rate)).unwrap();
        ChannelComparison::new(&Monitor::failures().with_margins(margins))
    }

    fn mean(values: &[f64]) -> (f64, f64) {
        let number = f64::from(u32::try_from(values.len()).unwrap());
        let mean = values.iter().sum::<f64>() / number;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / number;
        (mean, (variance / number).sqrt())
    }

    /// Simulates rollouts of 60 looks of 60 calls at a weight of 30 %.
    ///
    /// Returns the mean e-value and its error, without outages and with them. Rates are those of
    /// (stable, canary). Each 20 looks end with an outage of three.
    fn mean_e(
        seed: u64,
        rate: f64,
        usual: (f64, f64),
        outage: (f64, f64),
        log_e: impl Fn(&NonInferiority) -> f64,
    ) -> [(f64, f64); 2] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rollouts: Vec<[f64; 2]> = (0..8_000)
            .map(|_| {
                let mut comparison = comparison(rate);
                for look in 0..60 {
                    let (stable_rate, canary_rate) = if look % 20 >= 17 { outage } else { usual };
                    let canary = draw(&mut rng, 60, 0.3);
                    let calls = PerChannel { stable: 60 - canary, canary };
                    let adverse = PerChannel {
                        stable: draw(&mut rng, calls.stable, stable_rate),
                        canary: draw(&mut rng, calls.canary, canary_rate),
                    };
                    let weight = Weight::from_percent(30);
                    comparison.observe(&[AdverseCounts::try_new(weight, calls, adverse).unwrap()]);
                }
                [&comparison.outage_filter.good, &comparison.whole.good]
                    .map(|proof| log_e(proof).exp())
            })
            .collect();
        [0, 1].map(|at| mean(&rollouts.iter().map(|both| both[at]).collect::<Vec<_>>()))
    }

    /// Guarantee G3.
    #[test]
    fn the_mean_e_value_is_at_most_one_if_only_outages_hit_both_channels_alike() {
        let (usual, outage) = ((0.02, 0.04), (0.8, 0.8));
        let [filtered, whole] = mean_e(1, 0.03, usual, outage, NonInferiority::log_e_relative);
        assert!(filtered.0 <= 1.0 + 3.0 * filtered.1, "{filtered:?}");
        assert!(whole.0 > 10.0, "the outages must matter if included: {whole:?}");
    }

    /// Guarantee G3. Most adverse events here are in the canary's own bursts: excluding those would
    /// favor the canary.
    #[test]
    fn the_rate_e_process_includes_bursts_of_the_canary_alone() {
        let (usual, burst) = ((0.0, 0.02), (0.0, 0.9));
        let [filtered, whole] = mean_e(2, 0.04, usual, burst, NonInferiority::log_e_absolute);
        assert!((filtered.0 - whole.0).abs() < 1e-12, "{filtered:?} {whole:?}");
        let [filtered, whole] =
            mean_e(3, 0.005, (0.001, 0.005), (0.9, 0.9), NonInferiority::log_e_absolute);
        assert!(filtered.0 <= 1.0 + 3.0 * filtered.1, "{filtered:?}");
        assert!(
            filtered.0 > 0.5 && whole.0 < 0.01,
            "outages are not excluded: {filtered:?} {whole:?}"
        );
    }
}
