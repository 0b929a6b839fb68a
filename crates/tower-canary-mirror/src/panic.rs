use std::panic::{AssertUnwindSafe, catch_unwind};

/// A panic in code of the user. The panic hook has already reported it.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs code of the user and catches its panic.
///
/// The caller must not use a value again that panicked. It drops the value with [`discard`].
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        discard(|| drop(payload));
        Panicked
    })
}

/// Runs a destructor that can panic.
#[expect(clippy::mem_forget, reason = "dropping the payload could panic again")]
pub(crate) fn discard(drop: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop)) {
        std::mem::forget(payload);
    }
}
