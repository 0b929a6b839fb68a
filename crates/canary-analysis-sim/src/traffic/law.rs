use crate::draws::Draws;

/// The distribution of a duration, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Law {
    /// Always this long.
    Fixed(f64),
    /// Exponential with this mean: most are short, and a few are several means long.
    Exponential(f64),
    /// Each length between these two is as frequent.
    Between(f64, f64),
    /// Pareto with this smallest value and this exponent: a few are very long. The mean is finite if
    /// the exponent is above 1.
    Pareto(f64, f64),
}

impl Law {
    pub(crate) fn draw(self, draws: &mut Draws) -> f64 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Exponential(mean) => draws.wait(mean),
            Self::Between(least, most) => least + (most - least) * draws.unit(),
            // The exponential of an exponential variable is a Pareto variable.
            Self::Pareto(least, exponent) => least * draws.wait(1.0 / exponent).exp(),
        }
    }
}
