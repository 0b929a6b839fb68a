use std::time::Duration;

use super::Rollout;
use crate::{
    actor::Actor,
    command::order::{Command, Order},
    span::rough,
    state::{RollbackReason, phase::State},
    timestamp::Timestamp,
};

impl Rollout {
    /// The time after a rollback by the plan in which programs cannot start the rollout again. A
    /// person can.
    pub const COOL_DOWN: Duration = Duration::from_secs(600);

    /// Returns the rest of the cool-down if it prevents the order.
    ///
    /// A program that retries until it succeeds would harm callers with each attempt, and enough
    /// attempts prove a bad release good by chance.
    pub(super) fn cool_down(&self, now: Timestamp, order: &Order) -> Option<Duration> {
        let is_start = matches!(order.command, Command::Start | Command::Restart);
        let is_program = matches!(order.by, Actor::Program(_));
        let State::RolledBack { at, reason } = &self.state else { return None };
        let is_by_plan = match reason {
            RollbackReason::Degraded { .. }
            | RollbackReason::Probe { .. }
            | RollbackReason::Gate { .. }
            | RollbackReason::Deadline(_) => true,
            RollbackReason::Manual { .. }
            | RollbackReason::Halt { .. }
            | RollbackReason::StoreLost(_) => false,
        };
        // A clock that has jumped back does not prolong it.
        let is_past = *at <= now;
        let left = Self::COOL_DOWN.saturating_sub(now.since(*at));
        (is_start && is_program && is_by_plan && is_past && !left.is_zero()).then_some(left)
    }

    /// Describes the rollback after which the order starts again.
    pub(super) fn describe_rollback(&self, now: Timestamp) -> Option<String> {
        let State::RolledBack { at, reason } = &self.state else { return None };
        let (canary, ago) = (&self.releases.canary, rough(now.since(*at)));
        Some(format!("{canary} was rolled back {ago} ago ({reason})."))
    }
}
