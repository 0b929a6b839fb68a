//! A time limit for everything that tests wait for.

use std::time::Duration;

/// Ends a test that hangs. No wait takes this long, even on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for a future, at most for [`TIMEOUT`].
///
/// # Panics
///
/// If the future does not complete in time.
pub async fn complete<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(TIMEOUT, future).await.expect("a future did not complete in time")
}
