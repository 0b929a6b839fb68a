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
        // Both are negative where the ratio is refuted, up to the lower end or from the upper one.
        let above = |ratio| threshold - events.against(ratio, &WORSE).log_e();
        let below = |ratio| threshold - events.against(ratio, &BETTER).log_e();
        Self {
            estimate: most_likely(events),
            lower: if above(SMALLEST) <= 0.0 { last_below_zero(above) } else { 0.0 },
            upper: (below(LARGEST) <= 0.0).then(|| last_below_zero(|ratio| -below(ratio))),
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
    (total.stable > 0).then(|| last_below_zero(|ratio| expected(ratio) - float(total.canary)))
}

/// Returns the largest ratio at which `function` is at most zero, or [`SMALLEST`] or [`LARGEST`] if
/// it has one sign in between. `function` must not decrease.
///
/// # Method
///
/// "ITP" (Oliveira and Takahashi, "An Enhancement of the Bisection Method Average Performance
/// Preserving Minmax Optimality", 2021): the secant, moved towards the middle, and never further
/// from it than bisection allows. It evaluates the functions of an interval about 15 times, and any
/// function at most 54 times. Bisection needs 46.
fn last_below_zero(function: impl Fn(f64) -> f64) -> f64 {
    let at = |log: f64| function(log.exp());
    let (mut low, mut high) = (SMALLEST.ln(), LARGEST.ln());
    let (mut at_low, mut at_high) = (at(low), at(high));
    if at_high <= 0.0 {
        return LARGEST;
    }
    if at_low > 0.0 {
        return SMALLEST;
    }
    // The width that bisection reaches in the same step, with six steps to spare.
    let mut allowed = 64.0 * (high - low);
    let shift = 0.2 / (high - low);
    while high - low > PRECISION {
        let middle = low.midpoint(high);
        let secant = (at_high * low - at_low * high) / (at_high - at_low);
        let direction = (middle - secant).signum();
        // At least half of the precision, so that the end that has not converged comes near.
        let distance = (shift * (high - low).powi(2)).max(PRECISION / 2.0);
        let moved = secant + direction * distance.min((middle - secant).abs());
        let farthest = (allowed - (high - low)) / 2.0;
        let next = match moved.is_finite() {
            true if (moved - middle).abs() <= farthest => moved,
            true => middle - direction * farthest.max(0.0),
            false => middle,
        };
        let at_next = at(next);
        if at_next <= 0.0 {
            (low, at_low) = (next, at_next);
        } else {
            (high, at_high) = (next, at_next);
        }
        allowed /= 2.0;
    }
    low.exp()
}

/// Ratios outside this range count as zero or infinite: the rarest event that can be compared is
/// one call in 10^9.
const SMALLEST: f64 = 1e-9;
const LARGEST: f64 = 1e9;
/// Of the logarithm of a ratio. The interval is shown with three digits.
const PRECISION: f64 = 1e-12;

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
    fn a_search_finds_the_end_in_a_few_steps_and_never_in_many() {
        let evaluations = std::cell::Cell::new(0);
        let count = |value: f64| {
            evaluations.set(evaluations.get() + 1);
            value
        };
        for end in [2e-9, 1e-3, 0.999, 1.0, 7.25, 8e8] {
            evaluations.set(0);
            let smooth = last_below_zero(|ratio| count((ratio / end).ln().sinh()));
            assert!((smooth / end - 1.0).abs() < 1e-11, "{smooth}, expected {end}");
            assert!(evaluations.get() <= 30, "{} evaluations for {end}", evaluations.get());

            evaluations.set(0);
            let step = last_below_zero(|ratio| count(if ratio <= end { -1e-6 } else { 1e6 }));
            assert!((step / end - 1.0).abs() < 1e-11, "{step}, expected {end}");
            assert!(evaluations.get() <= 54, "{} evaluations for {end}", evaluations.get());
        }
        assert!((last_below_zero(|_| 1.0) - SMALLEST).abs() < f64::EPSILON);
        assert!((last_below_zero(|_| -1.0) - LARGEST).abs() < f64::EPSILON);
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
