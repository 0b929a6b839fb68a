//! The judge of a canary release: counts in, an anytime-valid verdict out.
//!
//! A canary gets a small share of the calls, and some of them go badly. Whether that is the
//! canary's fault or chance is what this crate says, and when it cannot say it, it says so. One may
//! ask after every call: a canary that is not worse than stable is called degraded with probability
//! `alpha` at most over the *whole rollout*, however often one looks, whatever the rates are, and
//! also if something that both channels depend on fails.
//!
//! The [guide] explains it to people who never took statistics; [`Evidence`] has the definitions
//! and their sources.
//!
//! # Example
//!
//! A rollout takes snapshots of the data plane's counts and lets the judge observe what was counted
//! between two of them:
//!
//! ```
//! use canary_analysis::{Judge, Levels, Monitor, Observation, SlowLimit, Until};
//! use canary_core::{Counts, EpochCounts, Snapshot, Verdict, Weight};
//!
//! let monitors = [
//!     Monitor::failures(),
//!     Monitor::failures().of_class("checkout"),
//!     Monitor::slow(Until::Head, SlowLimit::stable_quantile(0.99)?).watch_only(),
//!     Monitor::share(),
//! ];
//! let mut judge = Judge::try_new(Levels::default(), monitors)?;
//!
//! # let epoch = |stable: u64, canary: u64, failed: u64| {
//! #     let mut counts = Counts::default();
//! #     (counts.evidence.stable.picked, counts.evidence.stable.success) = (stable, stable);
//! #     let channel = &mut counts.evidence.canary;
//! #     (channel.picked, channel.success, channel.failure) = (canary, canary - failed, failed);
//! #     EpochCounts::new(1, Weight::from_percent(1), counts)
//! # };
//! let earlier = Snapshot::default();
//! let now = Snapshot::new(Counts::default(), vec![epoch(99_000, 1_000, 0)]);
//! let checkout = Snapshot::new(Counts::default(), vec![epoch(990, 10, 4)]);
//! judge.observe(&Observation::between(&earlier, &now)?.with_class("checkout", checkout));
//!
//! let judgment = judge.judgment();
//! assert_eq!(judgment.verdict, Verdict::Degraded);
//! let finding = judgment.decisive().expect("a monitor decided");
//! assert_eq!(finding.monitor, "failures of checkout");
//! assert!(finding.to_string().starts_with("canary fails 40 % of calls against stable's 0 %"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How evidence flows
//!
//! ```text
//! Snapshot - Snapshot = Observation -> Judge -> MonitorState -> Evidence (or SampleRatioTest)
//!                                        |                              |
//!                                     Judgment <- Finding per Monitor <-+
//! ```
//!
//! - Only [`Counts::evidence`](canary_core::Counts::evidence) is compared; calls put aside are not.
//! - Calls are compared by the weight at which they were assigned, however long they last.
//! - A [`Guard`] looks between ticks, whenever a call of the canary's fails.
//! - Sticky traffic is counted per key, by a [`KeyLedger`].
//! - [`Judge::state`] is all there is to store. Observations of replicas are
//!   [put together](Observation::with_replica): the evidence is the same as that of one process.
//! - [`Forecast`] says beforehand what a plan can find out.
//!
//! # Guarantees
//!
//! | | what holds | provided that | shown by |
//! |---|---|---|---|
//! | G1 | a canary that is not worse is called degraded with probability `alpha` at most, over the whole rollout and all deciding monitors | each call (or key) is assigned by its own coin | `the_mean_of_e_is_exactly_one_where_the_null_ends`, `good_canaries_are_rarely_rolled_back` |
//! | G2 | so it is if both channels fail together, or rates drift | the same | `outages_of_both_channels_are_not_the_canarys_fault` |
//! | G3 | a canary beyond the margin of good is called healthy with probability `beta` at most; calls without an answer count as if they had gone badly | calls go badly independently of each other, those in flight on both channels no worse than those that were answered, and the canary is beyond the margin whenever there is no storm: outages of both channels do not count for it, but for some five events that each lets in before it shows | `the_mean_of_e_for_good_is_at_most_one_at_the_margin`, `the_mean_of_e_is_at_most_one_if_only_storms_hit_both_channels_alike`, `canaries_beyond_the_margin_are_rarely_called_healthy`, `canaries_beyond_the_margin_are_rarely_called_healthy_after_outages`, `a_fault_behind_an_outage_is_never_called_healthy`, `a_canary_that_hangs_is_not_healthy` |
//! | G4 | a canary that fails every call from the start, against a stable without failures, is caught within 3 of its calls, at weights up to 10 % | one monitor decides, with the default margins and levels | `a_canary_that_fails_every_call_is_off_within_three`, `a_canary_that_fails_every_call_is_caught_within_three` |
//! | G5 | ticks in any order and pieces, on one replica or many, are the same evidence; which looks are burst_looks depends on their order and size, so that for healthy it holds of replicas [put together](Observation::with_replica) in each look | limits of slow calls are fixed | `replicas_merged_are_the_same_evidence_as_one_process`, `replicas_of_one_look_are_one_process_in_storms_too`, `cut_otherwise_or_in_another_order_storms_may_be_others_but_harm_is_the_same` |
//! | G6 | no number is NaN, no count makes it panic | | `no_number_is_ever_nan`, `counts_near_the_end_of_their_type_do_no_harm` |
//! | G7 | a restart goes on with the same evidence, bit by bit | the state was stored, and [`KeyLedger`]s with it | `a_judge_restored_in_the_middle_goes_on_with_the_same_bits` |
//!
//! # When it says healthy
//!
//! Healthy is a proof, and what is missing is no part of a proof. Whatever the odds, a monitor does not
//! call the canary healthy, and says why ([`NotHealthyReason`]), if
//!
//! - it is not proven good without storms, looks at which far more calls than usual went badly: that an
//!   outage hits both channels alike says nothing about the time after it;
//! - its calls without an answer (in flight, given up, lost), had they all gone badly, would leave it
//!   unproven: a canary that hangs has no failures;
//! - fewer than nine tenths of the answers, feedback or keys are there that stable's lead one to expect;
//! - a ledger of adverse keys was full, or adverse keys were not told at all, however many were seen;
//! - a call or key was on a channel that its weight excludes.
//!
//! # Storms
//!
//! The proof without storms makes the same bets as the whole one on fewer looks. A look is one
//! [observation](Judge::observe), all its weights and replicas together.
//!
//! - A storm is five adverse events in excess of a limit, however many looks they take: four times the
//!   odds of the calm rate so far, or of `good.rate` if that is more (with a quantile, of what is slow by
//!   definition).
//! - The bet on the split leaves out looks by their *totals*, calls and adverse events of both channels.
//!   The bet on the canary's rate leaves out looks by *stable's* calls alone. Neither choice depends on
//!   what is bet on, or on anything later, so that both stay fair whichever looks they choose.
//! - What lasts becomes normal: the limit doubles with each 30 looks in a storm, and each calm look takes
//!   one of them back. A service that fails 30 % from the start is normal after some 130 looks; an outage of
//!   every call never is.
//! - Of monitors per key the limit is about keys hit for the first time among calls given, and the bet on
//!   the rate leaves nothing out, since a key that a storm hit does not count again. Without calls there
//!   are no storms.
//! - Harm, the guard, the interval and fresh starts know no storms: evidence for worse is of all looks.
//! - A storm much shorter than the time between two looks is not seen as one, but thinned out among calm
//!   calls. Look every few seconds.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `serde` | storing [`JudgeState`] and [`KeyLedger`] in any format, and writing a [`Judgment`] |
//!
//! # What it does not do
//!
//! It reads no clock, draws no random number (but for the simulator, from a seed) and does no I/O.
//! It neither sets weights nor rolls back: that is the rollout's. It compares one canary with one
//! stable.

