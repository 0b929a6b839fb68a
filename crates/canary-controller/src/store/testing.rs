//! A conformance suite for stores, and a store that fails on demand.
//!
//! [`store_conformance!`](crate::store_conformance) generates one test per check for a
//! [`StoreUnderTest`], which opens the store and, where possible, injects faults into it. Each
//! check is also a public function. Checks need a multi-threaded runtime and the real clock. Each
//! uses its own keys, so that checks can share an engine and run concurrently.
//!
//! ```no_run
//! // `no_run`, because `cargo test` runs the generated tests.
//! use std::sync::Arc;
//!
//! use canary_controller::store::{
//!     MemoryStore, StateStore,
//!     testing::{HookFuture, StoreUnderTest},
//! };
//!
//! #[derive(Debug, Default)]
//! struct Memory(MemoryStore);
//!
//! impl StoreUnderTest for Memory {
//!     fn open(&self) -> HookFuture<'_, Arc<dyn StateStore>> {
//!         Box::pin(async { Arc::new(self.0.clone()) as Arc<dyn StateStore> })
//!     }
//! }
//!
//! canary_controller::store_conformance!(Memory::default());
//! # fn main() {}
//! ```

mod failures;
mod faulty;
mod histories;
mod removals;
mod store_under_test;
mod swaps;
mod watches;

pub use self::{
    failures::{calls_end_while_the_store_is_unavailable, corrupt_documents_are_left_unchanged},
    faulty::{FaultyStore, StoreFault},
    histories::{
        concurrent_appends_have_one_order, events_round_trip, histories_are_bounded,
        histories_are_ordered,
    },
    removals::{lists_are_complete, removals_are_exclusive},
    store_under_test::{HookFuture, Injection, StoreUnderTest, key},
    swaps::{
        a_conflict_returns_the_current_document, concurrent_increments_are_not_lost,
        creation_is_exclusive, documents_round_trip, keys_are_independent,
        loads_see_acknowledged_swaps, revisions_are_never_reused,
    },
    watches::{
        a_watch_outlives_its_store_handle, a_watch_recovers_from_an_outage,
        a_watch_starts_with_the_current_document, a_watch_that_is_not_polled_delays_no_call,
        watches_converge,
    },
};

/// Generates one test per check of the suite. Each test evaluates the expression to get its
/// [`StoreUnderTest`].
///
/// The calling crate needs `tokio` with the features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! store_conformance {
    ($subject:expr) => {
        $crate::store_conformance! { @each $subject =>
            creation_is_exclusive
            a_conflict_returns_the_current_document
            loads_see_acknowledged_swaps
            concurrent_increments_are_not_lost
            revisions_are_never_reused
            documents_round_trip
            keys_are_independent
            removals_are_exclusive
            lists_are_complete
            a_watch_starts_with_the_current_document
            watches_converge
            a_watch_that_is_not_polled_delays_no_call
            a_watch_outlives_its_store_handle
            a_watch_recovers_from_an_outage
            histories_are_ordered
            histories_are_bounded
            concurrent_appends_have_one_order
            events_round_trip
            calls_end_while_the_store_is_unavailable
            corrupt_documents_are_left_unchanged
        }
    };
    (@each $subject:expr => $($check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $check() {
                $crate::store::testing::$check(&$subject).await;
            }
        )*
    };
}
