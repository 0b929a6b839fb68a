//! Waiting that comes to an end even if what is waited for does not come.

use std::time::Duration;

/// Waits for what should happen soon.
///
/// # Panics
///
/// If it does not happen within half a minute.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("what should happen soon did not happen")
}

const PATIENCE: Duration = Duration::from_secs(30);
