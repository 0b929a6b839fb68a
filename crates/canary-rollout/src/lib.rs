//! The rollout of a canary release: its plan, and the state machine that runs it.
//!
//! A canary begins with a few calls, is watched, gets more, and in the end all of them, or none. What
//! happens when is a [`Plan`]; where it is, and what has happened so far, is a [`Rollout`]. This crate
//! decides, and does nothing: it reads no clock, waits for nothing, draws no random number, logs
//! nothing and does no I/O. So each decision can be tested, repeated, and made by any replica.
//!
//! # Example
//!
//! A whole rollout, in simulated time. Whoever drives a real one (the controller) asks a clock, reads
//! the data plane's counts, lets a [`Judge`](canary_analysis::Judge) judge them, and carries out the
//! actions.
//!
//! ```
//! use std::time::Duration;
//!
//! use canary_core::{Verdict, Weight};
//! use canary_rollout::{Action, Actor, Command, Order, Phase, Plan, Releases, Rollout, Tick, Timestamp};
//!
//! let plan = Plan::from_toml(
//!     r#"
//!     [[steps]]
//!     weight = "0.1%"
//!     min_duration = "1m"
//!     min_calls = 20
//!
//!     [[steps]]
//!     weight = "10%"
//!     min_duration = "5m"
//!     min_calls = 1000
//!
//!     [bake]
//!     duration = "10m"
//!     "#,
//! )?;
//! println!("{}", plan.dry_run(200.0, Some(0.001))?); // How long it takes at best.
//!
//! let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
//! let mut rollout = Rollout::new("checkout".parse()?, releases, plan);
//! let mut now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
//! let mut weight = Weight::ZERO; // The data plane's.
//!
//! let start = Order::new(Command::Start, Actor::person("anna"), "v2 is built");
//! let mut actions = rollout.command(now, &start)?.actions;
//! while rollout.phase() != Phase::Promoted {
//!     for action in actions {
//!         match action {
//!             Action::SetWeight(to) => weight = to,
//!             Action::RollBack => weight = Weight::ZERO,
//!             Action::Promote => weight = Weight::FULL,
//!             _ => {} // Store it, tell people, run probes, ask gates.
//!         }
//!     }
//!     now = now + Duration::from_secs(1);
//!     let calls = u64::from(weight.ppm()) * 200 / 1_000_000; // Of 200 a second.
//!     let tick = Tick::new(Verdict::Healthy, "canary fails no more than stable");
//!     actions = rollout.tick(now, &tick.with_calls(calls.max(1))).actions;
//! }
//! let story: Vec<String> =
//!     rollout.history().map(|event| format!("{} {}", event.by, event.kind)).collect();
//! assert_eq!(
//!     story,
//!     [
//!         "anna started (attempt 1)",
//!         "the plan began step 1",
//!         "the plan began step 2",
//!         "the judge began the bake",
//!         "the judge promoted the canary",
//!     ],
//! );
//!
//! // Better late than never: a rollback is possible even now.
//! let order = Order::new(Command::RollBack, Actor::person("anna"), "totals are wrong");
//! assert_eq!(rollout.command(now, &order)?.actions[0], Action::RollBack);
//! assert_eq!(rollout.pending(now).to_string(), "rolled back (by anna: totals are wrong)");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a decision is made
//!
//! ```text
//!            Tick (verdict, calls, answers, probes)      Order (command, by, reason)
//!                                  |                          |
//!       now -----------------------+---> Rollout <------------+
//!                                  |      (Plan, State, history)
//!                                  v
//!                     Transition: actions, events, a note; or a Refusal
//! ```
//!
//! - [`Plan`]: steps, gates, probes, monitors, deadlines, calendar; [`guide`] explains its fields.
//! - [`State`]: where it is, and [`states`] tells what each command does in each of them.
//! - [`Action`]: what is to be done, in an order that is safe if the process dies between any two.
//! - [`Event`]: who, when, why, on which evidence.
//! - [`Pending`]: what it waits for, in one sentence and as data.
//! - [`DryRun`]: how long a plan takes at best.
//!
//! # Guarantees
//!
//! Each is shown over random histories, clocks that jump among them, by the test of that name in
//! `tests/laws.rs`.
//!
//! | | what holds | shown by |
//! |---|---|---|
//! | R1 | the weight is never above the step's; set by hand, never above the plan's maximum | `the_weight_is_within_the_plan` |
//! | R2 | after a rollback or a halt nothing raises the weight but a new start | `nothing_but_a_start_raises_the_weight_after_a_rollback_or_a_halt` |
//! | R3 | a halt ends by a release only, and a release starts nothing | `a_halt_ends_by_a_release_only` |
//! | R4 | a promotion rests on the judge's proof, on somebody's word, or on a plan that says `on_inconclusive = "advance"` | `a_promotion_rests_on_proof_or_on_somebodys_word` |
//! | R5 | a step is left only after its time and its calls, whatever the clock does | `a_step_is_left_only_after_its_time_and_calls_whatever_the_clock_does` |
//! | R6 | a degraded canary never gets more calls, but by a person's word | `a_degraded_canary_never_gets_more_calls` |
//! | R7 | the same inputs have the same outcome, stored and loaded in between or not | `the_same_inputs_have_the_same_outcome_stored_between_or_not` |
//! | R8 | what lowers the weight comes before saving, what raises it after | `what_lowers_comes_before_saving_and_what_raises_after` |
//! | R9 | the document to be stored is never longer than [`Rollout::MAX_BYTES`] | `a_stored_rollout_is_short_and_its_events_are_in_order` |
//!
//! # What it does not do
//!
//! It judges nothing: that is `canary-analysis`, whose [`Judge`](canary_analysis::Judge) a plan makes.
//! It keeps no evidence: who drives it stores that beside the rollout. It runs no probe, asks no gate and
//! tells nobody: it says when. It does not start by itself: somebody, or some program, says
//! [`Command::Start`].

mod action;
mod actor;
pub mod command;
pub mod dry_run;
pub mod event;
mod history;
pub mod pending;
pub mod plan;
mod rollout;
mod serialize;
mod span;
pub mod state;
mod text;
pub mod tick;
mod timestamp;

#[doc = include_str!("../docs/plans.md")]
pub mod guide {}

#[doc = include_str!("../docs/states.md")]
pub mod states {}

pub use self::{
    action::{Action, Transition},
    actor::Actor,
    command::order::{Command, Order},
    plan::definition::Plan,
    rollout::{Releases, Rollout},
    state::phase::{Phase, State},
    tick::input::Tick,
    timestamp::{ParseTimestampError, Timestamp},
};
