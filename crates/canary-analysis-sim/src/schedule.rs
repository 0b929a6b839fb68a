use canary_core::Weight;

/// The weights over time.
#[derive(Clone, Debug)]
pub struct Schedule(Vec<(Weight, u32)>);

impl Schedule {
    /// Creates a schedule of weights and their durations in seconds.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = (Weight, u32)>) -> Self {
        Self(steps.into_iter().collect())
    }

    /// Creates a schedule of 1, 5, 10, 25 and 50 % for twelve minutes each.
    #[must_use]
    pub fn hour() -> Self {
        Self::new([1, 5, 10, 25, 50].map(|percent| (Weight::from_percent(percent), 720)))
    }

    /// Returns the weights and their durations in seconds.
    #[must_use]
    pub fn steps(&self) -> &[(Weight, u32)] {
        &self.0
    }

    /// Returns the step number and the weight of each second.
    pub(crate) fn seconds(&self) -> impl Iterator<Item = (u64, Weight)> {
        (0..).zip(&self.0).flat_map(|(step, (weight, seconds))| {
            std::iter::repeat_n((step, *weight), usize::try_from(*seconds).unwrap_or(usize::MAX))
        })
    }
}
