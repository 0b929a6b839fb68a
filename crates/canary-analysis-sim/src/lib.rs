//! A simulator that measures how often a rule rolls back a good canary, and how long it takes to
//! roll back a bad one.
//!
//! [`Traffic`] defines the calls and their results, with any number of [`Trouble`]s, a [`Schedule`]
//! the weights over time, and a [`RollbackRule`] when to roll back. A [`Study`] runs many rollouts,
//! each from its own seed, and returns a [`Summary`]. The [`rules`] are the judge of `canary-analysis` and three common rules.
//!
//! ```
//! use canary_analysis_sim::{Schedule, Study, Traffic, rules};
//!
//! let traffic = Traffic::new(50.0, 0.001).with_canary_failures(1.0);
//! let study = Study::new(traffic, Schedule::hour(), 20);
//! let summary = study.run(rules::judge);
//! assert_eq!(summary.rolled_back, 20);
//! assert!(summary.calls_until_rollback().unwrap().median < 4.0);
//! ```

mod draws;
mod pictures;
mod schedule;
mod second;
mod study;
mod summary;
mod table;
mod traffic;
mod verdicts;

pub mod rules;

pub use crate::{
    pictures::{Picture, pictures},
    rules::RollbackRule,
    schedule::Schedule,
    second::Second,
    study::Study,
    summary::{Median, Summary},
    table::{MarkdownTable, false_rollbacks, late_faults, table},
    traffic::{
        Activity, ColdStart, ColdUntil, Drift, Ending, Law, LogNormal, Shape, Starts, Traffic,
        Trouble, Users, Waiting,
    },
    verdicts::Verdicts,
};

#[expect(clippy::cast_precision_loss, reason = "simulated counts are below 2^53")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}
