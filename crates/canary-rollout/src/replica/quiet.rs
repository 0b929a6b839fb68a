//! The time between two ticks in which nothing happens.

use super::{Moment, Replica, StoreState, job::Job, machine::is_in_progress};
use crate::{action::Action, rollout::Relation, state::phase::Phase, tick::input::Tick};

impl Replica {
    /// Returns whether ticks until `until` would only count the passed time, if each is like `tick` and no
    /// other input comes. The driver can leave them out: the next tick counts their time, up to
    /// [`Rollout::MAX_TICK`](crate::Rollout::MAX_TICK), and each condition, deadline, question and probe of
    /// the plan that is due before `until` ends the quiet time.
    ///
    /// A replica that does not drive a rollout in progress is not quiet, because it watches the driver.
    ///
    /// ```
    /// use std::time::Duration;
    /// use canary_core::StickySecret;
    /// use canary_rollout::{
    ///     Plan, Releases, Tick,
    ///     replica::{Build, Input, Loaded, Moment, Replica, ReplicaId},
    /// };
    ///
    /// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let plan = Plan::from_toml("steps = [{ weight = '10%' }]")?;
    /// let sticky_secret = StickySecret::from_bytes([7; 16]);
    /// let build = Build { releases, plan, auto_start: false, sticky_secret };
    /// let mut replica = Replica::new("shop".parse()?, ReplicaId::from_random(7), build);
    /// let at = "2026-11-24T09:00:00Z".parse()?;
    /// let now = Moment { at, uptime: Duration::ZERO, random: 7 };
    /// let tick = Tick::default();
    /// assert!(!replica.is_quiet(now, &tick), "the rollout is not loaded");
    ///
    /// replica.handle(now, Input::Tick { tick: Box::new(tick.clone()), trip: None });
    /// replica.handle(now, Input::Loaded(Ok(Loaded::Absent)));
    /// assert!(replica.is_quiet(now, &tick), "no rollout has been started");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_quiet(&self, until: Moment, tick: &Tick) -> bool {
        let has_work = self.active.is_some()
            || !(self.jobs.is_empty() && self.deferred.is_empty())
            || self.enforces_later
            || self.leftover != Tick::default();
        if has_work || self.store != StoreState::InSync {
            return false;
        }
        if self.relation() != Relation::Same {
            return !self.may_deploy(until);
        }
        let phase = self.rollout.phase();
        let starts = self.build.auto_start && phase == Phase::Idle;
        if starts || is_in_progress(phase) && !self.is_driving() {
            return false;
        }
        // A raise that is due before the calendar closes must not wait until it opens again.
        if self.rollout.changes_hours_until(until.at) {
            return false;
        }
        let mut after = self.rollout.clone();
        let transition = after.tick(until.at, tick);
        let only_saves = transition.actions.iter().all(|action| *action == Action::Save);
        only_saves && transition.events.is_empty()
    }

    /// Saves the evidence if a beat is due.
    pub(super) fn beat(&mut self, now: Moment) {
        if self.is_driving() && self.seat.is_beat_due(now.uptime) {
            self.push(Job::Beat);
        }
    }
}
