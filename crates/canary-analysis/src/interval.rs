use canary_core::PerChannel;

use crate::{
    levels::MIN_LEVEL,
    log_space::float,
    split_e_process::{BETTER, SplitEProcess, WORSE},
    split_ratio::SplitRatio,
};

/// The ratio of the canary's adverse rate to stable's, and where it may lie.
///
/// # Method
///
/// The interval holds every ratio that neither of two bets refutes: that the true ratio is higher
/// (the bet of "worse"), and that it is lower (its mirror, the bet of "good enough"). Each gets
/// half of `alpha`. If the true ratio did not change, all the intervals ever shown contain it
/// together, with probability `1 - alpha` at least: one may look at any time and as often as one
/// likes.
///
/// So neither end is the verdict. The lower end excludes a ratio at odds of `2/alpha`; a canary is
/// called degraded at odds of `1/alpha` for one deciding monitor and more for several, with its
/// margins, and only if the rate in itself is above the floor. The two can differ for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RatioInterval {
    /// The ratio under which the counts are the most likely; none before the first adverse event,
    /// and if all of them were the canary's.
    pub estimate: Option<f64>,
    /// The lower end, zero if every lower ratio is possible.
    pub lower: f64,
    /// The upper end, none if every higher ratio is possible.
    pub upper: Option<f64>,
}

impl RatioInterval {
    pub(crate) fn of<const N: usize>(odds: &SplitEProcess<N>, alpha: f64) -> Self {
        // A comparison with NaN is false.
        let alpha = if alpha >= MIN_LEVEL { alpha.min(1.0) } else { MIN_LEVEL };
        let threshold = (2.0 / alpha).ln();
        let refuted_above = |ratio| odds.against(ratio, &WORSE).log_e() >= threshold;
        let refuted_below = |ratio| odds.against(ratio, &BETTER).log_e() >= threshold;
        Self {
            estimate: most_likely(odds),
            lower: if refuted_above(SMALLEST) { last_with(refuted_above) } else { 0.0 },
            upper: refuted_below(LARGEST).then(|| last_with(|ratio| !refuted_below(ratio))),
        }
    }
}

/// The ratio under which just as many events were to be expected of the canary's as there were.
fn most_likely<const N: usize>(odds: &SplitEProcess<N>) -> Option<f64> {
    let total = odds.total();
    if total.canary == 0 {
        return (total.stable > 0).then_some(0.0);
    }
    let expected = |ratio: f64| -> f64 {
        let of_canary = |split: SplitRatio| {
            let canary = split.probability() * ratio;
            canary / (canary + split.complement())
        };
        let both = |events: PerChannel<u64>| float(events.stable) + float(events.canary);
        odds.events().map(|(split, events)| both(events) * of_canary(split)).sum()
    };
    (total.stable > 0).then(|| last_with(|ratio| expected(ratio) <= float(total.canary)))
}

/// The largest ratio of which `holds` is true, if it is true up to some ratio and false from there
/// on.
fn last_with(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (SMALLEST.ln(), LARGEST.ln());
    // Each round halves an interval of 42: after 50 it is as narrow as `f64` can tell.
    for _ in 0..50 {
        let middle = low.midpoint(high);
        if holds(middle.exp()) { low = middle } else { high = middle }
    }
    low.exp()
}

/// Beyond these a ratio is as good as zero or infinite: the rarest event that can be compared is
/// one call in 10^9.
const SMALLEST: f64 = 1e-9;
const LARGEST: f64 = 1e9;

#[cfg(test)]
mod tests {
    use canary_core::Weight;

    use super::*;

    fn odds(canary: u64, stable: u64) -> SplitEProcess<8> {
        let mut odds = SplitEProcess::new(1.0, &WORSE);
        odds.observe(SplitRatio::of(Weight::from_percent(50)), PerChannel { stable, canary });
        odds
    }

    #[test]
    fn the_interval_holds_the_estimate_and_narrows_with_the_counts() {
        let few = RatioInterval::of(&odds(20, 10), 0.01);
        let many = RatioInterval::of(&odds(2000, 1000), 0.01);
        for interval in [few, many] {
            assert!((interval.estimate.unwrap() - 2.0).abs() < 1e-9);
            assert!(interval.lower < 2.0 && interval.upper.unwrap() > 2.0);
        }
        assert!(few.lower < many.lower && many.upper < few.upper);
    }

    #[test]
    fn an_alpha_out_of_range_is_taken_for_the_nearer_end() {
        let odds = odds(200, 100);
        for (alpha, taken_for) in [
            (f64::NAN, MIN_LEVEL),
            (-1.0, MIN_LEVEL),
            (0.0, MIN_LEVEL),
            (7.0, 1.0),
            (f64::INFINITY, 1.0),
        ] {
            let interval = RatioInterval::of(&odds, alpha);
            assert_eq!(interval, RatioInterval::of(&odds, taken_for), "{alpha}");
            assert!(interval.lower <= interval.upper.unwrap());
        }
    }

    #[test]
    fn nothing_seen_excludes_nothing() {
        let interval = RatioInterval::of(&odds(0, 0), 0.01);
        assert_eq!(interval, RatioInterval { estimate: None, lower: 0.0, upper: None });
    }

    #[test]
    fn events_of_one_channel_only_bound_one_end() {
        let canary_only = RatioInterval::of(&odds(50, 0), 0.01);
        assert!(canary_only.lower > 1.0);
        assert_eq!((canary_only.estimate, canary_only.upper), (None, None));

        let stable_only = RatioInterval::of(&odds(0, 50), 0.01);
        assert!(stable_only.upper.unwrap() < 1.0);
        assert_eq!(stable_only.estimate, Some(0.0));
    }
}
