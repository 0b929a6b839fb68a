use std::{collections::BTreeMap, time::Duration};

use canary_core::CanaryName;
use canary_rollout::Timestamp;
use tokio::time::Instant;

use crate::{
    driver::TARGET,
    store::{StoreFailure, StoreOperation},
};

/// Which operations on the store fail, and the log of them: one line when an operation begins to
/// fail, then at most one per minute, and one when it succeeds again.
pub(super) struct StoreHealth {
    canary: CanaryName,
    records: BTreeMap<(StoreOperation, String), Record>,
}

/// The record of one operation on one document.
#[derive(Default)]
struct Record {
    failing: Option<Failing>,
    /// The number of failures.
    failures: u64,
    /// The number of failures since the last line of the log.
    unreported: u64,
    reported: Option<Instant>,
    /// Whether the log has a failure without a success.
    is_open: bool,
}

struct Failing {
    failure: StoreFailure,
    began: Instant,
    /// The number of failures since then.
    failures: u64,
}

impl StoreHealth {
    pub(super) const fn new(canary: CanaryName) -> Self {
        Self { canary, records: BTreeMap::new() }
    }

    /// Notes the result of an operation on the document at `path`.
    pub(super) fn note(
        &mut self,
        now: Timestamp,
        operation: StoreOperation,
        path: &str,
        result: Result<(), String>,
    ) {
        let record = self.records.entry((operation, path.to_owned())).or_default();
        let canary = &self.canary;
        match result {
            Ok(()) => {
                let Some(Failing { began, failures, .. }) = record.failing.take() else { return };
                if std::mem::take(&mut record.is_open) {
                    tracing::info!(
                        target: TARGET, %canary,
                        "the store works again: {operation} {path}, after {:.0?} and {} failures",
                        began.elapsed(), failures,
                    );
                }
            }
            Err(error) => {
                let (since, began, before) = match &record.failing {
                    Some(failing) => (failing.failure.since, failing.began, failing.failures),
                    None => (now, Instant::now(), 0),
                };
                let failure = StoreFailure { operation, path: path.to_owned(), error, since };
                record.failures += 1;
                record.unreported += 1;
                if record.reported.is_none_or(|reported| reported.elapsed() >= REPORT_INTERVAL) {
                    match record.unreported {
                        1 => tracing::warn!(target: TARGET, %canary, "{failure}"),
                        failures => tracing::warn!(
                            target: TARGET, %canary,
                            "{failure} ({failures} failures since the last report)",
                        ),
                    }
                    (record.reported, record.unreported) = (Some(Instant::now()), 0);
                    record.is_open = true;
                }
                record.failing = Some(Failing { failure, began, failures: before + 1 });
            }
        }
    }

    /// Forgets a failure of an operation that is left to another replica.
    pub(super) fn forget(&mut self, operation: StoreOperation, path: &str) {
        if let Some(record) = self.records.get_mut(&(operation, path.to_owned())) {
            record.failing = None;
        }
    }

    /// Returns whether an operation fails now.
    pub(super) fn is_failing(&self) -> bool {
        self.records.values().any(|record| record.failing.is_some())
    }

    /// Returns the operations that fail now, the longest first.
    pub(super) fn failures(&self) -> Vec<StoreFailure> {
        let mut failing: Vec<_> =
            self.records.values().filter_map(|record| record.failing.as_ref()).collect();
        failing.sort_by_key(|failing| failing.began);
        failing.into_iter().map(|failing| failing.failure.clone()).collect()
    }

    /// Returns the number of failures of each operation since the start of the process.
    pub(super) fn totals(&self) -> BTreeMap<StoreOperation, u64> {
        let mut totals = BTreeMap::new();
        for ((operation, _), record) in &self.records {
            *totals.entry(*operation).or_default() += record.failures;
        }
        totals
    }
}

/// The shortest time between two lines of the log about the same operation.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
