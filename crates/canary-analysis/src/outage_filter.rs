use crate::{
    background::{Background, Courses, Look},
    burst_detector::Course,
    monitor::{Monitor, Unit},
    non_inferiority::NonInferiority,
};

pub(crate) use self::leveled_events::{EventBlock, EventMap, LeveledEvents, MAX_LEVELS};

mod leveled_events;

/// The evidence that the canary is good enough, without [outages](crate#outages).
///
/// An outage of both channels brings many events, split as the weight requests. They refute "twice
/// as bad" for the whole rollout, however bad the canary is outside the outage. So a healthy
/// verdict needs this evidence in addition to that of the whole rollout.
///
/// The choice of the looks that count must not depend on the outcome of the bets:
///
/// - The e-process on the split leaves out looks whose *total* shows an outage: the calls and
///   adverse events of both channels. Given the totals of all looks, the number of canary events
///   depends on the assignment only, so that a fair bet stays fair on any choice of looks. The
///   choice must not use the calls of each channel, or which of them were adverse. It may change
///   later: when a calmer time becomes known, looks are left out that seemed to be usual before.
/// - The e-process on the canary's rate bets on the number of events, so that their total must not
///   decide. It leaves out looks at which *stable's* calls show an outage. Given the rates, these
///   are independent of the canary's calls, as this e-process assumes anyway. A burst of the canary
///   alone always counts. Keys always count, because a key that was affected in an outage does not
///   count again later.
///
/// Until the usual rate is [known](crate::calm_rate::CalmRate::is_known), the split proves nothing:
/// an outage from the first look on would seem to be usual. The canary's own rate needs no
/// comparison, and counts from the first look on. The split proves nothing either while adverse
/// events come in [waves](crate::waves::Waves).
#[derive(Clone, Debug)]
pub(crate) struct OutageFilter {
    /// The evidence of the looks that count now.
    pub(crate) good: NonInferiority,
    /// The events of all looks outside outages.
    pub(crate) events: LeveledEvents,
    /// The looks that wait, because perhaps an outage begins.
    pub(crate) waiting: EventBlock,
    pub(crate) trials: Trials,
    pub(crate) waiting_trials: Trials,
    /// Whether events that counted before the last look do not count any more.
    pub(crate) is_revised: bool,
}

/// Trials of the canary, and the adverse ones among them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Trials {
    pub(crate) all: u64,
    pub(crate) adverse: u64,
}

impl Trials {
    const fn add(&mut self, other: Self) {
        self.all = self.all.saturating_add(other.all);
        self.adverse = self.adverse.saturating_add(other.adverse);
    }
}

impl OutageFilter {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        Self {
            good: NonInferiority::new(monitor.margins().good()),
            events: LeveledEvents::default(),
            waiting: EventBlock::default(),
            trials: Trials::default(),
            waiting_trials: Trials::default(),
            is_revised: false,
        }
    }

    /// Adds a look. The background includes it, and found these courses.
    pub(crate) fn observe(
        &mut self,
        background: &Background,
        courses: Courses,
        look: &Look<'_>,
        trials: Trials,
    ) {
        self.waiting.add(look.both(), look.millis, look.events.iter().copied());
        match courses.both {
            Course::Rising => {}
            Course::Outage => self.waiting = EventBlock::default(),
            Course::Calm => {
                let looks = std::mem::take(&mut self.waiting);
                self.events.add(background.floor(), background.limit(), looks);
            }
        }
        self.waiting_trials.add(trials);
        match courses.stable {
            Course::Rising if background.unit == Unit::Calls => {}
            Course::Outage if background.unit == Unit::Calls => {
                self.waiting_trials = Trials::default();
            }
            _ => self.trials.add(std::mem::take(&mut self.waiting_trials)),
        }
        self.choose(background);
    }

    /// Chooses the looks that count, by what is known now.
    pub(crate) fn choose(&mut self, background: &Background) {
        let Self { good, events, trials, is_revised, .. } = self;
        let before = good.split.total().total();
        good.clear();
        good.add_trials(trials.all, trials.adverse);
        if background.is_known() {
            events.up_to(background.floor(), background.limit(), &mut good.split);
        }
        *is_revised = good.split.total().total() < before;
        // Waves are no reason to withdraw a verdict: perhaps it was given before they began.
        if background.is_in_waves() {
            good.split.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use canary_core::{PerChannel, Weight};
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use rand_distr::{Binomial, Distribution};

    use super::*;
    use crate::{
        AdverseCounts,
        channel_comparison::ChannelComparison,
        margins::{Margin, Margins},
    };

    fn draw(rng: &mut ChaCha8Rng, calls: u64, rate: f64) -> u64 {
        Binomial::new(calls, rate).unwrap().sample(rng)
    }

    /// Returns a comparison of failures: good is below twice stable's rate, or below `rate`.
    fn comparison(rate: f64) -> ChannelComparison {
        let margin = |ratio, rate| Margin { ratio, rate };
        let margins = Margins::try_new(margin(1.0, 0.001), margin(2.0, rate)).unwrap();
        ChannelComparison::new(&Monitor::failures().with_margins(margins))
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    fn thousandths(rate: f64) -> u64 {
        (1_000.0 * rate).round() as u64
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
        let mut idle = comparison(rate);
        for _ in 0..700 {
            let calls = PerChannel { stable: 1_000, canary: 0 };
            let adverse = PerChannel { stable: thousandths(usual.0), canary: 0 };
            let counts = AdverseCounts::try_new(Weight::ZERO, calls, adverse).unwrap();
            idle.observe(&[counts], 1_000);
        }
        let known = idle.background;
        let rollouts: Vec<[f64; 2]> = (0..8_000)
            .map(|_| {
                let mut comparison = comparison(rate);
                comparison.background = known.clone();
                for look in 0..60 {
                    let (stable_rate, canary_rate) = if look % 20 >= 17 { outage } else { usual };
                    let canary = draw(&mut rng, 60, 0.3);
                    let calls = PerChannel { stable: 60 - canary, canary };
                    let adverse = PerChannel {
                        stable: draw(&mut rng, calls.stable, stable_rate),
                        canary: draw(&mut rng, calls.canary, canary_rate),
                    };
                    let weight = Weight::from_percent(30);
                    let counts = AdverseCounts::try_new(weight, calls, adverse).unwrap();
                    comparison.observe(&[counts], 1_000);
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
