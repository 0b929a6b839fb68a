//! Synchronization primitives, replaced by those of loom in model tests.
//!
//! `RUSTFLAGS="--cfg canary_loom" cargo test -p tower-canary --release --lib loom` explores every
//! interleaving of the models in [`control::state`](crate::control::state). Loom has no `ArcSwap`
//! and no `OnceLock`. Substitutes keep their contracts: a load sees the last store, and all callers
//! of `get_or_init` see the same value.

#[cfg(not(canary_loom))]
pub(crate) use {
    self::std_impl::Current,
    std::sync::{Arc, Mutex, OnceLock, atomic},
};

#[cfg(canary_loom)]
pub(crate) use {
    self::loom_impl::{Current, OnceLock},
    loom::sync::{Arc, Mutex, atomic},
};

#[cfg(not(canary_loom))]
mod std_impl {
    use std::{ops::Deref, sync::Arc};

    use arc_swap::ArcSwap;

    /// A pointer that can be replaced. Reading it takes no lock and writes nothing that threads
    /// share.
    pub(crate) struct Current<T>(ArcSwap<T>);

    impl<T> Current<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(ArcSwap::new(value))
        }

        pub(crate) fn load(&self) -> impl Deref<Target = Arc<T>> {
            self.0.load()
        }

        /// Replaces the pointer. Loads that start after this returns see `value`.
        pub(crate) fn store(&self, value: Arc<T>) {
            self.0.store(value);
        }
    }
}

#[cfg(canary_loom)]
mod loom_impl {
    use std::ops::Deref;

    use loom::sync::{Arc, Mutex};

    pub(crate) struct Current<T>(Mutex<Arc<T>>);

    impl<T> Current<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn load(&self) -> impl Deref<Target = Arc<T>> {
            Box::new(Arc::clone(&self.0.lock().unwrap()))
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            *self.0.lock().unwrap() = value;
        }
    }

    /// For values that are cheap to clone, such as `Arc`s.
    pub(crate) struct OnceLock<T>(Mutex<Option<T>>);

    impl<T: Clone> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(None))
        }

        pub(crate) fn get(&self) -> Option<Box<T>> {
            self.0.lock().unwrap().clone().map(Box::new)
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> Box<T> {
            Box::new(self.0.lock().unwrap().get_or_insert_with(make).clone())
        }
    }
}
