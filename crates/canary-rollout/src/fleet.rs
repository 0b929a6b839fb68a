//! The replicas of a rollout, and the sum of what they have counted.
//!
//! While a rollout is in progress, each replica publishes an entry on a *board* in the store: its
//! own [`FleetCounts`] since the attempt began, and its *beat*, a number that grows with each
//! publication. The driver of the rollout lists the entries, and gives the judge the sum of their
//! counts minus the [`JudgedCounts`], which the judge has already observed, as one look. It stores
//! the state of the judge together with the observed sum, in one change of the evidence. So the
//! next driver continues exactly there, and each call is judged once, whichever replica served it,
//! and whichever drives. A single process takes the same path.
//!
//! ```text
//!   replica A ----> entry A --+
//!   replica B ----> entry B --+--> sum - judged --> judge --> evidence { judge, judged, roster }
//!   driver    ----> entry ----+                                   |
//!       ^                                                         |
//!       +------------- findings, and what the guards know <-------+
//! ```
//!
//! - The driver publishes its own counts before it stores evidence that has them. So the board
//!   never has less than the judge has observed, and a driver that dies loses only calls of its own
//!   process that were not published.
//! - An entry outlives its replica, because the calls of a replica that has stopped were real. When
//!   it has left for a minute, the driver takes its counts out of the judged sum, stores that, and
//!   removes the entry. It does the same with the entries of crashed replicas, which have been
//!   silent for [a quarter of an hour](Roster::FORGOTTEN), if there are more than
//!   [100](Roster::MAX_FORGOTTEN). So a board has at most the entries of the replicas that run, of
//!   those that have left in the last minute or crashed in the last quarter of an hour, and 100
//!   more. The ids of crashed replicas are kept, at most [1,000](Roster::MAX_REMEMBERED), so that
//!   one that comes back is noticed. They take 20 kB of the evidence (test
//!   `the_roster_of_a_thousand_crashed_replicas_fits_into_the_evidence`).
//! - If the store loses an entry, or goes back to an earlier one, there are no looks until its
//!   replica has published again. After a minute, or after three beats if these are longer, the
//!   judge continues from the present sum. If the entry comes back later, the calls that it has by
//!   then are not judged, because some of them were. The same holds for a crashed replica without
//!   an entry that turns out to be alive.
//! - Each attempt to publish has a beat of its own, so that two entries of one beat have the same
//!   counts, even if the result of a publication is unknown.
//! - Evidence and entries name the attempt by its releases, its number and the lineage of the
//!   rollout. What is left of an attempt before the store was wiped is no evidence of a later one.
//!   The driver removes the entries of earlier attempts at once, and those of another lineage when
//!   they have not changed for a quarter of an hour.
//! - Each entry has the step of the plan that its replica had reached. Calls that a replica may
//!   have served before a step are no evidence for monitors that begin with it, however late it
//!   publishes them.
//! - An entry, or evidence, for which a document of the store has no room leaves out the counts of
//!   the earliest weights. These are then [closed](ClosedWeights) for all replicas until the next
//!   attempt: what still comes of their calls is not judged. If the judge begins again within the
//!   attempt, the first entry that leaves them out closes them again. A plan with many weights and
//!   monitors of latencies can get there. If an operator sets a closed weight again in the same
//!   attempt, its calls are not judged either, because entries could still have earlier calls,
//!   which were judged. The guard of each replica counts its own calls at this weight, monitors per
//!   key go on, and the status warns that the others do not judge.
//! - Every replica shows the findings of the evidence, and its guard follows them. The [`Roster`]
//!   in the evidence has the beats whose counts the judge has observed, so that a guard adds
//!   exactly the failures of its own process that are missing.
//! - Monitors per key judge the union of the keys of all replicas: [`keys`] has the protocol.
//!
//! # Which replicas are heard
//!
//! The [`Roster`] knows which replicas are *heard*: an entry whose beat stands still for five
//! beats, on the driver's own clock, is of a silent replica. [`Fleet`] is the result. Fewer than
//! the [quorum](Fleet::quorum), which is half of the replicas, may not be representative: the plan
//! stands still, no deadline passes, and an event records it. The judge continues, and rollbacks
//! are not affected.
//!
//! # Load of the store
//!
//! A replica publishes every 2 s, and in a fleet of more than 50 every N/25 s on average, so that
//! the store has about 25 such writes per second. The intervals of a large fleet are random, from a
//! half of the beat to one and a half, so that the writes are evenly distributed. In the first
//! seconds of an attempt, the replicas do not know how many they are, and publish every 2 s: N
//! replicas make N/2 publications per second until the first evidence with the roster reaches them.
//!
//! An entry has only the counts that the monitors of the plan use, and is deflated. With the
//! default monitors, the counts take 0.3 kB at one weight and 2.2 kB at ten (test
//! `the_published_counts_of_a_replica_are_small` of the controller). An engine that keeps old
//! revisions, such as etcd, needs regular compaction: each write is a revision.
//!
//! # Guarantees
//!
//! | | guarantee | tests |
//! |---|---|---|
//! | E1 | Each published call is judged once: none twice, and none never except at [closed](ClosedWeights) weights, under takeovers, restarts and lost responses, if the store loses no entry and no replica that continues was silent for a quarter of an hour. | `each_published_call_is_judged_once_under_takeovers_restarts_and_lost_responses`, `no_call_is_judged_twice_whatever_the_store_loses`, `each_call_of_each_process_is_judged_once_whichever_drives`, `a_new_driver_continues_where_the_evidence_of_a_killed_one_ends`, `the_guard_of_a_follower_counts_each_failure_once`, `a_publication_after_a_failed_look_has_only_calls_that_the_judge_has_observed`, `the_judge_waits_for_a_lost_entry_and_counts_it_once_if_it_comes_back_late`, `the_calls_of_a_replica_are_judged_although_no_publication_is_answered`, `a_plan_goes_on_as_soon_as_writes_of_the_evidence_are_answered`, `calls_at_a_closed_weight_are_not_judged_until_the_next_attempt` |
//! | E2 | The canary is judged by the sum of all replicas, and by monitors per key by the union of their keys. | `a_look_at_a_sum_is_a_look_at_all_calls`, `a_canary_is_rolled_back_on_evidence_that_no_single_process_had` |
//! | E3 | A plan does not proceed while fewer than half of the replicas are heard, and still rolls back. | `a_plan_waits_for_the_quorum_and_still_rolls_back`, `a_plan_waits_while_fewer_than_half_of_the_replicas_are_heard` |
//! | E4 | A rollback is in force at once where it is given, and by the watch everywhere. | `a_rollback_is_in_force_at_once_here_and_by_the_watch_everywhere` |
//! | E5 | A fleet makes at most 25 publications per second on average, evenly distributed, once the replicas know how many they are. | `a_large_fleet_publishes_at_most_25_times_per_second`, `a_large_fleet_publishes_evenly_once_its_size_is_known` |
//! | E6 | A new replica can wait for the weight of its fleet before its first call. | `a_new_replica_has_the_weight_of_the_fleet_before_its_first_call` |

mod closed;
mod counts;
mod judged;
pub mod keys;
mod look;
mod roster;
mod size;
mod stored_counts;

pub use self::{
    closed::ClosedWeights,
    counts::{FleetCounts, MissingCounts, UsedCounts},
    judged::JudgedCounts,
    look::{BoardList, Look, OwnPart},
    roster::{BoardSign, Roster},
    size::Fleet,
};
