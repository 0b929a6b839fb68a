//! The plan of a canary rollout, and the state machine that runs it.
//!
//! A canary starts with a few calls, is judged, gets more calls, and finally gets all of them or
//! none. A [`Plan`] defines the steps; a [`Rollout`] is the current state with its history. This
//! crate only decides. It reads no clock, never sleeps, draws no random numbers, logs nothing and
//! does no I/O, so every decision can be tested and repeated, and any replica can make it.
//!
//! # Example
//!
//! A complete rollout in simulated time. In production the driver (`canary-controller`) reads the
//! clock and the counts, asks a [`Judge`](canary_analysis::Judge) for verdicts, and carries out the
//! actions.
//!
//! ```
//! use std::time::Duration;
//!
//! use canary_core::{Verdict, Weight};
//! use canary_rollout::{
//!     Action, Actor, Command, Order, Phase, Plan, Releases, Rollout, Tick, Timestamp,
//! };
//!
//! let plan = "steps = [{ weight = '10%', min_duration = '5m', min_calls = 1000 }]";
//! let plan = Plan::from_toml(plan)?;
//! println!("{}", plan.dry_run(200.0, Some(0.001))?); // How long the plan takes at best.
//!
//! let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
//! let mut rollout = Rollout::new("checkout".parse()?, releases, plan);
//! let mut now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
//! let mut weight = Weight::ZERO; // The weight of the data plane.
//!
//! let start = Order::new(Command::Start, Actor::person("anna"), "v2 is built");
//! let mut actions = rollout.command(now, &start)?.actions;
//! while rollout.phase() != Phase::Promoted {
//!     for action in actions {
//!         match action {
//!             Action::SetWeight(to) => weight = to,
//!             Action::RollBack => weight = Weight::ZERO,
//!             Action::Promote => weight = Weight::FULL,
//!             _ => {} // Save the rollout, send notifications, run probes, ask gates.
//!         }
//!     }
//!     now = now + Duration::from_secs(1);
//!     let calls = u64::from(weight.ppm()) * 200 / 1_000_000; // Of 200 calls per second.
//!     let tick = Tick::new(Verdict::Healthy, "canary fails no more than stable");
//!     actions = rollout.tick(now, &tick.with_calls(calls)).actions;
//! }
//! let history: Vec<String> =
//!     rollout.history().map(|event| format!("{} {}", event.by, event.kind)).collect();
//! assert_eq!(
//!     history,
//!     ["anna started (attempt 1)", "the plan began step 1", "the judge promoted the canary"],
//! );
//!
//! // A rollback is possible even after the promotion.
//! let order = Order::new(Command::RollBack, Actor::person("anna"), "totals are wrong");
//! assert_eq!(rollout.command(now, &order)?.actions[0], Action::RollBack);
//! assert_eq!(rollout.pending(now).to_string(), "rolled back (by anna: totals are wrong)");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a decision is made
//!
//! ```text
//!       Tick (verdict, calls, answers, probes)      Order (command, by, reason)
//!                             |                          |
//!       now ------------------+---> Rollout <------------+
//!                             |      (Plan, State, history)
//!                             v
//!             Transition: actions, events, a note; or a Refusal
//! ```
//!
//! - [`Plan`]: steps, gates, probes, monitors, deadlines, calendar. The [`guide`] explains its
//!   fields, and [`coming_from`] translates the settings of other tools.
//! - [`State`]: the state of a rollout. [`states`] lists the effect of each command in each state.
//! - [`Action`]: an instruction to the driver. A process may die between any two of them.
//! - [`Event`](event::Event): an entry of the history, with its time, cause, reason and evidence.
//! - [`Lineage`]: the identity of a stored rollout, which reveals that a store was wiped.
//! - [`Pending`](pending::Pending): the conditions that a rollout is waiting for.
//! - [`Preview`](preview::Preview): the effect that a command would have, for the place beside a
//!   button.
//! - [`Outlook`](outlook::Outlook): when a rollout will be promoted at the observed traffic, and the
//!   smallest regression that it catches by then.
//! - [`DryRun`](dry_run::DryRun): a forecast of how long a plan takes at best.
//!
//! # Guarantees
//!
//! `tests/laws.rs` tests each guarantee with random inputs, including clocks that jump.
//!
//! | | guarantee | test |
//! |---|---|---|
//! | R1 | The weight never exceeds the step's. Set by an operator, it never exceeds the plan's maximum. | `the_weight_is_within_the_plan` |
//! | R2 | After a rollback or a halt only a new start raises the weight. | `only_a_start_raises_the_weight_after_a_rollback_or_a_halt` |
//! | R3 | Only `lift-halt` ends a halt, and it starts nothing. | `only_lifting_a_halt_ends_it` |
//! | R4 | A promotion, and a step at 100%, require the judge's proof, an operator's command, or a plan that goes on without proof. | `a_promotion_requires_proof_or_a_command` |
//! | R5 | A step ends only after its duration and its calls, even if the clock jumps. | `a_step_ends_only_after_its_time_and_calls` |
//! | R6 | A degraded canary gets more calls only by an operator's command. | `a_degraded_canary_never_gets_more_calls` |
//! | R7 | The same inputs produce the same transitions, even if the rollout is stored and loaded in between. | `the_same_inputs_produce_the_same_transitions` |
//! | R8 | Actions that lower the weight come before saving, and actions that raise it after. | `lowering_comes_before_saving_and_raising_after` |
//! | R9 | A document to be stored never exceeds [`Rollout::MAX_BYTES`]. | `a_stored_rollout_is_short_and_its_events_are_in_order` |
//! | R10 | After the store has lost the rollout, only an operator raises the weight. | `nothing_rises_after_the_store_has_lost_the_rollout` |
//! | R11 | Only a command or a promotion changes variables, and a rollback undoes the promotion's change. | `only_a_command_or_a_promotion_changes_variables` |
//! | R12 | A preview is the effect of the command. | `a_preview_is_the_effect_of_the_command` |
//! | R13 | By hand, only a command changes the weight, unless the plan lets the judge decide. | `only_operators_change_a_weight_by_hand` |
//! | R14 | A monitor of a later step begins when the weight of this step, or of the bake, comes into force, or when the step is skipped. | `monitors_begin_with_the_weight_of_their_step` |
//!
//! # What it does not do
//!
//! - It computes no verdicts. `canary-analysis` does; [`Plan::judge`] creates the judge of a plan.
//! - It stores no evidence. The driver stores evidence beside the rollout.
//! - It runs no probes, asks no gates and sends no notifications. It returns actions for them.
//! - It does not start a rollout. An operator does, with [`Command::Start`].

mod action;
mod actor;
pub mod command;
pub mod dry_run;
pub mod event;
pub mod fleet;
mod history;
mod lineage;
pub mod outlook;
pub mod pending;
pub mod plan;
pub mod preview;
mod proof;
pub mod replica;
mod rollout;
mod serialize;
mod span;
pub mod state;
mod text;
pub mod tick;
mod timestamp;
pub mod variables;

#[doc = include_str!("../docs/plans.md")]
pub mod guide {}

#[doc = include_str!("../docs/coming-from.md")]
pub mod coming_from {}

#[doc = include_str!("../docs/states.md")]
pub mod states {}

pub use self::{
    action::{Action, Transition},
    actor::Actor,
    command::order::{Command, Order},
    lineage::{InvalidLineage, Lineage},
    plan::definition::Plan,
    rollout::{Relation, Releases, Rollout},
    state::phase::{Phase, State},
    tick::input::Tick,
    timestamp::{ParseTimestampError, Timestamp},
};
