use std::panic::{AssertUnwindSafe, catch_unwind};

/// A panic in code of the user. The panic hook has already reported it.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs code of the user and catches its panic.
///
/// A value that panicked must not be used again. Drop it with [`discard`].
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        discard(|| drop(payload));
        Panicked
    })
}

/// Drops a value whose destructor may panic.
#[expect(clippy::mem_forget, reason = "dropping the payload could panic again")]
pub(crate) fn discard(drop: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop)) {
        std::mem::forget(payload);
    }
}
