use canary_core::Weight;
use serde::{Deserialize, Serialize};

use super::{ClosedWeights, FleetCounts, MissingCounts};

/// The counts of all replicas that a judge has observed. It is stored with the state of the judge, in
/// one change.
///
/// If a plan has more weights than a document has room for, the earliest ones are
/// [closed](Self::closing) for all replicas.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct JudgedCounts {
    sum: FleetCounts,
    #[serde(default, skip_serializing_if = "ClosedWeights::is_empty")]
    closed: ClosedWeights,
}

impl JudgedCounts {
    /// Creates counts whose sum has this value.
    #[must_use]
    pub fn new(sum: FleetCounts) -> Self {
        Self { sum, ..Self::default() }
    }

    /// Replaces the sum, and returns the difference: the next look of the judge.
    ///
    /// # Errors
    ///
    /// Returns an error if the new sum lacks counts that the judge has observed. Nothing changes then.
    pub fn advance(&mut self, sum: FleetCounts) -> Result<FleetCounts, MissingCounts> {
        let sum = self.open(sum);
        let look = sum.since(&self.sum)?;
        self.sum = sum;
        Ok(look)
    }

    /// Adds counts to the sum without a look.
    pub(super) fn accept(&mut self, counts: &FleetCounts) {
        let counts = self.open(counts.clone());
        self.sum.merge(&counts);
    }

    /// Takes counts out of the sum that the next sum does not have either.
    ///
    /// # Errors
    ///
    /// Returns an error if the sum lacks them. Nothing changes then.
    pub(super) fn take_out(&mut self, counts: &FleetCounts) -> Result<(), MissingCounts> {
        self.sum = self.sum.since(&self.open(counts.clone()))?;
        Ok(())
    }

    /// Replaces the sum without a look.
    pub fn reset(&mut self, sum: FleetCounts) {
        self.sum = self.open(sum);
    }

    /// Returns the counts at weights that are not closed.
    #[must_use]
    pub fn open(&self, mut counts: FleetCounts) -> FleetCounts {
        counts.close(&self.closed);
        counts
    }

    /// Returns the weights that are closed.
    #[must_use]
    pub const fn closed(&self) -> &ClosedWeights {
        &self.closed
    }

    /// Returns the counts with half of the weights closed, the smallest first and without `current`,
    /// or `None` if there is no other.
    #[must_use]
    pub fn closing(&self, current: Weight) -> Option<Self> {
        let closing = self.sum.earlier_half(current);
        let mut closed = self.clone();
        closed.close(&closing);
        (!closing.is_empty()).then_some(closed)
    }

    /// Closes these weights.
    pub fn close(&mut self, weights: &ClosedWeights) {
        if !weights.is_subset(&self.closed) {
            self.closed.extend(weights);
            self.sum.close(weights);
        }
    }
}
