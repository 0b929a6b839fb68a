//! The judge of a canary release: counts in, an anytime-valid verdict out.

mod coin;
mod evidence;
mod float;
mod interval;
mod margins;
mod odds;
mod share;
mod tick;
mod trials;

pub use self::{
    coin::Coin,
    evidence::Evidence,
    interval::RatioInterval,
    margins::{Margin, MarginError, Margins},
    share::ShareEvidence,
    tick::{Tick, TickError},
};
