//! The judge of a canary release: counts in, an anytime-valid verdict out.

mod coin;
mod comparison;
mod evidence;
mod explain;
mod finding;
mod float;
mod guard;
mod interval;
mod judge;
mod keys;
mod levels;
mod margins;
mod monitor;
mod observation;
mod odds;
mod power;
mod share;
#[cfg(feature = "sim")]
pub mod sim;
mod slot;
mod slow;
mod state;
mod tick;
mod trials;

pub use self::{
    coin::Coin,
    evidence::Evidence,
    finding::{Finding, Split, Strength},
    guard::{Guard, Trip},
    interval::RatioInterval,
    judge::{Judge, JudgeError, Judgment},
    keys::{Counted, KeyCounts, KeyLedger},
    levels::{LevelError, Levels},
    margins::{Margin, MarginError, Margins},
    monitor::{Measure, Monitor, Role, Unit},
    observation::Observation,
    power::{Forecast, ForecastError},
    share::ShareEvidence,
    slow::{SlowLimit, SlowLimitError, Until},
    state::{JudgeState, ResumeError},
    tick::{Tick, TickError},
};
