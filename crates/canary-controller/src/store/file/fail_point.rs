//! Points at which the crash tests stop a process in order to kill it.
//!
//! With the feature `fail-points` and `CANARY_STORE_STOP_AT=point:3` in the environment, a process
//! prints `stopped` when a thread reaches that point for the third time, and parks the thread.
//! Without the feature, [`reach`] does nothing.

/// A point between two effects on the disk.
#[derive(Clone, Copy)]
#[cfg_attr(feature = "fail-points", derive(Debug))]
pub(super) enum FailPoint {
    Locked,
    TemporaryCreated,
    TemporaryHalfWritten,
    TemporaryWritten,
    TemporarySynced,
    Renamed,
    DirectorySynced,
    TornEventCut,
    HistoryRotated,
    EventHalfWritten,
    EventWritten,
    EventSynced,
}

#[cfg(not(feature = "fail-points"))]
pub(super) const fn reach(_point: FailPoint) {}

#[cfg(feature = "fail-points")]
pub(super) fn reach(point: FailPoint) {
    use std::{
        env,
        io::{self, Write},
        sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        },
        thread,
    };

    static STOP: LazyLock<Option<(String, u64)>> = LazyLock::new(|| {
        let stop = env::var("CANARY_STORE_STOP_AT").ok()?;
        let (name, pass) = stop.split_once(':').expect("the form is point:pass");
        Some((name.to_owned(), pass.parse().expect("the pass is a number")))
    });
    static PASSES: AtomicU64 = AtomicU64::new(0);

    let Some((name, pass)) = &*STOP else { return };
    if format!("{point:?}") == *name && PASSES.fetch_add(1, Ordering::Relaxed) + 1 == *pass {
        let mut out = io::stdout().lock();
        let printed = writeln!(out, "stopped").and_then(|()| out.flush());
        printed.expect("the test reads stdout");
        drop(out);
        loop {
            thread::park();
        }
    }
}
