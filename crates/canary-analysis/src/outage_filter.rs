use canary_core::PerChannel;

use crate::{
    burst_detector::BurstDetector,
    margins::Margin,
    monitor::{Measure, Monitor, Unit},
    non_inferiority::NonInferiority,
};

/// The proof that the canary is good enough, storms left out.
///
/// An outage that hits both channels makes many events, and its even split refutes "twice as bad" for
/// the rollout as a whole, whatever the canary does once it is over. So healthy needs this proof
/// beside the whole one. What is left out depends on nothing that is bet on:
///
/// - The bet on the split leaves out looks whose *total* says storm: all calls, all adverse events.
///   Given these, how many events are the canary's is as the coins say, so that a fair bet stays fair
///   on whichever looks it is made. A look's calls per channel, or which of them went badly, must have
///   no part in it.
/// - The bet on the canary's rate is about how many events there are, so that their total must not
///   choose. It leaves out looks in which *stable's* calls say storm, which are independent of the
///   canary's given the rates: that is assumed of this bet anyway. A canary that fails by itself has
///   no storm to hide in.
///   Of keys nothing is left out: a key that was hit in a storm does not count again later.
#[derive(Clone, Debug)]
pub(crate) struct OutageFilter {
    pub(crate) good: NonInferiority,
    /// A rate below which nothing is a storm.
    floor: f64,
    unit: Unit,
    pub(crate) all: BurstDetector,
    pub(crate) stable: BurstDetector,
}

/// Which bets are made on a look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IncludedIn {
    pub(crate) split: bool,
    pub(crate) rate: bool,
}

impl OutageFilter {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        let Margin { rate, .. } = monitor.margins().good();
        // So many of stable's calls are slow by definition.
        let by_definition = match monitor.measure() {
            Measure::Slow(_, limit) => limit.quantile().map_or(0.0, |quantile| 1.0 - quantile),
            _ => 0.0,
        };
        Self {
            good: NonInferiority::new(monitor.margins().good()),
            floor: rate.max(by_definition),
            unit: monitor.unit(),
            all: BurstDetector::NONE,
            stable: BurstDetector::NONE,
        }
    }

    /// Looks at all that came at once, of all weights and replicas.
    pub(crate) fn look(&mut self, calls: PerChannel<u64>, adverse: PerChannel<u64>) -> IncludedIn {
        let split = self.all.observe(self.floor, calls.total(), adverse.total());
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

    fn of(rng: &mut ChaCha8Rng, calls: u64, rate: f64) -> u64 {
        Binomial::new(calls, rate).unwrap().sample(rng)
    }

    /// Monitors failures with a margin of twice stable's rate, and of this rate.
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

    /// Simulates rollouts of 60 looks of 60 calls at 30 %: what the bets make of 1, storms left out
    /// and included. Rates are those of (stable, canary), in which `storms` come now and then.
    fn bets(
        seed: u64,
        rate: f64,
        calm: (f64, f64),
        storm: (f64, f64),
        log_e: impl Fn(&NonInferiority) -> f64,
    ) -> [(f64, f64); 2] {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rollouts: Vec<[f64; 2]> = (0..8_000)
            .map(|_| {
                let mut comparison = comparison(rate);
                for look in 0..60 {
                    let (stable_rate, canary_rate) = if look % 20 >= 17 { storm } else { calm };
                    let canary = of(&mut rng, 60, 0.3);
                    let calls = PerChannel { stable: 60 - canary, canary };
                    let adverse = PerChannel {
                        stable: of(&mut rng, calls.stable, stable_rate),
                        canary: of(&mut rng, calls.canary, canary_rate),
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
    fn the_mean_of_e_is_at_most_one_if_only_storms_hit_both_channels_alike() {
        let (calm, storm) = ((0.02, 0.04), (0.8, 0.8));
        let [calm, whole] = bets(1, 0.03, calm, storm, NonInferiority::log_e_relative);
        assert!(calm.0 <= 1.0 + 3.0 * calm.1, "{calm:?}");
        assert!(whole.0 > 10.0, "the storms prove nothing even if included: {whole:?}");
    }

    /// Guarantee G3. Here the canary's own bursts fill most of what is adverse: to choose by them
    /// would flatter it.
    #[test]
    fn the_bet_on_the_rate_cannot_leave_out_what_the_canary_does_by_itself() {
        let (calm, burst) = ((0.0, 0.02), (0.0, 0.9));
        let [calm, whole] = bets(2, 0.04, calm, burst, NonInferiority::log_e_absolute);
        assert!((calm.0 - whole.0).abs() < 1e-12, "{calm:?} {whole:?}");
        let [calm, whole] =
            bets(3, 0.005, (0.001, 0.005), (0.9, 0.9), NonInferiority::log_e_absolute);
        assert!(calm.0 <= 1.0 + 3.0 * calm.1, "{calm:?}");
        assert!(calm.0 > 0.5 && whole.0 < 0.01, "storms are not left out: {calm:?} {whole:?}");
    }
}
