/// Who makes the calls that the weight assigns, since the last change of the settings.
///
/// Only calls with a key are counted. Keys are counted by groups of hashes, not one by one: a key
/// never makes more calls than stated here, but may make slightly fewer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Callers {
    /// Empty without calls that have a key.
    pub(crate) slots: Vec<u64>,
    pub(crate) capped: u64,
}

impl Callers {
    pub(crate) const fn none() -> Self {
        Self { slots: Vec::new(), capped: 0 }
    }

    /// Returns the number of calls with a key.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// Returns the number of calls that are not evidence, because their key had made its part; see
    /// [`CanaryOptions::evidence_per_key`](crate::CanaryOptions::evidence_per_key).
    #[must_use]
    pub const fn capped(&self) -> u64 {
        self.capped
    }

    /// Returns the part of the calls with a key that the key with the most calls made,
    /// `0.0..=1.0`, or `None` without calls.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the relative error is at most 1e-16")]
    pub fn largest_part(&self) -> Option<f64> {
        let largest = self.slots.iter().max().copied().unwrap_or_default();
        (largest > 0).then(|| largest as f64 / self.calls() as f64)
    }
}
