use canary_core::PerChannel;

use crate::{
    levels::MIN_LEVEL,
    log_space::float,
    split_e_process::{BETTER, SplitEProcess, WORSE},
    split_ratio::SplitRatio,
};

/// The ratio of the canary's adverse rate to stable's, with a confidence interval.
///
/// # Method
///
/// The interval contains every ratio that neither of two e-processes refutes: one for a higher
/// ratio (as for "worse"), one for a lower ratio (as for "good enough"). Each gets half of `alpha`.
/// If the true ratio does not change, then with a probability of at least `1 - alpha` it is in all
/// intervals that are ever read.
///
/// The interval and the verdict can disagree for a while. Each end excludes a ratio at odds of
/// `2/alpha`. The canary is called degraded at odds of `1/alpha` times the number of deciding
/// monitors, and only if its rate is also above the floor.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RatioInterval {
    /// The maximum-likelihood estimate. `None` before the first adverse event, and if all of them
    /// were the canary's.
    pub estimate: Option<f64>,
    /// The lower end. Zero if no ratio is refuted as too low.
    pub lower: f64,
    /// The upper end. `None` if no ratio is refuted as too high.
    pub upper: Option<f64>,
}

impl RatioInterval {
    pub(crate) fn of<const N: usize>(events: &SplitEProcess<N>, alpha: f64) -> Self {
        // The comparison is false for NaN.
        let alpha = if alpha >= MIN_LEVEL { alpha.min(1.0) } else { MIN_LEVEL };
        let threshold = (2.0 / alpha).ln();
        let refuted_above = |ratio| events.against(ratio, &WORSE).log_e() >= threshold;
        let refuted_below = |ratio| events.against(ratio, &BETTER).log_e() >= threshold;
        Self {
            estimate: most_likely(events),
            lower: if refuted_above(SMALLEST) { last_with(refuted_above) } else { 0.0 },
            upper: refuted_below(LARGEST).then(|| last_with(|ratio| !refuted_below(ratio))),
        }
    }
}

/// Returns the ratio at which the expected number of canary events equals the observed one.
fn most_likely<const N: usize>(events: &SplitEProcess<N>) -> Option<f64> {
    let total = events.total();
    if total.canary == 0 {
        return (total.stable > 0).then_some(0.0);
    }
    let expected = |ratio: f64| -> f64 {
        let canary_part = |split: SplitRatio| {
            let canary = split.probability() * ratio;
            canary / (canary + split.complement())
        };
        let both = |events: PerChannel<u64>| float(events.stable) + float(events.canary);
        events.events().map(|(split, events)| both(events) * canary_part(split)).sum()
    };
    (total.stable > 0).then(|| last_with(|ratio| expected(ratio) <= float(total.canary)))
}

/// Returns the largest ratio for which `holds` is true. `holds` must be true up to some ratio and
/// false above it.
fn last_with(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (SMALLEST.ln(), LARGEST.ln());
    // The interval has a length of 42. After 50 halvings it is as short as the precision of `f64`.
    for _ in 0..50 {
        let middle = low.midpoint(high);
        if holds(middle.exp()) { low = middle } else { high = middle }
    }
    low.exp()
}

/// Ratios outside this range count as zero or infinite: the rarest event that can be compared is
/// one call in 10^9.
const SMALLEST: f64 = 1e-9;
const LARGEST: f64 = 1e9;

#[cfg(test)]
mod tests {
    use canary_core::Weight;

    use super::*;

    fn events(canary: u64, stable: u64) -> SplitEProcess<8> {
        let mut events = SplitEProcess::new(1.0, &WORSE);
        events.add_events(SplitRatio::of(Weight::from_percent(50)), PerChannel { stable, canary });
        events
    }

    #[test]
    fn the_interval_contains_the_estimate_and_narrows_with_more_events() {
        let few = RatioInterval::of(&events(20, 10), 0.01);
        let many = RatioInterval::of(&events(2000, 1000), 0.01);
        for interval in [few, many] {
            assert!((interval.estimate.unwrap() - 2.0).abs() < 1e-9);
            assert!(interval.lower < 2.0 && interval.upper.unwrap() > 2.0);
        }
        assert!(few.lower < many.lower && many.upper < few.upper);
    }

    #[test]
    fn an_alpha_out_of_range_is_clamped() {
        let events = events(200, 100);
        for (alpha, clamped) in [
            (f64::NAN, MIN_LEVEL),
            (-1.0, MIN_LEVEL),
            (0.0, MIN_LEVEL),
            (7.0, 1.0),
            (f64::INFINITY, 1.0),
        ] {
            let interval = RatioInterval::of(&events, alpha);
            assert_eq!(interval, RatioInterval::of(&events, clamped), "{alpha}");
            assert!(interval.lower <= interval.upper.unwrap());
        }
    }

    #[test]
    fn without_events_every_ratio_is_possible() {
        let interval = RatioInterval::of(&events(0, 0), 0.01);
        assert_eq!(interval, RatioInterval { estimate: None, lower: 0.0, upper: None });
    }

    #[test]
    fn events_of_one_channel_bound_one_end_only() {
        let canary_only = RatioInterval::of(&events(50, 0), 0.01);
        assert!(canary_only.lower > 1.0);
        assert_eq!((canary_only.estimate, canary_only.upper), (None, None));

        let stable_only = RatioInterval::of(&events(0, 50), 0.01);
        assert!(stable_only.upper.unwrap() < 1.0);
        assert_eq!(stable_only.estimate, Some(0.0));
    }
}
