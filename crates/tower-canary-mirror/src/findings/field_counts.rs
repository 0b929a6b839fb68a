/// The counts of differences in one field: between the channels, and between two responses of
/// stable.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FieldCounts {
    /// The field, with `*` for array positions: `body/items/*/price`.
    pub field: String,
    /// Comparisons of stable with the canary in which the field differed.
    pub differed: u64,
    /// Comparisons of stable with the canary.
    pub compared: u64,
    /// Comparisons of two responses of stable in which the field differed.
    pub noise_differed: u64,
    /// Comparisons of two responses of stable.
    pub noise_compared: u64,
}

impl FieldCounts {
    /// Returns whether differences in this field are noise and do not count.
    ///
    /// A field is noise if stable's responses differ in it and the canary's do not differ clearly
    /// more often: the lower end of the 95 % Wilson score interval of the canary's rate is not
    /// above the upper end of stable's.
    ///
    /// A field that always differs is noise after the first request that stable answered twice. A
    /// field that differs in one of a hundred of stable's responses is noise while it differs about
    /// as often in the canary's. If it differs in every response of the canary, it is not noise.
    ///
    /// For one field and one test, the probability that two such intervals do not overlap by chance
    /// alone is below 1 %. The mirror tests after each comparison and uses the result as a filter,
    /// not as a verdict.
    ///
    /// (E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.)
    #[must_use]
    pub fn is_noise(&self) -> bool {
        let canary = WilsonInterval::of(self.differed, self.compared);
        let stable = WilsonInterval::of(self.noise_differed, self.noise_compared);
        self.noise_differed > 0 && canary.lower <= stable.upper
    }
}

/// The Wilson score interval of a rate.
#[derive(Clone, Copy, Debug)]
struct WilsonInterval {
    lower: f64,
    upper: f64,
}

impl WilsonInterval {
    fn of(hits: u64, trials: u64) -> Self {
        if trials == 0 {
            return Self { lower: 0.0, upper: 1.0 };
        }
        #[expect(clippy::cast_precision_loss, reason = "the counts stay far below 2^53")]
        let (hits, trials) = (hits as f64, trials as f64);
        let (rate, square) = (hits / trials, Z * Z);
        let center = rate + square / (2.0 * trials);
        let spread =
            Z * (rate * (1.0 - rate) / trials + square / (4.0 * trials * trials)).max(0.0).sqrt();
        let scale = 1.0 + square / trials;
        Self { lower: (center - spread) / scale, upper: (center + spread) / scale }
    }
}

/// The two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_noise(canary: (u64, u64), stable: (u64, u64)) -> bool {
        FieldCounts {
            field: String::new(),
            differed: canary.0,
            compared: canary.1,
            noise_differed: stable.0,
            noise_compared: stable.1,
        }
        .is_noise()
    }

    /// The expected values are the roots of `(p - r)^2 = z^2 r (1 - r) / n`, found by bisection.
    #[test]
    fn intervals_satisfy_their_definition() {
        for ((hits, trials), (lower, upper)) in [
            ((0, 10), (0.0, 0.277_532_799_862_889_26)),
            ((1, 10), (0.017_876_213_095_072_903, 0.404_150_026_795_238_5)),
            ((50, 100), (0.403_831_530_365_995_6, 0.596_168_469_634_004_4)),
        ] {
            let interval = WilsonInterval::of(hits, trials);
            assert!((interval.lower - lower).abs() < 1e-9, "{interval:?}");
            assert!((interval.upper - upper).abs() < 1e-9, "{interval:?}");
        }
    }

    #[test]
    fn a_field_that_never_differs_in_stable_is_not_noise() {
        assert!(!is_noise((1, 1000), (0, 0)));
        assert!(!is_noise((1, 1000), (0, 1000)));
    }

    #[test]
    fn a_field_that_differs_in_stable_as_often_as_in_the_canary_is_noise() {
        assert!(is_noise((1, 1), (1, 1)));
        assert!(is_noise((1000, 1000), (100, 100)));
        assert!(is_noise((503, 1000), (45, 100)));
        assert!(is_noise((10, 1000), (100, 1000)));
    }

    #[test]
    fn a_field_that_differs_clearly_more_often_in_the_canary_is_not_noise() {
        assert!(!is_noise((10, 10), (1, 10)));
        assert!(!is_noise((1000, 1000), (10, 100)));
        assert!(!is_noise((700, 1000), (450, 1000)));
    }
}
