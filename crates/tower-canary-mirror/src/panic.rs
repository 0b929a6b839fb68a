use std::panic::{AssertUnwindSafe, catch_unwind};

/// The canary panicked. The payload is dropped: the panic hook has reported it.
#[derive(Debug)]
pub(crate) struct Panicked;

/// Runs a part of the canary, and stops its panic.
///
/// Whatever panicked must not be used again: callers drop it, with [`discard`].
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        // A payload whose drop panics is the last thing a sick canary can throw.
        discard(|| drop(payload));
        Panicked
    })
}

/// Drops what panicked, whose destructor may panic as well.
#[expect(clippy::mem_forget, reason = "a payload that is dropped could panic once more")]
pub(crate) fn discard(drop: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(drop)) {
        std::mem::forget(payload);
    }
}
