//! The conformance suite for stores, and a store that fails on demand.
//!
//! [`store_conformance!`](crate::store_conformance) makes a test of each check for a [`Subject`],
//! which opens the store under test and, as far as it can, does harm to it. The checks are also
//! functions, to be called one by one. They need a runtime with several threads and the real clock;
//! each uses keys of its own, so that they can share an engine and run at once.
//!
//! ```no_run
//! // No run: the tests are for `cargo test` to find.
//! use std::sync::Arc;
//!
//! use canary_controller::store::{
//!     MemoryStore, StateStore,
//!     testing::{HookFuture, Subject},
//! };
//!
//! #[derive(Debug, Default)]
//! struct Memory(MemoryStore);
//!
//! impl Subject for Memory {
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
mod store_under_test;
mod swaps;
mod watches;

pub use self::{
    failures::{a_call_ends_while_the_store_is_away, what_is_no_document_is_left_alone},
    faulty::{Fault, FaultyStore},
    histories::{
        appends_race_in_one_order, events_of_any_size_come_back, histories_are_bounded,
        histories_are_ordered,
    },
    store_under_test::{HookFuture, Outcome, Subject, key},
    swaps::{
        conflicts_carry_what_is_there, documents_of_any_size_come_back, increments_add_up,
        keys_are_apart, only_one_creates, revisions_are_never_used_again, swaps_are_seen_by_all,
    },
    watches::{
        a_watch_begins_with_what_there_is, a_watch_outlives_an_outage, watches_converge,
        watches_outlive_their_store_handle,
    },
};

/// Makes a test of each check of the suite, for the [`Subject`] that the expression makes anew for
/// each.
///
/// The crate that calls it needs `tokio` with the features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! store_conformance {
    ($subject:expr) => {
        $crate::store_conformance! { @each $subject =>
            only_one_creates
            conflicts_carry_what_is_there
            swaps_are_seen_by_all
            increments_add_up
            revisions_are_never_used_again
            documents_of_any_size_come_back
            keys_are_apart
            a_watch_begins_with_what_there_is
            watches_converge
            watches_outlive_their_store_handle
            a_watch_outlives_an_outage
            histories_are_ordered
            histories_are_bounded
            appends_race_in_one_order
            events_of_any_size_come_back
            a_call_ends_while_the_store_is_away
            what_is_no_document_is_left_alone
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
