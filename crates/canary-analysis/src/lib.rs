//! The judge of a canary release: counts in, an anytime-valid verdict out.
//!
//! A canary gets a small share of the calls, and some of them fail. This crate decides whether a
//! difference to stable is real or chance, and reports `Inconclusive` when it cannot decide. The
//! verdict can be read after every call: a canary that is not worse than stable is called degraded
//! with a probability of at most `alpha` over the *whole rollout*, however often the verdict is
//! read, whatever the rates are, and even if a dependency of both channels fails.
//!
//! The [guide] explains the method without statistics. [`Evidence`](statistics::Evidence) has the
//! definitions and their sources.
//!
//! # Example
//!
//! ```
//! use canary_analysis::{Judge, Levels, Monitor, Observation};
//! use canary_core::{Counts, EpochCounts, Snapshot, Verdict, Weight};
//!
//! let mut judge = Judge::try_new(Levels::default(), [Monitor::failures()])?;
//!
//! // At a weight of 1 % the canary fails 3 of 3 calls, stable 0 of 297.
//! let mut counts = Counts::default();
//! (counts.evidence.stable.picked, counts.evidence.stable.success) = (297, 297);
//! (counts.evidence.canary.picked, counts.evidence.canary.failure) = (3, 3);
//! let epoch = EpochCounts::new(1, Weight::from_percent(1), counts);
//! let now = Snapshot::new(Counts::default(), vec![epoch]);
//! judge.observe(&Observation::between(&Snapshot::default(), &now)?);
//!
//! assert_eq!(judge.verdict(), Verdict::Degraded);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A judge can have several monitors. Each explains its verdict in a sentence:
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
//! let all = Snapshot::new(Counts::default(), vec![epoch(99_000, 1_000, 0)]);
//! let checkout = Snapshot::new(Counts::default(), vec![epoch(990, 10, 4)]);
//! judge.observe(&Observation::of(all).with_class("checkout", checkout));
//!
//! let judgment = judge.judgment();
//! assert_eq!(judgment.verdict, Verdict::Degraded);
//! let finding = judgment.decisive().expect("a monitor decided");
//! assert_eq!(finding.monitor, "failures of checkout");
//! assert!(finding.to_string().starts_with("4 of 10 canary calls failed, 0 of 990 of stable's"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How evidence flows
//!
//! ```text
//! Snapshot - Snapshot = Observation -> Judge -> Evidence per Monitor
//!                                        |              |
//!                                     Judgment <- Finding per Monitor
//! ```
//!
//! - Only [`Counts::evidence`](canary_core::Counts::evidence) is compared, not the excluded calls.
//! - Calls are compared by the weight at which they were assigned, however long they last.
//! - A [`Guard`] updates the evidence between observations, with each failed canary call.
//! - Sticky traffic is counted per key, by a [`KeyLedger`](keys::KeyLedger).
//! - [`Judge::state`] is the complete state to store. Observations of replicas can be
//!   [merged](Observation::with_replica): the evidence is that of one process.
//! - A monitor can [start at a later step](Monitor::starting_at_step) of the rollout. Until then, its
//!   counts are no evidence.
//! - [`Forecast`] predicts how long a plan takes to detect a regression.
//!
//! # Guarantees
//!
//! | | guarantee | null hypothesis and assumptions | does not hold for | tests |
//! |---|---|---|---|---|
//! | G1 | a canary that is not worse is called degraded with a probability of at most `alpha`, over the whole rollout and all deciding monitors | given everything before it, each call (or key) is assigned with the odds of its weight, and the canary's chance that it is adverse is at most `worse.ratio` times stable's, or at most `worse.rate`. The chances may change from call to call | an outage of one channel alone: a hundred failures then have one cause, and are not a hundred coins. See G2 | `the_mean_e_value_is_exactly_one_at_the_margin`, `good_canaries_are_rarely_rolled_back`, `good_canaries_are_rarely_degraded_by_a_later_monitor` |
//! | G2 | G1 holds if both channels fail together or rates drift. If each channel has outages of its own, the canary is called degraded with a probability of at most 1/20 (see [`SecondProof`]) | for the first sentence, as for G1. For the second: given the past, the rates of the two channels in a block of time are exchangeable, or the canary's are as frequent and deeper (fewer pods); the [`Baseline`] or the rollout has shown an outage of stable; blocks are independent, which they nearly are at twice the length of the longest outage | before stable has shown an outage: the first one of the canary is degraded. Outages of more than five minutes. Monitors per key | `outages_of_both_channels_do_not_cause_rollbacks`, `outages_of_each_channel_alone_do_not_cause_rollbacks`, `calls_that_hang_on_one_channel_alone_are_no_harm_if_stables_do_so_too`, `the_sign_of_equal_channels_is_zero_on_average` |
//! | G3 | a canary beyond the margin of good is called healthy with a probability of at most `beta`; calls without a response count as adverse | the canary is beyond the margin in all looks that [count](#outages): those with at most three times the usual rate. For the proof by rate, calls are adverse independently of each other. Calls in flight are no worse than answered ones, on both channels | trouble of both channels that is always there hides a difference of its own size: with as much trouble as normal failures twice over, a canary must be four times worse to be beyond twice stable's rate. Trouble that wanders so slowly that it is no [wave](#outages), and never rests. Waves, for monitors per key. An outage of both that lasts longer than the judge has known stable. Clients that retry on the other channel | `the_mean_e_value_for_good_is_at_most_one_at_the_margin`, `the_mean_e_value_is_at_most_one_if_only_outages_hit_both_channels_alike`, `the_rate_e_process_includes_bursts_of_the_canary_alone`, `calls_without_a_response_are_never_evidence_for_the_canary`, `canaries_beyond_the_margin_are_rarely_called_healthy`, `canaries_beyond_the_margin_are_rarely_called_healthy_after_outages`, `a_fault_behind_an_outage_is_never_called_healthy`, `a_canary_that_hangs_is_not_healthy`, `a_held_verdict_ends_when_the_canary_hangs`, `a_fault_behind_a_partial_outage_is_never_called_healthy`, `a_fault_behind_recurring_outages_is_rarely_called_healthy`, `a_fault_behind_waves_without_a_calm_time_is_rarely_called_healthy` |
//! | G4 | a canary that fails every call from the start, when stable has no failures, is detected within 3 canary calls, at weights up to 10 % | one monitor decides, with the default margins and levels | a service in which stable has outages of its own, see [`SecondProof`] | `a_canary_that_fails_every_call_trips_within_three`, `a_canary_that_fails_every_call_is_caught_within_three` |
//! | G5 | the evidence does not depend on the order and grouping of counts, or on the number of replicas; a healthy verdict also depends on the detection of outages, and so on the looks: replicas must be [merged](Observation::with_replica) in each look | limits of slow calls are fixed |  | `merged_replicas_have_the_evidence_of_one_process`, `replicas_merged_in_each_look_detect_the_outages_of_one_process`, `the_grouping_of_looks_changes_outages_but_not_the_evidence_for_worse` |
//! | G6 | no number is NaN, no count causes a panic |  |  | `no_number_is_ever_nan`, `counts_near_u64_max_do_not_panic` |
//! | G7 | a restarted process continues with the same evidence, bit by bit | the state and the [ledgers](keys::KeyLedger) were stored |  | `a_restored_judge_continues_with_the_same_bits`, `a_restart_between_outages_changes_nothing` |
//! | G8 | with an absolute [`Limit`]: a canary within it is called degraded with a probability of at most its monitor's part of `alpha`, and one beyond it healthy with a probability of at most `beta`. With a number, it is degraded with the next adverse call, and only then | given everything before it, each call of the canary is adverse with a probability of at most the limit; for healthy, of at least the limit. A number needs no assumption | an outage of both channels: stable's calls do not matter. A canary within about a tenth of the limit stays inconclusive | `the_error_rates_hold_at_the_limit`, `success_of_at_least_three_nines_is_judged_whatever_stable_does`, `a_ninety_ninth_percentile_of_at_most_half_a_second_is_judged`, `calls_without_a_response_are_not_below_a_limit`, `at_most_five_errors_are_five` |
//! | G9 | a canary whose calls stay unanswered is degraded, and one whose calls wait as long as stable's is not, with a probability of at least 1 less its part of `alpha` | as for G1 and G2, with a call that reaches 5, 30 or 120 s without an answer as adverse | calls that hang for less than 5 s, and streams that hang after their head | `calls_that_wait_on_both_channels_alike_are_no_evidence`, `a_canary_that_hangs_is_degraded_within_seconds`, `a_canary_that_hangs_beside_long_calls_is_found` |
//! | G10 | the guards of a fleet [share](Guard::set_replicas) `alpha`: a canary that is not worse makes any of them trip with a probability of at most `alpha`, beside that of the judge | as for G1; each guard follows the judge of the sum, and adds only failures that this sum does not have | | `guards_that_share_alpha_rarely_roll_back_a_good_canary`, `the_guard_of_one_of_many_replicas_needs_a_few_more_failures` |
//!
//! # When the canary is healthy
//!
//! Healthy is a proof, and missing data proves nothing. However strong the evidence, a monitor does
//! not call the canary healthy, and reports the [reason](judgment::NotHealthyReason), if
//!
//! - the canary is not proven good without outages: an outage that hits both channels alike is no
//!   evidence about the time after it;
//! - the usual rate is not known yet, and the canary is not proven good by its own rate;
//! - its calls without a response (in flight, cancelled, lost) would leave it unproven if all of
//!   them were adverse: a canary that hangs has no failures;
//! - it has fewer than nine tenths of the responses, feedback or keys that are expected from
//!   stable's;
//! - a ledger of adverse keys was full, or the adverse keys are missing;
//! - a call or key was on a channel that its weight excludes;
//! - the canary is [warming up](Monitor::warm_up);
//! - a single bet on harm is too strong.
//!
//! Once proven, a healthy verdict is held until a single bet on harm reaches odds of 20 : 1, and it
//! begins again when all such bets are below 5 : 1 and the proof is complete. The bound of G3 is
//! about the first proof, so this costs nothing of `beta`. Missing data ends it as before, except
//! that calls without a response must then be evidence against the canary, at odds of 20 : 1.
//!
//! # Outages
//!
//! A look is one [observation](Judge::observe), with all its weights and replicas, and the time that
//! it covers. Two things happen if many calls fail for a while.
//!
//! **Outages of both channels** are no evidence for the canary. The proof without outages uses the
//! same e-processes on fewer looks:
//!
//! - The usual rate is that of the calmest 20 seconds (and 500 calls) of the last 30 to 60 minutes.
//!   It is known after eleven minutes with calls, those of the [`Baseline`] included.
//! - An outage is five adverse events in excess of a limit, over any number of looks. The limit is
//!   three times the odds of the usual rate, or `good.rate` if that is higher, or, with a quantile,
//!   the fraction of calls that is slow by definition. Looks above the limit wait until it is
//!   decided whether they belong to an outage.
//! - The looks that remain are kept by the rate of their minute. Those above the limit *of now* do
//!   not count: if a calmer time becomes known, the proof of an incident goes away.
//! - In *waves*, the calmest 20 seconds have trouble too, and no usual rate is known. If the rate of
//!   the last 30 to 60 minutes has risen and fallen within minutes, the split proves nothing, and a
//!   canary is healthy only by its own rate. Waves have a mean above twice `good.rate`, a covariance of
//!   neighboring blocks of two seconds of at least 0.06 by the square of the mean, and a lower level of
//!   at most 0.7 of the mean. Waves that begin later do not withdraw a healthy verdict.
//!   Monitors per key do not detect waves.
//! - The e-process on the split leaves out looks by their *totals*, the calls and adverse events of
//!   both channels. The e-process on the canary's rate leaves out looks by *stable's* calls alone.
//!   Neither choice depends on the outcome of the bet, so that both remain fair.
//! - A rate that rises for good is usual after 30 to 60 minutes.
//! - For monitors per key, the limit is about new adverse keys per call and at least four times
//!   `good.rate`, and the e-process on the rate leaves out nothing, because a key that was affected
//!   in an outage does not count again. Without calls, no outage is detected.
//! - An outage much shorter than the time between two looks is not detected, because normal calls
//!   dilute it. Observe every few seconds.
//!
//! **Outages of one channel alone**, of a pod or a pool, are no evidence against the canary if
//! stable has them too. If stable has shown some in the last 6 to 12 hours, a degraded verdict needs
//! a [second proof](SecondProof) over blocks of time, also in the [guard](Guard). Otherwise the
//! evidence for worse includes all looks.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `serde` | storing [`JudgeState`] and [`KeyLedger`](keys::KeyLedger) in any format, serializing a [`Judgment`] |
//!
//! # Limits
//!
//! This crate reads no clock, uses no random numbers and does no I/O. It does not set weights or
//! roll back; `canary-rollout` does. It compares one canary with one stable.

