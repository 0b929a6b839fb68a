use std::{
    any::Any,
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use canary_rollout::bounded;
use tokio::{task::JoinSet, time::timeout};

/// Work of others that did not come to its end.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Broken {
    Panicked(String),
    TookLongerThan(Duration),
    /// The runtime is being shut down.
    Cancelled,
}

/// Runs work of others, with a time limit, where its panic does no harm.
///
/// It is a task of its own, so that the time limit holds for work that blocks its thread, too, if the
/// runtime has another one. It is aborted when this future is dropped.
pub(crate) async fn isolated<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, Broken> {
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    match timeout(limit, tasks.join_next()).await {
        Err(_) => Err(Broken::TookLongerThan(limit)),
        Ok(Some(Ok(done))) => Ok(done),
        Ok(Some(Err(error))) => Err(match error.try_into_panic() {
            Ok(payload) => Broken::Panicked(panic_text(payload)),
            Err(_) => Broken::Cancelled,
        }),
        Ok(None) => Err(Broken::Cancelled),
    }
}

/// What a panic says.
pub(crate) fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = (payload.downcast_ref::<&str>().copied())
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default();
    let text = bounded(text, PANIC_BYTES);
    discard(payload);
    text
}

/// Drops a panic's payload, whose destructor may panic as well.
#[expect(clippy::mem_forget, reason = "a payload that is dropped could panic once more")]
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(payload);
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(text) if text.is_empty() => f.write_str("panicked"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::TookLongerThan(limit) => write!(f, "took longer than {limit:?}"),
            Self::Cancelled => f.write_str("was cancelled"),
        }
    }
}

const PANIC_BYTES: usize = 128;
