//! The primitives that the shared state is built on, exchangeable for loom's.
//!
//! `RUSTFLAGS="--cfg canary_loom" cargo test -p tower-canary --release --lib loom` explores every
//! interleaving of the models in [`switch`](crate::switch). The two primitives that loom does not know,
//! `ArcSwap` and `OnceLock`, are replaced by stand-ins that keep their contract: a load sees the last
//! store, and all callers of `get_or_init` see one value.

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

    /// A pointer that many threads read without a lock or a shared write while one replaces it.
    pub(crate) struct Current<T>(ArcSwap<T>);

    impl<T> Current<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(ArcSwap::new(value))
        }

        pub(crate) fn load(&self) -> impl Deref<Target = Arc<T>> {
            self.0.load()
        }

        /// After this returns, every load that starts sees `value`.
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

    /// Only for values that are `Arc`s, which is all we keep in one.
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