mod adverse_counts;
mod alpha_parts;
mod background;
mod baseline;
mod block_bets;
mod burst_detector;
mod calm_rate;
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
mod limit;
mod log_space;
mod margins;
mod monitor;
mod monitor_state;
mod non_inferiority;
mod not_healthy_reason;
mod observation;
mod outage_filter;
mod outage_history;
mod rate_e_process;
mod sample_ratio;
mod second_proof;
#[cfg(feature = "serde")]
mod serialize;
mod slow;
mod split_e_process;
mod split_ratio;
#[cfg(feature = "serde")]
mod stored_default;
mod unanswered_evidence;
mod unused_observations;
mod warm_up;
mod waves;

pub use self::{
    adverse_counts::AdverseCounts,
    baseline::Baseline,
    finding::Finding,
    forecast::Forecast,
    guard::{Guard, Trip},
    judge::{Judge, Judgment},
    judge_state::JudgeState,
    levels::Levels,
    limit::Limit,
    margins::{Margin, Margins},
    monitor::{Measure, Monitor, Role, Unit},
    observation::Observation,
    second_proof::SecondProof,
    slow::{Excess, SlowLimit, Until},
};

/// The parts of a [`Judgment`].
pub mod judgment {
    pub use crate::{
        finding::{GoodBy, Split, Strength},
        not_healthy_reason::NotHealthyReason,
        unused_observations::UnusedObservation,
    };
}

/// Counting per key, for sticky traffic.
pub mod keys {
    pub use crate::key_ledger::{KeyCounts, KeyLedger, Recorded};
}

/// The e-processes behind the judge, for use without it.
pub mod statistics {
    pub use crate::{
        evidence::{Evidence, RatioPrior},
        interval::RatioInterval,
        sample_ratio::SampleRatioTest,
        split_ratio::SplitRatio,
    };
}

/// The errors of this crate.
pub mod error {
    pub use crate::{
        adverse_counts::AdverseCountsError, forecast::ForecastError, judge::JudgeError,
        judge_state::ResumeError, levels::LevelError, limit::LimitError, margins::MarginError,
        second_proof::SecondProofError, slow::SlowLimitError,
    };
}

// rustdoc does not publish the pictures beside the guide. The first definition of a link wins.
#[doc = "[rules]: https://raw.githubusercontent.com/tower-canary/tower-canary/main/crates/canary-analysis/docs/false-rollbacks.svg"]
#[doc = "[evidence]: https://raw.githubusercontent.com/tower-canary/tower-canary/main/crates/canary-analysis/docs/evidence.svg"]
#[doc = ""]
#[doc = include_str!("../docs/how-a-canary-is-judged.md")]
pub mod guide {}
