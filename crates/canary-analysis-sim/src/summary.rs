use std::time::Duration;

use crate::as_f64;

/// The result of one rollout.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunResult {
    pub(crate) rolled_back: bool,
    pub(crate) seconds: u32,
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) proven_after: Option<u64>,
    pub(crate) proven_at: Option<u32>,
}

/// The results of a study.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// All rollouts.
    pub runs: u32,
    /// Rollouts that were rolled back.
    pub rolled_back: u32,
    /// Rollouts in which the canary was healthy at some time.
    pub proven: u32,
    calls: Vec<f64>,
    seconds: Vec<f64>,
    harmed: Vec<f64>,
    proven_after: Vec<f64>,
    proven_at: Vec<f64>,
}

impl Summary {
    pub(crate) fn of(results: &[RunResult]) -> Self {
        let rolled_back = || results.iter().filter(|result| result.rolled_back);
        let proven_after: Vec<f64> =
            results.iter().filter_map(|result| result.proven_after).map(as_f64).collect();
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        Self {
            runs: number(results.len()),
            rolled_back: number(rolled_back().count()),
            proven: number(proven_after.len()),
            calls: rolled_back().map(|result| as_f64(result.calls)).collect(),
            seconds: rolled_back().map(|result| f64::from(result.seconds)).collect(),
            harmed: rolled_back().map(|result| as_f64(result.failures)).collect(),
            proven_after,
            proven_at: results.iter().filter_map(|it| it.proven_at).map(f64::from).collect(),
        }
    }

    /// Returns the fraction of rollouts that were rolled back.
    #[must_use]
    pub fn rate(&self) -> f64 {
        f64::from(self.rolled_back) / f64::from(self.runs)
    }

    /// Returns the fraction of rollouts in which the canary was healthy.
    #[must_use]
    pub fn proven_rate(&self) -> f64 {
        f64::from(self.proven) / f64::from(self.runs)
    }

    /// Returns the Monte Carlo error of a fraction of the rollouts: one standard deviation.
    #[must_use]
    pub fn error_of(&self, rate: f64) -> f64 {
        (rate * (1.0 - rate) / f64::from(self.runs)).sqrt()
    }

    /// Returns the number of rollouts that were rolled back within this time.
    #[must_use]
    pub fn rolled_back_within(&self, time: Duration) -> usize {
        self.seconds.iter().filter(|seconds| **seconds <= time.as_secs_f64()).count()
    }

    /// Returns the number of rollouts in which the canary was healthy within this time.
    #[must_use]
    pub fn proven_within(&self, time: Duration) -> usize {
        self.proven_at.iter().filter(|seconds| **seconds <= time.as_secs_f64()).count()
    }

    /// Returns the canary calls until the rollback.
    #[must_use]
    pub fn calls_until_rollback(&self) -> Option<Median> {
        Median::of(&self.calls)
    }

    /// Returns the seconds until the rollback.
    #[must_use]
    pub fn seconds_until_rollback(&self) -> Option<Median> {
        Median::of(&self.seconds)
    }

    /// Returns the failed canary calls from the fault until the rollback.
    #[must_use]
    pub fn harmed(&self) -> Option<Median> {
        Median::of(&self.harmed)
    }

    /// Returns the canary calls until the canary was healthy.
    #[must_use]
    pub fn calls_until_proof(&self) -> Option<Median> {
        Median::of(&self.proven_after)
    }

    /// Returns the seconds until the canary was healthy.
    #[must_use]
    pub fn seconds_until_proof(&self) -> Option<Median> {
        Median::of(&self.proven_at)
    }
}

/// A median of simulated rollouts.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Median {
    /// The median.
    pub median: f64,
    /// Its Monte Carlo error: half of the distance between the values one standard deviation of the
    /// rank below and above it.
    pub error: f64,
    /// The largest of the values.
    pub largest: f64,
}

impl Median {
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let spread = sorted.len().isqrt() / 2;
        let middle = sorted.len() / 2;
        let (low, high) = (middle.saturating_sub(spread), (middle + spread).min(last));
        let error = (sorted[high] - sorted[low]) / 2.0;
        Some(Self { median: sorted[middle], error, largest: sorted[last] })
    }
}
