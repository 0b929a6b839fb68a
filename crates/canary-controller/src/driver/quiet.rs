//! Quiet time, in which a tick would change nothing but the passed time.
//!
//! Most canaries are at rest most of the time, and their ticks would fill a core if there are thousands. So
//! a driver leaves out ticks while its process has no calls and nothing of the plan is due. Each second, it
//! looks for calls and for changes of the data plane, which end the quiet time, a beat is stored as
//! always, and viewers get a status. Commands, trips of the guard, reports of probes and gates, and changes
//! in the store have their own wake-ups.

use std::{sync::Arc, time::Duration};

use canary_rollout::{
    Tick, Timestamp,
    replica::{DataPlane, Input, Moment},
};
use tokio::time::Instant;
use tower_canary::control::ControlExt;

use crate::{
    driver::{attempt_id::AttemptId, run::Driver},
    status::Status,
};

/// A time in which ticks can be left out.
pub(super) struct Quiet {
    /// The data plane as the latest tick has observed it.
    observed: DataPlane,
    /// What that tick has published. A later status may have calls that no tick has observed.
    status: Arc<Status>,
    until: Instant,
    /// The same time by the clock of the plan, which may jump.
    from: Timestamp,
    to: Timestamp,
}

impl Driver {
    /// Ticks, unless that would only count the passed time.
    pub(super) async fn tick_unless_quiet(&mut self) {
        if !self.quiet.as_ref().is_some_and(|quiet| self.is_still_quiet(quiet)) {
            return self.tick().await;
        }
        self.store.try_again();
        if self.is_observing {
            self.judge.note_quiet();
        }
        if self.replica.takes_part() {
            self.exchange_counts().await;
        }
        self.feed(Input::Beat).await;
        if self.has_unfinished_work() {
            self.quiet = None;
        }
        self.plane.canary.note_decision();
        if !self.viewers.is_empty() {
            self.traffic.observe(&self.plane.canary.counts());
            self.publish_status();
        }
    }

    fn is_still_quiet(&self, quiet: &Quiet) -> bool {
        let now = self.clock.now();
        // The next tick may come later than `until` by half an interval.
        Instant::now() + self.interval / 2 < quiet.until
            && (quiet.from..quiet.to).contains(&now)
            && !self.plane.weight_lock.has_trip()
            && self.plane.observe().as_ref() == Some(&quiet.observed)
            && !self.plane.canary.has_changed_since(&quiet.status.counts)
    }

    /// Returns the quiet time after a tick, if there is one. `observed` and `before` are the data plane
    /// and the status before the tick.
    pub(super) fn quiet_after(
        &self,
        tick: &Tick,
        observed: Option<DataPlane>,
        before: &Status,
    ) -> Option<Quiet> {
        let status = Arc::clone(&self.status.borrow());
        let is_same = observed == self.plane.observe() && status.counts == before.counts;
        if !is_same || self.has_unfinished_work() {
            return None;
        }
        let now = self.now();
        let is_without_traffic =
            status.traffic.is_some_and(|traffic| traffic.calls_per_second == 0.0);
        let lasts = match self.replica.takes_part() {
            true => IN_PROGRESS,
            false if is_without_traffic => AT_REST,
            false => SOON,
        };
        let to = now.at + lasts;
        let until = Moment { at: to, uptime: now.uptime + lasts, ..now };
        let is_quiet = self.replica.is_quiet(until, tick);
        let observed = observed.filter(|_| is_quiet)?;
        Some(Quiet { observed, status, until: Instant::now() + lasts, from: now.at, to })
    }

    /// Returns whether something waits for a tick, apart from the state machine.
    fn has_unfinished_work(&self) -> bool {
        let publishes_last =
            self.board.is_open() && self.board.is_of(&AttemptId::of(self.replica.rollout()));
        let has_more_to_exchange = match self.replica.takes_part() {
            true => !self.board.is_alone(),
            false => publishes_last,
        };
        self.is_evidence_behind
            || self.health.is_failing()
            || has_more_to_exchange
            || !self.judge.is_quiet()
    }
}

/// The plan shows its progress at least this often. Two of these are less than
/// [`Rollout::MAX_TICK`](canary_rollout::Rollout::MAX_TICK), the longest time that a tick counts.
const IN_PROGRESS: Duration = Duration::from_secs(5);

/// Without a rollout, only the traffic that the status shows gets old.
const SOON: Duration = Duration::from_secs(10);

/// Without traffic too, nothing gets old. What was learned is stored as often.
const AT_REST: Duration = Duration::from_secs(60);
