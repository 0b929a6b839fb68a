//! The controller of canary releases, and the store of their state.
//!
//! What is here so far is the [`store`].

pub mod store;
