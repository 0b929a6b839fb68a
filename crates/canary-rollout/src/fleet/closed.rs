use std::collections::BTreeSet;

use canary_core::Weight;
use serde::{Deserialize, Serialize};

/// The weights for whose counts a document has no room. The calls of these weights that are still
/// open are not judged.
///
/// ```
/// use canary_core::Weight;
/// use canary_rollout::fleet::ClosedWeights;
///
/// let mut closed: ClosedWeights = [Weight::from_percent(1)].into_iter().collect();
/// closed.extend(&[Weight::from_percent(5)].into_iter().collect());
/// assert!(closed.contains(Weight::from_percent(1)) && closed.contains(Weight::from_percent(5)));
/// ```
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClosedWeights(
    /// In parts per million.
    BTreeSet<u32>,
);

impl ClosedWeights {
    /// Adds other weights.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// Returns whether this weight is closed.
    #[must_use]
    pub fn contains(&self, weight: Weight) -> bool {
        self.0.contains(&weight.ppm())
    }

    /// Returns whether no weight is closed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether all of these weights are closed in `other` too.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl FromIterator<Weight> for ClosedWeights {
    fn from_iter<I: IntoIterator<Item = Weight>>(weights: I) -> Self {
        Self(weights.into_iter().map(Weight::ppm).collect())
    }
}
