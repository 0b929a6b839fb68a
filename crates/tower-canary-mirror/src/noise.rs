/// How often a field differed between the channels, and between two answers of stable.
///
/// A field is [noise](Self::is_noise) if stable differs from itself in it, and the canary does not differ
/// from stable clearly more often.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FieldCounts {
    /// The field, with `*` for positions: `body/items/*/price`.
    pub field: String,
    /// Calls in which the canary's answer differed from stable's in it.
    pub differed: u64,
    /// Calls whose answers were compared.
    pub compared: u64,
    /// Calls in which stable's second answer differed from its first in it.
    pub noise_differed: u64,
    /// Calls whose two answers of stable were compared.
    pub noise_compared: u64,
}

impl FieldCounts {
    /// Whether differences in this field do not count.
    ///
    /// Noise it is if stable was seen to differ from itself in the field, and the 95 % Wilson score intervals
    /// of the two rates, of the canary's differences and of stable's own, overlap or the canary's is the
    /// lower one. So a field that is random always is noise, from the first second answer of stable on; one
    /// that stable changes once in a hundred calls is noise as long as the canary does so about as often,
    /// and no longer when the canary does in each call.
    ///
    /// That two such intervals do not overlap, by chance alone, has a probability of less than 1 % for a
    /// field, when looked at once. This is a filter, looked at after each call, and no verdict.
    ///
    /// (E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.)
    #[must_use]
    pub fn is_noise(&self) -> bool {
        let raw = Interval::of(self.differed, self.compared);
        let noise = Interval::of(self.noise_differed, self.noise_compared);
        self.noise_differed > 0 && raw.lower <= noise.upper
    }
}

/// The Wilson score interval of a rate.
#[derive(Clone, Copy, Debug)]
struct Interval {
    lower: f64,
    upper: f64,
}

impl Interval {
    fn of(hits: u64, trials: u64) -> Self {
        if trials == 0 {
            return Self { lower: 0.0, upper: 1.0 };
        }
        #[expect(clippy::cast_precision_loss, reason = "nobody mirrors 2^53 calls")]
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

    fn is_noise(raw: (u64, u64), noise: (u64, u64)) -> bool {
        FieldCounts {
            field: String::new(),
            differed: raw.0,
            compared: raw.1,
            noise_differed: noise.0,
            noise_compared: noise.1,
        }
        .is_noise()
    }

    /// The roots of `(p - r)^2 = z^2 r (1 - r) / n`, which define the interval, found by bisection.
    #[test]
    fn intervals_are_those_that_their_definition_gives() {
        for ((hits, trials), (lower, upper)) in [
            ((0, 10), (0.0, 0.277_532_799_862_889_26)),
            ((1, 10), (0.017_876_213_095_072_903, 0.404_150_026_795_238_5)),
            ((50, 100), (0.403_831_530_365_995_6, 0.596_168_469_634_004_4)),
        ] {
            let interval = Interval::of(hits, trials);
            assert!((interval.lower - lower).abs() < 1e-9, "{interval:?}");
            assert!((interval.upper - upper).abs() < 1e-9, "{interval:?}");
        }
    }

    #[test]
    fn what_stable_never_changes_is_no_noise() {
        assert!(!is_noise((1, 1000), (0, 0)));
        assert!(!is_noise((1, 1000), (0, 1000)));
    }

    #[test]
    fn what_stable_changes_as_often_as_the_canary_is_noise() {
        assert!(is_noise((1, 1), (1, 1)));
        assert!(is_noise((1000, 1000), (100, 100)));
        assert!(is_noise((503, 1000), (45, 100)));
        assert!(is_noise((10, 1000), (100, 1000)));
    }

    #[test]
    fn what_the_canary_changes_clearly_more_often_is_no_noise() {
        assert!(!is_noise((10, 10), (1, 10)));
        assert!(!is_noise((1000, 1000), (10, 100)));
        assert!(!is_noise((700, 1000), (450, 1000)));
    }
}