mod adverse_counts;
mod burst_detector;
mod channel_comparison;
mod completeness;
mod evidence;
mod explain;
mod finding;
mod forecast;
mod guard;
mod interval;
mod judge;
mod judge_state;
mod key_ledger;
mod levels;
mod log_space;
mod margins;
mod monitor;
mod monitor_state;
mod non_inferiority;
mod not_healthy_reason;
mod observation;
mod outage_filter;
mod rate_e_process;
mod sample_ratio;
#[cfg(feature = "serde")]
mod serialize;
mod slow;
mod split_e_process;
mod split_ratio;
mod unused_observations;

// The pictures stand beside the guide, but not beside its page here: the first definition of a link
// wins.
#[doc = "[rules]: https://raw.githubusercontent.com/tower-canary/tower-canary/main/crates/canary-analysis/docs/false-rollbacks.svg"]
#[doc = "[evidence]: https://raw.githubusercontent.com/tower-canary/tower-canary/main/crates/canary-analysis/docs/evidence.svg"]
#[doc = ""]
#[doc = include_str!("../docs/how-a-canary-is-judged.md")]
pub mod guide {}

pub use self::{
    adverse_counts::{AdverseCounts, AdverseCountsError},
    evidence::Evidence,
    finding::{Finding, Split, Strength},
    forecast::{Forecast, ForecastError},
    guard::{Guard, Trip},
    interval::RatioInterval,
    judge::{Judge, JudgeError, Judgment},
    judge_state::{JudgeState, ResumeError},
    key_ledger::{KeyCounts, KeyLedger, Recorded},
    levels::{LevelError, Levels},
    margins::{Margin, MarginError, Margins},
    monitor::{Measure, Monitor, Role, Unit},
    not_healthy_reason::NotHealthyReason,
    observation::Observation,
    sample_ratio::SampleRatioTest,
    slow::{SlowLimit, SlowLimitError, Until},
    split_ratio::SplitRatio,
    unused_observations::UnusedObservation,
};
