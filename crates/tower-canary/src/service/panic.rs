use std::panic::{AssertUnwindSafe, catch_unwind};

/// A panic of the canary. The panic hook has reported it already, so the payload is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct Panicked;

/// Runs code of the canary or of the user, and catches its panic.
///
/// # Errors
///
/// Returns [`Panicked`] if the code panics.
///
/// A value that panicked must not be used again. Drop it with [`discard`].
pub fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        // The destructor of the payload may panic as well.
        discard(|| drop(payload));
        Panicked
    })
}

/// Drops a value whose destructor may panic.
#[expect(clippy::mem_forget, reason = "the destructor of the payload could panic")]
pub fn discard(drop: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop)) {
        std::mem::forget(payload);
    }
}
