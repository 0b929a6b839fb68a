use std::{
    any::Any,
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::{task::JoinSet, time::timeout};

use crate::bounded_text::bounded;

/// The reason why a task of the application did not complete.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum TaskFailure {
    Panicked(String),
    TimedOut(Duration),
    /// The runtime is shutting down.
    Cancelled,
}

/// Runs code of the application in a separate task, with a time limit, and catches its panics.
///
/// If `work` blocks its thread, the time limit still holds, provided that the runtime has another
/// thread. The task is aborted when this future is dropped.
pub(crate) async fn isolated<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, TaskFailure> {
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    match timeout(limit, tasks.join_next()).await {
        Err(_) => Err(TaskFailure::TimedOut(limit)),
        Ok(Some(Ok(done))) => Ok(done),
        Ok(Some(Err(error))) => Err(match error.try_into_panic() {
            Ok(payload) => TaskFailure::Panicked(panic_message(payload)),
            Err(_) => TaskFailure::Cancelled,
        }),
        Ok(None) => Err(TaskFailure::Cancelled),
    }
}

/// Returns the message of a panic, cut to 128 bytes, and drops the payload.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let text = (payload.downcast_ref::<&str>().copied())
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default();
    let text = bounded(text, PANIC_BYTES);
    discard(payload);
    text
}

/// Drops a panic's payload. If the drop panics too, leaks what is left.
#[expect(clippy::mem_forget, reason = "dropping the second payload could panic again")]
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(payload);
    }
}

impl fmt::Display for TaskFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(text) if text.is_empty() => f.write_str("panicked"),
            Self::Panicked(text) => write!(f, "panicked: {text}"),
            Self::TimedOut(limit) => write!(f, "took longer than {limit:?}"),
            Self::Cancelled => f.write_str("was cancelled"),
        }
    }
}

const PANIC_BYTES: usize = 128;
