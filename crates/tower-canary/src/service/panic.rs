use std::panic::{AssertUnwindSafe, catch_unwind};

/// A panic of the canary. The panic hook has reported it already, so the payload is dropped.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs code of the canary, and catches its panic.
///
/// A value that panicked must not be used again. Drop it with [`discard`].
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        // The destructor of the payload may panic as well.
        discard(|| drop(payload));
        Panicked
    })
}

/// Drops a value whose destructor may panic.
#[expect(clippy::mem_forget, reason = "the destructor of the payload could panic")]
pub(crate) fn discard(drop: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop)) {
        std::mem::forget(payload);
    }
}
