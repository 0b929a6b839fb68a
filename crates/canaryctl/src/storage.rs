use canary_api::{CanaryView, StoreFailureView};

use crate::times::Times;

/// Returns a line for each operation on the store that fails. The summary already has the error of the
/// first.
pub(crate) fn failures(view: &CanaryView, times: &Times) -> Vec<String> {
    let line = |failure: &StoreFailureView| {
        let since = times.full(&failure.since);
        let error = match view.summary.contains(&failure.error) {
            true => String::new(),
            false => format!(": {}", failure.error),
        };
        format!("{} of {} has failed since {since}{error}", failure.operation, failure.path)
    };
    view.storage.failures.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_its_operation_its_path_its_time_and_its_error_once() {
        let text = include_str!("../testdata/view.json");
        let mut view: CanaryView = serde_json::from_str(text).unwrap();
        assert!(failures(&view, &Times::utc()).is_empty());
        let failure = |operation: &str, error: &str| StoreFailureView {
            operation: operation.to_owned(),
            path: "/var/shop.json".to_owned(),
            error: error.to_owned(),
            since: "2026-11-24T09:00:00.120Z".to_owned(),
            sentence: String::new(),
        };
        view.summary = "running; the store cannot be written: disk full".to_owned();
        view.storage.failures = vec![failure("write", "disk full"), failure("watch", "gone")];
        assert_eq!(
            failures(&view, &Times::utc()),
            [
                "write of /var/shop.json has failed since 2026-11-24 09:00:00Z",
                "watch of /var/shop.json has failed since 2026-11-24 09:00:00Z: gone",
            ]
        );
    }
}
